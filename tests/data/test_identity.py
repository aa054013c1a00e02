"""A sample is what it holds: the same number wherever it stands, another for anything else."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headstart.data import load
from headstart.data.identity import (
    hash_strings,
    ordinals,
    row_identity,
    sample_ids,
    text_identity,
    without,
)


@pytest.mark.parametrize(
    "other",
    ["The  cat sat", "the cat sat ", "THE CAT SAT", "the\u00a0cat\tsat", "the cat\r\nsat"],
)
def test_a_text_is_the_same_whatever_its_case_and_blanks(other):
    found = text_identity(["the cat sat", other, "the cat sits"])
    assert found.content[0] == found.content[1] != found.content[2]
    assert len(set(found.exact.tolist())) == 3


def test_one_unicode_form_is_as_good_as_another():
    found = text_identity(["caf\u00e9", "cafe\u0301", "cafe"])
    assert found.content[0] == found.content[1] != found.content[2]


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 63, 1024, 1025, 5000])
def test_every_byte_of_a_word_counts(length):
    word = "x" * length
    words = [word, word + "x", word + "\0", "y" + word[1:] + "?", word[:-1] + "z?"]
    assert len(set(hash_strings(pa.array(words)).tolist())) == len(words)


def test_words_of_a_slice_and_of_both_widths_have_the_same_numbers():
    words = ["one", None, "", "three and more letters", "ü"]
    whole = hash_strings(pa.array(words))
    assert (hash_strings(pa.array(["before", *words]).slice(1)) == whole).all()
    assert (hash_strings(pa.array(words, pa.large_string())) == whole).all()
    assert whole[1] != whole[2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([0.1, 2.5], np.array([0.1, 2.5], np.float32)),
        ([1.0, -0.0], np.array([1, 0])),
        ([1.0, 0.0], np.array([True, False])),
        (["3", "A b"], ["3.0", " a  B"]),
    ],
)
def test_a_cell_is_the_same_however_it_is_stored(one, other):
    rows = [row_identity(pa.table({"x": pa.array(cells)})).content for cells in (one, other)]
    assert (rows[0] == rows[1]).all()


def test_rows_do_not_depend_on_their_place_or_on_the_order_of_columns():
    table = pa.table({"a": [1.0, 2.0, None], "b": ["x", None, "y"]})
    found = row_identity(table).content
    order = np.array([2, 0, 1])
    assert (row_identity(table.take(order).select(["b", "a"])).content == found[order]).all()
    swapped = pa.table({"b": [1.0, 2.0, None], "a": ["x", None, "y"]})
    assert not np.isin(row_identity(swapped).content, found).any()
    rest = without(row_identity(table), table, ["a"])
    assert (rest.content == row_identity(table, ["b"]).content).all()


def test_ids_are_of_the_content_and_unique():
    contents = text_identity(["a", "b", "a", "a", "c"]).exact
    ids = sample_ids(contents)
    assert len(set(ids.tolist())) == 5
    assert (ids >= 0).all()
    assert ordinals(contents).tolist() == [0, 0, 1, 2, 0]
    order = np.array([4, 1, 0, 2, 3])
    assert set(sample_ids(contents[order]).tolist()) == set(ids.tolist())
    assert sample_ids(contents[order])[0] == ids[4]


def test_a_million_rows_have_numbers_of_their_own():
    numbers = np.arange(1_000_000.0)
    table = pa.table({"a": numbers, "b": numbers[::-1] / 8})
    assert len(np.unique(row_identity(table).content)) == 1_000_000


def test_the_ids_of_a_file_stay_when_its_rows_change_places(tmp_path):
    frame = pd.DataFrame(
        {"x": np.arange(40) * 0.37, "y": np.arange(40) ** 0.5, "label": ["a", "b"] * 20}
    )
    sets = []
    for rows in (frame, frame.sample(frac=1, random_state=0), frame[["y", "label", "x"]]):
        rows.to_csv(tmp_path / "t.csv", index=False)
        data = load(tmp_path / "t.csv")
        sets.append({int(i) for part in (data.train, data.val, data.test) for i in part.ids})
    assert sets[0] == sets[1] == sets[2]
