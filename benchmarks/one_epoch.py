"""The rival of `fit`: one pass over train with every candidate, then all that is left on the best.

    python benchmarks/one_epoch.py DATA --budget 60 --out runs/rival [--label label] [--seed 0]

The candidates, their order, their input sizes and strategies are those of `fit`; each takes one
epoch by its own recipe and is scored on val, and the best one is then fine-tuned in the seconds
that are left, as `finetune` would. `benchmarks/budgets.py --rivals` runs it beside `fit`.
``--clock work`` counts the seconds that the process has worked.

Left out: the first three trained to their ends; what `fit` does beside training (heads, ensembles).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

import headstart as hs
from headstart.errors import HeadstartError
from headstart.objectives import check_score
from headstart.ranking import default_starts
from headstart.training.options.strategies import default_strategy
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.conditions import Conditions
from headstart.tuning.fitting import fitting_setup, train_limit
from headstart.tuning.setup import prepare_sample
from headstart.tuning.texts import TextCache, text_cache
from headstart.tuning.tune import tune
from headstart.types import Dataset, Start

FINAL_SHARE = 0.4  # of the budget, that the passes leave to the training of the best
LEAST_FINAL = 10.0  # seconds; the least that finetune takes


def count_work() -> None:
    """Let the clock count what this process works, so that others' programs do not matter."""
    time.monotonic = time.process_time


def score_of(
    dataset: Dataset,
    start: Start,
    budget: Budget,
    deadline: float,
    seed: int,
    texts: TextCache | None,
) -> float | None:
    """Return the score on val after one pass over train; None where that cannot be.

    Args:
        dataset: The data.
        start: A candidate.
        budget: Of the whole rival.
        deadline: By which its pass has ended, finished or not.
        seed: Of everything.
        texts: What is kept of texts, for all candidates.
    """
    strategy = default_strategy(start)[0]
    options = TrainingOptions(
        strategy=strategy.name, num_epochs=1 if strategy.loops else None, seed=seed
    )
    device = torch.device("cpu")
    try:
        setup, each, _ = fitting_setup(dataset, start, options, budget, device=device, texts=texts)
        limit = train_limit(dataset, setup, each, budget)
        train = prepare_sample(dataset, "train", setup, limit, seed=seed)
        val = prepare_sample(dataset, "val", setup, None, seed=seed)
        tuned = tune(setup, train, val, Conditions(deadline=deadline, seconds_per_sample=each))
    except HeadstartError as error:
        print(f"{start.address}: {error}")
        return None
    targets = setup.model.standard_targets(val.targets)
    _, score, _, _ = check_score(dataset.schema.task, tuned.val_logits, targets)
    print(f"{start.address}: {score:.4f} on val after one pass")
    return score


def main() -> None:
    """Give every candidate a pass, and the best one the rest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--label")
    parser.add_argument("--budget", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clock", choices=("wall", "work"), default="wall")
    asked = parser.parse_args()
    if asked.clock == "work":
        count_work()
    budget = Budget(asked.budget, time.process_time())
    dataset = hs.load(asked.data, label=asked.label, seed=asked.seed)
    starts = default_starts(dataset, asked.budget)
    texts = text_cache(dataset, budget, seed=asked.seed)
    passes = (1 - FINAL_SHARE) * budget.left
    ends = [time.monotonic() + passes * (n + 1) / len(starts) for n in range(len(starts))]
    scores = {
        start.address: score
        for start, end in zip(starts, ends, strict=True)
        if (score := score_of(dataset, start, budget, end, asked.seed, texts)) is not None
    }
    best = max(scores, key=lambda address: scores[address])
    left = f"{max(LEAST_FINAL, budget.left):.1f}s"
    out = str(asked.out)
    hs.finetune(dataset, start=best, budget=left, seed=asked.seed, out=out, overwrite=True)


if __name__ == "__main__":
    main()
