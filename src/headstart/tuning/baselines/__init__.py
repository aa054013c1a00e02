"""What a simple, quick method reaches on the same items, beside every run: one file a method.

A text run shows TF-IDF with a linear model, a table run gradient-boosted trees. Neither is tuned,
and neither is claimed to lose: the report says which won. The predictor that knows nothing but
train's targets is the task's own (``Task.baseline``).
"""

from __future__ import annotations

from headstart.tuning.baselines.baseline import Baseline, Items, Rival
from headstart.tuning.baselines.boosting import BOOSTING_BASELINE
from headstart.tuning.baselines.tfidf import TFIDF_BASELINE
from headstart.tuning.budget import Budget
from headstart.tuning.setup import Bench
from headstart.types import Dataset

BASELINES: dict[str, Baseline] = {
    "TF-IDF + linear": TFIDF_BASELINE,
    "gradient boosting": BOOSTING_BASELINE,
}


def baselines_seconds(dataset: Dataset, bench: Bench) -> float:
    """Return about what the baselines of a data set take, in seconds.

    Args:
        dataset: The data.
        bench: The fine-tuned model; where it is the baseline itself there is none.
    """
    return sum(
        baseline.seconds(dataset, bench)
        for baseline in BASELINES.values()
        if baseline.applies(dataset, bench)
    )


def run_baselines(items: Items, bench: Bench, budget: Budget) -> list[Rival]:
    """Train the baselines that apply, and return what they decide for the test items.

    Args:
        items: The data, and its splits prepared for ``bench``.
        bench: The fine-tuned model: its cells are what trees see; its start is no baseline of
            itself.
        budget: A baseline that does not fit what is left is not run, and that is said.
    """
    tried = (
        baseline.run(items, bench, budget)
        for baseline in BASELINES.values()
        if baseline.applies(items.dataset, bench)
    )
    return [rival for rival in tried if rival is not None]


__all__ = ["BASELINES", "Baseline", "Items", "Rival", "baselines_seconds", "run_baselines"]
