"""When a model had better say that it does not know: the least certainty at which it answers.

``risk=0.02`` asks for the lowest certainty at which answers are wrong in at most 2 of 100, and
this with 95 % confidence, by what val shows; ``confidence=0.8`` states the certainty itself.

Source:
    Y. Geifman and R. El-Yaniv, 2017, Selective Classification for Deep Neural Networks, NIPS,
    algorithm 1 (SGR). Deviation: all thresholds that the binary search may visit share the error
    probability evenly, as there, and the bound of each is Clopper and Pearson's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.shares import exact_ends

EXAMPLES = "risk=0.02 or confidence=0.8"
_MISS = 0.05


@dataclass(frozen=True)
class RejectionGoal:
    """What is asked of answers that are given.

    Attributes:
        asked: As the user said it.
        kind: ``risk`` or ``confidence``.
        value: The highest share of wrong answers, or the least certainty.
    """

    asked: str
    kind: str
    value: float


@dataclass(frozen=True)
class TunedRejection:
    """From which certainty on answers are given.

    Attributes:
        least: Answers with less are "unknown".
        answered: Share of the calibration items that are answered.
        is_reached: Whether the risk could be had; else only the surest items are answered.
    """

    least: float
    answered: float
    is_reached: bool = True


def parse_rejection(text: str) -> RejectionGoal:
    """Return what a user asks of the answers that are given.

    Raises:
        OptionError: It is nothing of the kind.

    Example:
        >>> parse_rejection("risk=0.02").value
        0.02
    """
    kind, _, number = text.strip().lower().replace(" ", "").partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if kind not in ("risk", "confidence") or not 0.0 < value < 1.0:
        raise OptionError(
            f"reject is '{text}'; expected {EXAMPLES}, with a number between 0 and 1: the highest "
            "share of wrong answers, or the least probability."
        )
    return RejectionGoal(text, kind, value)


def tune_rejection(
    goal: RejectionGoal, confidence: np.ndarray, is_right: np.ndarray
) -> TunedRejection:
    """Return the least certainty at which a goal is reached on some items.

    Args:
        goal: What is wanted.
        confidence: In [0, 1], shape (N,), N at least 1.
        is_right: bool, shape (N,).
    """
    sure, right = np.asarray(confidence, np.float64), np.asarray(is_right, bool)
    if goal.kind == "confidence":
        return TunedRejection(goal.value, float((sure >= goal.value).mean()))
    levels = np.unique(sure)[::-1]  # the surest first
    ordered = np.sort(sure)
    wrong = np.sort(sure[~right])
    taken = len(ordered) - np.searchsorted(ordered, levels, "left")
    missed = len(wrong) - np.searchsorted(wrong, levels, "left")
    tail = _MISS / max(1, math.ceil(math.log2(len(levels) + 1)))
    _, highest = exact_ends(missed, taken, tail)
    # a binary search, as the source has it: each step looks at one level
    low, high, best = 0, len(levels) - 1, -1
    while low <= high:
        middle = (low + high) // 2
        if highest[middle] <= goal.value:
            best, low = middle, middle + 1
        else:
            # too few of the surest bound nothing: more of them may
            is_short = missed[middle] == 0 or missed[middle] / taken[middle] <= goal.value / 2
            low, high = (middle + 1, high) if is_short else (low, middle - 1)
    if best < 0:
        return TunedRejection(float(levels[0]), float(taken[0]) / len(sure), is_reached=False)
    least = float(levels[best])
    below = levels[best + 1] if best + 1 < len(levels) else 0.0
    return TunedRejection((least + float(below)) / 2.0, float(taken[best]) / len(sure))
