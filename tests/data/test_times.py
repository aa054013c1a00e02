"""Rows that stand in time: days between are said, and a split by time is drawn."""

import numpy as np
import pandas as pd
import pytest

from headstart.data import load, times
from headstart.errors import DataError, OptionError


def days(number=120, **columns):
    draw = np.random.default_rng(0)
    date = pd.date_range("2022-01-01", periods=number).astype(str)
    return pd.DataFrame(
        {
            "date": date,
            "promo": draw.integers(0, 2, number),
            "sales": draw.normal(size=number).cumsum(),
            **columns,
        }
    )


def panel():
    return pd.concat([days(40, store=f"s{i}") for i in range(4)])


def hourly():
    frame = days()
    return frame.assign(date=pd.date_range("2024-03-01", periods=len(frame), freq="h"))


@pytest.mark.parametrize(
    "frame",
    [days(), days()[::-1], days().sample(frac=1, random_state=0), panel(), hourly()],
    ids=["rising", "falling", "shuffled", "panel", "hourly"],
)
def test_days_between_are_said_and_the_advice_tests_on_later_ones(frame):
    frame = frame.reset_index(drop=True)
    told = [found for found in load(frame, label="sales").findings if found.kind == "time"]
    assert len(told) == 1
    assert "later days" in told[0].sentence
    assert "--split time" in told[0].sentence
    data = load(frame, label="sales", split="time")
    assert not [found for found in data.findings if found.kind == "time"]
    dates = {
        n: data.split(n).samples.columns().column("date").to_pandas()
        for n in ("train", "val", "test")
    }
    assert dates["train"].max() < dates["val"].min()
    assert dates["val"].max() < dates["test"].min()
    assert 0.15 < len(dates["test"]) / len(frame) < 0.25
    assert "latest" in data.split_origin["test"]


@pytest.mark.parametrize("way", ["random", "time"])
def test_days_are_counted_once(way, monkeypatch):
    counted = []

    def count(samples, name, read=times.times_of):
        counted.append(name)
        return read(samples, name)

    monkeypatch.setattr(times, "times_of", count)
    load(days(), label="sales", split=way)
    assert counted == ["date"]


def test_birthdays_and_few_months_say_nothing():
    draw = np.random.default_rng(0)
    born = pd.to_datetime("1950-01-01") + pd.to_timedelta(draw.integers(0, 20_000, 100), unit="D")
    for date in (born, draw.choice(["2024-01-01", "2024-02-01"], 100)):
        frame = days(100).assign(date=date)
        assert not [f for f in load(frame, label="sales").findings if f.kind == "time"]


def test_a_split_by_time_needs_dates_and_knows_which():
    frame = days()
    with pytest.raises(OptionError, match="no column of dates"):
        load(frame.drop(columns="date"), label="sales", split="time")
    with pytest.raises(OptionError, match="expected random, or time"):
        load(frame, label="sales", split="tiem")
    with pytest.raises(OptionError, match="Leave out --split"):
        load(frame, label="sales", split="time", schema=load(frame, label="sales").schema)
    with pytest.raises(OptionError, match="Leave out --group"):
        load(frame.assign(store=["a", "b"] * 60), label="sales", split="time", group="store")
    draw = np.random.default_rng(0)
    two = (
        frame.sample(frac=1, random_state=0).iloc[:70].assign(due=draw.permutation(frame.date)[:70])
    )
    with pytest.raises(DataError, match="--date date"):
        load(two, label="sales", split="time")
    data = load(two, label="sales", split="time", date=["date"])
    assert "'date'" in data.split_origin["test"]


def test_the_source_remembers_how_it_was_split(tmp_path):
    days().to_csv(tmp_path / "sales.csv", index=False)
    data = load(tmp_path / "sales.csv", label="sales", split="time")
    assert load(**data.source).fingerprint == data.fingerprint
