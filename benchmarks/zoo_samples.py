"""How few samples a ranking of the zoo can read before it chooses worse.

    HEADSTART_DATA=… python benchmarks/zoo_samples.py benchmarks/data/zoo.csv \
        benchmarks/data/zoo_scores.jsonl --packages FOLDER --out rows.jsonl

Features of all starts are read once, from all training samples of a set; shares of these, in which
each class keeps its own, are then scored as ``rank`` scores them. What starts from scratch reach in
their moment is taken from the file of scores. Truth, weights and the prior are as in
``zoo_regret.py``. Rows say what building, reading and scoring took, in seconds of one processor;
``search_s`` is that of the truth, on the machine that made it. Printed: regret and weighted tau by
share, mean over draws and sets, with the standard error over sets.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import zoo_starts
from zoo import STARTS
from zoo_data import SETS
from zoo_regret import Set, filled, prior_of, ranked_by, read_sets

from headstart.events import unheard
from headstart.ranking.aggregate import WEIGHTS
from headstart.ranking.agreement import regret, weighted_tau
from headstart.ranking.scored import RankingJob, Scored, build
from headstart.ranking.scores import common_dimension
from headstart.ranking.scoring import score_taps
from headstart.ranking.taps import FEATURES, tapped_features
from headstart.starts import find_start
from headstart.training.options.common_options import CommonOptions
from headstart.tuning.budget import Budget
from headstart.tuning.setup import prepare_sample, subsample
from headstart.types import Dataset

SHARES, DRAWS = (1.0, 0.5, 0.25), 3


def features_of(
    dataset: Dataset, name: str, address: str
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return features (N, D) and targets (N,), and the seconds of building and of reading."""
    options, device = CommonOptions(), torch.device("cpu")
    job = RankingJob(dataset, Budget(None), options, device, input_size=SETS[name].side)
    one, began = Scored(find_start(address)), time.process_time()
    build(job, one)
    assert one.setup is not None, one.why
    built = time.process_time()
    with unheard():
        inputs = prepare_sample(dataset, "train", one.setup, None, seed=0)
        taps = tapped_features(one.setup.model, inputs, most_blocks=0)
    read = time.process_time()
    return taps[FEATURES], np.asarray(inputs.targets), built - began, read - built


def row_of(dataset: Dataset, one: Set, prior: np.ndarray) -> list[dict[str, object]]:
    """Return what each share and draw chooses on one set."""
    is_read = [place for place, start in enumerate(one.starts) if not start.startswith("scratch/")]
    known = {place: features_of(dataset, one.name, one.starts[place]) for place in is_read}
    spent = [sum(found[at] for found in known.values()) for at in (2, 3)]
    found: list[dict[str, object]] = []
    for share in SHARES:
        for draw in range(1 if share == 1 else DRAWS):
            scores = {name: values.copy() for name, values in one.scores.items()}
            began = time.process_time()
            for place, (features, targets, _, _) in known.items():
                some = subsample(targets, round(share * len(targets)), seed=draw)
                widths = [each[0].shape[1] for each in known.values()]
                told = score_taps(
                    {FEATURES: features[some]},
                    targets[some],
                    dimension=common_dimension(len(some), widths),
                )
                assert told.collapse is not None
                scores["head"][place] = told.head.value
                scores["collapse"][place] = -told.collapse.log_loss
            scoring = time.process_time() - began
            order = filled(
                ranked_by(one.__class__(**{**vars(one), "scores": scores}), prior, WEIGHTS)
            )
            found.append(
                {
                    "target": one.name,
                    "share": share,
                    "draw": draw,
                    "num": round(share * len(dataset.train)),
                    "regret@1": round(100 * regret(order, one.truth, 1), 3),
                    "regret@3": round(100 * regret(order, one.truth, 3), 3),
                    "tau": round(weighted_tau(order, one.truth), 4),
                    "build_s": round(spent[0], 2),
                    "read_s": round(spent[1], 2),
                    "score_s": round(scoring, 2),
                    "search_s": round(float(one.seconds.sum()), 1),
                }
            )
    return found


def summary(rows: list[dict[str, object]]) -> str:
    """Return the means over sets by share; the spread is over the means of the sets."""
    lines = ["| share of train | regret@1 | regret@3 | weighted tau |", "|---:|---:|---:|---:|"]
    for share in SHARES:
        means = []
        for key in ("regret@1", "regret@3", "tau"):
            of_sets = [
                np.mean(
                    [float(str(r[key])) for r in rows if (r["target"], r["share"]) == (t, share)]
                )
                for t in sorted({str(r["target"]) for r in rows})
            ]
            error = np.std(of_sets, ddof=1) / len(of_sets) ** 0.5 if len(of_sets) > 1 else 0.0
            means.append(f"{np.mean(of_sets):.2f} ± {error:.2f}")
        lines.append(f"| {share:g} | " + " | ".join(means) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    zoo_starts.install()
    sets = [one for one in read_sets(args.truth, args.scores) if one.scores]
    starts = [find_start(address) for address in STARTS]
    rows = [json.loads(line) for line in args.out.open()] if args.out.is_file() else []
    for place, one in enumerate(sets):
        if any(row["target"] == one.name for row in rows):
            continue
        dataset = SETS[one.name].load(one.name, Path(os.environ["HEADSTART_DATA"]), args.packages)
        found = row_of(dataset, one, prior_of(sets, place, starts))
        rows += found
        with args.out.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in found)
        print(one.name, *found, sep="\n  ", flush=True)
    print(summary(rows))


if __name__ == "__main__":
    main()
