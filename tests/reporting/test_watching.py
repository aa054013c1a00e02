"""A run under way, looked at from outside: from its log to plots, text, and a local page."""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import headstart as hs
from headstart.reporting.watching.followed import MAX_POINTS, Followed, FollowedRun
from headstart.reporting.watching.live_page import render_live_page
from headstart.reporting.watching.local_server import LocalServer
from headstart.reporting.watching.plot import plot
from headstart.reporting.watching.text_view import render_followed

RECORDS: list[dict[str, object]] = [
    {"kind": "stage", "text": "Checking the data"},
    {"kind": "task", "name": "check", "done": 4, "total": 4},
    {"kind": "choice", "name": "batch_size", "value": 64, "why": "fits <b>memory</b>"},
    {"kind": "stage", "text": "Fine-tuning (full)"},
    *(
        {"kind": "task", "name": "training (full)", "done": n, "total": 100, "loss": 1 / n,
         "samples_per_second": 900.0, "eta_seconds": 100.0 - n}
        for n in range(1, 41)
    ),
    {"kind": "check", "step": 20, "metric": "accuracy", "val_score": 0.5, "val_loss": 0.75},
    {"kind": "check", "step": 40, "metric": "accuracy", "val_score": 0.75, "val_loss": 0.5},
    {"kind": "spent", "stage": "samples", "seconds": 1.5},
    {"kind": "note", "text": "One note. " * 20},
]  # fmt: skip


