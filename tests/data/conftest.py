"""Tiny images on disk, and a cache of their own for every test of this room."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.types import ImageSpec

REAL_DATA = os.environ.get("HEADSTART_DATA", "")
SpecMaker = Callable[..., ImageSpec]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HEADSTART_CACHE", str(folder))
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    return folder


@pytest.fixture
def real_data() -> str:
    """Return where HEADSTART_DATA pointed before the tests hid it."""
    return REAL_DATA


@pytest.fixture
def spec() -> SpecMaker:
    def make(size: int = 16, channels: int = 3, interpolation: str = "bilinear") -> ImageSpec:
        stats = (0.5,) * channels
        return ImageSpec(size, channels, stats, stats, interpolation, size, channels)  # type: ignore[arg-type]

    return make


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """Return encoded bytes of an array or a Pillow image."""

    def make(image: np.ndarray | Image.Image, format: str = "PNG", **options: object) -> bytes:
        stream = io.BytesIO()
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image)
        image.save(stream, format, **options)
        return stream.getvalue()

    return make


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """Return a folder of random JPEGs, ``photos(cat=10, dog=8)``; ``below`` is a split folder."""

    def make(root: str = "photos", below: str = "", **counts: int) -> Path:
        rng = np.random.default_rng(sum(map(ord, below)) + 1)
        folder = tmp_path / root / below
        for label, number in counts.items():
            (folder / label).mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(0, 256, (20, 24, 3), np.uint8)
                Image.fromarray(pixels).save(folder / label / f"{i:03d}.jpg")
        return tmp_path / root

    return make
