r"""How good rankings of the zoo's starts are, held against what fine-tuning all of them found.

    python benchmarks/zoo_regret.py benchmarks/data/zoo.csv benchmarks/data/zoo_scores.jsonl
    python benchmarks/zoo_regret.py benchmarks/data/zoo.csv - \
        --table src/headstart/ranking/meta_table.csv

The truth is the mean over the seeds of ``zoo.py truth``; its noise is estimated from the sets with
more than one. Whatever is learned of other sets (the static list, the weights) is learned from sets
of other families than the one it is told of. Costs are seconds of one processor: those of a ranking
and of what it then has fine-tuned, over those of fine-tuning everything. Intervals are of paired
draws of the sets. ``--table`` writes the table that is shipped.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from zoo import STARTS, Truth, read_truth
from zoo_data import SETS

from headstart.ranking.aggregate import WEIGHTS, aggregate
from headstart.ranking.agreement import noise_ceiling, regret, weighted_tau
from headstart.ranking.prior import MetaRow, priors
from headstart.types import Schema

COLUMNS = ("head", "ridge", "neighbours", "collapse", "prior")
GRID = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
DRAWS = 10_000
LEAST_STARTS = 10
OWN = "rank, weights of the other families"
STATIC = "static list of the other families"
EPOCH = "one pass over train for all"


@dataclass(frozen=True)
class Set:
    """One set: the truth of its starts, and what a ranking said of them.

    Attributes:
        name: Of the set.
        family: Of its source.
        starts: Addresses, in the order of all arrays.
        truth: Accuracy on test after the search, shape (M,).
        epoch: Accuracy on val after one pass, shape (M,).
        seconds: Of the whole search for each start, shape (M,).
        epoch_seconds: Of one pass, shape (M,).
        parameters: Of each start, shape (M,).
        scores: Of the ranking, by name, shape (M,) each; empty where there is none.
        stages: Seconds of each stage of the ranking.
    """

    name: str
    family: str
    starts: tuple[str, ...]
    truth: np.ndarray
    epoch: np.ndarray
    seconds: np.ndarray
    epoch_seconds: np.ndarray
    parameters: np.ndarray
    scores: Mapping[str, np.ndarray]
    stages: Mapping[str, float]


def read_sets(truth: Path, scores: Path | None) -> list[Set]:
    """Return the sets on which enough starts have been fine-tuned, with those alone."""
    rows, found = read_truth(truth), []
    ranked = {} if scores is None else _read_scores(scores)
    for name in SETS:
        own = {
            address: [r for r in rows if (r.target, r.start) == (name, address)]
            for address in STARTS
        }
        own = {address: some for address, some in own.items() if some}
        if len(own) < LEAST_STARTS:
            continue

        def mean(field: str, own: Mapping[str, list[Truth]] = own) -> np.ndarray:
            return np.array([np.mean([getattr(r, field) for r in some]) for some in own.values()])

        record = ranked.get(name)
        found.append(
            Set(
                name,
                SETS[name].family,
                tuple(own),
                mean("test"),
                mean("epoch_val"),
                mean("seconds"),
                mean("epoch_seconds"),
                mean("parameters"),
                {} if record is None else _scores(record, list(own)),
                {} if record is None else record["stages"],
            )
        )
    return found


def _read_scores(path: Path) -> dict[str, dict[str, Any]]:
    return {one["target"]: one for one in map(json.loads, path.read_text().splitlines())}


def _scores(record: Mapping[str, Any], addresses: list[str]) -> dict[str, np.ndarray]:
    by_start = {one["start"]: one for one in record["starts"]}

    def column(get: Callable[[Mapping[str, Any]], float | None]) -> np.ndarray:
        values = [get(by_start[a]) if a in by_start else None for a in addresses]
        return np.array([np.nan if v is None else v for v in values], np.float64)

    return {
        "head": column(lambda one: one["figure"]["value"]),
        "ridge": column(lambda one: one["ridge"]),
        "neighbours": column(lambda one: one["neighbours"]),
        "collapse": -column(lambda one: one["collapse"]),
        "block": column(lambda one: one["block"]),
        "logme": column(lambda one: one["log_evidence"]),
        "h_score": column(lambda one: one["h_score"]),
    }


def noise_of(path: Path) -> float:
    """Return the standard deviation of the truth over seeds, pooled; 0.01 where there are none."""
    groups: dict[tuple[str, str], list[float]] = {}
    for row in read_truth(path):
        groups.setdefault((row.target, row.start), []).append(row.test)
    several = [np.array(each) for each in groups.values() if len(each) > 1]
    if not several:
        return 0.01
    squares = sum(float(((each - each.mean()) ** 2).sum()) for each in several)
    return float(np.sqrt(squares / sum(len(each) - 1 for each in several)))


def table_rows(sets: list[Set]) -> list[MetaRow]:
    """Return the truth as rows of the table that is shipped."""
    return [
        MetaRow(
            "image", one.name, one.family, address, int(one.parameters[place]),
            not address.startswith("scratch/"), round(float(one.truth[place]), 4),
        )
        for one in sets
        for place, address in enumerate(one.starts)
    ]  # fmt: skip


class _Named:
    """What the prior reads of a data set: its name and its modality."""

    def __init__(self, name: str) -> None:
        self.name, self.schema = name, Schema("image", "classification", ("a", "b"))


def prior_of(sets: list[Set], place: int, starts: list[Any]) -> np.ndarray:
    """Return the static prior of a set's starts, from sets of other families."""
    table = table_rows(sets)
    some = [start for start in starts if start.address in sets[place].starts]
    found = priors(_Named(sets[place].family), some, table)  # type: ignore[arg-type]
    return np.array([one.value for one in found])


