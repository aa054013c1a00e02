"""What is found of data, as records: in the data set, in ``data.json``, and as it is said."""

from __future__ import annotations

import json
import re
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.events import listen
from headstart.types import Finding, FindingKind, Severity
from headstart.types.findings import MAX_ITEMS


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_a_note_is_its_sentence_and_a_record_comes_back_as_it_was():
    found = Finding("leak", "warning", ["a", "b"], "Column 'x' tells the answer.")
    assert str(found) == "Column 'x' tells the answer."
    assert found.items == ("a", "b")
    assert Finding(**json.loads(json.dumps(found.to_json()))) == found


def test_items_are_the_first_hundred():
    names = [str(i) for i in range(MAX_ITEMS + 50)]
    assert Finding("unreadable", "warning", names, "Many.").items == tuple(names[:100])


def houses() -> pd.DataFrame:
    draws = np.random.default_rng(0)
    frame = pd.DataFrame({"size": draws.normal(size=200), "rooms": draws.integers(1, 9, 200)})
    frame["price"] = frame["size"] * 3 + draws.normal(size=200)
    return frame.assign(
        id=np.arange(200),
        country="NL",
        price_in_cents=frame["price"] * 100,
        age=np.where(draws.random(200) < 0.1, np.nan, draws.normal(size=200)),
        sold=["13.02.2024"] * 100 + ["01.03.2024"] * 100,
    )


def told(data) -> list[tuple[str, str, str]]:
    """Return kind, severity and the first words of each finding."""
    return [(f.kind, f.severity, re.split(r"[:.] | \(", f.sentence)[0]) for f in data.findings]


def test_what_a_table_shows_has_its_kind_and_severity():
    assert told(hs.load(houses(), label="price")) == [
        ("task", "note", "Column 'price' holds numbers such as -0.88377"),
        ("reading", "note", "Column 'sold' holds dates such as '13.02.2024'"),
        ("columns", "note", "Rows of a table"),
        ("constant", "note", "Left out column 'country'"),
        ("identifier", "warning", "Left out column 'id'"),
        ("missing", "note", "Missing cells in the 136 training rows"),
        ("leak", "warning", "Column 'price_in_cents' alone predicts 'price' almost perfectly"),
    ]


def test_what_classes_show_has_its_kind_and_severity():
    labels = ["often"] * 150 + ["seldom"] * 4
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=154), "label": labels})
    frame["split"] = ["train"] * 120 + ["test"] * 30 + ["train"] * 4
    assert told(hs.load(frame, label="label")) == [
        ("few", "warning", "Classes with fewer than 10 training rows"),
        ("imbalance", "warning", "Classes are imbalanced"),
        ("untested", "warning", "Classes without test rows, so without test figures"),
        ("columns", "note", "Rows of a table"),
    ]


def test_notes_are_the_sentences_of_the_findings():
    data = hs.load(houses(), label="price")
    assert data.notes == tuple(found.sentence for found in data.findings)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Return a folder of 40 pictures of two classes, two of them damaged, and a file beside."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    draws = np.random.default_rng(0)
    for name, low in (("bright", 120), ("dark", 0)):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = draws.integers(low, low + 100, size=(16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    for number in (3, 7):
        (folder / "dark" / f"{number:02}.png").write_bytes(b"not a picture")
    (folder / "dark" / "list.txt").write_text("names")
    return folder


def test_a_run_keeps_its_findings_as_records_and_says_each_once(photos, tmp_path):
    events: list[tuple[str, dict[str, object]]] = []
    with listen(lambda kind, fields: events.append((kind, fields))):
        run = hs.finetune(
            hs.load(str(photos), max_bad_fraction=0.2),
            start="scratch/simple-cnn",
            num_steps=5,
            out=str(tmp_path / "run"),
        )
    records = run.data["findings"]
    assert run.data["notes"] == [record["sentence"] for record in records]
    unreadable = next(record for record in records if record["kind"] == "unreadable")
    assert unreadable["severity"] == "warning"
    assert unreadable["items"] == ["dark/03.png", "dark/07.png"]
    assert unreadable["sentence"].startswith("2 of 40 images left out: dark/03.png: ")
    assert {record["kind"] for record in records} == {"unused", "few", "unreadable", "classes"}
    page = (run.path / "report.html").read_text()
    for record in records:
        assert {record["kind"]} <= set(get_args(FindingKind))
        assert {record["severity"]} <= set(get_args(Severity))
        assert record["sentence"].replace("'", "&#39;") in page
        assert record["sentence"] in " ".join(run.report().split())
        said = [fields for kind, fields in events if fields.get("text") == record["sentence"]]
        about = {"about": record["kind"], "severity": record["severity"], "items": record["items"]}
        assert said == [{"text": record["sentence"], **about}]


def test_evaluate_names_what_the_run_has_learned_from(photos, tmp_path):
    data = hs.load(str(photos), max_bad_fraction=0.2)
    run = hs.finetune(data, start="scratch/simple-cnn", num_steps=5, out=str(tmp_path / "run"))
    with_all = hs.load(str(photos), max_bad_fraction=0.2, schema=data.schema)
    found = hs.evaluate(str(run.path), with_all).data["findings"]
    learned = next(record for record in found if record["kind"] == "learned")
    parts = [data.train.samples, data.val.samples]
    names = {samples.name(i) for samples in parts for i in range(len(samples))}
    assert learned["sentence"] == "30 of 38 samples are left out: the run has learned from them."
    assert set(learned["items"]) == names
    assert learned["severity"] == "note"


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("1 rows are left out.", "1 row is left out."),
        (
            "Only 1 training images (1 groups) of 11 images.",
            "Only 1 training image (1 group) of 11 images.",
        ),
        (
            "1 of 2 rows; 1,001 rows; 0.1 rows; 2 classes",
            "1 of 2 rows; 1,001 rows; 0.1 rows; 2 classes",
        ),
        ("'/data/1 images/a' and 1 classes", "'/data/1 images/a' and 1 class"),
    ],
)
def test_one_is_told_as_one(said, read):
    assert Finding("few", "note", (), said).sentence == read
