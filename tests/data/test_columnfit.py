"""The preprocessing of tables: fitted by scikit-learn, applied in NumPy, equal to its own."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from headstart.data import load
from headstart.errors import DataError
from headstart.preprocessing import TablePreprocess, columns, feature_names, fit_table
from headstart.preprocessing.columns import fit_columns, to_cells
from headstart.types import Column, Finding, TableSpec

RNG = np.random.default_rng(0)
NUM_ROWS = 400


def table():
    numbers = RNG.normal(5, 3, NUM_ROWS)
    with_holes = np.where(RNG.random(NUM_ROWS) < 0.2, np.nan, RNG.lognormal(size=NUM_ROWS))
    words = RNG.choice(["red", "green", "blue", "grey"], NUM_ROWS, p=[0.5, 0.3, 0.18, 0.02])
    return pd.DataFrame(
        {
            "a": numbers,
            "b": with_holes,
            "colour": np.where(RNG.random(NUM_ROWS) < 0.1, None, words),
            "ok": RNG.random(NUM_ROWS) < 0.7,
            "day": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(RNG.integers(0, 900, NUM_ROWS), "D"),
            "y": numbers * 3 + RNG.normal(size=NUM_ROWS),
        }
    )


@pytest.fixture(scope="module")
def data():
    return load(table(), label="y")


def frame(split):
    return split.samples.columns().to_pandas()


def test_to_cells_equals_scikit_learn(data):
    """Parity with SimpleImputer, StandardScaler and OrdinalEncoder, fitted on train."""
    spec = fit_columns(data)
    train, test = frame(data.train), frame(data.test)
    numbers, codes = to_cells(spec, data.test.samples.columns())
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    scaled.fit(train[["a", "b"]])
    assert numbers.dtype == np.float32
    np.testing.assert_array_equal(
        numbers[:, :2], scaled.transform(test[["a", "b"]]).astype(np.float32)
    )
    indicator = SimpleImputer(add_indicator=True).fit(train[["b"]])
    np.testing.assert_array_equal(numbers[:, 2], indicator.transform(test[["b"]])[:, 1])
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=2)
    encoder.fit(train[["colour"]].fillna(""))
    expected = encoder.transform(test[["colour"]].fillna(""))[:, 0] + 1
    np.testing.assert_array_equal(codes[:, 0], expected)
    assert codes.dtype == np.int64
    np.testing.assert_array_equal(numbers[:, 3], test["ok"])


def test_to_cells_gives_days_months_and_weekdays(data):
    spec = fit_columns(data)
    numbers, _ = to_cells(spec, data.val.samples.columns())
    day = next(column for column in spec.columns if column.name == "day")
    raw = numbers[:, 4:7] * np.asarray(day.scale) + np.asarray(day.mean)
    days = frame(data.val)["day"]
    expected = [(days - pd.Timestamp("1970-01-01")).dt.days, days.dt.month, days.dt.day_of_week]
    np.testing.assert_allclose(raw, np.stack(expected, axis=1), atol=2e-3)


def test_fit_table_learns_from_train_alone(data):
    spec = fit_columns(data)
    train = frame(data.train)
    a, b = spec.columns[:2]
    assert a.mean == (pytest.approx(train["a"].mean()),)
    assert b.fill == pytest.approx(train["b"].median())
    assert (a.has_missing, b.has_missing) == (False, True)
    assert a.edges == pytest.approx(np.quantile(train["a"], np.linspace(0, 1, 33)))
    assert (a.edges[0], a.edges[-1]) == (train["a"].min(), train["a"].max())
    again = fit_columns(data)
    assert again == spec
    assert json.loads(json.dumps(asdict(spec)))["columns"][0]["name"] == "a"


def test_fit_table_puts_rare_and_surplus_categories_into_one():
    words = [f"w{i:03d}" for i in range(300) for _ in range(3 if i < 280 else 1)] * 2
    rows = pd.DataFrame(
        {"w": words, "x": RNG.normal(size=len(words)), "y": RNG.normal(size=len(words))}
    )
    spec = fit_columns(load(rows, label="y", categorical="w"))
    assert len(spec.columns[0].categories) == 254
    _, codes = to_cells(spec, load(rows, label="y", categorical="w").train.samples.columns())
    assert (codes.min(), codes.max()) == (0, 254)
    once = [*["a", "b"] * 40, *[f"only {i}" for i in range(5)]]
    rows = pd.DataFrame({"w": once, "x": RNG.normal(size=85), "y": RNG.normal(size=85)})
    assert fit_columns(load(rows, label="y")).columns[0].categories == ("a", "b")


def test_to_cells_counts_a_missing_category_as_one_of_its_own(data):
    spec = fit_columns(data)
    colour = next(column for column in spec.columns if column.name == "colour")
    assert colour.has_missing
    assert colour.categories[0] == ""
    _, codes = to_cells(spec, data.train.samples.columns())
    np.testing.assert_array_equal(codes[:, 0] == 1, frame(data.train)["colour"].isna())


def test_to_cells_of_one_kind_alone_keeps_empty_arrays():
    rows = pd.DataFrame({"x": RNG.normal(size=50), "y": RNG.normal(size=50)})
    one = load(rows, label="y")
    numbers, codes = to_cells(fit_columns(one), one.test.samples.columns())
    assert (numbers.shape, codes.shape) == ((10, 1), (10, 0))
    words = load(rows.assign(x=["a", "b"] * 25), label="y")
    numbers, codes = to_cells(fit_columns(words), words.test.samples.columns())
    assert (numbers.shape, codes.shape) == ((10, 0), (10, 1))


def test_feature_names_follow_the_arrays(data):
    spec = fit_columns(data)
    names = feature_names(spec)
    assert names == [
        *("a", "b", "b is missing", "ok", "day (days)", "day (month)", "day (weekday)"),
        "colour",
    ]
    cells = TablePreprocess(spec).prepare(data, "test")
    numbers, codes = cells.arrays(np.array([0, 1]))
    assert numbers.shape[1] + codes.shape[1] == len(names)


def test_fit_table_refuses_what_is_no_table():
    with pytest.raises(DataError, match="digits-8x8 holds image samples; expected a table"):
        fit_table(load("digits-8x8"))


def test_to_cells_fills_a_missing_number_that_train_never_lacked():
    spec = TableSpec((Column("a", "numeric", fill=7.0, mean=(5.0,), scale=(2.0,)),))
    numbers, _ = to_cells(spec, pa.table({"a": pa.array([None, 9.0])}))
    assert numbers.tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("known", "codes"),
    [
        (("1", "2"), [1, 1, 1, 2, 0, 0, 0]),
        (("1.0", "2.0"), [1, 1, 1, 2, 0, 0, 0]),
        (("1", "1.0"), [1, 2, 0, 0, 0, 0, 0]),  # train tells them apart, and lacks 1.00
        (("001", "1.5", "one"), [1, 1, 1, 0, 1, 2, 0]),  # programs lose leading zeros
    ],
)
def test_to_cells_reads_a_whole_number_with_or_without_its_point(known, codes):
    spec = TableSpec((Column("code", "categorical", categories=known),))
    cells = pa.table({"code": ["1", "1.0", "1.00", "2.0", "001", "1.5", None]})
    assert to_cells(spec, cells)[1][:, 0].tolist() == codes


def test_prepare_says_which_categories_train_lacked_but_for_train_itself():
    rows = pd.DataFrame({"w": ["a", "b"] * 30, "x": RNG.normal(size=60), "y": RNG.normal(size=60)})
    own = fit_table(load(rows, label="y"))
    other = load(rows.assign(w=["a", "c"] * 30), label="y", preprocess=own)
    num = (frame(other.test)["w"] == "c").sum()
    names = [other.test.samples.name(i) for i in np.flatnonzero(frame(other.test)["w"] == "c")]
    sentence = f"Column 'w' holds categories unknown to the model in {num} rows: 'c'."
    found = own.prepare(other, "test").findings
    assert found == [Finding("unseen", "warning", names, sentence)]
    assert own.prepare(other, "train").findings == []


def test_columns_are_fitted_once_for_all_starts(monkeypatch):
    data = load((np.arange(40.0).reshape(20, 2), [0, 1] * 10))
    fitted, fit = [], columns._fit
    monkeypatch.setattr(columns, "_fit", lambda *args: fitted.append(args[0]) or fit(*args))
    assert fit_table(data) == fit_table(data)
    assert fitted == ["x0", "x1"]
    read_otherwise = replace(data, column_kinds={"x0": "numeric", "x1": "categorical"})
    assert [c.kind for c in fit_table(read_otherwise).spec.columns] == ["numeric", "categorical"]
