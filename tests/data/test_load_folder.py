"""Folders with a folder per class: layouts, bad files, and the words of each refusal."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from headstart import events
from headstart.data import load
from headstart.errors import DataError, OptionError
from headstart.preprocessing import samples as samples_module

RNG = np.random.default_rng(0)


def names(split):
    return [split.samples.name(i) for i in range(len(split))]


def test_load_reads_a_folder_per_class(photos):
    data = load(photos(dog=20, cat=30))
    assert data.schema.classes == ("cat", "dog")
    assert data.schema.label is None
    assert [len(split) for split in (data.train, data.val, data.test)] == [34, 6, 10]
    every = [name for split in (data.train, data.val, data.test) for name in names(split)]
    assert sorted(every) == sorted(
        [f"cat/{i:03d}.jpg" for i in range(30)] + [f"dog/{i:03d}.jpg" for i in range(20)]
    )
    for split in (data.train, data.val, data.test):
        for name, target in zip(names(split), split.targets, strict=True):
            assert data.schema.classes[target] == name.split("/")[0]
    assert data.image_size == (20, 24)
    assert data.image_channels == 3
    assert len({*data.train.ids.tolist(), *data.val.ids.tolist(), *data.test.ids.tolist()}) == 50
    assert isinstance(data.train.samples.read(0), bytes)


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_load_reads_split_folders(photos, val):
    for below, number in (("train", 8), (val, 4), ("test", 5)):
        root = photos(below=below, cat=number, dog=number)
    data = load(root)
    assert [len(split) for split in (data.train, data.val, data.test)] == [16, 8, 10]
    assert data.split_origin == {"train": "folder", "val": "folder", "test": "folder"}
    assert all(name.startswith("test/") for name in names(data.test))


def test_load_makes_the_split_that_folders_lack(photos):
    photos(below="train", cat=20, dog=20)
    data = load(photos(below="test", cat=3, dog=3))
    assert [len(split) for split in (data.train, data.val, data.test)] == [34, 6, 6]
    assert data.split_origin["val"] == "15 % of train, stratified, seed 0"


def test_load_takes_a_class_called_train_as_a_class(photos):
    data = load(photos(train=6, plane=6))
    assert data.schema.classes == ("plane", "train")


def test_load_orders_numbered_classes_by_value(photos):
    data = load(photos(**{str(i): 3 for i in (10, 9, 0, 2)}))
    assert data.schema.classes == ("0", "2", "9", "10")


def test_load_reads_nested_folders_and_skips_what_is_no_image(photos):
    root = photos(cat=9, dog=9)
    (root / "cat" / "more").mkdir()
    shutil.copy(root / "cat" / "000.jpg", root / "cat" / "more" / "a.JPG")
    (root / "cat" / "notes.txt").write_text("x")
    (root / "cat" / ".DS_Store").write_text("x")
    (root / "leftovers").mkdir()
    os.symlink(root / "cat", root / "cat" / "loop")
    data = load(root)
    assert len(data.train) + len(data.val) + len(data.test) == 19
    assert "Skipped files that are not images by their name: 1 .txt." in data.notes
    assert "Skipped folders without images: 'leftovers'." in data.notes


def test_load_gives_the_same_fingerprint_until_something_changes(photos, tmp_path):
    root = photos(cat=10, dog=10)
    first = load(root)
    assert load(root).fingerprint == first.fingerprint
    assert np.array_equal(load(root).train.ids, first.train.ids)
    moved = shutil.copytree(root, tmp_path / "elsewhere")
    assert load(moved).fingerprint == first.fingerprint
    assert load(root, seed=1).fingerprint != first.fingerprint
    (root / "cat" / "000.jpg").rename(root / "dog" / "zzz.jpg")
    assert load(root).fingerprint != first.fingerprint


def test_load_source_loads_the_same_again(photos, monkeypatch):
    root = photos(cat=10, dog=10)
    monkeypatch.chdir(root.parent)
    data = load("photos", seed=3, test_fraction=0.3)
    assert data.name == "photos"
    assert data.source == {
        "source": str(root),
        "label": None,
        "image_column": None,
        "group": None,
        "val_fraction": 0.15,
        "test_fraction": 0.3,
        "max_bad_fraction": 0.01,
        "seed": 3,
    }
    assert load(**data.source).fingerprint == data.fingerprint


def test_load_reports_progress(photos):
    heard = []
    with events.listen(lambda kind, fields: heard.append((kind, fields))):
        load(photos(cat=5, dog=5))
    assert heard[-1][0] == "task"
    assert heard[-1][1]["done"] == heard[-1][1]["total"] == 10


def test_load_finds_grey_images_stored_as_colour(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(4):
            grey = RNG.integers(0, 256, (10, 10, 1), np.uint8)
            Image.fromarray(np.repeat(grey, 3, axis=2)).save(tmp_path / label / f"{i}.png")
    assert load(tmp_path).image_channels == 1
    Image.fromarray(RNG.integers(0, 256, (10, 10, 3), np.uint8)).save(tmp_path / "a" / "4.png")
    assert load(tmp_path).image_channels == 3


def spoil(root):
    """Put seven unusable files among the good ones; return name → words of its reason."""
    (root / "cat" / "empty.jpg").write_bytes(b"")
    (root / "cat" / "page.jpg").write_text("<!doctype html><html>404</html>")
    Image.new("1", (9000, 9000)).save(root / "cat" / "bomb.png")
    (root / "dog" / "scan.dcm").write_bytes(b"\0" * 128 + b"DICM")
    os.symlink(root / "gone.jpg", root / "dog" / "link.jpg")
    os.symlink("round.jpg", root / "dog" / "round.jpg")
    (root / "dog" / "text.png").write_text("hello")
    return {
        "cat/bomb.png": "81 megapixels",
        "cat/empty.jpg": "0 bytes",
        "cat/page.jpg": "HTML page",
        "dog/link.jpg": "missing",
        "dog/round.jpg": "Too many levels of symbolic links",
        "dog/scan.dcm": "DICOM",
        "dog/text.png": "not a JPEG",
    }


def test_load_lists_bad_samples_and_goes_on(photos):
    root = photos(cat=20, dog=20)
    clean = load(root)
    reasons = spoil(root)
    data = load(root, max_bad_fraction=0.2)
    assert {bad.name for bad in data.bad_samples} == set(reasons)
    for bad in data.bad_samples:
        assert reasons[bad.name] in bad.reason
    assert data.fingerprint == clean.fingerprint
    assert any(note.startswith("7 of 47 images left out: cat/bomb.png: ") for note in data.notes)
    assert load(**data.source).bad_samples == data.bad_samples


def test_load_stops_when_too_many_samples_are_bad(photos):
    root = photos(cat=20, dog=20)
    spoil(root)
    with pytest.raises(DataError) as caught:
        load(root)
    message = str(caught.value)
    assert "7 of 47 images" in message
    assert "(14.9%) cannot be used, more than the limit of 0.01" in message
    assert "cat/empty.jpg: the file is empty (0 bytes); " in message
    assert "; and 4 more." in message
    assert message.endswith("or allow more with --max-bad-fraction.")
    assert load(root, max_bad_fraction=7 / 47).train


def test_load_refuses_a_path_that_does_not_exist(photos, monkeypatch):
    root = photos(cat=3, dog=3)
    with pytest.raises(DataError) as caught:
        load(root.parent / "fotos")
    assert f"Path '{root.parent}/fotos' does not exist. Did you mean 'photos'?" in str(caught.value)
    monkeypatch.chdir(root)
    with pytest.raises(DataError, match=r"Did you mean 'mnist'\? Give a folder, a CSV"):
        load("mnsit")


def test_load_refuses_folders_without_classes(tmp_path):
    with pytest.raises(DataError, match=r"is empty. Expected a folder per class"):
        load(tmp_path)
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(DataError, match=r"holds no images \(found: 'readme.txt'\)"):
        load(tmp_path)
    Image.new("RGB", (5, 5)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="holds 1 images but no class folders"):
        load(tmp_path)
    (tmp_path / "labels.csv").write_text("image,label\na.png,x\n")
    with pytest.raises(DataError, match=r"one class only \('x'\)"):  # the table is read
        load(tmp_path)


def test_load_refuses_classes_that_cannot_be_split(photos):
    with pytest.raises(DataError, match=r"has one class only \('cat'\)"):
        load(photos("one", cat=9))
    with pytest.raises(DataError, match="Class 'dog' has 1 usable image; at least 3 are needed"):
        load(photos("two", cat=9, dog=1))
    for below, classes in (("train", {"cat": 5, "dog": 5}), ("test", {"cat": 2, "eel": 2})):
        root = photos("three", below=below, **classes)
    with pytest.raises(DataError, match=r"Class 'eel' is in test \(test/eel/000.jpg\) but not in"):
        load(root)


def test_load_refuses_two_folders_for_one_split(photos):
    for below in ("train", "val", "valid"):
        root = photos(below=below, cat=3, dog=3)
    with pytest.raises(DataError, match="two folders for one split"):
        load(root)


def test_load_names_a_folder_it_may_not_read(photos, monkeypatch):
    root = photos(cat=5, dog=5)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"dog cannot be read: permission denied. Give this user"):
        load(root)


def test_load_lists_a_file_it_may_not_read(photos, monkeypatch):
    def refuse(path, *arguments, **options):
        if str(path).endswith("dog/000.jpg"):
            raise PermissionError(13, "Permission denied")
        return open(path, *arguments, **options)

    monkeypatch.setattr(samples_module, "open", refuse, raising=False)
    data = load(photos(cat=5, dog=5), max_bad_fraction=0.5)
    assert [(bad.name, bad.reason) for bad in data.bad_samples] == [
        ("dog/000.jpg", "permission denied")
    ]


def test_load_lists_a_file_that_is_too_large(photos, monkeypatch):
    root = photos(cat=5, dog=5)
    (root / "cat" / "000.jpg").write_bytes(b"\xff" * 3 * 2**20)
    monkeypatch.setattr(samples_module, "MAX_FILE_BYTES", 2 * 2**20)
    data = load(root, max_bad_fraction=0.5)
    assert data.bad_samples[0].reason == "the file has 3.1 MB, the limit is 2.1 MB"


def test_load_refuses_column_options_for_a_folder(photos):
    root = photos(cat=5, dog=5)
    with pytest.raises(OptionError, match=r"--label kind cannot be used: .* is a fo"):
        load(root, label="kind", group="folder")


def test_load_reports_all_bad_options_at_once(photos):
    with pytest.raises(OptionError) as caught:
        load("digits-8x8", val_fraction=0, test_fraction=1.5, max_bad_fraction=-1, seed=-1)
    for word in ("val_fraction is 0;", "test_fraction is 1.5;", "max_bad_fraction is -1;", "seed"):
        assert word in str(caught.value)


def test_load_refuses_a_file_of_another_kind(tmp_path):
    (tmp_path / "photos.bin").write_bytes(b"PK\0")
    with pytest.raises(DataError, match=r"photos.bin is not a table .* ending in .csv, .tsv,"):
        load(tmp_path / "photos.bin")
