"""What an audit advises is done, and then the audit has nothing more to say of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.auditing.audit import AuditTools
from headstart.auditing.audits import AUDITS
from headstart.data import load

RNG = np.random.default_rng(0)
N = 400


@dataclass(frozen=True)
class Case:
    """The audit, data that it doubts, what it says of them, and the data as it advises."""

    audit: str
    wrong: Callable[[Path], Any]
    said: str
    right: Callable[[Path], Any]


def rows(**columns: Any) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    return pd.DataFrame({"x": draw.normal(size=N), "y": draw.normal(size=N), **columns})


def patients() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    owner, sick = np.repeat(np.arange(60), 10), draw.integers(0, 2, 60)
    found = draw.normal(size=(60, 3))[owner] + draw.normal(0, 0.05, (600, 3))
    frame = pd.DataFrame(found, columns=["pulse", "weight", "gait"])
    frame["sick"], frame["patient"] = np.where(sick[owner], "yes", "no"), [f"P{i}" for i in owner]
    return frame.sample(frac=1, random_state=0).reset_index(drop=True)


def parts() -> pd.DataFrame:
    draw = np.random.default_rng(2)
    some, others = draw.integers(0, 300, N), draw.integers(0, 900, N)
    return rows(casual=some, registered=others, total=some + others)


def boats() -> pd.DataFrame:
    draw = np.random.default_rng(3)
    died = draw.integers(0, 2, N)
    return rows(
        boat=np.where((died == 1) | (draw.random(N) < 0.1), None, draw.choice(["B2", "C"], N)),
        died=died,
    )


def taxes() -> pd.DataFrame:
    draw = np.random.default_rng(4)
    level = draw.normal(size=N)
    return rows(tax=level + draw.normal(0, 0.12, N), price=10 + level)


def photos(folder: Path, sizes: tuple[int, int]) -> Any:
    draw = np.random.default_rng(5)
    for i in range(120):
        path = folder / "set" / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = sizes[i % 2]
        Image.fromarray(draw.integers(0, 256, (side, side, 3)).astype(np.uint8)).save(path)
    return load(str(folder / "set"))


def texts(folder: Path, fixes: bool) -> Any:
    draw = np.random.default_rng(6)
    said = [" ".join(f"w{w}" for w in draw.integers(0, 900, 14)) for _ in range(90)]
    split = np.where(np.arange(90) < 60, "train", "test")
    said[70:76] = [f"{text} signed" for text in said[10:16]]
    path = folder / "a.csv"
    pd.DataFrame({"text": said, "label": ["a", "b"] * 45, "split": split}).to_csv(path, index=False)
    if not fixes:
        return load(str(path))
    listed, out = str(folder / "fixes.csv"), str(folder / "out")
    hs.check(str(path), fix=listed, out=out, skip=["drift", "doubtful-labels", "shortcuts"])
    return load(str(path), fixes=listed)


CASES = {
    "patients on both sides": Case(
        "group leaks",
        lambda _: load(patients(), label="sick"),
        "give --group patient",
        lambda _: load(patients(), label="sick", group="patient"),
    ),
    "parts of a total": Case(
        "shortcut columns",
        lambda _: load(parts(), label="total"),
        "leave one of them or all out with --drop registered",
        lambda _: load(parts(), label="total", drop=["registered"]),
    ),
    "a cell after the outcome": Case(
        "shortcut columns",
        lambda _: load(boats(), label="died"),
        "--drop boat",
        lambda _: load(boats(), label="died", drop=["boat"]),
    ),
    "another form of the answer": Case(
        "shortcut columns",
        lambda _: load(taxes(), label="price"),
        "leave it out with --drop tax",
        lambda _: load(taxes(), label="price", drop=["tax"]),
    ),
    "sizes that tell the class": Case(
        "shortcuts",
        lambda f: photos(f, (40, 44)),
        "Make the images of all classes alike in it",
        lambda f: photos(f, (40, 40)),
    ),
    "texts on both sides": Case(
        "near texts",
        partial(texts, fixes=False),
        "headstart check --fix lists them",
        partial(texts, fixes=True),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_an_audit_advises_leaves_it_nothing_to_say(name: str, tmp_path: Path, heard) -> None:
    case = CASES[name]
    for side in ("wrong", "right"):
        (tmp_path / side).mkdir()

    def told(data: Any) -> list[str]:
        found = AUDITS[case.audit].run(data, AuditTools())
        return [
            each.finding.sentence for each in found if re.search(case.said, each.finding.sentence)
        ]

    before = told(case.wrong(tmp_path / "wrong"))
    assert before
    assert told(case.right(tmp_path / "right")) == []
    for sentence in before:
        heard(sentence)
