"""A model of all samples after folds: what it learned from, what is said of it, how it is used."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.errors import Interrupted, OptionError, RunFolderError
from headstart.events import listen
from headstart.recipes.on_all import plan_on_all
from headstart.recipes.run import open_run

N = 90
SAID = {"device": "cpu", "folds": 3, "train_on_all": True, "quiet": True}


def _numbers(num=N, seed=0):
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=num), rng.normal(size=num)
    return pd.DataFrame({"x": x, "z": z, "price": 3 * x - z + 0.5 * rng.normal(size=num) + 7})


def _classes(num=N):
    frame = _numbers(num)
    return frame[["x", "z"]].assign(label=np.where(frame["price"] > 7, "dear", "cheap"))


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Return a run of steps, its options and where it was stopped: while it learned from all."""
    folder = tmp_path_factory.mktemp("all")
    _classes().to_csv(folder / "rows.csv", index=False)
    data = hs.load(str(folder / "rows.csv"), label="label")
    said = {**SAID, "start": "scratch/mlp", "num_steps": 100, "out": str(folder / "run")}

    def stop(kind, fields):
        if fields.get("text") == "How answers are made is settled on the test items of all folds.":
            raise KeyboardInterrupt

    with listen(stop), pytest.raises(Interrupted) as stopped:
        hs.finetune(data, **said)
    assert not (folder / "run" / "repeats" / "all" / "model.json").exists()
    run = hs.finetune(data, **said, resume=True)
    return run, said, data, stopped.value


def test_a_linear_model_of_all_rows_is_their_least_squares(tmp_path):
    frame = _numbers()
    said = {**SAID, "start": "scratch/linear", "out": str(tmp_path / "run")}
    run = hs.finetune(hs.load(frame, label="price"), **said)
    design = np.column_stack([frame[["x", "z"]], np.ones(N)])
    solved, *_ = np.linalg.lstsq(design, frame["price"], rcond=None)
    fresh = _numbers(40, seed=1)
    expected = np.column_stack([fresh[["x", "z"]], np.ones(40)]) @ solved
    rows = fresh[["x", "z"]]
    rows.to_csv(tmp_path / "fresh.csv", index=False)
    files = [str(tmp_path / "fresh.csv")]
    of_all = hs.predict(str(run.path / "repeats" / "all"), files, quiet=True)
    np.testing.assert_allclose([one.value for one in of_all], expected, atol=2e-3)
    own = hs.predict(str(run.path), files, quiet=True)
    assert np.abs(np.array([one.value for one in own]) - expected).max() > 0.02
    told = run.metrics["trained_on_all"]
    assert told == {"folder": "repeats/all", "num_samples": N, "num_steps": 0}
    # the width of an interval is that of the folds' own mistakes
    bound = json.loads((run.path / "repeats" / "all" / "model.json").read_text())["deciding"]
    assert 0.6 < bound["bound"] < 1.2  # 1.645 deviations of 0.5 hold nine of ten


def test_steps_are_the_median_of_the_folds_and_the_figures_theirs(steps):
    run, *_ = steps
    folds = [run.path / "repeats" / f"fold-{fold}" / "options.json" for fold in (1, 2, 3)]
    best = [json.loads(path.read_text())["training"]["best_step"] for path in folds]
    assert run.metrics["trained_on_all"]["num_steps"] == round(float(np.median(best)))
    place = run.path / "repeats" / "all"
    record = json.loads((place / "metrics.json").read_text())
    assert record["folds"] == run.metrics["folds"]
    assert "test" not in record
    data = json.loads((place / "data.json").read_text())
    assert data["counts"] == {"train": N, "val": 0, "test": 0}
    told = " ".join(run.report().split())
    assert f"The model in repeats/all has learned from all {N} samples, in" in told
    assert "the figures that hold of it are these" in told
    assert "repeats/all" in (run.path / "report.html").read_text()


