"""What a search has built to measure is what its arms train: once, and not kept idle."""

import time
from pathlib import Path

import pytest
import torch

import headstart as hs
from headstart.searching import runner
from headstart.searching.arms import ArmSpec
from headstart.searching.context import SearchContext
from headstart.searching.prices import Prices
from headstart.training.options.common_options import CommonOptions
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions

NAMES = ("simple-cnn", "quick-cnn-small")


@pytest.fixture
def context(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return SearchContext(
        dataset=hs.load("digits-8x8"),
        asked=CommonOptions(),
        device=torch.device("cpu"),
        budget=Budget(60),
        deadline=time.monotonic() + 60,
        decisions=Decisions(),
        state=Path(tmp_path),
    )


def test_the_model_of_each_arm_is_built_once_however_often_its_price_is_asked(context, monkeypatch):
    made, build = [], runner.set_up

    def counted(dataset, start, options, **words):
        made.append((start.address, options.strategy))
        return build(dataset, start, options, **words)

    monkeypatch.setattr(runner, "set_up", counted)
    prices = Prices(context)
    specs = [
        ArmSpec(f"scratch/{name}", "full", size=8) for name in ("simple-cnn", "quick-cnn-small")
    ]
    for spec in specs:
        prices.cost(spec)
        prices.samples(spec)
        assert prices.each(spec) > 0
    setups = [runner.built(spec, context) for spec in specs]
    assert made == [(spec.start, "full") for spec in specs]
    assert [setup.model.encoder.start.address for setup in setups] == [s.start for s in specs]
    assert not context.spare


def test_what_no_arm_will_take_is_let_go(context):
    prices = Prices(context)
    specs = [
        ArmSpec(f"scratch/{name}", "full", size=8) for name in ("simple-cnn", "quick-cnn-small")
    ]
    for spec in specs:
        prices.cost(spec)
    prices.keep_spare(specs[:1])
    assert list(context.spare) == specs[:1]
