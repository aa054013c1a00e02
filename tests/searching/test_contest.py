"""A fit compares ways of fine-tuning, and hands over what val says is best."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import few_digits

import headstart as hs
from headstart.events import listen
from headstart.searching import made, record, refit
from headstart.searching.arms import BracketPlan
from headstart.training.probing import boosting, forest


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def data():
    return few_digits()


STARTS = ["scratch/simple-cnn", "scratch/quick-cnn-small"]


def test_arms_are_compared_and_one_is_trained_to_its_end(data, tmp_path, work_clock):
    run = hs.fit(data, budget="30s", out=str(tmp_path / "run"), starts=STARTS, device="cpu")
    arms = {row["arm"]: row for row in run.options["arms"]}
    assert {row["start"] for row in arms.values()} == set(STARTS)
    ended = [row for row in arms.values() if " of " in row["note"] and "steps" in row["note"]]
    assert ended
    assert all(row["low"] <= row["score"] <= row["high"] for row in ended)
    told = run.report()
    assert "Ways of making a model that were tried" in told
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.9
    names = {c["name"]: c["value"] for c in run.options["choices"]}
    assert names["model"] in arms


def test_a_table_gets_the_better_of_its_kinds(tmp_path, work_clock):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    y = (3 * x[:, 0] - 2 * x[:, 1] + 0.1 * rng.normal(size=400)).astype(float)
    run = hs.fit((x, y), budget="20s", out=str(tmp_path / "run"), starts=["scratch/linear"])
    assert run.options["arms"][0]["arm"] == "scratch/linear head"
    assert run.metrics["test"]["figures"]["r2"]["value"] > 0.95


def test_what_the_ranking_has_made_of_all_rows_needs_no_time_for_heads(
    tmp_path, work_clock, monkeypatch
):
    rows = np.random.default_rng(0).normal(size=(300, 3))
    monkeypatch.setattr("headstart.searching.prices.Prices.head_seconds", lambda *_: 1e9)
    starts = ["scratch/linear", "scratch/forest"]
    run = hs.fit(
        (rows, np.where(rows[:, 0] > 0, "a", "b")),
        budget="60s",
        out=str(tmp_path / "run"),
        starts=starts,
    )
    told = {row["arm"]: row["note"] for row in run.options["arms"]}
    assert told == {f"{one} head": "solved for while starts were ranked" for one in starts}


@pytest.mark.parametrize("strategy", ["full", "auto"])
def test_where_few_steps_fit_and_nothing_was_solved_for_they_are_taken(
    tmp_path, work_clock, monkeypatch, strategy
):

    def drop_all(arms, *_, **__):
        return BracketPlan((), tuple((arm, "37 of at least 60 steps would fit") for arm in arms))

    monkeypatch.setattr("headstart.searching.bracket.plan_bracket", drop_all)
    words = {"budget": "30s", "starts": STARTS[:1], "device": "cpu", "strategy": strategy}
    run = hs.fit(few_digits(), out=str(tmp_path / "run"), **words)
    notes = {row["arm"]: row["note"] for row in run.options["arms"]}
    assert any(" of " in note and "would fit" not in note for note in notes.values())


def test_a_contest_that_was_interrupted_in_a_rung_goes_on_there(data, tmp_path, work_clock):
    words = {"budget": "30s", "starts": STARTS, "device": "cpu"}
    out = str(tmp_path / "stopped")
    seen = []

    def interrupt(kind, fields):
        if kind == "task" and fields.get("name") == "rung 1" and fields["done"] == 1 and not seen:
            seen.append(fields)
            raise KeyboardInterrupt

    with listen(interrupt), pytest.raises(hs.Interrupted):
        hs.fit(data, out=out, **words)
    plan = json.loads((Path(out) / "state" / "plan.json").read_text())
    before = {k: v for k, v in plan["decisions"].items() if k.startswith("rung 1")}
    assert len(before) == 1
    trained = []

    def note(kind, fields):
        if kind == "task" and fields.get("name") == "rung 1":
            trained.append(fields.get("start"))

    with pytest.raises(hs.RunFolderError, match="budget: '30s' → '20s'"):
        hs.fit(data, out=out, resume=True, **{**words, "budget": "20s"})
    with listen(note):  # a larger budget goes on
        run = hs.fit(data, out=out, resume=True, **{**words, "budget": "40s"})
    first = next(iter(before))
    (row,) = [r for r in run.options["arms"] if first.endswith(r["arm"])]
    assert row["num_steps"] >= before[first]["value"]["step"]
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.9


def test_a_larger_budget_goes_on_from_a_finished_run(data, tmp_path, work_clock, heard):
    out = tmp_path / "run"
    words = {"starts": STARTS[:1], "device": "cpu", "out": str(out)}
    with pytest.MonkeyPatch.context() as patch:  # no time for arms
        patch.setattr("headstart.searching.contest._Contest._halve", lambda contest: [])
        first = hs.fit(data, budget="12s", **words)
    before = {row["arm"]: row for row in first.options["arms"]}
    served = (out / "model.json").read_text()
    figures = first.metrics
    with pytest.raises(
        hs.RunFolderError, match=r"finished run of --budget 12s; expected a larger"
    ) as no:
        hs.fit(data, budget="12s", resume=True, **words)
    assert not (out / "state").exists()  # a finished run stays what it was
    told = []
    with listen(lambda kind, fields: told.append((kind, fields))):
        run = hs.fit(data, budget="20s", resume=True, **words)
    heard(no.value)
    stages = [fields["text"] for kind, fields in told if kind == "stage"]
    assert "Choosing the start" not in stages
    after = {row["arm"].removesuffix(", before"): row for row in run.options["arms"]}
    assert set(before) <= set(after)
    assert any(" of " in after[name]["note"] for name in set(after) - set(before))
    notes = " ".join(str(fields["text"]) for kind, fields in told if kind == "note")
    stands = (out / "model.json").read_text() == served
    assert ("was not read again" in notes) == stands
    assert ("is read once more" in notes) != stands
    assert (run.metrics == figures) == stands
    assert run.options["options"]["budget"] == "20s"
    assert run.predict(np.zeros((1, 8, 8), np.uint8))


@pytest.mark.parametrize("name", ["boosting", "forest", "lightgbm"])
def test_trees_are_grown_again_from_train_and_val_where_more_rows_help(
    name, tmp_path, work_clock, monkeypatch
):
    if name == "lightgbm":
        pytest.importorskip("lightgbm")
    monkeypatch.setattr(boosting, "SETTINGS", boosting.SETTINGS[:2])
    monkeypatch.setattr(forest, "MOST_TREES", 20)
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(400, 2))
    y = np.sin(3 * x[:, 0]) + x[:, 1] ** 2
    grown, grow = [], refit.grow_again

    def watched(model, samples, val, fitted, **said):
        probe = grow(model, samples, val, fitted, **said)
        grown.append((len(samples), fitted.settled, probe.settled))
        return probe

    monkeypatch.setattr(refit, "grow_again", watched)
    out = str(tmp_path / "run")
    run = hs.fit((x, y), budget="20s", out=out, starts=[f"scratch/{name}"])
    counts = run.data["counts"]
    sizes = [counts["train"] - counts["val"], counts["train"] + counts["val"]]
    assert [size for size, _, _ in grown] == sizes
    assert all(told == found for _, told, found in grown)  # val chooses nothing again
    told = {choice["name"]: choice for choice in run.options["choices"]}
    assert told["learned from"]["value"] == "train and val"
    assert run.metrics["test"]["figures"]["r2"]["value"] > 0.9


def test_a_finished_run_that_is_gone_on_with_and_interrupted_keeps_its_model_and_figures(
    tmp_path, work_clock
):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 3))
    table = hs.load((rows, np.where(rows[:, 0] * rows[:, 1] > 0, "same", "other")))
    out = tmp_path / "run"
    words = {"out": str(out), "starts": ["scratch/linear", "scratch/mlp"], "device": "cpu"}
    with pytest.MonkeyPatch.context() as patch:  # the arms are left to the larger budget
        patch.setattr("headstart.searching.contest._Contest._halve", lambda contest: [])
        patch.setattr("headstart.searching.contest._Contest._lengthen", lambda contest: None)
        hs.fit(table, budget="12s", **words)
    kept = {name: (out / name).read_bytes() for name in ("model.safetensors", "metrics.json")}

    def interrupt(kind, fields):
        if kind == "stage" and str(fields["text"]).startswith("Fine-tuning"):
            raise KeyboardInterrupt

    with listen(interrupt), pytest.raises(hs.Interrupted):
        hs.fit(table, budget="30s", resume=True, **words)
    assert all((out / name).read_bytes() == content for name, content in kept.items())
    run = hs.fit(table, budget="30s", resume=True, **words)
    assert any(" of " in row["note"] for row in run.options["arms"])
    assert not (out / "state").exists()


def test_what_was_chosen_the_same_again_is_told_once(tmp_path, work_clock):
    rows = np.random.default_rng(0).normal(size=(200, 2))
    table = hs.load((rows, np.where(rows[:, 0] > 0, "right", "left")))
    words = {"out": str(tmp_path / "run"), "starts": ["scratch/linear"], "device": "cpu"}
    hs.fit(table, budget="12s", **words)
    run = hs.fit(table, budget="24s", resume=True, **words)
    told = [(choice["name"], choice["value"]) for choice in run.options["choices"]]
    assert ("start", "scratch/linear") in told
    assert len(told) == len(set(told))


def test_a_search_that_cannot_be_gone_on_with_is_begun_anew(tmp_path, work_clock, heard):
    rows = np.random.default_rng(0).normal(size=(120, 2))
    table = hs.load((rows, np.where(rows[:, 0] > 0, "right", "left")))
    out, kept, told = tmp_path / "run", tmp_path / "kept", []
    words = {"out": str(out), "starts": ["scratch/linear"], "device": "cpu"}
    hs.fit(table, budget="12s", **words)
    shutil.copytree(out, kept)

    def lost(path):
        raise OSError("it is gone")

    def shorter(path):
        return {n: a[:-1] if n == "val_logits" else a for n, a in load_file(path).items()}

    for load, said in (
        (None, "what a finished fit has left"),
        (lost, "a model with"),
        (shorter, "val items"),
    ):
        shutil.rmtree(out)
        shutil.copytree(kept, out)
        with pytest.MonkeyPatch.context() as patch:
            if load is None:
                (out / "search" / record._MODELS).write_text("{")
            else:
                patch.setattr(made, "load_file", load)
            with pytest.raises(
                hs.RunFolderError, match=f"{said}.* Start anew with --overwrite"
            ) as no:
                hs.fit(table, budget="24s", resume=True, **words)
        told.append(no.value)
    hs.fit(table, budget="12s", overwrite=True, **words)
    for each in told:
        heard(each)
