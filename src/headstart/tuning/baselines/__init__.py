"""What a simple, quick method reaches on the same items, beside every run: one file a method.

A text run shows TF-IDF with a linear model, an image run one of pixels; where words are told of a
dictionary and a linear tagger, where texts are written the text itself and a translation memory,
where answers are found the first sentence and what stands beside the question's words; a table run
gradient-boosted trees; a start that knows texts what it says by the names of classes; what has
columns beside it each of both alone. None is tuned, and none is claimed to lose: the report says
which won. The predictor that knows nothing but train's targets is the task's own
(``Task.baseline``).
"""

from __future__ import annotations

from functools import partial

from headstart.tuning.baselines.alone import (
    MAIN_ALONE,
    MAIN_ALONE_BASELINE,
    ROWS_ALONE,
    ROWS_ALONE_BASELINE,
)
from headstart.tuning.baselines.baseline import Baseline, Items, Rival
from headstart.tuning.baselines.boosting import BOOSTING_BASELINE
from headstart.tuning.baselines.copying import COPY, COPY_BASELINE, MEMORY, MEMORY_BASELINE
from headstart.tuning.baselines.looking_up import (
    FIRST,
    FIRST_BASELINE,
    NEAREST,
    NEAREST_BASELINE,
)
from headstart.tuning.baselines.pixels import PIXELS, PIXELS_BASELINE
from headstart.tuning.baselines.tagger import (
    DICTIONARY,
    DICTIONARY_BASELINE,
    LINEAR,
    LINEAR_BASELINE,
)
from headstart.tuning.baselines.tfidf import TFIDF_BASELINE
from headstart.tuning.baselines.zero_shot import ZERO_SHOT, ZERO_SHOT_BASELINE
from headstart.tuning.budget import Budget
from headstart.tuning.in_time import in_time
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.slowness import slowness
from headstart.types import Dataset

LAST_SECONDS = 1.5  # of work: figures, their intervals and the page; 0.5 to 1.0 were measured
BASELINES: dict[str, Baseline] = {
    "TF-IDF + linear": TFIDF_BASELINE,
    PIXELS: PIXELS_BASELINE,
    "gradient boosting": BOOSTING_BASELINE,
    DICTIONARY: DICTIONARY_BASELINE,
    LINEAR: LINEAR_BASELINE,
    MAIN_ALONE: MAIN_ALONE_BASELINE,
    ROWS_ALONE: ROWS_ALONE_BASELINE,
    COPY: COPY_BASELINE,
    MEMORY: MEMORY_BASELINE,
    FIRST: FIRST_BASELINE,
    NEAREST: NEAREST_BASELINE,
    ZERO_SHOT: ZERO_SHOT_BASELINE,
}


def baselines_seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    """Return about what the baselines of a data set take, in seconds.

    Args:
        dataset: The data.
        setup: The fine-tuned model; where it is the baseline itself there is none.
    """
    return sum(
        baseline.seconds(dataset, setup)
        for baseline in BASELINES.values()
        if baseline.applies(dataset, setup)
    )


def run_baselines(items: Items, setup: TrainingSetup, budget: Budget) -> list[Rival]:
    """Train the baselines that apply, and return what they decide for the test items.

    Args:
        items: The data, and its splits prepared for ``setup``.
        setup: The fine-tuned model: its cells are what trees see; its start is no baseline of
            itself.
        budget: A baseline that does not fit what is left is not run, and that is said.
    """
    rest = LAST_SECONDS * slowness(budget.load)
    tried = (
        in_time(
            budget,
            rest,
            f"The baseline {name}",
            partial(baseline.run, items, setup, budget),
            library=baseline.library,
        )
        for name, baseline in BASELINES.items()
        if baseline.applies(items.dataset, setup)
    )
    return [rival for rival in tried if rival is not None]


__all__ = [
    "BASELINES",
    "LAST_SECONDS",
    "Baseline",
    "Items",
    "Rival",
    "baselines_seconds",
    "run_baselines",
]
