"""Still more advice that is followed: lists of fixes, groups, targets, shapes, notes on columns.

As ``test_advice.py`` and ``test_advice_followed.py``; ``tests/advice.py`` counts all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.data import load
from headstart.errors import DataError, HeadstartError, OptionError

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
Y = np.where(np.arange(N) % 2, "yes", "no")
WORDS = [f"{'good' if i % 2 else 'bad'} text of number {i} here" for i in range(N)]
Load = Callable[[Path], Any]


@dataclass(frozen=True)
class Case:
    """What is refused or doubted, what is said of it, and what does as is said."""

    wrong: Load
    said: str
    right: Load
    error: type[HeadstartError] = DataError


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "label": Y, **columns})


def csv(folder: Path, table: pd.DataFrame, name: str = "a.csv") -> str:
    table.to_csv(folder / name, index=False)
    return str(folder / name)


def listed(folder: Path, text: str, table: pd.DataFrame | None = None) -> Any:
    """Load a table with a list of fixes of this text."""
    (folder / "fixes.csv").write_text(text)
    data = csv(folder, frame() if table is None else table)
    return load(data, fixes=str(folder / "fixes.csv"))


def parted() -> pd.DataFrame:
    return frame(split=np.array(["train", "val", "test"])[np.arange(N) % 3])


def pictures(folder: Path, name: Callable[[int], str]) -> str:
    draw = np.random.default_rng(0)
    for i in range(N):
        path = folder / "set" / name(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(path)
    return str(folder / "set")


def by_class(folder: Path) -> str:
    return pictures(folder, lambda i: f"{Y[i]}/animal{i // 4}_{i}.png")


def in_folders(folder: Path) -> str:
    return pictures(folder, lambda i: f"{Y[i]}/animal{i // 4}/{i}.png")


def lines(folder: Path, first: str) -> str:
    path = folder / "train.txt"
    path.write_text("\n".join([*(f"__label__{Y[i]} {WORDS[i]}" for i in range(N)), first]))
    return str(path)


ACT = "sample,action\n"
GROUPS = [f"g{i // 4}" for i in range(N)]
TIED = pd.Series(GROUPS, index=range(100, 100 + N))
CASES = {
    # lists of fixes
    "fixes that are no path": Case(
        lambda f: load(frame(), fixes=7),
        "check DATA --fix LIST.csv",
        lambda f: listed(f, ACT),
        OptionError,
    ),
    "fixes that are not there": Case(
        lambda f: load(frame(), fixes=str(f / "none.csv")),
        "correct the name, or leave out --fixes",
        lambda f: load(frame()),
    ),
    "fixes without a column": Case(
        lambda f: listed(f, "name,what\nrow 3,leave out\n"),
        "with the columns",
        lambda f: listed(f, f"{ACT}row 3,leave out\n"),
    ),
    "fixes of another action": Case(
        lambda f: listed(f, f"{ACT}row 3,leave outt\n"),
        "Did you mean 'leave out'",
        lambda f: listed(f, f"{ACT}row 3,leave out\n"),
    ),
    "fixes that say two things": Case(
        lambda f: listed(f, f"{ACT}row 3,leave out\nrow 3,look\n"),
        "Remove one of the lines",
        lambda f: listed(f, f"{ACT}row 3,leave out\n"),
    ),
    "fixes for other data": Case(
        lambda f: listed(f, ACT + "".join(f"row {i},leave out\n" for i in range(500, 540))),
        "Make one for these: headstart check",
        lambda f: hs.check(frame(), fix=str(f / "new.csv"), out=str(f / "out")),
    ),
    "fixes that leave out all": Case(
        lambda f: listed(f, ACT + "".join(f"row {i + 1},leave out\n" for i in range(N))),
        "Change its actions",
        lambda f: listed(f, ACT + "".join(f"row {i + 1},look\n" for i in range(N))),
    ),
    "fixes that empty a split": Case(
        lambda f: listed(f, ACT + "".join(f"row {i + 1},train\n" for i in range(N))),
        "so that some samples stay in",
        lambda f: listed(f, f"{ACT}row 3,train\n"),
    ),
    "fixes that take train a class": Case(
        lambda f: listed(
            f, ACT + "".join(f"row {i + 1},test\n" for i in range(N) if Y[i] == "yes")
        ),
        "so that some of it stays in train",
        lambda f: listed(f, f"{ACT}row 2,test\n"),
    ),
    # groups
    "one group": Case(
        lambda f: load(frame(farm="x"), group="farm"),
        "Correct --group, or leave it out",
        lambda f: load(frame(farm=GROUPS), group="farm"),
    ),
    "groups of two columns": Case(
        lambda f: load(frame(), group=np.stack([GROUPS, GROUPS], axis=1)),
        r"Give one column of it, such as group\[:, 0\]",
        lambda f: load(frame(), group=np.stack([GROUPS, GROUPS], axis=1)[:, 0]),
    ),
    "a group that is empty": Case(
        lambda f: load(frame(), group=[None, *GROUPS[1:]]),
        "Fill it in, or leave these out",
        lambda f: load(frame(), group=GROUPS),
    ),
    "groups of another index": Case(
        lambda f: load(frame().set_index(pd.Index(range(7, 7 + N))), group=TIED),
        r"Give group\.to_numpy\(\)",
        lambda f: load(frame().set_index(pd.Index(range(7, 7 + N))), group=TIED.to_numpy()),
        OptionError,
    ),
    "two pairs of parentheses": Case(
        lambda f: load(by_class(f), group="(animal)([0-9]+)_"),
        r"Write \(\?:…\) for the others",
        lambda f: load(by_class(f), group="(?:animal)([0-9]+)_"),
        OptionError,
    ),
    "a pattern that is none": Case(
        lambda f: load(by_class(f), group="animal([0-9]+_"),
        r"such as 'animal\(\[0-9\]\+\)_'",
        lambda f: load(by_class(f), group="animal([0-9]+)_"),
        OptionError,
    ),
    "no folders of groups": Case(
        lambda f: load(by_class(f), group="folder"),
        "Move them into one, or give a pattern",
        lambda f: load(in_folders(f), group="folder"),
    ),
    "groups and days": Case(
        lambda f: load(
            frame(farm=GROUPS, day=pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d")),
            split="time",
            group="farm",
        ),
        "Leave out --group, or --split",
        lambda f: load(frame(farm=GROUPS), group="farm"),
        HeadstartError,
    ),
    "a class in one group": Case(
        lambda f: load(frame(farm=np.where(Y == "yes", "x", GROUPS)), group="farm"),
        "Add groups",
        lambda f: load(frame(farm=GROUPS), group="farm"),
    ),
    # targets
    "words as numbers": Case(
        lambda f: load(frame(), task="regression"),
        "or say --task classification",
        lambda f: load(frame(), task="classification"),
    ),
    "a number that is missing": Case(
        lambda f: load(frame(label=[np.inf, *X[1:, 2]]), task="regression"),
        "Fill it in or remove the sample",
        lambda f: load(frame(label=X[:, 2]), task="regression"),
    ),
    "one number alone": Case(
        lambda f: load(frame(label=2.5), task="regression"),
        "Name another column with --label",
        lambda f: load(frame(label=2.5), task="regression", label="b"),
    ),
    "sets in a cell without a separator": Case(
        lambda f: load(frame(label=np.where(Y == "yes", "p;q", "q")), task="multi-label"),
        "for example --separator",
        lambda f: load(frame(label=np.where(Y == "yes", "p;q", "q")), separator=";"),
        OptionError,
    ),
    "lists in lists": Case(
        lambda f: load(frame(label=[[["p"], ["q"]]] * N)),
        "Name another column with --label",
        lambda f: load(frame(label=[["p"]] * N, kind=Y), label="kind", drop=["label"]),
    ),
    "a word among lists": Case(
        lambda f: load(frame(label=[["p", "q"], *([["p"], ["q"]] * N)[: N - 2], "p"])),
        "Make it a list too",
        lambda f: load(frame(label=[["p", "q"], *([["p"], ["q"]] * N)[: N - 2], ["p"]])),
    ),
    "a word among numbers": Case(
        lambda f: load(frame(label=[*X[1:, 2], "much"])),
        "or say --task classification if all of them are classes|Correct it",
        lambda f: load(frame(label=X[:, 2])),
    ),
    # data in memory
    "an empty X": Case(lambda f: load((X[:0], [])), "Give some", lambda f: load((X, Y))),
    "complex numbers": Case(
        lambda f: load((X.astype(complex), Y)),
        "to its magnitude",
        lambda f: load((np.abs(X.astype(complex)), Y)),
    ),
    "four parts": Case(
        lambda f: load((X[:40], X[40:], Y[:40], Y[40:])),
        r"Give \{'train': \(X_train, y_train\)",
        lambda f: load({"train": (X[:40], Y[:40]), "test": (X[40:], Y[40:])}),
    ),
    "columns of two lengths": Case(
        lambda f: load({"a": [1.0, 2.0, 3.0], "label": ["x", "y"]}),
        "Correct the lists",
        lambda f: load({"a": X[:, 0].tolist(), "label": Y.tolist()}),
    ),
    "an empty list": Case(lambda f: load([]), r"Give \(X, y\), or records", lambda f: load((X, Y))),
    "a split of another name": Case(
        lambda f: load({"train": frame()[:30], "test": frame()[30:], "extra": frame()[:5]}),
        "Leave it out",
        lambda f: load({"train": frame()[:30], "test": frame()[30:]}),
    ),
    # files
    "a line without a label": Case(
        lambda f: load(lines(f, "a text without one")),
        "Give it a label, or remove it",
        lambda f: load(lines(f, "__label__yes a good text")),
    ),
    "an empty cell of a split": Case(
        lambda f: load(csv(f, frame(split=[None, *parted()["split"][1:]]))),
        "Fill it in for every row",
        lambda f: load(csv(f, frame(split=["UNASSIGNED", *parted()["split"][1:]]))),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_data_helps(name: str, tmp_path: Path, heard) -> None:
    case = CASES[name]
    for side in ("wrong", "right"):
        (tmp_path / side).mkdir()
    with pytest.raises(case.error) as refused:
        case.wrong(tmp_path / "wrong")
    assert re.search(case.said, str(refused.value)), str(refused.value)
    case.right(tmp_path / "right")
    heard(refused.value)


AMOUNTS = [f"{i}.{i % 100:02d}" for i in range(N)]
NOTES = {
    "placeholders": Case(
        lambda f: load(csv(f, frame(c=np.where(np.arange(N) % 9, AMOUNTS, "-")))),
        "--categorical c keeps them",
        lambda f: load(
            csv(f, frame(c=np.where(np.arange(N) % 9, AMOUNTS, "-"))), categorical=["c"]
        ),
    ),
    "codes": Case(
        lambda f: load(csv(f, frame(c=[f"{i % 8:04d}" for i in range(N)]))),
        "--numeric c reads them as numbers",
        lambda f: load(csv(f, frame(c=[f"{i % 8:04d}" for i in range(N)])), numeric=["c"]),
    ),
    "numbers like dates": Case(
        lambda f: load(csv(f, frame(c=[20240101 + i % 28 for i in range(N)]))),
        "--date c reads them as dates",
        lambda f: load(csv(f, frame(c=[20240101 + i % 28 for i in range(N)])), date=["c"]),
    ),
    "decimal commas": Case(
        lambda f: load(csv(f, frame(c=[f"{i},{i % 100:02d}" for i in range(N)]))),
        "say --categorical c",
        lambda f: load(
            csv(f, frame(c=[f"{i},{i % 100:02d}" for i in range(N)])), categorical=["c"]
        ),
    ),
    "lists of one": Case(
        lambda f: load(frame(label=[[y] for y in Y])),
        "say --task multi-label otherwise",
        lambda f: load(frame(label=[[y] for y in Y]), task="multi-label"),
    ),
    "classes as if several": Case(
        lambda f: load((WORDS, np.array(["p;q", "p", "q"])[np.arange(N) % 3])),
        "say --separator ';'",
        lambda f: load((WORDS, np.array(["p;q", "p", "q"])[np.arange(N) % 3]), separator=";"),
    ),
    "numbers of two meanings": Case(
        lambda f: load(frame(label=np.arange(N) % 6)),
        "say --task regression otherwise",
        lambda f: load(frame(label=np.arange(N) % 6), task="regression"),
    ),
    "folders in folders": Case(
        lambda f: load(
            pictures(f, lambda i: f"{Y[i]}/farm{i // 12}/animal{i // 4}/{i}.png"), group="folder"
        ),
        r"For the innermost say --group '\(\[\^/\]\+\)/\[\^/\]\+\$'",
        lambda f: load(
            pictures(f, lambda i: f"{Y[i]}/farm{i // 12}/animal{i // 4}/{i}.png"),
            group="([^/]+)/[^/]+$",
        ),
    ),
}


@pytest.mark.parametrize("name", NOTES)
def test_what_a_note_of_data_advises_ends_the_doubt(name: str, tmp_path: Path, heard) -> None:
    case = NOTES[name]
    for side in ("wrong", "right"):
        (tmp_path / side).mkdir()
    told = [found.sentence for found in case.wrong(tmp_path / "wrong").findings]
    said = [sentence for sentence in told if re.search(case.said, sentence)]
    assert said, told
    found = case.right(tmp_path / "right")
    assert not any(re.search(case.said, finding.sentence) for finding in found.findings)
    heard(said[0])
