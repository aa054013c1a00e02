"""Texts and images with columns of their rows, beside each of both alone: frozen starts, one head.

Sets, from the folder that HEADSTART_DATA names (docs/results.md says where each comes from):

    titanic   the passenger's name, and eight columns, Cabin by its letter       -> survived
    sms       the message, and counts of digits, capitals and characters         -> spam
    shopping  a Chinese review, and the kind of goods (4,000 drawn, seed 0)      -> good or bad
    flowers   a photo, and its mean colour and spread (800 drawn, seed 0)        -> one of five

    python benchmarks/beside.py titanic sms shopping --seeds 3 --out beside.json

Each seed draws another split (``hs.load(seed=…)``) and seeds the run; figures are those of the run
folder: ``before_after`` (the text or image alone, the columns alone) and ``left_out``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import headstart as hs
from headstart.evaluation import over_seeds
from headstart.types import Figure

MAIN = "text or image alone: frozen start + linear probe"
ROWS = "columns alone: gradient boosting"


@dataclass(frozen=True)
class Set:
    """A set: its table, how it is read, and from which start."""

    read: Callable[[Path], pd.DataFrame]
    said: dict[str, Any]
    start: str
    options: dict[str, Any]


def titanic(folder: Path) -> pd.DataFrame:
    """Return passengers; of a cabin its deck, of a ticket nothing."""
    frame = pd.read_csv(folder / "tabular" / "titanic_train.csv")
    frame["Cabin"] = frame["Cabin"].str[0]
    return frame.drop(columns=["PassengerId", "Ticket"])


def sms(folder: Path) -> pd.DataFrame:
    """Return messages with what can be counted of them."""
    lines = (folder / "text" / "sms-spam" / "SMSSpamCollection").read_text("utf-8").splitlines()
    rows = [line.split("\t", 1) for line in lines]
    texts = [text for _, text in rows]
    return pd.DataFrame(
        {
            "message": texts,
            "digits": [sum(one.isdigit() for one in text) for text in texts],
            "capitals": [sum(one.isupper() for one in text) for text in texts],
            "characters": [len(text) for text in texts],
            "label": [label for label, _ in rows],
        }
    )


def shopping(folder: Path) -> pd.DataFrame:
    """Return reviews of online shops with the kind of goods."""
    path = folder / "text" / "online-shopping-10" / "online_shopping_10_cats.zip"
    with zipfile.ZipFile(path) as whole:
        name = next(name for name in whole.namelist() if name.endswith(".csv"))
        frame = pd.read_csv(io.BytesIO(whole.read(name))).dropna()
    frame["label"] = frame["label"].map({0: "bad", 1: "good"})
    return frame.sample(4_000, random_state=0).reset_index(drop=True)


def flowers(folder: Path) -> pd.DataFrame:
    """Return photos with their mean colour and how much it varies."""
    parts = [pd.read_parquet(folder / "flowers5" / f"{name}.parquet") for name in ("train", "test")]
    frame = pd.concat(parts).sample(800, random_state=0).reset_index(drop=True)
    files = [io.BytesIO(one["bytes"]) for one in frame["image"]]
    pixels = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    for place, name in enumerate(("red", "green", "blue")):
        frame[name] = [float(one[:, :, place].mean()) for one in pixels]
    frame["spread"] = [float(one.std()) for one in pixels]
    frame["image"] = [one["bytes"] for one in frame["image"]]
    frame["label"] = [str(one) for one in frame["label"]]
    return frame


MINILM = "pip/all-minilm-l6-v2"
SETS = {
    "titanic": Set(titanic, {"text": "Name", "label": "Survived"}, MINILM, {}),
    "sms": Set(sms, {"text": "message"}, "scratch/tfidf", {}),
    "shopping": Set(shopping, {"text": "review", "label": "label"}, "scratch/tfidf", {}),
    "flowers": Set(
        flowers, {"image_column": "image"}, "pip/efficientnet-lite0", {"input_size": 96}
    ),
}


def one_run(name: str, frame: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Return the figures of one split."""
    own, began = SETS[name], time.monotonic()
    data = hs.load(frame, **own.said, beside=["all"], seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        run = hs.finetune(
            data,
            start=own.start,
            strategy="head",
            seed=seed,
            out=str(Path(folder) / "run"),
            device="cpu",
            quiet=True,
            **own.options,
        )
        metrics = run.metrics
    return {
        "seed": seed,
        "num_train": len(data.train),
        "num_items": metrics["test"]["num_items"],
        "joined": metrics["test"]["figures"]["accuracy"],
        "before_after": metrics["before_after"],
        "left_out": metrics["left_out"],
        "seconds": round(time.monotonic() - began, 1),
    }


def told(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the means over seeds, with intervals of seeds and items."""

    def mean(figures: list[dict[str, float]]) -> dict[str, float]:
        return vars(over_seeds([Figure(**one) for one in figures]))

    def differences(key: str, before: str) -> list[dict[str, float]]:
        return [
            one["difference"]
            for run in runs
            for one in run[key]["comparisons"]
            if one["before"] == before
        ]

    ladder = runs[0]["before_after"]["figures"]
    return {
        "joined": mean([run["joined"] for run in runs]),
        "alone": {n: mean([r["before_after"]["figures"][n] for r in runs]) for n in (MAIN, ROWS)},
        "joined minus": {
            n: mean(differences("before_after", n)) for n in ladder if n in (MAIN, ROWS)
        },
        "worth": {
            name: mean(differences("left_out", name))
            for name in runs[0]["left_out"]["figures"]
            if name.startswith("without ")
        },
    }


def main() -> None:
    """Run the sets and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sets", nargs="+", choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    said = parser.parse_args()
    folder, found = Path(os.environ["HEADSTART_DATA"]), dict[str, Any]()
    for name in said.sets:
        frame = SETS[name].read(folder)
        runs = [one_run(name, frame, seed) for seed in range(said.seeds)]
        found[name] = {"start": SETS[name].start, **told(runs), "runs": runs}
        said.out.write_text(json.dumps(found, indent=1))
        print(name, json.dumps(found[name] | {"runs": [one["seconds"] for one in runs]}, indent=1))


if __name__ == "__main__":
    main()
