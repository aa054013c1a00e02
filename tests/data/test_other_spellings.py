"""Further members of what people bring: split words, class names, gaps, numbers and days."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from advised import TEXTS, Case, N, X, Y, csv, frame, photos, told
from PIL import Image

from headstart.data import load

CLASSES = ("cat", "dog", "owl")
IS_TEST = np.arange(N) % 5 == 0


def sizes(data) -> tuple[int, int]:
    """Return how many samples are learned from, val among them, and how many test."""
    return len(data.train) + len(data.val), len(data.test)


def classed(folder: Path, name) -> Path:
    return Path(photos(folder, lambda i: f"{name(i)}/{i}.png"))


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("for_training", "for_testing"),
        ("learn", "test"),
        ("train_v2", "test_v2"),
        ("animals_train", "animals_test"),
        ("AnimalsTraining", "AnimalsHoldout"),
    ],
)
def test_folders_that_differ_in_a_split_word_alone_are_splits(tmp_path, train, test):
    data = load(classed(tmp_path, lambda i: f"{test if IS_TEST[i] else train}/{CLASSES[i % 3]}"))
    assert data.schema.classes == CLASSES
    assert sizes(data) == (N - IS_TEST.sum(), IS_TEST.sum())


def test_stations_and_tests_are_classes_all_the_same(tmp_path):
    names = ("train_station", "bus_station", "test_tube")
    assert load(classed(tmp_path, lambda i: names[i % 3])).schema.classes == tuple(sorted(names))


@pytest.mark.parametrize("name", ["no_class", "unlabelled_pool", "Unsorted", "untagged images"])
def test_a_folder_without_a_class_is_none(tmp_path, name):
    data = load(classed(tmp_path, lambda i: name if IS_TEST[i] else CLASSES[i % 3]))
    assert data.schema.classes == CLASSES


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("tvt", ("train", "test")),
        ("purpose", ("Training", "Validation")),
        ("source_file", ("data/train.csv", "data/test.csv")),
        ("held_out", ("False", "True")),
    ],
)
def test_a_column_of_split_words_is_believed_whatever_it_is_called(tmp_path, column, cells):
    words = np.where(IS_TEST, cells[1], cells[0])
    table = pd.DataFrame({"text": TEXTS, "label": Y, column: words})
    data = load(csv(tmp_path, table))
    held = data.val if cells[1] == "Validation" else data.test
    assert len(held) == IS_TEST.sum()
    said = " ".join(data.notes)
    assert f"Column '{column}' says the splits" in said
    assert sizes(load(csv(tmp_path, table), drop=[column])) == (48, 12)  # as the note says


def test_a_column_of_vehicles_and_a_column_of_tests_say_no_splits(tmp_path):
    table = frame(vehicle=np.where(IS_TEST, "bus", "train"), test=IS_TEST)
    assert "says the splits" not in " ".join(load(csv(tmp_path, table)).notes)


ITEMS = "".join(
    f"item {{\n  id: {i + 1}\n  name: '/m/0{i}'\n  display_name: '{c}'\n}}\n"
    for i, c in enumerate(CLASSES)
)


@pytest.mark.parametrize(
    ("file", "content", "first"),
    [
        ("class_indices.json", json.dumps({c: i for i, c in enumerate(CLASSES)}), 0),
        ("index_to_name.json", json.dumps({str(i): c for i, c in enumerate(CLASSES)}), 0),
        ("label_map.pbtxt", ITEMS, 1),
        ("labels_map.json", json.dumps({str(i): c for i, c in enumerate(CLASSES)}), 0),
    ],
)
def test_what_tools_write_beside_numbered_folders_names_the_classes(tmp_path, file, content, first):
    classed(tmp_path, lambda i: str(i % 3 + first))
    (tmp_path / file).write_text(content)
    assert load(tmp_path).schema.classes == CLASSES


@pytest.mark.parametrize("word", ["unlabeled", "TODO", "no label", "to be labelled"])
def test_a_cell_that_says_there_is_no_label_is_no_class(tmp_path, word):
    labels = np.where(IS_TEST, word, np.array(CLASSES)[np.arange(N) % 3])
    data = load(csv(tmp_path, pd.DataFrame({"text": TEXTS, "label": labels})))
    assert data.schema.classes == CLASSES
    assert f"{IS_TEST.sum()} of {N} rows of a.csv have no label ({word} in 'label')" in " ".join(
        data.notes
    )


def named(folder: Path, suffix: str):
    photos(folder / "images", lambda i: f"{i:03d}.png")
    names = [f"{i:03d}{suffix}" for i in range(N)]
    csv(folder, pd.DataFrame({"file": names, "label": Y}), "labels.csv")
    return load(folder)


def ordered(**columns):
    return lambda folder: load(csv(folder, frame(**columns)))


def levels(folder: Path, factor: int):
    """Return pictures of six values, spread by a factor."""
    for i in range(N):
        drawn = np.random.default_rng(i).integers(0, 6, (12, 12)).astype(np.uint8)
        place = folder / str(Y[i])
        place.mkdir(exist_ok=True)
        Image.fromarray(drawn * np.uint8(factor)).save(place / f"{i}.png")
    return load(folder)


def as_kind(folder: Path, suffix: str):
    classed(folder, lambda i: CLASSES[i % 3])
    for path in folder.glob("*/*.png"):
        path.rename(path.with_suffix(suffix))
    return load(folder)


DAYS = pd.date_range("2020-01-15", periods=N, freq="MS")
CASES = {
    "names of another suffix": Case(
        lambda f: named(f, ".jpg"),
        "names '000.jpg', and there is 'images/000.png'.* Write them so, or",
        lambda f: named(f, ".png"),
    ),
    "names of another suffix, without": Case(
        lambda f: named(f, ".PNG"),
        "or without a suffix",
        lambda f: named(f, "").schema.modality == "image",
    ),
    "a y in another order": Case(
        lambda _: load((frame()[["a", "b"]].sample(frac=1, random_state=0), pd.Series(Y))),
        r"the same index, in another order.* Give y.loc\[X.index\]",
        lambda _: load(
            (x := frame()[["a", "b"]].sample(frac=1, random_state=0), pd.Series(Y).loc[x.index])
        ),
    ),
    "masked pictures": Case(
        lambda _: load((np.ma.masked_less(np.zeros((N, 8, 8), np.uint8), 1), Y)),
        r"is masked in 3,840 places.* Give X.filled\(0\)",
        lambda _: load((np.ma.masked_less(np.zeros((N, 8, 8), np.uint8), 1).filled(0), Y)),
    ),
    **{
        f"periods as {form}": told(
            ordered(when=[form(day) for day in DAYS]),
            "holds months, quarters or weeks .* write the first day of each, as 2024-03-31",
            ordered(when=DAYS.strftime("%Y-%m-%d")),
        )
        for form in (
            lambda day: day.strftime("%b-%y"),
            lambda day: day.strftime("%B %Y"),
            lambda day: f"{day.year}Q{day.quarter}",
            lambda day: day.strftime("%G-W%V"),
            lambda day: day.strftime("%Y/%m"),
        )
    },
    "thousands beside plain numbers": told(
        ordered(c=[f"{1.5 + i / 10:.1f}k" if i % 2 else f"{i * 9.5:.1f}" for i in range(N)]),
        "amounts in several units, such as .* Bring them to one unit",
        ordered(c=[1500 + i * 100 if i % 2 else i * 9.5 for i in range(N)]),
    ),
    "masks for pictures": told(
        lambda f: levels(f, 1),
        "use fewer than 10 of 256 levels .* Spread the values over 0 to 255",
        lambda f: levels(f, 51),
    ),
    "a kind of file that is not read": Case(
        lambda f: as_kind(f, ".tga"),
        r"files of kinds that are not read \(60 .tga\).* Convert them, for example to PNG",
        lambda f: as_kind(f, ".png").schema.classes == CLASSES,
    ),
    "quotes around some labels": told(
        ordered(label=[f"'{y}'" if i % 3 == 0 else y for i, y in enumerate(Y)]),
        "differ in capitals, blanks or quotes alone: .* write them alike",
        ordered(),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_other_spellings_helps(name: str, follow) -> None:
    follow(CASES[name])


def test_pictures_of_portable_formats_are_read(tmp_path):
    for name in ("ppm", "pgm"):
        folder = classed(tmp_path / name, lambda i: CLASSES[i % 3])
        for path in sorted(folder.glob("*/*.png")):
            image = Image.open(path).convert("RGB" if name == "ppm" else "L")
            image.save(path.with_suffix(f".{name}"))
            path.unlink()
        data = load(folder)
        assert data.schema.classes == CLASSES
        assert data.train.samples.read(0)
        assert len(data.bad_samples) == 0


def test_days_may_have_their_weekday(tmp_path):
    days = pd.date_range("2020-01-15", periods=N)
    for form in ("%A, %d %B %Y", "%a %Y-%m-%d"):
        data = load(csv(tmp_path, frame(when=days.strftime(form))))
        assert data.column_kinds["when"] == "date"


def test_masked_cells_are_missing_and_no_numbers():
    mask = np.zeros(X.shape, bool)
    mask[::7, 0] = True
    rows = np.ma.masked_array(np.where(mask, 1e9, X), mask)
    data = load((rows, Y))
    said = " ".join(data.notes)
    assert "Missing cells" in said
    assert "1e+09" not in said
    with pytest.raises(Exception, match="is empty or NaN"):
        load((X, np.ma.masked_array((X[:, 0] > 0).astype(int), mask[:, 0])))
