"""Figures of a run, handed to trackers: what they get, and what becomes of one that fails."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart import events
from headstart.tracking import TrackedRun, require_trackers, tracked
from headstart.tracking.feed import MAX_POINTS, FigureFeed
from headstart.tracking.table import TRACKERS, TrackerRow, open_tracker

Written = list[tuple[str, int, dict[str, float]]]


class Remembering:
    """A tracker that keeps what it is handed."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.written: Written = []
        self.ended: bool | None = None
        self.fails_at = fails_at

    def write(self, stage: str, step: int, figures: Mapping[str, float]) -> None:
        if self.fails_at == len(self.written):
            raise OSError("No space left on device")
        self.written.append((stage, step, dict(figures)))

    def close(self, *, is_finished: bool) -> None:
        self.ended = is_finished


def train(num_steps: int, name: str = "training (full)") -> None:
    for step in range(1, num_steps + 1):
        fields = {
            "name": name,
            "done": step,
            "total": num_steps,
            "loss": 1 / step,
            "eta_seconds": 9,
        }
        events.emit("task", **fields)


def test_a_loss_is_thinned_and_its_ends_are_kept() -> None:
    tracker = Remembering()
    with events.listen(FigureFeed({"x": tracker})):
        train(5_000)
    steps = [step for _, step, _ in tracker.written]
    assert len(steps) <= MAX_POINTS + 1
    assert steps[0] == 1
    assert steps[-1] == 5_000
    assert tracker.written[0] == ("training (full)", 1, {"loss": 1.0})


def test_checks_belong_to_the_training_and_are_called_by_their_metric() -> None:
    tracker = Remembering()
    with events.listen(FigureFeed({"x": tracker})):
        train(1, "a")
        train(1, "b")
        fields = {"step": 7, "num_steps": 9, "epoch": 0.5, "metric": "accuracy"}
        events.emit("check", **fields, val_score=0.75, val_loss=float("nan"))
        events.emit("spent", stage="training", seconds=1.5, at=2.0, by=None)
        events.emit("stage", text="no figures")
    assert tracker.written[2:] == [
        ("b", 7, {"val_accuracy": 0.75}),
        ("seconds", 0, {"training": 1.5}),
    ]


def test_a_tracker_that_fails_is_told_of_and_taken_off() -> None:
    failing, other, notes = Remembering(fails_at=1), Remembering(), []
    feed = FigureFeed({"failing": failing, "other": other})
    with (
        events.listen(lambda kind, fields: notes.append(fields) if kind == "note" else None),
        events.listen(feed),
    ):
        train(3)
        feed.close(is_finished=True)
    assert [step for _, step, _ in other.written] == [1, 2, 3]
    assert len(failing.written) == 1
    assert failing.ended is None
    [note] = notes
    assert "failing gets no more of this run (OSError: No space left on device)" in note["text"]
    assert other.ended is True


def test_an_error_of_the_run_ends_its_trackers_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Remembering()
    monkeypatch.setattr("headstart.tracking.feed.open_tracker", lambda name, run: tracker)
    with pytest.raises(ValueError, match="broken"), tracked(["csv"], _about(tmp_path)):
        raise ValueError("broken")
    assert tracker.ended is False


def _about(folder: Path) -> TrackedRun:
    return TrackedRun(folder, "finetune", {"start": "scratch/mlp", "epochs": 3, "clip": None})


def test_unknown_and_missing_trackers_are_refused_before_the_data_is_read(
    monkeypatch: pytest.MonkeyPatch, heard
) -> None:
    with pytest.raises(hs.OptionError, match=r"Did you mean 'tensorboard'\?") as unknown:
        hs.finetune("no such data", start="scratch/linear", log=["tensorbord"])
    heard(unknown.value)
    row = TrackerRow("headstart.tracking.csv_file", ("no_such_package",), "tensorboard")
    monkeypatch.setitem(TRACKERS, "csv", row)
    for verb, more in ((hs.finetune, {"start": "scratch/linear"}), (hs.fit, {})):
        with pytest.raises(hs.OptionError, match=r"log 'csv' needs 'no_such_package'") as missing:
            verb("no such data", log=["csv"], **more)
    assert "headstart[tensorboard]" in str(missing.value)
    with pytest.raises(hs.OptionError, match="needs 'no_such_package'"):
        hs.pretrain("no such data", objective="mae", log=["csv"])
    monkeypatch.undo()
    assert require_trackers(["csv", "csv"]) == ("csv",)  # as was advised: one of them, installed
    heard(missing.value)


