r"""What blocks of a few starts would add to a ranking of the zoo, and what scoring them costs.

    HEADSTART_DATA=… python benchmarks/zoo_blocks.py benchmarks/data/zoo.csv \
        benchmarks/data/zoo_scores.jsonl --packages FOLDER --out benchmarks/data/zoo_blocks.jsonl

`rank` scores what a head would read. Blocks cost no further pass, but each is scored anew. So the
outputs of all blocks of all starts are read once, and scored in several ways (``VARIANTS``); which
starts get a block score is decided afterwards: the best ``K`` by what a head reads, since those are
the ones that a shortlist is made of. Truth, prior and the choice of weights by sets of other
families are as in ``zoo_regret.py``. Seconds are those of one processor.

Rows that ``--out`` holds are not computed again; ``--keep`` keeps what was read for other variants.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zoo_starts
from zoo import STARTS
from zoo_data import SETS
from zoo_regret import Set, filled, prior_of, read_sets

from headstart.events import unheard
from headstart.ranking.aggregate import aggregate
from headstart.ranking.agreement import regret, weighted_tau
from headstart.ranking.scored import RankingJob, Scored, build
from headstart.ranking.scores import collapse_score, common_dimension, equalise, ridge_score
from headstart.ranking.scoring import score_taps
from headstart.ranking.taps import FEATURES, tapped_features
from headstart.starts import find_start
from headstart.training.options.common_options import CommonOptions
from headstart.tuning.budget import Budget
from headstart.tuning.setup import prepare_sample
from headstart.types import Dataset

GRID = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MOST = (0, 2, 3, 4, 5, 6, 8, 13)  # starts with a score of blocks, the best by their heads
# How blocks become a score. Joined: features and blocks side by side, each of the same variance.
VARIANTS = {
    "best of all blocks": lambda taps: ("best", taps),
    "best of three blocks": lambda taps: ("best", _some(taps, 3)),
    "best of the last four": lambda taps: ("best", _last(taps, 4)),
    "all joined": lambda taps: ("joined", taps),
    "three joined": lambda taps: ("joined", _some(taps, 3)),
    "last four joined": lambda taps: ("joined", _last(taps, 4)),
}
Taps = Mapping[str, np.ndarray]


def _some(taps: Taps, num: int) -> Taps:
    """Return the features and blocks at even distances."""
    names = [name for name in taps if name != FEATURES]
    at = [round(len(names) * (n + 1) / (num + 1)) for n in range(num)]
    kept = {FEATURES, *(names[min(place, len(names) - 1)] for place in at)}
    return {name: values for name, values in taps.items() if name in kept}


def _last(taps: Taps, num: int) -> Taps:
    names = [name for name in taps if name != FEATURES]
    return {name: taps[name] for name in (FEATURES, *names[-num:])}


def joined(taps: Taps) -> np.ndarray:
    """Return features and blocks side by side, each centred and of a total variance of one."""
    parts = []
    for values in taps.values():
        centred = values.astype(np.float64) - values.mean(axis=0)
        parts.append(centred / max(1e-12, np.sqrt((centred**2).sum() / len(centred))))
    return np.concatenate(parts, axis=1)


def read(dataset: Dataset, name: str, address: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return what all blocks of a start know, shape (N, D) each, and targets (N,)."""
    job = RankingJob(
        dataset, Budget(None), CommonOptions(), torch.device("cpu"), input_size=SETS[name].side
    )
    one = Scored(find_start(address))
    build(job, one)
    assert one.setup is not None, one.why
    with unheard():
        inputs = prepare_sample(dataset, "train", one.setup, None, seed=0)
        taps = tapped_features(one.setup.model, inputs)
    return taps, np.asarray(inputs.targets)


def scores_of(taps: Taps, targets: np.ndarray, dimension: int) -> dict[str, dict[str, Any]]:
    """Return ridge, collapse and seconds of what a head reads, and of each variant."""
    found: dict[str, dict[str, Any]] = {}
    for name, make in {"head": lambda t: ("best", {FEATURES: t[FEATURES]}), **VARIANTS}.items():
        began = time.process_time()
        kind, some = make(taps)
        if kind == "best":
            told = score_taps(some, targets, dimension=dimension)
            assert told.collapse is not None
            ridge, collapse = told.ridge.value, told.collapse.log_loss
        else:
            equal = equalise(joined(some), dimension)
            ridge = ridge_score(equal, targets).value
            collapse = collapse_score(equal, targets).log_loss
        seconds = time.process_time() - began
        told_of = {"ridge": ridge, "collapse": collapse, "seconds": seconds}
        found[name] = {what: round(value, 4) for what, value in told_of.items()}
    return found


