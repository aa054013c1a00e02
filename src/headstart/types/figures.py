"""Figures with intervals, paired verdicts, and predictions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval.

    Attributes:
        value: The point estimate on all items.
        low: Lower end; NaN when it cannot be estimated.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A paired verdict of two predictors on the same test items.

    Attributes:
        before: Name of the first.
        after: Name of the second.
        gained: Items that only ``after`` has right; under regression, those it is nearer to.
        lost: The same the other way round.
        difference: ``metric`` after minus before, with its paired interval.
        p_value: Two-sided: McNemar's exact test, or Wilcoxon's signed-rank test on the absolute
            errors under regression.
        metric: What differs: ``accuracy``, ``exact_match`` (multi-label) or ``mae``.
    """

    before: str
    after: str
    gained: int
    lost: int
    difference: Figure
    p_value: float
    metric: str = "accuracy"


@dataclass(frozen=True)
class Prediction:
    """What a model says of one sample.

    Attributes:
        name: The sample's path, row or number; "reviews.csv row 3", "text 1".
        label: The most probable class; under multi-label all that are more likely than not, joined
            by ", "; under regression the value as text.
        probability: Of the most probable class; NaN under regression.
        probabilities: One a class, in the order of the classes; empty under regression.
        value: The predicted number under regression, otherwise None.
    """

    name: str
    label: str
    probability: float
    probabilities: tuple[float, ...]
    value: float | None = None
