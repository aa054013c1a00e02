"""Steps of ``rank``: what is kept, control, last blocks, the clock, processes, its page."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from clocks import ProcessorClock
from small_runs import few_digits

import headstart as hs
from headstart.data import load
from headstart.ranking import rank as module
from headstart.ranking import taps
from headstart.ranking.scored import RankingJob, Scored, build
from headstart.starts import find_start
from headstart.starts.providers import PROVIDERS
from headstart.training.options.common_options import CommonOptions
from headstart.tuning import solving
from headstart.tuning.budget import Budget
from headstart.tuning.setup import prepare_sample

CPU = {"budget": "120s", "device": "cpu"}
TOYS = ["toy/narrow", "toy/wide", "toy/masked"]


@pytest.fixture(autouse=True)
def _toys(monkeypatch, tmp_path):
    monkeypatch.setitem(PROVIDERS, "toy", toys.Toys())
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def digits():
    return load("digits-8x8")


def test_what_blocks_know_is_computed_once(digits, monkeypatch):
    monkeypatch.setattr(taps, "_WORTH_SECONDS", 0.0)
    seen = []
    real = taps.TappedNetwork.forward
    monkeypatch.setattr(
        taps.TappedNetwork,
        "forward",
        lambda self, *inputs: seen.append(len(inputs[0])) or real(self, *inputs),
    )
    first = hs.rank(digits, starts=TOYS[:2], **CPU)
    assert sum(num for num in seen if num > 64) >= 2 * 900  # all samples of both
    seen.clear()
    again = hs.rank(digits, starts=TOYS[:2], **CPU)
    assert seen == [2, 2]  # two samples tell the widths
    for one, other in zip(first.record["starts"], again.record["starts"], strict=True):
        assert one["figure"] == other["figure"]
        assert one["collapse"] == other["collapse"]


def test_other_weights_or_samples_are_not_read_from_what_was_kept(digits, monkeypatch):
    monkeypatch.setattr(taps, "_WORTH_SECONDS", 0.0)
    one = hs.rank(digits, starts=["toy/wide"], **CPU).record["starts"][0]
    monkeypatch.setattr(toys, "seeded", lambda _: toys.torch.random.fork_rng())
    with toys.torch.random.fork_rng():
        toys.torch.manual_seed(5)
        other = hs.rank(digits, starts=["toy/wide"], **CPU).record["starts"][0]
    assert one["collapse"] != other["collapse"]


def test_pixels_stand_beside_starts_for_images(digits):
    ranked = hs.rank(digits, starts=["toy/narrow"], **CPU)
    control = ranked.record["control"]
    assert control["name"] == "scratch/pixels"
    assert 0.85 < control["figure"]["value"] < 1
    assert "control" in ranked.report()
    assert "no start beats it as it stands" in " ".join(ranked.report().split())


def test_the_simple_start_is_the_control_of_rows_whether_named_or_not():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(300, 3))
    value = columns[:, 0] + 0.1 * rng.normal(size=300)
    named = hs.rank((columns, value), starts=["scratch/linear"], **CPU).record
    other = hs.rank((columns, value), starts=["scratch/mlp"], **CPU).record
    assert named["control"]["name"] == other["control"]["name"] == "scratch/linear"
    values = [each["control"]["figure"]["value"] for each in (named, other)]
    assert values == [pytest.approx(0.99, abs=0.01)] * 2


def test_last_blocks_are_trained_of_the_best_and_of_what_was_made_to_reconstruct(
    digits, monkeypatch
):
    monkeypatch.setattr(module, "MOST_PROBED", 1)
    rows = {one["start"]: one for one in hs.rank(digits, starts=TOYS, **CPU).record["starts"]}
    assert rows["toy/wide"]["block"] > 0.9  # the best by its features
    assert rows["toy/masked"]["block"] > rows["toy/masked"]["figure"]["value"] - 0.1
    assert rows["toy/narrow"]["block"] is None
    assert "last block trained" in rows["toy/wide"]["why"]


def test_copies_are_known_on_both_sides_of_what_a_last_block_is_trained_and_judged_on(monkeypatch):
    asked, together = [], solving._together

    def watched(setup, train_ids, val_ids):
        asked.append((setup.splits, val_ids))
        return together(setup, train_ids, val_ids)

    monkeypatch.setattr(solving, "_together", watched)
    data = few_digits()
    row, _ = hs.rank(data, starts=TOYS[:2], budget="1h", device="cpu").record["starts"]
    assert row["block"] > 0.5
    splits, held = asked[0]
    assert splits == (data.train, data.train)
    assert np.isin(held, data.train.ids).all()  # held out of train: val knows nothing of them
    with pytest.raises(AssertionError, match="no ids of this split"):
        replace(data.val, groups=data.val.contents).groups_of(held)


def test_without_time_for_two_no_last_block_is_trained(digits, monkeypatch):
    monkeypatch.setattr(module, "block_seconds", lambda *_: 1e6)
    ranked = hs.rank(digits, starts=TOYS, **CPU)
    assert {one["block"] for one in ranked.record["starts"]} == {None}


@pytest.mark.parametrize("slowness", [4.0, 10.0])
def test_a_slow_machine_ends_in_time(digits, slowness, monkeypatch):
    clock = ProcessorClock(slowness)
    monkeypatch.setattr(time, "monotonic", clock)
    starts = [*TOYS, "scratch/simple-cnn", "scratch/vit-tiny"]
    began = clock()
    ranked = hs.rank(digits, starts=starts, budget="30s", device="cpu")
    assert clock() - began <= 1.05 * 30
    assert ranked.shortlist


def test_no_time_to_train_is_said_and_has_no_chance(digits, monkeypatch):
    monkeypatch.setattr(module, "_LEAST_MOMENT", 1e6)
    ranked = hs.rank(digits, starts=["toy/wide", "scratch/simple-cnn"], **CPU)
    last = ranked.record["starts"][-1]
    assert (last["start"], last["place"], last["best_chance"]) == ("scratch/simple-cnn", None, None)
    assert last["why"].startswith("not scored: no time was left to train it")


def test_a_place_with_a_ranking_is_refused_unless_it_may_be_replaced(digits, tmp_path):
    out = str(tmp_path / "out")
    hs.rank(digits, starts=["toy/narrow"], out=out, **CPU)
    before = (tmp_path / "out" / "ranking.json").read_bytes()
    with pytest.raises(hs.RunFolderError, match=r"holds ranking\.json and ranking\.html already"):
        hs.rank(digits, starts=["toy/wide"], out=out, **CPU)
    assert (tmp_path / "out" / "ranking.json").read_bytes() == before
    hs.rank(digits, starts=["toy/wide"], out=out, overwrite=True, **CPU)
    assert (tmp_path / "out" / "ranking.json").read_bytes() != before


def test_its_page_shows_price_and_order_and_fetches_nothing(digits, tmp_path):
    out = tmp_path / "out"
    hs.rank(digits, starts=[*TOYS, "toy/broken"], out=str(out), **CPU)
    page = (out / "ranking.html").read_text()
    assert page.count("<circle") == 3
    assert "toy/wide: accuracy 0." in page
    assert "the file of its weights is damaged" in page
    assert "control" in page
    assert "http" not in page.replace("Content-Security-Policy", "").replace("http-equiv", "")


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tmp_path):
    starts = [*TOYS, "toy/broken", "toy/dead"]
    both = _told(_launched(tmp_path / "two", starts, 2))
    alone = hs.rank(few_digits(), starts=starts, budget=toys.BUDGET, device="cpu").record
    assert len(both) == 2
    assert both[0]["starts"] == both[1]["starts"]
    for one, other in zip(alone["starts"], both[0]["starts"], strict=True):
        for name in ("start", "place", "figure", "neighbours", "collapse", "block", "tap"):
            assert one[name] == other[name], name
    assert "damaged" in both[0]["starts"][-1]["why"]
    assert (tmp_path / "two" / "out" / "ranking.json").is_file()


def _launched(folder, starts, num):
    """Run so many processes of ``toys.py``, and return the folder they have written to."""
    folder.mkdir()
    port = str(20_000 + os.getpid() % 10_000)
    own = {"WORLD_SIZE": str(num), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    program = str(Path(__file__).parent / "toys.py")
    running = [
        subprocess.Popen(
            [sys.executable, program, str(folder / "out"), *starts],
            env={**os.environ, **own, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(num)
    ]
    for each in running:
        _, said = each.communicate(timeout=240)
        assert each.returncode == 0, said
    return folder


def _told(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("told-*.json"))]


@pytest.mark.parametrize("most", [0, 1, 2])
def test_the_last_blocks_are_read_with_the_features_and_are_those_of_a_whole_reading(most, digits):
    options = CommonOptions()
    job = RankingJob(digits, Budget(None), options, torch.device("cpu"), input_size=None)
    one = Scored(find_start("toy/wide"))
    build(job, one)
    inputs = prepare_sample(digits, "train", one.setup, 40, seed=0)
    every = taps.tapped_features(one.setup.model, inputs)
    some = taps.tapped_features(one.setup.model, inputs, most_blocks=most)
    names = [name for name in every if name != taps.FEATURES]
    assert len(names) >= 2
    assert list(some) == [taps.FEATURES, *names[len(names) - most :]]
    for name, values in some.items():
        np.testing.assert_allclose(values, every[name], rtol=1e-6)
