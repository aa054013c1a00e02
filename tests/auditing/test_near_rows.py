"""Nearly the same rows, planted in real tables: California's districts, wines, patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

import headstart as hs
from headstart.auditing.audit import AuditTools
from headstart.auditing.near_rows import near_rows

TABLES = {
    "wine": (load_wine, "target"),
    "cancer": (load_breast_cancer, "target"),
    "diabetes": (load_diabetes, "target"),
}


def frame_of(name):
    read, label = TABLES[name]
    frame = read(as_frame=True).frame.copy()
    frame["split"] = np.where(np.arange(len(frame)) % 4 == 3, "test", "train")
    return frame, label


def planted(name, change):
    frame, label = frame_of(name)
    row = frame[frame.split == "train"].iloc[[5]].copy()
    row["split"] = "test"
    change(row)
    data = hs.load(pd.concat([frame, row], ignore_index=True), label=label)
    return data, near_rows(data, AuditTools())


def one_column(row):
    row.iloc[0, 2] = row.iloc[0, 2] * 1.37


def last_digits(row):
    columns = [c for c in row.columns if c not in ("target", "split")]
    row[columns] = row[columns] * (1 + 1e-8)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("change", [one_column, last_digits])
def test_a_row_that_differs_hardly_is_found_across(name, change):
    data, found = planted(name, change)
    (leak,) = [each for each in found if each.finding.kind == "leak"]
    (suspect,) = leak.suspects
    assert suspect.spot.split == "test"
    assert suspect.spot.index == len(data.test) - 1
    assert leak.leave_out
    told = "the same but for the last digits" if change is last_digits else "but for '"
    assert suspect.reason.startswith(told)


@pytest.mark.parametrize("name", TABLES)
def test_real_tables_are_not_drowned(name):
    frame, label = frame_of(name)
    data = hs.load(frame, label=label)
    assert sum(len(each.suspects) for each in near_rows(data, AuditTools())) <= 1


def test_an_identifier_apart_a_row_is_a_copy_and_not_told_twice():
    frame, label = frame_of("wine")
    row = frame[frame.split == "train"].iloc[[5]].assign(split="test")
    together = pd.concat([frame, row], ignore_index=True)
    together.insert(0, "id", np.random.default_rng(0).permutation(len(together)) + 100_000)
    data = hs.load(together, label=label)
    assert "leak" in {found.kind for found in data.findings}
    assert not [each for each in near_rows(data, AuditTools()) if each.finding.kind == "leak"]


def test_narrow_tables_are_alike_by_chance_and_that_is_said():
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({f"q{i}": draw.integers(0, 4, 900) for i in range(7)})
    frame["label"] = draw.integers(0, 2, 900)
    data = hs.load(frame, label="label")
    found = near_rows(data, AuditTools())
    assert not any(each.suspects for each in found)
    assert "chance" in found[-1].finding.sentence


def test_two_labels_of_rows_that_differ_in_the_last_digits_contradict():
    def change(row):
        last_digits(row)
        row["target"] = 1 - row["target"].clip(0, 1)

    _, found = planted("cancer", change)
    assert "contradiction" in {each.finding.kind for each in found}


def test_two_labels_of_rows_that_differ_in_a_column_do_not():
    def change(row):
        one_column(row)
        row["target"] = 1 - row["target"].clip(0, 1)

    _, found = planted("cancer", change)
    assert "contradiction" not in {each.finding.kind for each in found}


def test_a_table_of_few_columns_says_that_it_was_not_looked_at():
    frame, label = frame_of("diabetes")
    data = hs.load(frame[["s5", "s3", "bmi", label, "split"]], label=label)
    (note,) = near_rows(data, AuditTools())
    assert "fewer than 4 columns" in note.finding.sentence
