"""What is said of predictions that stand in a file: how many of each answer, never the rows."""

from __future__ import annotations

import io

import pytest

from headstart.printing import render
from headstart.types import BadSample, Prediction, Predictions, Span


def said(records, file="answers.csv"):
    found = Predictions(records)
    found.written = file
    stream = io.StringIO()
    render(found, stream)
    assert all(len(line) <= 80 for line in stream.getvalue().splitlines())
    return " ".join(stream.getvalue().split())


def one(label, value=None, **more):
    return Prediction("x", label, 0.9, () if value is not None else (0.9, 0.1), value, **more)


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([one("dear")] * 2 + [one("cheap")] * 3, "holds 5 predictions. cheap 3, dear 2"),
        ([one(f"kind {i}") for i in range(20)], "kind 7 1, and 12 more"),
        ([one("", 2.0), one("", 9500.0), one("", 4.0)], "from 2 to 9,500, half of them below 4"),
        ([one("", text="Gut."), one("", text=" ")], "1 text, 1 empty"),
        ([one("x", spans=(Span(0, 2, "PER", "Al", 0.9),)), one("x", spans=())], "PER 1"),
        ([one("x", spans=())], "nothing was found"),
        ([one("", parts={"kind": one("dear"), "price": one("", 3.0)})], "kind: dear 1 price: from"),
        ([one("a"), BadSample("y", "empty")], "1 prediction. 1 sample has none, and the reason"),
        ([BadSample("y", "empty")], "holds 0 predictions. 1 sample has none"),
    ],
)
def test_of_predictions_in_a_file_their_answers_are_counted(records, told):
    assert told in said(records)


def test_without_a_file_every_row_is_printed():
    stream = io.StringIO()
    render(Predictions([one("dear")] * 3), stream)
    assert stream.getvalue().count('"dear"') == 3
