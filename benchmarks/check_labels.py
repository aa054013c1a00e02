"""How well the audits that estimate do: planted flips, clean data, drift of iid splits, cost.

    HEADSTART_DATA=… python benchmarks/check_labels.py flips          # ~6 min on one core
    HEADSTART_DATA=… python benchmarks/check_labels.py probes         # why this probe; ~10 min
    HEADSTART_DATA=… python benchmarks/check_labels.py drift          # ~8 min
    HEADSTART_DATA=… python benchmarks/check_labels.py cost           # ~6 min
    HEADSTART_DATA=… python benchmarks/check_labels.py doubtful mnist --png doubtful.png

``flips``: another class, drawn evenly, for a tenth of all samples; of the ranked suspects the share
that was planted among the first k; and of data as it is the share that is doubted (errors that the
data has of itself among them). ``probes``: the same by what each probe and each ranking gives.
``drift``: twenty random halves-and-quarters of four data sets, none of which should be told, and
shifts that should. ``cost``: CPU seconds of each audit on a table of so many rows. Seconds are CPU
seconds of one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

ROOT = Path(os.environ.get("HEADSTART_DATA", "data"))
SPLITS = ("train", "val", "test")
TILTS = (0.0, 0.5, 1.0)
FIRST = (25, 50, 100, 200)
CUTS = (0.6, 0.7, 0.8, 0.9, 0.95)


def read(name: str) -> Any:
    """Return a data set by its name here."""
    import pandas as pd

    from headstart.data import load

    if name in ("sst2", "sst2-third"):
        part = 0.33 if name == "sst2-third" else 1.0
        files = {"train": "train", "val": "dev", "test": "test"}
        said = {"sep": "\t", "header": None, "names": ["text", "label"], "quoting": 3}
        frames = {s: pd.read_csv(ROOT / f"text/sst2/{f}.tsv", **said) for s, f in files.items()}
        return load({s: f.sample(frac=part, random_state=0) for s, f in frames.items()})
    if name == "trec":
        frame = pd.read_csv(next((ROOT / "text/trec-qc").glob("*train*")))
        return load(frame[["coarse", "text"]], label="coarse")
    if name == "adult":
        return load(str(ROOT / "tabular/adult-train.csv.gz"), header=ADULT, label="income")
    if name == "housing":
        return load(str(ROOT / "tabular/california_housing.csv.gz"), label="median_house_value")
    if name in ("flowers5", "cifar10"):
        return load(str(ROOT / name))
    return load(name)


ADULT = [
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation"),
    *("relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week"),
    *("native-country", "income"),
]


def kept_features(
    dataset: Any, seconds: float, start: str | None = None, size: int | None = None
) -> tuple[Any, dict[str, np.ndarray], float]:
    """Return the object, the features of each split, and the CPU seconds that they took."""
    from headstart.auditing.probe_features import Look, ProbeFeatures
    from headstart.starts import find_start
    from headstart.training.options.training_options import TrainingOptions

    began = time.process_time()
    look = start and Look(find_start(start), TrainingOptions(input_size=size))
    features = ProbeFeatures(dataset, seconds=seconds or None, look=look or None)
    found = {name: features(name) for name in SPLITS}
    for finding in features.findings:
        print("  ", finding)
    return features, found, time.process_time() - began


def flipped(dataset: Any, share: float, seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the data with another class for a share of all samples, and where."""
    draw, parts, planted = np.random.default_rng(seed), {}, {}
    num_classes = len(dataset.schema.classes)
    for name in SPLITS:
        split = dataset.split(name)
        targets, num = split.targets.copy(), round(share * len(split))
        places = draw.choice(len(split), num, replace=False)
        targets[places] = (targets[places] + draw.integers(1, num_classes, num)) % num_classes
        parts[name] = dataclasses.replace(split, targets=targets)
        planted[name] = np.isin(np.arange(len(split)), places)
    return dataclasses.replace(dataset, **parts), planted


