"""Folds, seeds and the learning curve of a run, its thresholds, sets and rejection, end to end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import accuracy_score

import headstart as hs
from headstart.errors import DataError, Interrupted, OptionError, RunFolderError, StartError
from headstart.events import listen
from headstart.starts.encoder import Encoder

N = 120
SAID = {"start": "scratch/linear", "device": "cpu"}


def _frame():
    rng = np.random.default_rng(0)
    label = np.array(["no", "yes"])[(np.arange(N) % 3 == 0).astype(int)]
    return pd.DataFrame({"x": rng.normal(size=N) + 1.2 * (label == "yes"), "label": label})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a run with all repeats that was stopped in its second fold and gone on with."""
    folder = tmp_path_factory.mktemp("repeats")
    _frame().to_csv(folder / "rows.csv", index=False)
    data = hs.load(str(folder / "rows.csv"), label="label")
    said = {**SAID, "out": str(folder / "run"), "folds": 3, "seeds": 2, "learning_curve": True}
    said |= {"threshold": "f1", "reject": "confidence=0.6", "coverage": 0.8, "budget": "20m"}
    tests = []

    def stop(kind, fields):
        if fields.get("text") == "Evaluating on the test split":
            tests.append(kind)
            if len(tests) == 3:
                raise KeyboardInterrupt

    with listen(stop), pytest.raises(Interrupted) as stopped:
        hs.finetune(data, **said)
    first = folder / "run" / "repeats" / "fold-1" / "metrics.json"
    written = first.stat().st_mtime_ns
    run = hs.finetune(data, **said, resume=True)
    assert first.stat().st_mtime_ns == written
    return run, said, data, stopped.value


def test_a_stopped_command_names_the_whole_and_goes_on(made, heard):
    run, said, data, stopped = made
    assert "Stopped in 'Fold 2 of 3'" in str(stopped)
    assert f"--out {run.path} --resume" in str(stopped)
    heard(stopped)
    with pytest.raises(RunFolderError, match="holds a finished run"):
        hs.finetune(data, **said, resume=True)
    assert run.options["options"]["folds"] == 3
    assert run.options["options"]["budget"] == "20m"
    budgets = json.loads((run.path / "repeats" / "budgets.json").read_text())
    shares = [float(budget.removesuffix("s")) for budget in budgets.values()]
    assert len(shares) == 6
    assert all(60 < share < 1_200 for share in shares)
    assert not (run.path / "state").exists()


def test_folds_are_measured_over_all_items_once(made):
    run, *_ = made
    found = run.metrics["folds"]
    assert (found["num_folds"], found["num_items"]) == (3, N)
    places = [run.path / "repeats" / f"fold-{fold}" / "predictions.parquet" for fold in (1, 2, 3)]
    frame = pd.concat([pq.read_table(place).to_pandas() for place in places])
    assert frame["id"].nunique() == N
    figure = found["figures"]["accuracy"]
    assert figure["value"] == pytest.approx(accuracy_score(frame["target"], frame["prediction"]))
    assert figure["low"] < figure["value"] < figure["high"]
    each = [one["figures"]["accuracy"] for one in found["each"]]
    assert figure["value"] == pytest.approx(np.mean(each))
    told = run.report()
    assert "Cross-validation: 3 folds, 120 items" in told
    assert "that of the run itself" in " ".join(told.split())


def test_seeds_share_the_test_items_and_the_curve_foretells(made):
    run, *_ = made
    seeds = run.metrics["seeds"]
    assert seeds["seeds"] == [0, 1]
    other = json.loads((run.path / "repeats" / "seed-1" / "metrics.json").read_text())["test"]
    own = run.metrics["test"]["figures"]["accuracy"]["value"]
    each = seeds["figures"]["accuracy"]["each"]
    assert each == [own, other["figures"]["accuracy"]["value"]]
    curve = run.metrics["learning_curve"]
    numbers = [one["num_train"] for one in curve["points"]]
    assert numbers == sorted(numbers)
    assert curve["twice"]["num_train"] == 2 * numbers[-1] == 2 * run.data["counts"]["train"]
    assert curve["points"][-1]["error"]["value"] == pytest.approx(1 - own)
    assert "foretold, not trained" in run.report()


