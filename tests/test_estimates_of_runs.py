"""What a probe doubts of the data is found inside ``fit`` and ``finetune``, too, and reported."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import headstart as hs
import headstart.tuning.features as features_module
from headstart.auditing.probe_features import Look, ProbeFeatures
from headstart.events import listen
from headstart.recipes import complete as complete_module
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import SHARES
from headstart.tuning.setup import prepare_sample, set_up

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


def rows(num=900, wrong=0.06):
    """Return a table of two clear classes, of which a share has the other's name, and which."""
    x, y = RNG.normal(size=num), RNG.normal(size=num)
    kind = np.where(x + y > 0, "oak", "fir")
    is_wrong = (RNG.random(num) < wrong) & (np.abs(x + y) > 0.7)
    other = np.where(kind == "oak", "fir", "oak")
    frame = pd.DataFrame({"x": x.round(4), "y": y.round(4), "n": np.arange(num) % 7})
    return frame.assign(label=np.where(is_wrong, other, kind)), is_wrong


def doubted(run):
    kept = json.loads((Path(run.path) / "data.json").read_text())
    found = [f for f in kept["findings"] if f["kind"] == "doubtful label" and f["items"]]
    page = (Path(run.path) / "report.html").read_text()
    return found, all(f["sentence"][:40] in page for f in found)


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("finetune", {"start": "scratch/linear"}),
        ("fit", {"starts": ["scratch/linear"], "budget": "60s"}),
    ],
)
def test_a_run_doubts_the_labels_that_are_wrong_and_its_page_says_so(verb, said):
    frame, is_wrong = rows()
    frame.to_csv("trees.csv", index=False)
    told = []
    with listen(lambda kind, fields: told.append((kind, fields))):
        run = getattr(hs, verb)("trees.csv", device="cpu", out="run", **said)
    found, is_on_page = doubted(run)
    assert len(found) == 1
    assert is_on_page
    places = [int(item.removeprefix("row ")) - 1 for item in found[0]["items"]]
    assert np.mean(is_wrong[places[:20]]) > 0.8
    assert any(kind == "note" and f["text"] == found[0]["sentence"] for kind, f in told)
    (spent,) = [f for kind, f in told if kind == "spent" and f["stage"] == "estimates"]
    assert spent["seconds"] < 9  # without a budget it may take three, and what it has begun


def test_a_run_on_clean_data_says_nothing_of_it():
    frame, _ = rows(400, wrong=0.0)
    run = hs.finetune(
        (frame[["x", "y"]], frame["label"]), start="scratch/linear", device="cpu", out="run"
    )
    kept = json.loads((Path(run.path) / "data.json").read_text())
    kinds = [f["kind"] for f in kept["findings"]]
    assert not {"doubtful label", "drift", "shortcut"} & set(kinds)


def test_a_missing_package_is_told_with_a_command_and_the_run_goes_on(monkeypatch):
    monkeypatch.setattr("headstart.auditing.doubtful_labels.find_spec", lambda name: None)
    frame, _ = rows(200)
    told = []
    with listen(lambda kind, f: told.append(f["text"]) if kind == "note" else None):
        run = hs.finetune(
            (frame[["x", "y"]], frame["label"]), start="scratch/linear", device="cpu", out="run"
        )
    assert sum("install 'headstart[check]'" in text for text in told) == 1
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.8


def test_features_that_a_run_has_left_are_read_and_not_computed_again(monkeypatch):
    data = hs.load("digits-8x8")
    options = dataclasses.replace(TrainingOptions(), strategy="head", input_size=8)
    start = find_start("scratch/simple-cnn")
    setup = set_up(data, start, options, device=__import__("torch").device("cpu"))
    held = {name: prepare_sample(data, name, setup, None, seed=0) for name in ("train", "val")}
    monkeypatch.setattr(features_module, "_WORTH_SECONDS", 0.0)
    made = {name: features_module.features_of(setup.model, held[name]) for name in held}

    def fail(*args, **said):
        raise AssertionError("computed again")

    look = Look(start, options, held=held)
    probe = ProbeFeatures(data, seconds=1e-6, look=look)  # no time for any
    with monkeypatch.context() as patch:
        patch.setattr(features_module, "run_batches", fail)
        for name, split in (("train", data.train), ("val", data.val)):
            found = probe(name)
            assert found.shape[0] == len(split)
            np.testing.assert_array_equal(found, made[name][: len(split)])
        assert np.isnan(probe("test")).all()
    assert "none of the samples of test" in probe.findings[0].sentence


def test_what_estimates_may_take_stands_in_every_plan():
    plan = hs.finetune("digits-8x8", start="scratch/simple-cnn", budget="100s", dry_run=True)
    assert plan.seconds("estimates") == pytest.approx(SHARES["estimates"].share * 100)
    plan = hs.finetune("digits-8x8", start="scratch/simple-cnn", dry_run=True)
    assert plan.seconds("estimates") == pytest.approx(3.0)  # and more after a long training


def test_a_training_that_ended_late_has_spent_the_time_of_estimates_and_not_that_of_the_end(
    tmp_path, monkeypatch, work_clock
):
    frame, _ = rows(200)
    tune = complete_module._tune

    def slowly(current, items, setup, budget, plan, *rest):
        found = tune(current, items, setup, budget, plan, *rest)
        work_clock.sleep(max(0.0, budget.left - plan.seconds("conclusion")))
        return found

    monkeypatch.setattr(complete_module, "_tune", slowly)
    data, told = (frame[["x", "y"]], frame["label"]), []
    with listen(lambda kind, fields: told.append((kind, fields))):
        run = hs.finetune(data, start="scratch/linear", device="cpu", out="run", budget="60s")
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.8
    stages = [fields["stage"] for kind, fields in told if kind == "spent"]
    assert "conclusion" in stages
    assert "estimates" not in stages
