"""The grid of learning rates: tried where it was asked for, and never at random."""

import json
import os
import signal
import time
from dataclasses import replace
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import few_digits

import headstart as hs
from headstart.commands import read_command
from headstart.errors import Interrupted, OptionError
from headstart.events import listen
from headstart.recipes.finetune import _finetune
from headstart.recipes.options import FinetuneOptions
from headstart.searching.learning_rates import rates_of, settle_learning_rate
from headstart.searching.trials import Trial, best_of
from headstart.starts import find_start
from headstart.training.options.defaults import DEFAULTS
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning import arm as arms
from headstart.tuning.arm import Arm
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decisions
from headstart.tuning.setup import prepare_sample, set_up

CNN = "scratch/simple-cnn"
ABSURD = 1e-7


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def data():
    return hs.load("digits-8x8")


@pytest.fixture
def grid(monkeypatch):
    """Give a row of the table another rate and grid."""

    def give(factors, rate=None, key=CNN):
        row = DEFAULTS[key]
        rate = row.learning_rate if rate is None else rate
        monkeypatch.setitem(DEFAULTS, key, replace(row, learning_rate=rate, grid=factors))

    return give


def finetune(data, out, **options):
    words = {"start": CNN, "num_steps": 80, "device": "cpu"} | options
    return hs.finetune(data, out=str(out), **words)


def digest(run) -> str:
    return sha256((run.path / "model.safetensors").read_bytes()).hexdigest()


def choice_of(told):
    (found,) = [f for kind, f in told if kind == "choice" and f["name"] == "learning_rate"]
    return found


def test_a_default_that_does_not_learn_is_left_for_a_rate_that_does(grid, tmp_path):
    data = few_digits()
    grid((0.1, 1.0, 5e4), rate=ABSURD)
    told = []
    with listen(lambda kind, fields: told.append((kind, fields))):
        run = finetune(data, tmp_path / "grid", learning_rate_search=True)
    rate = run.options["recipe"]["learning_rate"]
    assert rate == pytest.approx(5e-3)
    found = choice_of(told)
    assert found["value"] == rate
    assert found["why"].startswith("best of 3 on val, accuracy 0.")
    tried = run.options["trials"]
    assert [t["learning_rate"] for t in tried] == pytest.approx([1e-8, 1e-7, 5e-3])
    assert {t["num_steps"] for t in tried} == {50}
    assert [t["note"] for t in tried][1] == "the family's own"
    assert "log loss" in tried[2]["note"]
    assert all(t["low"] <= t["score"] <= t["high"] for t in tried)
    assert "Learning rates that were tried" in run.report()
    page = (run.path / "report.html").read_text()
    assert "Learning rates, after a short training each" in page
    assert "0.005" in page
    # the trials have left nothing behind: the run is the one of a user who said that rate
    said = finetune(data, tmp_path / "said", learning_rate=rate)
    assert digest(run) == digest(said)
    assert said.options["trials"] == []


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "full", "ema": True, "augment": "digits", "dropout": 0.1},
        {"strategy": "last-n", "batchnorm": "train"},
        {"strategy": "lp-ft", "mixup": 0.2, "optimizer": "sgd"},
        {"strategy": "gradual"},
    ],
    ids=["full", "last-n, cached", "lp-ft", "gradual"],
)
def test_where_the_default_stays_the_run_is_the_same_bit_for_bit(grid, tmp_path, options):
    data, options = few_digits(), {"batch_size": 32, **options}
    plain = finetune(data, tmp_path / "plain", **options)
    grid((1.0, 1e3))
    run = finetune(data, tmp_path / "grid", learning_rate_search=True, **options)
    assert len(run.options["trials"]) == 2
    assert run.options["recipe"] == plain.options["recipe"]
    assert digest(run) == digest(plain)
    assert run.metrics["test"] == plain.metrics["test"]


def stopped(data, out, when, **options):
    """Fine-tune with the grid and press Ctrl-C at an event; return what the plan holds."""
    pressed = []

    def press(kind, fields):
        if not pressed and when(kind, fields):
            pressed.append(kind)
            signal.raise_signal(signal.SIGTERM)

    with listen(press), pytest.raises(Interrupted):
        finetune(data, out, learning_rate_search=True, **options)
    return json.loads((out / "state" / "plan.json").read_text())