def test_every_line_of_the_report_has_80_columns_but_wide_tables(made):
    run, *_ = made
    assert max(map(len, run.report().splitlines())) <= 88
    start = run.report().index("How sure")
    certain = run.report()[start:].split("\n\n")[0]
    assert max(map(len, certain.splitlines())) <= 80
    for words in ("Thresholds tuned on val for f1: yes", "hold the right class in 80 of 100"):
        assert words in certain
    assert "predict says unknown below 0.6" in certain


def test_what_was_settled_decides_in_predict_and_evaluate(made):
    run, *_ = made
    deciding = run.model_record["deciding"]
    assert deciding["positive"] == 1
    assert deciding["coverage"] == 0.8
    frame = _frame()
    told = run.predict(frame.drop(columns="label"))
    yes = np.array([one.probabilities[1] >= deciding["thresholds"][0] for one in told])
    assert [one.decided for one in told] == np.where(yes, "yes", "no").tolist()
    sure = np.where(yes, [p.probabilities[1] for p in told], [p.probabilities[0] for p in told])
    assert [one.label == "unknown" for one in told] == (sure < 0.6).tolist()
    assert any(one.label == "unknown" for one in told)
    assert all(one.possible for one in told)
    again = hs.evaluate(str(run.path))
    assert again.record["thresholds"]["test"] == run.metrics["thresholds"]["test"]
    for name in ("curves", "reliability", "confusions", "items"):
        assert again.record[name] == run.metrics[name]
    test = run.metrics["conformal"]["test"]["coverage"]
    assert again.record["conformal"]["test"]["coverage"] == test
    out = Path(run.path) / "said.csv"
    hs.predict(str(run.path), [str(run.path.parent / "rows.csv")], out=str(out))
    table = pd.read_csv(out)
    assert table["guess"].tolist() == [one.decided for one in told]
    assert table["possible"].notna().all()
    out.unlink()


def test_records_of_items_agree_with_the_predictions(made):
    run, *_ = made
    frame = pq.read_table(run.path / "predictions.parquet").to_pandas().set_index("id")
    wrong = frame[frame["target"] != frame["prediction"]]
    cells = run.metrics["confusions"]["cells"]
    assert sum(cell["count"] for cell in cells) == len(wrong)
    for cell in cells:
        held = frame.loc[cell["items"]]
        assert set(held["target"]) == {cell["target"]}
        assert set(held["prediction"]) == {cell["prediction"]}
        support = (frame["target"] == cell["target"]).sum()
        assert cell["share"] == pytest.approx(cell["count"] / support)
    hardest = [one["loss"] for one in run.metrics["items"]["hardest"]]
    assert hardest == sorted(frame["loss"], reverse=True)[: len(hardest)]
    leads = [one["lead"] for one in run.metrics["items"]["doubtful"]]
    assert leads == sorted(leads)
    shown = json.loads((run.path / "mistakes.json").read_text())
    assert [one["id"] for one in shown["doubtful"]] == [
        one["id"] for one in run.metrics["items"]["doubtful"]
    ][: len(shown["doubtful"])]
    assert "row" in shown["doubtful"][0]
    roc = run.metrics["curves"]["roc"]
    assert list(roc) == ["yes"]
    assert run.metrics["reliability"]["after"]["ece"] == run.metrics["test"]["figures"]["ece"]


def test_what_cannot_be_repeated_is_refused_with_what_to_do(tmp_path, monkeypatch, heard):
    small = _frame().iloc[:60]
    with pytest.raises(DataError, match="for a learning curve") as refused:
        hs.finetune(small, **SAID, out=str(tmp_path / "a"), learning_curve=True)
    assert not (tmp_path / "a").exists()
    hs.finetune(small, **SAID, out=str(tmp_path / "a"))
    heard(refused.value)
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        with pytest.raises(OptionError, match="folds is set and several processes") as refused:
            hs.finetune(small, **SAID, out=str(tmp_path / "b"), folds=2)
    heard(refused.value)  # alone it is done, as above


