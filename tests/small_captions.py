"""Small images with captions, and a pair of small encoders that has learned from them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from PIL import Image

import headstart as hs

PAIR = "scratch/simple-cnn+scratch/bert-tiny"
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 190, 40),
    "blue": (30, 40, 220),
    "yellow": (230, 215, 20),
    "white": (245, 245, 245),
    "black": (8, 8, 8),
}
SIZE = 16


def pictures(num: int) -> list[tuple[np.ndarray, tuple[str, str]]]:
    """Return images, each one colour above another, with two captions that say which."""
    draw = np.random.default_rng(0)
    found = []
    pairs = itertools.cycle(itertools.permutations(COLOURS, 2))
    for above, below in itertools.islice(pairs, num):
        pixels = np.empty((SIZE, SIZE, 3))
        cut = int(draw.integers(6, 11))
        pixels[:cut], pixels[cut:] = COLOURS[above], COLOURS[below]
        pixels += draw.normal(0, 9, pixels.shape)
        captions = (f"{above} above {below}", f"below is {below} and above it {above}")
        found.append((pixels.clip(0, 255).astype(np.uint8), captions))
    return found


def write_pictures(folder: Path, num: int = 60) -> list[tuple[str, str]]:
    """Write images; return rows of file name and caption."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (pixels, captions) in enumerate(pictures(num)):
        name = f"{number:03d}.png"
        Image.fromarray(pixels).save(folder / name)
        rows += [(name, caption) for caption in captions]
    return rows


def write_flickr(folder: Path, num: int = 60) -> Path:
    """Write a folder as Flickr8k's: images, and ``captions.txt``."""
    rows = write_pictures(folder / "Images", num)
    lines = ["image,caption", *(",".join(row) for row in rows)]
    (folder / "captions.txt").write_text("\n".join(lines) + "\n")
    return folder


def pair_run(folder: Path, **said: object) -> hs.Run:
    """Fine-tune a small pair."""
    data = write_flickr(folder / "pictures")
    given = {"start": PAIR, "num_steps": 30, "batch_size": 24, "learning_rate": 2e-3} | said
    return hs.finetune(str(data), out=str(folder / "run"), device="cpu", quiet=True, **given)
