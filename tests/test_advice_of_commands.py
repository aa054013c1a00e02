"""Advice of the command line, of doctor, of failures of others, and of several processes."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from advised import PIXELS, Case, N, Y, csv, frame, in_extra, told

import headstart as hs
from headstart import failures
from headstart.cli import main
from headstart.engines import table as engines
from headstart.errors import HeadstartError
from headstart.events import listen
from headstart.recipes import doctor, processes, session
from headstart.recipes import rank as rank_verb
from headstart.training.options.training_options import TrainingOptions

QUICK = ["--start", "scratch/linear", "--device", "cpu", "--num-steps", "2"]


def typed(*words: str) -> str:
    """Run a command line; raise what it says where it ends with another code than 0."""
    with (
        contextlib.redirect_stderr(io.StringIO()) as err,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        code = main(list(words))
    if code:
        raise HeadstartError(err.getvalue())
    return err.getvalue()


def tuned(folder: Path, *words: str) -> str:
    out = ["--out", str(folder / "run")]
    return typed("finetune", csv(folder, frame()), "--label", "label", *QUICK, *out, *words)


def repeated(folder: Path, options: str | None, *words: str) -> str:
    """Repeat a run with --from, its options changed; or write them out."""
    tuned(folder)
    path = folder / "run" / "options.json"
    if options is not None:
        path.write_text(options)
    elif words:
        path.unlink()
    return typed("finetune", "--from", str(folder / "run"), "--overwrite")


def without_options(folder: Path) -> str:
    (folder / "empty").mkdir()
    return typed("finetune", "--from", str(folder / "empty"))


def next_of(do: Callable[[], Any]) -> str:
    """Return the command that a verb tells to type next."""
    commands: list[str] = []
    with listen(lambda kind, fields: commands.append(fields["command"]) if kind == "next" else 0):
        do()
    return commands[-1]


def followed(command: str) -> list[str]:
    """Type what was told to be typed next, as a plan; nothing is told of it then."""
    words = shlex.split(command)
    assert words[0] == "headstart"
    more = ["--dry-run"] if words[1] in ("fit", "finetune") else []
    typed(*words[1:], *more)
    return []


def checked(folder: Path, **said: Any) -> str:
    """Check a table of which a row stands on both sides, or none does."""
    table = frame(split=np.where(np.arange(N) % 3, "train", "test"))
    if said:
        table.loc[0, ["a", "b", "label"]] = table.loc[1, ["a", "b", "label"]]
        said["fix"] = str(folder / "fixes.csv")
    path, skip = csv(folder, table), ["drift", "doubtful-labels", "shortcuts"]
    return next_of(lambda: hs.check(path, out=str(folder / "out"), skip=skip, **said))


def ranked(folder: Path, **said: Any) -> Any:
    known = {"starts": ["scratch/linear"], "device": "cpu", "budget": "60s"}
    return hs.rank(csv(folder, frame()), out=str(folder / "ranking"), **{**known, **said})


def ranked_again(folder: Path, **said: Any) -> Any:
    (folder / "ranking").mkdir()
    (folder / "ranking" / "ranking.json").write_text("{}")
    return ranked(folder, **said)


@contextlib.contextmanager
def patched(target: Any, name: str, value: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, name, value)
        yield


def problems(free: int = 10**12, memory: int = 10**12, is_writable: bool = True) -> list[str]:
    """Return what doctor says of memory, disks and folders."""
    found: list[str] = []
    usage = shutil.disk_usage("/")._replace(free=free)
    with (
        patched(shutil, "disk_usage", lambda _: usage),
        patched(doctor, "free_memory_bytes", lambda: memory),
        patched(os, "access", lambda *_: is_writable),
    ):
        doctor._space(found)
    return found


def data_problems(folder: Path, name: str) -> list[str]:
    (folder / "sets").mkdir()
    found: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_DATA", str(folder / name))
        doctor._data_names(found)
    return found


def failing(folder: Path, error: Exception, *words: str) -> str:
    """Run a command in which something fails that is not headstart's own."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    with patched(session, "RunFolder", fail):
        return tuned(folder, *words)


def company(size: int, fingerprint: str = "other") -> Any:
    return SimpleNamespace(size=size, agree_on=lambda _: fingerprint)


def options(**said: Any) -> TrainingOptions:
    return TrainingOptions(**said)


def together(size: int, **said: Any) -> None:
    processes.check_company(company(size), options(**said), resume=False)


