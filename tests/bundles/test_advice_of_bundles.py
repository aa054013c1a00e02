"""What is advised of a bundle that cannot be used is followed: exported again, or asked rightly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from advised import Case, in_extra, without_package

import headstart as hs
from headstart.bundles import manifest_bytes, open_bundle
from headstart.bundles.records import read_bundle_record
from headstart.bundles.session import OnnxSession, check_bounds
from headstart.preprocessing import NamedInput


@dataclass(frozen=True)
class Place:
    """A folder of a case, a bundle to damage, and the same run exported again."""

    folder: Path
    bundle: Path
    again: Path

    def damaged(self, change: Callable[[Path], Any], *, is_listed: bool = True) -> str:
        """Return a copy that was changed; its manifest, too, unless the change is to be seen."""
        copy = self.folder / "bundle"
        shutil.copytree(self.bundle, copy)
        change(copy)
        if is_listed:
            (copy / "MANIFEST.json").write_bytes(manifest_bytes(copy))
        return str(copy)


@pytest.fixture(scope="module")
def again(mlp_bundle, tmp_path_factory) -> Path:
    """Export the run again, as nearly every sentence here advises."""
    run, _ = mlp_bundle
    return hs.export(str(run.path), to="onnx", out=str(tmp_path_factory.mktemp("again") / "rows"))


def answered(place: Place) -> bool:
    """Let what was exported again answer as it should."""
    return "golden answers are the same" in hs.verify(str(place.again)).report()


def written(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def removed(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


def shifted(folder: Path) -> None:
    """Change what the golden samples have to give."""
    with np.load(folder / "golden.npz") as file:
        content = dict(file)
    np.savez(folder / "golden.npz", **(content | {"0.logits": content["0.logits"] + 0.01}))


def of_three_classes(folder: Path) -> None:
    path = folder / "bundle.json"
    record = json.loads(path.read_text())
    record["schema"]["classes"].append("cat")
    path.write_text(json.dumps(record))


def opened(folder: str) -> Any:
    """Open the network alone."""
    path = Path(folder)
    inputs = open_bundle(path, is_whole=False).members[0].session.inputs
    return OnnxSession(path / "model.onnx", inputs, 2)


def unread(place: Place) -> Any:
    """Open the network of a folder that has none."""
    inputs = open_bundle(place.bundle).members[0].session.inputs
    return OnnxSession(place.folder / "model.onnx", inputs, 2)


def without_runtime(place: Place) -> Any:
    with without_package("onnxruntime"):
        return hs.verify(str(place.bundle))


def with_runtime(place: Place) -> bool:
    return in_extra("onnxruntime", "serve") and answered(place)


WORDS = NamedInput("ids", "int64", ("length",), longest=4)
CASES = {
    "a bundle that is none": Case(
        lambda p: hs.verify(str(p.folder)),
        "is no bundle: .* Export the run",
        answered,
    ),
    "a damaged manifest": Case(
        lambda p: hs.verify(p.damaged(written("MANIFEST.json", b"{"), is_listed=False)),
        "MANIFEST.json is damaged .* Export the run again",
        answered,
    ),
    "a file that is gone": Case(
        lambda p: hs.verify(p.damaged(removed("README.md"), is_listed=False)),
        "README.md is missing.* Export the run again",
        answered,
    ),
    "no record": Case(
        lambda p: read_bundle_record(Path(p.damaged(removed("bundle.json")))),
        "bundle.json cannot be read .* Export the run",
        lambda p: read_bundle_record(p.again),
    ),
    "a damaged record": Case(
        lambda p: hs.verify(p.damaged(written("bundle.json", b'{"format": 1}'))),
        "bundle.json is damaged .* Export the run again",
        answered,
    ),
    "no golden samples": Case(
        lambda p: hs.verify(p.damaged(written("golden.npz", b"PK"))),
        "golden.npz is damaged .* Export the run again",
        answered,
    ),
    "other answers": Case(
        lambda p: hs.verify(p.damaged(shifted)),
        "logits differ by 0.01.* or export the run again",
        answered,
    ),
    "a network of other classes": Case(
        lambda p: hs.verify(p.damaged(of_three_classes)),
        "of 3 columns, .* Export the run again",
        answered,
    ),
    "a network that is none": Case(
        lambda p: hs.verify(p.damaged(written("model.onnx", b"no network"))),
        "is not taken by ONNX Runtime .* Export the run again",
        answered,
    ),
    "no network": Case(
        unread, "cannot be read .* Export the run again", lambda p: opened(str(p.again))
    ),
    "no ONNX Runtime": Case(
        without_runtime, r"Install it: .*headstart\[serve\]", with_runtime
    ),
    "an input of another shape": Case(
        lambda _: check_bounds(WORDS, np.zeros(3, np.int64)),
        r"has shape \[3\]; expected \[-1, -1\].* Give it that shape",
        lambda _: check_bounds(WORDS, np.zeros((1, 3), np.int64)),
    ),
    "an input that is too long": Case(
        lambda _: check_bounds(WORDS, np.zeros((1, 9), np.int64)),
        "has 9 places; expected at most 4. Cut it",
        lambda _: check_bounds(WORDS, np.zeros((1, 9), np.int64)[:, :4]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_a_bundle_helps(name: str, mlp_bundle, again, follow, heard) -> None:
    follow(CASES[name], place=lambda folder: Place(folder, mlp_bundle[1], again))
