"""Numbers and gaps as people write them, in every container alike; what is new at predict time."""

import datetime
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headstart.data import load
from headstart.errors import DataError
from headstart.preprocessing import fit_table, read_preprocess
from headstart.preprocessing.numbers import find_number_format, read_number

NUM_ROWS = 60
RNG = np.random.default_rng(0)
AMOUNTS = np.round(RNG.uniform(900, 90_000, NUM_ROWS), 2)


def grouped(mark, decimal):
    return [f"{x:,.2f}".replace(",", "_").replace(".", decimal).replace("_", mark) for x in AMOUNTS]


def frame_of(cells, **columns):
    target = np.where(np.arange(NUM_ROWS) % 2, "yes", "no")
    other = np.tile(np.arange(7.0), 9)[:NUM_ROWS] + 0.5
    return pd.DataFrame({"x": cells, "other": other, **columns, "label": target})


def every_container(frame, folder):
    frame.to_csv(folder / "a.csv", index=False)
    frame.to_parquet(folder / "a.parquet", index=False)
    return [folder / "a.csv", folder / "a.parquet", frame]


WRITTEN = {
    "comma, point": grouped(",", "."),
    "point, comma": grouped(".", ","),
    "blank, comma": grouped("\u202f", ","),
    "blank, point": grouped(" ", "."),
    "apostrophe": grouped("'", "."),
    "curly apostrophe": grouped("’", "."),
    "dollar": ["$" + x for x in grouped(",", ".")],
    "euro": [x + " €" for x in grouped(".", ",")],
    "franc": ["CHF " + x for x in grouped("'", ".")],
}


@pytest.mark.parametrize("cells", WRITTEN.values(), ids=WRITTEN)
def test_numbers_are_read_as_written_in_every_container_and_at_predict_time(cells, tmp_path):
    frame = frame_of(cells)
    for source in every_container(frame, tmp_path):
        data = load(source, label="label")
        assert data.column_kinds["x"] == "numeric"
        assert any("'x'" in note and "is read as" in note for note in data.notes)
        found = np.concatenate(
            [
                split.samples.columns().column("x").to_numpy()
                for split in (data.train, data.val, data.test)
            ]
        )
        assert sorted(found) == sorted(AMOUNTS)
        read = fit_table(data)
        rows = frame.drop(columns="label")
        ways = [read.read(rows), read.read(rows.to_dict("records"))]
        plain = read.read(rows.assign(x=AMOUNTS))
        assert all((way.numbers == plain.numbers).all() for way in ways)
        again = load(source, label="label", preprocess=read)
        assert again.number_formats == data.number_formats


@pytest.mark.parametrize(
    ("word", "written", "number"),
    [
        ("(1,234.50)", "1,234.5", -1234.5),
        ("($12)", "", -12),
        ("$(1,234.50)", "1,234.5", -1234.5),
        ("CHF (12)", "", -12),
        ("€(3,5)", "1.234,5", -3.5),
        ("$($5)", "", None),
        ("-€ 3.5", "", -3.5),
        ("12,5 %", "1.234,5", 12.5),
        ("120-", "", -120),
        ("−7", "", -7),
        ("1,23,456", "1,234.5", 123456),
        ("1:30", "12:30", 1.5),
        ("0 days 02:15:00", "12:30", 2.25),
        ("1:30 pm", "12:30", 13.5),
        ("(5", "", None),
        ("1,23", "1,234.5", None),
        ("$5 €", "", None),
        ("10.0.0.1", "1.234,5", None),
        ("0042", "", 42),
    ],
)
def test_read_number(word, written, number):
    assert read_number(word, written) == number


@pytest.mark.parametrize(
    ("words", "has_commas", "written"),
    [
        (["950", "1,200", "1,350"], False, "1,234.5"),
        (["1500", "1,234"], False, "1.234,5"),
        (["1,234", "2,345"], True, "1.234,5"),
        (["1.234", "2.345"], True, "1.234,5"),
        (["1.234", "2.345"], False, ""),
        (["1.234.567", "12"], False, "1.234,5"),
        (["$5", "€5"], False, None),
        (["5 %", "0.05"], False, None),
        (["12.03.2024"], False, None),
    ],
)
def test_the_format_is_found_from_the_neighbours(words, has_commas, written):
    found, note = find_number_format(words, "x", has_commas=has_commas)
    assert found == written
    assert note is None or "'x'" in note


