"""Learn the language of a task's own texts first: does a fine-tuning gain by it?

    python benchmarks/self_pretraining.py pretrain sst2 --out WORK --epochs 15
    python benchmarks/self_pretraining.py finetune sst2 --out WORK --labels 1000 --seeds 0 1 2 3 4
    … pretrain sst2 --out WORK --start pip/all-minilm-l6-v2 --epochs 2
    … finetune sst2 --out WORK --start pip/all-minilm-l6-v2 --labels 500 --strategy lp-ft
    … compare sst2 --out WORK --labels 1000
    … table

Data: ``HEADSTART_DATA`` (SST-2 with its own splits, ChnSentiCorp, IMDb-10k). ``pretrain`` learns
hidden words of the texts of train alone, from random weights or on from ``--start``; val and test
are never shown. Interrupted, it goes on with the same command. ``finetune`` tunes that start as it
was and the one made of it on the same labels with the same seeds, epochs and recipe; TF-IDF with a
linear model learns from the same. Each seed draws its own ``--labels`` of train (0: all), the same
for every side. Rows are kept in ``benchmarks/data/self_pretraining.csv`` (``--rows``); what stands
there is not run again, and ``--most-seconds`` ends the command between two runs. Figures are
accuracies on the test split; differences are paired by seed, with a 95 % interval by Student's t.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
from scipy import stats

import headstart as hs

DATA = Path(os.environ.get("HEADSTART_DATA", ".")) / "text"
SCRATCH, PUBLIC, CONTROL = "scratch/bert-tiny", "pip/all-minilm-l6-v2", "TF-IDF + linear"
ROWS = Path(__file__).parent / "data" / "self_pretraining.csv"
# what makes a row another one, and then what was measured
KEYS = ("data", "start", "own", "labels", "length", "strategy", "rate", "epochs", "test_items")
KEYS += ("seed",)
FOUND = (
    "learned_epochs",
    "learned_steps",
    "learned_loss",
    "accuracy",
    "control",
    "val_accuracy",
    "num_test",
    "seconds",
)
Rows = list[tuple[str, str]]


def read_sst2() -> dict[str, Rows]:
    """Return the official splits of SST-2, sentences."""
    found = {}
    for name, file in (("train", "train"), ("val", "dev"), ("test", "test")):
        lines = (DATA / "sst2" / f"{file}.tsv").read_text(encoding="utf-8").splitlines()
        found[name] = [(line.split("\t")[0], line.split("\t")[1]) for line in lines]
    return found


def read_chnsenticorp() -> dict[str, Rows]:
    """Return ChnSentiCorp, split once: 15 % val, 20 % test."""
    path = DATA / "chnsenticorp" / "ChnSentiCorp_htl_all.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8-sig") as file:
        rows = [(r["review"], r["label"]) for r in csv.DictReader(file) if r["review"].strip()]
    return split(rows)


def read_imdb() -> dict[str, Rows]:
    """Return IMDb-10k with its own test; 15 % of train are val."""
    import pyarrow.parquet as pq

    found = {}
    for name in ("train", "test"):
        table = pq.read_table(DATA / "imdb-10k" / f"{name}.parquet")
        labels = [str(value) for value in table.column("label").to_pylist()]
        found[name] = list(zip(table.column("text").to_pylist(), labels, strict=True))
    parts = split(found["train"], test=0.0)
    return {"train": parts["train"], "val": parts["val"], "test": found["test"]}


def split(rows: Rows, test: float = 0.2) -> dict[str, Rows]:
    """Return rows in a fixed random order, divided."""
    unique = list(dict(rows).items())
    order = np.random.default_rng(0).permutation(len(unique))
    first, second = int(test * len(unique)), int((test + 0.15) * len(unique))
    parts = {"test": order[:first], "val": order[first:second], "train": order[second:]}
    return {name: [unique[i] for i in part] for name, part in parts.items()}


READERS = {"sst2": read_sst2, "chnsenticorp": read_chnsenticorp, "imdb": read_imdb}


def own_folder(said: argparse.Namespace) -> Path:
    """Return where the start made of another one stands."""
    return said.out / f"{said.data}-{Path(said.start).name}"


def pretrain(said: argparse.Namespace) -> None:
    """Learn hidden words of the texts of train, or go on with it."""
    out = own_folder(said)
    resume = (out / "state").exists()
    if (out / "metrics.json").exists() and not resume:
        print(f"{out} is finished")
        return
    texts = [text for text, _ in READERS[said.data]()["train"]]
    began = time.process_time()
    run = hs.pretrain(
        texts,
        objective="mlm",
        start=said.start,
        num_epochs=said.epochs,
        batch_size=said.batch,
        max_length=said.length or None,
        whole_words=said.whole_words,
        out=str(out),
        resume=resume,
        overwrite=out.exists() and not resume,
        device="cpu",
    )
    print(run.report(), f"\n{time.process_time() - began:.0f} s of the processor in this attempt")


def compare(said: argparse.Namespace) -> None:
    """Tune own start, public start and random weights on the same labels; print them compared."""
    rows = READERS[said.data]()
    drawn = np.random.default_rng(0).permutation(len(rows["train"]))[: said.labels or None]
    rows["train"] = [rows["train"][i] for i in drawn]
    pairs = {n: ([t for t, _ in part], [y for _, y in part]) for n, part in rows.items()}
    told = {"own": own_folder(said), "public": PUBLIC, "scratch": said.start}
    folders = []
    for name, start in told.items():
        folder = said.out / f"compared-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        strategy, rate = ("lp-ft", None) if name == "public" else ("full", 3e-4)
        hs.finetune(
            pairs,
            start=str(start),
            strategy=strategy,
            learning_rate=rate,
            num_epochs=said.epochs,
            out=str(folder),
            device="cpu",
        )
        folders.append(str(folder))
    print(hs.compare(folders).report())


def known_rows(path: Path) -> dict[tuple[str, ...], dict[str, str]]:
    """Return what was measured before, by what makes a row another one."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {tuple(row[key] for key in KEYS): row for row in csv.DictReader(file)}


