"""Bundles: every kind of run becomes one that answers the same, or nothing is left behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import TEXTS, table, table_run, text_run
from torch import nn

import headstart as hs
from headstart.bundles import manifest_bytes, open_bundle
from headstart.bundles.golden import check_golden
from headstart.errors import ExportError, OptionError
from headstart.exporting.onnx_file import export_file
from headstart.exporting.onnx_network import ExportedNetwork
from headstart.model import Ensemble, Member
from headstart.recipes.bundling import write_bundle
from headstart.recipes.run import Run


@pytest.fixture
def mlp(mlp_bundle) -> tuple[hs.Run, Path]:
    return mlp_bundle


ODD_TEXTS = [*TEXTS[:20], "hum", "buzz " * 300, "Grüße – naïve ½ 🙂"]


def rows() -> list[dict[str, object]]:
    return table().drop(columns="label").to_dict("records")


def same(run: hs.Run, folder: Path, samples: list) -> None:
    """Assert that a bundle predicts what the run does, to 1e-5, alone and together."""
    bundle = open_bundle(folder)
    expected = run.predict(samples)
    found = [*bundle.predict(samples[:7]), *bundle.predict(samples[7:])]
    assert bundle.predict(samples[:1])[0].label == expected[0].label
    assert [one.label for one in found if one.value is None] == [
        one.label for one in expected if one.value is None
    ]
    for one, other in zip(found, expected, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
        assert one.value is None or one.value == pytest.approx(other.value, rel=1e-6)
        assert (one.possible, one.guess) == (other.possible, other.guess)
        assert one.low is None or one.low == pytest.approx(other.low, rel=1e-6)


def test_a_bundle_holds_what_it_needs_and_answers_as_the_run(mlp):
    run, folder = mlp
    files = {"MANIFEST.json", "README.md", "bundle.json", "golden.npz", "model.onnx"}
    files |= {"MLmodel", "requirements.txt"}  # as MLflow opens it
    assert {path.name for path in folder.iterdir()} == files
    same(run, folder, rows())
    record = json.loads((folder / "bundle.json").read_text())
    assert record["schema"]["classes"] == ["ant", "bee"]
    assert record["parity"]["batches"] == [1, 2, 3, 7, 33]
    assert record["parity"]["samples"].endswith("val samples of the run's data")
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlicense: ")
    assert "| accuracy |" in card
    assert str(run.path.parents[2]) not in card + json.dumps(record)  # no path of this machine


def test_golden_samples_hold_what_was_decided_of_them(mlp):
    run, folder = mlp
    bundle = open_bundle(folder)
    assert bundle.record.deciding == run.ensemble.deciding
    assert bundle.record.deciding.coverage == 0.9
    check_golden(bundle)
    for change in (
        {"bound": None},
        {"least": 1.1},
    ):  # as if of another model
        deciding = replace(bundle.record.deciding, **change)
        other = replace(bundle, record=replace(bundle.record, deciding=deciding))
        with pytest.raises(ExportError, match="does not answer its golden samples"):
            check_golden(other)


@pytest.mark.parametrize(
    ("start", "is_numeric"),
    [
        ("scratch/boosting", False),
        pytest.param("scratch/lightgbm", False, marks=pytest.mark.slow),
        pytest.param("scratch/lightgbm", True, marks=pytest.mark.slow),
        pytest.param("scratch/linear", True, marks=pytest.mark.slow),
        pytest.param("scratch/forest", False, marks=pytest.mark.slow),
        pytest.param("scratch/mlp", True, marks=pytest.mark.slow),
        pytest.param("scratch/boosting", True, marks=pytest.mark.slow),
        pytest.param("scratch/forest", True, marks=pytest.mark.slow),
        pytest.param("scratch/linear", False, marks=pytest.mark.slow),
    ],
)
def test_tables_answer_the_same(tmp_path, start, is_numeric):
    run = table_run(tmp_path, start, is_numeric=is_numeric)
    folder = hs.export(str(run.path), to="auto")
    assert folder == run.path.with_name("run-onnx")
    same(run, folder, rows())


def test_term_weights_answer_the_same(text_bundle):
    same(*text_bundle, ODD_TEXTS)


@pytest.mark.slow
def test_an_encoder_answers_the_same_at_any_length(tmp_path):
    run = text_run(tmp_path, "scratch/bert-tiny")
    same(run, hs.export(str(run.path), to="onnx"), ODD_TEXTS)


@pytest.mark.slow
def test_models_that_answer_together_answer_the_same(tmp_path, mlp):
    run, _ = mlp
    first = run.model
    other = table_run(tmp_path, "scratch/linear").model
    together = Run(run.path)
    together.__dict__["ensemble"] = Ensemble([Member(first, 2.0), Member(other, 1.0)], 0.7)
    folder = tmp_path / "bundle"
    write_bundle(together, folder)
    assert (folder / "members" / "2" / "model.onnx").is_file()
    same(together, folder, rows())


def test_a_bundle_needs_no_torch(mlp):
    _, folder = mlp
    code = (
        "import sys, headstart as hs\n"
        "print(hs.verify(sys.argv[1]).report())\n"
        "assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "golden answers are the same" in done.stdout


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "golden.npz", "README.md"])
def test_a_changed_file_is_named(mlp, tmp_path, name):
    shutil.copytree(mlp[1], tmp_path / "b")
    path = tmp_path / "b" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ExportError, match=f"{name} is not what was exported"):
        hs.verify(str(tmp_path / "b"))
    path.unlink()
    with pytest.raises(ExportError, match=f"{name} is missing"):
        hs.verify(str(tmp_path / "b"))


def test_a_manifest_that_leads_elsewhere_is_refused(mlp, tmp_path):
    shutil.copytree(mlp[1], tmp_path / "b")
    path = tmp_path / "b" / "MANIFEST.json"
    record = json.loads(path.read_text())
    record["files"]["../secret"] = record["files"].pop("README.md")
    path.write_text(json.dumps(record))
    with pytest.raises(ExportError, match=r"MANIFEST.json is damaged .*'\.\./secret'"):
        hs.verify(str(tmp_path / "b"))


@pytest.mark.parametrize("place", ["weights.bin", "../weights.bin", "/etc/passwd"])
def test_weights_in_another_file_are_not_read(mlp, tmp_path, monkeypatch, place):
    import onnx

    folder = tmp_path / "bundle"
    shutil.copytree(mlp[1], folder)
    network = onnx.load(folder / "model.onnx")
    weights = network.graph.initializer[0]
    for outside in (folder, tmp_path):
        (outside / "weights.bin").write_bytes(weights.raw_data + bytes(1 << 16))
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", place
    (folder / "model.onnx").write_bytes(network.SerializeToString())
    (folder / "MANIFEST.json").write_bytes(manifest_bytes(folder))
    monkeypatch.chdir(folder)  # where ONNX Runtime looks for what bytes name
    with pytest.raises(ExportError, match=r"model\.onnx is not taken by ONNX Runtime"):
        open_bundle(folder)


def test_golden_samples_that_are_answered_otherwise_are_refused(mlp, tmp_path):
    shutil.copytree(mlp[1], tmp_path / "b")
    golden = tmp_path / "b" / "golden.npz"
    with np.load(golden) as file:
        content = dict(file)
    content["0.logits"] = content["0.logits"] + 0.01
    np.savez(golden, **content)
    from headstart.bundles import manifest_bytes

    (tmp_path / "b" / "MANIFEST.json").write_bytes(manifest_bytes(tmp_path / "b"))
    with pytest.raises(ExportError, match=r"golden samples .* logits differ by 0\.01"):
        hs.verify(str(tmp_path / "b"))


def test_what_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(ExportError, match="is no bundle"):
        hs.verify(str(tmp_path))


class FixedBatch(ExportedNetwork):
    """A network whose batch is a constant once it is traced, as ``len`` makes it."""

    def forward(self, *arrays):
        logits = super().forward(*arrays)
        return logits + logits.new_zeros(len(arrays[0]), 1)


def test_a_batch_that_became_a_constant_is_refused(mlp):
    run, _ = mlp
    network = FixedBatch(run.model.eval())
    inputs = run.preprocess.read(rows()[:3])
    with pytest.raises(ExportError, match="took the batch for a constant"):
        export_file(network, inputs.arrays(np.arange(3)), "scratch/mlp")


class OfTheExample(ExportedNetwork):
    """A network that answers otherwise at another batch than the exporter's."""

    def forward(self, *arrays):
        return super().forward(*arrays) * (1.0 if torch.compiler.is_exporting() else 2.0)


