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


def images_of_digits():
    """Return 1,797 digits; beside what is solved for there are networks to be tried."""
    images, targets = load_digits(return_X_y=True)
    return hs.load(((images.reshape(-1, 8, 8) * 15).astype(np.uint8), targets))


def rows_of_a_table():
    """Return rows of which a linear model tells little."""
    rows = np.random.default_rng(0).normal(size=(600, 6))
    return hs.load((rows, np.where(rows[:, 0] * rows[:, 1] + rows[:, 2] > 0, "a", "b")))


def texts_of_two_kinds():
    """Return texts that differ in how often some words are in them."""
    draw = np.random.default_rng(0)
    words = np.array([f"w{number}" for number in range(300)])
    kinds = draw.integers(0, 2, 800)
    texts = [" ".join(draw.choice(words[20 * kind : 20 * kind + 200], 12)) for kind in kinds]
    return hs.load((texts, ["ab"[kind] for kind in kinds]))


USABLE = {"images": images_of_digits, "rows": rows_of_a_table, "texts": texts_of_two_kinds}
LEAST = {"images": 0.9, "rows": 0.85, "texts": 0.7}
BUSY = 10.0  # twenty programs on two cores


@pytest.mark.slow
@pytest.mark.parametrize("kind", USABLE)
def test_twenty_programs_beside_it_leave_a_usable_model_within_half_a_minute(
    kind, tmp_path, monkeypatch
):
    data, spent = USABLE[kind](), []

    def hear(name, fields):
        if name == "spent":
            spent.append((fields["stage"], fields["at"]))

    set_clock(monkeypatch, ProcessorClock(BUSY))
    with listen(hear):
        run = hs.fit(data, budget="30s", out=str(tmp_path / "run"), device="cpu")
    assert spent[-1][1] < 30 * 1.05, spent
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > LEAST[kind]


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
            spent.append((fields["stage"], fields["at"]))

    set_clock(monkeypatch, ProcessorClock(slowness))
    with listen(hear):
        run = hs.fit(data, budget="45s", starts=[start], out=str(tmp_path / "run"), device="cpu")
    assert spent[-1][1] < 45 * 1.05, spent
    assert run.metrics["test"]["figures"]
