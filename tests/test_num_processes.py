"""``--num-processes N`` starts this very command N times, and ends as the main process ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sklearn.datasets import load_breast_cancer

import headstart as hs
from headstart.cli import main
from headstart.errors import OptionError
from headstart.events import BEGAN, command_began, seconds_since_command_began
from headstart.recipes.launching import launch_if_asked, without_flag

LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    """Return a small table."""
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    load_breast_cancer(as_frame=True).frame.to_csv(path, index=False)
    return path


def _command(rows: Path, out: Path, *more: str) -> list[str]:
    said = ["finetune", str(rows), "--label", "target", "--task", "classification"]
    said += ["--start", "scratch/mlp", "--strategy", "full", "--device", "cpu"]
    return [*said, "--out", str(out), *more]


def _environment(cache: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in LAUNCHED}
    return {**kept, "OMP_NUM_THREADS": "1", "HEADSTART_CACHE": str(cache), **more}


def _start(cache: Path, words: list[str], module: tuple[str, ...] = ("headstart",)):
    return subprocess.Popen(
        [sys.executable, "-m", *module, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(cache),
    )


def test_two_processes_do_one_run(rows, tmp_path):
    out = tmp_path / "run"
    words = _command(rows, out, "--num-steps", "8", "--num-processes", "2")
    made = _start(tmp_path / "cache", words)
    said, told = made.communicate(timeout=300)
    assert made.returncode == 0, told
    options = json.loads((out / "options.json").read_text())
    assert options["processes"] == 2
    assert "num_processes" not in options["options"]
    assert said.count("How good") == 1
    assert f"next: headstart predict {out}" in told


@pytest.mark.slow
def test_an_error_is_told_once_with_its_code(rows, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    words = _command(rows, tmp_path, "--num-processes", "2")
    made = _start(tmp_path / "cache", words)
    _, told = made.communicate(timeout=300)
    assert made.returncode == 5, told
    assert told.count("error:") == 1
    assert "is not empty" in told
    assert "Traceback" not in told
    assert "elastic" not in told


@pytest.mark.slow
def test_the_result_is_the_one_of_torchrun_to_the_bit(rows, tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    steps = ("--num-steps", "30")
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--")
    runs = [
        _start(tmp_path / "cache", _command(rows, ours, *steps, "--num-processes=2")),
        _start(tmp_path / "cache", ["headstart", *_command(rows, theirs, *steps)], launcher),
    ]
    for run in runs:
        _, told = run.communicate(timeout=300)
        assert run.returncode == 0, told
    one, other = ((path / "model.safetensors").read_bytes() for path in (ours, theirs))
    assert one == other


def _children(process: int) -> list[int]:
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(word) for word in path.read_text().split()]


def _workers(started: subprocess.Popen, log: Path) -> list[int]:
    """Return the processes that learn, once they do."""
    until = time.monotonic() + 240
    while not (log.exists() and '"step"' in log.read_text()):
        assert time.monotonic() < until
        assert started.poll() is None, started.communicate()
        time.sleep(0.1)
    return _children(started.pid)


def _has_gone(process: int) -> bool:
    return not Path(f"/proc/{process}").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_saves_and_ends_all_of_them_and_one_process_goes_on(rows, tmp_path):
    out = tmp_path / "run"
    steps = ("--num-steps", "200000")
    made = _start(tmp_path / "cache", _command(rows, out, *steps, "--num-processes", "2"))
    workers = _workers(made, out / "log.jsonl")
    assert len(workers) >= 2
    made.send_signal(signal.SIGINT)
    _, told = made.communicate(timeout=60)
    assert made.returncode == 130, told
    assert "--resume" in told
    assert all(_has_gone(worker) for worker in workers)
    assert list((out / "state").glob("step_*"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_dies_ends_all_with_a_sentence(rows, tmp_path):
    out = tmp_path / "run"
    steps = ("--num-steps", "200000")
    made = _start(tmp_path / "cache", _command(rows, out, *steps, "--num-processes", "2"))
    workers = _workers(made, out / "log.jsonl")
    ranks = {}
    for worker in workers:
        told = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
        ranks[b"RANK=1" in told] = worker
    os.kill(ranks[True], signal.SIGKILL)
    _, told = made.communicate(timeout=60)
    assert made.returncode == 9, told
    assert told.count("error:") == 1, told[-3000:]
    assert "Process 1 of 2 has died (signal 9)" in told or "without a word" in told
    assert "Traceback" not in told
    assert all(_has_gone(worker) for worker in workers)


def test_python_a_launcher_and_no_number_are_refused_with_what_to_type(monkeypatch, capsys):
    with pytest.raises(OptionError, match=r"in a call from Python; .*headstart finetune DATA .*2;"):
        hs.finetune("digits-8x8", start="scratch/simple-cnn", num_processes=2)
    with pytest.raises(OptionError, match=r"headstart rank DATA … --num-processes 3"):
        hs.rank("digits-8x8", num_processes=3)
    with pytest.raises(OptionError, match="num_processes is 0; expected a whole number from 1"):
        hs.fit("digits-8x8", num_processes=0)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "0")
    assert main(["finetune", "digits-8x8", "--start", "x", "--num-processes", "2"]) == 2
    assert "a launcher has started this process as one of 4" in capsys.readouterr().err
    launch_if_asked("fit", 1)  # nothing to do


@pytest.mark.parametrize("verb", ["fit", "finetune", "rank"])
def test_help_says_it(verb, capsys):
    assert main(["help", verb]) == 0
    assert "--num-processes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("fit x --num-processes 2 --budget 1m", "fit x --budget 1m"),
        ("fit --num-processes=2 x", "fit x"),
        ("fit x --num-processes 2 --num-processes 3", "fit x"),
        ("fit --starts a -- --num-processes 2", "fit --starts a -- --num-processes 2"),
    ],
)
def test_the_started_commands_are_this_one_without_the_number(words, kept):
    assert without_flag(words.split()) == kept.split()


def test_the_budget_of_a_started_command_counts_from_the_one_that_started_it(monkeypatch):
    now = time.monotonic()
    monkeypatch.setenv(BEGAN, repr(now - 50))
    with command_began(now):
        assert seconds_since_command_began() < 10  # nobody has started this one
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    with command_began(now):
        assert seconds_since_command_began() >= 50
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")  # what went before is counted by the run
    with command_began(now):
        assert seconds_since_command_began() < 10
