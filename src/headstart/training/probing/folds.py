"""Which penalty, where validation samples are few: cross-validated over train and val together.

Thirty-six of them prefer the weakest penalty as often as not, by chance, and what was chosen by
that chance is judged as if it were none. So every sample is asked once, by a model that has not
seen it nor any of its group. Of many samples a few folds are enough: they are what it costs.

Left out: a choice of anything else, and the fit itself (``probe.py``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.training.randomness import BOOTSTRAP, generator

# Below so many validation samples the penalty is cross-validated. A judgement: up to 200 it lowers
# the loss (benchmarks/small_val.py), from how many on val alone is as good was not measured.
FEW_SAMPLES = 500  # and so many are asked at the least, where there are as many
NUM_FOLDS = 5
_MOST_SAMPLES = 10_000  # that take part
_TIME_SHARE = 0.5  # of what is left until the deadline
_PAST_MINIMUM = 1.02  # times the smallest loss: the strengths beyond are weaker still

# places to learn from to the function from (strength, iterations) and places to ask to what was
# found: summed loss, samples asked, iterations taken
Learn = Callable[[np.ndarray], Callable[[float, int, np.ndarray], tuple[float, float, int]]]


@dataclass(frozen=True)
class Penalty:
    """A penalty, and by what it was chosen.

    Attributes:
        strength: The inverse L2 strength.
        by: In words, after "chosen by".
    """

    strength: float
    by: str


def cost_of_choosing(num_train: int, num_val: int) -> float:
    """Return how many times the work of a choice by val alone it takes, about.

    Args:
        num_train: Samples to learn from.
        num_val: Samples to choose by.
    """
    if num_val >= FEW_SAMPLES:
        return 1.0
    num = max(1, min(_MOST_SAMPLES, num_train + num_val))
    asked = min(NUM_FOLDS, math.ceil(FEW_SAMPLES * NUM_FOLDS / num))
    of_each = (NUM_FOLDS - 1) / NUM_FOLDS * num / max(1, num_train)
    return 0.25 + asked * of_each  # and one fit more, of four or five strengths


def join_rows(first: Any, second: Any) -> Any:
    """Return the rows of two matrices, dense or both CSR, one below the other."""
    if isinstance(first, np.ndarray):
        return np.concatenate([first, second])
    from scipy.sparse import vstack

    return vstack([first, second]).tocsr()


def as_unseen(asked: Any, learned: Any) -> Any:
    """Return rows as they would be if what made them had not seen them; dense ones as they are.

    Rows of term weights have length 1 over the terms that train has, their own among them. A text
    that is met later has none that train has not, and length 1 over the rest: a text that is left
    out keeps terms of which the others know nothing, and its known ones count too little. So terms
    that no row learned from has are dropped, and the rows get their length back.

    Args:
        asked: Rows that are left out, dense or CSR.
        learned: Rows that are learned from.
    """
    if isinstance(asked, np.ndarray):
        return asked
    is_known = np.bincount(learned.indices, minlength=learned.shape[1]) > 0
    found = asked.copy()
    before = _lengths(found)
    found.data = np.where(is_known[found.indices], found.data, 0).astype(found.dtype)
    if not np.allclose(before[before > 0], 1.0, atol=1e-3):
        return found  # no rows of length 1: nothing was shared out among their terms
    after = _lengths(found)
    scale = np.divide(before, after, out=np.ones_like(after), where=after > 0)
    found.data = (found.data * np.repeat(scale, np.diff(found.indptr))).astype(found.dtype)
    return found


def _lengths(rows: Any) -> np.ndarray:
    """Return the length of each row, float64, shape (N,)."""
    of_row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    squares = np.bincount(of_row, rows.data.astype(np.float64) ** 2, minlength=rows.shape[0])
    lengths: np.ndarray = np.sqrt(squares)
    return lengths


def most_places(num_samples: int) -> np.ndarray | None:
    """Return the places of as many samples as take part, sorted; None for all of them."""
    if num_samples <= _MOST_SAMPLES:
        return None
    return np.sort(generator(BOOTSTRAP, num_samples).permutation(num_samples)[:_MOST_SAMPLES])


def deal_folds(targets: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return the fold of each sample, int64, shape (N,): groups whole, classes and values spread.

    Groups are dealt in turn in the order of the target of their first sample (one class or one
    number a sample; several labels at random), so that each fold has its share of each class as
    nearly as may be. As many folds as ``NUM_FOLDS``, or as there are groups.

    Args:
        targets: N rows.
        groups: The same for samples that belong together, shape (N,); None where each is alone.
    """
    alone = np.arange(len(targets)) if groups is None else groups
    _, first, of_group = np.unique(alone, return_index=True, return_inverse=True)
    order = generator(BOOTSTRAP, len(targets)).permutation(len(first))
    if targets.ndim == 1:
        order = order[np.argsort(targets[first[order]], kind="stable")]
    folds = np.empty(len(first), np.int64)
    folds[order] = np.arange(len(first)) % min(NUM_FOLDS, len(first))
    dealt: np.ndarray = folds[of_group.reshape(-1)]
    return dealt