def test_stopped_in_a_trial_or_after_it_and_resumed_it_ends_in_the_same_bits(grid, tmp_path):
    grid((1.0, 5e4), rate=ABSURD)
    data, options = few_digits(), {"num_steps": 60, "dropout": 0.1}
    whole = finetune(data, tmp_path / "whole", learning_rate_search=True, **options)

    out = tmp_path / "in-trial"
    second = ("task", "learning rates", 1)
    plan = stopped(data, out, lambda k, f: (k, f.get("name"), f.get("done")) == second, **options)
    assert "learning_rate" not in plan["decisions"]
    assert not list((out / "state").glob("step_*"))  # no step of the training was taken
    run = finetune(data, out, learning_rate_search=True, resume=True, **options)
    assert digest(run) == digest(whole)
    assert [t["learning_rate"] for t in run.options["trials"]] == pytest.approx([1e-7, 5e-3])

    out = tmp_path / "after"
    plan = stopped(data, out, lambda k, f: k == "check", **options)
    settled = plan["decisions"]["learning_rate"]["value"]
    assert settled["learning_rate"] == whole.options["recipe"]["learning_rate"]
    told = []
    with listen(lambda kind, fields: told.append((kind, fields))):
        run = finetune(data, out, learning_rate_search=True, resume=True, **options)
    assert not [f for k, f in told if k == "stage" and "learning rates" in str(f["text"])]
    assert choice_of(told)["why"] == "chosen before the run was interrupted"
    assert digest(run) == digest(whole)
    assert len(run.options["trials"]) == 2
    assert not (out / "state").exists()
    assert not os.path.exists(out / "nan_report.json")


def tuned_with(data, *, deadline=None, seconds_per_sample=1e-5, **changes):
    """Tune with a search; return the recipe, what was told, and the trials."""
    setup = setup_of(data, "full", **changes)
    train, val = (prepare_sample(data, name, setup, 200, seed=0) for name in ("train", "val"))
    told = []
    conditions = Conditions(
        deadline=None if deadline is None else time.monotonic() + deadline,
        seconds_per_sample=seconds_per_sample,
    )
    with listen(lambda kind, fields: told.append((kind, fields))):
        arm = Arm(setup, train, val, conditions)
        arm.start()
        rows = settle_learning_rate(arm)
        arm.advance()
    return setup.recipe, told, rows


def setup_of(data, strategy, **changes):
    return set_up(
        data,
        find_start(CNN),
        TrainingOptions(strategy=strategy, seed=0, **({"num_steps": 60} | changes)),
        device=torch.device("cpu"),
    )


def test_trials_that_take_longer_than_expected_are_given_up(data, grid, monkeypatch, still_clock):
    grid((1.0, 5e4), rate=ABSURD)
    real = arms.train

    def slow(*words, **options):
        result = real(*words, **options)
        time.sleep(1.5)
        return result

    monkeypatch.setattr(arms, "train", slow)
    recipe, told, rows = tuned_with(data, deadline=3.0)
    assert recipe.learning_rate == ABSURD
    assert "take longer than expected" in choice_of(told)["why"]
    assert len(rows) == 1


def test_trials_that_were_asked_for_shrink_with_the_budget_or_are_refused(data, grid, still_clock):
    grid((1.0, 5e4), rate=ABSURD)
    _, _, rows = tuned_with(data, deadline=200, seconds_per_sample=0.01, num_steps=50)
    assert [row["num_steps"] for row in rows] == [27, 27]  # 200 of the 368 s that it would take
    with pytest.raises(
        OptionError, match=r"search is on, and \d+ s are left for 2 trials.*--budget"
    ):
        tuned_with(data, deadline=20, seconds_per_sample=0.01)


def test_a_rate_whose_loss_is_no_number_loses_and_leaves_no_report(data, grid, tmp_path):
    grid((1.0, 1e38))
    run = finetune(data, tmp_path / "run", learning_rate_search=True)
    own, wild = run.options["trials"]
    assert wild["score"] is None
    assert wild["note"] == "the loss stopped being a number"
    assert run.options["recipe"]["learning_rate"] == own["learning_rate"]
    assert "diverged" in run.report()
    assert not (run.path / "nan_report.json").exists()
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.9


def test_the_rates_of_the_grid_are_arms_of_fit(grid, tmp_path, work_clock):
    grid((1.0, 5e4), rate=ABSURD)
    run = hs.fit(few_digits(), budget="40s", out=str(tmp_path / "run"), starts=[CNN], device="cpu")
    assert {row["rate"] for row in run.options["arms"]} == {1.0, 5e4}
    assert run.options["recipe"]["learning_rate"] == pytest.approx(5e-3)
    assert run.metrics["seconds"]["total"] < 40


