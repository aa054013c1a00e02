"""A start that was refused in a busy moment is looked at again when time is left."""

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from small_runs import few_digits

import headstart as hs
from headstart.events import listen
from headstart.ranking import screen
from headstart.ranking.late import Opening
from headstart.recipes import entrants
from headstart.recipes.options import FitOptions
from headstart.searching.arms import BracketPlan
from headstart.starts import find_start
from headstart.starts.candidates import CANDIDATES
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions

QUICK, LATE = "scratch/simple-cnn", "scratch/quick-cnn-small"
STARTS = [QUICK, LATE]
BUSY, FREE = 0.05, 1e-4  # seconds of a pass a sample


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def passes(work_clock, monkeypatch):
    """Let passes of one start take what the test says, measurement by measurement."""
    said = []

    def measure(setup, dataset, **_):
        if setup.model.encoder.start.address != LATE:
            return FREE
        return said.pop(0) if len(said) > 1 else said[0]

    monkeypatch.setattr("headstart.tuning.cost.measure_pass", measure)
    return said


def screened():
    found = screen(
        few_digits(),
        [find_start(address) for address in STARTS],
        budget=Budget(40.0),
        seconds=8.0,
        asked=TrainingOptions(),
        device=torch.device("cpu"),
        on_made=lambda *_: None,
    )
    return {one.start.address: one for one in found}


def test_a_busy_moment_refuses_no_start(passes):
    passes += [BUSY, BUSY, FREE]
    late = screened()[LATE]
    assert not math.isnan(late.score.value)
    assert not late.is_late


def test_what_was_too_slow_for_its_part_is_measured_anew_with_what_the_others_have_left(passes):
    passes += [BUSY] * 4 + [FREE]  # all looks of the first try, and the second one is free
    assert not math.isnan(screened()[LATE].score.value)


def test_a_start_that_stays_slow_is_left_out_for_want_of_time_and_says_so(passes):
    passes += [BUSY]
    late = screened()[LATE]
    assert math.isnan(late.score.value)
    assert late.is_late
    assert "too slow for its" in late.note


def test_a_start_that_screening_refused_takes_part_when_the_machine_is_free_again(passes, tmp_path):
    passes += [BUSY] * 8 + [FREE]  # screening tries it twice, with four looks each
    run = hs.fit(few_digits(), budget="40s", out=str(tmp_path / "run"), starts=STARTS)
    refused = {row["start"]: row for row in run.options["candidates"]}[LATE]
    assert refused["score"] is None
    assert refused["is_late"]
    arms = [row for row in run.options["arms"] if row["start"] == LATE]
    assert any("16 of 16 steps" in row["note"] for row in arms)
    choices = {choice["name"]: choice for choice in run.options["choices"]}
    assert choices["time for a second look"]["value"] == LATE


def test_a_start_whose_arm_was_refused_is_trained_with_what_the_others_have_left(
    passes, tmp_path, monkeypatch
):
    passes += [FREE]

    def planned(arms, cost_of, **_):
        kept = tuple(arm for arm in arms if arm.start != LATE)
        dropped = tuple(
            (arm, "0 of at least 25 steps would fit") for arm in arms if arm not in kept
        )
        return BracketPlan(kept, dropped)

    monkeypatch.setattr("headstart.searching.bracket.plan_bracket", planned)
    run = hs.fit(few_digits(), budget="40s", out=str(tmp_path / "run"), starts=STARTS)
    arms = [row for row in run.options["arms"] if row["start"] == LATE]
    assert any("16 of 16 steps" in row["note"] for row in arms)


def test_a_library_that_is_still_unread_is_not_read_for_a_second_look_on_a_busy_machine(
    passes, tmp_path, monkeypatch
):
    passes += [FREE]
    late = "pip/efficientnet-lite0"
    unread = replace(CANDIDATES["image"], library="no such library")
    monkeypatch.setitem(CANDIDATES, "image", unread)
    monkeypatch.setattr(Opening, "refusal", lambda *_: "left out: busy")
    monkeypatch.setattr(Budget, "load", 5.0)
    notes = []
    with listen(lambda kind, fields: notes.append(fields["text"]) if kind == "note" else None):
        run = hs.fit(few_digits(), budget="40s", out=str(tmp_path / "run"), starts=[QUICK, late])
    assert {row["start"] for row in run.options["arms"]} == {QUICK}
    (told,) = [text for text in notes if late in text]
    seconds = re.search(r"looked at again, and is left out: .* takes about (\d+) s", told)
    assert int(seconds[1]) >= 25  # five times five, and more on a slower machine


@pytest.mark.parametrize(
    ("found", "pixels"), [((True, 128), 128), ((True, 32), 64), ((False, None), 64)]
)
def test_a_start_that_was_seen_in_a_busy_moment_gets_the_pixels_that_fit_by_now(
    found, pixels, monkeypatch
):
    asked = []

    def fits(*given):
        asked.append(given[2]["start"])
        return found

    monkeypatch.setattr(entrants, "_fits", fits)
    monkeypatch.setattr("headstart.tuning.fitting.largest_useful_size", lambda *_: 224)
    best = {"start": "pip/efficientnet-lite0", "score": 0.8, "pixels": 64}
    rows = [best, {"start": QUICK, "score": 0.7, "pixels": 8}]
    current = SimpleNamespace(decisions=Decisions())
    options = FitOptions(data="digits")

    def again(rows):
        return entrants.more_pixels(current, None, rows, Budget(60.0), None, options)

    assert again(rows) == [{**best, "pixels": pixels}, rows[1]]
    assert again(rows)[0]["pixels"] == pixels  # settled: a run that goes on sees as much
    assert asked == [best["start"]]
    # of random weights, of what has no score, and of what sees all that there is nobody asks
    for row in ({**best, "start": QUICK}, {**best, "score": None}, {**best, "pixels": 224}):
        assert again([row]) == [row]
    assert len(asked) == 1
