"""What is counted of each class or label, and its figures: alone, and in the mean over all.

One code path serves one class an item and several labels an item: both hand over pairs of an item
and a class that it has, and of an item and a class that is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.evaluation.clusters import Groups, effective_numbers
from headstart.evaluation.parts import Parts, divide, mean_of_parts, unseen_parts
from headstart.evaluation.records import ClassScores
from headstart.evaluation.shares import even_reach, exact_ends, exact_f1, exact_share
from headstart.types import Figure

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Counts:
    """What is counted of each of K classes; int64, shape (K,), but for the last.

    Attributes:
        hits: Items of the class that were predicted as it.
        support: Items of the class.
        predicted: Items predicted as the class.
        effective: As how many independent items those of precision, recall and F1 count; float64,
            shape (3, K).
    """

    hits: np.ndarray
    support: np.ndarray
    predicted: np.ndarray
    effective: np.ndarray


def count_classes(
    wanted: tuple[np.ndarray, np.ndarray, np.ndarray],
    found: tuple[np.ndarray, np.ndarray, np.ndarray],
    num_items: int,
    num_classes: int,
    groups: Groups | None,
) -> Counts:
    """Count targets and predictions of each class.

    Args:
        wanted: Of each pair of an item and a class that it has: the class, the item, and whether
            the class was predicted; each of shape (M,).
        found: The same of each pair of an item and a class predicted: the class, the item, and
            whether it has the class.
        num_items: N.
        num_classes: K.
        groups: Which items belong together.
    """
    K = num_classes
    (rows, items, is_found), (said, said_of, is_right) = wanted, found
    support = np.bincount(rows, minlength=K)
    predicted = np.bincount(said, minlength=K)
    hits = np.bincount(rows[is_found], minlength=K)
    if groups is None:
        touched = support + predicted - hits
        return Counts(hits, support, predicted, np.stack((predicted, support, touched)))
    more = ~is_right  # what is predicted and no target: with the targets all that F1 looks at
    touched_pairs = (
        np.concatenate((rows, said[more])),
        np.concatenate((items, said_of[more])),
        np.concatenate((is_found, np.zeros(int(more.sum()), bool))),
    )
    effective = np.stack(
        [
            effective_numbers(classes, is_hit, groups.codes[of], K)
            for classes, of, is_hit in (found, wanted, touched_pairs)
        ]
    )
    return Counts(hits, support, predicted, effective)


def counted_scores(counts: Counts, k: int) -> ClassScores:
    """Return a class's scores from counts; NaN throughout if it is neither a target nor predicted.

    A class that occurs but was never predicted (or is predicted but never occurs) has 0 / 0
    precision (recall), which counts as 0, as in the macro figures; its interval is [0, 1], for
    there is no item to learn it from.

    Args:
        counts: Of all classes.
        k: The class.
    """
    hits, support, predicted = (
        int(array[k]) for array in (counts.hits, counts.support, counts.predicted)
    )
    of_precision, of_recall, of_f1 = counts.effective[:, k].tolist()
    nothing_known = Figure(0.0, 0.0, 1.0) if support + predicted else exact_share(0, 0)
    touched = support + predicted - hits
    return ClassScores(
        precision=exact_share(hits, predicted, of_precision) if predicted else nothing_known,
        recall=exact_share(hits, support, of_recall) if support else nothing_known,
        f1=exact_f1(hits, touched, of_f1),
        support=support,
    )


def macro_figures(
    wanted: Pairs,
    found: Pairs,
    counts: Counts,
    expected: np.ndarray,
    num_items: int,
    groups: Groups | None,
) -> dict[str, Figure]:
    """Return precision, recall and F1 in the mean over the classes that occur, with intervals.

    Args:
        wanted: As ``count_classes`` takes them.
        found: The same.
        counts: What it gave.
        expected: Items of each class that the model expects, shape (K,).
        num_items: N.
        groups: Which items belong together.
    """
    hits, support, predicted = (
        each.astype(np.float64) for each in (counts.hits, counts.support, counts.predicted)
    )
    is_seen = support + predicted > 0
    num_unseen = unseen_parts(expected, is_seen)
    both = support + predicted
    precision, recall, f1 = (
        divide(hits, predicted),
        divide(hits, support),
        divide(2.0 * hits, both),
    )
    (rows, items, is_found), (said, said_of, is_right) = wanted, found
    more = ~is_right
    moves = {
        "precision_macro": (said_of, said, (is_right - precision[said]) / predicted[said]),
        "recall_macro": (items, rows, (is_found - recall[rows]) / support[rows]),
        "f1_macro": (
            np.concatenate((items, said_of[more])),
            np.concatenate((rows, said[more])),
            np.concatenate(
                (
                    (2.0 * is_found - f1[rows] * (1.0 + is_found)) / both[rows],
                    -f1[said[more]] / both[said[more]],
                )
            ),
        ),
    }
    touched = support + predicted - hits
    shares = (
        (precision, precision, counts.effective[0], predicted),
        (recall, recall, counts.effective[1], support),
        (f1, divide(hits, touched), counts.effective[2], touched),
    )
    figures = {}
    for (name, (of, classes, influences)), (values, share, effective, trials) in zip(
        moves.items(), shares, strict=True
    ):
        even = even_reach(share, effective)
        low, high = exact_ends(share * effective, np.where(trials > 0, effective, 0.0))
        missed = np.zeros(len(values))
        if name == "f1_macro":
            low, high = (2.0 * end / (1.0 + end) for end in (low, high))
            even *= 2.0 / (1.0 + share) ** 2
            missed = divide(values * (1.0 - values), both)  # the second term of the delta method
        units = of if groups is None else groups.codes[of]
        num_units = num_items if groups is None else groups.num
        moved = _matrix(influences, units, classes, (num_units, len(values)))
        errors = np.sqrt(np.asarray((moved * moved).sum(axis=0)).ravel())
        known = np.where(is_seen, values, np.nan)
        parts = Parts(
            known, np.minimum(low, values), np.maximum(high, values), errors, even, missed
        )
        figures[name] = mean_of_parts(parts, _Spread(moved), num_unseen)
    return figures


class _Spread:
    """The variance of a weighted sum of parts, by the influences of units on each."""

    def __init__(self, moved: csr_array) -> None:
        self._moved = moved

    def __call__(self, factors: np.ndarray) -> float:
        return float(((self._moved @ factors) ** 2).sum())


def _matrix(
    values: np.ndarray, units: np.ndarray, classes: np.ndarray, shape: tuple[int, int]
) -> csr_array:
    """Return influences as a sparse matrix, those of one unit and class summed up."""
    from scipy.sparse import coo_array

    return coo_array((values, (units, classes)), shape=shape).tocsr()
