"""Splits, missing labels and answers as people spell them, beside those of the other tests."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart.data import load
from headstart.errors import DataError
from headstart.types import Dataset

TEXTS = [f"review {i} of a film that lasts {i % 7} hours too long" for i in range(40)]
LABELS = ["good" if i % 2 else "bad" for i in range(40)]


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(abs(hash(path)) % 2**32).integers(0, 255, (12, 12, 3), np.uint8)
    Image.fromarray(noise).save(path)


def fill(root: Path, folders: tuple[str, ...], number: int = 6) -> None:
    for folder in folders:
        for i in range(number):
            draw(root / folder / f"{i}.png")


def sentences(data: Dataset) -> str:
    return " ".join(data.notes)


@pytest.mark.parametrize(
    "names",
    [
        ("01_train", "02_val", "03_test"),
        ("split=train", "split=valid", "split=holdout"),
        ("tr", "va", "te"),
        ("Xtrain", "dev-set", "public test"),
        ("my_train_images", "my_val_images", "my_test_images"),
    ],
)
def test_folders_of_splits_are_no_classes(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for name in names:
        fill(tmp_path / name, ("cat", "dog"))
    data = load(tmp_path)
    assert data.schema.classes == ("cat", "dog")
    assert (len(data.train), len(data.val), len(data.test)) == (12, 12, 12)


def test_folders_named_as_languages_stay_classes(tmp_path: Path) -> None:
    fill(tmp_path, ("tr", "te", "de", "fr"))
    assert load(tmp_path).schema.classes == ("de", "fr", "te", "tr")


@pytest.mark.parametrize(
    "name", ["Unlabelled Images", "unknown_label", "missing labels", "to-label", "not_annotated"]
)
def test_a_folder_without_labels_is_no_class(tmp_path: Path, name: str) -> None:
    fill(tmp_path, ("cat", "dog", name))
    data = load(tmp_path)
    assert data.schema.classes == ("cat", "dog")
    assert name in sentences(data)


def test_a_folder_called_minus_one_beside_numbers_is_no_class(tmp_path: Path) -> None:
    fill(tmp_path, ("0", "1", "-1"))
    assert load(tmp_path).schema.classes == ("0", "1")


def test_minus_one_beside_one_number_is_a_class(tmp_path: Path) -> None:
    fill(tmp_path, ("1", "-1"))
    assert load(tmp_path).schema.classes == ("-1", "1")


@pytest.mark.parametrize("name", ["labels.txt", "classes.txt"])
def test_a_list_of_files_is_no_list_of_class_names(tmp_path: Path, name: str) -> None:
    fill(tmp_path, ("images",), 30)
    lines = [f"images/{i}.png {i % 3}" for i in range(30)]
    (tmp_path / "labels.txt").write_text("\n".join(lines))
    if name != "labels.txt":
        (tmp_path / name).write_text("\n".join(lines))
    assert load(tmp_path).schema.classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("column", "true", "split"),
    [
        ("is_valid", [True, False], "val"),
        ("is_test", [1, 0], "test"),
        ("isTest", ["yes", "no"], "test"),
        ("is_train", ["False", "True"], "test"),
        ("In_Train", [0.0, 1.0], "test"),
    ],
)
def test_a_column_of_true_and_false_says_the_split(
    tmp_path: Path, column: str, true: list[object], split: str
) -> None:
    marked = [true[0] if i % 5 == 0 else true[1] for i in range(40)]
    frame = pd.DataFrame({"text": TEXTS, "label": LABELS, column: marked})
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv")
    there = data.val if split == "val" else data.test
    found = {there.samples.read(i) for i in range(len(there))}
    assert found == {text for i, text in enumerate(TEXTS) if i % 5 == 0}
    assert f"Column '{column}' says the splits" in sentences(data)


def test_several_columns_of_true_and_false_are_said_not_guessed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": LABELS})
    frame = frame.assign(is_val=np.arange(40) % 5 == 0, is_test=np.arange(40) % 5 == 1)
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert "say the splits together" in sentences(load(tmp_path / "a.csv"))
    advised = load(tmp_path / "a.csv", drop="is_val")
    assert len(advised.test) == 8


@pytest.mark.parametrize("column", ["accepted", "approved", "is_confirmed", "validated"])
def test_an_answer_that_was_not_accepted_is_no_label(tmp_path: Path, column: str) -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": LABELS, column: np.arange(40) % 4 > 0})
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    data = load(tmp_path / "a.jsonl")
    assert sum(map(len, (data.train, data.val, data.test))) == 30
    assert f"column '{column}' says False" in sentences(data)
    everything = load(tmp_path / "a.jsonl", drop=column)
    assert sum(map(len, (everything.train, everything.val, everything.test))) == 40


def test_a_verified_purchase_is_no_answer(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": LABELS, "verified": np.arange(40) % 4 > 0})
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv")
    assert sum(map(len, (data.train, data.val, data.test))) == 40


def test_a_column_of_zero_and_one_a_label_beside_texts_is_a_set_of_labels(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": range(40), "comment": TEXTS})
    frame = frame.assign(toxic=np.arange(40) % 2, insult=np.arange(40) // 2 % 2)
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv")
    assert (data.schema.modality, data.schema.task) == ("text", "multi-label")
    assert data.schema.classes == ("insult", "toxic")
    assert data.input_column == "comment"


def test_classes_that_differ_in_capitals_alone_are_said(tmp_path: Path) -> None:
    labels = [("Yes", "yes", "No", "NO")[i % 4] for i in range(40)]
    data = load((TEXTS, labels))
    assert data.schema.classes == ("NO", "No", "Yes", "yes")
    assert "differ in capitals, blanks or quotes alone" in sentences(data)


def test_cells_between_bars_are_cells(tmp_path: Path) -> None:
    rows = [f"{text}, yes|{label}" for text, label in zip(TEXTS, LABELS, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["text|label", *rows]))
    assert load(tmp_path / "a.csv").schema.classes == ("bad", "good")


def test_one_bar_in_a_name_is_no_mark_between_cells(tmp_path: Path) -> None:
    rows = [f"{text},{label}" for text, label in zip(TEXTS, LABELS, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["text|en,label", *rows]))
    assert load(tmp_path / "a.csv", label="label").input_column == "text|en"


@pytest.mark.parametrize(
    ("cell", "is_amount"),
    [
        ("{i}/7", True),
        ("{i} to {j}", True),
        ("<{i}.5", True),
        ("{i}±2", True),
        ("[{i}, {j}]", True),
        ("customer-{i}", False),
        ("a{i}f-{j}b", False),
    ],
)
def test_a_column_left_out_is_shown_and_amounts_get_advice(
    tmp_path: Path, cell: str, is_amount: bool
) -> None:
    cells = [cell.format(i=i, j=i + 3) for i in range(60)]
    frame = pd.DataFrame({"x": np.arange(60) % 7, "c": cells, "label": [*LABELS, *LABELS[:20]]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    (said,) = [s for s in load(tmp_path / "a.csv").notes if "Left out column 'c'" in s]
    assert "keep it with --categorical c" in said
    assert ("write the numbers alone" in said) == is_amount
    assert "such as '" in said


@pytest.mark.parametrize(
    ("numbers", "value", "is_said"),
    [
        (np.arange(60) / 3, -999, True),
        (np.arange(60) % 9, 99, True),
        (np.arange(60) * 7.5, 99999, True),
        (np.arange(60) * 3, 99, False),  # one number among others
        (np.arange(60) / 3, -500, False),  # nobody writes that for none
    ],
)
def test_a_number_that_stands_for_none_is_said(
    tmp_path: Path, numbers: np.ndarray, value: float, is_said: bool
) -> None:
    cells = np.where(np.arange(60) % 4 == 0, value, numbers)
    frame = pd.DataFrame({"x": np.arange(60) % 7, "c": cells, "label": [*LABELS, *LABELS[:20]]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv")
    assert ("If it stands for a value that is not known" in sentences(data)) == is_said
    emptied = frame.assign(c=frame.c.where(frame.c != value))
    emptied.to_csv(tmp_path / "b.csv", index=False)
    assert "If it stands for a value" not in sentences(load(tmp_path / "b.csv"))


def test_numbers_beside_one_word_are_said_however_few(tmp_path: Path) -> None:
    cells = [str(i * 1.5) if i % 5 == 0 else "not measured" for i in range(80)]
    frame = pd.DataFrame({"x": np.arange(80) % 7, "c": cells, "label": [*LABELS, *LABELS]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    said = sentences(load(tmp_path / "a.csv"))
    assert "16 numbers and 64 other cells, such as 'not measured'" in said
    frame.assign(c=frame.c.replace("not measured", "")).to_csv(tmp_path / "b.csv", index=False)
    assert load(tmp_path / "b.csv").column_kinds == {"x": "numeric", "c": "numeric"}


@pytest.mark.parametrize("cell", ["{i}'{j}\"", "{i}-{j}", "~{i}", "{i} of {j}"])
def test_repeated_amounts_in_an_unknown_form_are_said(tmp_path: Path, cell: str) -> None:
    cells = [cell.format(i=i % 15, j=i % 15 + 3) for i in range(60)]
    frame = pd.DataFrame({"x": np.arange(60) % 7, "c": cells, "label": [*LABELS, *LABELS[:20]]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv")
    assert "read as categories. If these are amounts" in sentences(data)
    assert "these are amounts" not in sentences(load(tmp_path / "a.csv", categorical="c"))


def test_words_are_no_amounts(tmp_path: Path) -> None:
    cells = [f"model {i % 15}" for i in range(60)]
    frame = pd.DataFrame({"x": np.arange(60) % 7, "c": cells, "label": [*LABELS, *LABELS[:20]]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert "amounts" not in sentences(load(tmp_path / "a.csv"))


def test_a_group_of_several_columns_is_refused_and_one_of_them_works() -> None:
    group = np.stack([np.arange(40) // 4, np.arange(40)], axis=1)
    with pytest.raises(DataError, match=r"group has the shape \(40, 2\)"):
        load((TEXTS, LABELS), group=group)
    load((TEXTS, LABELS), group=group[:, 0])