def row_of(dataset: Dataset, one: Set, keep: Path | None) -> dict[str, Any]:
    """Return the scores of all starts of a set that have features."""
    addresses = [start for start in one.starts if not start.startswith("scratch/")]
    known, seconds = {}, 0.0
    for address in addresses:
        place = None if keep is None else keep / f"{one.name}-{address.replace('/', '-')}.npz"
        if place is not None and place.exists():
            with np.load(place) as file:
                taps = {n: file[n] for n in file.files if n != "targets"}
                known[address] = taps, file["targets"]
            continue
        began = time.process_time()
        known[address] = read(dataset, one.name, address)
        seconds += time.process_time() - began
        if place is not None:
            np.savez(place, targets=known[address][1], **known[address][0])
    widths = [taps[FEATURES].shape[1] for taps, _ in known.values()]
    found = {}
    for address, (taps, targets) in known.items():
        dimension = common_dimension(len(targets), widths)
        found[address] = scores_of(taps, targets, dimension)
    return {"target": one.name, "read_s": round(seconds, 2), "starts": found}


def columns_of(one: Set, row: Mapping[str, Any], variant: str, most: int) -> dict[str, np.ndarray]:
    """Return the columns of a ranking in which the best by their heads have a score of blocks."""
    told = row["starts"]
    head = one.scores["head"].copy()
    for place, start in enumerate(one.starts):
        if start in told:
            head[place] = told[start]["head"]["ridge"]
    best = {one.starts[place] for place in np.argsort(-filled(head), kind="stable")[:most]}

    def column(what: str) -> np.ndarray:
        sign = -1 if what == "collapse" else 1
        return np.array(
            [
                sign * told[s][variant if s in best else "head"][what] if s in told else np.nan
                for s in one.starts
            ]
        )

    return {"head": head, "ridge": column("ridge"), "collapse": column("collapse")}


def best_weights(
    known: list[tuple[Set, dict[str, np.ndarray], np.ndarray]],
) -> dict[str, float]:
    """Return the weights of a coarse grid that lose least; the prior decides between equals."""
    names = ("head", "ridge", "collapse")

    def loss(weights: Mapping[str, float]) -> float:
        total = 0.0
        for one, columns, prior in known:
            order = filled(ordered(columns, prior, weights))
            total += 100 * sum(regret(order, one.truth, k) for k in (1, 3))
            total -= 10 * weighted_tau(order, one.truth)
        return total

    choices = [w for w in itertools.product(GRID, repeat=3) if abs(sum(w) - 1) < 1e-9]
    return min((dict(zip(names, w, strict=True)) for w in choices), key=loss)


def ordered(
    columns: Mapping[str, np.ndarray], prior: np.ndarray, weights: Mapping[str, float]
) -> np.ndarray:
    """Return the order by mean ranks, as scores."""
    every = {**{n: 0.98 * w for n, w in weights.items()}, "prior": 0.02}
    return aggregate({**columns, "prior": prior}, None, weights=every)


def report(
    sets: list[Set], rows: Mapping[str, Mapping[str, Any]], priors: list[np.ndarray]
) -> None:
    """Print regrets by variant and number of starts; weights by the sets of other families."""
    print("| scores of blocks | starts | regret@1 | regret@3 | weighted tau | as shipped: @1, @3 |")
    print("|---|---:|---:|---:|---:|---:|")
    shipped = {"head": 0.6, "ridge": 0.0, "collapse": 0.4}
    for variant, most in itertools.product(VARIANTS, MOST):
        known = [
            (one, columns_of(one, rows[one.name], variant, most), prior)
            for one, prior in zip(sets, priors, strict=True)
        ]
        told: dict[str, list[float]] = {"1": [], "3": [], "tau": [], "own 1": [], "own 3": []}
        for one, columns, prior in known:
            others = [each for each in known if each[0].family != one.family]
            order = filled(ordered(columns, prior, best_weights(others)))
            own = filled(ordered(columns, prior, shipped))
            told["tau"].append(weighted_tau(order, one.truth))
            for k in (1, 3):
                told[str(k)].append(100 * regret(order, one.truth, k))
                told[f"own {k}"].append(100 * regret(own, one.truth, k))
        mean = {name: float(np.mean(values)) for name, values in told.items()}
        print(
            f"| {variant} | {most} | {mean['1']:.2f} | {mean['3']:.2f} | {mean['tau']:.3f} | "
            f"{mean['own 1']:.2f}, {mean['own 3']:.2f} |"
        )
    print("\n| scores | seconds a set, all starts |\n|---|---:|")
    for name in ("head", *VARIANTS):
        each = [sum(s[name]["seconds"] for s in row["starts"].values()) for row in rows.values()]
        print(f"| {name} | {np.mean(each):.2f} |")
    print(f"| reading, with building | {np.mean([row['read_s'] for row in rows.values()]):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    zoo_starts.install()
    sets = [one for one in read_sets(args.truth, args.scores) if one.scores]
    starts = [find_start(address) for address in STARTS]
    known = [json.loads(line) for line in args.out.open()] if args.out.is_file() else []
    rows = {row["target"]: row for row in known}
    for one in sets:
        if one.name in rows:
            continue
        dataset = SETS[one.name].load(one.name, Path(os.environ["HEADSTART_DATA"]), args.packages)
        rows[one.name] = row = row_of(dataset, one, args.keep)
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(one.name, row["read_s"], flush=True)
    report(sets, rows, [prior_of(sets, place, starts) for place in range(len(sets))])


if __name__ == "__main__":
    main()
