"""Images with captions: a pair of encoders on CIFAR-10 and flowers, captions made by rule.

No set of images that people have captioned is at hand. So each image gets two captions that are
made of its class and of two measured colours, in templates that are drawn: "a small picture of a
blue ship", "one ship, the rim is grey". They prove the path from files to recall, and say nothing
of how well captions of people would be found.

    HEADSTART_DATA=... python benchmarks/captions.py cifar10 --budget 10m --out captions.json

Figures are those of the run folder: test, and ``before_after`` (a random order, the start as it
is).
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import headstart as hs

START = "pip/efficientnet-lite0+pip/all-minilm-l6-v2"
COLOURS = {
    "black": (20, 20, 20),
    "grey": (125, 125, 125),
    "white": (235, 235, 235),
    "red": (180, 50, 45),
    "brown": (115, 80, 50),
    "yellow": (215, 190, 70),
    "green": (75, 120, 60),
    "blue": (70, 110, 185),
    "pink": (205, 130, 165),
}
OF_MIDDLE = ("a small picture of a {colour} {what}", "there is a {what} here, it looks {colour}")
OF_RIM = ("one {what}, the rim is {colour}", "a {what} before a {colour} background")
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def nearest(pixels: np.ndarray) -> str:
    """Return the name of the colour that the mean of pixels (…, 3) is nearest to."""
    mean = pixels.reshape(-1, 3).mean(axis=0)
    return min(COLOURS, key=lambda name: float(((mean - np.array(COLOURS[name])) ** 2).sum()))


def captions_of(pixels: np.ndarray, what: str, draw: np.random.Generator) -> list[str]:
    """Return two captions of an image (H, W, 3): of its middle, and of its rim."""
    quarter = len(pixels) // 4
    middle = pixels[quarter:-quarter, quarter:-quarter]
    is_rim = np.ones(pixels.shape[:2], bool)
    is_rim[quarter // 2 : -quarter // 2, quarter // 2 : -quarter // 2] = False
    colours = nearest(middle), nearest(pixels[is_rim])
    forms = (str(draw.choice(each)) for each in (OF_MIDDLE, OF_RIM))
    return [form.format(what=what, colour=c) for form, c in zip(forms, colours, strict=True)]


def write(name: str, num: int, num_captions: int, folder: Path) -> None:
    """Write images and ``captions.txt``, as Flickr8k has them."""
    data = Path(os.environ["HEADSTART_DATA"]) / name
    frame = pd.read_parquet(data / "train.parquet").sample(num, random_state=0)
    told = "label" if name == "cifar10" else "class"
    draw = np.random.default_rng(0)
    with open(folder / "captions.txt", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "caption"))
        for number, (image, label) in enumerate(zip(frame["image"], frame[told], strict=True)):
            content = image["bytes"] if isinstance(image, dict) else image
            pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            what = CLASSES[int(label)] if name == "cifar10" else label
            file_name = f"{number:05d}.png"
            Image.fromarray(pixels).save(folder / file_name)
            for caption in captions_of(pixels, what, draw)[:num_captions]:
                rows.writerow((file_name, caption))


def one_run(folder: Path, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Fine-tune once; return the figures."""
    began = time.monotonic()
    data = hs.load(folder, seed=seed)
    run = hs.finetune(
        data,
        start=given.start,
        input_size=given.size,
        budget=given.budget,
        strategy=given.strategy,
        seed=seed,
        out=str(folder / f"run-{seed}"),
        quiet=True,
    )
    metrics = run.metrics
    texts = {text for one in data.test.targets for text in one.texts}
    return {
        "seed": seed,
        "num_train": len(data.train),
        "num_test": len(data.test),
        "different_texts_of_test": len(texts),
        "figures": metrics["test"]["figures"],
        "before_after": metrics["before_after"],
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=("cifar10", "flowers5"))
    parser.add_argument("--images", type=int, default=3_000)
    parser.add_argument("--captions", type=int, choices=(1, 2), default=2)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--start", default=START)
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(given.set, given.images, given.captions, folder)
        found = [one_run(folder, seed, given) for seed in range(given.seeds)]
    told = json.dumps(found, indent=1)
    print(told)
    if given.out:
        Path(given.out).write_text(told)


if __name__ == "__main__":
    main()
