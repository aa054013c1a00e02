"""Image files that break off are known when data are loaded, not when test is read at the end."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import DataError
from headstart.preprocessing.image_files import seems_whole

KINDS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP"}


def write(folder: Path, suffix: str, number: int = 40) -> Path:
    """Write noisy pictures of two classes."""
    draw = np.random.default_rng(0)
    for i in range(number):
        place = folder / ("dark", "light")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 100, (40, 40, 3), np.uint8) + np.uint8(120 * (i % 2))
        Image.fromarray(pixels).save(place / f"{i}.{suffix}")
    return folder


def cut(path: Path, share: float = 0.6) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


@pytest.mark.parametrize("suffix", KINDS)
def test_files_that_break_off_are_refused_at_once_with_the_option(tmp_path, suffix, heard):
    folder = write(tmp_path / suffix, suffix)
    for name in ("dark/0", "light/1", "dark/2"):
        cut(folder / f"{name}.{suffix}")
    with pytest.raises(
        DataError, match=r"3 of 40 images .* allow more with --max-bad-fraction"
    ) as no:
        hs.load(str(folder))
    data = hs.load(str(folder), max_bad_fraction=0.1)
    assert sorted(bad.name for bad in data.bad_samples) == [
        f"dark/0.{suffix}",
        f"dark/2.{suffix}",
        f"light/1.{suffix}",
    ]
    assert len(data.train) + len(data.val) + len(data.test) == 37
    heard(no.value)


def test_what_follows_a_whole_file_does_no_harm(tmp_path):
    folder = write(tmp_path / "photos", "jpg")
    path = folder / "dark" / "0.jpg"
    path.write_bytes(path.read_bytes() + b"\0" * 4096)  # a camera's own notes, say
    assert not seems_whole(path.read_bytes())  # so it is decoded, and found to be whole
    assert not hs.load(str(folder)).bad_samples


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_whole_file_of_each_kind_is_seen_to_be(kind):
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(file, kind)
    assert seems_whole(file.getvalue())
    assert not seems_whole(file.getvalue()[: len(file.getvalue()) // 2])
