"""Whether two computations of one network agree: the rule of every export and every check.

A difference is allowed up to 1e-4 and 1e-4 of the largest logit; another class only where the two
best were so near that this could turn them. Never by relative error alone, which near zero says
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headstart.types import Ragged, Rows

TOLERANCE = 1e-4
BATCHES = (1, 2, 3, 7, 33)


@dataclass(frozen=True)
class Agreement:
    """How far two sets of logits are apart.

    Attributes:
        largest: The greatest difference.
        allowed: What it may be.
        num_turned: Rows whose best class is another one.
        num_wrong: Those of them that no allowed difference could have turned.
    """

    largest: float
    allowed: float
    num_turned: int
    num_wrong: int

    @property
    def holds(self) -> bool:
        """Whether they agree."""
        return self.largest <= self.allowed and not self.num_wrong  # False of NaN


def compare_logits(found: Rows, expected: Rows) -> Agreement:
    """Compare logits, float, shape (B, K) or ragged of words, with those that they should be."""
    found, expected = _flat(found), _flat(expected)
    allowed = TOLERANCE + TOLERANCE * float(np.abs(expected).max(initial=0.0))
    largest = float(np.abs(found.astype(np.float64) - expected).max(initial=0.0))
    if expected.shape[1] < 2:
        return Agreement(largest, allowed, 0, 0)
    is_turned = found.argmax(axis=1) != expected.argmax(axis=1)
    best = np.sort(expected, axis=1)
    is_near = best[:, -1] - best[:, -2] < 2 * allowed  # both of the two may have moved
    return Agreement(largest, allowed, int(is_turned.sum()), int((is_turned & ~is_near).sum()))


def _flat(logits: Rows) -> np.ndarray:
    """Return logits with a row for each thing that something is told of."""
    whole = logits.whole if isinstance(logits, Ragged) else logits
    return whole.reshape(-1, whole.shape[-1])


def num_compared(available: int) -> int:
    """Return how many of some samples are compared: those of one batch of each size."""
    return min(available, sum(BATCHES))


def in_batches(run: Callable[[np.ndarray], Rows], num: int) -> Rows:
    """Return what a network gives for N samples, in batches of every size of ``BATCHES``.

    Where there are fewer samples than the batches hold together, they are taken again.

    Args:
        run: Places of samples, int64, shape (B,), to their logits.
        num: N, at least 1.
    """
    rows: dict[int, np.ndarray] = {}
    is_ragged, start = False, 0
    for size in BATCHES:
        places = np.arange(start, start + size) % num
        made = run(places)
        is_ragged = isinstance(made, Ragged)
        rows.update(zip(places.tolist(), made, strict=True))
        start += size
    found = [rows[place] for place in range(num)]
    return Ragged.of(found) if is_ragged else np.stack(found)