def interval(values: list[float]) -> str:
    """Return mean and 95 % interval of a few values, by Student's t."""
    from scipy.stats import t

    middle = float(np.mean(values))
    if len(values) < 2:
        return f"{middle:.3f}"
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return f"{middle:.3f} [{max(0.0, middle - half):.3f}, {min(1.0, middle + half):.3f}]"


def flips(args: argparse.Namespace) -> None:
    """Print precision among the first k of planted flips, and what is doubted of clean data."""
    from headstart.auditing import doubts
    from headstart.auditing.audit import AuditTools
    from headstart.auditing.doubtful_labels import doubtful_labels
    from headstart.auditing.doubts import MIN_CERTAINTY

    doubts.MOST_DOUBTFUL = doubts.MAX_SUSPECTS  # those of less certainty are wanted, too
    for name in args.data or ["flowers5", "sst2", "trec", "adult", "fashion-mnist"]:
        dataset = read(name)
        features, kept, cpu = kept_features(dataset, args.seconds, args.start, args.size)
        size = features._way.size
        print(f"{name}: {features.start}{f' at {size} pixels' if size else ''}, {cpu:.0f} CPU s")
        tools = AuditTools(features=lambda split, kept=kept: kept[split])
        began = time.process_time()
        clean = doubtful_labels(dataset, tools)
        total = sum(len(dataset.split(s)) for s in SPLITS)
        certain = [s for a in clean for s in a.suspects if s.certainty >= MIN_CERTAINTY]
        print(f"  clean: {len(certain)} of {total:,} doubted ({len(certain) / total:.2%})")
        print(f"  audit: {time.process_time() - began:.1f} CPU s")
        rows: dict[str, list[float]] = {}
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            spoilt, planted = flipped(dataset, 0.1, seed)
            found = [s for a in doubtful_labels(spoilt, tools) for s in a.suspects]
            suspects = [s for s in found if s.certainty >= MIN_CERTAINTY]
            hit = np.array([planted[s.spot.split][s.spot.index] for s in suspects])
            sure = np.array([s.certainty for s in suspects])
            number = sum(int(p.sum()) for p in planted.values())
            for k in FIRST:
                rows.setdefault(f"first {k}", []).append(float(hit[:k].mean()))
            rows.setdefault("all suspects", []).append(float(hit.mean()))
            rows.setdefault("certainty said", []).append(float(sure.mean()))
            rows.setdefault("planted found", []).append(float(hit.sum() / number))
            for cut in CUTS:
                named = [s for s in found if s.certainty >= cut]
                right = [planted[s.spot.split][s.spot.index] for s in named]
                rows.setdefault(f"named from {cut} on", []).append(float(np.mean(right)))
            print(f"  seed {seed}: {len(suspects)} suspects, {number} planted")
        for what, values in rows.items():
            print(f"  {what}: {interval(values)}")


