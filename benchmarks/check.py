"""What ``check`` finds of near copies: planted and real ones, false alarms, cost, and its growth.

    HEADSTART_DATA=... python benchmarks/check.py planted-images cifar10 mnist
    HEADSTART_DATA=... python benchmarks/check.py planted-texts rows growth libraries

Each part prints its figures; shares come with their 95 % interval (Wilson). Seeds are fixed.

- ``planted-images``: 200 images of flowers5 and of CIFAR-10 (8,000 of them), changed in each of 17
  ways, are put beside the training images; how many are found with their original. False alarms are
  images of the untouched set that are called a near copy of another one: among them real ones.
- ``cifar10``: test images that train holds nearly. ``--known`` takes the list of Barz and Denzler
  (``meta/duplicates_cifar10.csv`` of github.com/cvjena/cifair), ``--page`` writes 50 pairs.
- ``mnist``: the same for digits, of which no two are copies.
- ``planted-texts``: 300 texts each of SST-2, TREC, SMS and ChnSentiCorp, edited in six ways.
- ``growth``: CPU seconds from 1,000 to 10**6 texts and rows, to 60,000 images, and the slope of
  their logarithms.
- ``libraries``: ImageHash and datasketch at the same work.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import resource
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageOps

import headstart as hs
from headstart.auditing import near_images, shingles, windows
from headstart.auditing.audit import AuditTools
from headstart.auditing.near_pairs import Everyone
from headstart.auditing.near_rows import near_rows
from headstart.auditing.near_texts import text_pairs
from headstart.auditing.pictures import Pictures, read_pictures

NUM_IMAGES, NUM_TEXTS = 200, 300
Change = Callable[[Image.Image], Image.Image]


class Held:
    """Samples that are a list."""

    def __init__(self, samples: list[Any]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, index: int) -> Any:
        """Return one of them."""
        return self.samples[index]

    def name(self, index: int) -> str:
        """Return its number."""
        return str(index)


def interval(hits: int, number: int) -> str:
    """Return a share with its 95 % interval."""
    z, p = 1.96, hits / number
    centre = (p + z * z / (2 * number)) / (1 + z * z / number)
    half = z / (1 + z * z / number) * math.sqrt(p * (1 - p) / number + z * z / (4 * number**2))
    return f"{p:.4f} [{max(0, centre - half):.4f}, {min(1, centre + half):.4f}]"


def measured(compute: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what a call returns, its seconds by the clock and its CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = compute()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def changes(draw: np.random.Generator) -> dict[str, Change]:
    """Return ways to make a near copy of an image."""

    def cut(image: Image.Image, most: float) -> Image.Image:
        left, top, right, bottom = draw.uniform(0, most, 4)
        width, height = image.size
        box = left * width, top * height, width - right * width, height - bottom * height
        return image.crop(tuple(round(x) for x in box))

    def centre(image: Image.Image, share: float) -> Image.Image:
        x, y = round(share * image.width), round(share * image.height)
        return image.crop((x, y, image.width - x, image.height - y))

    def jpeg(image: Image.Image, quality: int) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    def scaled(image: Image.Image, factor: float) -> Image.Image:
        size = round(image.width * factor), round(image.height * factor)
        return image.resize(size, Image.Resampling.BICUBIC)

    def padded(image: Image.Image, share: float, colour: str) -> Image.Image:
        border = round(share * image.width), round(share * image.height)
        return ImageOps.expand(image, border, colour)

    return {
        "resized to 50 %": lambda image: scaled(image, 0.5),
        "resized to 150 %": lambda image: scaled(image, 1.5),
        "stretched 130 x 90 %": lambda image: image.resize(
            (round(1.3 * image.width), round(0.9 * image.height))
        ),
        "mirrored": ImageOps.mirror,
        "JPEG, quality 40": lambda image: jpeg(image, 40),
        "cropped, 0-5 % a side": lambda image: cut(image, 0.05),
        "cropped, 0-10 % a side": lambda image: cut(image, 0.10),
        "cropped, 0-15 % a side": lambda image: cut(image, 0.15),
        "cropped, 10 % every side": lambda image: centre(image, 0.10),
        "cropped, 15 % every side": lambda image: centre(image, 0.15),
        "brightness + 20 %": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
        "brightness - 20 %": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        "contrast + 30 %": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
        "padded black, 10 %": lambda image: padded(image, 0.10, "black"),
        "padded white, 5 %": lambda image: padded(image, 0.05, "white"),
        "made grey": lambda image: image.convert("L"),
        "cropped, mirrored, JPEG": lambda image: jpeg(ImageOps.mirror(cut(image, 0.1)), 60),
    }


def image_pairs(pictures: Pictures, number: int) -> tuple[np.ndarray, float]:
    """Return pairs of near copies among pictures, (P, 2), and how wrong a copy may be there."""
    pairs, allowed = near_images.image_pairs(pictures, number)
    return np.column_stack([pairs.first, pairs.second]), allowed


def planted_images(said: argparse.Namespace) -> None:
    """Print the recall of each change, and what is called a copy without one."""
    for name, most in (("flowers5", 10**6), ("cifar10", 8_000)):
        if name not in said.sets:
            continue
        split = hs.load(name).train
        raw = [split.samples.read(i) for i in range(min(most, len(split)))]
        base, number = read_pictures(Held(raw)), len(raw)
        pairs, _ = image_pairs(base, number)
        alarms = len(np.unique(pairs))
        print(f"{name}: untouched, {alarms} of {number} images have a near copy: ", end="")
        print(interval(alarms, number))
        draw = np.random.default_rng(1)
        chosen = draw.permutation(number)[:NUM_IMAGES]
        originals = [_opened(raw[i]).convert("RGB") for i in chosen]
        known = {tuple(pair) for pair in pairs.tolist()}
        for change, make in changes(draw).items():
            made = read_pictures(Held([_array(make(image)) for image in originals]))
            together = Pictures(
                np.concatenate([base.pixels, made.pixels]),
                np.concatenate([base.owners, made.owners + number]),
                np.concatenate([base.is_plain, made.is_plain]),
            )
            found, _ = image_pairs(together, number + NUM_IMAGES)
            ends = [tuple(sorted(pair)) for pair in found.tolist() if max(pair) >= number]
            hits = {b for a, b in ends if a < number and chosen[b - number] == a}
            others = {
                b
                for a, b in ends
                if a < number
                and chosen[b - number] != a
                and tuple(sorted((a, int(chosen[b - number])))) not in known
            }
            told = f"{interval(len(hits), NUM_IMAGES)}  others {len(others)}"
            print(f"  {change:26} {told}", flush=True)


def _opened(sample: Any) -> Image.Image:
    return (
        Image.fromarray(sample)
        if isinstance(sample, np.ndarray)
        else Image.open(io.BytesIO(sample))
    )


def _array(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def real_images(name: str, said: argparse.Namespace) -> None:
    """Print what is found in a whole set, and what it costs."""
    dataset = hs.load(name)
    found, wall, cpu = measured(lambda: near_images.near_images(dataset, AuditTools()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    parts = ", ".join(f"{len(dataset.split(s)):,} {s}" for s in ("train", "val", "test"))
    print(f"{name} ({parts}): {wall:.0f} s by the clock, {cpu:.0f} CPU s, peak {peak:.2f} GB")
    for each in found:
        print(f"  [{each.finding.severity}] {each.finding.kind}: {each.finding.sentence}")
    test, near = len(dataset.test), set()
    partners: dict[int, Any] = {}
    for each in found:
        for suspect in each.suspects if each.finding.kind == "leak" else ():
            if suspect.spot.split == "test":  # near train, or near val, which was drawn from train
                near.add(suspect.spot.index)
                partners[suspect.spot.index] = suspect
    print(f"  test images with a near copy in train or val: {interval(len(near), test)}")
    if said.known and name == "cifar10":
        with open(said.known) as file:
            rows = list(csv.DictReader(file))
        for judged, what in (("0", "exact"), ("1", "near"), ("2", "very similar")):
            ids = {int(row["TestID"]) for row in rows if row["Judgment"] == judged}
            if ids:
                print(f"  known as {what}: {len(ids & near)} of {len(ids)} found")
        listed = {int(row["TestID"]) for row in rows}
        print(f"  found and not known: {len(near - listed)}")
        near -= listed
    if said.page:
        _write_page(dataset, [partners[i] for i in sorted(near)], Path(said.page))


def _write_page(dataset: Any, suspects: list[Any], path: Path) -> None:
    draw = np.random.default_rng(0)
    chosen = [suspects[i] for i in draw.permutation(len(suspects))[:50]]
    page = Image.new("RGB", (10 * 140, 5 * 76), "white")
    for number, suspect in enumerate(chosen):
        for side, spot in enumerate((suspect.spot, suspect.beside)):
            image = _opened(dataset.split(spot.split).samples.read(spot.index)).convert("RGB")
            at = (number % 10 * 140 + side * 66, number // 10 * 76)
            page.paste(image.resize((64, 64)), at)
    page.save(path)


def edits(draw: np.random.Generator, is_chinese: bool) -> dict[str, Callable[[str, str], str]]:
    """Return ways to make a near copy of a text; each takes it and a word of another."""
    blank = "" if is_chinese else " "

    def units(text: str) -> list[str]:
        return list(text) if is_chinese else text.split()

    def changed(text: str, word: str) -> str:
        words = units(text)
        for place in draw.permutation(len(words))[: max(1, len(words) // 10)]:
            words[place] = word[:1] if is_chinese else word
        return blank.join(words)

    def cut(text: str, word: str) -> str:
        words = units(text)
        return blank.join(words[: math.ceil(0.6 * len(words))])

    marks = "！。" if is_chinese else " ... !"
    signature = "——来自我的手机" if is_chinese else " -- sent from my phone"
    return {
        "a word in ten changed": changed,
        "the first 60 %": cut,
        "upper case and marks": lambda text, word: text.upper() + marks,
        "marks left out": lambda text, word: "".join(c for c in text if c.isalnum() or c == " "),
        "signature appended": lambda text, word: text + signature,
        "address appended": lambda text, word: text + " https://example.org/x?id=7",
    }


def text_sets() -> dict[str, list[str]]:
    """Return real texts by name."""
    folder = Path(os.environ["HEADSTART_DATA"]) / "text"
    sst2 = [
        pd.read_csv(folder / f"sst2/{n}.tsv", sep="\t", header=None, quoting=3)
        for n in ("train", "dev", "test")
    ]
    trec = [
        pd.read_csv(folder / f"trec-qc/{n}.csv", header=None, skiprows=1) for n in ("train", "test")
    ]
    sms = pd.read_csv(folder / "sms-spam/SMSSpamCollection", sep="\t", header=None, quoting=3)
    chn = pd.read_csv(folder / "chnsenticorp/ChnSentiCorp_htl_all.csv.gz").dropna()
    return {
        "SST-2": [text for part in sst2 for text in part[0]],
        "TREC": [text for part in trec for text in part[2]],
        "SMS": list(sms[1]),
        "ChnSentiCorp": list(chn["review"]),
    }


def planted_texts(said: argparse.Namespace) -> None:
    """Print the recall of each edit on texts of at least ten words, and what is found without."""
    for name, texts in text_sets().items():
        texts = list(dict.fromkeys(texts))
        is_chinese = name == "ChnSentiCorp"
        pairs = text_pairs(texts)
        without = {
            frozenset(p) for p in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
        }
        alarms = {i for pair in without for i in pair}
        print(f"{name}: {len(alarms)} of {len(texts)} different texts have a near copy: ", end="")
        print(interval(len(alarms), len(texts)))
        draw = np.random.default_rng(2)
        long = [
            i
            for i, t in enumerate(texts)
            if (len(t) if is_chinese else len(t.split())) >= (20 if is_chinese else 10)
        ]
        chosen = draw.permutation(long)[:NUM_TEXTS].tolist()
        for edit, make in edits(draw, is_chinese).items():
            words = [texts[draw.integers(len(texts))].split()[0] for _ in chosen]
            made = [make(texts[i], word) for i, word in zip(chosen, words, strict=True)]
            found = text_pairs([*texts, *made])
            hits, others = set(), set()
            for pair in zip(found.first.tolist(), found.second.tolist(), strict=True):
                a, b = sorted(pair)
                if b >= len(texts) > a:
                    original = chosen[b - len(texts)]
                    if a == original:
                        hits.add(b)
                    elif frozenset((a, original)) not in without:
                        others.add(b)
            told = f"{interval(len(hits), len(chosen))}  others {len(others)}"
            print(f"  {edit:26} {told}", flush=True)


def rows(said: argparse.Namespace) -> None:
    """Print what is found in real tables."""
    folder = Path(os.environ["HEADSTART_DATA"]) / "tabular"
    adult = [
        pd.read_csv(folder / f"adult-{n}.csv.gz", header=None, sep=", ", engine="python").assign(
            split=n
        )
        for n in ("train", "test")
    ]
    adult = pd.concat(adult).rename(columns=str)
    adult["14"] = adult["14"].str.rstrip(".")
    wine = pd.read_csv(folder / "winequality-red.csv", header=None).rename(columns=str)
    tables = {
        "Adult": (adult, "14"),
        "California": (pd.read_csv(folder / "california_housing.csv.gz"), "median_house_value"),
        "Ames": (pd.read_csv(folder / "ames.csv.gz"), "Sale_Price"),
        "red wine": (wine, "11"),
        "Titanic": (pd.read_csv(folder / "titanic_train.csv"), "Survived"),
    }
    for name, (frame, label) in tables.items():
        dataset = hs.load(frame, label=label)
        found, _, cpu = measured(lambda data=dataset: near_rows(data, AuditTools()))
        print(f"{name}: {len(Everyone(dataset)):,} rows, {cpu:.2f} CPU s")
        for each in found:
            print(f"  [{each.finding.severity}] {each.finding.sentence[:110]}")


def growth(said: argparse.Namespace) -> None:
    """Print CPU seconds by the number of samples, and the slope of the line of their logarithms."""
    draw = np.random.default_rng(3)
    vocabulary = np.array([w for text in text_sets()["SST-2"] for w in text.split()])

    def texts(number: int) -> float:
        lengths = draw.integers(6, 19, number)
        words = vocabulary[draw.integers(0, len(vocabulary), int(lengths.sum()))].tolist()
        ends = np.concatenate([[0], np.cumsum(lengths)]).tolist()
        made = [" ".join(words[a:b]) for a, b in pairwise(ends)]
        made[: number // 100] = [text + " again" for text in made[-(number // 100) :]]
        return measured(lambda: text_pairs(made))[2]

    def table(number: int) -> float:
        frame = pd.DataFrame({f"x{i}": draw.normal(size=number) for i in range(8)})
        frame["age"], frame["shop"] = draw.integers(18, 90, number), draw.integers(0, 200, number)
        frame["note"] = [f"order {i}" for i in draw.integers(0, 10**9, number).tolist()]
        frame["label"] = draw.integers(0, 2, number)
        frame.iloc[: number // 100, :5] = frame.iloc[-(number // 100) :, :5].to_numpy()
        dataset = hs.load(frame, label="label")
        return measured(lambda: near_rows(dataset, AuditTools()))[2]

    split = hs.load("cifar10").train

    def images(number: int) -> float:
        some = Held([split.samples.read(i) for i in range(number)])
        return measured(lambda: image_pairs(read_pictures(some), number))[2]

    for name, run, numbers in (
        ("texts", texts, (10**3, 10**4, 10**5, 10**6)),
        ("rows of 11 columns", table, (10**3, 10**4, 10**5, 10**6)),
        ("CIFAR-10 images", images, (10**3, 3000, 10**4, 42_000)),
    ):
        run(500)  # imports
        seconds = [run(number) for number in numbers]
        slope = np.polyfit(np.log(numbers), np.log(seconds), 1)[0]
        shown = ", ".join(f"{n:,}: {s:.2f}" for n, s in zip(numbers, seconds, strict=True))
        print(f"{name}: {shown} CPU s; slope {slope:.2f}", flush=True)


def libraries(said: argparse.Namespace) -> None:
    """Print what ImageHash and datasketch take for the same work, and what they find."""
    import imagehash
    from datasketch import MinHash, MinHashLSH

    split = hs.load("flowers5").train
    images = [_opened(split.samples.read(i)).convert("RGB") for i in range(NUM_IMAGES)]
    for name, compute in (
        ("imagehash.phash", imagehash.phash),
        ("imagehash.crop_resistant_hash", imagehash.crop_resistant_hash),
    ):
        some = images if name.endswith("phash") else images[:20]
        cpu = measured(lambda f=compute, s=some: [f(image) for image in s])[2] / len(some)
        print(f"{name}: {1e3 * cpu:.2f} CPU ms an image")
    made = read_pictures(Held([_array(image) for image in images]))
    cpu = measured(lambda: windows.propose(made.pixels, made.owners))[2] / len(images)
    print(f"16 windows, both ways, and their table: {1e3 * cpu:.2f} CPU ms an image")
    for change, make in changes(np.random.default_rng(1)).items():
        near = sum(
            imagehash.phash(make(i).convert("RGB")) - imagehash.phash(i) <= 8 for i in images
        )
        print(f"  phash within 8 of 64 bits, {change}: {interval(near, len(images))}")
    texts = list(dict.fromkeys(text_sets()["SST-2"]))

    def by_library() -> None:
        index = MinHashLSH(params=(shingles.NUM_BANDS, shingles.ROWS), num_perm=96)
        for number, text in enumerate(texts):
            words = text.split()
            hashed = MinHash(num_perm=96)
            hashed.update_batch([f"{a} {b}".encode() for a, b in pairwise(words)])
            index.query(hashed)
            index.insert(number, hashed)

    for name, run in (("datasketch", by_library), ("headstart", lambda: text_pairs(texts))):
        cpu = measured(run)[2]
        print(f"{name}: {1e6 * cpu / len(texts):.0f} CPU µs a text ({len(texts):,} of SST-2)")


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "planted-images": planted_images,
    "cifar10": lambda said: real_images("cifar10", said),
    "mnist": lambda said: real_images("mnist", said),
    "fashion-mnist": lambda said: real_images("fashion-mnist", said),
    "planted-texts": planted_texts,
    "rows": rows,
    "growth": growth,
    "libraries": libraries,
}


def main() -> None:
    """Run the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--known", help="list of known duplicates of CIFAR-10")
    parser.add_argument("--page", help="PNG of 50 pairs")
    parser.add_argument(
        "--sets", nargs="*", default=["flowers5", "cifar10"], help="of planted ones"
    )
    said = parser.parse_args()
    for part in said.parts:
        print(f"--- {part}", flush=True)
        PARTS[part](said)


if __name__ == "__main__":
    main()
