"""Boosted trees and forests as starts: the same verbs, the same folder, the same bits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from sklearn.datasets import load_diabetes

import headstart as hs
from headstart.cli import main
from headstart.errors import Interrupted, OptionError
from headstart.training.probing import boosting, forest
from headstart.tuning import grown


@pytest.fixture(autouse=True)
def _quick(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setattr(boosting, "SETTINGS", boosting.SETTINGS[:2])
    monkeypatch.setattr(forest, "MOST_TREES", 20)


@pytest.fixture(scope="module")
def diabetes():
    return hs.load(load_diabetes(as_frame=True).frame, label="target", task="regression")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A table with numbers, categories, dates and gaps, whose target is a matter of cases."""
    draw = np.random.default_rng(0)
    age, city = draw.normal(40, 10, 600), draw.choice(["Rome", "Oslo", "Lima", ""], 600)
    day = pd.to_datetime("2020-01-01") + pd.to_timedelta(draw.integers(0, 700, 600), unit="D")
    buys = (age > 40) ^ (city == "Oslo") ^ (draw.random(600) < 0.05)
    frame = pd.DataFrame({"age": age, "city": city, "day": day, "buys": np.where(buys, "y", "n")})
    frame.loc[draw.choice(600, 60, replace=False), "age"] = np.nan
    path = tmp_path_factory.mktemp("mixed") / "shop.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["boosting", "forest"])
def test_a_run_of_trees_is_a_run_as_every_other(name, mixed, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["finetune", str(mixed), "--label", "buys", "--start", f"scratch/{name}", "--out"]
    assert main([*words, str(out)]) == 0
    assert "Growing trees" in capsys.readouterr().err
    run = hs.open(out)
    figure = run.metrics["test"]["figures"]["accuracy"]["value"]
    assert figure > 0.85
    ladder = run.metrics["before_after"]["figures"]
    assert ("gradient boosting" in ladder) == (name == "forest")  # nothing beside itself
    kinds = {".safetensors", ".json", ".jsonl", ".parquet", ".html", ".md"}
    assert {path.suffix for path in out.iterdir()} == kinds
    # the rows of the test split by the route of new rows: the same answers
    kept = pq.read_table(out / "predictions.parquet").to_pandas()
    rows = hs.load(str(mixed), label="buys").test.samples
    found = run.predict([rows.read(i) for i in range(len(rows))])
    assert [one.label for one in found] == kept["prediction"].tolist()
    assert main(["evaluate", str(out), str(mixed)]) == 0
    unknown = run.predict([{"age": "", "city": "Atlantis", "day": "2030-05-05"}])
    assert 0.5 <= unknown[0].probability <= 1.0
    assert f"scratch/{name}" in run.report()


def test_steps_are_refused_in_a_sentence(diabetes, tmp_path):
    def tune(**said):
        hs.finetune(diabetes, start="scratch/boosting", out=str(tmp_path / "r"), **said)

    with pytest.raises(OptionError, match=r"trees, which are grown at once .* expected 'head'"):
        tune(strategy="full")
    with pytest.raises(OptionError, match="num_steps"):
        tune(num_steps=5)


@pytest.mark.parametrize("name", ["boosting", "forest"])
def test_killed_while_growing_it_ends_with_the_same_bits(name, diabetes, tmp_path, monkeypatch):
    def tune(out, **said):
        return hs.finetune(diabetes, start=f"scratch/{name}", out=str(tmp_path / out), **said)

    tune("whole")
    address, num = f"scratch/{name}", 0
    real = grown.GROWERS[address]

    def stopped(job):
        def stop():
            nonlocal num
            num += 1
            if num == 2:  # not before the first piece
                raise KeyboardInterrupt(15)
            return False

        return real(type(job)(**{**vars(job), "stop_requested": stop}))

    monkeypatch.setitem(grown.GROWERS, address, stopped)
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        tune("parts")
    monkeypatch.setitem(grown.GROWERS, address, real)
    tune("parts", resume=True)
    first, again = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "parts"))
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[key], again[key]) for key in first)


def test_fit_hands_over_trees_where_they_win(mixed, tmp_path, work_clock):
    data = hs.load(str(mixed), label="buys")
    run = hs.fit(data, budget="40s", out=str(tmp_path / "run"))
    first = run.options["candidates"][0]["start"]
    assert first in ("scratch/boosting", "scratch/forest")
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.85


def test_fit_with_steps_asked_for_leaves_trees_out(diabetes, tmp_path, work_clock):
    starts = ["scratch/boosting", "scratch/mlp"]
    out = str(tmp_path / "run")
    run = hs.fit(diabetes, budget="30s", starts=starts, strategy="full", out=out)
    notes = {row["start"]: row["note"] for row in run.options["candidates"]}
    assert "take no gradient steps" in notes["scratch/boosting"]
    assert run.options["candidates"][0]["start"] == "scratch/mlp"


@pytest.mark.parametrize("address", ["scratch/boosting", "scratch/forest"])
@pytest.mark.parametrize("is_cut", [True, False], ids=["cut by its time", "ended by itself"])
def test_trees_that_the_ranking_has_cut_get_the_time_that_is_left(
    address, is_cut, diabetes, tmp_path, work_clock, monkeypatch
):
    real, ends = grown.GROWERS[address], []

    def slowly(job):
        now = work_clock()
        ends.append((job.deadline or now) - now)
        work_clock.sleep((0.9 if is_cut and len(ends) == 1 else 0.2) * ends[-1])
        return real(job)

    monkeypatch.setitem(grown.GROWERS, address, slowly)
    out = str(tmp_path / "run")
    run = hs.fit(diabetes, budget="60s", starts=[address, "scratch/linear"], out=out)
    rows = [row for row in run.options["arms"] if row["start"] == address]
    assert len(rows) == 1  # in the place of what was cut
    assert ("grown anew" in str(rows[0]["note"])) == is_cut
    if is_cut:
        assert ends[1] > 1.5 * ends[0]
