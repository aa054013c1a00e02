"""More budget must never give less: `fit` by several budgets on small sets, of several builds.

    python benchmarks/budgets.py DATA [--budgets 15 30 60 120] [--seeds 0 1] [--sets a b]
        [--sides . ../before] [--rivals] [--clock work] [--out rows.csv]

DATA is the folder of the data pack (MNIST as IDX files, CIFAR-10 and flowers as Parquet, texts).
Each set is drawn once (seed 1) and written as a folder of images or a CSV with its own test split,
which is the same for all. Each fit is a process of its own. ``--clock work`` counts the seconds
that the process has worked in place of those on the wall, so that a figure does not depend on what
else the machine does; ``wall`` is what a user has. Rows go to a CSV, one a fit, and what stands
there already is not run again. The summary says, for each side and budget, the mean score over
sets, and for each pair of neighbouring budgets the mean difference over (set, seed) with its
standard error. ``--rivals`` runs two rivals beside them in the same seconds: ``one_epoch.py`` (one
pass with every candidate, and the rest of the time for the best one), and ``finetune`` from the one
start that anybody would name for data of this kind (``DEFAULTS``). The summary then says how `fit`
differs from each, over (set, seed), with a 95 % interval (Student's t).

Left out: who wins on large data, and GPUs.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student

_RUN = """
import sys, time
if {clock!r} == "work":
    slept = 0.0
    def now():
        return time.process_time() + slept
    def sleep(seconds):
        global slept
        slept += seconds
    time.monotonic, time.sleep = now, sleep
