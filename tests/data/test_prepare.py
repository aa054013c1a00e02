"""Samples to arrays: tokens, terms, cells and pixels, of a split and of what predict is given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from headstart import events
from headstart.data import load
from headstart.errors import DataError
from headstart.preprocessing import (
    ImagePreprocess,
    TablePreprocess,
    TermPreprocess,
    TokenPreprocess,
    decode_one,
    fit_table,
)
from headstart.preprocessing.unread import Unread
from headstart.types import Column, Finding, Inputs, TableSpec

RNG = np.random.default_rng(0)
TEXTS = [" ".join(["word"] * (4 + i % 9)) + f" number {i} of them" for i in range(60)]


class Lengths:
    """Stands in for a tokenizer: a word becomes its length; ``void`` becomes nothing."""

    pad_id, max_length, unknown_id = 99, 8, None

    def encode(self, texts):
        whole = [[len(word) for word in text.split() if word != "void"] for text in texts]
        return [np.array(ids[:8], np.int32) for ids in whole], np.array([len(ids) for ids in whole])

    def unread(self, parts, names):
        return Unread(num_texts=len(parts))

    def files(self):
        return {}


class Counts:
    """Stands in for a vectorizer: how many ``word`` and ``number`` a text holds."""

    def transform(self, texts):
        return csr_matrix([[t.count("word"), t.count("number")] for t in texts], dtype=np.float32)

    def files(self):
        return {}


TOKENS, TERMS = TokenPreprocess(Lengths()), TermPreprocess(Counts())


@pytest.fixture(scope="module")
def texts():
    return load(pd.DataFrame({"text": TEXTS, "label": [i % 2 for i in range(60)]}))


@pytest.fixture(scope="module")
def rows():
    columns = {"a": RNG.normal(size=60), "w": ["x", "y", "z"] * 20, "y": RNG.normal(size=60)}
    return load(pd.DataFrame(columns), label="y")


def test_prepare_gives_tokens_padded_to_the_longest_of_a_batch(texts):
    tokens = TOKENS.prepare(texts, "train")
    assert isinstance(tokens, Inputs)
    assert len(tokens) == len(texts.train)
    for batch in (np.array([0, 5, 3]), np.array([7]), np.arange(len(tokens))):
        ids, mask = tokens.arrays(batch)
        expected = Lengths().encode([texts.train.samples.read(i) for i in batch])[0]
        assert ids.dtype == mask.dtype == np.int64
        assert ids.shape == mask.shape == (len(batch), max(map(len, expected)))
        for row, row_mask, want in zip(ids, mask, expected, strict=True):
            assert row[: len(want)].tolist() == want.tolist()
            assert (row[len(want) :] == 99).all()
            assert row_mask.tolist() == [1] * len(want) + [0] * (ids.shape[1] - len(want))
    assert np.array_equal(tokens.lengths[:3], [len(t) for t in expected[:3]])
    assert np.array_equal(tokens.targets, texts.train.targets)
    assert np.array_equal(tokens.ids, texts.train.ids)
    assert tokens.names[0] == texts.train.samples.name(0)
    assert tokens.flat.dtype == np.int32


def test_prepare_says_how_much_was_cut(texts):
    tokens = TOKENS.prepare(texts, "train")
    full = [len(texts.train.samples.read(i).split()) for i in range(len(texts.train))]
    assert tokens.num_truncated == sum(n > 8 for n in full)
    assert tokens.num_tokens_cut == sum(max(0, n - 8) for n in full)
    share = 100 * tokens.num_tokens_cut / sum(full)
    sentence = (
        f"{tokens.num_truncated} of {len(full)} texts were cut at 8 tokens; {share:.1f} % of all "
        "tokens were lost."
    )
    assert tokens.findings == [Finding("truncated", "warning", (), sentence)]
    short = TOKENS.read(["one two"])
    assert (short.num_truncated, short.findings) == (0, [])


def test_prepare_takes_some_indices_in_any_order(texts, rows, spec):
    chosen = np.array([4, 1, 9])
    whole = TOKENS.prepare(texts, "train")
    some = TOKENS.prepare(texts, "train", chosen)
    for a, b in zip(some.arrays(np.arange(3)), whole.arrays(chosen), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(some.targets, whole.targets[chosen])
    assert list(some.names) == [whole.names[i] for i in chosen]
    table = fit_table(rows)
    cells = table.prepare(rows, "train", chosen)
    assert np.array_equal(cells.numbers, table.prepare(rows, "train").numbers[chosen])
    assert np.array_equal(cells.ids, rows.train.ids[chosen])
    digits = load("digits-8x8")
    pixels = ImagePreprocess(spec(8, 1)).prepare(digits, "test", chosen)
    assert np.array_equal(pixels.arrays(np.array([1]))[0], digits.test.samples.images[[1]])
    assert (len(pixels), pixels.lengths, list(pixels.findings)) == (3, None, [])
    assert isinstance(pixels, Inputs)


def test_prepare_gives_terms(texts):
    terms = TERMS.prepare(texts, "val")
    (dense,) = terms.arrays(np.array([2, 0]))
    assert dense.dtype == np.float32
    expected = [texts.val.samples.read(i).count("word") for i in (2, 0)]
    assert dense.tolist() == [[n, 1.0] for n in expected]
    assert terms.matrix.shape == (len(texts.val), 2)
    assert terms.lengths is None
    assert isinstance(terms, Inputs)


def test_prepare_gives_cells(rows):
    cells = fit_table(rows).prepare(rows, "test")
    numbers, codes = cells.arrays(np.array([3, 1]))
    assert (numbers.dtype, codes.dtype) == (np.float32, np.int64)
    assert codes[:, 0].tolist() == ["xyz".index(rows.test.samples.read(i)["w"]) + 1 for i in (3, 1)]
    assert np.array_equal(cells.targets, rows.test.targets)
    assert isinstance(cells, Inputs)


def test_prepare_leaves_out_texts_that_become_nothing():
    table = pd.DataFrame({"text": [*TEXTS, "void void"], "label": [i % 2 for i in range(61)]})
    data = load(table, max_bad_fraction=0.05)
    parts = [TOKENS.prepare(data, name) for name in ("train", "val", "test")]
    assert sum(map(len, parts)) == 60
    (bad,) = [bad for part in parts for bad in part.bad_samples]
    assert (bad.name, bad.reason) == ("row 61", "the tokenizer leaves nothing of it")
    strict = load(table)
    (home,) = [n for n in ("train", "val", "test") if "row 61" in strict.split(n).samples.names]
    with pytest.raises(DataError, match=r"1 of 61 texts of DataFrame \(1.6%\) cannot be used"):
        TOKENS.prepare(strict, home)


def test_prepare_reports_progress(texts):
    heard = []
    with events.listen(lambda kind, fields: heard.append((kind, fields))):
        TOKENS.prepare(texts, "train")
    assert heard[-1][1] == {"name": "tokenize train", "done": 41, "total": 41}


def test_prepare_refuses_a_model_of_another_kind(texts, spec):
    with pytest.raises(DataError, match="holds text samples, but the model reads image samples"):
        ImagePreprocess(spec()).prepare(texts, "train")
    with pytest.raises(DataError, match="digits-8x8 holds image samples, but the model reads text"):
        TOKENS.prepare(load("digits-8x8"), "test")


def test_prepare_values_gives_texts_as_training_does(texts):
    given = [texts.test.samples.read(i) for i in range(5)]
    inputs = TOKENS.read(given)
    whole = TOKENS.prepare(texts, "test")
    for a, b in zip(inputs.arrays(np.arange(5)), whole.arrays(np.arange(5)), strict=True):
        assert np.array_equal(a, b)
    assert (len(inputs.targets), inputs.names[0]) == (0, "text 1")
    bad = TOKENS.read(["fine one", "", None, "a\0b", "void"])
    assert list(bad.names) == ["text 1"]
    assert {sample.name: sample.reason for sample in bad.bad_samples} == {
        "text 2": "the text is empty",
        "text 3": "the text is missing (NaN)",
        "text 4": "the text holds a NUL character (position 1)",
        "text 5": "the tokenizer leaves nothing of it",
    }
    assert len(TOKENS.read([])) == 0
    with pytest.raises(DataError, match="Expected a list of samples, not one str"):
        TOKENS.read("a text")
    with pytest.raises(DataError, match="A bytes was given to a model of texts"):
        TOKENS.read([b"a"])


def test_prepare_values_gives_images_as_training_does(encode, spec, tmp_path):
    image = RNG.integers(0, 256, (20, 24, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(encode(image))
    given = [image, encode(image), tmp_path / "a.png", b"no image", tmp_path / "gone.png"]
    pixels = ImagePreprocess(spec()).read(given)
    assert np.array_equal(pixels.images, np.stack([decode_one(image, spec())] * 3))
    assert list(pixels.names) == ["image 1", "image 2", str(tmp_path / "a.png")]
    assert [bad.name for bad in pixels.bad_samples] == ["image 4", str(tmp_path / "gone.png")]
    assert ImagePreprocess(spec()).read([b"no"]).images.shape == (0, 16, 16, 3)


def test_prepare_values_gives_rows_in_any_form_the_same_cells(rows):
    table = fit_table(rows)
    expected = table.prepare(rows, "test").arrays(np.arange(4))
    given = [rows.test.samples.read(i) for i in range(4)]
    words = [{"w": row["w"], "a": repr(row["a"])} for row in given]  # as a CSV file has them
    frame = pd.DataFrame(given)
    for values in (given, words, frame, frame.assign(w=frame["w"].astype("category"))):
        found = table.read(values)
        for a, b in zip(found.arrays(np.arange(4)), expected, strict=True):
            assert np.array_equal(a, b)
    found = table.read(pa.Table.from_pylist(given))
    assert np.array_equal(found.numbers, expected[0])
    assert (list(found.names), found.findings) == (["row 1", "row 2", "row 3", "row 4"], [])


def test_prepare_values_says_what_of_a_row_it_does_not_know(rows):
    table = fit_table(rows)
    given = [{"a": 1.0, "w": "new", "b": 3}, {"a": None, "w": "x", "b": 3}]
    cells = table.read(given)
    assert cells.codes[:, 0].tolist() == [0, 1]
    assert np.isfinite(cells.numbers).all()
    unseen = "Column 'w' holds categories unknown to the model in 1 row: 'new'."
    ignored = "Columns that the model does not know are ignored: 'b'."
    empty, *others = cells.findings  # train lacks no number
    assert (empty.kind, empty.items) == ("missing", ("row 2",))
    assert "Column 'a' is empty in 1 row" in empty.sentence
    assert others == [
        Finding("unseen", "warning", ("row 1",), unseen),
        Finding("unused", "note", (), ignored),
    ]
    (gone,) = table.read([{"a": 1.0, "w": None}]).findings
    assert "Column 'w' is empty in 1 row" in gone.sentence


def test_prepare_values_refuses_rows_that_do_not_fit(rows):
    table = fit_table(rows)
    with pytest.raises(DataError, match=r"The table has no rows; expected one a sample\."):
        table.read(pd.DataFrame({"a": [], "w": []}))
    for values in ([{"aa": 1, "w": "x"}], pd.DataFrame({"aa": [1], "w": ["x"]})):
        with pytest.raises(DataError) as caught:
            table.read(values)
        assert str(caught.value) == (
            "Column 'a' is missing in the rows (found: 'aa', 'w'). Did you mean 'aa'? The model "
            "was trained with it; add it. Single cells may be empty."
        )
    with pytest.raises(DataError, match=r"Columns 'a', 'w' .*was trained with them; add them"):
        table.read(pd.DataFrame({"b": [1]}))
    with pytest.raises(DataError, match="Column 'a' is missing in row 2"):
        table.read([{"a": 1, "w": "x"}, {"w": "x"}])
    with pytest.raises(DataError, match="Column 'a' holds 'abc' in row 2; expected a number or"):
        table.read([{"a": 1, "w": "x"}, {"a": "abc", "w": "x"}])
    with pytest.raises(DataError, match="Column 'a' holds inf in row 1; expected finite numbers"):
        table.read([{"a": float("inf"), "w": "x"}])
    with pytest.raises(DataError, match="Expected a list of rows, not one row"):
        table.read({"a": 1, "w": "x"})
    with pytest.raises(DataError, match="Row 1 is a list; expected a dict"):
        table.read([[1, "x"]])


def test_prepare_values_reads_dates_and_booleans_however_they_are_written():
    day = Column("day", "date", mean=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0))
    ok = Column("ok", "boolean", mean=(0.0,), scale=(1.0,))
    table = TablePreprocess(TableSpec((day, ok)))
    days = [pd.Timestamp("1970-01-02"), "1970-01-02", "1970/1/2", "1970-01-02T00:00:00Z"]
    oks = [True, "yes", "1", "TRUE"]
    given = [{"day": day, "ok": ok} for day, ok in zip(days, oks, strict=True)]
    for row in given:
        assert table.read([row]).numbers.tolist() == [[1.0, 1.0, 4.0, 1.0]]
    assert table.read(given).numbers.tolist() == [[1.0, 1.0, 4.0, 1.0]] * 4
    with pytest.raises(DataError, match="'day' holds '1970-02-31' in row 1; expected a date such"):
        table.read([{"day": "1970-02-31", "ok": True}])
    with pytest.raises(DataError, match="'ok' holds 'perhaps' in row 1; expected true or false"):
        table.read([{"day": "1970-02-01", "ok": "perhaps"}])