def ranked_by(one: Set, prior: np.ndarray, weights: Mapping[str, float]) -> np.ndarray:
    """Return the order of ``rank`` with some weights, as scores."""
    columns = {name: one.scores[name] for name in COLUMNS[:-1]} | {"prior": prior}
    return aggregate(columns, one.scores["block"], weights=weights)


def loss_of(sets: list[Set], known: list[np.ndarray], weights: Mapping[str, float]) -> float:
    """Return what weights are chosen by: regret of one and of three, less a tenth of the tau."""
    total = 0.0
    for one, prior in zip(sets, known, strict=True):
        order = ranked_by(one, prior, weights)
        lost = [100 * regret(order, one.truth, k) for k in (1, 3)]
        total += lost[0] + lost[1] - 10 * weighted_tau(order, one.truth)
    return total / len(sets)


def best_weights(sets: list[Set], known: list[np.ndarray]) -> dict[str, float]:
    """Return the weights of a coarse grid that lose least on some sets."""
    choices = [w for w in itertools.product(GRID, repeat=len(COLUMNS)) if abs(sum(w) - 1) < 1e-9]
    found = min(choices, key=lambda w: loss_of(sets, known, dict(zip(COLUMNS, w, strict=True))))
    return dict(zip(COLUMNS, found, strict=True))


def one_epoch_then_three(one: Set) -> tuple[np.ndarray, float, float]:
    """Return the order by val after one pass, and the costs of its first and of its first three."""
    order = np.argsort(-one.epoch, kind="stable")
    first, three = order[:1], order[:3]
    base = float(one.epoch_seconds.sum())
    return one.epoch, base + float(one.seconds[first].sum()), base + float(one.seconds[three].sum())


def summary(
    name: str, orders: list[np.ndarray], sets: list[Set], cost: list[float]
) -> tuple[str, dict[str, np.ndarray]]:
    """Return a row of the table, and its figures by set."""
    taus = np.array([weighted_tau(o, s.truth) for o, s in zip(orders, sets, strict=True)])
    lost = {
        k: np.array([100 * regret(o, s.truth, k) for o, s in zip(orders, sets, strict=True)])
        for k in (1, 3)
    }
    told = f"| {name} | {np.nanmean(taus):.3f} | {np.nanmin(taus):.2f} | {lost[1].mean():.2f} | "
    told += f"{lost[3].mean():.2f} | {np.mean(cost):.3f} |"
    return told, {"tau": taus, "regret@1": lost[1], "regret@3": lost[3]}


def interval(gaps: np.ndarray) -> str:
    """Return a mean difference with its 95 % interval over sets."""
    drawn = np.random.default_rng(0).integers(0, len(gaps), (DRAWS, len(gaps)))
    low, high = np.percentile(gaps[drawn].mean(axis=1), [2.5, 97.5])
    return f"{gaps.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def cost_of(one: Set, order: np.ndarray, shortlist: int, before: float) -> float:
    """Return what ranking and fine-tuning a shortlist costs, over fine-tuning everything."""
    chosen = np.argsort(-order, kind="stable")[:shortlist]
    return (before + float(one.seconds[chosen].sum())) / float(one.seconds.sum())


def write_table(path: Path, sets: list[Set]) -> None:
    """Write the table that is shipped."""
    with path.open("w", newline="") as file:
        file.write("# made by benchmarks/zoo_regret.py from benchmarks/data/zoo.csv\n")
        names = ["modality", "target", "family", "start", "num_parameters", "is_pretrained"]
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, "score"])
        for row in table_rows(sets):
            values = [row.modality, row.target, row.family, row.start, row.num_parameters]
            writer.writerow([*values, int(row.is_pretrained), row.score])


def learned(
    sets: list[Set], known: list[np.ndarray]
) -> tuple[list[np.ndarray], list[dict[str, float]]]:
    """Return the order of each set by weights that other families have chosen, and these."""
    orders, chosen = [], []
    for place, one in enumerate(sets):
        others = [i for i, other in enumerate(sets) if other.family != one.family]
        weights = (
            best_weights([sets[i] for i in others], [known[i] for i in others])
            if others
            else dict(WEIGHTS)
        )
        chosen.append(weights)
        orders.append(ranked_by(one, known[place], weights))
    return orders, chosen