def probes(args: argparse.Namespace) -> None:
    """Print what other probes, numbers of folds and strengths give on the same features."""
    from cleanlab.rank import get_label_quality_scores

    from headstart.auditing.audit import AuditTools
    from headstart.auditing.out_of_fold import FoldSums, assign_folds, judge, standardised, tempered
    from headstart.auditing.pool import pooled
    from headstart.auditing.together import together_of
    from headstart.training.probing.linear import solve_classes

    for name in args.data or ["flowers5", "sst2"]:
        dataset = read(name)
        _, kept, _ = kept_features(dataset, args.seconds)
        rows = standardised(np.concatenate([kept[s] for s in SPLITS]))
        num_classes = len(dataset.schema.classes)

        def logistic(given: np.ndarray, folds: np.ndarray, strength: float, rows=rows) -> Any:
            def speak(fold: int) -> list[np.ndarray]:
                is_asked = folds == fold
                c = strength * 1000 / (~is_asked).sum()
                found = solve_classes(rows[~is_asked], given[~is_asked], None, c, 200, 1e-3)
                return [(rows[is_asked] @ found.coefficients.T + found.intercept)]

            return speak

        def discriminant(given: np.ndarray, folds: np.ndarray, shrinkage: float, rows=rows) -> Any:
            sums = FoldSums(rows, folds)
            used = shrinkage or sums.best_shrinkage(given, num_classes)  # noqa: B023
            return lambda fold: [sums.logits(given, num_classes, fold, used)]  # noqa: B023

        cases = [
            *((f"logistic regression, C {c}", logistic, c, 5) for c in (0.003, 0.01, 0.03)),
            *((f"discriminant, shrinkage {s}", discriminant, s, 5) for s in (0.3, 1.0, 3.0, 10.0)),
            ("discriminant, shrinkage chosen", discriminant, 0.0, 5),
            ("discriminant, shrinkage chosen, 3 folds", discriminant, 0.0, 3),
            ("discriminant, shrinkage chosen, 10 folds", discriminant, 0.0, 10),
        ]
        for title, make, strength, num_folds in cases:
            found: dict[str, list[float]] = {}
            began = time.process_time()
            for seed in range(args.seeds):
                spoilt, planted = flipped(dataset, 0.1, seed)
                given = pooled(spoilt).targets(spoilt)
                hit = np.concatenate([planted[s] for s in SPLITS])
                together = together_of(spoilt, pooled(spoilt), AuditTools())
                folds = assign_folds(given, together, num_folds=num_folds)
                chances = tempered(
                    judge(make(given, folds, strength), folds, num_classes), given
                ).astype(np.float64)
                for method in ("self_confidence", "normalized_margin"):
                    order = np.argsort(get_label_quality_scores(given, chances, method=method))
                    for k in (100, 200, int(hit.sum())):
                        key = f"{method} {k if k <= 200 else 'N'}"
                        found.setdefault(key, []).append(float(hit[order[:k]].mean()))
            seconds = (time.process_time() - began) / args.seeds
            shown = ", ".join(f"{key} {np.mean(values):.3f}" for key, values in found.items())
            print(f"{name} · {title}: {shown}; {seconds:.1f} CPU s", flush=True)


def drift(args: argparse.Namespace) -> None:
    """Print the share of random splits that are said to differ, and shifts that are found."""
    from headstart.auditing.audit import AuditTools
    from headstart.auditing.drift import drift as audit

    for name in args.data or ["adult", "housing", "sst2", "digits-8x8"]:
        dataset = read(name)
        _, kept, _ = kept_features(dataset, args.seconds)
        for tilt in TILTS:
            alarms, began = 0, time.process_time()
            for seed in range(args.splits):
                drawn, features = _redrawn(dataset, kept, seed, args.limit, tilt)
                tools = AuditTools(features=lambda split, own=features: own[split], seed=seed)
                found = audit(drawn, tools)
                alarms += bool(found)
                if found and not tilt:
                    print("   ", found[0].finding.sentence[:200])
            each = (time.process_time() - began) / args.splits
            print(
                f"{name}, tilt {tilt}: {alarms} of {args.splits} splits told, {each:.2f} CPU s",
                flush=True,
            )


def _redrawn(
    dataset: Any, kept: Any, seed: int, limit: int, tilt: float
) -> tuple[Any, dict[str, np.ndarray]]:
    """Return samples of train dealt anew, with their features.

    Test is drawn with odds of exp(tilt * z), z the standardised first principal component.
    """
    from headstart.preprocessing.rows import TableSamples
    from headstart.preprocessing.samples import take

    draw = np.random.default_rng(seed)
    rows = np.nan_to_num(kept["train"])
    spread = rows.std(axis=0)
    rows = (rows - rows.mean(axis=0)) / np.where(spread > 1e-6, spread, np.inf)
    main = np.linalg.eigh(rows.T @ rows)[1][:, -1]
    along = rows @ main
    odds = tilt * (along - along.mean()) / along.std() + draw.gumbel(size=len(rows))
    chosen = draw.permutation(len(dataset.train))[:limit]
    order = chosen[np.argsort(odds[chosen], kind="stable")]
    cut = int(0.75 * len(order))
    parts: dict[str, Any] = {}
    features = {}
    for name, places in (("train", order[:cut]), ("val", order[:0]), ("test", order[cut:])):
        split = dataset.train
        samples = split.samples
        chosen = (
            samples.take(places) if isinstance(samples, TableSamples) else take(samples, places)
        )
        parts[name] = dataclasses.replace(
            split,
            samples=chosen,
            targets=split.targets[places],
            ids=split.ids[places],
            contents=None if split.contents is None else split.contents[places],
        )
        features[name] = kept["train"][places]
    return dataclasses.replace(dataset, **parts), features


