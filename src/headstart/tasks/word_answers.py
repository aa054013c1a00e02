"""What is told of the words of a text, as people and programs read it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headstart.evaluation.entities import Entities
from headstart.types import Prediction, Sentence, Span

_MOST_SHOWN = 40  # entities of one mistake
NOTHING = "nothing"


def spans_of(
    found: Entities, chances: np.ndarray, types: Sequence[str], sentences: Sequence[Sentence]
) -> list[list[Span]]:
    """Return the spans of each text, in characters of the text.

    Args:
        found: Entities of N texts.
        chances: How probable each entity is, shape (M,).
        types: Names of the types.
        sentences: The N texts with the places of their words.
    """
    spans: list[list[Span]] = [[] for _ in sentences]
    columns = (found.row, found.start, found.end, found.type, chances)
    for row, start, end, kind, chance in zip(*(c.tolist() for c in columns), strict=True):
        text = sentences[row]
        first, last = text.spans[start][0], text.spans[end - 1][1]
        spans[row].append(Span(first, last, types[kind], str(text[first:last]), chance))
    return spans


def told_spans(name: str, spans: Sequence[Span]) -> Prediction:
    """Return what is told of one text: ``person: Ada; location: London``."""
    label = "; ".join(f"{span.label}: {span.text}" for span in spans) or NOTHING
    sure = min((span.probability for span in spans), default=math.nan)
    return Prediction(name, label, sure, (), spans=tuple(spans))


def told_places(found: Entities, types: Sequence[str]) -> str:
    """Return the entities of one text by the numbers of their words: ``person 3-4, location 9``."""
    places = zip(found.start.tolist(), found.end.tolist(), found.type.tolist(), strict=True)
    told = [
        f"{types[kind]} {start + 1}" + (f"-{end}" if end > start + 1 else "")
        for start, end, kind in places
    ]
    more = f" and {len(told) - _MOST_SHOWN} more" if len(told) > _MOST_SHOWN else ""
    return (", ".join(told[:_MOST_SHOWN]) or NOTHING) + more