@pytest.mark.parametrize("gap", ["--", "n.a.", "#VALUE!", "missing", "NULL", "—", "not available"])
@pytest.mark.parametrize("share", [0.1, 0.7])
def test_gaps_among_numbers_are_missing_at_any_share_and_said(gap, share, tmp_path):
    cells = [gap if i < share * NUM_ROWS else str(x) for i, x in enumerate(AMOUNTS)]
    for source in every_container(frame_of(cells), tmp_path):
        data = load(source, label="label")
        assert data.column_kinds["x"] == "numeric"
        assert any("'x'" in note for note in data.notes)
    kept = load(frame_of(cells), label="label", categorical=["x"])
    assert kept.column_kinds["x"] == "categorical"


def test_words_among_numbers_are_told_with_examples(tmp_path):
    cells = [("late", "lost", "sent")[i % 3] if i % 2 else str(x) for i, x in enumerate(AMOUNTS)]
    data = load(frame_of(cells), label="label", categorical=["other"])
    (note,) = (note for note in data.notes if note.startswith("Column 'x' holds 30 numbers"))
    assert all(f"'{word}'" in note for word in ("late", "lost", "sent"))
    assert "say --categorical x" in note
    few = [*cells[:1], "late", *map(str, AMOUNTS[2:])]
    with pytest.raises(DataError, match="--categorical x"):
        load(frame_of(few), label="label")
    assert load(frame_of(few), label="label", categorical=["x", "other"]).column_kinds


@pytest.mark.parametrize("word", ["NA", "None", "null", "n/a", "N/A"])
def test_categories_and_classes_named_like_nothing_stay_in_every_container(word, tmp_path):
    cells = np.tile(["EU", word, "AS"], 20)
    frame = frame_of(cells).assign(label=np.where(np.arange(NUM_ROWS) % 3 == 1, word, "other"))
    for source in every_container(frame, tmp_path):
        data = load(source, label="label")
        assert set(data.schema.classes) == {word, "other"}
        (column,) = (c for c in fit_table(data).spec.columns if c.name == "x")
        assert word in column.categories


@pytest.mark.parametrize(
    "cells",
    [
        pd.cut(np.arange(NUM_ROWS), [-1, 20, 40, 60]),
        pd.Categorical(np.arange(NUM_ROWS) % 5),
        pd.Categorical(np.arange(NUM_ROWS) % 4 / 2),
        pd.Categorical(np.arange(NUM_ROWS) % 2 == 0),
    ],
    ids=["intervals", "whole numbers", "floats", "booleans"],
)
def test_categories_of_any_type_are_categories_and_read_from_dicts(cells):
    frame = frame_of(cells)
    data = load(frame, label="label")
    assert data.column_kinds["x"] == "categorical"
    read = fit_table(data)
    rows = frame.drop(columns="label")
    codes = read.read(rows).codes
    assert codes.min() > 0
    assert (codes == read.read(rows.to_dict("records")).codes).all()


def test_clocks_durations_and_leading_zeros(tmp_path):
    hours = [i % 24 for i in range(NUM_ROWS)]
    frame = frame_of(
        [f"{h:02d}:15" for h in hours],
        took=pd.to_timedelta(hours, unit="h"),
        at=[datetime.time(h, 15) for h in hours],
        zip=[f"{i % 6:05d}" for i in range(NUM_ROWS)],
    )
    data = load(frame, label="label")
    kinds = {name: data.column_kinds[name] for name in ("x", "took", "at", "zip")}
    assert kinds == dict.fromkeys(("x", "took", "at"), "numeric") | {"zip": "categorical"}
    table = data.train.samples.columns()
    assert table.column("x").to_pylist() == table.column("at").to_pylist()
    read = fit_table(data)
    rows = frame.drop(columns="label")
    assert (read.read(rows).numbers == read.read(rows.to_dict("records")).numbers).all()
    lost = read.read(rows.assign(zip=rows.zip.astype(int)))
    assert (lost.codes == read.read(rows).codes).all()
    assert any("'zip'" in str(finding) for finding in lost.findings)


