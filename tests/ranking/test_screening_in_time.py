"""What screening may spend on a start of which nothing is known yet: another is to come."""

from __future__ import annotations

import importlib
import time

import numpy as np
import pytest
import torch
from clocks import ProcessorClock, set_clock

import headstart as hs
from headstart.errors import StartError
from headstart.ranking import screen
from headstart.starts import find_start
from headstart.training.options.common_options import CommonOptions
from headstart.tuning.budget import Budget

screening = importlib.import_module("headstart.ranking.screen")  # the name is a function, too
LINEAR, FOREST, MLP = "scratch/linear", "scratch/forest", "scratch/mlp"
SECONDS = 60.0


@pytest.fixture
def screened(monkeypatch):
    """Screen starts of which some never come to an end; a second of work is a minute."""
    rows = np.random.default_rng(0).normal(size=(120, 2))
    data = hs.load((rows, np.where(rows[:, 0] > 0, "right", "left")))
    set_clock(monkeypatch, ProcessorClock(60.0))

    def do(addresses, hanging, share=10.0, try_start=screening.try_start):
        def tried(dataset, start, *given, **words):
            end = time.monotonic() + share * SECONDS
            while start.address in hanging and time.monotonic() < end:
                pass
            return try_start(dataset, start, *given, **words)

        monkeypatch.setattr(screening, "try_start", tried)
        budget = Budget(SECONDS)
        found = screen(
            data,
            [find_start(one) for one in addresses],
            budget=budget,
            seconds=0.2 * SECONDS,
            asked=CommonOptions(),
            device=torch.device("cpu"),
            on_made=lambda *_: None,
        )
        return {one.start.address: one for one in found}, budget

    return do


@pytest.mark.parametrize("order", [(FOREST, LINEAR), (MLP, LINEAR, FOREST)])
def test_a_first_start_that_never_ends_costs_the_next_one_no_more_than_half(order, screened):
    found, budget = screened(order, {order[0]})
    assert found[LINEAR].score.value > 0.9
    assert found[order[0]].is_late
    assert "it took longer than" in found[order[0]].note
    assert budget.left > 0


def test_a_start_that_is_alone_has_all_the_time_that_there_is(screened):
    found, budget = screened([LINEAR], {LINEAR}, share=0.7)
    assert found[LINEAR].score.value > 0.9
    assert 0 < budget.left < 0.3 * SECONDS


def test_where_every_start_is_refused_each_says_why(screened):
    def refusing(dataset, start, *_, **__):
        raise StartError(f"{start.address} is not for these data")

    with pytest.raises(StartError, match="None of 2 starts could be tried"):
        screened([LINEAR, FOREST], set(), try_start=refusing)