def test_a_tracker_that_cannot_begin_ends_the_run_in_its_words(tmp_path: Path, heard) -> None:
    (tmp_path / "scalars.csv").mkdir()
    with pytest.raises(hs.OptionError, match=r"log 'csv' cannot begin \(IsADirectoryError") as told:
        open_tracker("csv", _about(tmp_path))
    (tmp_path / "scalars.csv").rmdir()  # mended
    open_tracker("csv", _about(tmp_path)).close(is_finished=True)
    heard(told.value)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> hs.Run:  # type: ignore[name-defined]
    """Return a run that was logged to everything that is installed and stays in its folder."""
    folder = tmp_path_factory.mktemp("logged")
    draw = np.random.default_rng(0)
    X = draw.normal(size=(60, 3))
    y = np.where(X[:, 0] > 0, "up", "down")
    return hs.finetune(
        (X, y),
        start="scratch/mlp",
        num_steps=20,
        device="cpu",
        out=str(folder / "run"),
        log=["csv", "tensorboard"],
        quiet=True,
    )


def test_csv_holds_losses_checks_and_test_figures(logged) -> None:
    lines = (logged.path / "scalars.csv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    assert set(rows[0]) == {"time", "stage", "step", "figure", "value"}
    named = {(row["stage"], row["figure"]): float(row["value"]) for row in rows}
    accuracy = logged.metrics["test"]["figures"]["accuracy"]
    assert named["test", "accuracy"] == accuracy["value"]
    assert named["test", "accuracy_low"] == accuracy["low"]
    [training] = {row["stage"] for row in rows if row["figure"] == "loss"}
    assert any(stage == training and "val_" in figure for stage, figure in named)
    assert ("seconds", "training") in named


def test_event_files_hold_the_same(logged) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(logged.path / "tensorboard"))
    found.Reload()
    [told] = found.Scalars("test/accuracy")
    assert told.value == pytest.approx(logged.metrics["test"]["figures"]["accuracy"]["value"])
    assert any(tag.endswith("/loss") for tag in found.Tags()["scalars"])
    assert "options/text_summary" in found.Tags()["tensors"]


def test_a_logged_folder_may_be_replaced_and_its_log_has_the_wall_clock(logged) -> None:
    from datetime import UTC, datetime

    from headstart.storage.run_folder import refuse_occupied

    refuse_occupied(logged.path, resume=False, overwrite=True)  # nothing in it is foreign
    lines = [json.loads(line) for line in (logged.path / "log.jsonl").read_text().splitlines()]
    times = [datetime.fromisoformat(line["time"]) for line in lines]
    assert times == sorted(times)
    assert all(time.tzinfo is UTC or time.utcoffset().total_seconds() == 0 for time in times)
    assert abs((datetime.now(UTC) - times[-1]).total_seconds()) < 3600
    assert "log" not in logged.options["options"]  # it belongs to one attempt, not to the recipe


def write_some(name: str, folder: Path) -> None:
    tracker = open_tracker(name, _about(folder))
    tracker.write("training (full)", 1, {"loss": 0.5})
    tracker.write("training (full)", 2, {"loss": 0.25, "val_accuracy": 0.75})
    tracker.write("test", 0, {"accuracy": 0.875})
    tracker.close(is_finished=True)


def test_mlflow_gets_figures_and_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # needs no database
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    write_some("mlflow", tmp_path / "mine")
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "store").as_uri())
    [run] = client.search_runs([client.get_experiment_by_name("headstart").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "mine"
    assert run.data.params == {"start": "scratch/mlp", "epochs": "3"}
    assert run.data.metrics["test/accuracy"] == 0.875
    history = client.get_metric_history(run.info.run_id, "training _full_/loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25)]
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.slow
def test_wandb_keeps_an_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    write_some("wandb", tmp_path / "mine")
    [kept] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    words = (b"val_accuracy", b"scratch/mlp", b"training (full)/step")
    end = time.monotonic() + 60  # a process of its own writes it, after the run has ended
    while not all(word in kept.read_bytes() for word in words) and time.monotonic() < end:
        time.sleep(0.1)
    content = kept.read_bytes()
    assert [word for word in words if word not in content] == []


@pytest.mark.slow
def test_trackio_keeps_a_run_here(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    import sqlite3
    import subprocess

    code = (
        "import sys; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_trackers import write_some\n"
        "write_some('trackio', Path(sys.argv[2]))\n"
    )
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "store"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "mine")]
    done = subprocess.run(command, env=environment, check=True, timeout=120, capture_output=True)
    assert done.stdout == b""  # where a command's result stands
    [database] = (tmp_path / "store").glob("headstart*.db")
    told = sqlite3.connect(database).execute("SELECT metrics FROM metrics").fetchall()
    assert "0.875" in str(told)