def test_an_unfaithful_file_is_refused(mlp):
    run, _ = mlp
    inputs = run.preprocess.read(rows()[:3])
    with pytest.raises(ExportError, match="answers otherwise than PyTorch at a batch of 1"):
        export_file(OfTheExample(run.model.eval()), inputs.arrays(np.arange(3)), "scratch/mlp")


def test_an_unfaithful_bundle_is_not_left_behind(mlp, tmp_path, monkeypatch):
    run, _ = mlp
    changed = Run(run.path)
    logits = changed.ensemble.run_each

    def other(inputs, **options):
        return [one + 0.5 for one in logits(inputs, **options)]

    monkeypatch.setattr(changed.ensemble, "run_each", other)
    with pytest.raises(ExportError, match=r"is not faithful: .* differ from the run's by 0\.5"):
        write_bundle(changed, tmp_path / "out" / "bundle")
    assert not list((tmp_path / "out").iterdir())


def test_a_run_of_data_in_memory_is_compared_on_drawn_rows(tmp_path):
    frame = table()
    run = hs.finetune(
        hs.load(frame, label="label"), start="scratch/linear", out=str(tmp_path / "run")
    )
    folder = hs.export(str(run.path), to="onnx")
    parity = json.loads((folder / "bundle.json").read_text())["parity"]
    assert parity["samples"] == "46 drawn samples, none of them real"
    same(run, folder, rows())


