"""Learn the language of a task's own texts first: does a fine-tuning gain by it?

    python benchmarks/self_pretraining.py pretrain sst2 --out WORK --epochs 15
    python benchmarks/self_pretraining.py finetune sst2 --out WORK --labels 1000 --seeds 0 1 2 3 4
    python benchmarks/self_pretraining.py table --out WORK

Data: ``HEADSTART_DATA`` (SST-2 with its own splits, ChnSentiCorp, IMDb-10k). ``pretrain`` learns
hidden words of the texts of train alone; val and test are never shown. Interrupted, it goes on with
the same command. ``finetune`` tunes ``scratch/bert-tiny`` and the start made of it on the same
labels with the same seeds, epochs and recipe; TF-IDF with a linear model learns from the same. Each
seed draws its own ``--labels`` of train (0: all), the same for every side. Figures are accuracies
on the test split; differences are paired by seed, with a 95 % interval by Student's t.
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
SCRATCH, CONTROL = "scratch/bert-tiny", "TF-IDF + linear"
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


def pretrain(said: argparse.Namespace) -> None:
    """Learn hidden words of the texts of train, or go on with it."""
    out = said.out / f"{said.data}-start"
    if (out / "metrics.json").exists():
        print(f"{out} is finished")
        return
    resume = (out / "state").exists()
    texts = [text for text, _ in READERS[said.data]()["train"]]
    began = time.process_time()
    run = hs.pretrain(
        texts,
        objective="mlm",
        start=SCRATCH,
        num_epochs=said.epochs,
        batch_size=said.batch,
        whole_words=said.whole_words,
        out=str(out),
        resume=resume,
        overwrite=out.exists() and not resume,
        device="cpu",
    )
    print(run.report(), f"\n{time.process_time() - began:.0f} s of the processor in this attempt")


def finetune(said: argparse.Namespace) -> None:
    """Tune both starts for each seed; a line of JSON each."""
    rows = READERS[said.data]()
    own = said.out / f"{said.data}-start"
    for seed in said.seeds:
        given = rows["train"]
        if said.labels:
            drawn = np.random.default_rng(seed).permutation(len(given))[: said.labels]
            given = [given[i] for i in drawn]
        parts = {"train": given, "val": rows["val"], "test": rows["test"]}
        pairs = {n: ([t for t, _ in part], [y for _, y in part]) for n, part in parts.items()}
        for start in (SCRATCH, str(own)):
            folder = said.out / "run"
            shutil.rmtree(folder, ignore_errors=True)
            began = time.process_time()
            run = hs.finetune(
                pairs,
                start=start,
                strategy="full",
                num_epochs=said.epochs,
                learning_rate=said.rate,
                seed=seed,
                out=str(folder),
                device="cpu",
            )
            figures = run.metrics["before_after"]["figures"]
            record = {
                "data": said.data,
                "labels": len(given),
                "seed": seed,
                "start": "own" if start != SCRATCH else SCRATCH,
                "accuracy": run.metrics["test"]["figures"]["accuracy"]["value"],
                "control": figures.get(CONTROL, {}).get("value"),
                "num_test": run.metrics["test"]["num_items"],
                "seconds": round(time.process_time() - began, 1),
            }
            with (said.out / "rows.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(record, flush=True)


def table(said: argparse.Namespace) -> None:
    """Print a Markdown table of what was measured."""
    records = [json.loads(line) for line in (said.out / "rows.jsonl").read_text().splitlines()]
    print(
        "| data, labels | seeds | random | own texts first | TF-IDF | own - random | own - TF-IDF |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for key in dict.fromkeys((r["data"], r["labels"]) for r in records):
        some = [r for r in records if (r["data"], r["labels"]) == key]
        random = {r["seed"]: r for r in some if r["start"] == SCRATCH}
        own = {r["seed"]: r for r in some if r["start"] == "own"}
        seeds = sorted(random.keys() & own.keys())
        a, b, c = (
            np.array([side[s][name] for s in seeds], float)
            for side, name in ((random, "accuracy"), (own, "accuracy"), (own, "control"))
        )
        cells = [f"{key[0]}, {key[1]:,}", str(len(seeds)), *(f"{x.mean():.4f}" for x in (a, b, c))]
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
    for name, verb, epochs in (("pretrain", pretrain, 15.0), ("finetune", finetune, 6.0)):
        one = verbs.add_parser(name)
        one.add_argument("data", choices=READERS)
        one.add_argument("--out", type=Path, required=True)
        one.add_argument("--epochs", type=float, default=epochs)
        one.set_defaults(verb=verb)
        if verb is finetune:
            one.add_argument("--labels", type=int, default=0)
            one.add_argument("--rate", type=float, default=3e-4)
            one.add_argument("--seeds", type=int, nargs="+", default=[0])
        else:
            one.add_argument("--whole-words", action="store_true")
            one.add_argument("--batch", type=int, help="windows a step; about 4,096 tokens")
    last = verbs.add_parser("table")
    last.add_argument("--out", type=Path, required=True)
    last.set_defaults(verb=table)
    said = parser.parse_args()
    said.out.mkdir(parents=True, exist_ok=True)
    said.verb(said)


if __name__ == "__main__":
    main()