from headstart.cli import main
sys.argv = ["headstart", *{words!r}]
sys.exit(main())
"""
TOO_LITTLE_TIME = 4  # the exit code; said with the budget that would do
RIVAL, DEFAULT = "one pass for all", "one default"  # the sides that are no build
DEFAULTS = {
    "image": "pip/efficientnet-lite0",
    "text": "pip/all-minilm-l6-v2",
    "table": "scratch/boosting",
}
_FIELDS = ("side", "set", "budget", "seed", "metric", "score", "log_loss", "start", "strategy", "s")


def _photos(
    data: Path, out: Path, source: str, classes: list[int], num: int, num_test: int
) -> None:
    for split, many in (("train", num), ("test", num_test)):
        frame = pd.read_parquet(data / source / f"{split}.parquet")
        for label in classes:
            rows = frame[frame.label == label].sample(frac=1, random_state=1)
            folder = out / split / f"class {label}"
            folder.mkdir(parents=True)
            for number, image in enumerate(rows.image.head(many // len(classes))):
                kind = {b"\xff\xd8": "jpg", b"RI": "webp"}.get(image["bytes"][:2], "png")
                (folder / f"{number}.{kind}").write_bytes(image["bytes"])


def _table(frame: pd.DataFrame, out: Path, num: int, num_test: int) -> None:
    frame = frame.sample(frac=1, random_state=1)
    out.mkdir(parents=True)
    frame.head(num).to_csv(out / "train.csv", index=False)
    frame.iloc[num : num + num_test].to_csv(out / "test.csv", index=False)


def _sst(data: Path) -> pd.DataFrame:
    parts = [
        pd.read_csv(data / f"text/sst2/{s}.tsv", sep="\t", header=None, names=["text", "label"])
        for s in ("train", "dev", "test")
    ]
    return pd.concat(parts)


def _trec(data: Path) -> pd.DataFrame:
    (path,) = (data / "text/trec-qc").glob("*train*")
    frame = pd.read_csv(path)
    return frame[["text", "coarse"]].rename(columns={"coarse": "label"})


def _sms(data: Path) -> pd.DataFrame:
    (path,) = (p for p in (data / "text/sms-spam").iterdir() if p.suffix != ".md")
    return pd.read_csv(path, sep="\t", header=None, names=["label", "text"], quoting=3)


def _titanic(data: Path) -> pd.DataFrame:
    return pd.read_csv(data / "tabular/titanic_train.csv").rename(columns={"Survived": "label"})


def _wine(data: Path) -> pd.DataFrame:
    frame = pd.read_csv(data / "tabular/winequality-red.csv", header=None)
    frame.columns = [*(f"c{i}" for i in range(frame.shape[1] - 1)), "label"]
    frame.label = np.where(frame.label > 5, "good", "poor")
    return frame


def _digits(out: Path) -> None:
    from PIL import Image
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(1).permutation(len(found.target))
    for number, place in enumerate(order):
        split = "train" if number < 1_000 else "test"
        folder = out / split / f"class {found.target[place]}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (found.images[place] * (255 / 16)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


SETS: dict[str, Callable[[Path, Path], None]] = {
    "two flowers, 240": lambda d, o: _photos(d, o, "flowers5", [1, 3], 280, 400),
    "five flowers, 400": lambda d, o: _photos(d, o, "flowers5", [0, 1, 2, 3, 4], 470, 400),
    "cats and dogs, 500": lambda d, o: _photos(d, o, "cifar10", [3, 5], 590, 600),
    "CIFAR-10, 1,000": lambda d, o: _photos(d, o, "cifar10", list(range(10)), 1_180, 1_000),
    "digits, 1,000": lambda d, o: _digits(o),
    "SST-2, 1,000": lambda d, o: _table(_sst(d), o, 1_000, 1_000),
    "SST-2, 700": lambda d, o: _table(_sst(d), o, 700, 1_000),
    "TREC-6, 1,000": lambda d, o: _table(_trec(d), o, 1_000, 1_000),
    "SMS, 600": lambda d, o: _table(_sms(d), o, 600, 1_000),
    "Titanic": lambda d, o: _table(_titanic(d), o, 591, 300),
    "wine": lambda d, o: _table(_wine(d), o, 1_100, 499),
}


NINE = [name for name in SETS if name not in ("digits, 1,000", "SST-2, 1,000")]


def fit_once(
    side: Path, data: Path, budget: int, seed: int, clock: str, folder: Path
) -> dict[str, object]:
    """Fit in a process of its own; return what a row says of it."""
    out = folder / "run"
    words = ["fit", str(data), "--budget", f"{budget}s", "--seed", str(seed), "--out", str(out)]
    label = ["--label", "label"] if (data / "train.csv").exists() else []
    command = [sys.executable, "-c"]
    command += [_RUN.format(clock=clock, words=[*words, *label, "--overwrite"])]
    if side.name == RIVAL:
        command = [sys.executable, str(Path(__file__).with_name("one_epoch.py")), str(data)]
        command += ["--budget", str(budget), "--seed", str(seed), "--out", str(out), *label]
        command += ["--clock", clock]
        side = Path(__file__).resolve().parent.parent
    if side.name == DEFAULT:
        words = ["finetune", *words[1:], "--start", DEFAULTS[_kind(data)]]
        command = [*command[:2], _RUN.format(clock=clock, words=[*words, *label, "--overwrite"])]
        side = Path(__file__).resolve().parent.parent
    environment = {
        **os.environ,
        "PYTHONPATH": str(side / "src"),
        "OMP_NUM_THREADS": "1",
        "HEADSTART_CACHE": str(folder / "cache"),
    }
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if found.returncode == TOO_LITTLE_TIME:
        return {"metric": "", "score": "", "strategy": "refused: too little time"}
    if found.returncode not in (0, 1) or not (out / "metrics.json").exists():
        raise SystemExit(f"{side} failed on {data.name}:\n{found.stderr[-2000:]}")
    metrics = json.loads((out / "metrics.json").read_text())
    model = json.loads((out / "model.json").read_text())
    name = metrics["before_after"]["metric"]
    figures = metrics["test"]["figures"]
    return {
        "metric": name,
        "score": round(figures[name]["value"], 5),
        "log_loss": round(figures["log_loss"]["value"], 5) if "log_loss" in figures else "",
        "start": model["start"]["address"] if model.get("start") else "several",
        "strategy": model.get("strategy", ""),
        "s": metrics["seconds"]["total"],
    }


def _kind(data: Path) -> str:
    """Return what a set's samples are."""
    if not (data / "train.csv").exists():
        return "image"
    return "text" if "text" in pd.read_csv(data / "train.csv", nrows=1).columns else "table"


