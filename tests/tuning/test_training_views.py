"""The page shows training images as they are stored, as they are seen, and as they are changed."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.training.batches.augment import POLICIES, describe_policy

DRAW = np.random.default_rng(0)


def _folder(root: Path, shape: tuple[int, ...], classes: tuple[str, ...]) -> Path:
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(12):
            picture = DRAW.integers(0, 120, shape).astype(np.uint8)
            picture[:, : shape[1] // 4] = 60 + 60 * k
            Image.fromarray(picture).save(root / name / f"{i}.png")
    return root


def _opened(picture: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture)))).astype(int)


def _mirrored(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether the bright stripe stands on the other side."""
    return bool(
        (one[:, :3].mean() > one[:, -3:].mean()) != (other[:, :3].mean() > other[:, -3:].mean())
    )


@pytest.mark.parametrize(
    ("classes", "augment", "words"),
    [
        (("cat", "dog", "hen"), "light", "mirrored left to right, in every other epoch"),
        (("left", "right"), "light-unmirrored", "never mirrored"),
    ],
)
def test_the_policy_is_shown_and_named(
    tmp_path: Path, classes: tuple[str, ...], augment: str, words: str
) -> None:
    root = _folder(tmp_path / "data", (36, 36, 3), classes)
    run = hs.finetune(str(root), start="scratch/simple-cnn", num_steps=1, out=str(tmp_path / "run"))
    views = json.loads((run.path / "views.json").read_text())
    assert views["augment"] == augment
    assert views["words"][0] == words
    assert {item["name"].split("/")[0] for item in views["items"]} == set(classes)
    page = (run.path / "report.html").read_text()
    assert f"Augmentation {augment}: {words}" in page
    pictures = re.findall(r'alt="([a-z ]+)" src="data:image/jpeg', page)
    assert pictures == ["as stored", "as seen", "changed", "changed", "changed"] * 4
    for item in views["items"]:
        stored = np.asarray(Image.open(root / item["name"])).astype(int)
        assert np.abs(_opened(item["original"]) - stored).mean() < 12
        assert np.abs(_opened(item["seen"]) - stored).mean() < 12
        assert any(np.abs(_opened(one) - stored).mean() > 12 for one in item["augmented"])
    turned = [
        _mirrored(_opened(one), _opened(item["seen"]))
        for item in views["items"]
        if not item["name"].startswith(classes[0])  # a dark stripe is no mark
        for one in item["augmented"]
    ]
    assert any(turned) == (augment == "light")


def test_what_is_padded_is_shown_whole_beside_the_original(tmp_path: Path) -> None:
    root = _folder(tmp_path / "data", (20, 100, 3), ("a", "b"))
    run = hs.finetune(
        str(root),
        start="scratch/simple-cnn",
        num_steps=1,
        augment="none",
        out=str(tmp_path / "run"),
    )
    views = json.loads((run.path / "views.json").read_text())
    assert views["framing"] == "pad"
    (item, *_) = views["items"]
    assert _opened(item["original"]).shape[:2] == (19, 96)
    assert _opened(item["seen"]).shape[:2] == (96, 96)
    assert item["augmented"] == []
    page = (run.path / "report.html").read_text()
    assert "which the network sees whole, on a square ground" in page
    assert "nothing is changed: every epoch sees the same pixels" in page


def test_the_page_is_made_again_the_same_and_without_views_too(tmp_path: Path) -> None:
    root = _folder(tmp_path / "data", (20, 20, 3), ("a", "b"))
    run = hs.finetune(
        str(root), start="scratch/simple-cnn", strategy="head", out=str(tmp_path / "run")
    )
    page = (run.path / "report.html").read_text()
    assert "What the network sees" in page
    assert "nothing is changed" in page  # a head on frozen features sees no augmentation
    assert Path(hs.report(str(run.path))).read_text() == page
    (run.path / "views.json").unlink()  # of an earlier version
    assert "What the network sees" not in Path(hs.report(str(run.path))).read_text()


def test_texts_have_no_views(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\n" + "good film,a\nbad film,b\n" * 20)
    run = hs.finetune(str(tmp_path / "t.csv"), start="scratch/tfidf", out=str(tmp_path / "run"))
    assert not (run.path / "views.json").exists()


def test_every_policy_says_whether_it_mirrors_and_all_that_it_does() -> None:
    for name, policy in POLICIES.items():
        words = describe_policy(policy)
        if policy is None:
            assert words == ["nothing is changed: every epoch sees the same pixels"]
            continue
        assert ("never mirrored" in words) != policy.flip, name
        parts = (policy.rotate_degrees, policy.translate, policy.crop_scale < 1)
        parts += (policy.zoom, policy.colour, policy.cutout)
        assert len(words) == 1 + sum(map(bool, parts)), name
