"""Columns looked at as a whole: the same as cell by cell, and without a loop over cells."""

import datetime
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headstart.columnar import (
    Coded,
    Lazy,
    array_from,
    cells_of,
    counted,
    different,
    holds,
    holds_short,
    is_trimmed,
    joined,
    kinds_of,
    mapped,
    numbers_of,
    plain_numbers,
    taken,
)
from headstart.data import load
from headstart.data.draws import drawn, shuffled
from headstart.errors import DataError
from headstart.preprocessing import rows
from headstart.preprocessing.dates import read_date
from headstart.preprocessing.numbers import fitting_formats, read_number
from headstart.preprocessing.rows import text_fault, text_faults
from headstart.preprocessing.written import dates_as_written, numbers_as_written, shapes_of

NUM_ROWS = 3_000  # more than those whose cells are looked at one by one
RNG = np.random.default_rng(0)
COLUMNS = {
    "words": ["a", "b", None, "a"] * 500,
    "sentences": [f"item {i}" for i in range(2_000)],
    "whole": [3, 1, None, 3] * 500,
    "real": RNG.normal(size=2_000).tolist(),
    "truth": [True, False] * 1_000,
    "written": [repr(x) for x in RNG.normal(size=2_000).tolist()],
}


def _in_order(values):
    """Return the different values as they come first; nothing, which no example shows, last."""
    return sorted(dict.fromkeys(values), key=lambda value: value is None)


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("num_chunks", [1, 3])
def test_cells_are_those_of_a_list(values, num_chunks):
    parts = [values[i::num_chunks] for i in range(num_chunks)]
    values = [value for part in parts for value in part]
    cells = cells_of(pa.chunked_array([pa.array(part) for part in parts]))
    assert isinstance(cells, (Coded, Lazy))
    assert cells == values
    assert len(cells) == len(values)
    assert cells[7] == values[7]
    assert cells[3:9] == values[3:9]
    assert _in_order(different(cells)) == _in_order(values)
    assert kinds_of(cells) == set(map(type, values))
    assert counted(cells) == counted(values)
    assert list(mapped(cells, str)) == [str(value) for value in values]
    assert array_from(cells, lambda v: v is None, bool).tolist() == [v is None for v in values]
    places = RNG.permutation(len(values))[:50]
    chosen = taken(cells, places)
    assert chosen == [values[i] for i in places]
    assert _in_order(different(chosen)) == _in_order(chosen)
    assert joined([cells, chosen]) == [*values, *chosen]


def test_numbers_that_mostly_differ_are_read_without_their_cells():
    for name in ("real", "written"):
        cells = cells_of(pa.array(COLUMNS[name]))
        assert numbers_of(cells) == pytest.approx([float(x) for x in COLUMNS[name]], rel=0, abs=0)
    assert numbers_of(cells_of(pa.array(COLUMNS["sentences"]))) is None