def test_texts_and_numbers_are_tried_alike(grid, tmp_path):
    pytest.importorskip("transformers")
    draw = np.random.default_rng(0)
    words = [["wonderful", "warm", "superb"], ["dull", "awful", "bland"]]
    texts = [f"a {draw.choice(words[i % 2])} story, scene {i}" for i in range(160)]
    table = pd.DataFrame({"text": texts, "label": ["good", "bad"] * 80})
    grid((1.0, 1e4), rate=ABSURD, key=("bert", False))
    options = {
        "learning_rate_search": True,
        "start": "scratch/bert-tiny",
        "batch_size": 16,
        "num_steps": 25,
    }
    run = finetune(hs.load(table), tmp_path / "text", **options)
    assert run.options["recipe"]["learning_rate"] == pytest.approx(5e-4)

    numbers = draw.normal(size=(400, 3))
    table = pd.DataFrame(numbers, columns=list("abc"))
    table["y"] = numbers[:, 0] * 3 - numbers[:, 1] ** 2
    grid((1.0, 1e4), rate=ABSURD, key=("mlp", False))
    options = {"learning_rate_search": True, "start": "scratch/mlp"}
    run = finetune(hs.load(table, label="y", task="regression"), tmp_path / "table", **options)
    assert run.options["recipe"]["learning_rate"] == pytest.approx(1e-3)
    assert "squared error" in run.options["trials"][1]["note"]
    assert run.options["trials"][0]["metric"] == "rmse"


def trial_of(losses, score, rate=1.0):
    return Trial(rate, 1.0, 50, score, np.asarray(losses), figure=SimpleNamespace())


def test_another_rate_must_be_better_beyond_noise_and_no_worse_in_score():
    draw = np.random.default_rng(0)
    hard = draw.exponential(size=400)  # what both find hard cancels in the pair
    own = trial_of(hard, 0.9)
    noise = draw.normal(0, 0.2, size=400)
    lucky = trial_of(hard - 0.005 + noise, 0.91)
    sure = trial_of(hard - 0.05 + noise, 0.9)
    surest = trial_of(hard - 0.08 + noise, 0.9)
    confident = trial_of(hard - 0.2 + noise, 0.89)
    assert best_of([own, lucky]) is own
    assert best_of([own, lucky, sure, confident]) is sure
    assert best_of([own, sure, surest]) is surest
    lost = Trial(1.0, 1.0, 50, float("-inf"), np.empty(0), None)
    assert best_of([lost, sure, lost]) is sure
    assert best_of([lost, lost]) is lost


def test_rates_are_multiples_of_what_the_recipe_resolved(data, grid):
    grid((0.3, 1.0, 3.0))
    setup = setup_of(data, "full", learning_rate_search=True, batch_size=40)
    assert rates_of(setup) == pytest.approx([0.9e-3, 3e-3, 9e-3])


def test_a_grid_is_refused_where_it_means_nothing(data, tmp_path, heard):
    with pytest.raises(OptionError, match="'head' has no use for learning_rate_search"):
        finetune(data, tmp_path / "x", strategy="head", num_steps=None, learning_rate_search=True)
    with pytest.raises(
        OptionError, match=r"no rates to try for start 'scratch/simple-cnn'"
    ) as told:
        finetune(data, tmp_path / "x", learning_rate_search=True)
    with pytest.raises(OptionError, match="learning_rate and learning_rate_search are both set"):
        finetune(data, tmp_path / "x", learning_rate_search=True, learning_rate=0.1)
    assert not (tmp_path / "x").exists()
    finetune(data, tmp_path / "own", num_steps=1)  # as advised: the family's own, or a number
    finetune(data, tmp_path / "said", num_steps=1, learning_rate=0.01)
    heard(told.value)


def test_processes_that_train_together_try_none_and_say_so_or_refuse(data, grid):
    grid((1.0, 3.0))
    told, sent = [], []
    pair = SimpleNamespace(size=2, send=lambda kind, **fields: sent.append(fields))
    arm = SimpleNamespace(
        setup=setup_of(data, "full"),
        conditions=Conditions(company=pair, decisions=Decisions(company=pair)),
    )
    with listen(lambda kind, fields: told.append((kind, fields))):
        assert settle_learning_rate(arm) == []
    assert "2 processes train together" in choice_of(told)["why"]
    rate = arm.setup.recipe.learning_rate
    (message,) = sent  # the workers know it too
    assert message["name"] == "learning_rate"
    assert message["record"]["value"] == {"learning_rate": rate, "trials": []}
    options = FinetuneOptions(data, start=CNN, learning_rate_search=True)
    with pytest.raises(OptionError, match="search is on and 2 processes train together"):
        _finetune(options, SimpleNamespace(size=2))


def test_on_the_command_line_a_rate_is_a_number_and_the_search_a_flag():
    options = {option.name: option for option in read_command("finetune", hs.finetune).options}
    assert options["learning_rate"].written == "--learning-rate FLOAT"
    assert options["learning_rate"].kind.convert("learning_rate", "3e-5") == 3e-5
    assert options["learning_rate_search"].written == "--learning-rate-search"
