"""``fit`` where the machine is slow: it keeps its budget, and what it hands over is not chance."""

import json

import numpy as np
import pytest
from clocks import ProcessorClock, set_clock
from pairs_of_texts import write_pairs
from sklearn.datasets import load_digits
from small_questions import squad

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


def questions(folder):
    """Write questions of which each context answers two of three."""
    folder.mkdir()
    for name, num, seed in (("train", 80, 0), ("dev", 20, 1)):
        (folder / f"{name}-v2.0.json").write_text(json.dumps(squad(num, seed)))
    return folder


def tags(folder):
    """Write sentences of twelve words, some of which have a tag."""
    draw, places = np.random.default_rng(0), {"PER": (0, 20), "LOC": (20, 40)}
    folder.mkdir()
    for name, num in (("train", 600), ("test", 150)):
        lines = []
        for _ in range(num):
            words = draw.integers(0, 300, 12)
            found = [next((t for t, (a, b) in places.items() if a <= w < b), None) for w in words]
            lines += [f"w{w}\t{f'B-{t}' if t else 'O'}" for w, t in zip(words, found, strict=True)]
            lines.append("")
        (folder / f"{name}.txt").write_text("\n".join(lines))
    return folder


def pairs(folder):
    """Write a toy of two languages."""
    return write_pairs(folder.with_name("toy-en-de"), {"train": 1_000, "val": 100, "test": 100})


KINDS = {
    "questions": (questions, "scratch/bert-tiny", 12.0),
    "tags": (tags, "scratch/bert-tiny", 12.0),
    "writers": (pairs, "scratch/seq2seq-tiny", 6.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_reads_and_writes_texts_keeps_its_budget_on_a_slow_machine(
    kind, tmp_path, monkeypatch
):
    write, start, slowness = KINDS[kind]
    data, spent = str(write(tmp_path / "data")), []

    def hear(name, fields):
        if name == "spent":
            spent.append(fields["at"])

    set_clock(monkeypatch, ProcessorClock(slowness))
    with listen(hear):
        run = hs.fit(data, budget="45s", starts=[start], out=str(tmp_path / "run"), device="cpu")
    assert spent[-1] < 45 * 1.05
    assert run.metrics["test"]["figures"]
