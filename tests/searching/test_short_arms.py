"""Which way of tuning short trainings choose where answers are texts, and that one is trained."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from clocks import StillClock, set_clock
from pairs_of_texts import pairs_of

from headstart.data import load
from headstart.errors import StartError
from headstart.searching import short_arms
from headstart.searching.short_arms import Contest, ShortArm, TuningWay, choose_way
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions

STARTS = ["scratch/seq2seq-tiny", "run"]
OWN = 1e-3


@pytest.fixture
def contest(monkeypatch):
    """Ways that are as far off as ``errors`` says of their names, each item a little apart."""
    errors, asked = {}, []
    noise = np.random.default_rng(0).normal(0, 0.01, 50)

    def trained(found, way, seconds):
        asked.append((way.name, seconds))
        mean = errors.get(way.name, 1.0)
        if isinstance(mean, Exception):
            raise mean
        each = mean + noise * (1 + len(asked))
        score = float(each.mean()), 0.0, 2.0
        return ShortArm(way, OWN * way.factor, each, score, 1.0, "50 steps")

    find = short_arms.find_start
    start = replace(find(STARTS[0]), address="run", pretrained_on="pairs")
    monkeypatch.setattr(
        short_arms, "find_start", lambda address: start if address == "run" else find(address)
    )
    monkeypatch.setattr(short_arms, "_trained", trained)
    monkeypatch.setattr(short_arms, "_seconds", lambda *_: 70.0)
    data = load(pairs_of(40), task="seq2seq")
    options = TrainingOptions(strategy="auto")
    made = Contest(
        data, options, Budget(600.0), torch.device("cpu"), None, Decisions(), lambda: False
    )
    return made, errors, asked


def test_starts_and_strategies_come_first_and_then_the_rates_of_the_best(contest):
    pytest.importorskip("peft")
    made, errors, asked = contest
    errors |= {"run, lora": 0.6, "run, lora, rate × 3": 0.4}
    found = choose_way(made, STARTS)
    assert (found["start"], found["strategy"]) == ("run", "lora")
    assert found["learning_rate"] == pytest.approx(3 * OWN)
    names = [name for name, _ in asked]
    first = [f"{STARTS[0]}, full", "run, full", "run, lora"]
    assert names == [*first, "run, lora, rate × 0.3", "run, lora, rate × 3"]
    assert {seconds for _, seconds in asked} == {70.0 / 5}
    assert [row["arm"] for row in found["arms"]] == names
    assert all(row["low"] <= row["score"] <= row["high"] for row in found["arms"])
    assert choose_way(made, STARTS) == found  # a run that goes on tries nothing again
    assert len(asked) == 5


def test_what_is_better_within_noise_changes_nothing(contest):
    made, errors, _ = contest
    errors |= {"run, full": 0.9999, f"{STARTS[0]}, full, rate × 3": 1.5}
    found = choose_way(made, STARTS)
    assert (found["start"], found["learning_rate"]) == (STARTS[0], None)


def test_what_fails_or_was_asked_for_is_told(contest):
    made, errors, _ = contest
    errors["run, full"] = StartError("no room for it. Choose another")
    found = choose_way(replace(made, options=TrainingOptions(strategy="full")), STARTS)
    (row,) = [one for one in found["arms"] if one["start"] == "run"]
    assert (row["score"], row["note"]) == (None, "no room for it. Choose another")
    assert {one["strategy"] for one in found["arms"]} == {"full"}
    errors[f"{STARTS[0]}, full"] = StartError("too short")
    alone = choose_way(replace(made, decisions=Decisions()), STARTS)
    assert (alone["start"], len(alone["arms"])) == (STARTS[0], 1)


def test_several_processes_and_no_time_try_nothing(contest, monkeypatch):
    made, _, asked = contest
    assert choose_way(made, STARTS, num_processes=2)["arms"] == []
    monkeypatch.setattr(short_arms, "_seconds", lambda *_: 0.0)
    fresh = replace(made, decisions=Decisions())
    assert choose_way(fresh, STARTS)["start"] == STARTS[0]
    assert not asked


def test_a_way_is_trained_by_its_whole_schedule_and_judged(contest, monkeypatch):
    made, _, _ = contest
    monkeypatch.undo()
    monkeypatch.setattr(short_arms, "seconds_per_sample", lambda *_: 1e-2)
    found = short_arms._try(made, TuningWay(STARTS[0], "full", 3.0), 30.0)
    assert found.note.endswith("steps"), found.note
    assert found.errors.shape == (len(made.dataset.val),)
    assert 0 < found.score[1] < found.score[0] < found.score[2]
    assert found.learning_rate == pytest.approx(3 * 7e-4)
    few = short_arms._try(made, TuningWay(STARTS[0], "full"), 0.5)
    assert "fewer than 20 say nothing" in few.note
    assert math.isnan(few.score[0])


@pytest.mark.slow
def test_fit_tries_ways_for_answers_and_trains_one_to_its_end(tmp_path):
    from small_questions import written_squad

    import headstart as hs

    data = str(written_squad(tmp_path / "squad"))
    run = hs.fit(data, starts=["scratch/bert-tiny"], budget="60s", out=str(tmp_path / "run"))
    rates = [row["learning_rate"] for row in run.options["arms"]]
    assert len(rates) == 3, run.options["arms"]
    assert rates[0] == pytest.approx(rates[2] / 3)
    told = [one for one in run.options["choices"] if one["name"] == "way"]
    assert "ways in short trainings" in told[0]["why"]
    assert "Ways of making a model that were tried" in run.report()


@pytest.mark.parametrize("place", [0, 1], ids=["the first", "another"])
def test_a_way_that_outlasts_its_time_is_cut_off_and_says_so(contest, monkeypatch, place):
    made, _, asked = contest
    trained, clock = short_arms._trained, set_clock(monkeypatch, StillClock())

    def slow(found, way, seconds):
        if len(asked) == place:
            asked.append((way.name, seconds))
            clock.sleep(2 * seconds)  # building, say, on a machine that others use
            ends = time.perf_counter() + 5
            while time.perf_counter() < ends:
                pass
            raise AssertionError("it was not cut off")
        return trained(found, way, seconds)

    monkeypatch.setattr(short_arms, "_trained", slow)
    found = choose_way(made, STARTS)
    told = [str(row["note"]) for row in found["arms"]]
    assert "it was not judged after" in told[place]
    assert found["start"] == STARTS[0]
    assert len(found["arms"]) == (1 if place == 0 else len(asked))
