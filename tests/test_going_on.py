"""A run that was stopped says which command goes on with it, and so does whoever looks at it."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import headstart as hs
from headstart.cli import main
from headstart.errors import RunFolderError
from headstart.events import listen
from headstart.recipes.going_on import going_on
from headstart.recipes.plan import resumed_plan

FINETUNE = ["finetune", "digits-8x8", "--start", "scratch/simple-cnn", "--num-steps", "30"]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (["fit", "data", "--budget", "2m"], "fit data --budget 2m"),
        (["fit", "data", "--out", "other", "--budget", "2m"], "fit data --budget 2m"),
        (["fit", "data", "--out=other", "--resume"], "fit data"),
        (["pretrain", "a b", "--overwrite", "--out", "o"], "pretrain 'a b'"),
    ],
)
def test_the_command_that_goes_on_is_the_one_that_began_in_its_folder(typed, kept):
    path = Path("runs/my run")
    assert going_on(typed, path) == f"headstart {kept} --out 'runs/my run' --resume"


def interrupted(words, monkeypatch):
    """Begin a run by a command, and stop it as Ctrl-C does after some steps."""
    monkeypatch.setattr("headstart.training.loop._TELL_SECONDS", 0.0)

    def stop(kind, fields):
        if kind == "task" and fields["name"] == "fine-tune" and fields["done"] > 3:
            os.kill(os.getpid(), signal.SIGINT)

    with listen(stop):
        return main(words)


def left(run):
    """Let the process that made a run be gone: here it is that of the test."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (Path(run) / "state" / "owner").write_text(str(gone.pid))


def test_a_stopped_run_names_what_goes_on_with_it_and_that_does(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert interrupted([*FINETUNE, "--out", "run", "--device", "cpu"], monkeypatch) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    words = " ".join(FINETUNE)
    assert said == f"next: headstart {words} --device cpu --out run --resume"
    kept = json.loads(Path("run/options.json").read_text())
    assert kept["command"] == [*FINETUNE, "--out", "run", "--device", "cpu"]
    assert kept["options"]["num_steps"] == 30
    assert {choice["name"] for choice in kept["choices"]} >= {"strategy"}
    assert kept["finished_at"] is None
    left("run")
    assert main(["watch", "run", "--once"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == said
    again = [*shlex.split(said.removeprefix("next: headstart ")), "--num-steps", "31"]
    assert main(again) == 5  # it is the same run, but for what was said beside it
    assert "num_steps: 30 → 31" in capsys.readouterr().err


def test_a_run_that_a_program_began_is_gone_on_with_by_what_it_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("headstart.training.loop._TELL_SECONDS", 0.0)

    def stop(kind, fields):
        if kind == "task" and fields["name"] == "fine-tune" and fields["done"] > 3:
            raise KeyboardInterrupt

    said = {"start": "scratch/simple-cnn", "num_steps": 30, "device": "cpu"}
    with listen(stop), pytest.raises(hs.Interrupted) as stopped:
        hs.finetune("digits-8x8", out="run", **said)
    wanted = stopped.value.next_command
    assert wanted.startswith("headstart finetune DATA --")
    assert "--start scratch/simple-cnn" in wanted
    assert wanted.endswith("--out run --resume")
    left("run")
    told = []
    with listen(lambda kind, f: told.append(f["command"]) if kind == "next" else None):
        hs.watch("run", once=True)
    assert told == [wanted]


def planned(folder, is_finished):
    """Return a run folder that holds the plan of a run, and the plan."""
    place = folder / ("search" if is_finished else "state") / "plan.json"
    place.parent.mkdir()
    plan = {"verb": "fit", "options": {"budget": "12s", "seed": 0}, "fingerprint": "a"}
    place.write_text(json.dumps(plan))

    def read_json(name):
        return json.loads((folder / name).read_text()) if (folder / name).exists() else None

    return SimpleNamespace(path=folder, read_json=read_json), plan


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize(
    ("options", "fingerprint", "said"),
    [
        ({"budget": "12s", "seed": 3}, "a", r"options \(seed: 0 → 3\)"),
        ({"budget": "20s", "seed": 3}, "a", r"options \(seed: 0 → 3\)"),
        ({"budget": "20s", "seed": 0}, "b", r"options \(data: other samples, or read or div"),
    ],
)
def test_what_differs_from_a_run_is_told_as_people_see_it(
    options, fingerprint, said, is_finished, tmp_path
):
    folder, plan = planned(tmp_path, is_finished)
    with pytest.raises(RunFolderError, match=said):
        resumed_plan(folder, plan | {"options": options, "fingerprint": fingerprint})


@pytest.mark.parametrize(("budget", "is_finished"), [("12s", True), ("11s", True), ("11s", False)])
def test_a_budget_that_is_no_larger_is_told_what_would_go_on(budget, is_finished, tmp_path):
    folder, plan = planned(tmp_path, is_finished)
    said = "finished run of --budget 12s; expected a larger" if is_finished else "'12s' → '11s'"
    with pytest.raises(RunFolderError, match=said):
        resumed_plan(folder, plan | {"options": {"budget": budget, "seed": 0}})
