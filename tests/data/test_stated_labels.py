"""Classes of images that stand in a file beside them, or in their names."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from headstart.data import load
from headstart.errors import DataError

CLASSES = ("ant", "bee", "cow")
RNG = np.random.default_rng(0)


def paint(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        pixels = RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return names


def truth(data):
    """Return the class of each sample by its name, over all splits."""
    return {
        split.samples.name(i).split("/")[-1]: data.schema.classes[split.targets[i]]
        for split in (data.train, data.val, data.test)
        for i in range(len(split))
    }


def expected(names):
    return {name: CLASSES[i % 3] for i, name in enumerate(names)}


def csv(path, names, column="file_name", label="label", strip=False):
    rows = [f"{n.split('.')[0] if strip else n},{CLASSES[i % 3]}" for i, n in enumerate(names)]
    path.write_text("\n".join([f"{column},{label}", *rows]))


def test_a_parquet_of_metadata_in_each_split(tmp_path):
    every = {}
    for split, number in (("train", 24), ("validation", 9), ("test", 9)):
        names = paint(tmp_path / split, [f"{split[0]}{i}.png" for i in range(number)])
        table = pa.table({"file_name": names, "species": list(expected(names).values())})
        pq.write_table(table, tmp_path / split / "metadata.parquet")
        every |= expected(names)
    data = load(tmp_path)
    assert truth(data) == every
    assert [len(data.train), len(data.val), len(data.test)] == [24, 9, 9]
    assert load(**data.source).fingerprint == data.fingerprint


@pytest.mark.parametrize("folder", ["", "images", "jpegs", "train"])
def test_one_table_beside_a_flat_folder(tmp_path, folder):
    names = paint(tmp_path / folder, [f"{i:03d}.png" for i in range(30)])
    csv(tmp_path / "labels.csv", names, "filename", "breed")
    assert truth(load(tmp_path)) == expected(names)


@pytest.mark.parametrize("column", ["id", "id_code", "Image_ID", "name"])
def test_ids_without_a_suffix(tmp_path, column):
    names = paint(tmp_path / "train_images", [f"k{i:03d}.png" for i in range(30)])
    csv(tmp_path / "labels.csv", names, column, "diagnosis", strip=True)
    assert truth(load(tmp_path / "labels.csv", label="diagnosis")) == expected(names)
    assert truth(load(tmp_path)) == expected(names)


def test_numbered_ids(tmp_path):
    names = paint(tmp_path / "train", [f"{i}.png" for i in range(30)])
    csv(tmp_path / "trainLabels.csv", names, "id", "label", strip=True)
    assert truth(load(tmp_path / "trainLabels.csv")) == expected(names)


@pytest.mark.parametrize("blank", ["", " "])
def test_one_hot_columns_are_classes_or_label_sets(tmp_path, blank):
    names = paint(tmp_path / "train", [f"{i}.png" for i in range(30)])
    rows = [
        f",{blank}".join([n, *("01"[i % 3 == c] for c in range(3))]) for i, n in enumerate(names)
    ]
    head = f",{blank}".join(["filename", *CLASSES])
    (tmp_path / "train" / "_classes.csv").write_text("\n".join([head, *rows]))
    assert truth(load(tmp_path)) == expected(names)
    assert truth(load(tmp_path / "train" / "_classes.csv")) == expected(names)
    rows[0] = f",{blank}".join([names[0], "1", "1", "0"])
    (tmp_path / "train" / "_classes.csv").write_text("\n".join([head, *rows]))
    data = load(tmp_path)
    assert data.schema.task == "multi-label"
    assert data.schema.classes == CLASSES
    assert not [note for note in data.notes if "--beside" in note]  # labels are no inputs


@pytest.mark.parametrize("form", ["dict", "numbers", "list", "pairs", "by class"])
def test_a_json_of_labels(tmp_path, form):
    names = paint(tmp_path / "images", [f"{i}.png" for i in range(30)])
    labels = expected(names)
    content = {
        "dict": labels,
        "numbers": {name: CLASSES.index(label) for name, label in labels.items()},
        "list": [{"file_name": n, "label": c} for n, c in labels.items()],
        "pairs": {"labels": [[f"images/{n}", c] for n, c in labels.items()]},
        "by class": {c: [n for n in names if labels[n] == c] for c in CLASSES},
    }[form]
    (tmp_path / "labels.json").write_text(json.dumps(content))
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    assert truth(load(tmp_path)) == labels


@pytest.mark.parametrize("names_file", ["synsets.txt", "labels.txt", "classes.txt"])
def test_lists_with_names_of_classes(tmp_path, names_file):
    every = {}
    for split, number in (("train", 30), ("dev", 9)):
        names = paint(tmp_path / "images", [f"{split}{i}.png" for i in range(number)])
        lines = [f"{name} {i % 3}" for i, name in enumerate(names)]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines))
        every |= expected(names)
    (tmp_path / names_file).write_text("\n".join(CLASSES))
    data = load(tmp_path)
    assert truth(data) == every
    assert len(data.val) == 9


@pytest.mark.parametrize("mark", [".", "_", "-", " ("])
def test_classes_in_file_names_are_read_and_said(tmp_path, mark):
    close = ")" if "(" in mark else ""
    names = [f"{CLASSES[i % 3]}{mark}{i}{close}.png" for i in range(30)]
    paint(tmp_path / "train", names)
    paint(tmp_path / "test", [f"{i}.png" for i in range(5)])
    data = load(tmp_path)
    assert truth(data) == expected(names)
    assert any("come from the file names" in note for note in data.notes)
    assert any("'test/'" in note for note in data.notes)


@pytest.mark.parametrize("word", ["IMG", "photo", "", "frame"])
def test_flat_splits_that_nothing_labels_are_refused_and_the_advice_works(tmp_path, word):
    for split in ("train", "test"):
        names = paint(tmp_path / split, [f"{word}_{i:03d}.png" for i in range(30)])
    with pytest.raises(DataError, match=r"a folder per class .* or give a CSV with the columns"):
        load(tmp_path)
    for split in ("train", "test"):
        csv(tmp_path / split / "labels.csv", names, "image")
    data = load(tmp_path)
    assert data.schema.classes == CLASSES
    assert len(data.test) == 30


@pytest.mark.parametrize("layout", ["train/{}", "{}/train", "{}", "pets/{}/train"])
def test_boxes_of_objects_are_refused_by_name(tmp_path, layout):
    for name in paint(tmp_path / layout.format("images"), [f"{i}.png" for i in range(6)]):
        labels = tmp_path / layout.format("labels")
        labels.mkdir(exist_ok=True, parents=True)
        (labels / name.replace("png", "txt")).write_text("0 0.5 0.5 0.2 0.3\n1 0.1 0.1 0.2 0.2\n")
    with pytest.raises(DataError, match="boxes of objects"):
        load(tmp_path)


@pytest.mark.parametrize("folder", ["train/images", "images/train"])
def test_a_table_beside_the_folder_of_images_of_a_split(tmp_path, folder):
    names = paint(tmp_path / folder, [f"{i}.png" for i in range(30)])
    csv((tmp_path / folder).parent / "labels.csv", names, "image")
    assert truth(load(tmp_path)) == expected(names)


def test_a_table_beside_class_folders_is_named(photos):
    root = photos(cat=9, dog=9)
    (root / "meta.csv").write_text("file,label\na.jpg,x\n")
    data = load(root)
    assert data.schema.classes == ("cat", "dog")
    assert any("'meta.csv'" in note for note in data.notes)


def test_a_test_to_be_submitted_is_left_out_and_said(tmp_path):
    names = paint(tmp_path / "train", [f"{i}.png" for i in range(30)])
    csv(tmp_path / "train" / "metadata.csv", names)
    others = paint(tmp_path / "test", [f"t{i}.png" for i in range(5)])
    (tmp_path / "test" / "metadata.csv").write_text(
        "\n".join(["file_name,label", *(f"{n}," for n in others)])
    )
    data = load(tmp_path)
    assert truth(data) == expected(names)
    assert any("5 images of 'test/' are not used" in note for note in data.notes)


@pytest.mark.parametrize("number", [2, 3, 5, 9])
def test_numbers_from_one_to_the_number_of_names_are_counted_from_one(tmp_path, number):
    names = [f"kind {chr(97 + i)}" for i in range(number)]
    (tmp_path / "labels.txt").write_text("\n".join(names))
    rows = [f"{i * 7 % 11},{i},{1 + i % number}" for i in range(10 * number)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,label", *rows]))
    data = load(tmp_path / "rows.csv")
    assert data.schema.classes == tuple(names)
    assert any("go from 1" in finding.sentence for finding in data.findings)
    rows = [f"{i * 7 % 11},{i},{i % number}" for i in range(10 * number)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,label", *rows]))
    assert load(tmp_path / "rows.csv").schema.classes == tuple(names)


def _numbered_rows(path, numbers, count=60):
    rows = [f"{i * 7 % 11},{i},{numbers[i % len(numbers)]}" for i in range(count)]
    path.write_text("\n".join(["a,b,label", *rows]))


def _numbered_photos(path, numbers, count=60):
    names = paint(path.parent, [f"{path.stem}{i}.png" for i in range(count)])
    rows = [f"{name},{numbers[i % len(numbers)]}" for i, name in enumerate(names)]
    path.write_text("\n".join(["file_name,label", *rows]))


def _numbered_texts(path, numbers, count=60):
    rows = [f"some words of text number {i},{numbers[i % len(numbers)]}" for i in range(count)]
    path.write_text("\n".join(["text,label", *rows]))


@pytest.mark.parametrize("write", [_numbered_rows, _numbered_photos, _numbered_texts])
@pytest.mark.parametrize("present", [[1, 2, 3], [2, 4], [1], [3, 4, 5]])
def test_other_data_are_counted_as_those_that_were_learned_from(tmp_path, write, present):
    names = ["ant", "bee", "cat", "dog", "emu"]
    for folder in ("own", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "labels.txt").write_text("\n".join(names))
    write(tmp_path / "own" / "rows.csv", [1, 2, 3, 4, 5])
    trained = load(tmp_path / "own" / "rows.csv").schema
    assert trained.classes == tuple(names)
    assert trained.counts_from_one
    write(tmp_path / "other" / "rows.csv", present)
    other = load(tmp_path / "other" / "rows.csv", schema=trained)
    assert other.schema.classes == tuple(names[n - 1] for n in present)
    write(tmp_path / "own" / "rows.csv", [0, 1, 2, 3, 4])
    trained = load(tmp_path / "own" / "rows.csv").schema
    assert not trained.counts_from_one
    write(tmp_path / "other" / "rows.csv", [n - 1 for n in present])
    other = load(tmp_path / "other" / "rows.csv", schema=trained)
    assert other.schema.classes == tuple(names[n - 1] for n in present)


def test_labels_without_a_zero_say_what_they_count_from_and_how_to_say_otherwise(tmp_path):
    names = ["ant", "bee", "cat", "dog", "emu"]
    (tmp_path / "labels.txt").write_text("\n".join(names))
    _numbered_rows(tmp_path / "rows.csv", [1, 2, 3])
    data = load(tmp_path / "rows.csv")
    assert data.schema.classes == ("bee", "cat", "dog")
    assert any("No label in 'label' is 0" in note and "'1 ant'" in note for note in data.notes)
    (tmp_path / "labels.txt").write_text("\n".join(f"{i} {n}" for i, n in enumerate(names, 1)))
    data = load(tmp_path / "rows.csv")
    assert data.schema.classes == ("ant", "bee", "cat")
    assert not any("No label" in note for note in data.notes)


def test_photos_counted_from_one_have_their_names_by_a_list_of_all(tmp_path):
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat")
    names = paint(tmp_path / "pictures", [f"{i}.png" for i in range(30)])
    labels = {f"pictures/{name}": i % 3 + 1 for i, name in enumerate(names)}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    data = load(tmp_path)
    assert data.schema.classes == ("ant", "bee", "cat")