def test_times_of_day_are_learned_as_written_in_every_container(tmp_path):
    at = pd.date_range("2024-01-01 07:00", periods=NUM_ROWS, freq="31h", tz="Asia/Tokyo")
    for source in every_container(frame_of(at), tmp_path):
        data = load(source, label="label", date=["x"])
        found = data.train.samples.columns().column("x").to_pylist()
        assert set(found) <= set(at.tz_localize(None).to_pydatetime())
        assert len(fit_table(data).spec.columns[0].mean) == 4


@pytest.mark.parametrize("name", ["__index_level_0__", "Unnamed: 0"])
def test_index_columns_are_left_out_and_said(name):
    frame = frame_of(AMOUNTS, **{name: RNG.permutation(500)[:NUM_ROWS]})
    data = load(frame, label="label")
    assert name not in data.column_kinds
    assert any(name in note for note in data.notes)
    assert name in load(frame, label="label", numeric=[name]).column_kinds


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", '"sep=;"\n', "SEP=;\n"])
def test_a_line_that_says_the_separator_is_obeyed(first, tmp_path):
    body = "a,b;x;label\n" + "".join(f"{i % 5},5;{i % 7};{'ny'[i % 2]}\n" for i in range(40))
    for head in ("", first):
        (tmp_path / "a.csv").write_text(head + body, newline="")
        assert set(load(tmp_path / "a.csv").column_kinds) == {"a,b", "x"}


def test_targets_with_decimal_commas_are_numbers(tmp_path):
    frame = frame_of(AMOUNTS, price=grouped(".", ","))
    data = load(frame, label="price")
    assert data.schema.task == "regression"
    assert set(data.test.targets.ravel()) <= set(AMOUNTS)
    said = "'price' holds numbers such as"
    assert any(said in note and "--task classification" in note for note in data.notes)