def cross_validate(
    learn: Learn,
    folds: np.ndarray,
    strengths: Sequence[float],
    *,
    iterations: tuple[int, int],
    deadline: float | None,
) -> Penalty | None:
    """Return the strength with the smallest mean loss on samples not learned from.

    Args:
        learn: What learns and asks.
        folds: Of each sample, shape (N,).
        strengths: Inverse L2 strengths to try, ascending.
        iterations: Of a solver, the fewest and the most.
        deadline: ``time.monotonic()`` value; at most half of the time until then is taken. A
            strength that not all folds have tried in time does not count.

    Returns:
        None where there was no time for one strength, or nothing could be asked.
    """
    num_folds = int(folds.max()) + 1
    asked = min(num_folds, math.ceil(FEW_SAMPLES * num_folds / len(folds)))
    parts = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(asked)]
    if num_folds < 2 or (deadline is not None and time.monotonic() >= deadline):
        return None
    clock = _Clock(*iterations, deadline)
    solvers = [learn(inner) for inner, _ in parts]
    if deadline is not None:
        clock.measure(lambda most: solvers[0](strengths[0], most, parts[0][1])[2])
    best: tuple[float, float] | None = None
    for strength in strengths:
        summed = num = 0.0
        for place, (solve, (_, outer)) in enumerate(zip(solvers, parts, strict=True)):
            if clock.is_over:
                break
            loss, count, _ = solve(strength, clock.affordable(asked - place), outer)
            summed, num = summed + loss, num + count
        if clock.is_over or not num:
            break
        mean = summed / num
        if best is None or mean < best[0]:
            best = (mean, strength)
        elif mean > best[0] * _PAST_MINIMUM:
            break
    if best is None:
        return None
    num_asked = sum(len(outer) for _, outer in parts)
    what = f"{num_folds}-fold cross-validation over train and val ({num_asked:,} samples asked)"
    return Penalty(best[1], what)


class _Clock:
    """Counts a solver's iterations out, so that folds end in their share of the time.

    Args:
        fewest: Iterations of a solver.
        most: Iterations of a solver.
        deadline: ``time.monotonic()`` value, or None.
    """

    def __init__(self, fewest: int, most: int, deadline: float | None) -> None:
        self._fewest, self._most = fewest, most
        now = time.monotonic()
        self._until = None if deadline is None else now + _TIME_SHARE * (deadline - now)
        self._each = 0.0  # seconds an iteration

    @property
    def is_over(self) -> bool:
        """Whether the share is spent."""
        return self._until is not None and time.monotonic() > self._until

    def measure(self, solve: Callable[[int], int]) -> None:
        """Time a solver of few iterations, which says how many it took."""
        began = time.monotonic()
        taken = solve(self._fewest)
        self._each = (time.monotonic() - began) / max(1, taken)

    def affordable(self, num_left: int) -> int:
        """Return the iterations of the next of so many solvers."""
        if self._until is None:
            return self._most
        found = int((self._until - time.monotonic()) / max(1e-9, self._each) / num_left)
        return max(self._fewest, min(self._most, found))