@pytest.mark.parametrize("said", [{"folds": 1}, {"seeds": 1}, {"seeds": -2}, {"folds": -1}])
def test_a_number_of_repeats_that_is_none_is_refused_before_anything_is_made(tmp_path, said):
    with pytest.raises(OptionError, match="expected at least 2"):
        hs.finetune(_frame(), **SAID, out=str(tmp_path / "run"), **said)
    assert not (tmp_path / "run").exists()


def test_a_budget_is_one_for_all(tmp_path):
    told = []
    with listen(lambda kind, fields: told.append((kind, fields))):
        said = {**SAID, "out": str(tmp_path / "a"), "budget": "40s", "dry_run": True}
        plan = hs.finetune(_frame(), folds=3, **said)
    assert plan.limit_seconds == pytest.approx(10.0, abs=1.5)


def test_a_budget_that_leaves_a_run_too_little_is_refused_before_anything_is_made(tmp_path, heard):
    said = {**SAID, "out": str(tmp_path / "a"), "num_steps": 2, "learning_curve": True}
    with pytest.raises(OptionError, match=r"'15s' is for 3 runs .* at least 18 seconds") as refused:
        hs.finetune(_frame(), budget="15s", **said)
    assert not (tmp_path / "a").exists()
    run = hs.finetune(_frame(), budget="30s", **said)  # 2 s for an eighth: all is imported by then
    assert run.metrics["learning_curve"]
    heard(refused.value)


def test_a_refusal_of_one_run_names_the_budget_of_all(tmp_path, monkeypatch, still_clock, heard):
    each, features = 0.05, Encoder.forward

    def slow(encoder, *inputs):
        still_clock.sleep((3 if torch.is_grad_enabled() else 1) * each * len(inputs[0]))
        return features(encoder, *inputs)

    monkeypatch.setattr(Encoder, "forward", slow)
    said = {"start": "scratch/simple-cnn", "device": "cpu", "folds": 2}
    rng = np.random.default_rng(0)
    data = hs.load((rng.integers(0, 256, (600, 8, 8)).astype(np.uint8), np.arange(600) % 2))
    with pytest.raises(StartError, match=r"Give --budget \d+s or more, which is for all 3") as told:
        hs.finetune(data, budget="30s", out=str(tmp_path / "a"), **said)
    named = re.search(r"--budget (\d+s)", str(told.value))[1]
    run = hs.finetune(data, budget=named, out=str(tmp_path / "b"), **said)
    assert run.metrics["folds"]["figures"]
    assert still_clock.now - 1000 < int(named.removesuffix("s"))
    heard(told.value)


@pytest.mark.parametrize("verb", ["finetune", "fit", "folds"])
@pytest.mark.parametrize("is_there", [False, True])
def test_what_means_nothing_for_the_data_is_refused_before_a_folder_is_claimed(
    tmp_path, verb, is_there
):
    """And the folder of a former run stays as it was, under --overwrite, too."""
    out, said = tmp_path / "run", {"threshold": "f1", "positive": "maybe", "device": "cpu"}
    if is_there:
        hs.finetune(_frame(), **SAID, num_steps=1, out=str(out))
    before = {path.name: path.read_bytes() for path in out.glob("*.*")}
    said |= {"out": str(out), "overwrite": is_there}
    do = hs.fit if verb == "fit" else hs.finetune
    said |= {"budget": "20s"} if verb == "fit" else {"start": "scratch/linear"}
    said |= {"folds": 2} if verb == "folds" else {}
    stages = []
    watch = listen(lambda kind, fields: stages.append(fields.get("text")))
    with watch, pytest.raises(OptionError, match="positive is 'maybe'"):
        do(_frame(), **said)
    assert "Checking the data" not in stages
    assert {path.name: path.read_bytes() for path in out.glob("*.*")} == before
    assert out.exists() == is_there
