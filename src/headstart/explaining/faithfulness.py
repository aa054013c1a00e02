"""Whether an explanation names what a model goes by: deleting it against deleting at random.

The same is deleted in both cases: as many words or columns, or a region of the same form. Judged is
the difference, item by item, with its paired interval; an explanation is believed where all of the
interval is above zero.

Source:
    W. Samek et al., 2017, IEEE Transactions on Neural Networks 28, 2660-2673 (deleting what is
    named), with random deletions in place of a second method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.evaluation import figure_to_json
from headstart.evaluation.means import plain_mean, studentised_interval, unit_sums
from headstart.types import Figure

SHARE = 0.2  # of what is deleted
NUM_RANDOM = 3  # random deletions an item, whose mean counts
LEAST_ITEMS = 12
_NUM_RESAMPLES = 1_000


@dataclass(frozen=True)
class Faithfulness:
    """What deleting has shown.

    Attributes:
        deleted: Mean fall of the answer without what is named.
        random: The same without as much at random.
        difference: The first minus the second, item by item.
        num_items: Items.
    """

    deleted: Figure
    random: Figure
    difference: Figure
    num_items: int

    @property
    def is_faithful(self) -> bool:
        """Whether deleting what is named lowers the answer more than chance."""
        return self.num_items >= LEAST_ITEMS and self.difference.low > 0

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict."""
        return {
            "share": SHARE,
            "num_items": self.num_items,
            "deleted": figure_to_json(self.deleted),
            "random": figure_to_json(self.random),
            "difference": figure_to_json(self.difference),
            "is_faithful": bool(self.is_faithful),
        }


def judge(deleted: np.ndarray, random: np.ndarray, *, seed: int = 0) -> Faithfulness:
    """Judge falls of the answer.

    Args:
        deleted: Of each item without what is named, shape (N,).
        random: Of each without as much at random, the mean of its draws, shape (N,).
        seed: Of the intervals.
    """
    return Faithfulness(
        mean_figure(deleted, seed),
        mean_figure(random, seed),
        mean_figure(deleted - random, seed),
        len(deleted),
    )


def mean_figure(values: np.ndarray, seed: int = 0) -> Figure:
    """Return the mean of values, shape (N,), with its 95 % interval; unknown ends below 2."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return Figure(float(values.mean()) if len(values) else np.nan, np.nan, np.nan)
    if not values.std() > 0:
        mean = float(values.mean())
        return Figure(mean, mean, mean)
    units = unit_sums(values[None], None, seed)
    return studentised_interval(units, plain_mean, num_resamples=_NUM_RESAMPLES, seed=seed)


def num_deleted(number: int) -> int:
    """Return how many of so many parts are deleted: a fifth, one at the least."""
    return max(1, round(SHARE * number))
