"""Folders as public data sets and competitions lay them out: lists, numbered files, submissions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data import load
from headstart.errors import DataError
from headstart.types import Dataset

CLASSES = ("ant", "bee", "cow")
RNG = np.random.default_rng(0)


def paint(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(path)


def truth(data: Dataset) -> dict[str, str]:
    """Return the class of each sample by its name, over all splits."""
    return {
        split.samples.name(i): data.schema.classes[split.targets[i]]
        for split in (data.train, data.val, data.test)
        for i in range(len(split))
    }


def names_in(split) -> set[str]:
    return {split.samples.name(i).split("/")[-1] for i in range(len(split))}


def write(path: Path, lines) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


# competitions ------------------------------------------------------------------------------------


def competition(root: Path, target: str, number: int = 30, suffix: str = "") -> dict[str, str]:
    """Write train.csv, train/, test/ with the same names as train/, and return the truth."""
    labels = {f"{i}.png": CLASSES[i % 3] for i in range(number)}
    for name in labels:
        paint(root / "train" / name)
        paint(root / "test" / name)
    rows = [f"{name if suffix else name[:-4]},{label}" for name, label in labels.items()]
    write(root / "train.csv", [f"id,{target}", *rows])
    return {f"train/{name}": label for name, label in labels.items()}


@pytest.mark.parametrize("target", ["breed", "diagnosis", "species", "Target"])
def test_the_only_column_beside_the_images_is_the_target(tmp_path: Path, target: str) -> None:
    expected = competition(tmp_path, target)
    data = load(tmp_path)
    assert truth(data) == expected
    assert any(f"Column '{target}' is the target" in note for note in data.notes)
    assert load(**data.source).fingerprint == data.fingerprint


def test_the_sample_submission_names_the_target(tmp_path: Path) -> None:
    expected = competition(tmp_path, "breed")
    table = (tmp_path / "train.csv").read_text().splitlines()
    rows = [f"{row},{'site' if i == 0 else i % 2}" for i, row in enumerate(table)]
    write(tmp_path / "train.csv", rows)
    with pytest.raises(DataError, match="--label"):  # breed or site
        load(tmp_path)
    write(tmp_path / "sample_submission.csv", ["id,breed", "0,ant", "1,ant"])
    data = load(tmp_path)
    assert truth(data) == expected
    assert any("sample_submission.csv asks for it" in note for note in data.notes)


def test_a_submission_with_a_column_a_class(tmp_path: Path) -> None:
    expected = competition(tmp_path, "breed", suffix=".png")
    write(tmp_path / "sampleSubmission.csv", ["id,ant,bee,cow", "0.png,0.3,0.3,0.4"])
    assert truth(load(tmp_path)) == expected


def test_labels_in_columns_that_the_submission_asks_for(tmp_path: Path) -> None:
    text = "a long comment that someone wrote about number {} of the things seen today"
    rows = [f"{i},{text.format(i)},{i % 2},{i % 3 == 0:d},{i}" for i in range(60)]
    write(tmp_path / "train.csv", ["id,comment,rude,loud,length", *rows])
    write(tmp_path / "sample_submission.csv", ["id,rude,loud", "1,0.5,0.5"])
    data = load(tmp_path, text="comment")
    assert (data.schema.task, data.schema.classes) == ("multi-label", ("loud", "rude"))


def test_a_test_without_the_target_is_said_and_left_out(tmp_path: Path) -> None:
    rows = [f"{i},{i % 7},{(i * 37) % 11},{CLASSES[i % 3]}" for i in range(90)]
    write(tmp_path / "train.csv", ["row,a,b,kind", *rows])
    write(tmp_path / "test.csv", ["row,a,b", *(row.rpartition(",")[0] for row in rows[:20])])
    data = load(tmp_path)
    assert data.schema.label == "kind"
    assert data.schema.classes == CLASSES
    assert len(data.train) + len(data.val) + len(data.test) == 90
    assert any("test.csv is not used: it has no 'kind'" in note for note in data.notes)
    assert "kind" not in list(data.train.samples.table.column_names)


def test_two_columns_that_could_be_the_target_are_asked_about(tmp_path: Path) -> None:
    rows = [f"{i},{i % 7},{CLASSES[i % 3]},{i % 2}" for i in range(60)]
    write(tmp_path / "train.csv", ["row,a,kind,side", *rows])
    write(tmp_path / "test.csv", ["row,a", "1,2"])
    with pytest.raises(DataError, match="--label side"):
        load(tmp_path)
    assert load(tmp_path, label="side").schema.classes == ("0", "1")  # as it says


# lists -------------------------------------------------------------------------------------------


def class_folders(root: Path, number: int = 10) -> list[str]:
    """Paint images in class folders below images/ and return their paths without suffix."""
    stems = [f"{name}/{i:04d}" for name in CLASSES for i in range(number)]
    for stem in stems:
        paint(root / "images" / f"{stem}.jpg")
    return stems


@pytest.mark.parametrize("kind", ["txt", "json"])
def test_food_101(tmp_path: Path, kind: str) -> None:
    stems = class_folders(tmp_path)
    train, test = [s for s in stems if s[-1] not in "89"], [s for s in stems if s[-1] in "89"]
    write(tmp_path / "meta" / "classes.txt", CLASSES)
    write(tmp_path / "meta" / "labels.txt", ["Ant", "Bee", "Cow"])
    for name, part in (("train", train), ("test", test)):
        if kind == "txt":
            write(tmp_path / "meta" / f"{name}.txt", part)
        by_class = {c: [s for s in part if s.startswith(c)] for c in CLASSES}
        (tmp_path / "meta" / f"{name}.json").write_text(json.dumps(by_class))
    data = load(tmp_path)
    assert truth(data) == {f"images/{s}.jpg": s.split("/")[0] for s in stems}
    assert names_in(data.test) == {f"{s.split('/')[1]}.jpg" for s in test}
    assert len(data.test) == 6


@pytest.mark.parametrize("names", [("train1", "test1"), ("Training_01", "Testing_01")])
def test_numbered_lists_of_paths(tmp_path: Path, names: tuple[str, str]) -> None:
    stems = class_folders(tmp_path)
    for name, wanted in zip(names, ("01234567", "89"), strict=True):
        write(tmp_path / "labels" / f"{name}.txt", [f"{s}.jpg" for s in stems if s[-1] in wanted])
    other = names[0].replace("1", "2")
    write(tmp_path / "labels" / f"{other}.txt", [f"{s}.jpg" for s in stems])
    data = load(tmp_path)
    assert data.schema.classes == CLASSES
    assert len(data.test) == 6
    assert {name[3] for name in names_in(data.test)} == {"8", "9"}


def test_cub_200(tmp_path: Path) -> None:
    paths = [f"{c + 1:03d}.{name}/{i}.jpg" for c, name in enumerate(CLASSES) for i in range(8)]
    for path in paths:
        paint(tmp_path / "images" / path)
    folders = [f"{c + 1:03d}.{name}" for c, name in enumerate(CLASSES)]
    write(tmp_path / "images.txt", [f"{i + 1} {path}" for i, path in enumerate(paths)])
    write(tmp_path / "classes.txt", [f"{c + 1} {folder}" for c, folder in enumerate(folders)])
    write(tmp_path / "image_class_labels.txt", [f"{i + 1} {i // 8 + 1}" for i in range(24)])
    write(tmp_path / "train_test_split.txt", [f"{i + 1} {int(i % 4 > 0)}" for i in range(24)])
    data = load(tmp_path)
    assert truth(data) == {f"images/{path}": path.split("/")[0] for path in paths}
    assert names_in(data.test) == {"0.jpg", "4.jpg"}
    assert len(data.test) == 6
    (tmp_path / "image_class_labels.txt").write_text("1 1\n2 1\n")
    with pytest.raises(DataError, match=r"no class of image 3 of images\.txt \(22 such\)"):
        load(tmp_path)


def test_tiny_imagenet(tmp_path: Path) -> None:
    ids = ["n01443537", "n01629819", "n02123045"]
    for name in ids:
        for i in range(8):
            paint(tmp_path / "train" / name / "images" / f"{name}_{i}.JPEG")
    lines = []
    for i in range(9):
        paint(tmp_path / "val" / "images" / f"val_{i}.JPEG")
        lines.append(f"val_{i}.JPEG\t{ids[i % 3]}\t0\t32\t44\t62")
        paint(tmp_path / "test" / "images" / f"test_{i}.JPEG")
    write(tmp_path / "val" / "val_annotations.txt", lines)
    write(tmp_path / "wnids.txt", ids)
    words = ["goldfish, Carassius auratus", "salamander", "tabby, tabby cat"]
    pairs = [f"{a}\t{b}" for a, b in zip(ids, words, strict=True)]
    write(tmp_path / "words.txt", ["n00001740\tentity", *pairs])
    data = load(tmp_path)
    assert len(data.val) == 9
    assert len(data.train) + len(data.test) == 24
    assert data.schema.classes == ("goldfish", "salamander", "tabby")
    found = truth(data)
    assert found["val/images/val_1.JPEG"] == "salamander"
    assert found["train/n02123045/images/n02123045_3.JPEG"] == "tabby"


def test_imagenet_lists_and_names(tmp_path: Path) -> None:
    ids = ["n01440764", "n01443537", "n02012849", "n02013706"]
    lists: dict[str, list[str]] = {"train": [], "val": []}
    for c, name in enumerate(ids):
        for i in range(8):
            split = "val" if i > 5 else "train"
            paint(tmp_path / split / f"{name}_{i}.JPEG")
            lists[split].append(f"{name}_{i}.JPEG {c}")
    for split, lines in lists.items():
        write(tmp_path / f"{split}.txt", lines)
    words = ["tench, Tinca tinca", "goldfish", "crane", "crane, a bird"]
    lines = [f"{a} {b}" for a, b in zip(ids, words, strict=True)]
    write(tmp_path / "synset_words.txt", lines)
    data = load(tmp_path)
    assert data.schema.classes[:2] == ("tench, Tinca tinca", "goldfish")
    assert [len(data.train) + len(data.test), len(data.val)] == [24, 8]


def test_oxford_pets(tmp_path: Path) -> None:
    for name in CLASSES:
        for i in range(10):
            paint(tmp_path / "images" / f"{name}_{i}.jpg")
    rows = [f"{n}_{i} {c + 1} {1 + (c > 1)} {c}" for c, n in enumerate(CLASSES) for i in range(10)]
    write(tmp_path / "annotations" / "list.txt", ["#Image CLASS-ID SPECIES ID", *rows])
    write(tmp_path / "annotations" / "trainval.txt", [r for r in rows if r.split("_")[1][0] < "7"])
    write(tmp_path / "annotations" / "test.txt", [r for r in rows if r.split("_")[1][0] >= "7"])
    data = load(tmp_path)
    assert data.schema.classes == CLASSES
    assert len(data.test) == 9


def test_lists_that_contradict_each_other_are_refused_and_one_alone_is_read(tmp_path: Path) -> None:
    for i in range(30):
        paint(tmp_path / "images" / f"{i:07d}.jpg")
    for kind in ("family", "variant"):
        rows = [f"{i:07d} {kind} {i % 3}" for i in range(30)]
        write(tmp_path / f"images_{kind}_train.txt", rows)
    with pytest.raises(DataError, match="Keep one of them"):
        load(tmp_path)
    (tmp_path / "images_family_train.txt").rename(tmp_path / "elsewhere.bak")
    assert load(tmp_path).schema.classes == ("variant 0", "variant 1", "variant 2")


# names of class folders --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "content", "folders", "classes"),
    [
        ("cat_to_name.json", {"7": "lily", "21": "fire lily"}, ("21", "7"), ("lily", "fire lily")),
        ("Labels.json", {"n01": "x"}, ("n01440764", "n01443537"), ("n01440764", "n01443537")),
        (
            "Labels.json",
            {"n01440764": "tench, fish", "n01443537": "goldfish"},
            ("n01440764", "n01443537"),
            ("tench", "goldfish"),
        ),
        (
            "imagenet_class_index.json",
            {"0": ["n02012849", "crane"], "1": ["n03126707", "crane"]},
            ("n02012849", "n03126707"),
            ("crane (n02012849)", "crane (n03126707)"),
        ),
        ("classes.txt", "cat\ndog\n", ("cat", "dog"), ("cat", "dog")),
        ("labels.txt", "zero\none\n", ("0", "1"), ("zero", "one")),
        ("labels.txt", "1\n2\n3\n", ("1", "2"), ("1", "2")),
    ],
)
def test_names_beside_class_folders(tmp_path: Path, file, content, folders, classes) -> None:
    for folder in folders:
        for i in range(8):
            paint(tmp_path / "set" / folder / f"{i}.png")
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "set" / file).write_text(text)
    data = load(tmp_path)
    assert data.schema.classes == classes
    titles = dict(zip(sorted(folders, key=lambda f: (len(f), f)), classes, strict=True))
    assert all(titles[name.split("/")[-2]] == label for name, label in truth(data).items())


# texts as files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["path", "name", "stem", "splits"])
def test_texts_as_files_with_a_table_beside(tmp_path: Path, way: str) -> None:
    expected, rows = {}, []
    for i in range(40):
        text = f"review number {i}, which someone wrote at length about the {CLASSES[i % 3]} he saw"
        folder = ("train", "test")[i % 4 == 0] if way == "splits" else "reviews"
        write(tmp_path / folder / f"r{i:04d}.txt", [text])
        cell = {"path": f"{folder}/r{i:04d}.txt", "name": f"r{i:04d}.txt"}.get(way, f"r{i:04d}")
        rows.append(f"{cell},{CLASSES[i % 3]}")
        expected[text] = CLASSES[i % 3]
    write(tmp_path / "labels.csv", ["file,label", *rows])
    for source in (tmp_path, tmp_path / "labels.csv"):
        data = load(source)
        assert data.schema.modality == "text"
        found = {
            split.samples.read(i).strip(): data.schema.classes[split.targets[i]]
            for split in (data.train, data.val, data.test)
            for i in range(len(split))
        }
        assert found == expected
        assert len(data.test) == 10 or way != "splits"
        assert any("names the text files beside labels.csv" in note for note in data.notes)


def test_a_text_file_that_is_not_there_is_counted(tmp_path: Path) -> None:
    for i in range(40):
        write(tmp_path / "texts" / f"{i}.txt", [f"the long text of number {i} of them all"])
    rows = [f"{i}.txt,{CLASSES[i % 2]}" for i in range(41)]
    write(tmp_path / "labels.csv", ["file,label", *rows])
    with pytest.raises(DataError, match=r"1 of 41 texts.*row 41"):
        load(tmp_path)
    assert len(load(tmp_path, max_bad_fraction=0.1).bad_samples) == 1
