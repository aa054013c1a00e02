"""Advice of the rooms below the verbs that is followed: starts, figures, exports, cache, samples.

As ``test_advice_of_verbs.py``; ``tests/advice.py`` counts which sentences are followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.errors import HeadstartError
from headstart.evaluation import fit_label_temperature, fit_temperature
from headstart.evaluation.baseline import frequent_labels_baseline, majority_baseline
from headstart.evaluation.class_scores import score_classes
from headstart.evaluation.label_scores import score_labels
from headstart.recipes.run import Run
from headstart.starts import BuildRequest, build_encoder, find_start, list_starts
from headstart.storage.cache import cache_limit, cache_root

RNG = np.random.default_rng(0)
Do = Callable[[Path], Any]


@dataclass(frozen=True)
class Case:
    """What is refused, what is said, and what is then done."""

    wrong: Do
    said: str
    right: Do


def built(address: str, **said: Any) -> Any:
    known = {"image_size": (16, 16), "image_channels": 3, **said}
    return build_encoder(find_start(address), BuildRequest(**known))


def limited(monkeypatch: pytest.MonkeyPatch, said: str) -> int:
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", said)
    return cache_limit(cache_root())


def timm_folder(folder: Path, **changed: Any) -> Any:
    """Return the start of a folder as timm writes them, its configuration changed."""
    from safetensors.torch import save_file

    path = folder / "mine"
    path.mkdir(exist_ok=True)
    config = {"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 32, 32]}}
    for name, value in changed.items():
        target = config if name == "architecture" else config["pretrained_cfg"]
        target.pop(name, None) if value is None else target.update({name: value})
    (path / "config.json").write_text(json.dumps(config))
    import timm

    weights = timm.create_model("resnet18", num_classes=0).state_dict()
    save_file(weights, path / "model.safetensors")
    return find_start(str(path))


def weights_file(folder: Path, name: str) -> Any:
    (folder / name).write_bytes(b"x" * 64)
    return find_start(str(folder / name))


PROBS = RNG.dirichlet(np.ones(3), size=40)
TARGETS = np.arange(40) % 3
FLAGS = (RNG.random((40, 2)) > 0.5).astype(np.uint8)
CASES = {
    # figures
    "names of classes twice": Case(
        lambda _: score_classes(PROBS, TARGETS, ("a", "a", "b")),
        "Give every class its own name",
        lambda _: score_classes(PROBS, TARGETS, ("a", "b", "c")),
    ),
    "names of labels twice": Case(
        lambda _: score_labels(PROBS[:, :2], FLAGS, ("a", "a")),
        "Give every label its own name",
        lambda _: score_labels(PROBS[:, :2], FLAGS, ("a", "b")),
    ),
    "logits as probabilities": Case(
        lambda _: score_classes(PROBS * 0.9, TARGETS, ("a", "b", "c")),
        "Pass the softmax of the logits",
        lambda _: score_classes(PROBS, TARGETS, ("a", "b", "c")),
    ),
    "logits of one class": Case(
        lambda _: fit_temperature(PROBS[:, :1], np.zeros(40, np.int64)),
        "Pass the logits of the val items",
        lambda _: fit_temperature(np.log(PROBS), TARGETS),
    ),
    "logits of no label": Case(
        lambda _: fit_label_temperature(PROBS[:0, :2], FLAGS[:0]),
        "Pass the logits of the val items",
        lambda _: fit_label_temperature(np.log(PROBS[:, :2]), FLAGS),
    ),
    "targets of other classes": Case(
        lambda _: majority_baseline(TARGETS, num_items=2, num_classes=2),
        "Pass the targets of the same schema",
        lambda _: majority_baseline(TARGETS, num_items=2, num_classes=3),
    ),
    "targets of other labels": Case(
        lambda _: frequent_labels_baseline(FLAGS, num_items=2, num_labels=3),
        "Pass the targets of the same schema",
        lambda _: frequent_labels_baseline(FLAGS, num_items=2, num_labels=2),
    ),
    # starts
    "a start of another modality": Case(
        lambda _: built("scratch/linear"),
        "Choose one that 'headstart starts --modality image' lists",
        lambda _: built("scratch/simple-cnn"),
    ),
    "a modality that nobody knows": Case(
        lambda _: list_starts(modality="sound"),
        "Choose one of them",
        lambda _: list_starts(modality="text"),
    ),
    "a size that is not known": Case(
        lambda _: built("scratch/simple-cnn", image_size=None),
        "Give the size in pixels, for example size=32",
        lambda _: built("scratch/simple-cnn", image_size=None, size=32),
    ),
    "a size out of range": Case(
        lambda _: built("scratch/simple-cnn", size=4),
        "Choose a size in that range",
        lambda _: built("scratch/simple-cnn", size=32),
    ),
    "four channels": Case(
        lambda _: built("scratch/simple-cnn", image_channels=4),
        "Convert the images first",
        lambda _: built("scratch/simple-cnn", image_channels=3),
    ),
    "stochastic depth of a quick network": Case(
        lambda _: built("scratch/quick-cnn", drop_path=0.1),
        "Set drop_path 0, or choose 'scratch/resnet18'",
        lambda _: built("scratch/quick-cnn", drop_path=0.0),
    ),
    "stochastic depth of pixels": Case(
        lambda _: built("scratch/pixels", drop_path=0.1),
        "Set drop_path 0, or choose 'scratch/resnet18'",
        lambda _: built("scratch/pixels", drop_path=0.0),
    ),
    "stochastic depth of a plain network": Case(
        lambda _: built("scratch/simple-cnn", drop_path=0.1),
        "Set drop_path 0, or choose 'scratch/resnet18'",
        lambda _: built("scratch/resnet18", drop_path=0.1),
    ),
    "a pickle file": Case(
        lambda f: weights_file(f, "net.pth"),
        r"save_file\(\{.*torch\.load",
        lambda f: timm_folder(f),
    ),
    "a file of another suffix": Case(
        lambda f: weights_file(f, "net.h5"),
        "Give such a file, or a folder with config.json",
        lambda f: timm_folder(f),
    ),
    "a folder that is no start": Case(
        lambda f: find_start(str(f)),
        "Give a folder with config.json",
        lambda f: timm_folder(f),
    ),
    "no architecture": Case(
        lambda f: timm_folder(f, architecture=None),
        'such as "architecture": "resnet18". Add it',
        lambda f: timm_folder(f),
    ),
    "no square": Case(
        lambda f: timm_folder(f, input_size=[3, 32, 48]),
        "Choose another start",
        lambda f: timm_folder(f, input_size=[3, 32, 32]),
    ),
    "resized in another way": Case(
        lambda f: timm_folder(f, interpolation="lanczos"),
        "Expected 'bilinear' or 'bicubic'",
        lambda f: timm_folder(f, interpolation="bicubic"),
    ),
    "a spread of zero": Case(
        lambda f: timm_folder(f, std=[0.0, 0.2, 0.2]),
        "Correct its config.json",
        lambda f: timm_folder(f, std=[0.2, 0.2, 0.2]),
    ),
    "a mean that is no list": Case(
        lambda f: timm_folder(f, mean="half"),
        "Expected a list of numbers. Correct its config.json",
        lambda f: timm_folder(f, mean=[0.5, 0.5, 0.5]),
    ),
    "lora of a convolution": Case(
        lambda f: photographed(f, strategy="lora"),
        "Use strategy 'last-n' or 'full' instead",
        lambda f: photographed(f, strategy="full"),
    ),
    # new samples
    "one image in colour": Case(
        lambda f: run_of(f).predict(RNG.integers(0, 256, (12, 12, 3)).astype(np.uint8)),
        "Put one image into a list",
        lambda f: run_of(f).predict([RNG.integers(0, 256, (12, 12, 3)).astype(np.uint8)]),
    ),
    "an image that is none": Case(
        lambda f: run_of(f).predict([7]),
        "Convert it, or leave it out",
        lambda f: run_of(f).predict([np.zeros((12, 12, 3), np.uint8)]),
    ),
    "an array of either order": Case(
        lambda f: hs.load((np.zeros((30, 3, 8, 3), np.uint8), np.arange(30) % 2)),
        r"Give grey images as \(N, H, W\)|channels first or last",
        lambda f: hs.load((RNG.integers(0, 256, (30, 8, 3)).astype(np.uint8), np.arange(30) % 2)),
    ),
    # exports
    "an export into a full folder": Case(
        lambda f: exported(f, is_full=True),
        "Choose another --out, or move these files away",
        lambda f: exported(f, is_full=False),
    ),
    "an export over a file": Case(
        lambda f: exported(f, is_file=True),
        "Choose another --out",
        lambda f: exported(f),
    ),
    "a limit of the cache": Case(
        lambda _: limited(pytest.MonkeyPatch(), "much"),
        "Set it to 20GB, for example, or leave it out",
        lambda _: limited(pytest.MonkeyPatch(), "20GB"),
    ),
}


def photographed(folder: Path, **said: Any) -> Any:
    """Return a short run on small pictures."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3)).astype(np.uint8)
    data = hs.load((pixels, np.where(np.arange(40) % 2, "a", "b")))
    known = {"start": "scratch/simple-cnn", "num_steps": 1, "device": "cpu", **said}
    return hs.finetune(data, out=str(folder / "run"), **known)


def run_of(folder: Path) -> Run:
    return Run(str(photographed(folder).path))


def exported(folder: Path, *, is_full: bool = False, is_file: bool = False) -> Any:
    out = folder / "out"
    if is_full:
        out.mkdir()
        (out / "mine.txt").write_text("kept")
    elif is_file:
        out.write_text("kept")
    return hs.export(
        str(photographed(folder, start="scratch/vit-tiny").path), to="timm", out=str(out)
    )


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_helps(name, tmp_path, monkeypatch, heard) -> None:
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "1GB")
    monkeypatch.chdir(tmp_path)
    case = CASES[name]
    for side in ("wrong", "right"):
        (tmp_path / side).mkdir()
    with pytest.raises(HeadstartError) as refused:
        case.wrong(tmp_path / "wrong")
    assert re.search(case.said, str(refused.value)), str(refused.value)
    case.right(tmp_path / "right")
    heard(refused.value)