PLAIN = ["12", "-3.5", "+.5", "5.", "1e-7", "1E5", "0", "-0", "0.5", None]
NOT_PLAIN = ["007", "-01", "", " 1", "1 ", "1,000", "inf", "nan", "1e999", "1/2", "e", "-", "1-2"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_plain_numbers_are_those_that_programs_write(kind):
    found = plain_numbers(pa.array(PLAIN, kind))
    expected = [np.nan if word is None else float(word) for word in PLAIN]
    assert np.array_equal(found, expected, equal_nan=True)
    assert plain_numbers(pa.array(["x", *PLAIN], kind).slice(1)) is not None
    for word in NOT_PLAIN:
        assert plain_numbers(pa.array([*PLAIN, word], kind)) is None, word


def test_what_bytes_tell_of_words():
    words = pa.chunked_array([["one,", "two"], [None, "x"]], pa.string())
    assert holds(words, ",")
    assert not holds(words, ";")
    assert holds_short(words, 1)
    assert not holds_short(words.slice(0, 3), 2)
    assert is_trimmed(words)
    for odd in (" a", "a ", "a\u00a0", "\ta"):
        assert not is_trimmed(pa.array(["b", odd]))


def _amounts(mark, decimal, around="{}"):
    draw = np.random.default_rng(1)
    amounts = draw.uniform(-1, 1, NUM_ROWS) * 10.0 ** draw.integers(0, 7, NUM_ROWS)
    words = [f"{x:,.2f}".replace(",", "_").replace(".", decimal) for x in amounts]
    return [around.format(word.replace("_", mark)) for word in words]


WRITTEN = {
    "decimal comma": _amounts("", ","),
    "point, comma": _amounts(".", ","),
    "narrow blank, comma": _amounts("\u202f", ","),
    "apostrophe": _amounts("'", "."),
    "curly apostrophe": _amounts("’", "."),
    "euro": _amounts(".", ",", "{} €"),
    "franc before": _amounts("'", ".", "CHF {}"),
    "percent": _amounts("", ".", "{}%"),
    "parentheses": [f"({word[1:]})" if word[0] == "-" else word for word in _amounts(",", ".")],
    "minus behind": [f"{w[1:]}-" if w[0] == "-" else w for w in _amounts(",", ".")],
    "typographic minus": [word.replace("-", "−") for word in _amounts("", ",")],
    "exponents": [f"{x:.4e}".replace(".", ",") for x in RNG.normal(size=NUM_ROWS) * 1e-3],
    "gaps": ["n/a" if i % 7 == 0 else w for i, w in enumerate(_amounts("", ","))],
}


@pytest.mark.parametrize("words", WRITTEN.values(), ids=WRITTEN)
def test_a_large_column_of_numbers_is_read_as_each_of_its_cells_is(words, tmp_path):
    shapes = shapes_of(pa.chunked_array([words[:1000], [None], words[1000:]]))
    assert len(shapes.words) < 200
    written = fitting_formats([w for w in words if w != "n/a"])[0]
    expected = np.array([read_number(word, written) for word in words])
    found = numbers_as_written(shapes, written)
    assert np.isnan(found[1000])
    assert np.array_equal(np.delete(found, 1000), expected, equal_nan=True)
    frame = pd.DataFrame({"x": words, "y": RNG.normal(size=NUM_ROWS), "label": ["a", "b"] * 1500})
    frame.to_csv(tmp_path / "a.csv", index=False)
    for source in (frame, tmp_path / "a.csv"):
        data = load(source, label="label")
        assert data.column_kinds["x"] == "numeric", data.notes
        assert data.number_formats.get("x", "") == written


@pytest.mark.parametrize("odd", ["about 5", "007x", "1.2.3"])
def test_the_first_odd_cell_of_a_large_column_is_named(odd):
    words = [f"{x:.3f}" for x in RNG.normal(size=NUM_ROWS)]
    words[1234] = odd
    frame = pd.DataFrame({"x": words, "y": 1.5, "label": ["a", "b"] * 1500})
    with pytest.raises(DataError, match=rf"'{odd}' in row 1235.*where 2,999 other cells are numb"):
        load(frame, label="label")


def test_codes_and_dates_of_a_large_column_stay_what_they_are():
    draw = np.random.default_rng(2)
    days = [
        datetime.date(2020, 1, 1) + datetime.timedelta(int(d))
        for d in draw.integers(0, 999, NUM_ROWS)
    ]
    moments = [f"{day} {d % 24:02d}:{d % 60:02d}" for d, day in enumerate(days)]
    frame = pd.DataFrame(
        {
            "code": [f"{d * 123:05d}" for d in draw.integers(0, 300, NUM_ROWS)],
            "day": [str(day) for day in days],
            "moment": moments,
            "german": [day.strftime("%d.%m.%Y") for day in days],
            "street": [f"{d} Main Street {d * 7}" for d in draw.integers(1, 999, NUM_ROWS)],
            "label": ["a", "b"] * 1500,
        }
    )
    data = load(frame, label="label", categorical=["street"])
    expected = {"code": "categorical", "day": "date", "moment": "date", "german": "date"}
    assert {name: data.column_kinds[name] for name in expected} == expected
    found = dates_as_written(pa.array([*moments, None, "unknown"])).to_pylist()
    assert found == [*(read_date(moment) for moment in moments), None, None]
    assert dates_as_written(pa.array([*moments, "2023-02-31 10:00"])) is None


def test_a_draw_is_the_first_of_all_in_random_order():
    for number in (0, 1, 17, 100):
        found = drawn(100, number, np.random.PCG64([1, 2]))
        order = shuffled(100, np.random.PCG64([1, 2]))
        assert sorted(found.tolist()) == sorted(order[:number].tolist())

    class Ties:
        def random_raw(self, count):
            return np.array([5, 3, 3, 3, 9], np.uint64)[:count]

    assert sorted(drawn(5, 2, Ties()).tolist()) == [1, 2]  # of equal keys the first


def _table(num_rows):
    draw = np.random.default_rng(num_rows)
    orders = zip(draw.integers(0, 10**9, num_rows), draw.integers(0, 10**4, num_rows), strict=True)
    days = np.datetime64("2019-01-01") + draw.integers(0, 2000, num_rows)
    return pd.DataFrame(
        {
            "x": draw.normal(size=num_rows),
            "age": draw.integers(18, 90, num_rows),
            "city": np.array(["Rome", "Oslo", "Lima"])[draw.integers(0, 3, num_rows)],
            "note": [f"order {a} of shop {b}" for a, b in orders],
            "price": [f"{x:.2f} €".replace(".", ",") for x in draw.uniform(0, 999, num_rows)],
            "day": np.datetime_as_string(days),
            "is_new": np.array(["yes", "no"])[draw.integers(0, 2, num_rows)],
            "label": np.array(["good", "bad"])[draw.integers(0, 2, num_rows)],
            "amount": draw.normal(size=num_rows),
        }
    )


def _num_calls(function):
    """Return how many calls, of Python and of C, a function makes."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("target", ["label", "amount"])
@pytest.mark.parametrize("form", ["csv", "parquet", "frame"])
def test_loading_makes_no_call_for_a_cell(form, target, tmp_path):
    # A guard of linear cost that no clock can shake: what ten times the rows add is a few blocks.
    def calls(num_rows):
        frame = _table(num_rows)
        source = frame
        if form != "frame":
            source = tmp_path / f"{num_rows}.{form}"
            write = frame.to_csv if form == "csv" else frame.to_parquet
            write(source, index=False)
        return _num_calls(lambda: load(source, label=target))

    calls(2_000)  # imports
    few, many = calls(8_000), calls(80_000)
    assert many - few < 0.25 * 72_000


ODD_TEXTS = ["", " ", "\x1c", "\u3000\x1d ", "a\0b", None, float("nan"), 7, b"x", "\ud800", "\t\n"]


def test_texts_at_fault_are_found_among_many_as_one_by_one():
    good = ["plain", "é first", "中文", " led by a blank", "\u3000wide", "x" * 100]
    texts = [*good * 10, *ODD_TEXTS[:5], *good]
    for lot in (texts, [*texts, *ODD_TEXTS], [*good, "\ud800"], [*good, None], [np.str_("a"), ""]):
        expected = {i: fault for i, text in enumerate(lot) if (fault := text_fault(text))}
        assert text_faults(lot) == expected


def test_a_text_beyond_the_limit_is_found_among_many(monkeypatch):
    monkeypatch.setattr(rows, "MAX_TEXT_BYTES", 20)
    found = text_faults(["short", "é" * 11, "x" * 20])
    assert list(found) == [1]
    assert "the limit is 20 bytes" in found[1]


def test_good_texts_are_not_looked_at_one_by_one():
    texts = [f"text number {i} of many" for i in range(40_000)]
    assert _num_calls(lambda: text_faults(texts)) < 2_000
