"""Columns of dates: each way to write them, whose order nobody can know, said and unsaid."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headstart.data import load
from headstart.data.options import ReadOptions
from headstart.errors import DataError, OptionError
from headstart.preprocessing import check_preprocess, fit_table, read_preprocess
from headstart.preprocessing.dates import find_format, read_date

NUM_ROWS = 60
DAYS = pd.date_range("2024-01-03", periods=NUM_ROWS, freq="5D")  # all different, beyond the 12th
FIRST_DAYS = pd.date_range("2018-01-01", periods=NUM_ROWS, freq="MS")
SPARSE_DAYS = pd.date_range("2022-01-01", periods=180, freq="4D")
EARLY_DAYS = SPARSE_DAYS[SPARSE_DAYS.day <= 12]


def table(cells, folder):
    """Write a CSV of a column ``sold`` beside numbers; return its path."""
    rng = np.random.default_rng(0)
    number = len(cells)
    frame = pd.DataFrame(
        {
            "sold": list(cells),
            "rooms": rng.integers(1, 9, number),
            "price": rng.normal(100, 20, number).round(3),
        }
    )
    path = folder / "sales.csv"
    frame.to_csv(path, index=False)
    return path


def cells_of(data):
    """Return the column over all splits, in the order of the rows."""
    rows = {
        int(split.samples.name(i)[4:]): split.samples.read(i)["sold"]
        for split in (data.train, data.val, data.test)
        for i in range(len(split))
    }
    return [rows[number] for number in sorted(rows)]


def first_three(written):
    return ", ".join(f"'{word}'" for word in written[:3])


def said_of(data):
    found = [found for found in data.findings if found.kind != "time"]
    return [one.sentence for one in found if "'sold'" in one.sentence]


@pytest.mark.parametrize(
    ("written", "date_format", "order"),
    [
        ("%Y-%m-%d", "", None),
        ("%Y/%m/%d", "", None),
        ("%Y.%m.%d", "", None),
        ("%Y年%m月%d日", "", None),
        ("%d.%m.%Y", "%d.%m.%Y", "day first"),
        ("%d/%m/%Y", "%d/%m/%Y", "day first"),
        ("%m/%d/%Y", "%m/%d/%Y", "month first"),
        ("%d-%m-%Y", "%d-%m-%Y", "day first"),
        ("%m-%d-%Y", "%m-%d-%Y", "month first"),
        ("%d %b %Y", "%d %b %Y", None),
        ("%d-%b-%Y", "%d %b %Y", None),
        ("%d%b%Y", "%d %b %Y", None),
        ("%d. %B %Y", "%d %b %Y", None),
        ("%b %d, %Y", "%b %d %Y", None),
        ("%B %d %Y", "%b %d %Y", None),
        ("%d.%m.%y", "%d.%m.%y", "day first"),
        ("%d/%m/%y", "%d/%m/%y", "day first"),
        ("%m/%d/%y", "%m/%d/%y", "month first"),
        ("%d-%m-%y", "%d-%m-%y", "day first"),
        ("%y-%m-%d", "%y-%m-%d", "year first"),
        ("%d-%b-%y", "%d %b %y", None),
    ],
)
@pytest.mark.parametrize("clock", ["", " %H:%M", "T%H:%M:%S", " %I:%M:%S %p"])
def test_load_reads_dates_written_in_each_way(tmp_path, written, date_format, order, clock):
    moments = DAYS + pd.to_timedelta(np.arange(NUM_ROWS) * 1200 if clock else 0, "s")
    data = load(table(moments.strftime(written + clock), tmp_path), label="price")
    assert data.column_kinds == {"sold": "date", "rooms": "numeric"}
    assert data.date_formats == {"sold": date_format}
    assert cells_of(data) == [moment.to_pydatetime() for moment in moments]
    if order is None:
        assert said_of(data) == []
    else:
        # the place of the first date that shows the order; none is needed where dots are
        first = 0 if "." in written else int(np.flatnonzero(DAYS.day > 12)[0])
        cell = moments[first].strftime(written + clock)
        assert said_of(data) == [
            f"Column 'sold' holds dates such as '{cell}' (row {first + 1} of sales.csv): read "
            f"{order}."
        ]


def test_load_leaves_alone_what_may_be_day_or_month_and_says_so(tmp_path):
    for mark in "/-":
        written = EARLY_DAYS.strftime(f"%d{mark}%m{mark}%Y")
        path = table(written, tmp_path)
        data = load(path, label="price")
        assert data.column_kinds == {"rooms": "numeric"}  # as words, each row has its own
        shown, left_out = said_of(data)
        assert shown == (
            f"Column 'sold' holds dates such as {first_three(written)} (row 1 of sales.csv), and "
            "none of them shows which number is the month, as one above 12 would: read as "
            "categories. "
            "--date sold reads them day first; if that is wrong, because the month stands first, "
            "write them as 2024-03-31."
        )
        assert left_out.startswith("Left out column 'sold': every row has its own value such as '")
        assert left_out.endswith(
            "as an identifier has (though they look like dates; --date sold reads them as dates, "
            "or keep it with --categorical sold)."
        )
        said = load(path, label="price", date="sold")
        assert said.date_formats == {"sold": f"%d{mark}%m{mark}%Y"}
        assert cells_of(said) == [day.to_pydatetime() for day in EARLY_DAYS]
        assert "would: read day first. If that is wrong" in said_of(said)[0]
        kept = load(path, label="price", categorical="sold")
        assert kept.column_kinds["sold"] == "categorical"
        assert said_of(kept) == []


def test_load_takes_monthly_figures_for_month_first_when_dates_are_asked_for(tmp_path):
    path = table(FIRST_DAYS.strftime("%m/%d/%Y"), tmp_path)
    assert "--date sold reads them month first; if" in said_of(load(path, label="price"))[0]
    data = load(path, label="price", date=["sold"])
    assert cells_of(data) == [day.to_pydatetime() for day in FIRST_DAYS]
    assert said_of(data) == [
        "Column 'sold' holds dates such as '01/01/2018', '02/01/2018', '03/01/2018' (row 1 of "
        "sales.csv), and none of them shows which number is the month, as one above 12 would: "
        "read month first. If that is "
        "wrong, because the day stands first, write them as 2024-03-31."
    ]
    path = table(FIRST_DAYS.strftime("%d/%m/%Y"), tmp_path)
    assert cells_of(load(path, label="price", date=["sold"])) == cells_of(data)


def test_load_reads_eight_digits_as_dates_only_when_asked(tmp_path):
    digits = DAYS.strftime("%Y%m%d")
    path = table(digits, tmp_path)
    data = load(path, label="price")
    assert data.column_kinds["sold"] == "numeric"
    assert said_of(data) == [
        "Column 'sold' holds numbers that look like dates, such as 20240103: read as numbers. "
        "--date sold reads them as dates."
    ]
    assert said_of(load(path, label="price", numeric=["sold"])) == []
    expected = [day.to_pydatetime() for day in DAYS]
    numbers = pd.read_csv(path)
    with_hole = numbers.assign(sold=numbers["sold"].where(numbers.index != 4))  # floats
    for source in (path, numbers, pa.Table.from_pandas(numbers)):
        said = load(source, label="price", date=["sold"])
        assert (said.date_formats, cells_of(said)) == ({"sold": "%Y%m%d"}, expected)
    with_hole.to_csv(path, index=False)  # 20240103.0
    for source in (with_hole, path):
        found = cells_of(load(source, label="price", date=["sold"]))
        assert found == [None if i == 4 else day for i, day in enumerate(expected)]
    assert not any("look like" in n for n in load(table(range(60), tmp_path), label="price").notes)


def test_load_names_the_cell_that_keeps_a_column_from_being_dates(tmp_path):
    written = DAYS.strftime("%d.%m.%Y").tolist()
    for odd in ("31.02.2024", "2024-03-31", "someday"):
        path = table([*written[:6], odd, *written[7:]], tmp_path)
        shown, left_out = said_of(load(path, label="price"))
        assert shown == (
            f"Column 'sold' looks like dates such as '03.01.2024', but holds '{odd}' (row 7 of "
            "sales.csv): read as categories. Correct it or leave the cell empty, or say "
            "--categorical sold."
        )
        assert "Left out column 'sold'" in left_out
        assert "--date" not in left_out
        with pytest.raises(DataError) as caught:
            load(path, label="price", date=["sold"])
        assert str(caught.value) == (
            f"Column 'sold' holds '{odd}' in row 7 of sales.csv; expected a date such as "
            "31.03.2024, or an empty cell. Correct it, or name the column with --categorical when "
            "training."
        )
    short = load(table(DAYS.strftime("%d. %B %Y um %H Uhr"), tmp_path), label="price")
    assert "sold" not in (short.column_kinds or {})


def test_load_honours_said_dates_and_refuses_what_are_none(tmp_path):
    colours = ["red", "green", "blue"] * 20
    path = table(colours, tmp_path)
    with pytest.raises(
        DataError, match=r"'sold' holds 'red' in row 1 of sales.csv; expected a dat"
    ):
        load(path, label="price", date=["sold"])
    with pytest.raises(
        DataError, match=r"'rooms' holds '\d' in row 1 of sales.csv; expected a dat"
    ):
        load(path, label="price", date=["rooms"])
    flags = pa.table({"sold": [True, False] * 30, "tags": [["a"]] * 60, "price": range(60)})
    with pytest.raises(DataError, match="'sold' holds 'True' in row 1 of the Table; expected a da"):
        load(flags, label="price", date=["sold"])
    with pytest.raises(
        DataError, match=r"'tags' holds '\['a'\]' in row 1 of the Table; expected a"
    ):
        load(flags, label="price", date=["tags"])
    with pytest.raises(OptionError, match=r"'sodl' of --date is missing .* Did you mean 'sold'"):
        load(path, label="price", date=["sodl"])
    with pytest.raises(OptionError, match="'sold' is given as categorical and as date; expected"):
        load(path, label="price", date=["sold"], categorical=["sold"])
    with pytest.raises(OptionError, match="--date sold cannot be used"):
        load("digits-8x8", date=["sold"])
    path = table(DAYS.strftime("%d.%m.%Y"), tmp_path)
    data = load(path, label="price", categorical=["sold"])
    assert data.column_kinds["sold"] == "categorical"
    assert cells_of(data)[0] == "03.01.2024"
    said = load(path, label="price", date=["sold"])
    assert json.loads(json.dumps(said.source))["date"] == ["sold"]
    assert load(**said.source).fingerprint == said.fingerprint
    assert said.fingerprint == load(path, label="price").fingerprint
    typed = pd.read_csv(path).assign(sold=DAYS)
    assert load(typed, label="price", date=["sold"]).fingerprint == said.fingerprint


def test_load_keeps_a_said_column_of_dates_that_all_differ_or_agree(tmp_path):
    data = load(table(["03.01.2024"] * NUM_ROWS, tmp_path), label="price", date=["sold"])
    assert data.column_kinds["sold"] == "date"
    array = np.array([[day, i % 7] for i, day in enumerate(DAYS.strftime("%d/%m/%Y"))], object)
    found = load((array, np.arange(60) * 0.5), date="x0")
    assert (found.column_kinds["x0"], found.date_formats) == ("date", {"x0": "%d/%m/%Y"})


def test_load_reads_long_dates_as_cells_and_not_as_texts(tmp_path):
    moments = DAYS.strftime("%d %B %Y %I:%M %p")  # as many words as prose
    path = table(moments, tmp_path)
    assert load(path, label="price").column_kinds == {"sold": "date", "rooms": "numeric"}
    for written in (moments, DAYS.strftime("%Y-%m-%d")):
        alone = pd.read_csv(path).drop(columns="rooms").assign(sold=written)
        assert load(alone, label="price").column_kinds == {"sold": "date"}


def test_new_rows_are_read_by_the_format_of_train(tmp_path):
    path = table(DAYS.strftime("%m/%d/%Y"), tmp_path)
    spec = fit_table(load(path, label="price"))
    record = check_preprocess(json.loads(json.dumps(spec.to_json())), "table")
    kept = read_preprocess(record, None, "x")
    assert kept == spec
    assert [column.date_format for column in kept.spec.columns] == ["%m/%d/%Y", ""]

    def numbers(cell):
        return kept.read([{"sold": cell, "rooms": 3}]).numbers.tolist()

    # whatever the new rows alone would suggest
    expected = numbers(datetime.datetime(2024, 3, 4))
    assert numbers("03/04/2024") == numbers("3/4/2024 00:00") == expected
    assert numbers("03/05/2024") != expected
    for odd in ("13/04/2024", "2024-03-04", "soon"):
        with pytest.raises(DataError) as caught:
            numbers(odd)
        assert str(caught.value) == (
            f"Column 'sold' holds '{odd}' in row 1; expected a date such as 03/31/2024, or an "
            "empty cell. Correct it, or name the column with --categorical when training."
        )
    missing = numbers(None)  # train's median day
    assert np.isfinite(missing).all()
    assert missing == numbers("")


def test_records_of_columns_from_before_are_read_and_odd_formats_refused(tmp_path):
    from headstart.errors import StartError

    data = load(table(DAYS.strftime("%Y-%m-%d"), tmp_path), label="price")
    record = fit_table(data).to_json()
    record["columns"][0]["date_format"] = "%c"
    with pytest.raises(StartError, match="Expected a name, a kind, known formats"):
        check_preprocess(record, "table")


@pytest.mark.parametrize(
    ("cell", "date_format", "expected"),
    [
        ("1.2.2024", "%d.%m.%Y", "2024-02-01"),
        ("29.02.2023", "%d.%m.%Y", None),
        ("29.02.24", "%d.%m.%Y", None),
        ("1 sept 2024", "%d %b %Y", "2024-09-01"),
        ("May 5, 2024", "%d %b %Y", None),
        ("5 May 2024", "%b %d %Y", None),
        ("5 Mai 2024", "%d %b %Y", None),
        ("2024331", "%Y%m%d", None),
        (20240331, "%Y%m%d", "2024-03-31"),
        (20240331.5, "%Y%m%d", None),
        ("2024-03-31 12:30 am", "", "2024-03-31T00:30"),
        ("2024-03-31 12:30 pm", "", "2024-03-31T12:30"),
        ("2024-03-31 13:30 pm", "", None),
        ("2024-03-31 24:00", "", None),
        ("2024-03-31T23:30:01.25-02:00", "", "2024-03-31T23:30:01.250"),  # as written
        ("31/03/2024, 9:05", "%d/%m/%Y", "2024-03-31T09:05"),
        ("0001-01-01T00:00+05:00", "", "0001-01-01"),
        (datetime.date(2024, 3, 31), "%d.%m.%Y", "2024-03-31"),
    ],
)
def test_read_date_takes_days_that_exist_in_the_format_alone(cell, date_format, expected):
    found = read_date(cell, date_format)
    assert found == (None if expected is None else datetime.datetime.fromisoformat(expected))


def test_month_names_do_not_depend_on_the_locale_of_the_program(monkeypatch):
    import _strptime

    german = _strptime.LocaleTime()
    german.a_month = ["", "jan", "feb", "mär", *german.a_month[4:]]
    monkeypatch.setattr(_strptime, "LocaleTime", lambda: german)
    monkeypatch.setattr(_strptime, "_regex_cache", {})
    monkeypatch.setattr(_strptime, "_TimeRE_cache", _strptime.TimeRE(german))
    with pytest.raises(ValueError, match="does not match"):
        datetime.datetime.strptime("07 Mar 1999", "%d %b %Y")
    assert read_date("07 Mar 1999", "%d %b %Y") == datetime.datetime(1999, 3, 7)


@pytest.mark.parametrize("date", [None, ["sold"]])
def test_a_question_mark_among_dates_is_a_missing_one_and_said(tmp_path, date):
    cells = [*DAYS.strftime("%d.%m.%Y")[:-3], "?", " ? ", ""]
    data = load(table(cells, tmp_path), label="price", date=date)
    assert data.column_kinds["sold"] == "date"
    assert cells_of(data) == [*DAYS[:-3].to_pydatetime(), None, None, None]
    said = "Column 'sold' holds '?' in 2 rows: they count as missing."
    assert any(note.startswith(said) for note in data.notes)
    spec = fit_table(data)
    rows = [{"sold": sold, "rooms": 2} for sold in ("?", None, "31.01.2024")]
    marks, none, day = spec.read(rows).arrays(np.arange(3))[0]
    assert np.array_equal(marks, none)
    assert not np.array_equal(marks, day)


def test_question_marks_alone_are_no_dates_unless_it_is_said(tmp_path):
    path = table(["?"] * NUM_ROWS, tmp_path)
    assert "sold" not in load(path, label="price").column_kinds
    assert load(path, label="price", categorical="sold").column_kinds["sold"] == "categorical"
    assert load(path, label="price", date="sold").column_kinds["sold"] == "date"
    path = table(["?", "x"] * (NUM_ROWS // 2), tmp_path)
    assert load(path, label="price").column_kinds["sold"] == "categorical"


def test_find_format_says_nothing_of_words_and_codes():
    for words in (["1.10.12", "1.2.100"], ["12 Elm 2020", "7 Oak 1999"], ["00012345"], ["a"], []):
        assert find_format(words, "c", lambda word: "row 1", is_said=False)[1] is None
    assert find_format(["20240331"], "c", lambda word: "row 1", is_said=False) == (None, None)
    assert find_format([], "c", lambda word: "row 1", is_said=True) == ("", None)


def test_every_option_that_names_columns_is_kept_and_refused_alike():
    options = ReadOptions(numeric=("a",), categorical=("b",), date=("c",), drop=("d",))
    assert options.kept_columns == ("a", "b", "c")
    with pytest.raises(OptionError, match="--numeric a and --categorical b and --date c and --dro"):
        options.refuse("this is no table")


def test_prepare_refuses_columns_that_the_model_was_not_trained_on(tmp_path):
    spec = fit_table(load(table(DAYS.strftime("%m/%d/%Y"), tmp_path), label="price"))
    other = table(EARLY_DAYS.strftime("%m/%d/%Y"), tmp_path)
    with pytest.raises(DataError) as caught:
        spec.prepare(load(other, label="price"), "test")
    assert str(caught.value) == (
        f"Column 'sold' of {other} is missing, or was left out; expected date, as in the model's "
        "training data. Add it; if it is there, load the data in Python with "
        "preprocess=run.preprocess."
    )
    with pytest.raises(DataError, match=r"'sold' of .* was read as categorical; expected date, as"):
        spec.prepare(load(other, label="price", categorical="sold"), "test")
    with pytest.raises(DataError) as caught:  # day first, when nothing tells
        spec.prepare(load(other, label="price", date="sold"), "test")
    assert str(caught.value) == (
        f"Column 'sold' of {other} was read as dates such as 31/03/2024; expected dates such as "
        "03/31/2024, as in the model's training data. Write them as 2024-03-31, or load the data "
        "in Python with preprocess=run.preprocess."
    )
    data = load(other, label="price", preprocess=spec)  # these dates alone would be categories
    assert data.date_formats == {"sold": "%m/%d/%Y"}
    assert cells_of(data) == EARLY_DAYS.to_pydatetime().tolist()
    assert len(spec.prepare(data, "test")) == len(data.test)
    other = table(EARLY_DAYS.strftime("%Y-%m-%d"), tmp_path)
    data = load(other, label="price")
    assert len(spec.prepare(data, "test")) == len(data.test)
    flags = pd.read_csv(other).assign(rooms=["yes", "no"] * (len(EARLY_DAYS) // 2))
    spec = fit_table(load(flags, label="price"))
    assert len(spec.prepare(load(flags.replace({"yes": 1, "no": 0}), label="price"), "test"))
    flags = flags.assign(rooms="yes", more=["1", "2", "?", "x"] * (len(flags) // 4))
    with pytest.raises(
        DataError, match=r"'rooms' .* is missing, or was left out; expected boolean"
    ):
        spec.prepare(load(flags, label="price"), "test")
    data = load(flags, label="price", preprocess=spec)
    assert dict(data.column_kinds) == {"sold": "date", "rooms": "boolean"}
    assert data.test.samples.read(0)["rooms"] is True
    assert len(spec.prepare(data, "test")) == len(data.test)
    with pytest.raises(DataError, match=r"'rooms' .* was read as categorical; expected boolean"):
        spec.prepare(load(flags, label="price", preprocess=spec, categorical="rooms"), "test")
    with pytest.raises(
        DataError, match=r"'rooms' holds 'maybe' in row 1 .*; expected true or fals"
    ):
        load(flags.assign(rooms="maybe"), label="price", preprocess=spec)


def test_a_year_of_two_digits_that_lies_in_the_future_is_said(tmp_path):
    born = pd.date_range("1941-03-01", periods=30, freq="97D")
    data = load(table(born.strftime("%d.%m.%y"), tmp_path), label="price")
    assert any(
        "in the future: if it is past, write years with four digits" in n for n in data.notes
    )
    data = load(table(born.strftime("%d.%m.%Y"), tmp_path), label="price")  # as it says
    assert not any("future" in note for note in data.notes)
    assert cells_of(data)[0].year == 1941


@pytest.mark.parametrize("clock", ["", " %H:%M"])
def test_days_and_months_of_two_digits_that_nothing_tells_apart_are_asked_about(tmp_path, clock):
    written = EARLY_DAYS.strftime(f"%d/%m/%y{clock}")
    data = load(table(written, tmp_path), label="price")
    assert any("none of them shows which number is the month" in note for note in data.notes)
    said = load(table(written, tmp_path), label="price", date="sold")  # as it says
    assert cells_of(said)[0].date() == EARLY_DAYS[0].date()
