"""Groups that file names tell of are measured before they are told, and the advice works."""

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.auditing.audit import AuditTools
from headstart.auditing.guessed_groups import GUESSED_GROUPS, nearer
from headstart.auditing.probe_features import ProbeFeatures
from headstart.data import load

NUM_ANIMALS, EACH = 14, 6


@pytest.fixture(autouse=True)
def _no_start(monkeypatch):
    """Let images have their pixels: quick, and the same on every machine."""
    monkeypatch.setattr("headstart.starts.candidates.local_starts", lambda modality: [])


def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    pixels, kinds = load_digits(return_X_y=True)
    return (pixels.reshape(-1, 8, 8) * 15).astype(np.uint8), kinds


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def photos(root: Path, name: str) -> Path:
    """Write photos of animals: each is a real digit, shifted, lit and noisy in another way."""
    draw, (pixels, kinds) = np.random.default_rng(2), digits()
    number = 0
    for animal in range(NUM_ANIMALS):
        kind = animal % 2
        own = draw.choice(np.flatnonzero(kinds == kind))
        large = np.asarray(Image.fromarray(pixels[own]).resize((40, 40), 3)).astype(float)
        for shot in range(EACH):
            seen = np.roll(large, tuple(draw.integers(-2, 3, 2)), (0, 1)) * draw.uniform(0.8, 1.1)
            seen = np.clip(seen + draw.normal(0, 12, seen.shape), 0, 255).astype(np.uint8)
            file = name.format(animal=animal, shot=shot, number=number, kind=kind)
            save(root / ("cat", "dog")[kind] / file, seen)
            number += 1
    return root


def found_in(data) -> list[str]:
    if not GUESSED_GROUPS.applies(data):
        return []
    tools = AuditTools(features=ProbeFeatures(data))
    return [audited.finding.sentence for audited in GUESSED_GROUPS.run(data, tools)]


@pytest.mark.parametrize(
    "name",
    [
        "dog{animal}_{shot:03d}.png",
        "subject{animal:02d}-{shot:03d}.png",
        "patient_{animal}_scan_{shot}.png",
        "{number:05d} (cow{animal}).png",
        "2024-05-{animal:02d}_{number:04d}.png",
        "c{kind}.s{animal}.{shot}.png",
        "mouse{animal}frame{shot}.png",
    ],
)
def test_names_that_tell_of_groups_are_told_with_the_option_that_uses_them(name, tmp_path):
    data = load(str(photos(tmp_path / "photos", name)))
    (sentence,) = found_in(data)
    assert f"{NUM_ANIMALS * EACH} images of {NUM_ANIMALS} (" in sentence
    said = shlex.split(re.search(r"--group (.*?): each", sentence)[1])[0]
    grouped = load(str(tmp_path / "photos"), group=said)
    groups = [grouped.split(split).groups for split in ("train", "val", "test")]
    assert len(np.unique(np.concatenate(groups))) == NUM_ANIMALS
    assert not set(groups[0]) & set(groups[2])
    assert found_in(grouped) == []  # they have been named


@pytest.mark.parametrize(
    "name", ["IMG_{i:04d}.png", "r{draw}_{i}.png", "2024-01-{day:02d}_{i}.png", "{i}_{draw}_m.png"]
)
def test_counters_and_names_that_say_nothing_raise_no_alarm(name, tmp_path):
    draw, (pixels, kinds) = np.random.default_rng(0), digits()
    for i, place in enumerate(draw.choice(len(pixels), 240, replace=False)):
        file = name.format(i=i, draw=draw.integers(15), day=i // 24)
        save(tmp_path / "digits" / str(kinds[place] // 5) / file, pixels[place])
    assert found_in(load(str(tmp_path / "digits"))) == []


def test_samples_without_file_names_are_not_asked():
    assert found_in(load("digits-8x8")) == []
    assert not GUESSED_GROUPS.applies(load((["a text"] * 9 + ["b"] * 9, ["x", "y"] * 9)))


def test_nearer_counts_groups_and_is_half_by_chance():
    draw = np.random.default_rng(1)
    codes = np.repeat(np.arange(30), 8)
    labels = np.repeat(np.arange(2), 120)
    centres = draw.normal(size=(30, 16))[codes]
    value, error = nearer(centres + draw.normal(size=centres.shape), codes, labels)
    assert value - 3 * error > 0.7
    apart, wide = nearer(draw.normal(size=centres.shape), codes, labels)
    assert abs(apart - 0.5) < 3.3 * wide
    # by hand: two groups of two on a line, the mates always nearer; too few groups say nothing
    assert nearer(np.array([[0.0], [1], [9], [8]]), np.array([0, 0, 1, 1]), np.zeros(4)) == (
        0.5,
        0.5,
    )


def test_check_tells_it_and_what_it_says_to_do_ends_it(tmp_path, monkeypatch, heard):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos", "dog{animal}_{shot:03d}.png")
    skip = ["near-images", "drift", "doubtful-labels", "shortcuts"]
    checked = hs.check("photos", skip=skip)
    (found,) = [f for f in checked.findings if f.kind == "group"]
    assert found.severity == "warning"
    assert "--group '(dog[0-9]+)'" in found.sentence
    again = load("photos", group="(dog[0-9]+)")
    assert [f for f in hs.check(again, skip=skip).findings if f.kind == "group"] == []
    heard(found.sentence)


@pytest.mark.parametrize(
    ("column", "is_told"),
    [
        ("customer_id", True),
        ("patientId", True),
        ("speaker", True),
        ("mood", False),
        ("row_id", False),
    ],
)
def test_a_column_beside_texts_that_repeats_what_it_names_is_told(column, is_told, heard):
    draw = np.random.default_rng(0)
    words = [f"w{i}" for i in range(200)]
    values = np.arange(120) if column == "row_id" else draw.integers(0, 25, 120)
    frame = pd.DataFrame(
        {
            "text": [" ".join(draw.choice(words, 8)) for _ in range(120)],
            "label": draw.choice(["a", "b"], 120),
            column: values,
        }
    )
    found = [f.sentence for f in load(frame).findings if f.kind == "group"]
    assert bool(found) == is_told
    if is_told:
        assert f"--group {column}" in found[0]
        assert load(frame, group=column).train.groups is not None
        assert [f for f in load(frame, drop=[column]).findings if f.kind == "group"] == []
        heard(found[0])
