"""``fit`` on images where networks get no time: what is handed over is never chance."""

import numpy as np
from clocks import ProcessorClock, set_clock
from sklearn.datasets import load_digits

import headstart as hs
from headstart.events import listen

SLOWNESS = 20.0  # seconds by the clock for each that it works: a minute holds three


def test_a_machine_without_time_hands_over_pixels_within_the_budget(tmp_path, monkeypatch):
    images, targets = load_digits(return_X_y=True)
    data = hs.load(((images.reshape(-1, 8, 8) * 15).astype(np.uint8)[:900], targets[:900]))
    spent: list[float] = []

    def hear(kind: str, fields: dict[str, object]) -> None:
        if kind == "spent":
            spent.append(float(str(fields["at"])))

    set_clock(monkeypatch, ProcessorClock(SLOWNESS))
    starts, out = ["scratch/pixels", "scratch/quick-cnn-small"], str(tmp_path / "run")
    with listen(hear):
        run = hs.fit(data, budget="1m", starts=starts, out=out, device="cpu")
    assert spent[-1] < 60 * 1.05
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.85
    assert run.options["candidates"][0]["start"] == "scratch/pixels"
