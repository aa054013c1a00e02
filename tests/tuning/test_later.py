"""Rows that stand in time: the report shows what days to come would be worth."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.reporting.wording import later_days_sentence


def sales(num: int = 260, drift: float = 3.0) -> pd.DataFrame:
    """Return days with a target that wanders, so that neighbours tell it and later days do not."""
    rng = np.random.default_rng(0)
    level = np.cumsum(rng.normal(size=num)) * drift
    days = pd.date_range("2023-01-01", periods=num)
    weather = rng.normal(size=num)
    noise = rng.normal(size=num) * 0.3
    return pd.DataFrame({"day": days, "weather": weather, "sales": level + weather + noise})


@pytest.fixture(scope="module")
def wandering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("later")
    sales().to_csv(folder / "sales.csv", index=False)
    data = hs.load(str(folder / "sales.csv"), label="sales")
    assert data.time_column == "day"
    run = hs.finetune(data, start="scratch/linear", num_steps=5, out=str(folder / "run"))
    return Path(run.path)


def test_both_figures_stand_in_the_metrics_and_differ(wandering: Path) -> None:
    found = json.loads((wandering / "metrics.json").read_text())["later_days"]
    assert found["column"] == "day"
    assert found["metric"] == "rmse"
    assert found["later"]["value"] > 1.5 * found["between"]["value"]
    assert found["differs"]


def test_the_report_and_the_findings_say_both(wandering: Path) -> None:
    findings = json.loads((wandering / "data.json").read_text())["findings"]
    grave = [found for found in findings if found["kind"] == "time"]
    assert [found["severity"] for found in grave] == ["warning", "error"]
    assert "To foretell, train with --split time" in grave[1]["sentence"]
    assert "On days to come the figure is another" in (wandering / "report.html").read_text()


def test_the_advice_followed_has_nothing_more_to_say(wandering, tmp_path: Path, heard) -> None:
    sales().to_csv(tmp_path / "sales.csv", index=False)
    data = hs.load(str(tmp_path / "sales.csv"), label="sales", split="time")
    assert data.time_column is None
    run = hs.finetune(data, start="scratch/linear", num_steps=5, out=str(tmp_path / "run"))
    assert "later_days" not in json.loads((Path(run.path) / "metrics.json").read_text())
    for found in json.loads((wandering / "data.json").read_text())["findings"]:
        if found["kind"] == "time":
            heard(found["sentence"])
    told = later_days_sentence(json.loads((wandering / "metrics.json").read_text()))
    assert told.endswith("To foretell, train with --split time.")
    heard(told)


def test_days_that_tell_nothing_differ_by_noise_alone(tmp_path: Path) -> None:
    sales(drift=0.0).to_csv(tmp_path / "sales.csv", index=False)
    data = hs.load(str(tmp_path / "sales.csv"), label="sales")
    run = hs.finetune(data, start="scratch/linear", num_steps=5, out=str(tmp_path / "run"))
    found = json.loads((Path(run.path) / "metrics.json").read_text())["later_days"]
    assert not found["differs"]
    kinds = [f["kind"] for f in json.loads((Path(run.path) / "data.json").read_text())["findings"]]
    assert kinds.count("time") == 1
