"""The budget: what people write, and what is left of it."""

import time

import pytest
from clocks import ProcessorClock, set_clock

from headstart.errors import OptionError
from headstart.tuning.budget import Budget, parse_budget, slowness


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("90", 90),
        (90, 90),
        (12.5, 12.5),
        ("90s", 90),
        ("2m", 120),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1 h 30 m", 5400),
        (" 2M ", 120),
        ("1d", 86400),
    ],
)
def test_a_budget_is_read(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "2x", "m", "1h30x", "nan", "inf", "1,5h"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(OptionError, match=r"not a length of time; expected for example 90s"):
        parse_budget(text)


def test_a_budget_shorter_than_the_imports_is_refused():
    with pytest.raises(OptionError, match="is 9 seconds; expected at least 10"):
        parse_budget("9s")


def test_a_clock_counts_what_was_spent_before_it(still_clock):
    budget = Budget(60.0, spent_seconds=20.0)
    assert (budget.spent, budget.left) == (20.0, 40.0)
    time.sleep(3.0)
    assert (budget.spent, budget.left) == (23.0, 37.0)
    assert budget.deadline(reserve_seconds=10.0) == time.monotonic() + 27


def test_without_a_budget_there_is_no_deadline():
    budget = Budget(None)
    assert budget.left == float("inf")
    assert budget.deadline() is None


def test_slowness_follows_the_machine(monkeypatch):
    set_clock(monkeypatch, ProcessorClock(slowness=50))
    assert 10 < slowness() < 500
    set_clock(monkeypatch, ProcessorClock(slowness=0.001))
    assert slowness() == 1.0  # never less is kept than constants say
