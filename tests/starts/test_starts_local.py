"""Folders, files and runs as starts."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from headstart.errors import StartError
from headstart.starts import BuildRequest, Encoder, build_encoder, find_start, wrap_module
from headstart.types import ImageSpec


def build(path: Path | str, image_size=(200, 200), image_channels=3, **options) -> Encoder:
    return build_encoder(
        find_start(str(path)),
        BuildRequest(image_size=image_size, image_channels=image_channels, **options),
    ).eval()


def save_run(path: Path, encoder: Encoder, data_name: str = "shapes") -> None:
    """Write the two files of a run folder that a start is read from."""
    path.mkdir()
    tensors = {f"encoder.{n}": t.contiguous() for n, t in encoder.state_dict().items()}
    save_file({**tensors, "head.weight": torch.zeros(4, encoder.num_features)},
              path / "model.safetensors")  # fmt: skip
    record = {
        "start": asdict(encoder.start),
        "architecture": encoder.architecture,
        "data_name": data_name,
    }
    (path / "model.json").write_text(json.dumps(record))


@pytest.mark.parametrize("name", ["scratch/simple-cnn", "scratch/vit-tiny", "scratch/test_resnet"])
def test_a_run_is_a_start(name, tmp_path: Path):
    made = build(name, (28, 28), 1, size=32, seed=9)
    save_run(tmp_path / "run", made)
    start = find_start(str(tmp_path / "run"))
    assert (start.pretrained_on, start.family, start.is_local) == (
        "shapes",
        made.start.family,
        True,
    )
    encoder = build(tmp_path / "run", (28, 28), 1)
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), made(images))
    assert encoder.preprocess.spec == made.preprocess.spec
    # data of another look: the size stays, what is decoded follows the data
    other = build(tmp_path / "run", (500, 400), 3)
    assert (
        other.preprocess.spec.size,
        other.preprocess.spec.decode_size,
        other.preprocess.spec.decode_channels,
    ) == (32, 32, 1)
    rgb = build(tmp_path / "run", (500, 400), 3, channels=3)
    with torch.no_grad():
        torch.testing.assert_close(
            rgb(images.expand(-1, 3, -1, -1)), made(images), atol=1e-5, rtol=1e-4
        )


def test_a_run_changes_its_size_where_it_can(tmp_path: Path):
    save_run(tmp_path / "vit", build("scratch/vit-tiny", (28, 28), 1))
    vit = build(tmp_path / "vit", (28, 28), 1, size=64)
    assert vit.network.pos_embed.shape[1] == 16 * 16  # patches stay at 4 pixels
    save_run(tmp_path / "cnn", build("scratch/simple-cnn", (28, 28), 1))
    with pytest.raises(StartError, match=r"works at 28 pixels .*'dense.weight'.*Choose size 28"):
        build(tmp_path / "cnn", (64, 64), 1, size=64)


def test_a_run_of_a_run_keeps_the_architecture(tmp_path: Path):
    save_run(tmp_path / "one", build("scratch/resnet18", (32, 32)))
    save_run(tmp_path / "two", build(tmp_path / "one", (32, 32), drop_path=0.1), "more")
    encoder = build(tmp_path / "two", (32, 32))
    assert encoder.network.conv1.kernel_size == (3, 3)
    assert encoder.start.address == str(tmp_path / "two")
    assert find_start(str(tmp_path / "two")).pretrained_on == "more"


def test_damaged_runs_are_refused(tmp_path: Path):
    run = tmp_path / "run"
    save_run(run, build("scratch/simple-cnn", (28, 28), 1))
    record = json.loads((run / "model.json").read_text())

    tensors = load_file(run / "model.safetensors")
    kept = {n: t for n, t in tensors.items() if n != "encoder.network.dense.bias"}
    save_file(kept, run / "model.safetensors")
    with pytest.raises(StartError, match=r"'dense.bias' is missing"):
        build(run)

    (run / "model.json").write_text(json.dumps({"start": record["start"]}))
    with pytest.raises(StartError, match="no 'architecture'"):
        find_start(str(run))
    (run / "model.json").write_text("{")
    with pytest.raises(StartError, match=r"model.json' cannot be read"):
        find_start(str(run))
    (run / "model.safetensors").unlink()
    with pytest.raises(StartError, match=r"holds no model.safetensors. Was the run finished"):
        find_start(str(run))


def test_a_run_of_an_own_module_cannot_be_a_start(tmp_path: Path):
    spec = ImageSpec(8, 1, (0.5,), (0.25,), "bilinear", 8, 1)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))
    save_run(tmp_path / "run", wrap_module(module, spec))
    with pytest.raises(StartError, match="module of your own"):
        find_start(str(tmp_path / "run"))


def test_folder_describes_itself(save_timm):
    path, _ = save_timm("test_resnet")
    start = find_start(str(path))
    assert (start.licence, start.pretrained_on, start.objective) == (
        "mit", "ImageNet-1k", "supervised",
    )  # fmt: skip
    assert start.is_local


def test_file_is_read_with_its_sibling_config_its_metadata_or_a_name(save_timm, tmp_path: Path):
    path, network = save_timm("test_convnext")
    images = torch.randn(1, 3, 160, 160)
    alone = tmp_path / "alone.safetensors"
    tensors = load_file(path / "model.safetensors")
    save_file(tensors, alone)
    with pytest.raises(StartError, match="does not say which network"):
        find_start(str(alone))
    save_file(tensors, tmp_path / "named.safetensors", {"architecture": "test_convnext"})
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(images), pre_logits=True)
        for address in (
            str(path / "model.safetensors"),
            f"timm/test_convnext:{alone}",
            str(tmp_path / "named.safetensors"),
        ):
            torch.testing.assert_close(build(address)(images), expected)


def test_classifier_of_any_number_of_classes_is_left_out(save_timm):
    for num_classes in (0, 1, 1000):
        path, _ = save_timm("test_vit", folder=f"with{num_classes}", num_classes=num_classes)
        assert build(path).num_features == 64


def test_classifiers_with_a_norm_of_their_own_are_left_out(save_timm):
    path, network = save_timm("levit_128s", num_classes=1000)
    assert any(name.startswith("head.bn.") for name in network.state_dict())
    assert build(path).num_features == 384


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": "test_resnt"}, "Did you mean 'timm/test_resnet'"),
        ({"architecture": None}, "Expected the name of a timm architecture"),
        ({"model_args": {"act_layer": "gelu"}}, "Only 'img_size', 'in_chans', 'num_classes'"),
        ({"pretrained_cfg": {"mean": [0.5]}}, "one value a channel"),
        ({"pretrained_cfg": {"std": [0, 0, 0]}}, "std above 0"),
        ({"pretrained_cfg": {"interpolation": "nearest"}}, "'bilinear' or 'bicubic'"),
        ({"pretrained_cfg": {"input_size": [3, 160, 200]}}, "Expected a square"),
        ({"pretrained_cfg": {"mean": "x"}}, "Expected a list of numbers"),
    ],
)
def test_bad_configurations_are_refused(change, words, save_timm):
    path, _ = save_timm("test_resnet")
    record = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**record, **change}))
    with pytest.raises(StartError, match=words):
        find_start(str(path))


def test_folders_without_safetensors_are_refused(save_timm, tmp_path: Path):
    with pytest.raises(StartError, match=r"neither model.json .* nor config.json"):
        find_start(str(tmp_path))
    path, _ = save_timm("test_resnet")
    shutil.move(path / "model.safetensors", path / "pytorch_model.bin")
    with pytest.raises(StartError, match="pickle file"):
        find_start(str(path))
    (path / "pytorch_model.bin").unlink()
    with pytest.raises(StartError, match=r"holds no model.safetensors"):
        find_start(str(path))


def test_missing_and_foreign_files_are_refused(tmp_path: Path):
    with pytest.raises(StartError, match="does not exist"):
        find_start(str(tmp_path / "none.safetensors"))
    (tmp_path / "weights.onnx").write_bytes(b"x")
    with pytest.raises(StartError, match=r"ends in .safetensors"):
        find_start(str(tmp_path / "weights.onnx"))
