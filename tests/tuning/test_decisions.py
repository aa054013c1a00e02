"""What a run settles is settled once: for later attempts, and for every process."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from small_runs import few_digits

import headstart as hs
from headstart.errors import Interrupted
from headstart.events import listen
from headstart.recipes.own_start import GivenStart
from headstart.recipes.settle import Means, settle_setup
from headstart.starts import find_start
from headstart.training.company import ALONE
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decided, Decisions

LITE = "pip/efficientnet-lite0"


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def never_asked():
    raise AssertionError("settled already")


def choices_of(act):
    """Return what an act gives, and the choices that it tells."""
    told = []
    with listen(lambda kind, fields: told.append(fields) if kind == "choice" else None):
        return act(), told


def test_a_decision_is_made_told_and_remembered_once():
    kept = []
    records = {}
    decisions = Decisions(records, lambda: kept.append(json.dumps(records)))
    made = Decided(2, "four would not fit")
    assert choices_of(lambda: decisions.settle("views", lambda: made)) == (
        2,
        [{"name": "views", "value": 2, "why": "four would not fit"}],
    )
    assert choices_of(lambda: decisions.settle("views", never_asked)) == (2, [])
    assert len(kept) == 1
    later = Decisions(json.loads(kept[0]))
    assert choices_of(lambda: later.settle("views", never_asked)) == (
        2,
        [{"name": "views", "value": 2, "why": "chosen before the run was interrupted"}],
    )
    assert choices_of(lambda: later.settle("views", never_asked)) == (2, [])


def test_what_has_no_reason_is_not_told_and_people_may_be_shown_something_else():
    decisions = Decisions()
    limits = {"train": 100, "val": None}
    assert choices_of(lambda: decisions.settle("limits", lambda: Decided(limits))) == (limits, [])
    chosen = Decided({"start": "scratch/mlp", "size": None}, "the best of 2", "scratch/mlp")
    found, told = choices_of(lambda: decisions.settle("start", lambda: chosen))
    assert found == chosen.value
    assert told[0]["value"] == "scratch/mlp"
    again = Decisions(decisions.records)
    assert choices_of(lambda: again.settle("limits", never_asked)) == (limits, [])
    assert choices_of(lambda: again.settle("start", never_asked))[1][0]["value"] == "scratch/mlp"


def test_what_was_settled_for_something_else_is_settled_anew():
    decisions = Decisions()
    assert decisions.settle("micro_batch_size", lambda: Decided(16), given=2) == 16
    assert decisions.holds("micro_batch_size", 2)
    assert not decisions.holds("micro_batch_size", 1)
    assert decisions.settle("micro_batch_size", lambda: Decided(32), given=1) == 32
    assert decisions.settle("micro_batch_size", never_asked, given=1) == 32


def test_what_is_settled_apart_is_not_remembered():
    kept = []
    decisions = Decisions({}, lambda: kept.append(1))
    decisions.settle("a", lambda: Decided(1))
    apart = decisions.apart()
    assert apart.settle("a", never_asked) == 1
    assert apart.settle("b", lambda: Decided(2)) == 2
    assert not decisions.holds("b")
    assert kept == [1]


@pytest.mark.parametrize("is_resumed", [False, True])
def test_workers_get_what_the_main_process_has_settled_in_a_later_attempt_too(is_resumed):
    sent = []
    company = SimpleNamespace(send=lambda kind, **fields: sent.append((kind, fields)))
    records = {}
    main = Decisions(records, company=company)
    main.settle("sample_limits", lambda: Decided({"train": 80, "val": 20}))
    if is_resumed:
        sent.clear()
        main = Decisions(records, company=company)
        main.settle("sample_limits", never_asked)
    main.settle("sample_limits", never_asked)
    ((kind, message),) = sent
    assert kind == "settled"
    worker = Decisions()
    worker.receive(json.loads(json.dumps(message)))
    found = choices_of(lambda: worker.settle("sample_limits", never_asked))
    assert found == ({"train": 80, "val": 20}, [])


def test_a_later_attempt_has_the_input_size_of_the_first_however_much_time_is_left(monkeypatch):
    data, start = replace(hs.load("digits-8x8"), image_size=(224, 224)), find_start(LITE)
    monkeypatch.setattr("headstart.tuning.fitting.seconds_per_sample", lambda *_: 0.01)
    monkeypatch.setattr(Budget, "load", 1.0)  # of whatever else the machine does
    decisions = Decisions()

    def build(budget, decisions):
        means = Means(budget, ALONE, decisions)
        return settle_setup(data, GivenStart(start), TrainingOptions(strategy="head"), means)

    setup, told = choices_of(lambda: build(Budget(500), decisions))
    assert told[-1]["name"] == "input_size"
    assert setup.size == 96
    assert build(Budget(1e6), Decisions()).size == start.image.size
    again, told = choices_of(lambda: build(Budget(1e6), Decisions(decisions.records)))
    assert again.size == setup.size
    assert told[-1]["why"] == "chosen before the run was interrupted"


@pytest.mark.slow
def test_an_interrupted_run_keeps_all_that_it_has_settled_in_its_plan(tmp_path):
    def stop(kind, fields):
        if kind == "check":
            raise KeyboardInterrupt

    words = {
        "start": "scratch/simple-cnn",
        "strategy": "last-n",
        "num_steps": 60,
        "device": "cpu",
        "batch_size": 16,
    }
    out = tmp_path / "run"
    with listen(stop), pytest.raises(Interrupted):
        hs.finetune(few_digits(), out=str(out), **words)
    plan = json.loads((out / "state" / "plan.json").read_text())
    settled = plan["decisions"]
    assert {"views", "sample_limits", "input_size", "micro_batch_size"} <= settled.keys()
    told = []
    with listen(lambda kind, fields: told.append(fields) if kind == "choice" else None):
        run = hs.finetune(few_digits(), out=str(out), resume=True, **words)
    views = next(f for f in told if f["name"] == "views")
    assert views["value"] == settled["views"]["told"]
    assert views["why"] == "chosen before the run was interrupted"
    whole = hs.finetune(few_digits(), out=str(tmp_path / "whole"), **words)
    weights = [(r.path / "model.safetensors").read_bytes() for r in (run, whole)]
    assert weights[0] == weights[1]