def read_elsewhere(folder: Path, is_same: bool) -> Any:
    data = hs.load(csv(folder, frame()))
    asked = SimpleNamespace(data=data, starts=None, like=None)
    of_main = company(2, data.fingerprint if is_same else "another")
    with patched(rank_verb, "_candidates", lambda *_: pytest.skip("as everywhere")):
        never = SimpleNamespace(call_off=lambda: None, bring_forward=lambda moment: None)
        return rank_verb._record(asked, None, 1e9, of_main, never)  # type: ignore[arg-type]


def launched(folder: Path, is_started: bool = False, **said: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        if is_started:
            patch.setenv("WORLD_SIZE", "1")
            patch.setenv("RANK", "0")
        known = {"start": "scratch/linear", "num_steps": 2, "device": "cpu"}
        return hs.finetune(hs.load(frame()), out=str(folder / "run"), **known, **said)


def without_engine(folder: Path, engine: str) -> Any:
    with patched(engines, "find_spec", lambda _: None):
        engines.require_engine(engine)


def listed(like: str | None) -> list[str]:
    notes: list[str] = []
    with listen(lambda kind, fields: notes.append(str(fields["text"]))):
        hs.list_starts(like=like)
    return notes


FULL, DENIED = OSError(errno.ENOSPC, "full", "x"), OSError(errno.EACCES, "denied", "x")
UNLOADED = ImportError(f"x.so: {failures.UNLOADED[0]}")
LITE = "pip/efficientnet-lite0"
CASES = {
    "a value where none is taken": Case(
        lambda f: tuned(f, "--overwrite=yes"),
        "Leave the value out",
        lambda f: tuned(f, "--overwrite"),
    ),
    "a number that is none": Case(
        lambda f: tuned(f, "--seed", "many"),
        "Write it like --seed 10",
        lambda f: tuned(f, "--seed", "10"),
    ),
    "nothing to repeat": Case(
        without_options,
        "Give the folder of a finished run, for example --from",
        lambda f: repeated(f, None),
    ),
    "options that cannot be repeated": Case(
        lambda f: repeated(f, "{"), "Write the options out instead of --from", tuned
    ),
    "a ranking in the way": Case(
        ranked_again, "or --overwrite to replace it", lambda f: ranked_again(f, overwrite=True)
    ),
    "no number of parameters": Case(
        lambda f: ranked(f, max_params="many"),
        "Write it like --max-params 30M",
        lambda f: ranked(f, max_params="30M"),
    ),
    "no start is left": Case(
        lambda f: chosen(0.5, LITE),
        "Widen --like, --max-params, --licence or --starts",
        lambda f: chosen(30.0, LITE),
    ),
    "starts for another kind of data": Case(
        lambda f: ranked(f, starts=["scratch/tfidf"]),
        "Name starts that 'headstart starts --modality table' lists",
        lambda f: ranked(f, starts=[hs.list_starts(modality="table")[0].address]),
    ),
    "a full disk": Case(
        lambda f: failing(f, FULL), "choose a folder on another disk with --out", tuned
    ),
    "no permission": Case(
        lambda f: failing(f, DENIED), "Change its permissions, or choose another", tuned
    ),
    "no memory for a library": Case(
        lambda f: failing(f, UNLOADED), "or close other programs", tuned
    ),
    "memory that ran out": Case(
        lambda f: failing(f, MemoryError()), "or give fewer samples", tuned
    ),
    "what nobody expected": Case(
        lambda f: failing(f, KeyError("x")),
        "Run again with --debug for the traceback",
        lambda f: debugged(f),
    ),
    "an engine that is missing": Case(
        lambda f: without_engine(f, "openvino"),
        r"headstart\[openvino\].*or leave the engine at auto",
        lambda f: in_extra("openvino", "openvino") and without_engine(f, "auto") is None,
    ),
    "a search by several": Case(
        lambda f: together(2, learning_rate_search=True),
        "Give --learning-rate a number, or start one process",
        lambda f: (together(2, learning_rate=0.1), together(1, learning_rate_search=True)),
    ),
    "no divisor": Case(
        lambda f: together(4, tensor_parallel_size=3),
        "expected a divisor of 4. Change either",
        lambda f: (together(4, tensor_parallel_size=2), together(6, tensor_parallel_size=3)),
    ),
    "nothing left to split over": Case(
        lambda f: together(2, tensor_parallel_size=2, fsdp=True),
        "Leave one of the two out",
        lambda f: (together(2, tensor_parallel_size=2), together(2, fsdp=True)),
    ),
    "other data elsewhere": Case(
        lambda f: processes._refuse("rows.csv"),
        "Put the same files on every machine",
        lambda f: hs.load(csv(f, frame())).fingerprint == hs.load(csv(f, frame())).fingerprint,
    ),
    "other data elsewhere, ranked": Case(
        lambda f: read_elsewhere(f, is_same=False),
        "Put the same files on every machine",
        lambda f: agreed(f),
    ),
    "processes of a launcher": Case(
        lambda f: launched(f, is_started=True, num_processes=2),
        "expected one of both. Leave --num-processes out",
        lambda f: launched(f, is_started=True),
    ),
    "a program that asks for processes": Case(
        lambda f: launched(f, num_processes=2),
        r"Type: headstart finetune DATA … --num-processes 2; or start the program with torchrun",
        launched,
    ),
    "a pattern of starts": told(
        lambda _: listed("nothing*"),
        "without --like the proven ones are listed",
        lambda _: listed(None),
    ),
    "a short list of starts": told(
        lambda _: listed(None), r"--like '\*' lists all", lambda _: listed("*")
    ),
    "starts left out": told(
        lambda _: left_out(0.5), "left out by --max-params", lambda _: left_out(30.0)
    ),
    "little memory": told(
        lambda _: problems(memory=1), "Close other programs", lambda _: problems()
    ),
    "little disk": told(lambda _: problems(free=1), "Free some", lambda _: problems()),
    "a folder that cannot be written": told(
        lambda _: problems(is_writable=False), "Change its permissions, or", lambda _: problems()
    ),
    "a folder of data that is none": told(
        lambda f: data_problems(f, "none"),
        "Correct the variable, or unset it",
        lambda f: data_problems(f, "sets"),
    ),
    "after a clean check": told(
        lambda f: [checked(f)], "^headstart fit .* --budget 30m$", lambda f: followed(checked(f))
    ),
    "after a check that lists fixes": told(
        lambda f: [checked(f, overwrite=True)],
        "^headstart fit .* --fixes .* --budget 30m$",
        lambda f: followed(checked(f, overwrite=True)),
    ),
    "after a ranking": told(
        lambda f: [next_of(lambda: ranked(f))],
        "^headstart fit .* --starts scratch/linear --budget 30m$",
        lambda f: followed(next_of(lambda: ranked(f))),
    ),
    "before anything": told(
        lambda _: re.findall(r"headstart fit .*", overview()),
        "--budget (30m|2m) --out runs/",
        lambda f: [
            *followed(f"headstart fit {csv(f, frame())} --budget 30m --out {f}/runs/mine"),
            *followed("headstart fit digits --budget 2m --out runs/digits"),
        ],
    ),
}


def overview() -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main([])
    return out.getvalue()


def debugged(folder: Path) -> bool:
    """See the traceback that --debug promises."""
    with pytest.raises(HeadstartError, match=r"(?s)Traceback .*in fail"):
        failing(folder, KeyError("x"), "--debug")
    return True


def agreed(folder: Path) -> bool:
    data = hs.load(csv(folder, frame()))
    return company(2, data.fingerprint).agree_on(None) == hs.load(csv(folder, frame())).fingerprint


def chosen(most: float, *starts: str) -> Any:
    """Return those of some starts of pictures that have no more than so many million parameters."""
    asked = SimpleNamespace(starts=starts, like=None, licence="any", offline=False)
    return rank_verb._candidates(asked, hs.load((PIXELS, Y)), most)  # type: ignore[arg-type]


def left_out(most: float) -> list[str]:
    notes: list[str] = []
    with listen(lambda kind, fields: notes.append(str(fields.get("text")))):
        assert chosen(most, LITE, "scratch/simple-cnn")
    return notes


@pytest.mark.parametrize("name", CASES)
def test_what_a_command_advises_helps(name: str, follow, heard, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    follow(CASES[name])


def test_several_values_of_an_option_are_written_with_a_comma(tmp_path, capsys, heard):
    rows = [f"{i},{'ab'[i % 2]},{'xyz'[i % 3]}" for i in range(60)]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["n,one,two", *rows]) + "\n")
    words = ["--start", "scratch/mlp", "--dry-run", "--budget", "100s"]
    out = ["--out", str(tmp_path / "run")]
    assert main(["finetune", str(path), "--label", "one", "two", *words, *out]) == 2
    told = capsys.readouterr().err
    assert "with a comma between them" in told
    assert main(["finetune", str(path), "--label", "one,two", *words, *out]) == 0
    heard(told)
