"""Images of more than 8 bits are looked at as training sees them, not as black ones."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.auditing.audit import AuditTools, Spot
from headstart.auditing.near_images import near_images
from headstart.auditing.views import view_of
from headstart.data import load

RNG = np.random.default_rng(0)


def scene(most: float) -> np.ndarray:
    """Return a picture of blocks with values up to a number."""
    blocks = RNG.random((8, 8)).repeat(6, 0).repeat(6, 1)
    return blocks * most


def scans(folder: Path, kind: str, most: float) -> Path:
    for label in ("healthy", "sick"):
        (folder / label).mkdir(parents=True)
        for i in range(12):
            values = scene(most)
            path = folder / label / f"{i}.{'png' if kind == 'uint16' else 'tif'}"
            Image.fromarray(values.astype(kind)).save(path)
    copied = np.asarray(Image.open(folder / "sick" / f"3.{path.suffix[1:]}"))
    Image.fromarray(np.roll(copied, 1, axis=1)).save(folder / "sick" / f"copy{path.suffix}")
    return folder


@pytest.mark.parametrize(
    ("kind", "most"),
    [("uint16", 4095), ("uint16", 1000), ("uint16", 60000), ("float32", 0.004), ("int32", 9000)],
)
def test_near_copies_of_deep_images_are_found_and_none_is_of_one_colour(tmp_path, kind, most):
    dataset = load(scans(tmp_path / "scans", kind, most))
    sentences = [found.finding.sentence for found in near_images(dataset, AuditTools())]
    assert not [s for s in sentences if "of one colour" in s]
    assert [s for s in sentences if "copy" in s]


@pytest.mark.parametrize("most", [4095, 60000])
def test_pages_show_deep_images_as_bright_as_training_sees_them(tmp_path, most):
    dataset = load(scans(tmp_path / "scans", "uint16", most))
    url = str(view_of(dataset, Spot("train", 0))["picture"])
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
    assert shown.max() > 200
    assert np.ptp(shown) > 150
