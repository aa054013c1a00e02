"""Pairs of encoders beside one another: what each finds as it is, and ways of tuning them."""

from __future__ import annotations

import json
import math

import pytest
import torch
from small_captions import PAIR, pair_run, write_flickr

import headstart as hs
from headstart.cli import main
from headstart.errors import OptionError
from headstart.ranking import Candidate, screen_untrained
from headstart.ranking.untrained import _ordered
from headstart.searching.short_arms import Contest, TuningWay, _strategies, _try
from headstart.starts import find_start
from headstart.starts.candidates import candidate_starts
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions
from headstart.types import Figure


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return pair_run(tmp_path_factory.mktemp("pairs"))


def test_what_finds_more_as_it_is_comes_first(run):
    data, made = hs.load(**run.data["source"]), []
    found = screen_untrained(
        data,
        [find_start(PAIR), find_start(str(run.path))],
        budget=Budget(60.0),
        seconds=30.0,
        asked=CommonOptions(),
        device=torch.device("cpu"),
        on_made=lambda setup, val, rows, is_better: made.append(is_better),
    )
    assert [one.start.address for one in found] == [str(run.path), PAIR]
    assert [one.metric for one in found] == ["mean_recall"] * 2
    assert found[0].score.value > found[1].score.value
    assert found[0].strategy == "full"
    assert made == [True, True]  # random weights first, then what is better


def test_each_way_is_judged_by_how_far_recall_falls_short(run):
    data = hs.load(**run.data["source"])
    contest = Contest(
        data,
        TrainingOptions(batch_size=24),
        Budget(60.0),
        torch.device("cpu"),
        None,
        Decisions(),
        lambda: False,
    )
    assert _strategies(contest, PAIR) == ["full"]  # random weights: nothing to keep frozen
    assert _strategies(contest, str(run.path))[:2] == ["full", "last-n"]
    tried = _try(contest, TuningWay(str(run.path), "last-n"), 20.0)
    assert tried.errors.shape == (len(data.val),)
    assert 0 <= tried.errors.min() <= tried.errors.max() <= 1
    assert tried.score[1] <= tried.score[0] <= tried.score[2]


def test_pairs_of_this_machine_are_tried_and_no_start_of_images_alone(run):
    data = hs.load(**run.data["source"])
    found = [one.address for one in candidate_starts(data, 1)]
    assert all("+" in address for address in found)
    assert found[0] == "scratch/simple-cnn+scratch/bert-tiny"  # a model is there soonest
    assert found[-1].startswith("scratch/simple-cnn+")


def _scored(address: str, value: float, spread: float) -> Candidate:
    score = Figure(value, value - spread, value + spread)
    return Candidate(find_start(address), None, "full", "recall", score, 0.0, 0.0, "")


def test_pairs_that_chance_tells_apart_are_tuned_in_the_order_of_trying():
    small, large = PAIR, "pip/efficientnet-lite0+scratch/bert-tiny"
    untold = _scored("scratch/simple-cnn+pip/all-minilm-l6-v2", math.nan, 0.0)
    level = [_scored(small, 0.01, 0.02), untold, _scored(large, 0.02, 0.02)]
    found = [one.start.address for one in _ordered(level, 1.0, matches=True)]
    assert found == [small, large, untold.start.address]
    knows = [_scored(small, 0.01, 0.02), _scored(large, 0.4, 0.02)]
    assert [c.start.address for c in _ordered(knows, 1.0, matches=True)] == [large, small]
    writers = [_scored(small, 3.0, 1.0), _scored(large, 2.9, 1.0)]
    assert [c.start.address for c in _ordered(writers, -1.0, matches=False)] == [large, small]


def test_a_head_is_refused_before_anything_is_read(run, tmp_path):
    folder = str(run.path.parent / "pictures")
    with pytest.raises(OptionError, match="which begins with a linear head"):
        hs.fit(folder, strategy="head", budget="60s", out=str(tmp_path / "run"))


@pytest.mark.slow
def test_fit_compares_pairs_and_hands_the_best_over(run, tmp_path, capsys):
    data, out = write_flickr(tmp_path / "pictures", 90), tmp_path / "run"
    words = [
        "fit",
        str(data),
        "--starts",
        PAIR,
        str(run.path),
        "--budget",
        "90s",
        "--out",
        str(out),
    ]
    assert main([*words, "--device", "cpu"]) == 0
    told = json.loads((out / "options.json").read_text())
    assert {row["start"] for row in told["candidates"]} == {PAIR, str(run.path)}
    assert all(row["metric"] == "mean_recall" for row in told["candidates"])
    assert len(told["arms"]) >= 3
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["test"]["figures"]["mean_recall"]["value"] > 0.3
    assert "Ways of tuning" in capsys.readouterr().err