CHANGES = {
    "a gap": (lambda f: f.assign(x=np.where(f.index == 3, np.nan, f.x)), "is empty in 1 row"),
    "all gone": (lambda f: f.assign(city=None), "is empty in 60 rows"),
    "other case": (lambda f: f.assign(city=f.city.str.upper()), "read as its category 'Berlin'"),
    "other blanks": (
        lambda f: f.assign(city=f.city.replace("New York", "new-york")),
        "read as its category 'New York'",
    ),
    "typo": (lambda f: f.assign(city=f.city.replace("Berlin", "Berlim")), "Did you mean 'Berlin'"),
    "metres": (lambda f: f.assign(x=f.x * 1000), "has its unit changed"),
    "kilometres": (lambda f: f.assign(x=f.x / 1000), "has its unit changed"),
    "signed": (lambda f: f.assign(z=f.z / 100), "has its unit changed"),
    "one far": (lambda f: f.assign(x=np.where(f.index == 3, 1e9, f.x)), "far outside"),
    "future": (
        lambda f: f.assign(day=f.day + pd.Timedelta(days=900)),
        "far outside what the model was trained on in 60 rows",
    ),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
def test_what_is_missing_new_or_out_of_range_is_said(change, said):
    frame = frame_of(
        AMOUNTS,
        city=np.tile(["Berlin", "New York", "Rome"], 20),
        z=np.random.default_rng(1).normal(size=NUM_ROWS),
        day=pd.date_range("2024-01-01", periods=NUM_ROWS),
    )
    data = load(frame, label="label")
    read = fit_table(data)
    rows = frame.drop(columns="label")
    assert read.read(rows).findings == []
    changed = change(rows)
    for given in (changed, changed.to_dict("records")):
        assert said in " ".join(map(str, read.read(given).findings))
    again = load(changed.assign(label=frame.label), label="label", preprocess=read)
    found = [f for name in ("val", "test") for f in read.prepare(again, name).findings]
    if said.startswith("has its unit"):
        assert found


@pytest.mark.parametrize("trained", WRITTEN)
@pytest.mark.parametrize("given", WRITTEN)
def test_a_column_that_speaks_clearly_is_read_though_train_wrote_it_otherwise(trained, given):
    read = fit_table(load(frame_of(WRITTEN[trained]), label="label"))
    rows = [{"x": x, "other": 1.5} for x in WRITTEN[given]]
    plain = [{"x": x, "other": 1.5} for x in AMOUNTS]
    assert (read.read(rows).numbers == read.read(plain).numbers).all()


def test_one_number_that_may_be_read_two_ways_is_refused_with_what_was_expected():
    read = fit_table(load(frame_of(AMOUNTS), label="label"))
    with pytest.raises(DataError, match=r"holds '1,234' in row 1; expected a number written as 12"):
        read.read([{"x": "1,234", "other": 1.5}])
    assert len(read.read([{"x": "1234.5", "other": 1.5}]).numbers) == 1


UNITS = {
    "kg": ([f"{x} kg" for x in AMOUNTS], "1234.5 kg"),
    "cm, no blank": ([f"{x}cm" for x in AMOUNTS], "1234.5 cm"),
    "decimal comma": ([f"{x:.2f} kWh".replace(".", ",") for x in AMOUNTS], "1.234,5 kWh"),
    "several words": ([f"{x} sq ft" for x in AMOUNTS], "1234.5 sq ft"),
    "plural": ([f"{x} day{'s' if x != 1 else ''}" for x in AMOUNTS], "1234.5 days"),
    "an unknown word in every cell": ([f"{x} widgets" for x in AMOUNTS], "1234.5 widgets"),
    "some bare": ([f"{x}{' kg' if i % 3 else ''}" for i, x in enumerate(AMOUNTS)], "1234.5 kg"),
    "square": ([f"{x} m²" for x in AMOUNTS], "1234.5 m²"),
}


@pytest.mark.parametrize(("cells", "written"), UNITS.values(), ids=UNITS)
def test_one_unit_in_a_whole_column_makes_numbers_and_is_said(cells, written, tmp_path):
    for source in every_container(frame_of(cells), tmp_path):
        data = load(source, label="label")
        assert data.number_formats["x"] == written
        assert any("numbers with the unit" in note for note in data.notes)
    frame = frame_of(cells)
    read = fit_table(load(frame, label="label"))
    rows = frame.drop(columns="label")
    found = read.read(rows).numbers
    assert (found == read.read(rows.assign(x=[round(x, 2) for x in AMOUNTS])).numbers).all()
    with pytest.raises(DataError, match=r"expected a number written as"):
        read.read(rows.assign(x="7 stone"))
    again = read_preprocess(json.loads(json.dumps(read.to_json())), Path(), "run")
    assert (again.read(rows).numbers == found).all()


@pytest.mark.parametrize("pair", [("kg", "lb"), ("cm", "in"), ("kmpl", "km/kg"), ("MW", "mW")])
def test_several_units_are_said_and_each_way_out_works(pair):
    cells = [f"{x} {pair[i % 2]}" for i, x in enumerate(AMOUNTS)]
    data = load(frame_of(cells), label="label", categorical=["other"])
    (note,) = (n for n in data.notes if "several units" in n)
    assert "--numeric x" in note
    assert "--categorical x" in note
    alone = load(frame_of(cells), label="label", numeric=["x"])
    assert alone.column_kinds["x"] == "numeric"
    kept = load(frame_of(cells), label="label", categorical=["x"])
    assert kept.column_kinds["x"] == "categorical"
    one = load(frame_of([f"{x} {pair[0]}" for x in AMOUNTS]), label="label")
    assert one.column_kinds["x"] == "numeric"


@pytest.mark.parametrize(
    "cells",
    [
        [f"{i}{'ABCD'[i % 4]}" for i in range(len(AMOUNTS))],  # flats
        [f"{'QRS'[i % 3]}{i % 4}" for i in range(len(AMOUNTS))],
        [f"{i}-{i + 9} years" for i in range(len(AMOUNTS))],
        [f"{i}+ years" for i in range(len(AMOUNTS))],
        [f"{x:.3e}x{i % 3}" for i, x in enumerate(AMOUNTS)],
    ],
)
def test_codes_and_ranges_are_no_amounts(cells):
    data = load(frame_of(cells), label="label", categorical=["x"])
    plain = load(frame_of(cells), label="label")
    assert data.column_kinds["x"] == "categorical"
    assert plain.column_kinds.get("x", "categorical") == "categorical"
    assert not any("several units" in note for note in plain.notes)


@pytest.mark.parametrize(
    ("word", "hours"),
    [
        ("PT1H30M", 1.5),
        ("P1DT12H", 36),
        ("PT45M", 0.75),
        ("-PT30M", -0.5),
        ("2h 50m", 2 + 50 / 60),
        ("19h", 19),
        ("1 day 6 hours", 30),
        ("2 days 03:00:00", 51),
        ("1:30:00", 1.5),
        ("P1W", 168),
        ("PT", None),
        ("", None),
        ("P", None),
    ],
)
def test_durations_are_hours(word, hours):
    found = read_number(word, "12:30")
    assert found == (pytest.approx(hours) if hours is not None else None)


@pytest.mark.parametrize(
    "write", ["PT{0}H{1}M", "{0}h {1}m", "{0} hours {1} minutes", "{0}:{1:02d}"]
)
def test_a_column_of_durations_is_read_in_every_container(write, tmp_path):
    cells = [write.format(i % 9, 1 + 7 * i % 50) for i in range(len(AMOUNTS))]
    for source in every_container(frame_of(cells), tmp_path):
        data = load(source, label="label")
        assert data.number_formats["x"] == "12:30"
        assert any("read as hours" in note for note in data.notes)


THREE = [f"{7 + 31 * i % 900}.{(137 * i) % 1000:03d}" for i in range(NUM_ROWS)]


@pytest.mark.parametrize("times", [1, 40], ids=["few", "many rows"])
@pytest.mark.parametrize("extra", [[], ["950", "12"]], ids=["points alone", "whole ones, too"])
def test_a_point_before_three_digits_everywhere_is_said(extra, times, tmp_path, heard):
    cells = [*THREE[: NUM_ROWS - len(extra)], *extra]
    target = np.where(np.arange(NUM_ROWS * times) % 2, "yes", "no")
    frame = pd.DataFrame({"x": cells * times, "label": target})
    frame.insert(0, "other", np.arange(len(frame)) % 97 + 0.5)
    for source in every_container(frame, tmp_path):
        told = [note for note in load(source, label="label").notes if "'x'" in note]
        assert "'7.000', '38.137', '69.274'" in told[0]
        assert "'7.000' is read as 7. If the point stands between thousands" in told[0]
    # as it says: without the point
    frame["x"] = frame["x"].str.replace(".", "")
    frame.to_csv(tmp_path / "plain.csv", index=False)
    data = load(tmp_path / "plain.csv", label="label")
    assert data.column_kinds["x"] == "numeric"
    assert not [note for note in data.notes if "'x'" in note]
    heard(told[0])


def test_a_target_with_such_points_is_said(tmp_path):
    frame = pd.DataFrame({"other": np.arange(NUM_ROWS) % 7 + 0.5, "price": THREE})
    frame.to_csv(tmp_path / "a.csv", index=False)
    for source in (tmp_path / "a.csv", frame):
        data = load(source, label="price")
        assert any("'price'" in note and "between thousands" in note for note in data.notes)


@pytest.mark.parametrize(
    "one", ["0.328", "12.5", "1250", "7.0"], ids=["zero", "one", "large", "other"]
)
def test_a_cell_that_shows_decimals_leaves_nothing_to_say(one):
    cells = [*THREE[:-1], one]
    data = load(frame_of(cells), label="label")
    assert data.column_kinds["x"] == "numeric"
    assert not any("thousands" in note for note in data.notes)