def finetune(said: argparse.Namespace) -> None:
    """Tune both starts for each seed; a row each."""
    rows, began = READERS[said.data](), time.monotonic()
    if said.test_items:
        rows["test"] = rows["test"][: said.test_items]
    for seed in said.seeds:
        for is_own in said.sides:
            row = {
                "data": said.data,
                "start": Path(said.start).name,
                "own": is_own,
                "labels": said.labels or len(rows["train"]),
                "length": said.length,
                "strategy": said.strategy,
                "rate": said.rate or "",
                "epochs": said.epochs,
                "test_items": said.test_items,
                "seed": seed,
            }
            if tuple(str(row[key]) for key in KEYS) in known_rows(said.rows):
                continue
            if time.monotonic() - began > said.most_seconds:
                return
            row |= tune(said, rows, seed, is_own=bool(is_own))
            is_first = not said.rows.exists()
            with said.rows.open("a", newline="") as file:
                writer = csv.DictWriter(file, (*KEYS, *FOUND), lineterminator="\n")
                if is_first:
                    writer.writeheader()
                writer.writerow(row)
            print(row, flush=True)


def tune(
    said: argparse.Namespace, rows: dict[str, Rows], seed: int, *, is_own: bool
) -> dict[str, object]:
    """Return what one fine-tuning comes to."""
    given, own = rows["train"], own_folder(said)
    if said.labels:
        drawn = np.random.default_rng(seed).permutation(len(given))[: said.labels]
        given = [given[i] for i in drawn]
    parts = {"train": given, "val": rows["val"], "test": rows["test"]}
    pairs = {n: ([t for t, _ in part], [y for _, y in part]) for n, part in parts.items()}
    folder = said.out / "run"
    shutil.rmtree(folder, ignore_errors=True)
    began = time.process_time()
    run = hs.finetune(
        pairs,
        start=str(own) if is_own else said.start,
        strategy=said.strategy,
        num_epochs=said.epochs,
        learning_rate=said.rate,
        max_length=said.length or None,
        seed=seed,
        out=str(folder),
        device="cpu",
    )
    learned, loss = {}, {}
    if is_own:
        learned = json.loads((own / "model.json").read_text())["pretraining"]
        loss = json.loads((own / "metrics.json").read_text())["pretraining"]["loss"]
    figures = run.metrics["before_after"]["figures"]
    return {
        "learned_epochs": round(learned.get("epochs", 0), 2),
        "learned_steps": learned.get("num_steps", 0),
        "learned_loss": round(loss["value"], 4) if loss else "",
        "accuracy": run.metrics["test"]["figures"]["accuracy"]["value"],
        "val_accuracy": run.metrics["val"]["figures"]["accuracy"]["value"],
        "control": figures.get(CONTROL, {}).get("value", ""),
        "num_test": run.metrics["test"]["num_items"],
        "seconds": round(time.process_time() - began, 1),
    }