def against(table: pd.DataFrame, side: str, rival: str, budget: int) -> str:
    """Return how a side differs from a rival over (set, seed), with a 95 % interval."""
    of = {
        one: table[(table.side == one) & (table.budget == budget)].set_index(["set", "seed"]).score
        for one in (side, rival)
    }
    gains = 100 * (of[side] - of[rival]).dropna()
    if len(gains) < 2:
        return ""
    half = student.ppf(0.975, len(gains) - 1) * statistics.stdev(gains) / math.sqrt(len(gains))
    mean, worst = gains.mean(), gains.groupby("set").mean()
    return (
        f"{side} against {rival}, {budget} s, {len(gains)} pairs: {mean:+.2f} points "
        f"[{mean - half:+.2f}, {mean + half:+.2f}]; by set "
        + ", ".join(f"{name} {value:+.1f}" for name, value in worst.items())
    )


def summary(rows: Iterable[dict[str, str]]) -> str:
    """Return the mean by side and budget, and what each step of the budget brings."""
    table = pd.DataFrame(rows)
    table["score"] = pd.to_numeric(table.score, errors="coerce")
    table["budget"] = table.budget.astype(int)
    refused = table[table.score.isna()]
    table = table[table.score.notna()]
    lines = ["| side | budget | sets × seeds | mean score | mean log loss | change to the next |"]
    lines += ["|---|---:|---:|---:|---:|---:|"]
    for side, part in table.groupby("side", sort=False):
        budgets = sorted(part.budget.unique())
        for at, budget in enumerate(budgets):
            here = part[part.budget == budget].set_index(["set", "seed"])
            told = ""
            if at + 1 < len(budgets):
                later = part[part.budget == budgets[at + 1]].set_index(["set", "seed"])
                gains = (later.score - here.score).dropna()
                error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
                told = f"{gains.mean():+.4f} ± {error:.4f}"
            loss = pd.to_numeric(here.log_loss, errors="coerce").mean()
            lines.append(
                f"| {side} | {budget} s | {len(here)} | {here.score.mean():.4f} | {loss:.4f} | "
                f"{told} |"
            )
    sides = [one for one in table.side.unique() if one not in (RIVAL, DEFAULT)]
    for side in sides:
        for rival in (RIVAL, DEFAULT):
            told = [against(table, side, rival, budget) for budget in sorted(table.budget.unique())]
            lines += [f"\n{line}" for line in told if line]
    for (side, name, budget), part in refused.groupby(["side", "set", "budget"]):
        lines.append(f"\n{side}, {name}, {budget} s: refused {len(part)} times, too little time.")
    return "\n".join(lines)


def main() -> None:
    """Run what is not there yet, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--budgets", type=int, nargs="+", default=[15, 30, 60, 120])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--sets", nargs="+", default=NINE, choices=list(SETS))
    parser.add_argument("--sides", type=Path, nargs="+", default=[Path(".")])
    parser.add_argument("--rivals", action="store_true")
    parser.add_argument("--clock", choices=("wall", "work"), default="wall")
    parser.add_argument("--out", type=Path, default=Path("budgets.csv"))
    asked = parser.parse_args()
    rows = list(csv.DictReader(asked.out.open())) if asked.out.exists() else []
    done = {(r["side"], r["set"], r["budget"], r["seed"]) for r in rows}
    rivals = [RIVAL, DEFAULT] if asked.rivals else []
    with tempfile.TemporaryDirectory() as made, asked.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, _FIELDS)
        if not rows:
            writer.writeheader()
        for name in asked.sets:
            source = Path(made) / name.replace(" ", "-").replace(",", "")
            SETS[name](asked.data, source)
            for seed in asked.seeds:
                for budget in asked.budgets:
                    # side by side, as close in time as can be
                    for side in [*asked.sides, *map(Path, rivals)]:
                        key = (side.resolve().name, name, str(budget), str(seed))
                        if key in done:
                            continue
                        with tempfile.TemporaryDirectory() as folder:
                            found = fit_once(
                                side.resolve(), source, budget, seed, asked.clock, Path(folder)
                            )
                        row = dict(zip(_FIELDS[:4], key, strict=True)) | found
                        writer.writerow(row)
                        file.flush()
                        rows.append({k: str(v) for k, v in row.items()})
                        print(row, flush=True)
    print(summary(rows))


if __name__ == "__main__":
    main()
