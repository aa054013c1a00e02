"""Names of splits, folds and unlabelled samples: of folders, files and columns."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from headstart.data import load
from headstart.data.sources.split_words import is_fold, is_unlabelled, split_of, splits_among
from headstart.errors import DataError

WORDS = {
    "train": "train TRAIN training train_set training-set TrainImages train2014 seg_train "
    "train_data images_train trainset",
    "val": "val valid validation validate dev val2017 dev_set development valid_images",
    "test": "test testing test_set test1 test_images holdout hold-out eval evaluation PrivateTest",
    None: "cat train_station contest latest valley device plane testament trainer training_wheels",
}


@pytest.mark.parametrize("split", WORDS)
def test_a_name_means_a_split(split):
    assert {name: split_of(name) for name in WORDS[split].split()} == dict.fromkeys(
        WORDS[split].split(), split
    )


def test_eval_is_val_beside_a_test():
    assert splits_among(["train", "eval"])["eval"] == "test"
    assert splits_among(["train", "eval", "test"])["eval"] == "val"
    assert splits_among(["Training", "PublicTest", "PrivateTest"]) == {
        "Training": "train",
        "PublicTest": "val",
        "PrivateTest": "test",
    }


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("TRAIN_SET", "EVAL", "HOLDOUT"),
        ("train-split", "Eval-Split", "held-out-split"),
        ("data_train", "data_evaluation", "data_heldout"),
        ("TrainingData", "EvalData", "HoldOutData"),
        ("Full_Train", "Final-Valid", "official_test"),
        ("mine_TRAIN", "mine_EVAL", "mine_HOLDOUT"),
    ],
)
def test_three_names_are_three_splits_of_folders_files_and_cells(
    photos, tmp_path, train, val, test
):
    for split, number in ((train, 6), (val, 3), (test, 2)):
        folder = photos(below=split, cat=number, dog=number)
        lines = [f"{i}.5,{'ny'[i % 2]}" for i in range(2 * number)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["x,label", *lines]))
    files = tmp_path / "files"
    files.mkdir()
    for split in (train, val, test):
        (tmp_path / f"{split}.csv").rename(files / f"{split}.csv")
    rows = [f"{i}.5,{'ny'[i // 3 % 2]},{(train, val, test)[i % 3]}" for i in range(60)]
    (tmp_path / "cells.csv").write_text("\n".join(["x,label,subset", *rows]))
    for data, sizes in ((load(folder), (12, 6, 4)), (load(files), (12, 6, 4))):
        assert (len(data.train), len(data.val), len(data.test)) == sizes
    cells = load(tmp_path / "cells.csv")
    assert (len(cells.train), len(cells.val), len(cells.test)) == (20, 20, 20)


def test_files_of_unsure_names_are_said_and_renamed(tmp_path, heard):
    for name in ("train", "eval", "holdout"):
        lines = [f"{i}.5,{'ny'[i % 2]}" for i in range(20)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["x,label", *lines]))
    (sentence,) = [n for n in load(tmp_path).notes if "Files are read as splits" in n]
    assert "'eval.csv' as val, 'holdout.csv' as test" in sentence
    (tmp_path / "eval.csv").rename(tmp_path / "test.csv")
    (tmp_path / "holdout.csv").rename(tmp_path / "val.csv")
    assert not [n for n in load(tmp_path).notes if "Files are read" in n]
    heard(sentence)


def test_names_of_folds_and_of_nothing_to_learn_from():
    assert all(map(is_fold, ("fold1", "Fold_2", "cv_fold3", "fold-10")))
    assert not any(map(is_fold, ("folder1", "manifold2", "gold1", "fold")))
    assert all(map(is_unlabelled, ("no_label", "_unlabeled", "Unlabelled", "unsup", "seg_pred")))
    assert not any(map(is_unlabelled, ("label", "super", "unknown", "other")))


@pytest.mark.parametrize("other", ["development", "val_set", "Eval", "testing", "test2"])
@pytest.mark.parametrize("train", ["Training", "train_set"])
def test_split_words_of_folders_are_never_classes(photos, train, other):
    photos(below=train, cat=8, dog=8)
    data = load(photos(below=other, cat=3, dog=3))
    assert data.schema.classes == ("cat", "dog")
    split = data.val if split_of(other) == "val" else data.test
    assert len(split) == 6
    assert any(f"'{other}' as" in note for note in data.notes) or other == "testing"


def test_doubled_folders_and_wrappers_are_walked_through(photos):
    photos(below="download/pets/train/train", cat=8, dog=8)
    data = load(photos(below="download/pets/test/test", cat=3, dog=3))
    assert data.schema.classes == ("cat", "dog")
    assert len(data.test) == 6
    assert any("'download/pets'" in note for note in data.notes)


def test_a_copy_inside_itself_is_left_out_and_said(photos):
    root = photos(cat=8, dog=8, eel=8)
    shutil.copytree(root, root.parent / "copy")
    shutil.move(root.parent / "copy", root / "pets")
    data = load(root)
    assert data.schema.classes == ("cat", "dog", "eel")
    assert len(data.train) + len(data.val) + len(data.test) == 24
    assert any(note.startswith("Skipped folder 'pets'") for note in data.notes)


def test_folds_are_pooled_and_said(photos):
    for fold in ("fold_0", "fold_1", "fold_2", "fold_3"):
        root = photos(below=fold, cat=5, dog=5)
    data = load(root)
    assert data.schema.classes == ("cat", "dog")
    assert len(data.train) + len(data.val) + len(data.test) == 40
    assert any("are folds" in note for note in data.notes)


@pytest.mark.parametrize("flat", ["_unlabeled", "no_label", "unsup", "test"])
def test_flat_folders_without_labels_are_never_classes(photos, flat):
    root = photos(below="train", cat=12, dog=12)
    shutil.copytree(root / "train" / "cat", root / flat)
    data = load(root)
    assert data.schema.classes == ("cat", "dog")
    assert len(data.train) + len(data.val) + len(data.test) == 24
    assert any(f"'{flat}" in note for note in data.notes)


def test_patients_above_classes_are_groups(photos):
    for patient in (8863, 9022, 10253, 12750, 13689):
        root = photos(below=str(patient), benign=4, malignant=4)
    data = load(root)
    assert data.schema.classes == ("benign", "malignant")
    sides = [
        {split.samples.name(i).split("/")[0] for i in range(len(split))}
        for split in (data.train, data.val, data.test)
    ]
    assert sum(map(len, sides)) == 5
    assert any("stays on one side" in note for note in data.notes)


def test_patients_in_two_splits_are_said(photos):
    for split in ("train", "test"):
        for patient in ("p11", "p17", "p23", "p31"):
            root = photos(below=f"{split}/{patient}", benign=4, malignant=4)
    data = load(root)
    assert data.schema.classes == ("benign", "malignant")
    assert len(data.test) == 32
    assert [f.kind for f in data.findings if "'p11'" in f.sentence][-1] == "leak"


def test_classes_above_like_folders_stay_classes_and_the_doubt_is_said(photos):
    photos(below="cat", indoor=8, outdoor=8)
    data = load(photos(below="dog", indoor=8, outdoor=8))
    assert data.schema.classes == ("cat", "dog")
    assert any("although the folders inside have the same names" in note for note in data.notes)


def test_splits_below_the_classes_are_splits(photos):
    for label in ("cat", "dog"):
        (root := photos(below=label, train=9, test=3))
    data = load(root)
    assert data.schema.classes == ("cat", "dog")
    assert len(data.test) == 6


@pytest.mark.parametrize("names", [("training", "dev"), ("train_set", "holdout")])
def test_text_folders_follow_the_same_words(tmp_path, names):
    for split in names:
        for label in ("neg", "pos", "unsup"):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for i in range(9):
                (folder / f"{i}.txt").write_text(f"{label} review number {i} of {split}")
    data = load(tmp_path)
    assert (data.schema.modality, data.schema.classes) == ("text", ("neg", "pos"))
    assert any("'unsup'" in note for note in data.notes)


def table(path, column, words):
    rng = np.random.default_rng(0)
    lines = [f"x,{column},label"]
    for i in range(120):
        lines.append(f"{rng.normal():.3f},{words[i // 2 % len(words)]},{'ny'[i % 2]}")
    path.write_text("\n".join(lines))
    return load(path)


@pytest.mark.parametrize(
    ("column", "words", "test"),
    [
        ("Subset", ("training", "evaluation"), 60),
        ("data_split", ("TRAIN", "TRAIN", "DEV", "TEST"), 30),
        ("ml-use", ("training", "UNASSIGNED", "test"), 40),
        ("partition", ("0", "0", "1", "2"), 30),
        ("usage", ("Training", "PrivateTest"), 60),
        ("SPLIT", ("train", "holdout"), 60),
    ],
)
def test_columns_of_splits_are_read_and_are_no_input(tmp_path, column, words, test):
    data = table(tmp_path / "t.csv", column, words)
    assert len(data.test) == test
    assert list(data.column_kinds) == ["x"]
    assert data.split_origin["test"] == f"column '{column}'"
    assert any(f"'{column}'" in note for note in data.notes)


@pytest.mark.parametrize(
    ("column", "words"), [("set", ("Sicilian", "English")), ("usage", ("1", "2")), ("phase", "abc")]
)
def test_columns_of_other_words_stay_inputs(tmp_path, column, words):
    data = table(tmp_path / "t.csv", column, words)
    assert set(data.column_kinds) == {"x", column}


def test_a_column_of_folds_is_no_input(tmp_path):
    data = table(tmp_path / "t.csv", "kfold", ("0", "1", "2", "3", "4"))
    assert list(data.column_kinds) == ["x"]
    assert any("'kfold'" in note for note in data.notes)


@pytest.mark.parametrize("name", ["validate.csv", "train_eval.csv", "dev_set.csv"])
def test_table_files_are_splits_by_the_same_words(tmp_path, name):
    table(tmp_path / "training_set.csv", "z", ("1", "2", "3"))
    if split_of(name.removesuffix(".csv")) is None:
        return
    table(tmp_path / name, "z", ("1", "2", "3"))
    data = load(tmp_path)
    assert data.split_origin["train"] == "one file a split"


def test_advice_on_two_folders_for_one_split_is_followed(photos):
    for below in ("train", "val2014", "val2017"):
        root = photos(below=below, cat=6, dog=6)
    with pytest.raises(DataError, match="two folders for one split"):
        load(root)
    for label in ("cat", "dog"):
        for file in (root / "val2017" / label).iterdir():
            file.rename(root / "val2014" / label / f"b{file.name}")
    shutil.rmtree(root / "val2017")
    assert len(load(root).val) == 24
