"""What a run can do without leaves others their time, where a library is still unread, too."""

import sys

import pytest

from headstart.events import listen
from headstart.tuning.budget import Budget
from headstart.tuning.in_time import in_time, unread_seconds

RESERVE = 10.0


class BusyBudget(Budget):
    """A budget on a machine where work takes five times as long."""

    load = 5.0


@pytest.fixture
def told():
    found = []
    with listen(lambda kind, fields: found.append(fields["text"]) if kind == "note" else None):
        yield found


def made(budget, library="sklearn"):
    """Return whether what takes no time was made."""
    return in_time(budget, RESERVE, "A page", lambda: True, library=library) is True


def test_a_library_that_is_read_costs_nothing_and_an_unread_one_what_the_load_makes_of_it(
    monkeypatch, still_clock
):
    monkeypatch.setitem(sys.modules, "sklearn", sys)
    assert unread_seconds("sklearn", BusyBudget(60)) == unread_seconds(None, BusyBudget(60)) == 0
    monkeypatch.delitem(sys.modules, "sklearn")
    idle, busy = (unread_seconds("sklearn", one(60)) for one in (Budget, BusyBudget))
    assert 0 < idle < busy == 5 * idle


def test_what_would_read_a_library_for_longer_than_is_left_does_not_begin(
    monkeypatch, still_clock, told
):
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    budget = BusyBudget(RESERVE + 8)
    assert not made(budget)
    assert told == ["A page was left out: the budget is nearly spent."]
    assert made(budget, library=None)  # nothing to read
    assert made(Budget(RESERVE + 8))  # idle
    monkeypatch.setitem(sys.modules, "sklearn", sys)
    assert made(budget)
    assert made(BusyBudget(None))