def line(number: int, record: dict[str, object]) -> str:
    time = f"2026-01-01T00:00:{number // 2:02}.000+00:00"
    return json.dumps({"time": time, "seconds": number / 2, **record}) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a run folder that this process is filling."""
    run = tmp_path / "mine"
    (run / "state").mkdir(parents=True)
    (run / "state" / "owner").write_text(str(os.getpid()))
    plan = {"verb": "finetune", "options": {"budget": "2m"}}
    (run / "state" / "plan.json").write_text(json.dumps(plan))
    (run / "log.jsonl").write_text("".join(line(i, each) for i, each in enumerate(RECORDS)))
    return run


def test_a_log_is_read_as_it_grows(folder: Path) -> None:
    run = FollowedRun(folder)
    run.update()
    assert run.stage == "Fine-tuning (full)"
    assert set(run.tasks) == {"training (full)"}
    [training] = run.trainings
    assert training.curves["loss"][-1] == (40, 0.025)
    assert training.curves["val_accuracy"] == [(20, 0.5), (40, 0.75)]
    assert run.status == "running"
    log = folder / "log.jsonl"
    more = line(
        90, {"kind": "task", "name": "training (full)", "done": 30, "total": 100, "loss": 9}
    )
    with log.open("a") as file:
        file.write(more[:30])
    run.update()
    assert training.curves["loss"][-1] == (40, 0.025)  # half a line says nothing yet
    with log.open("a") as file:
        file.write(more[30:] + "{damaged\n")
    run.update()
    assert training.curves["loss"][-2:] == [(29, 1 / 29), (30, 9)]  # resumed: what came after goes
    log.write_text(line(0, RECORDS[0]))  # begun anew
    run.update()
    assert run.stage == "Checking the data"
    assert not run.trainings


def test_a_run_is_finished_or_stopped_by_its_own_files(folder: Path) -> None:
    run = FollowedRun(folder)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (folder / "state" / "owner").write_text(str(gone.pid))
    assert run.status == "stopped"
    for path in (folder / "state").iterdir():
        path.unlink()
    (folder / "state").rmdir()
    assert run.status == "stopped"
    (folder / "metrics.json").write_text("{}")
    assert run.status == "finished"


def test_the_view_stays_within_80_columns_and_says_how_far_it_is(folder: Path) -> None:
    run = FollowedRun(folder)
    run.update()
    text = render_followed(run)
    assert max(map(len, text.splitlines())) <= 80
    assert "mine: finetune, running" in text
    assert "of a budget of 2m" in text
    assert re.search(r"training \(full\) +\[#{10}\.{14}\] 40/100 1:00 left", text)
    assert "loss of training (full), now 0.025" in text
    assert "val accuracy of training (full), now 0.75" in text
    assert "choice: batch_size: 64" in text
    assert render_followed(run, is_plain=True).isascii()


def test_a_plot_rises_where_its_values_rise() -> None:
    lines = plot([(x, float(x)) for x in range(200)], width=50, height=5, is_plain=True)
    starts = [row.index("*") for row in lines[:5]]
    assert starts == sorted(starts, reverse=True)
    assert lines[0].split()[0] == "199"
    assert lines[4].split()[0] == "0"
    assert lines[5].split() == ["0", "199"]
    assert max(map(len, lines)) == 50


def test_a_plot_of_little_is_a_plot() -> None:
    assert plot([]) == []
    flat = plot([(1, 0.5), (2, 0.5)], width=30, height=3, is_plain=True)
    assert re.fullmatch(r" +0\.5 \*{19}", flat[1])
    assert not flat[0].strip()
    dots = "".join(plot([(0, 0.0), (1, 1.0)], width=30, height=3))
    assert any(0x2800 < ord(char) <= 0x28FF for char in dots)


def test_long_curves_stay_small_and_keep_their_ends() -> None:
    training = Followed("x")
    for step in range(3 * MAX_POINTS):
        training.add(step, {"loss": math.exp(-step)})
    points = training.curves["loss"]
    assert len(points) <= MAX_POINTS
    assert (points[0][0], points[-1][0]) == (0, 3 * MAX_POINTS - 1)


def ask(server: LocalServer, path: str = "/", host: str | None = None) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.getheader("Content-Security-Policy", ""), body


def test_the_page_is_for_this_machine_alone(folder: Path, heard) -> None:
    server = LocalServer(FollowedRun(folder), 0)
    try:
        status, policy, page = ask(server)
        assert status == 200
        assert "default-src 'none'" in policy
        assert "<svg" in page
        assert 'value="40" max="100"' in page
        assert "fits &lt;b&gt;memory&lt;/b&gt;" in page
        assert 'http-equiv="refresh"' in page
        assert ask(server, "/log.jsonl")[0] == 404
        assert ask(server, host="evil.example:80")[0] == 403
        assert ask(server, host=f"localhost:{server.port}")[0] == 200
        assert server._server.server_address[0] == "127.0.0.1"
        with pytest.raises(hs.OptionError, match="cannot be served at port") as taken:
            LocalServer(FollowedRun(folder), server.port)
    finally:
        server.close()
    LocalServer(FollowedRun(folder), 0).close()
    heard(taken.value)


def test_watch_looks_once_where_no_terminal_is(
    folder: Path, capsys: pytest.CaptureFixture[str], heard
) -> None:
    seen = hs.watch(str(folder), quiet=True)
    assert seen.record["status"] == "running"
    assert seen.record["trainings"][0]["curves"]["val_loss"] == [(20.0, 0.75), (40.0, 0.5)]
    assert seen.report().startswith("mine: finetune, running")
    assert capsys.readouterr().err == ""
    with pytest.raises(hs.RunFolderError, match=r"holds no log\.jsonl") as empty:
        hs.watch(str(folder.parent))
    heard(empty.value)
    with pytest.raises(hs.OptionError, match="every is 0; expected seconds") as wrong:
        hs.watch(str(folder), every=0)
    assert hs.watch(str(folder), every=1.0, quiet=True).record["run"] == str(folder)
    heard(wrong.value)


def test_a_page_of_a_run_that_has_ended_is_not_served(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "state" / "owner").write_text("0")  # no process has this number
    for path in (folder / "state").iterdir():
        path.unlink()
    (folder / "state").rmdir()
    assert hs.watch(str(folder), page=True).record["status"] == "stopped"
    assert "has ended: there is nothing to come" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("r2", "R²"),
        ("f1_entities", "F1 (entities)"),
        ("bleu", "BLEU"),
        ("own_figure", "own figure"),
    ],
)
def test_a_figure_is_called_as_in_the_report(metric: str, name: str, folder: Path) -> None:
    more = {"kind": "check", "step": 60, "metric": metric, "val_score": 0.25, "val_loss": 0.5}
    (folder / "log.jsonl").write_text(line(0, RECORDS[0]) + line(1, RECORDS[4]) + line(2, more))
    run = FollowedRun(folder)
    run.update()
    text, page = render_followed(run), render_live_page(run)
    assert f"val {name} of training (full), now 0.25" in text
    assert f"val {name}, now 0.25" in page
    assert f"val_{metric}" not in text + page
