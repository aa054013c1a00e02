"""Table rows: what each column holds, what is left out or warned of, and every bad cell."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from headstart.data import load
from headstart.errors import DataError, OptionError
from headstart.preprocessing.rows import TableSamples

RNG = np.random.default_rng(0)
NUM_ROWS = 80


def houses(number=NUM_ROWS, **columns):
    rooms = RNG.integers(1, 9, number)
    area = RNG.normal(80, 20, number).round(2)
    table = {
        "rooms": rooms,
        "area": area,
        "city": np.array(["Paris", "Lyon", "Nice"])[RNG.integers(0, 3, number)],
        "garden": RNG.integers(0, 2, number).astype(bool),
        "built": pd.Timestamp("1990-01-01") + pd.to_timedelta(RNG.integers(0, 9999, number), "D"),
        "price": (rooms * 10 + area + RNG.normal(0, 20, number)).round(3),
    }
    return pd.DataFrame(table).assign(**columns)


KINDS = {
    "rooms": "numeric",
    "area": "numeric",
    "city": "categorical",
    "garden": "boolean",
    "built": "date",
}


def write(folder, table, kind="csv"):
    path = folder / f"houses.{kind}"
    if kind == "parquet":
        table.to_parquet(path)
    elif kind == "jsonl":
        table.assign(built=table["built"].dt.strftime("%Y-%m-%d")).to_json(
            path, orient="records", lines=True
        )
    else:
        table.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    return path


def column(data, name):
    """Return the values of a column over all splits, by row."""
    return {
        split.samples.name(i): split.samples.read(i)[name]
        for split in (data.train, data.val, data.test)
        for i in range(len(split))
    }


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "jsonl", "parquet"])
def test_load_recognises_the_columns_of_every_kind_of_file(tmp_path, kind):
    table = houses()
    data = load(write(tmp_path, table, kind), label="price")
    assert data.column_kinds == KINDS
    assert (data.schema.modality, data.schema.task, data.schema.label) == (
        "table",
        "regression",
        "price",
    )
    row = data.train.samples.read(0)
    given = table.iloc[int(data.train.samples.name(0)[4:]) - 1]
    assert row == {
        "rooms": given["rooms"],
        "area": given["area"],
        "city": given["city"],
        "garden": given["garden"],
        "built": given["built"].to_pydatetime(),
    }
    assert data.train.targets[0] == given["price"]
    assert load(table, label="price").fingerprint == data.fingerprint
    assert load(**data.source).fingerprint == data.fingerprint


def test_load_gives_equal_rows_the_same_identity_in_any_column_order():
    table = houses()
    data = load(table, label="price")
    shuffled = load(table[["price", "built", "city", "garden", "area", "rooms"]], label="price")
    assert shuffled.fingerprint == data.fingerprint
    changed = table.copy()
    changed.loc[3, "city"] = "Metz"
    assert load(changed, label="price").fingerprint != data.fingerprint
    ids = np.concatenate([data.train.ids, data.val.ids, data.test.ids])
    assert len(np.unique(ids)) == NUM_ROWS


def test_load_honours_said_kinds_and_dropped_columns(tmp_path):
    path = write(tmp_path, houses(zip=[f"0{i % 5}100" for i in range(NUM_ROWS)]))
    assert load(path, label="price").column_kinds["zip"] == "categorical"  # leading zeros
    data = load(path, label="price", numeric="zip", categorical=["rooms"], drop=["area", "built"])
    assert data.column_kinds == {
        "rooms": "categorical",
        "city": "categorical",
        "garden": "boolean",
        "zip": "numeric",
    }
    assert set(column(data, "zip").values()) == {100.0, 1100.0, 2100.0, 3100.0, 4100.0}
    assert set(column(data, "rooms").values()) == {str(i) for i in range(1, 9)}
    assert json.loads(json.dumps(data.source))["categorical"] == ["rooms"]
    assert load(**data.source).fingerprint == data.fingerprint
    with pytest.raises(OptionError, match=r"'aera' of --drop is missing .* Did you mean 'area'"):
        load(path, label="price", drop=["aera"])
    with pytest.raises(OptionError, match="'area' is given as numeric and as drop; expected one"):
        load(path, label="price", numeric=["area"], drop=["area"])
    with pytest.raises(OptionError, match="'price' is given as label and as numeric"):
        load(path, label="price", numeric=["price"])


def test_load_names_the_word_among_numbers(tmp_path):
    words = [str(i * 3) for i in range(NUM_ROWS)]
    words[16] = "abc"
    path = write(tmp_path, houses(size=words))
    with pytest.raises(DataError) as caught:
        load(path, label="price")
    assert str(caught.value) == (
        "Column 'size' holds 'abc' in row 17 of houses.csv, where 79 other cells are numbers. "
        "Correct it, leave the cell empty, or say --categorical size (or --drop size)."
    )
    with pytest.raises(DataError, match=r"'size' holds 'abc' in row 17 .*; expected a number or"):
        load(path, label="price", numeric=["size"])
    assert load(path, label="price", categorical=["size"]).column_kinds["size"] == "categorical"
    codes = [str(i % 4) for i in range(NUM_ROWS)]
    codes[4] = "X"
    data = load(houses(code=codes), label="price")
    assert data.column_kinds["code"] == "categorical"
    assert (
        "Column 'code' holds 4 different numbers and words such as 'X' (row 5 of the DataFrame): "
        "read as categories."
    ) in data.notes


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_load_names_the_row_of_an_infinite_value(tmp_path, value):
    table = houses()
    table.loc[[7, 9], "area"] = value
    for source in (table, write(tmp_path, table), write(tmp_path, table, "parquet")):
        with pytest.raises(DataError, match=rf"'area' holds {value} in row 8 of .* and 1 more row"):
            load(source, label="price")


def test_load_names_the_row_of_a_missing_or_infinite_target():
    for value, words in ((np.nan, "is empty or NaN"), (np.inf, "holds inf")):
        table = houses()
        table.loc[11, "price"] = value
        with pytest.raises(DataError, match=f"'price' {words} in row 12 of the DataFrame"):
            load(table, label="price")


def test_load_counts_missing_cells(tmp_path):
    table = houses(odd=["?" if i % 10 == 0 else str(i * i) for i in range(NUM_ROWS)])
    table.loc[::4, "city"] = None
    table.loc[::8, "area"] = np.nan
    data = load(write(tmp_path, table), label="price")
    assert data.column_kinds["odd"] == "numeric"
    said = "Column 'odd' holds '?' in 8 rows: they count as missing."
    assert any(note.startswith(said) for note in data.notes)
    note = next(note for note in data.notes if note.startswith("Missing cells in the 54 training"))
    cells = data.train.samples.columns()
    for name in ("city", "area", "odd"):
        number = cells.column(name).null_count
        assert f"'{name}' {number} ({number / 54:.1%})" in note
    assert column(data, "area")["row 1"] is None


def test_load_leaves_out_identifiers_and_constants_by_name():
    table = houses(
        house_id=RNG.permutation(NUM_ROWS) * 17,
        run=np.arange(NUM_ROWS) + 500,
        code=[f"H-{i:04d}" for i in range(NUM_ROWS)],
        country="France",
        nothing=None,
        population=RNG.permutation(NUM_ROWS * 50)[:NUM_ROWS],
    )
    data = load(table, label="price")
    assert set(data.column_kinds) == {*KINDS, "population"}
    kinds = "3 numeric, 1 categorical, 1 boolean, 1 date"
    assert f"Rows of a table: 6 input columns ({kinds})." in data.notes
    assert data.train.samples.columns().column_names == list(data.column_kinds)
    said = " ".join(data.notes)
    assert "Left out columns 'country', 'nothing': no two training rows differ there." in said
    for name, kind in (("house_id", "numeric"), ("run", "numeric"), ("code", "categorical")):
        assert f"Left out column '{name}': every row has its own value" in said
        assert f"(keep it with --{kind} {name})" in said
    kept = load(table, label="price", numeric=["run"], categorical=["code", "country"])
    assert {"run", "code", "country"} < set(kept.column_kinds)


def test_load_keeps_the_only_column_even_if_it_runs_on():
    data = load(pd.DataFrame({"t": np.arange(100), "y": np.sqrt(np.arange(100) + 0.5)}), label="y")
    assert data.column_kinds == {"t": "numeric"}
    assert not any("Left out" in note or "predicts" in note for note in data.notes)


@pytest.mark.parametrize(
    "leak",
    [
        lambda t: t["price"] * 2 + 1,
        lambda t: (t["price"] // 6).astype(int).astype(str).map(lambda word: f"c{word}"),
    ],
    ids=["number", "word"],
)
def test_load_warns_of_a_column_that_gives_the_target_away(leak):
    table = houses(1500)
    data = load(table.assign(after=leak(table)), label="price")
    warned = [note for note in data.notes if "almost perfectly" in note]
    assert warned == [
        "Column 'after' alone predicts 'price' almost perfectly. If it is not known when the model "
        "is used, it leaks the answer: leave it out with --drop after."
    ]
    assert "after" in data.column_kinds


def test_load_warns_of_a_column_that_gives_the_class_away():
    sold = np.array(["no", "yes"])[(np.arange(NUM_ROWS) % 8 == 0).astype(int)]
    when = pd.Series(pd.Timestamp("2024-05-01"), index=range(NUM_ROWS)).where(sold == "yes")
    paid = np.where(sold == "yes", "cash", np.where(np.arange(NUM_ROWS) % 3, "none", "open"))
    data = load(houses(sold=sold, when=when, paid=paid), label="sold")
    warned = {note.split("'")[1] for note in data.notes if "almost perfectly" in note}
    assert warned == {"when", "paid"}
    assert not any(
        "almost perfectly" in note for note in load(houses(sold=sold), label="sold").notes
    )


def test_load_drops_the_column_that_names_the_classes():
    labels = RNG.integers(0, 3, NUM_ROWS)
    names = np.array(["low", "mid", "high"])[labels]
    data = load(houses(label=labels, class_name=names))
    assert data.schema.classes == ("low", "mid", "high")
    assert "class_name" not in data.column_kinds


def test_load_leaves_out_rows_without_any_value():
    table = houses().astype(object)
    table.loc[[5], list(KINDS)] = None
    data = load(table, label="price", max_bad_fraction=0.05)
    assert [(bad.name, bad.reason) for bad in data.bad_samples] == [
        ("row 6", "every cell of the row is empty")
    ]
    with pytest.raises(DataError, match="1 of 80 rows of DataFrame"):
        load(table, label="price")


def test_load_reads_arrow_types_and_names_those_it_cannot_use():
    table = houses()
    arrow = pa.table(
        {
            "rooms": pa.array(table["rooms"], pa.int8()),
            "area": pa.array([str(value) for value in table["area"]]).cast(pa.decimal128(9, 2)),
            "city": pa.array(table["city"].tolist()).dictionary_encode(),
            "built": pa.array(table["built"].dt.date.tolist(), pa.date32()),
            "seen": pa.array(
                [datetime.datetime(2024, 1, 1 + i % 9, tzinfo=datetime.UTC) for i in range(80)],
                pa.timestamp("ns", "UTC"),
            ),
            "tags": pa.array([["a"]] * NUM_ROWS),
            "price": pa.array(table["price"].tolist()),
        }
    )
    data = load(arrow, label="price")
    assert data.column_kinds == {
        "rooms": "numeric",
        "area": "numeric",
        "city": "categorical",
        "built": "date",
        "seen": "date",
    }
    assert any(note.startswith("Left out column 'tags': it holds list<") for note in data.notes)
    assert column(data, "seen")["row 3"] == datetime.datetime(2024, 1, 3)


def test_load_joins_split_files_and_names_a_missing_column(tmp_path):
    table = houses()
    table[:60].to_csv(tmp_path / "train.csv", index=False)
    test = table[60:].assign(rooms=table["rooms"][60:] + 0.5, extra=1)
    test.to_parquet(tmp_path / "test.parquet")
    data = load(tmp_path, label="price")
    assert len(data.test) == 20
    assert data.test.samples.name(0) == "test.parquet row 1"
    assert "Columns that train.csv lacks are not used: 'extra'." in data.notes
    test.drop(columns="area").to_parquet(tmp_path / "test.parquet")
    with pytest.raises(DataError) as caught:
        load(tmp_path, label="price")
    assert "Column 'area' of train.csv is missing in test.parquet (found: " in str(caught.value)
    assert str(caught.value).endswith("Add it, or leave it out with --drop area.")
    assert "area" not in load(tmp_path, label="price", drop="area").column_kinds


def test_load_refuses_tables_without_inputs(tmp_path):
    with pytest.raises(DataError, match=r"and none whose values differ, .*'a', 'price'"):
        load(pd.DataFrame({"a": [1] * 80, "price": houses()["price"]}), label="price")
    with pytest.raises(DataError, match=r"\(found: 'price'\). Name the column with --image-column"):
        load(pd.DataFrame({"price": houses()["price"]}), label="price")
    twice = houses()
    twice.columns = ["rooms", "area", "city", "area", "built", "price"]
    with pytest.raises(DataError, match=r"2 columns called 'area' \(columns 2, 4\)"):
        load(twice, label="price")


def test_load_reads_arrays_of_numbers_as_tables():
    X = RNG.normal(size=(60, 3))
    y = X @ [1.0, 2.0, 3.0]
    data = load((X, y))
    assert data.column_kinds == {"x0": "numeric", "x1": "numeric", "x2": "numeric"}
    assert data.schema.task == "regression"
    assert data.train.samples.name(0).startswith("X[")
    for same in (torch.from_numpy(X), X.tolist()):
        assert load((same, y)).fingerprint == data.fingerprint
    assert load((X, torch.from_numpy(y)[:, None])).fingerprint == data.fingerprint
    assert load((X[:, 0], y)).column_kinds == {"x0": "numeric"}
    mixed = np.array([[i % 7, "ab"[i % 2]] for i in range(60)], dtype=object)
    assert load((mixed, y)).column_kinds == {"x0": "numeric", "x1": "categorical"}
    said = load((X.round(), y), categorical="x1", drop="x2")
    assert said.column_kinds == {"x0": "numeric", "x1": "categorical"}
    with pytest.raises(OptionError, match="Column 'x9' of --drop is missing in X"):
        load((X, y), drop=["x9"])
    with pytest.raises(DataError, match=r"Column 'x1' holds inf in X\[4\]"):
        load((np.where(np.arange(180).reshape(60, 3) == 13, np.inf, X), y))
    with pytest.raises(DataError, match="X holds complex128; expected real numbers, words or da"):
        load((X * 1j, y))
    with pytest.raises(DataError, match=r"X holds a dict in X\[0\]; expected numbers or words"):
        load(([{"a": 1}] * 60, y))
    with pytest.raises(DataError, match="more than 1,000 columns are rather flattened images"):
        load((np.zeros((4, 1001)), [0, 1, 0, 1]))
    with pytest.raises(DataError, match="holds bytes, which can be flattened images or numbers"):
        load((np.zeros((4, 64), np.uint8), [0, 1, 0, 1]))


def test_load_reads_four_points_of_a_line():
    data = load((torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([2.0, 4.0, 6.0, 8.0])))
    assert data.schema.task == "regression"
    assert [len(part) for part in (data.train, data.val, data.test)] == [2, 1, 1]
    assert data.column_kinds == {"x0": "numeric"}


def test_load_reads_a_frame_with_its_targets_beside_it():
    table = houses()
    X, y = table.drop(columns="price"), table["price"]
    data = load((X, y))
    assert data.schema.label == "price"
    assert data.fingerprint == load(table, label="price").fingerprint
    assert load((X, y.tolist())).schema.label == "target"
    with pytest.raises(DataError, match="also the name of y"):
        load((table, y))
    with pytest.raises(DataError, match="X has 80 rows and y 79 targets"):
        load((X, y[:-1]))


def test_table_samples_stay_tables_when_taken():
    samples = TableSamples(pa.table({"a": [1.0, None, 3.0]}), ["r1", "r2", "r3"])
    part = samples.take(np.array([2, 1]))
    assert (len(part), part.read(0), part.read(1), part.name(0)) == (
        2,
        {"a": 3.0},
        {"a": None},
        "r3",
    )
    assert part.columns(np.array([1])).to_pydict() == {"a": [None]}
