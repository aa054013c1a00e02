"""Advice of the verbs, their options, and of new samples: refused, said, done, and then right.

As ``tests/data/test_advice.py``, which is about reading; ``tests/advice.py`` counts which sentences
of the source are followed. A case is what is done first, what is then said, and what does as it is
said; ``run`` is a finished run on a table, its test rows lie in ``rows.csv``.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.cli import main
from headstart.errors import DataError, HeadstartError, OptionError, RunFolderError, StartError
from headstart.recipes.run import Run

RNG = np.random.default_rng(0)
N = 90
TEXTS = [f"{'good' if i % 2 else 'bad'} text of number {i}" for i in range(N)]
Do = Callable[["Place"], Any]


@dataclass(frozen=True)
class Place:
    """Where a case happens: a folder of its own, and the finished run."""

    folder: Path
    run: str

    def path(self, name: str, content: str | None = None) -> str:
        """Return the path of a file, which is written where its content is given."""
        if content is not None:
            (self.folder / name).write_text(content)
        return str(self.folder / name)

    def rows(self, name: str = "rows.csv", **columns: Any) -> str:
        """Return the path of a table of new rows."""
        frame = pd.DataFrame({"Id": range(12), "x": np.linspace(-2, 2, 12), "z": 0.5, **columns})
        frame.to_csv(self.folder / name, index=False)
        return str(self.folder / name)

    def copied(self) -> Path:
        """Return a copy of the run."""
        return Path(shutil.copytree(self.run, self.folder / "copy", dirs_exist_ok=True))


@dataclass(frozen=True)
class Case:
    """What is refused, what is said, and what is then done."""

    wrong: Do
    said: str
    right: Do
    error: type[HeadstartError] = OptionError


def table(**columns: Any) -> pd.DataFrame:
    x = np.random.default_rng(0).normal(size=N)
    z = np.random.default_rng(1).normal(size=N)
    return pd.DataFrame({"x": x, "z": z, "kind": np.where(x > 0, "yes", "no"), **columns})


def tuned(data: Any, out: str, **said: Any) -> Any:
    known = {"start": "scratch/linear", "device": "cpu", **said}
    return hs.finetune(data, out=out, **known)


def by_kind(place: Place, **said: Any) -> Any:
    return tuned(hs.load(table(), label="kind"), place.path("own"), **said)


def labelled(place: Place, name: str, seed: int = 5, kind: Any = None) -> partial[Any]:
    x = np.random.default_rng(seed).normal(size=30)
    labels = np.where(x > 0, "yes", "no") if kind is None else np.resize(kind, 30)
    path = place.folder / name
    pd.DataFrame({"x": x, "z": 0.25, "kind": labels}).to_csv(path, index=False)
    return partial(hs.load, str(path), label="kind")


def predicted(place: Place, sample: str | None, **said: Any) -> Any:
    like = None if sample is None else place.path("sample.csv", sample)
    said = {"out": place.path("out.csv"), **said}
    return hs.predict(place.run, [place.rows()], like=like, **said)


def sample_of(ids: Any, answer: str = "no", column: str = "kind") -> str:
    return "\n".join([f"Id,{column}", *(f"{i},{answer}" for i in ids), ""])


def without(place: Place, name: str) -> str:
    (place.copied() / name).unlink()
    return str(place.folder / "copy")


def damaged(place: Place, name: str) -> str:
    (place.copied() / name).write_text("{")
    return str(place.folder / "copy")


def anew(place: Place) -> Any:
    folder = str(place.copied())
    by = hs.load(table(), label="kind")
    return tuned(by, folder, overwrite=True, num_steps=2)


def said_to(words: list[str]) -> None:
    """Run a command line; raise what it says where it ends with another code than 0."""
    import contextlib
    import io

    with contextlib.redirect_stderr(io.StringIO()) as told:
        code = main(words)
    if code:
        raise OptionError(told.getvalue())


def own_module(**said: Any) -> Any:
    from torch import nn

    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    pixels = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3)).astype(np.uint8)
    data = hs.load((pixels, np.where(np.arange(40) % 2, "a", "b")))
    return data, {"start": net, "num_steps": 2, "strategy": "full", **said}


def spec() -> Any:
    return hs.ImageSpec(12, 3, (0.5,) * 3, (0.25,) * 3, "bilinear", 12, 3)


FIXES = "sample,action\nrow 3,look\n"
CASES = {
    # check
    "fix is a folder": Case(
        lambda p: hs.check(table(), fix=str(p.folder)),
        "--fix fixes.csv",
        lambda p: hs.check(
            partial(hs.load, table(), label="kind"), fix=p.path("fixes.csv"), out=p.path("o")
        ),
    ),
    "fix exists": Case(
        lambda p: hs.check(table(), fix=p.path("a.csv", FIXES)),
        "or replace it with --overwrite",
        lambda p: hs.check(
            partial(hs.load, table(), label="kind"),
            fix=p.path("a.csv", FIXES),
            out=p.path("o"),
            overwrite=True,
        ),
        RunFolderError,
    ),
    "fix is the data": Case(
        lambda p: hs.check(table(), fix=p.rows(), overwrite=True),
        "Choose another --fix",
        lambda p: hs.check(
            partial(hs.load, table(), label="kind"), fix=p.path("b.csv"), out=p.path("o")
        ),
        RunFolderError,
    ),
    "an audit of another name": Case(
        lambda p: hs.check(table(), skip=["drifts"]),
        "Did you mean 'drift'",
        lambda p: hs.check(
            partial(hs.load, table(), label="kind"), skip=["drift"], out=p.path("o")
        ),
    ),
    # evaluate
    # compare, runs, slices
    "one run is compared": Case(
        lambda p: hs.compare([p.run]),
        "Name them one after the other",
        lambda p: hs.compare([p.run, str(p.copied())]),
    ),
    "a run is compared with itself": Case(
        lambda p: hs.compare([p.run, p.run]),
        "Name it once",
        lambda p: hs.compare([p.run, str(p.copied())]),
    ),
    "what is compared is no run": Case(
        lambda p: hs.compare([p.run, str(p.folder)]),
        "Name that folder",
        lambda p: hs.compare([p.run, str(p.copied())]),
        RunFolderError,
    ),
    "a compared run has lost its answers": Case(
        lambda p: hs.compare([p.run, without(p, "predictions.parquet")]),
        "again with --overwrite",
        lambda p: hs.compare([p.run, str(anew(p).path)]),
        RunFolderError,
    ),
    "a list of no runs": Case(
        lambda p: hs.list_runs(str(p.folder)),
        "headstart fit DATA --out .*first' makes one",
        lambda p: (
            tuned(hs.load(table(), label="kind"), p.path("first"), num_steps=2)
            and hs.list_runs(str(p.folder))
        ),
        RunFolderError,
    ),
    "runs sorted by what is not there": Case(
        lambda p: hs.list_runs(str(p.copied()), sort="accuracies"),
        "Did you mean 'accuracy'.*Write one of",
        lambda p: hs.list_runs(str(p.copied()), sort="accuracy"),
    ),
    "a list that is a folder": Case(
        lambda p: hs.list_runs(str(p.copied()), csv=str(p.folder)),
        "such as runs.csv",
        lambda p: hs.list_runs(str(p.copied()), csv=p.path("runs.csv")),
        RunFolderError,
    ),
    "a slice of another column": Case(
        lambda p: hs.evaluate(p.run, hs.load(table(), label="kind"), slice=["y"]),
        "expected one of 'x', 'z'.*leave --slice out",
        lambda p: hs.evaluate(p.run, hs.load(table(), label="kind"), slice=["x"]),
    ),
    "evaluate without the data": Case(
        lambda p: hs.evaluate(p.run),
        r"Give the data: headstart evaluate .* DATA",
        lambda p: hs.evaluate(p.run, labelled(p, "new.csv")),
        DataError,
    ),
    "evaluate of another kind": Case(
        lambda p: hs.evaluate(p.run, hs.load((TEXTS, ["a", "b"] * (N // 2)))),
        "Evaluate on data of the same kind",
        lambda p: hs.evaluate(p.run, labelled(p, "new.csv")),
        DataError,
    ),
    "evaluate of another class": Case(
        lambda p: hs.evaluate(p.run, labelled(p, "new.csv", kind=["yes", "maybe"])),
        "Evaluate on data with the same classes",
        lambda p: hs.evaluate(p.run, labelled(p, "new.csv")),
        DataError,
    ),
    "evaluate of what was learned from": Case(
        lambda p: hs.evaluate(p.run, learned_from(p)),
        "Give data that it has not seen",
        lambda p: hs.evaluate(p.run, labelled(p, "new.csv")),
        DataError,
    ),
    "evaluate an unfinished run": Case(
        lambda p: hs.evaluate(without(p, "metrics.json"), labelled(p, "new.csv")),
        "repeat the command that began it",
        lambda p: hs.evaluate(anew(p), labelled(p, "new.csv")),
        RunFolderError,
    ),
    "changed data": Case(
        lambda p: changed(p, is_put_back=False),
        "Put it back; or headstart evaluate",
        lambda p: changed(p, is_put_back=True),
        DataError,
    ),
    "moved data": Case(
        lambda p: changed(p, is_put_back=False, is_moved=True),
        "Say where it is now: headstart evaluate",
        lambda p: hs.evaluate(p.run, labelled(p, "new.csv")),
        DataError,
    ),
    # predict
    "an encoding that nobody knows": Case(
        lambda p: hs.predict(p.run, [p.rows()], encoding="utf9"),
        "expected one such as",
        lambda p: hs.predict(p.run, [p.rows()], encoding="utf-8"),
    ),
    "like without out": Case(
        lambda p: predicted(p, sample_of(range(3)), out=None),
        "Add --out submission.csv",
        lambda p: predicted(p, sample_of(range(3)), out=p.path("submission.csv")),
    ),
    "out of no form": Case(
        lambda p: predicted(p, None, out=p.path("answers.doc")),
        "Say --out answers.csv",
        lambda p: predicted(p, None, out=p.path("answers.csv")),
    ),
    "out is what is predicted": Case(
        lambda p: predicted(p, None, out=p.rows()),
        "Say another file, such as --out answers.csv",
        lambda p: predicted(p, None, out=p.path("answers.csv")),
    ),
    "like and out are one": Case(
        lambda p: predicted(p, sample_of(range(3)), out=p.path("sample.csv")),
        "Give another --out, such as submission.csv",
        lambda p: predicted(p, sample_of(range(3)), out=p.path("submission.csv")),
    ),
    "out cannot be written": Case(
        lambda p: predicted(p, sample_of(range(3)), out=p.path("no/folder/out.csv")),
        "Say another file with --out",
        lambda p: predicted(p, sample_of(range(3))),
        RunFolderError,
    ),
    "a sample of one column": Case(
        lambda p: predicted(p, "Id\n1\n2\n"),
        "Give the sample that the competition has",
        lambda p: predicted(p, sample_of(range(3))),
        DataError,
    ),
    "an id twice": Case(
        lambda p: predicted(p, sample_of([1, 1, 2])),
        "Give a sample of that form",
        lambda p: predicted(p, sample_of([1, 2])),
        DataError,
    ),
    "ids without a prediction": Case(
        lambda p: predicted(p, sample_of([1, 99])),
        "Give the files of these, too",
        lambda p: predicted(p, sample_of([1, 9])),
        DataError,
    ),
    "columns that are no classes": Case(
        lambda p: predicted(p, "Id,red,blue\n1,0.5,0.5\n"),
        "Rename them in the sample, or take them out",
        lambda p: predicted(p, "Id,no,yes\n1,0.5,0.5\n"),
        DataError,
    ),
    "a column that is missing": Case(
        lambda p: Run(p.run).predict([{"x": 1.0}, {"x": 2.0, "z": 0.1}]),
        "Give every row the same columns; a cell that is not known may be None",
        lambda p: Run(p.run).predict([{"x": 1.0, "z": None}, {"x": 2.0, "z": 0.1}]),
        DataError,
    ),
    "one row": Case(
        lambda p: Run(p.run).predict({"x": 1.0, "z": 0.2}),
        "Put it into a list",
        lambda p: Run(p.run).predict([{"x": 1.0, "z": 0.2}]),
        DataError,
    ),
    "no row": Case(
        lambda p: Run(p.run).predict(pd.DataFrame({"x": [], "z": []})),
        "Give at least one row",
        lambda p: Run(p.run).predict(pd.DataFrame({"x": [1.0], "z": [0.0]})),
        DataError,
    ),
    "words among numbers": Case(
        lambda p: hs.predict(p.run, [p.rows(x="much")]),
        "Correct them, or name the column with --categorical when training",
        lambda p: hs.predict(p.run, [p.rows()]),
        DataError,
    ),
    "two names for one sample": Case(
        lambda p: Run(p.run).predict([{"x": 1.0, "z": 0.2}], names=["a", "b"]),
        "Give as many names, or none",
        lambda p: Run(p.run).predict([{"x": 1.0, "z": 0.2}], names=["a"]),
        HeadstartError,
    ),
    # runs
    "no run folder": Case(
        lambda p: hs.predict(p.path("own"), [p.rows()]),
        "'headstart fit DATA --out .*' makes one",
        lambda p: hs.predict(str(by_kind(p, num_steps=2).path), [p.rows()]),
        RunFolderError,
    ),
    "a damaged run": Case(
        lambda p: hs.evaluate(damaged(p, "data.json"), labelled(p, "new.csv")),
        "Run the training again with --overwrite|Start anew with --overwrite",
        lambda p: hs.evaluate(anew(p), labelled(p, "new.csv")),
        RunFolderError,
    ),
    "a report without figures": Case(
        lambda p: hs.report(without(p, "metrics.json")),
        "Run the training again with --overwrite|--resume",
        lambda p: hs.report(str(anew(p).path)),
        RunFolderError,
    ),
    "a folder that is not empty": Case(
        lambda p: tuned(hs.load(table(), label="kind"), str(p.copied()), num_steps=2),
        "--overwrite to replace it, or choose another --out",
        anew,
        RunFolderError,
    ),
    "a folder of other files": Case(
        lambda p: tuned(
            hs.load(table(), label="kind"), str(Path(p.rows()).parent), overwrite=True, num_steps=2
        ),
        "Choose another --out, or move these files away",
        lambda p: by_kind(p, num_steps=2),
        RunFolderError,
    ),
    "out is a file": Case(
        lambda p: tuned(hs.load(table(), label="kind"), p.rows(), num_steps=2),
        "Choose another --out",
        lambda p: by_kind(p, num_steps=2),
        RunFolderError,
    ),
    "resume and overwrite": Case(
        lambda p: by_kind(p, num_steps=2, resume=True, overwrite=True),
        "Leave --overwrite out to go on with the run, or --resume to replace it",
        lambda p: by_kind(p, num_steps=2, overwrite=True),
    ),
    "resume a finished run": Case(
        lambda p: tuned(hs.load(table(), label="kind"), str(p.copied()), num_steps=2, resume=True),
        "Choose another --out, or say --overwrite in place of --resume",
        lambda p: by_kind(p, num_steps=2) and anew(p),
        RunFolderError,
    ),
    "resume where nothing was begun": Case(
        lambda p: by_kind(p, num_steps=2, resume=True),
        "holds no unfinished run; .* Leave --resume out",
        lambda p: by_kind(p, num_steps=2),
        RunFolderError,
    ),
    "resume and dry run": Case(
        lambda p: by_kind(p, num_steps=2, resume=True, dry_run=True),
        "Leave --resume out to see the plan of a new run",
        lambda p: by_kind(p, num_steps=2, dry_run=True),
    ),
    # options
    "a budget that is no time": Case(
        lambda p: by_kind(p, budget="soon"), "for example 90s", lambda p: by_kind(p, budget="90s")
    ),
    "a budget too short": Case(
        lambda p: by_kind(p, budget="2s"), "Raise --budget", lambda p: by_kind(p, budget="20s")
    ),
    "a device that is not there": Case(
        lambda p: by_kind(p, device="cuda:7", num_steps=2),
        "Use --device cpu",
        lambda p: by_kind(p, device="cpu", num_steps=2),
        HeadstartError,
    ),
    "fp16 on a CPU": Case(
        lambda p: by_kind(p, precision="fp16", num_steps=2),
        "Use --precision bf16 or fp32",
        lambda p: by_kind(p, precision="fp32", num_steps=2),
        HeadstartError,
    ),
    "muon where no kernel learns": Case(
        lambda p: by_kind(p, optimizer="muon", num_steps=2, strategy="full"),
        "Choose adamw",
        lambda p: by_kind(p, optimizer="adamw", num_steps=2, strategy="full"),
    ),
    "smoothing without classes": Case(
        lambda p: tuned(
            hs.load(table(kind=np.linspace(0.5, 9.1, N)), label="kind"),
            p.path("own"),
            label_smoothing=0.1,
            strategy="full",
            num_steps=2,
        ),
        "Leave these options out",
        lambda p: tuned(
            hs.load(table(kind=np.linspace(0.5, 9.1, N)), label="kind"),
            p.path("own"),
            strategy="full",
            num_steps=2,
        ),
    ),
    "a start for images": Case(
        lambda p: by_kind(p, start="scratch/simple-cnn", num_steps=2),
        "Choose one that 'headstart starts --modality table' lists",
        lambda p: by_kind(p, start="scratch/mlp", num_steps=2),
        StartError,
    ),
    "a run on a table as a start": Case(
        lambda p: by_kind(p, start=str(p.copied()), num_steps=2),
        "Expected 'scratch/linear', .*. Choose one of them",
        lambda p: by_kind(p, start="scratch/mlp", num_steps=2),
        StartError,
    ),
    "a start that nobody knows": Case(
        lambda p: by_kind(p, start="scratch/lineal", num_steps=2),
        "Did you mean 'scratch/linear'",
        lambda p: by_kind(p, start="scratch/linear", num_steps=2),
        StartError,
    ),
    "a module without its preprocessing": Case(
        lambda p: finetuned(p, *own_module()),
        r"Give spec=ImageSpec\(",
        lambda p: finetuned(p, *own_module(spec=spec())),
    ),
    "out is the start": Case(
        lambda p: from_itself(p, "run"),
        "Choose another --out",
        lambda p: from_itself(p, "other"),
    ),
    # the command line
    "options of another verb": Case(
        lambda p: said_to(["fit", "--from", str(p.copied())]),
        "Use 'headstart finetune",
        lambda p: said_to(["finetune", "--help"]),
    ),
    "an option before its command": Case(
        lambda p: said_to(["--budget", "10m", "fit", "digits"]),
        "Options of a command come after it",
        lambda p: said_to(["fit", "digits", "--budget", "10m", "--help"]),
    ),
    "seconds out of range": Case(
        lambda p: hs.doctor(seconds=0),
        "Ten are enough",
        lambda p: hs.doctor(seconds=0.2),
    ),
}


def learned_from(place: Place) -> Any:
    """Return rows that the run has learned from, as labelled data."""
    record = json.loads((Path(place.run) / "data.json").read_text())
    assert record["split_contents"]
    train = hs.load(table(), label="kind").train
    rows = pd.DataFrame([train.samples.read(i) for i in range(len(train))])
    rows["kind"] = np.array(["no", "yes"])[train.targets]
    path = place.folder / "learned.csv"
    rows.to_csv(path, index=False)
    return partial(hs.load, str(path), label="kind")


def changed(place: Place, *, is_put_back: bool, is_moved: bool = False) -> Any:
    """Return figures of a run whose file was changed after it, and put back or not."""
    path = place.folder / "data.csv"
    table().to_csv(path, index=False)
    run = tuned(hs.load(str(path), label="kind"), place.path("of-file"), num_steps=2)
    if is_moved:
        path.rename(place.folder / "moved.csv")
    elif not is_put_back:
        table().iloc[3:].to_csv(path, index=False)
    return hs.evaluate(str(run.path))


def from_itself(place: Place, out: str) -> Any:
    """Return a run that begins where another has ended, in a folder of this name."""
    data, said = own_module(spec=spec())
    said |= {"start": "scratch/simple-cnn", "device": "cpu"}
    hs.finetune(data, out=place.path("run"), **said)
    said |= {"start": place.path("run"), "overwrite": True}
    return hs.finetune(data, out=place.path(out), **{k: v for k, v in said.items() if k != "spec"})


def finetuned(place: Place, data: Any, said: dict[str, Any]) -> Any:
    return hs.finetune(data, out=place.path("own"), device="cpu", **said)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("advice") / "run"
    return str(tuned(hs.load(table(), label="kind"), str(folder), num_steps=20).path)


@pytest.mark.parametrize("name", CASES)
def test_what_a_verb_advises_succeeds(name, run, tmp_path, monkeypatch, heard) -> None:
    monkeypatch.chdir(tmp_path)
    case = CASES[name]
    for side in ("wrong", "right"):
        (tmp_path / side).mkdir()
    with pytest.raises(case.error) as refused:
        case.wrong(Place(tmp_path / "wrong", run))
    assert re.search(case.said, str(refused.value)), str(refused.value)
    assert case.right(Place(tmp_path / "right", run)) is not False
    heard(refused.value)
