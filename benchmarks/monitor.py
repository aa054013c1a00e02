"""What ``headstart monitor`` finds, and what it finds where nothing is, on real data.

Four runs are made and exported: flowers with EfficientNet-Lite0, movie sentences with MiniLM,
Chinese hotel reviews with TF-IDF, and incomes with boosted trees. Windows of 500 samples that
neither training nor the reference has seen are drawn from what each data set holds apart: 200 as
they are, and 40 of each kind of drift. Told is the share of windows in which drift is found, the
share of windows after which there is an alarm (two of three), and the accuracy that is estimated
without labels beside the true one.

    python benchmarks/monitor.py [--only flowers sentences hotels incomes] [--samples 500]
        [--windows 200 40] [--json FILE]

The data is looked for in HEADSTART_DATA. About 6 minutes on one core.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter
from timing import markdown_table, processor_name

import headstart as hs
from headstart.bundles import Bundle, open_bundle
from headstart.monitoring import is_alarm, judge, read_reference
from headstart.monitoring.answers import answers_of
from headstart.monitoring.building import AnsweredRows
from headstart.monitoring.embeddings import embedded

DATA = Path(os.environ.get("HEADSTART_DATA", "data"))
AT_ONCE = 64
INCOME = ["age", "work", "weight", "education", "years", "marital", "job", "relation", "race"]
INCOME += ["sex", "gain", "loss", "hours", "country", "label"]
Case = tuple[str, Any, np.ndarray]  # what it is called, samples, labels


def flowers(folder: Path) -> tuple[hs.Run, Iterator[Case]]:
    """Photos of flowers, and the same as other cameras would have taken them."""
    test = pd.read_parquet(DATA / "flowers5" / "test.parquet")
    train = pd.read_parquet(DATA / "flowers5" / "train.parquet")
    train.sample(2000, random_state=0).to_parquet(folder / "train.parquet")
    data = hs.load(str(folder / "train.parquet"), label="label")
    run = _tuned(data, "pip/efficientnet-lite0", folder)
    pictures = [Image.open(io.BytesIO(one["bytes"])).convert("RGB") for one in test["image"]]
    labels = test["class"].to_numpy()  # as the run calls them: names stand beside the numbers

    def changed(how: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
        draw = [np.asarray(one, np.float32) for one in pictures]
        return [np.clip(how(one), 0, 255).astype(np.uint8) for one in draw]

    def blurred(radius: float) -> list[np.ndarray]:
        return [np.asarray(one.filter(ImageFilter.GaussianBlur(radius))) for one in pictures]

    def cases() -> Iterator[Case]:
        noise = np.random.default_rng(0)
        yield "as they are", changed(lambda one: one), labels
        yield "blur, radius 1", blurred(1), labels
        yield "blur, radius 2", blurred(2), labels
        grainy = changed(lambda one: one + noise.normal(0, 15, one.shape))
        yield "noise, sigma 15 of 255", grainy, labels
        gains = np.array([1.15, 1.0, 0.85], np.float32)
        yield "warmer white balance", changed(lambda one: one * gains), labels
        yield "gamma 1.4", changed(lambda one: 255 * (one / 255) ** 1.4), labels

    return run, cases()


def sentences(folder: Path) -> tuple[hs.Run, Iterator[Case]]:
    """Sentences of movie reviews, and those of other places."""
    parts = {
        name: pd.read_csv(
            DATA / "text" / "sst2" / f"{name}.tsv", sep="\t", names=["text", "label"], quoting=3
        )
        for name in ("train", "test")
    }
    parts["train"].to_csv(folder / "train.csv", index=False)
    run = _tuned(hs.load(str(folder / "train.csv"), label="label"), "pip/all-minilm-l6-v2", folder)
    own = parts["test"]["text"].tolist()
    labels = parts["test"]["label"].astype(str).to_numpy()
    imdb = pd.read_parquet(next((DATA / "text" / "imdb-10k").glob("*test*.parquet")))
    imdb = imdb.sample(800, random_state=0)
    starts = [" ".join(text.split()[:20]) for text in imdb["text"]]
    lines = (DATA / "text" / "sms-spam").glob("*")
    sms = next(one for one in lines if one.is_file()).read_text(errors="replace").splitlines()
    messages = [line.split("\t")[-1] for line in sms if "\t" in line][:800]

    def cases() -> Iterator[Case]:
        yield "as they are", own, labels
        yield "beginnings of long reviews of movies", starts, imdb["label"].astype(str).to_numpy()
        yield "text messages", messages, np.full(len(messages), "")
        mixed = [*own[:1200], *messages[:300]]
        yield "one in five a text message", mixed, np.full(len(mixed), "")

    return run, cases()


def hotels(folder: Path) -> tuple[hs.Run, Iterator[Case]]:
    """Chinese reviews of hotels, and those of other goods."""
    (path,) = (DATA / "text" / "online-shopping-10").glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".csv")]
        every = pd.read_csv(archive.open(name)).dropna()
    every = every.sample(len(every), random_state=0)
    of = {str(kind): part for kind, part in every.groupby("cat")}
    own = of["酒店"]
    own.iloc[:6000][["review", "label"]].to_csv(folder / "train.csv", index=False)
    run = _tuned(hs.load(str(folder / "train.csv"), label="label"), "scratch/tfidf", folder)

    def of_part(part: pd.DataFrame) -> tuple[list[str], np.ndarray]:
        return part["review"].tolist(), part["label"].astype(str).to_numpy()

    def cases() -> Iterator[Case]:
        yield "as they are", *of_part(own.iloc[6000:])
        for kind, told in (("书籍", "books"), ("平板", "tablets"), ("水果", "fruit")):
            yield f"reviews of {told}", *of_part(of[kind].iloc[:1500])
        mixed = pd.concat([own.iloc[6000:7200], of["平板"].iloc[:300]])
        yield "one in five of tablets", *of_part(mixed)
        left = own.iloc[6000:]
        poor, good = left[left["label"] == 0], left[left["label"] == 1]
        worse = pd.concat([poor, good[: len(poor) // 2]])
        yield "two thirds of them bad, half before", *of_part(worse)

    return run, cases()


def incomes(folder: Path) -> tuple[hs.Run, Iterator[Case]]:
    """Rows of a census, and the same with a column that has changed."""
    tables = {}
    for side in ("train", "test"):
        with gzip.open(DATA / "tabular" / f"adult-{side}.csv.gz", "rt") as file:
            lines = [line for line in file if line.count(",") == len(INCOME) - 1]
        table = pd.read_csv(
            io.StringIO("".join(lines)), names=INCOME, skipinitialspace=True, na_values="?"
        )
        tables[side] = table.assign(label=table["label"].str.rstrip("."))
    tables["train"].iloc[:12_000].to_csv(folder / "train.csv", index=False)
    data = hs.load(str(folder / "train.csv"), label="label")
    run = _tuned(data, "scratch/boosting", folder)
    test = tables["test"].iloc[:6000]
    labels = test["label"].to_numpy()
    rows = test.drop(columns="label")
    draw = np.random.default_rng(0)

    def some(share: float) -> np.ndarray:
        return draw.random(len(rows)) < share

    def cases() -> Iterator[Case]:
        yield "as they are", rows, labels
        yield "age: 4 years more", rows.assign(age=rows["age"] + 4), labels
        yield "hours: a tenth more", rows.assign(hours=(rows["hours"] * 1.1).round()), labels
        lost = rows["education"].where(~some(0.1))
        yield "education: missing in a tenth", rows.assign(education=lost), labels
        new = rows["job"].where(~some(0.05), "Remote-work")
        yield "job: a new category in 5 %", rows.assign(job=new), labels
        shuffled = rows["years"].to_numpy()[draw.permutation(len(rows))]
        yield "years: of other rows", rows.assign(years=shuffled), labels

    return run, cases()


SETS = {"flowers": flowers, "sentences": sentences, "hotels": hotels, "incomes": incomes}


def _tuned(data: Any, start: str, folder: Path) -> hs.Run:
    strategy = {} if start.startswith("scratch/") else {"strategy": "head"}
    return hs.finetune(data, start=start, out=str(folder / "run"), device="cpu", **strategy)


def answered(bundle: Bundle, samples: Any, bins: Any) -> tuple[AnsweredRows, np.ndarray]:
    """Return samples answered one by one, and which class each was given."""
    inputs = bundle.read(samples)
    outputs, points = [], []
    for start in range(0, len(inputs[0]), AT_ONCE):
        arrays = bundle.arrays(inputs, np.arange(start, min(len(inputs[0]), start + AT_ONCE)))
        features: list[np.ndarray] = []
        outputs.append(bundle.outputs(bundle.run(arrays, features)))
        points.append(embedded(bundle, arrays[0], features[0] if features else None))
    whole = np.concatenate(outputs)
    places = None if bins is None else bins.bins(inputs[0])
    answers = answers_of(bundle.task, whole)
    rows = AnsweredRows(answers, True, np.concatenate(points), bins, places)  # type: ignore[arg-type]
    return rows, np.array(bundle.schema.classes)[whole.argmax(axis=1)]


def measured(name: str, folder: Path, size: int, num: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """Yield what is found of each case of a data set; num windows without and with drift."""
    run, cases = SETS[name](folder)
    bundle = open_bundle(hs.export(str(run.path), to="onnx", out=str(folder / name)))
    reference = read_reference(bundle.path)
    assert reference is not None
    for place, (case, samples, labels) in enumerate(cases):
        rows, told = answered(bundle, samples, reference.bins)
        draw = np.random.default_rng(place)
        windows = []
        for _ in range(num[place > 0]):
            chosen = draw.permutation(len(labels))[:size]
            windows.append(judge(reference, rows.seen(chosen), bundle.schema.classes))
        states = [one["state"] for one in windows]
        is_told = np.isin(labels, bundle.schema.classes)
        likely = [one["accuracy"]["estimate"]["value"] for one in windows]
        by = {
            detector: np.mean([one["detectors"][detector]["is_drift"] for one in windows])
            for detector in windows[0]["detectors"]
        }
        yield {
            "set": name,
            "case": case,
            "pool": len(labels),
            "windows": len(windows),
            "drift": float(np.mean([state == "drift" for state in states])),
            "alarm": float(np.mean([is_alarm(states[: at + 1]) for at in range(2, len(states))])),
            "by": {detector: float(share) for detector, share in by.items()},
            "estimated": float(np.mean(likely)),
            "true": float((told == labels)[is_told].mean()) if is_told.any() else None,
        }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--windows", type=int, nargs=2, default=(200, 40))
    parser.add_argument("--json", type=Path)
    said = parser.parse_args()
    print(f"{processor_name()}, one thread")
    found = []
    for name in said.only:
        with tempfile.TemporaryDirectory() as folder:
            for one in measured(name, Path(folder), said.samples, tuple(said.windows)):
                found.append(one)
                print(one, flush=True)
    heads = ["set", "case", "windows", "drift found", "alarm", "by", "estimated", "true"]
    print(markdown_table(heads, [_row(one) for one in found]))
    if said.json:
        said.json.write_text(json.dumps(found, indent=1, default=float))


def _row(one: dict[str, Any]) -> list[str]:
    by = ", ".join(f"{name} {100 * share:.0f}" for name, share in one["by"].items())
    true = "-" if one["true"] is None else f"{one['true']:.3f}"
    shares = [f"{100 * one[key]:.1f} %" for key in ("drift", "alarm")]
    return [
        one["set"],
        one["case"],
        str(one["windows"]),
        *shares,
        by,
        f"{one['estimated']:.3f}",
        true,
    ]


if __name__ == "__main__":
    main()