def table(said: argparse.Namespace) -> None:
    """Print a Markdown table of what was measured."""
    records = list(known_rows(said.rows).values())
    print("| data, labels | start | seeds | as it is | own texts first | TF-IDF "
          "| own - as it is | own - TF-IDF |\n|---|---|---:|---:|---:|---:|---:|---:|")  # fmt: skip
    groups = ("data", "start", "labels", "length", "strategy", "rate", "epochs", "test_items")
    for key in dict.fromkeys(tuple(r[name] for name in groups) for r in records):
        some = [r for r in records if tuple(r[name] for name in groups) == key]
        none, own = ({r["seed"]: r for r in some if r["own"] == side} for side in ("0", "1"))
        seeds = sorted(none.keys() & own.keys())
        if not seeds:
            continue
        a, b, c = (
            np.array([side[s][name] or np.nan for s in seeds], float)
            for side, name in ((none, "accuracy"), (own, "accuracy"), (own, "control"))
        )
        about = f"{key[0]}, {int(key[2]):,}"
        how = ", ".join(word for word in (key[1], key[4], key[5] and f"rate {key[5]}") if word)
        cells = [about, how, str(len(seeds)), *(f"{x.mean():.4f}" for x in (a, b, c))]
        print(f"| {' | '.join([*cells, difference(b - a), difference(b - c)])} |")


def difference(values: np.ndarray) -> str:
    """Return a mean of paired differences with its 95 % interval."""
    if len(values) < 2:
        return f"{values.mean():+.4f}"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():+.4f} [{values.mean() - half:+.4f}, {values.mean() + half:+.4f}]"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True)
    kinds = ("pretrain", pretrain, 15.0), ("finetune", finetune, 6.0), ("compare", compare, 6.0)
    for name, verb, epochs in kinds:
        one = verbs.add_parser(name)
        one.add_argument("data", choices=READERS)
        one.add_argument("--out", type=Path, required=True)
        one.add_argument("--epochs", type=float, default=epochs)
        one.add_argument("--start", default=SCRATCH)
        one.add_argument("--length", type=int, default=0, help="tokens of a text; 0: its own rule")
        one.set_defaults(verb=verb)
        if verb is not pretrain:
            one.add_argument("--labels", type=int, default=0)
        if verb is finetune:
            one.add_argument("--strategy", default="full")
            one.add_argument("--rate", type=float, help="3e-4 from random weights when not given")
            one.add_argument(
                "--sides", type=int, nargs="+", default=(0, 1), help="1: the own start"
            )
            one.add_argument("--seeds", type=int, nargs="+", default=[0])
            one.add_argument("--test-items", type=int, default=0, help="the first; 0: all")
            one.add_argument("--rows", type=Path, default=ROWS)
            one.add_argument("--most-seconds", type=float, default=float("inf"))
        if verb is pretrain:
            one.add_argument("--whole-words", action="store_true")
            one.add_argument("--batch", type=int, help="windows a step; about 4,096 tokens")
    last = verbs.add_parser("table")
    last.add_argument("--rows", type=Path, default=ROWS)
    last.set_defaults(verb=table)
    said = parser.parse_args()
    if said.verb is not table:
        said.out.mkdir(parents=True, exist_ok=True)
    if said.verb is finetune and said.rate is None and said.start.startswith("scratch/"):
        said.rate = 3e-4
    said.verb(said)


if __name__ == "__main__":
    main()