def cost(args: argparse.Namespace) -> None:
    """Print the CPU seconds of each audit on tables of more and more rows."""
    import pandas as pd

    from headstart.auditing.audit import AuditTools
    from headstart.auditing.audits import AUDITS
    from headstart.auditing.probe_features import ProbeFeatures
    from headstart.data import load

    names = ("group leaks", "shortcut columns", "drift", "doubtful labels")
    for num in args.rows:
        draw = np.random.default_rng(0)
        frame = pd.DataFrame({f"x{i}": draw.normal(size=num) for i in range(8)})
        frame["town"] = draw.choice([f"t{i}" for i in range(20)], num)
        frame["patient"] = draw.integers(0, max(10, num // 10), num).astype(str)
        frame["y"] = np.where(frame["x0"] + frame["x1"] + draw.normal(size=num) > 0, "a", "b")
        dataset = load(frame, label="y")
        tools = AuditTools(features=ProbeFeatures(dataset, seconds=60))
        shown = []
        for name in names:
            began = time.process_time()
            found = AUDITS[name].run(dataset, tools)
            told = "".join(f" ({a.finding.severity})" for a in found[:1])
            shown.append(f"{name} {time.process_time() - began:.1f}{told}")
        print(f"{num:,} rows: {', '.join(shown)}", flush=True)


def doubtful(args: argparse.Namespace) -> None:
    """Print the most doubtful labels of a data set of images, and draw them."""
    from PIL import Image, ImageDraw

    from headstart.auditing.audit import AuditTools
    from headstart.auditing.doubtful_labels import doubtful_labels

    dataset = read(args.data[0])
    _, kept, _ = kept_features(dataset, args.seconds)
    tools = AuditTools(features=lambda split: kept[split])
    suspects = [s for a in doubtful_labels(dataset, tools) for s in a.suspects][:40]
    side, sheet = 112, Image.new("RGB", (8 * 120, 5 * 150), "white")
    pen = ImageDraw.Draw(sheet)
    for number, suspect in enumerate(suspects):
        sample = dataset.split(suspect.spot.split).samples.read(suspect.spot.index)
        pixels = np.asarray(sample).squeeze()
        left, top = number % 8 * 120 + 4, number // 8 * 150 + 4
        sheet.paste(Image.fromarray(pixels).convert("RGB").resize((side, side)), (left, top))
        words = suspect.reason.split(", looks like ")
        pen.text((left, top + side), words[0], fill="black")
        pen.text((left, top + side + 12), f"like {words[1]}", fill="black")
        print(f"{number + 1:3} {suspect.spot} {suspect.reason} certainty {suspect.certainty:.2f}")
    if args.png:
        sheet.save(args.png)


COMMANDS = {"flips": flips, "probes": probes, "drift": drift, "cost": cost, "doubtful": doubtful}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=COMMANDS)
    parser.add_argument("data", nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, help="of flips: others than chose")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--limit", type=int, default=4_000, help="samples of a redrawn split")
    parser.add_argument("--seconds", type=float, default=60.0, help="for features; 0: no limit")
    parser.add_argument("--start", help="whose features; the smallest at hand when not given")
    parser.add_argument("--size", type=int, help="pixels, with --start")
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--png", help="where to draw the doubtful ones")
    args = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    COMMANDS[args.what](args)


if __name__ == "__main__":
    main()
