"""A list that ``check --fix`` writes is taken by ``fit``, and what lists cannot do is said."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import DataError
from headstart.preprocessing import fit_table

SKIP = ["drift", "doubtful-labels", "shortcuts"]


def pictures(folder: Path, shade: dict[str, list[int]], splits: bool = False) -> Path:
    """Write grey pictures of one colour each, or noise where the shade is negative."""
    for label, shades in shade.items():
        for i, value in enumerate(shades):
            side = ("train" if i % 3 else "test") if splits else ""
            path = folder / side / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng([i, ord(label[0])]).integers(0, 256, (16, 16, 3))
            pixels = noise if value < 0 else np.full((16, 16, 3), value)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def twins(folder: Path, number: int = 30) -> Path:
    """Write a table of which each row of test stands in train, too."""
    x = np.random.default_rng(0).normal(size=(number, 4))
    rows = pd.DataFrame(np.vstack([x, x]), columns=list("abcd"))
    rows["label"] = np.tile([("u", "v")[i % 2] for i in range(number)], 2)
    rows["split"] = ["train"] * number + ["test"] * number
    rows.to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def read(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


HOPELESS = ("all alike", "train is in test")
SOURCES = {
    "all alike": lambda f: pictures(f / "p", {"a": [90] * 15, "b": [90] * 15}),
    "one class alike": lambda f: pictures(f / "p", {"a": [90] * 15, "b": [-1] * 15}),
    "two shades": lambda f: pictures(f / "p", {"a": [20] * 15, "b": [230] * 15}),
    "alike in brought splits": lambda f: pictures(f / "p", {"a": [9] * 15, "b": [-1] * 15}, True),
    "train is in test": twins,
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_list_is_taken_where_nearly_nothing_differs(name: str, tmp_path: Path) -> None:
    source = str(SOURCES[name](tmp_path))
    listed = str(tmp_path / "fixes.csv")
    hs.check(source, fix=listed, out=str(tmp_path / "out"), skip=SKIP)
    if name in HOPELESS:
        assert any(row["reason"].startswith("nothing is done, since") for row in read(listed))
    data = hs.load(source, fixes=listed)
    assert min(len(data.train), len(data.val), len(data.test)) > 0


def test_what_can_be_mended_is_beside_what_cannot(tmp_path: Path) -> None:
    rows = pd.read_csv(twins(tmp_path))
    more = pd.DataFrame(np.random.default_rng(1).normal(size=(20, 4)), columns=list("abcd"))
    more["label"], more["split"] = ["u", "v"] * 10, "train"
    pd.concat([rows, more]).to_csv(tmp_path / "rows.csv", index=False)
    source, listed = str(tmp_path / "rows.csv"), str(tmp_path / "fixes.csv")
    hs.check(source, fix=listed, out=str(tmp_path / "out"), skip=SKIP)
    assert {row["action"] for row in read(listed)} == {"leave out"}
    assert len(read(listed)) == 30
    data = hs.load(source, fixes=listed)
    assert len(data.train) + len(data.val) == 20
    assert not any(finding.kind == "leak" for finding in data.findings)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_list_that_leaves_too_little_of_a_class_is_named(tmp_path: Path, left: int) -> None:
    source = pictures(tmp_path / "p", dict.fromkeys("abc", [-1] * 12))
    rows = [f"c/{i}.png,leave out" for i in range(12 - left)]
    (tmp_path / "mine.csv").write_text("\n".join(["sample,action", *rows]))
    with pytest.raises(DataError, match=r"Class 'c' has .*mine\.csv' leaves out"):
        hs.load(str(source), fixes=str(tmp_path / "mine.csv"))
    for file in (source / "c").iterdir():
        file.unlink()
    (source / "c").rmdir()
    (tmp_path / "mine.csv").write_text("sample,action\na/0.png,leave out")
    assert hs.load(str(source), fixes=str(tmp_path / "mine.csv")).schema.classes == ("a", "b")


@pytest.mark.parametrize("target", ["..", "../b", "../../p", "../b/deep"])
def test_links_out_of_a_class_are_not_read_as_it(tmp_path: Path, target: str) -> None:
    source = pictures(tmp_path / "p", {"a": [-1] * 12, "b": [-1] * 12})
    (source / "b" / "deep").mkdir()
    (source / "b" / "0.png").rename(source / "b" / "deep" / "0.png")
    (source / "a" / "link").symlink_to(target)
    data = hs.load(str(source))
    assert len(data.train) + len(data.val) + len(data.test) == 24
    assert any("'a/link'" in finding.sentence for finding in data.findings)


def test_links_to_elsewhere_are_followed(tmp_path: Path) -> None:
    source = pictures(tmp_path / "p", {"a": [-1] * 12, "b": [-1] * 12})
    more = pictures(tmp_path / "more", {"x": [-1] * 5})
    (source / "a" / "link").symlink_to(more / "x")
    data = hs.load(str(source))
    assert len(data.train) + len(data.val) + len(data.test) == 29


def thresholds(number: int = 300) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, number))
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.permutation(number), unit="D")
    return {
        "threshold": pd.DataFrame({"x": x, "z": z, "label": np.where(x > 0.3, "hi", "lo")}),
        "steps": pd.DataFrame({"x": x, "z": z, "label": pd.cut(x, 4, labels=list("abcd"))}),
        "day": pd.DataFrame({"x": days, "z": z, "label": np.where(days < "2024-05-01", "o", "n")}),
        "half": pd.DataFrame({"x": x, "z": z, "label": np.where(abs(x) > 0.7, "out", "in")}),
    }


@pytest.mark.parametrize("name", thresholds())
def test_a_threshold_of_a_column_is_a_warning(name: str, tmp_path: Path) -> None:
    data = hs.load(thresholds()[name].astype({"label": str}))
    checked = hs.check(data, out=str(tmp_path / "out"), skip=SKIP)
    told = [f for f in checked.findings if "Column 'x' alone" in f.sentence]
    assert [found.severity for found in told] == ["warning"]
    assert "--drop x" in told[0].sentence
    rest = hs.load(thresholds()[name].astype({"label": str}), drop=["x"])
    assert not [f for f in hs.check(rest, skip=SKIP).findings if "alone" in f.sentence]


def test_a_good_column_stays_a_note(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=600)
    label = np.where(x + rng.normal(0, 0.15, 600) > 0, "hi", "lo")
    frame = pd.DataFrame({"x": x, "z": rng.normal(size=600), "label": label})
    checked = hs.check(hs.load(frame), out=str(tmp_path / "out"), skip=SKIP)
    told = [f.severity for f in checked.findings if "Column 'x' alone" in f.sentence]
    assert told in ([], ["note"])


def test_periods_are_dates() -> None:
    frame = pd.DataFrame(
        {
            "month": pd.period_range("2015-01", periods=96, freq="M"),
            "quarter": pd.period_range("2000Q1", periods=96, freq="Q"),
            "day": pd.period_range("2024-01-01", periods=96, freq="D"),
            "year": pd.period_range("1900", periods=96, freq="Y"),
            "label": ["a", "b"] * 48,
        }
    )
    data = hs.load(frame)
    assert dict(data.column_kinds or {}) == dict.fromkeys(frame.columns[:-1], "date")
    read, rows = fit_table(data), frame.drop(columns="label")
    numbers = read.read(rows).numbers
    assert (numbers == read.read(rows.to_dict("records")).numbers).all()
    dates = rows.apply(lambda column: column.dt.to_timestamp())
    assert (numbers == read.read(dates).numbers).all()


def test_next_after_a_report_and_an_export_is_what_answers(tmp_path: Path) -> None:
    from headstart.events import listen

    rows = pd.DataFrame({"a": range(60), "b": range(60), "label": ["u", "v"] * 30})
    rows["day"] = pd.date_range("2024-01-01", periods=60)[::-1]
    run = hs.finetune(
        partial(hs.load, rows, numeric=["a"]), start="scratch/linear", out=str(tmp_path / "run")
    )
    told: list[str] = []
    with listen(lambda kind, fields: told.append(str(fields["command"])) if kind == "next" else 0):
        hs.report(run)
    assert told == [f"headstart predict {run.path} FILE.csv"]
    page = (run.path / "report.html").read_text()
    assert "2024-0" in page
    assert "00:00:00" not in page
