"""What a person reads of captions that were found: the best few, of long ones the beginning."""

from __future__ import annotations

import io
import json

from headstart.printing import render, render_json
from headstart.tasks.matched import best_of
from headstart.types import Predictions

LONG = "a very long caption of a picture in which two dogs run over a wide beach in the rain"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def _found() -> Predictions:
    import numpy as np

    texts = [LONG, *(f"caption {number}" for number in range(400))]
    return Predictions(best_of(["1.png"], texts, np.linspace(9, 0, len(texts))[None]))


def test_a_line_names_the_best_few_and_json_has_all():
    lines, whole = io.StringIO(), io.StringIO()
    render(_found(), lines)
    (record,) = map(json.loads, lines.getvalue().splitlines())
    assert record["label"] == LONG
    assert "probabilities" not in record
    assert len(record["top"]) == 5
    render_json(_found(), whole)
    assert len(json.loads(whole.getvalue())["predictions"][0]["probabilities"]) == 401


def test_a_terminal_shows_the_beginning(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    render(_found(), screen)
    assert "a very long caption" in screen.getvalue()
    assert "in the rain" not in screen.getvalue()