def test_it_is_used_as_every_run_but_not_tested_on_what_it_has_learned(steps, tmp_path, heard):
    run, *_ = steps
    place = run.path / "repeats" / "all"
    with pytest.raises(RunFolderError, match=f"has learned from all {N} samples") as refused:
        hs.evaluate(str(place), quiet=True)
    _classes(200).iloc[N:].to_csv(tmp_path / "new.csv", index=False)
    found = hs.evaluate(str(place), str(tmp_path / "new.csv"), quiet=True)
    assert found.metrics["test"]["num_items"] == 200 - N
    assert found.metrics["test"]["figures"]["accuracy"]["value"] > 0.8
    heard(refused.value)
    hs.export(str(place), to="onnx", out=str(tmp_path / "bundle"))
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "of 3 folds" in card


def test_a_training_on_all_that_was_stopped_begins_anew(steps, heard):
    run, said, data, stopped = steps
    assert f"Stopped in 'All {N} samples'" in str(stopped)
    heard(stopped)
    with pytest.raises(RunFolderError, match="holds a finished run"):
        hs.finetune(data, **said, resume=True)
    assert run.options["options"]["train_on_all"] is True


def test_it_is_planned_in_and_needs_folds(tmp_path, heard):
    said = {"start": "scratch/linear", "device": "cpu", "train_on_all": True}
    with pytest.raises(OptionError, match="train_on_all is set and folds is not") as refused:
        hs.finetune(_classes(), **said, out=str(tmp_path / "a"))
    assert not (tmp_path / "a").exists()
    planned = {**said, "out": str(tmp_path / "a"), "budget": "100s", "dry_run": True}
    plan = hs.finetune(_classes(), folds=3, **planned)
    assert plan.limit_seconds == pytest.approx(20.0, abs=2.0)
    heard(refused.value)


@pytest.mark.slow
def test_what_fit_hands_over_is_made_of_all_rows_too(tmp_path, processor_clock):
    starts = ["scratch/linear", "scratch/mlp"]
    _classes().to_csv(tmp_path / "rows.csv", index=False)
    data = hs.load(str(tmp_path / "rows.csv"), label="label")
    run = hs.fit(data, **SAID, starts=starts, budget="150s", out=str(tmp_path / "run"))
    assert "members" not in run.model_record
    place = run.path / "repeats" / "all"
    made = [json.loads((one / "model.json").read_text()) for one in (run.path, place)]
    assert made[0]["start"]["address"] == made[1]["start"]["address"]
    assert made[0]["strategy"] == made[1]["strategy"]
    folds = [run.path / "repeats" / f"fold-{k}" / "model.json" for k in (1, 2, 3)]
    found = [json.loads(path.read_text()) for path in folds]
    alike = sum(
        one["start"]["address"] == made[0]["start"]["address"]
        and one["strategy"] == made[0]["strategy"]
        for one in found
    )
    told = run.metrics["trained_on_all"]
    assert told["num_samples"] == N
    assert told.get("num_alike", 3) == alike
    said = f"Of 3 folds {alike} found the same start and strategy"
    for text in (" ".join(run.report().split()), (run.path / "report.html").read_text()):
        assert (said in text) == (alike < 3)
    rows = _classes(20).drop(columns="label")
    assert len(open_run(place).predict(rows)) == 20


def test_folds_that_found_something_else_give_no_steps(tmp_path):
    def write(name, start, step, warmth):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        architecture = {"preprocess": {"kind": "table"}}
        model = {"start": {"address": start}, "strategy": "full", "architecture": architecture}
        (folder / "model.json").write_text(json.dumps({**model, "temperature": warmth}))
        options = {"recipe": {"strategy": "full"}, "training": {"best_step": step}}
        (folder / "options.json").write_text(json.dumps(options))
        return folder

    data = hs.load(_classes(), label="label")
    run = write("run", "scratch/mlp", 70, 1.0)
    folds = [write(f"fold-{k}", "scratch/mlp", 10 * k, 2.0) for k in (1, 2, 3)]
    folds.append(write("fold-4", "scratch/quick", 500, 9.0))
    job = plan_on_all(data, run, folds)
    assert (job.num_steps, job.start, len(job.alike)) == (20, "scratch/mlp", 3)
    alone = plan_on_all(data, run, folds[3:])
    assert (alone.num_steps, list(alone.alike)) == (70, [run])
