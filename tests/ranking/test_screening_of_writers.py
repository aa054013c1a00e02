"""How starts that write are screened where one of them would take all of the time."""

from __future__ import annotations

import time

import pytest
import torch
from clocks import StillClock, set_clock
from pairs_of_texts import pairs_of

from headstart.data import load
from headstart.errors import StartError
from headstart.events import listen
from headstart.ranking import untrained
from headstart.recipes.options import FitOptions
from headstart.starts import find_start
from headstart.tuning.budget import Budget

START = "scratch/seq2seq-tiny"
BUDGET, SHARE = 60.0, 10.0


@pytest.fixture
def screened(monkeypatch):
    """Screen the same start so many times; those at some places never end."""
    data, clock = load(pairs_of(40), task="seq2seq"), set_clock(monkeypatch, StillClock())
    set_up, began = untrained.set_up, []

    def screen(num, slow):
        def slowly(*given, **said):
            began.append(clock())
            if len(began) - 1 in slow:
                clock.sleep(2 * BUDGET)
                ends = time.perf_counter() + 5
                while time.perf_counter() < ends:
                    pass
                raise AssertionError("it was not cut off")
            return set_up(*given, **said)

        monkeypatch.setattr(untrained, "set_up", slowly)
        return untrained.screen_untrained(
            data,
            [find_start(START)] * num,
            budget=Budget(BUDGET),
            seconds=SHARE,
            asked=FitOptions(data="pairs", budget=str(BUDGET)),
            device=torch.device("cpu"),
            on_made=lambda *_: None,
        )

    return screen


@pytest.mark.parametrize("slow", [0, 1])
def test_what_outlasts_its_part_is_left_out_where_another_can_be_tuned(slow, screened):
    told = []
    with listen(lambda kind, f: told.append(f["text"]) if kind == "note" else None):
        found = screened(2, {slow})
    assert [one.start.address for one in found] == [START]
    assert any("is left out: it took longer than" in text for text in told)


def test_each_start_that_is_refused_says_why(screened, monkeypatch):
    def refuse(*given, **said):
        raise StartError("it cannot be read")

    monkeypatch.setattr(untrained, "prepare_sample", refuse)
    with pytest.raises(StartError, match=r"cannot be read.*cannot be read"):
        screened(2, set())
