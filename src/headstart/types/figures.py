"""Figures with intervals, what they measure, paired verdicts, and predictions."""

from __future__ import annotations

from dataclasses import KW_ONLY, asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Literal

from headstart.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headstart.types.data import BadSample


_MAX_SHOWN = 100  # rows of a table in a notebook
_TOP = 5


def foremost(labels: Sequence[str], shares: Iterable[float]) -> tuple[dict[str, object], ...]:
    """Return the likeliest five of all labels, each with its probability, as JSON has them."""
    best = sorted(zip(labels, shares, strict=True), key=lambda pair: -pair[1])[:_TOP]
    return tuple({"label": label, "probability": share} for label, share in best)


@dataclass(frozen=True)
class Measure:
    """What a figure measures, and how a person reads it.

    Attributes:
        name: What a person calls it.
        meaning: What it says, in a few words.
        is_higher_better: False also where zero is best.
        unit: ``percent``: a share that is read in percent where it stands alone; ``target``: a
            quantity in the units of the target; empty: another share or ratio.
    """

    name: str
    meaning: str
    is_higher_better: bool = True
    unit: Literal["", "percent", "target"] = ""

    @property
    def sign(self) -> float:
        """1, or -1 where less is better."""
        return 1.0 if self.is_higher_better else -1.0


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
        gained: Items that only ``after`` has right; of numbers, those it is nearer to.
        lost: The same the other way round.
        difference: ``metric`` after minus before, with its paired interval.
        p_value: Two-sided: McNemar's exact test, or Wilcoxon's signed-rank test on the absolute
            errors of numbers.
        metric: What differs: ``accuracy``, ``exact_match`` or ``mae``.
    """

    before: str
    after: str
    gained: int
    lost: int
    difference: Figure
    p_value: float
    metric: str = "accuracy"


@dataclass(frozen=True)
class Span:
    """One thing found in a text.

    Attributes:
        start: Its first character.
        end: The character after its last.
        label: What it is.
        text: The characters themselves.
        probability: Of the least sure of its words.
    """

    start: int
    end: int
    label: str
    text: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What a model says of one sample.

    Attributes:
        name: The sample's path, row or number; "reviews.csv row 3", "text 1".
        label: What is said, as text: the most probable class; of several labels all that are more
            likely than not, joined by ", "; a number. With tuned thresholds, what these say; where
            the model is to say when it does not know, "unknown".
        probability: Of the most probable class, or of that which a tuned threshold says; NaN where
            there are no classes.
        probabilities: One a class, in the order of the classes; empty where there are none.
        value: The predicted number, None where classes are predicted.
        spans: What was found in a text, in its order; None where a text is told of as a whole.
        text: What was written; None where no text is told.
        possible: Classes of which the right one is among with the stated coverage; empty where no
            coverage is stated.
        low: Lower end of the interval that holds the number with the stated coverage; None where
            none is stated.
        high: The same upwards.
        top: The likeliest few as ``foremost`` names them, where what is chosen among is no list of
            classes that stands in the model.
        guess: What ``label`` would be, were the model sure enough; None where it is, or always
            answers.
        parts: Of several targets what is said of each, by its label; None where there is one.
    """

    name: str
    label: str
    probability: float
    probabilities: tuple[float, ...]
    value: float | None = None
    _: KW_ONLY
    spans: tuple[Span, ...] | None = None
    text: str | None = None
    possible: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    guess: str | None = None
    top: tuple[Mapping[str, object], ...] = ()
    parts: Mapping[str, Prediction] | None = None

    @property
    def decided(self) -> str:
        """The label, however sure the model is of it."""
        return self.label if self.guess is None else self.guess

    @property
    def beside(self) -> dict[str, object]:
        """What is told beside the answer, by name; empty for a model that tells no more."""
        told = {name: getattr(self, name) for name in ("top", "possible", "low", "high", "guess")}
        return {name: value for name, value in told.items() if value not in (None, ())}

    def to_json(self) -> dict[str, object]:
        """Return what a program reads; a number has no probabilities, and JSON no NaN."""
        if self.value is not None:
            return {"name": self.name, "value": self.value, **self.beside}
        if self.parts is not None:
            each = {label: one.to_json() for label, one in self.parts.items()}
            for one in each.values():
                del one["name"]
            return {"name": self.name, "targets": each}
        if self.spans is not None and self.text is not None:  # an answer, found in a context
            at = next(((one.start, one.end) for one in self.spans), (None, None))
            told = {"answer": self.text or None, "start": at[0], "end": at[1]}
            return {"name": self.name, **told, "probability": self.probability}
        if self.spans is not None:
            return {"name": self.name, "spans": [asdict(span) for span in self.spans]}
        if self.text is not None:
            return {"name": self.name, "text": self.text}
        record = {"name": self.name, "label": self.label, "probability": self.probability}
        return {**record, "probabilities": self.probabilities, **self.beside}


class Predictions(list[Prediction]):
    """One prediction for each sample that could be used, in order.

    Args:
        records: What each sample gave: its prediction, or why it could not be used.

    Attributes:
        records: See above.
        written: The file that holds them; None where they are only returned.
    """

    def __init__(self, records: Iterable[Prediction | BadSample] = ()) -> None:
        self.records = list(records)
        self.written: str | None = None
        super().__init__(one for one in self.records if isinstance(one, Prediction))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the first hundred as a table."""
        rows = "".join(_html_row(one) for one in self.records[:_MAX_SHOWN])
        more = len(self.records) - _MAX_SHOWN
        told = f"<div>and {more:,} more</div>" if more > 0 else ""
        head = "<tr><th>sample</th><th>prediction</th><th>probability</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>{told}"

    @property
    def exit_code(self) -> int:
        """That of a command: that of data which cannot be read, where some could not."""
        return DataError.exit_code if len(self.records) > len(self) else 0


def _html_row(one: Prediction | BadSample) -> str:
    """Return a row of a table: a sample with what is said of it, or why nothing is."""
    if isinstance(one, Prediction):
        sure = f"{one.probability:.4f}" if one.probabilities else ""
        cells = (one.name, one.label, sure)
    else:
        cells = (one.name, f"not read: {one.reason}", "")
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