def filled(order: np.ndarray) -> np.ndarray:
    """Return an order in which what has no score comes last."""
    known = np.isfinite(order)
    return np.where(known, order, order[known].min(initial=0.0) - 1)


def report(sets: list[Set], noise: float, starts: list[Any]) -> None:
    """Print the tables."""
    known = [prior_of(sets, place, starts) for place in range(len(sets))]
    tuned, chosen = learned(sets, known)
    reading = [
        sum(one.stages[k] for k in ("build", "read_and_score", "train", "control")) for one in sets
    ]
    screening = [r / float(one.seconds.sum()) for r, one in zip(reading, sets, strict=True)]
    epochs, nothing = [one_epoch_then_three(one) for one in sets], [0.0] * len(sets)
    passes = [float(one.epoch_seconds.sum() / one.seconds.sum()) for one in sets]
    shipped = [ranked_by(one, k, WEIGHTS) for one, k in zip(sets, known, strict=True)]
    rows = {
        OWN: (tuned, screening),
        "rank, weights as shipped": (shipped, screening),
        STATIC: (known, nothing),
        "ridge on what a head reads": ([one.scores["head"] for one in sets], screening),
        "ridge on the best block": ([one.scores["ridge"] for one in sets], screening),
        "neighbours": ([one.scores["neighbours"] for one in sets], screening),
        "collapse": ([one.scores["collapse"] for one in sets], screening),
        "LogME": ([one.scores["logme"] for one in sets], screening),
        "H-score": ([one.scores["h_score"] for one in sets], screening),
        "parameter count": ([one.parameters for one in sets], nothing),
        EPOCH: ([e[0] for e in epochs], passes),
        "oracle": ([one.truth for one in sets], nothing),
    }
    numbers = ", ".join(f"{one.name} {len(one.starts)}" for one in sets)
    print(f"starts by set: {numbers}; noise of the truth {100 * noise:.2f} points\n")
    print("| ranking | weighted tau | lowest | regret@1 | regret@3 | cost of the ranking |")
    print("|---|---:|---:|---:|---:|---:|")
    figures = {}
    for name, (orders, cost) in rows.items():
        told, figures[name] = summary(name, [filled(order) for order in orders], sets, cost)
        print(told)
    even = [np.zeros_like(one.truth) for one in sets]
    lost = [
        np.mean([100 * regret(e, one.truth, k) for e, one in zip(even, sets, strict=True)])
        for k in (1, 3)
    ]
    print(f"| random | 0 | | {lost[0]:.2f} | {lost[1]:.2f} | 0 |")
    ceiling = float(np.mean([noise_ceiling(one.truth, noise) for one in sets]))
    print(f"\nceiling of the weighted tau at that noise: {ceiling:.3f}")
    for other in (STATIC, EPOCH, "LogME", "ridge on what a head reads"):
        gaps = {key: figures[OWN][key] - figures[other][key] for key in figures[OWN]}
        told = ", ".join(f"{key} {interval(gap)}" for key, gap in gaps.items())
        print(f"rank minus {other}: {told}")
    for place, shortlist in enumerate((1, 3)):
        costs = [
            cost_of(one, order, shortlist, before)
            for one, order, before in zip(sets, tuned, reading, strict=True)
        ]
        after = [e[1 + place] / o.seconds.sum() for e, o in zip(epochs, sets, strict=True)]
        print(
            f"cost of ranking and tuning {shortlist}: {np.mean(costs):.3f} of tuning all; after "
            f"one pass for all {np.mean(after):.3f}"
        )
    by_set(sets, tuned, known)
    print("\nweights chosen for each set by the others:")
    for one, weights in zip(sets, chosen, strict=True):
        print(one.name, weights)
    print("chosen by all sets:", best_weights(sets, known))


def by_set(sets: list[Set], tuned: list[np.ndarray], known: list[np.ndarray]) -> None:
    """Print what is chosen for each set, and what that loses."""
    print("\n| set | best | accuracy | rank takes | loses | of three | static takes | loses |")
    print("|---|---|---:|---|---:|---:|---|---:|")
    for one, order, prior in zip(sets, tuned, known, strict=True):
        best, mine, listed = (
            int(each.argmax()) for each in (one.truth, filled(order), filled(prior))
        )
        print(
            f"| {one.name} | {one.starts[best]} | {one.truth[best]:.3f} | {one.starts[mine]} | "
            f"{100 * (one.truth[best] - one.truth[mine]):.1f} | "
            f"{100 * regret(filled(order), one.truth, 3):.1f} | {one.starts[listed]} | "
            f"{100 * (one.truth[best] - one.truth[listed]):.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("scores")
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    sets = read_sets(args.truth, None if args.scores == "-" else Path(args.scores))
    if args.table:
        write_table(args.table, sets)
        return
    import zoo_starts

    from headstart.starts import find_start

    zoo_starts.install()
    starts = [find_start(address) for address in STARTS]
    report([one for one in sets if one.scores], noise_of(args.truth), starts)


if __name__ == "__main__":
    main()
