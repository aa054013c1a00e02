"""What a model says beyond its probabilities, settled on val and stored with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Deciding:
    """How answers are made of outputs.

    Attributes:
        thresholds: From which probability on yes is said. Of several labels one a label; of two
            exclusive classes the one of ``positive``. Empty: 0.5, and the most probable class.
        positive: Which of two exclusive classes the threshold is of.
        goal: What the thresholds were tuned for, as the user said it.
        coverage: How often a set or an interval holds the truth; None where none is told.
        bound: What is in a set fits at least so well (``evaluation.conformal``); of numbers, half
            the width of the interval.
        least: Answers of a smaller probability are "unknown"; None answers always.
        rejection: What that was tuned for, as the user said it.
        costs: What answers cost, a row for each class that is right and in it a number for each
            answer: then the answer is the one with the smallest expected cost.
        least_lead: By how much the logits of a span must lead those of "no answer" for it to be
            said; None for 0.
        most_tokens: Of a span that is found in a text; None for the task's own number.
        span_power: To which power the probability of an entity is raised; None for 1.
    """

    thresholds: tuple[float, ...] = ()
    positive: int | None = None
    goal: str | None = None
    coverage: float | None = None
    bound: float | None = None
    least: float | None = None
    rejection: str | None = None
    costs: tuple[tuple[float, ...], ...] = ()
    least_lead: float | None = None
    most_tokens: int | None = None
    span_power: float | None = None

    def to_json(self) -> dict[str, object]:
        """Return a record, of what is said alone."""
        said = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in said.items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None, num_classes: int) -> Deciding:
        """Return what ``to_json`` wrote; of None what decides as ever.

        Args:
            record: A JSON value.
            num_classes: Of the model; 0 for numbers.

        Raises:
            ValueError: It is no such record; also TypeError.
        """
        said = dict(record or {})
        said["thresholds"] = tuple(map(float, said.get("thresholds", ())))
        said["costs"] = tuple(tuple(map(float, row)) for row in said.get("costs", ()))
        found = cls(**said)
        expected = (1,) if found.positive is not None else (0, num_classes)
        numbers = (*found.thresholds, found.coverage, found.bound, found.least, found.most_tokens)
        numbers += (found.span_power,)
        numbers += tuple(cost for row in found.costs for cost in row)
        is_square = not found.costs or {num_classes} == {len(found.costs), *map(len, found.costs)}
        is_known = all(n is None or (_is_number(n) and n >= 0) for n in numbers)
        is_sided = found.positive is None or (found.positive in (0, 1) and num_classes == 2)
        is_whole = is_known and is_sided and is_square
        is_whole = is_whole and (found.least_lead is None or _is_number(found.least_lead))
        if len(found.thresholds) not in expected or not is_whole:
            raise ValueError(f"'deciding' is {record}")
        return found


PLAINLY = Deciding()  # at 0.5, by the most probable class, of every sample, and no set


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
