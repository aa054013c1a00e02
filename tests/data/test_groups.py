"""What belongs together stays on one side of the split, however a user says it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart.data import load
from headstart.errors import DataError, OptionError

ANIMALS = ("anna", "ben", "carl", "dora", "emil", "fritz", "gina", "hans", "ida")
CLASSES = ("cat", "dog")


def _picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def _folder(root: Path, written: str, each: int = 4) -> Path:
    """Make 18 animals of two classes with some photos each; ``written`` says where they lie."""
    for number in range(18):
        animal = f"{ANIMALS[number % 9]}{'' if number < 9 else 'son'}"
        for shot in range(each):
            told = written.format(
                label=CLASSES[number % 2], animal=animal, number=number, shot=shot
            )
            _picture(root / told, seed=100 * number + shot)
    return root


def _sides(data, animal_of) -> dict[str, set[str]]:
    """Return the splits that each animal is in."""
    found = defaultdict(set)
    for name in ("train", "val", "test"):
        split = data.split(name)
        for i in range(len(split)):
            found[animal_of(split.samples.name(i))].add(name)
    return found


def _check_whole(data, animal_of, number: int = 18) -> None:
    sides = _sides(data, animal_of)
    assert len(sides) == number
    assert all(len(splits) == 1 for splits in sides.values()), sides
    for name in ("train", "val", "test"):
        split = data.split(name)
        told = {}  # the groups of the record are those of the names
        for i, group in enumerate(split.groups.tolist()):
            assert told.setdefault(group, animal_of(split.samples.name(i))) == animal_of(
                split.samples.name(i)
            )
        assert len(told) == len({animal_of(split.samples.name(i)) for i in range(len(split))})
    assert any("figures count groups" in note for note in data.notes)


# Layout, how it is said, and how the animal is read off a path.
SAID = {
    "inner folder": ("{label}/{animal}/{shot}.png", "folder", lambda n: n.split("/")[1]),
    "deep folder": ("{label}/{animal}/day/{shot}.png", "folder", lambda n: n.split("/")[1]),
    "wrapped": ("{label}/images/{animal}/{shot}.png", "folder", lambda n: n.split("/")[2]),
    "set in a folder": ("set/{label}/{animal}/{shot}.png", "folder", lambda n: n.split("/")[2]),
    "number": (
        "{label}/animal{number:02}_{shot}.png",
        r"animal(\d+)_",
        lambda n: n.split("/")[1].split("_")[0],
    ),
    "name": ("{label}/{shot}-{animal}.png", r"-(\w+)\.png", lambda n: n.split("-")[1]),
    "named pair": (
        "{label}/{animal} ({shot}).png",
        r"(?P<animal>[a-z]+) (?:\(\d\))",
        lambda n: n.split("/")[1].split(" ")[0],
    ),
    "pattern of folders": (
        "{label}/{animal}/{shot}.png",
        r"([^/]+)/[^/]+$",
        lambda n: n.split("/")[1],
    ),
    "text files": ("{label}/{animal}/{shot}.txt", "folder", lambda n: n.split("/")[1]),
    "text names": ("{label}/{animal}_{shot}.txt", r"/([a-z]+)_", lambda n: n.split("/")[1][:-6]),
}


@pytest.mark.parametrize("case", SAID)
def test_groups_of_a_folder_stay_whole(tmp_path, case):
    written, said, animal_of = SAID[case]
    if written.endswith(".txt"):
        for number in range(18):
            animal = f"{ANIMALS[number % 9]}{'' if number < 9 else 'son'}"
            for shot in range(4):
                path = tmp_path / written.format(
                    label=CLASSES[number % 2], animal=animal, shot=shot
                )
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"what {animal} said the {shot}. time, {number}")
    else:
        _folder(tmp_path, written)
    data = load(tmp_path, group=said)
    assert data.schema.classes == CLASSES
    _check_whole(data, animal_of)
    assert data.source["group"] == said
    assert load(**data.source).fingerprint == data.fingerprint


def test_without_a_word_of_groups_inner_folders_are_doubted(tmp_path):
    _folder(tmp_path, "{label}/{animal}/{shot}.png")
    data = load(tmp_path)
    (finding,) = [f for f in data.findings if f.kind == "leak"]
    assert "18 folders inside" in finding.sentence
    assert "--group folder" in finding.sentence
    assert finding.severity == "warning"
    _check_whole(load(tmp_path, group="folder"), lambda n: n.split("/")[1])  # the advice, followed


@pytest.mark.parametrize("written", ["{label}/{shot}-{animal}.png", "{label}/{animal}{shot}/x.png"])
def test_folders_of_one_image_and_no_folders_are_not_doubted(tmp_path, written):
    data = load(_folder(tmp_path, written, each=1 if "x.png" in written else 4))
    assert not [f for f in data.findings if f.kind == "leak"]


class TestPatientsAboveTheClasses:
    """``anna/benign/1.png``: names without digits say neither what is a class nor a patient."""

    def _data(self, root: Path) -> Path:
        for number, animal in enumerate(ANIMALS):
            for shot in range(6):
                label = "benign" if (shot + number) % 3 else "malign"
                _picture(root / animal / label / f"{shot}.png", 100 * number + shot)
        return root

    def test_the_doubt_names_the_option_for_each_reading(self, tmp_path):
        data = load(self._data(tmp_path))
        assert set(data.schema.classes) == set(ANIMALS)  # as before: a guess, and said
        (note,) = [n for n in data.notes if "upper folders" in n]
        assert "--group '([^/]+)/[^/]+/[^/]+$'" in note
        assert "--group '([^/]+)/[^/]+$'" in note

    @pytest.mark.parametrize("said", ["folder", "([^/]+)/[^/]+/[^/]+$", "^([^/]+)/", "(?i)^(.+?)/"])
    def test_said_they_are_the_groups(self, tmp_path, said):
        data = load(self._data(tmp_path), group=said)
        assert data.schema.classes == ("benign", "malign")
        _check_whole(data, lambda n: n.split("/")[0], number=9)

    def test_the_inner_ones_can_be_the_groups(self, tmp_path):
        for label in ("grade a", "grade b"):
            for number, animal in enumerate(ANIMALS[:8]):
                for shot in range(3):
                    path = tmp_path / label / animal / f"{shot}.png"
                    _picture(path, 1000 * (label == "grade b") + 10 * number + shot)
        for said in ("([^/]+)/[^/]+$", "folder"):
            data = load(tmp_path, group=said)
            assert data.schema.classes == ("grade a", "grade b")
            _check_whole(data, lambda n: n.split("/")[1], number=8)


def test_splits_that_the_data_brings_are_kept_and_a_torn_group_is_refused(tmp_path):
    for split in ("train", "test"):
        for number, animal in enumerate(ANIMALS[:8]):
            for shot in range(3):
                told = animal if split == "train" else f"{animal}-2"
                label = CLASSES[number % 2]
                _picture(tmp_path / split / label / told / f"{shot}.png", 100 * number + shot + 7)
    # the two splits hold the same bytes: that is said, and not what is asked here
    data = load(tmp_path, group="folder")
    assert len(np.unique(data.test.groups)) == 8
    assert not set(data.test.groups.tolist()) & set(data.train.groups.tolist())
    (tmp_path / "test" / "cat" / "anna-2").rename(tmp_path / "test" / "cat" / "anna")
    with pytest.raises(DataError, match=r"Group .anna. is in both test and train"):
        load(tmp_path, group="folder")


FORMS = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "Series": pd.Series,
    "categories": lambda values: pd.Series(values).astype("category"),
    "numbers": lambda values: np.unique(values, return_inverse=True)[1],
}


class TestValues:
    """From Python: an array, a Series, a list, a dict."""

    @pytest.mark.parametrize("form", FORMS)
    def test_of_a_folder_in_the_order_of_its_paths(self, tmp_path, form):
        _folder(tmp_path, "{label}/{shot}-{animal}.png")
        paths = sorted(tmp_path.rglob("*.png"))
        values = [path.stem.split("-")[1] for path in paths]
        data = load(tmp_path, group=FORMS[form](values))
        _check_whole(data, lambda n: n.split("-")[1])
        assert any("in the order of the sorted paths" in note for note in data.notes)
        assert load(**data.source).fingerprint == data.fingerprint

    @pytest.mark.parametrize("keys", ["below", "absolute", "names", "Path", "Series"])
    def test_of_a_folder_by_path(self, tmp_path, keys):
        _folder(tmp_path, "{label}/{shot}-{animal}.png")
        own = {}
        for path in sorted(tmp_path.rglob("*.png"), reverse=True):
            key = {
                "below": str(path.relative_to(tmp_path)),
                "absolute": str(path),
                "names": path.name,
                "Path": path,
                "Series": str(path.relative_to(tmp_path)),
            }[keys]
            own[key] = path.stem.split("-")[1]
        data = load(tmp_path, group=pd.Series(own) if keys == "Series" else own)
        _check_whole(data, lambda n: n.split("-")[1])

    def test_of_texts_rows_and_pictures_in_memory(self, tmp_path):
        owners = np.repeat([f"shop {i}" for i in range(18)], 4)
        y = np.repeat(["bad", "good"] * 9, 4)
        texts = [f"text number {i} of {owner}" for i, owner in enumerate(owners)]
        rng = np.random.default_rng(0)
        numbers = rng.normal(size=(72, 3))
        pictures = rng.integers(0, 255, (72, 8, 8), np.uint8)
        paths = sorted(_folder(tmp_path, "{number:02}{animal}{shot}.png").glob("*.png"))
        for X in (texts, np.array(texts), numbers, pictures, [str(path) for path in paths]):
            data = load((X, list(y)), group=list(owners))
            groups = [set(data.split(n).groups.tolist()) for n in ("train", "val", "test")]
            assert not groups[0] & groups[1]
            assert not groups[0] & groups[2]
            assert sum(map(len, groups)) == 18

    def test_of_a_frame_by_its_index(self):
        frame = pd.DataFrame({"a": np.arange(72.0) ** 0.5, "label": ["x", "y"] * 36})
        owners = pd.Series(np.arange(72) // 6, index=frame.index)
        shuffled = frame.sample(frac=1.0, random_state=1)
        plain = load(shuffled, group=owners.loc[shuffled.index].to_numpy())
        for group in (owners, owners.loc[shuffled.index]):
            assert load(shuffled, group=group).fingerprint == plain.fingerprint
        with pytest.raises(OptionError, match=r"expected one index.*group\.to_numpy\(\)"):
            load(shuffled, group=owners.set_axis(range(1000, 1072)))
        assert load(shuffled, group=owners.set_axis(range(1000, 1072)).to_numpy())

    def test_what_does_not_fit_is_refused(self, tmp_path):
        _folder(tmp_path, "{label}/{shot}-{animal}.png")
        with pytest.raises(DataError, match=r"group has 3 values, and .* 72 images"):
            load(tmp_path, group=["a", "b", "c"])
        with pytest.raises(DataError, match=r"group is empty for cat/0-anna.png, one of 1"):
            load(tmp_path, group=[None, *["a", "b"] * 35, "b"])
        with pytest.raises(DataError, match=r"'0-anna.png' is not among them"):
            load(tmp_path, group={"cat/9.png": "x"})


def test_a_table_of_paths_takes_pattern_folder_and_column(tmp_path):
    _folder(tmp_path / "shots", "{animal}/{shot}.png")
    rows = [
        {"image": str(path.relative_to(tmp_path)), "label": CLASSES[len(path.parent.name) % 2]}
        for path in sorted(tmp_path.rglob("*.png"))
    ]
    frame = pd.DataFrame(rows)
    frame["animal"] = frame["image"].str.split("/").str[1]
    frame.to_csv(tmp_path / "all.csv", index=False)
    for said in ("folder", r"/(\w+)/", "animal"):
        data = load(tmp_path / "all.csv", group=said)
        _check_whole(data, lambda n: n.split("/")[1])
    frame.assign(folder=np.arange(len(frame)) // 8).to_csv(tmp_path / "own.csv", index=False)
    column = load(tmp_path / "own.csv", group="folder")  # a column of the name comes first
    assert len({g for n in ("train", "val", "test") for g in column.split(n).groups}) == 9


# How it is said, and what the refusal says.
REFUSED = {
    "nowhere": (r"patient(\d+)", "is found in none of the 72 paths"),
    "somewhere": (r"(ann)a", "is found in only 8 of the 72 paths .* not in .cat/0-benson"),
    "one group": (r"(png)", "All 72 images .* are in one group .'png'"),
    "empty": (r"(x*)", "is found in none of the 72 paths"),
    "no parentheses": ("patient", "no column of .* say 'folder', or give a pattern"),
    "two pairs": (r"(\d)-(\w+)", "has 2 pairs of parentheses"),
    "no pair": (r"(?:\d)-", "has 0 pairs of parentheses"),
    "broken": (r"(\d", "is no pattern: missing"),
    "no folder": ("folder", "lie in no folder but that of their class"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_statement_that_does_not_fit_is_refused(tmp_path, case):
    said, sentence = REFUSED[case]
    _folder(tmp_path, "{label}/{shot}-{animal}.png")
    with pytest.raises((DataError, OptionError), match=sentence):
        load(tmp_path, group=said)


def test_a_group_for_each_sample_is_said_to_change_nothing(tmp_path):
    _folder(tmp_path, "{label}/{shot}-{animal}.png")
    data, plain = load(tmp_path, group=r"/(.+)\.png"), load(tmp_path)
    assert data.fingerprint == plain.fingerprint
    assert data.test.groups is None
    assert any("a group of its own" in note for note in data.notes)


def test_rows_have_no_names_that_a_pattern_could_read(tmp_path):
    frame = pd.DataFrame({"a": np.arange(60.0) ** 0.5, "label": ["x", "y"] * 30})
    for said in (r"row(\d+)", "folder", "owner"):
        with pytest.raises(DataError, match=r"Column .* is missing"):
            load(frame, group=said)
    with pytest.raises(DataError, match="have no file names"):
        load((np.random.default_rng(0).normal(size=(60, 3)), ["x", "y"] * 30), group=r"(\d+)")
