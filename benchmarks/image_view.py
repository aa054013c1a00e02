"""What a network should see of an image: framings of long pictures, and ranges of deep ones.

flowers5 (5 classes, 128 x 128 pixels) is made long in two ways, and deep in three:

- ``strip R``: the middle strip of each picture, R times as wide as high: the flower fills it;
- ``tiles R``: the picture in a row of R, at a random place, beside R - 1 photos of CIFAR-10: the
  flower may lie anywhere;
- ``deep LOW HIGH``: its grey values brought to LOW … HIGH in files of 16 bits.

A linear probe of EfficientNet-Lite0 at 128 pixels (frozen, so without a seed) on 1,200 training
images, tested on all 886.

    HEADSTART_DATA=data python benchmarks/image_view.py framing ["tiles 3" ...]
    HEADSTART_DATA=data python benchmarks/image_view.py range
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

import headstart as hs

NUM_TRAIN = 1_200
DATA = Path(os.environ["HEADSTART_DATA"])
Made = Callable[[Image.Image, np.random.Generator], Image.Image]


def pictures(split: str) -> list[tuple[Image.Image, str]]:
    """Return flowers with their classes."""
    found = []
    for file in sorted((DATA / "flowers5").glob(f"{split}*.parquet")):
        table = pq.read_table(file)
        for cell, label in zip(table["image"].to_pylist(), table["label"].to_pylist(), strict=True):
            found.append((Image.open(io.BytesIO(cell["bytes"])).convert("RGB"), str(label)))
    return found


def other_photos(num: int) -> list[Image.Image]:
    """Return photos of CIFAR-10, at the size of the flowers."""
    file = sorted((DATA / "cifar10").glob("test*.parquet"))[0]
    cells = pq.read_table(file)["image"].to_pylist()[:num]
    opened = (Image.open(io.BytesIO(cell["bytes"])).convert("RGB") for cell in cells)
    return [image.resize((128, 128), Image.Resampling.BICUBIC) for image in opened]


def strip(ratio: float) -> Made:
    """Return what makes the middle strip of a picture."""
    height = round(128 / ratio)
    top = (128 - height) // 2
    return lambda image, _: image.crop((0, top, 128, top + height))


def tiles(ratio: int, others: list[Image.Image]) -> Made:
    """Return what makes a row of pictures, one of them the flower."""

    def made(image: Image.Image, draw: np.random.Generator) -> Image.Image:
        row = Image.new("RGB", (128 * ratio, 128))
        place = draw.integers(ratio)
        for i in range(ratio):
            row.paste(image if i == place else others[draw.integers(len(others))], (128 * i, 0))
        return row

    return made


def deep(low: int, high: int) -> Made:
    """Return what brings grey values to a range in 16 bits."""

    def made(image: Image.Image, _: np.random.Generator) -> Image.Image:
        grey = np.asarray(image.convert("L"), np.float64) / 255
        return Image.fromarray(np.rint(low + grey * (high - low)).astype(np.uint16))

    return made


def folder(root: Path, made: Made) -> Path:
    """Write a data set of pictures made so."""
    draw = np.random.default_rng(0)
    for split in ("train", "test"):
        chosen = pictures(split)
        if split == "train":
            places = np.random.default_rng(1).permutation(len(chosen))[:NUM_TRAIN]
            chosen = [chosen[i] for i in places]
        for i, (image, label) in enumerate(chosen):
            path = root / split / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            made(image, draw).save(path)
    return root


def accuracy(root: Path, **options: object) -> str:
    """Return the test accuracy of a probe, with its interval."""
    began = time.process_time()
    with tempfile.TemporaryDirectory() as out:
        run = hs.finetune(
            str(root),
            start="pip/efficientnet-lite0",
            strategy="head",
            input_size=128,
            out=f"{out}/run",
            **options,
        )
        figure = run.metrics["test"]["figures"]["accuracy"]
    seconds = time.process_time() - began
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]  {seconds:.0f} CPU s"


def main() -> None:
    """Print one line a form and option."""
    others = other_photos(2_000)
    forms: dict[str, Made]
    options: list[dict[str, object]]
    if sys.argv[1] == "framing":
        forms = {f"strip {r:.3g}": strip(r) for r in (4 / 3, 1.6, 2.0, 3.0)}
        forms |= {f"tiles {r}": tiles(r, others) for r in (2, 3, 5)}
        options = [{"framing": each} for each in ("crop", "pad", "squash")]
    else:
        forms = {"8 bits": deep(0, 255)}
        ranges = ((0, 65535), (0, 4095), (100, 900), (1000, 1100), (20000, 20400))
        forms |= {f"deep {low} {high}": deep(low, high) for low, high in ranges}
        options = [{}, {"value_range": (0, 65535)}]
    for name, made in forms.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            root = folder(Path(scratch) / "data", made)
            for each in options:
                shutil.rmtree(os.environ["HEADSTART_CACHE"], ignore_errors=True)
                print(f"{name:14} {each!s:32} {accuracy(root, **each)}", flush=True)


if __name__ == "__main__":
    main()
