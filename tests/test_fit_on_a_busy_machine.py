"""``fit`` on images where networks get no time: what is handed over is never chance."""

import time

import numpy as np
import pytest
from clocks import ProcessorClock, set_clock
from sklearn.datasets import load_digits

import headstart as hs


@pytest.fixture(scope="module")
def data():
    images, targets = load_digits(return_X_y=True)
    rows = (images.reshape(-1, 8, 8) * 15).astype(np.uint8)[:900], targets[:900]
    return hs.load(rows)


@pytest.mark.parametrize("slowness", [10.0, 40.0])
def test_a_slow_machine_hands_over_pixels_within_the_budget(data, tmp_path, monkeypatch, slowness):
    set_clock(monkeypatch, ProcessorClock(slowness))
    began = time.monotonic()
    run = hs.fit(data, budget="1m", out=str(tmp_path / "run"), device="cpu")
    assert time.monotonic() - began < 60 * 1.05
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.85
    ranked = run.options["candidates"]
    assert ranked[0]["start"] == "scratch/pixels"