def test_an_unknown_format_names_those_that_fit(mlp, heard):
    with pytest.raises(OptionError, match=r"expected 'onnx', .*Say --to onnx") as refused:
        hs.export(str(mlp[0].path), to="timm")
    assert hs.verify(str(mlp[1])).report()  # of this run, exported as is advised
    heard(refused.value)


def test_images_answer_the_same_from_their_bytes(image_bundle):
    run, folder = image_bundle
    samples = [path.read_bytes() for path in sorted(run.path.parent.rglob("[0-9]*.png"))]
    same(run, folder, samples)
    shown = open_bundle(folder).members[0].session.inputs
    assert [(one.name, one.dtype) for one in shown] == [("pixels", "uint8")]


def test_attention_fused_with_a_bias_is_exported_plain(mlp):
    class Attending(nn.Module):
        fused_attn = True

    from headstart.exporting.onnx_network import exported_network

    model = mlp[0].model
    model.encoder.network.add_module("attending", Attending())
    try:
        whole = exported_network(model)
        assert whole.model.encoder.network.attending.fused_attn is False
        assert model.encoder.network.attending.fused_attn is True  # left as it is
    finally:
        del model.encoder.network.attending


def exported_for_any_batch(name: str, size: int, *, mirrors: bool = False) -> None:
    """Export a network of random weights; ``export_file`` runs it at batches of one and three."""
    from headstart.exporting.onnx_network import exported_network
    from headstart.model import Model
    from headstart.starts import BuildRequest, build_encoder, find_start
    from headstart.types import Schema

    encoder = build_encoder(find_start(f"scratch/{name}"), BuildRequest((size, size), 3, size))
    if mirrors:
        encoder.set_mirrors(True)
    model = Model(encoder, Schema("image", "classification", ("cat", "dog", "hen"))).eval()
    side = encoder.preprocess.spec.decode_size
    pixels = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)
    assert export_file(exported_network(model), [pixels], name)


def test_a_network_that_looks_at_mirror_images_is_exported_with_them():
    exported_for_any_batch("quick-cnn", 32, mirrors=True)


# A batch of one made constants of the first seven. Attention fused with a bias, of the next three,
# has no words in ONNX.
STUMBLED_OVER = {
    "pvt_v2_b0": 64,
    "xcit_nano_12_p16_224": 64,
    "coatnet_pico_rw_224": 64,
    "coat_lite_tiny": 64,
    "twins_pcpvt_small": 224,
    "convit_tiny": 224,
    "volo_d1_224": 224,
    "beitv2_base_patch16_224": 224,
    "maxvit_rmlp_pico_rw_256": 256,
    "vit_relpos_small_patch16_224": 64,
    "mobilenetv3_small_050": 64,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STUMBLED_OVER)
def test_networks_that_exporters_stumble_over_are_exported_for_any_batch(name):
    exported_for_any_batch(name, STUMBLED_OVER[name])
