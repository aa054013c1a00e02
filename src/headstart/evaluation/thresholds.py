"""Decision thresholds, tuned on val: where a probability is enough to say yes.

0.5 is right where both mistakes cost the same and the probabilities are true. Where they do not,
``--threshold`` says what is wanted: ``f1``, ``recall@precision=0.9`` (the highest recall with at
least that precision), ``precision@recall=0.9``, or ``cost=1:10`` (what a false alarm and what a
miss cost). A threshold lies half way between two scores of val. Deliberately left out: thresholds
of more than two exclusive classes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.curves import rank_items

EXAMPLES = "f1, recall@precision=0.9, precision@recall=0.9 or cost=1:10"
_AT = re.compile(r"(recall|precision)@(precision|recall)=(.+)")


@dataclass(frozen=True)
class ThresholdGoal:
    """What a threshold is to reach.

    Attributes:
        asked: As the user said it.
        figure: What is made as high as possible: ``f1``, ``recall``, ``precision``, or ``cost``,
            which is made as low as possible.
        least: What the other of precision and recall has to be at the least.
        costs: What a false alarm and what a miss cost, where ``figure`` is ``cost``.
    """

    asked: str
    figure: str
    least: float = 0.0
    costs: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class TunedThreshold:
    """A threshold, and what it does on the items that it was tuned on.

    Attributes:
        value: Yes is said where a probability is at least this.
        precision: 0 where nothing is said yes to.
        recall: 0 where nothing is positive.
        f1: 2 hits / (said + positives), 0 where both are none.
        is_reached: Whether what was asked for could be had.
    """

    value: float
    precision: float
    recall: float
    f1: float
    is_reached: bool = True


def parse_goal(text: str) -> ThresholdGoal:
    """Return what a user asks of thresholds.

    Args:
        text: As ``EXAMPLES`` shows it.

    Raises:
        OptionError: It is none of these.

    Example:
        >>> parse_goal("recall@precision=0.9").least
        0.9
    """
    wanted = text.strip().lower().replace(" ", "")
    refused = OptionError(f"threshold is '{text}'; expected {EXAMPLES}.")
    if wanted == "f1":
        return ThresholdGoal(text, "f1")
    if (found := _AT.fullmatch(wanted)) and found[1] != found[2]:
        least = _number(found[3], refused)
        if not 0 < least <= 1:
            raise OptionError(
                f"threshold is '{text}'; expected a {found[2]} above 0 and at most 1, such as "
                f"{found[1]}@{found[2]}=0.9."
            )
        return ThresholdGoal(text, found[1], least)
    if wanted.startswith("cost=") and wanted.count(":") == 1:
        alarm, miss = (_number(part, refused) for part in wanted[5:].split(":"))
        if not (alarm > 0 and miss > 0):
            raise OptionError(
                f"threshold is '{text}'; expected two positive costs, that of a false alarm and "
                "that of a miss, such as cost=1:10."
            )
        return ThresholdGoal(text, "cost", costs=(alarm, miss))
    raise refused


def _number(text: str, refused: OptionError) -> float:
    try:
        value = float(text)
    except ValueError:
        raise refused from None
    if not math.isfinite(value):
        raise refused
    return value


def tune_threshold(
    goal: ThresholdGoal, probabilities: np.ndarray, is_positive: np.ndarray
) -> TunedThreshold:
    """Return the threshold that reaches a goal best on some items.

    Every cut between two different probabilities is looked at, and those below and above all. Of
    equally good ones the nearest to 0.5 is taken. Where the precision or recall that is asked for
    cannot be had, the nearest to it is taken, and ``is_reached`` is False.

    Args:
        goal: What is wanted.
        probabilities: In [0, 1], shape (N,), N at least 1.
        is_positive: bool, shape (N,).

    Raises:
        OptionError: Shapes differ, or there is no item.
    """
    ranking = rank_items(probabilities, is_positive)
    hits, taken = (np.append(0.0, each) for each in (ranking.hits, ranking.taken))
    P, N = ranking.num_positive, ranking.num_items
    precision = np.divide(hits, taken, out=np.zeros(len(hits)), where=taken > 0)
    recall = hits / P if P else np.zeros(len(hits))
    f1 = np.divide(2 * hits, taken + P, out=np.zeros(len(hits)), where=taken + P > 0)
    cuts = _cuts(ranking.thresholds)
    is_reached = True
    if goal.figure == "cost":
        alarm, miss = goal.costs
        worth = -(alarm * (taken - hits) + miss * (P - hits)) / N
    elif goal.figure == "f1":
        worth = f1
    else:
        gained, kept = (recall, precision) if goal.figure == "recall" else (precision, recall)
        holds = kept >= goal.least - 1e-12
        is_reached = bool(holds.any())
        # the other figure only where the first is the same: it is smaller than any step
        worth = np.where(holds, gained + 1e-9 * kept, -np.inf) if is_reached else kept
    best = np.flatnonzero(worth >= worth.max() - 1e-12)
    chosen = int(best[np.argmin(np.abs(cuts[best] - 0.5))])
    return TunedThreshold(
        float(cuts[chosen]),
        float(precision[chosen]),
        float(recall[chosen]),
        float(f1[chosen]),
        is_reached,
    )


def _cuts(descending: np.ndarray) -> np.ndarray:
    """Return thresholds that take none, the first, the first two … of different probabilities."""
    top, bottom = float(descending[0]), float(descending[-1])
    above = (top + 1.0) / 2.0 if top < 1.0 else math.nextafter(1.0, 2.0)
    below = bottom / 2.0
    middle = (descending[:-1] + descending[1:]) / 2.0
    # of two neighbours among floats the middle may be the lower one, which must stay below
    middle = np.where(middle > descending[1:], middle, descending[:-1])
    return np.concatenate(([above], middle, [below]))
