"""More advice that is followed to its end: what is refused or doubted, said, done, and then right.

As ``test_advice.py``; here groups, splits, data in memory, and folders of two readings.
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

from headstart.data import load
from headstart.errors import DataError, OptionError
from headstart.types import Dataset

N = 48
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
Y = np.where(np.arange(N) % 2, "yes", "no")
FLAGS = (X[:, :2] > 0).astype(int)
PICTURES = RNG.integers(0, 256, (N, 8, 8, 3)).astype(np.uint8)
DAYS = pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d").to_numpy()
MIXED = [RNG.choice(pd.date_range("2019", "2024").strftime("%Y-%m-%d"), N) for _ in "ab"]
Load = Callable[[Path], Any]


@dataclass(frozen=True)
class Case:
    """What is refused or doubted, what is said of it, and what does as is said."""

    wrong: Load
    said: str
    right: Load
    error: type[Exception] = DataError


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "label": Y, **columns})


def answered() -> pd.DataFrame:
    texts = [f"a text of number {i} that was judged" for i in range(N)]
    return pd.DataFrame({"text": texts, "label": Y, "answer": ["accept", "accept", "reject"] * 16})


def csv(folder: Path, table: pd.DataFrame, name: str = "a.csv", **how: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / name, index=False, **how)
    return folder / name


def picture(path: Path, i: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PICTURES[i]).save(path)


def folders(folder: Path, path: Callable[[int], str]) -> Path:
    for i in range(N):
        picture(folder / path(i), i)
    return folder


def by_class(folder: Path) -> Path:
    return folders(folder, lambda i: f"{Y[i]}/{i}.png")


def animals(folder: Path) -> Path:
    return folders(folder, lambda i: f"{Y[i]}/animal{i // 4}_{i}.png")


def flat(folder: Path) -> Path:
    return folders(folder, lambda i: f"{i:03d}.png")


def folds(folder: Path) -> Path:
    return folders(folder, lambda i: f"fold{i % 3 + 1}/{Y[i]}/{i}.png")


def as_said_of_folds(folder: Path) -> Path:
    return folders(
        folder, lambda i: f"{'test' if i % 3 == 0 else 'train'}/{Y[i]}/fold{i % 3 + 1}_{i}.png"
    )


def two_tables(folder: Path) -> Path:
    names = [f"{i:03d}.png" for i in range(N)]
    csv(flat(folder), pd.DataFrame({"image": names, "label": Y}), "one.csv")
    csv(folder, pd.DataFrame({"image": names, "label": Y[::-1]}), "two.csv")
    return folder


def table_beside(folder: Path) -> Path:
    names = [f"{Y[i]}/{i}.png" for i in range(N)]
    kinds = ["small", "large", "huge"] * (N // 3)
    csv(by_class(folder), pd.DataFrame({"image": names, "label": kinds}), "sizes.csv")
    return folder


def parts(folder: Path, **how: Any) -> Path:
    for i in range(2):
        csv(folder, frame().iloc[i::2], f"part-0000{i}.csv", **how)
    return folder


def torn() -> pd.DataFrame:
    split = np.where(np.arange(N) < 30, "train", "test")
    return frame(patient=[f"p{i // 4}" for i in range(N)], split=split)


def left_out_by_check(folder: Path) -> Dataset:
    import headstart as hs

    path, listed = csv(folder, torn()), str(folder / "fixes.csv")
    from functools import partial

    hs.check(partial(load, path, group="patient"), fix=listed, out=str(folder / "out"))
    return load(path, group="patient", fixes=listed)


def loader(folder: Path) -> Any:
    torch = pytest.importorskip("torch")

    rows = torch.utils.data.TensorDataset(
        torch.from_numpy(PICTURES), torch.tensor((Y == "yes").astype(int))
    )
    return torch.utils.data.DataLoader(rows, batch_size=4, shuffle=True)


def sparse(folder: Path) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix(X)


GROUPS = [f"g{i // 4}" for i in range(N)]
PATHS = [f"{Y[i]}/animal{i // 4}_{i}.png" for i in range(N)]
CASES = {
    "two groups of a class": Case(
        lambda _: load(frame(farm=np.where(Y == "yes", "x", GROUPS)), group="farm"),
        r"in 1 groups? only.*Add groups, or leave out --group",
        lambda _: load(frame(farm=GROUPS), group="farm"),
    ),
    "torn groups, without": Case(
        lambda f: load(csv(f, torn()), group="patient"), "leave out --group", lambda f: load(torn())
    ),
    "torn groups, check --fix": Case(
        lambda f: load(csv(f, torn()), group="patient"), "check --fix", left_out_by_check
    ),
    "pattern that is not found": Case(
        lambda f: load(animals(f), group="beast([0-9]+)_"),
        "Correct the pattern: it is looked for anywhere in the path",
        lambda f: load(animals(f), group="animal([0-9]+)_"),
    ),
    "pattern without parentheses": Case(
        lambda f: load(animals(f), group="animal[0-9]+_"),
        r"say 'folder', or .*such as 'animal\(\[0-9\]\+\)_'",
        lambda f: load(animals(f), group="animal([0-9]+)_"),
    ),
    "groups too few": Case(
        lambda f: load(animals(f), group=GROUPS[:-1]),
        "Give as many, or a dict of each path with its group",
        lambda f: load(animals(f), group=dict(zip(PATHS, GROUPS, strict=True))),
    ),
    "groups that lack a path": Case(
        lambda f: load(animals(f), group=dict(zip(PATHS[1:], GROUPS[1:], strict=True))),
        "Add it, or correct the names",
        lambda f: load(animals(f), group=dict(zip(PATHS, GROUPS, strict=True))),
    ),
    "group that is no column": Case(
        lambda f: load(csv(f, frame()), group="patient"),
        "Name a column, or from Python give the values|Did you mean|Name the group column",
        lambda f: load(frame(), group=GROUPS),
    ),
    "split by time without dates": Case(
        lambda f: load(csv(f, frame()), split="time"),
        "Name it with --date",
        lambda f: load(csv(f, frame(day=DAYS)), split="time", date=["day"]),
        OptionError,
    ),
    "two columns of dates": Case(
        lambda f: load(csv(f, frame(day=MIXED[0], end=MIXED[1])), split="time"),
        "--date (day|end)",
        lambda f: load(csv(f, frame(day=MIXED[0], end=MIXED[1])), split="time", date=["day"]),
    ),
    "separator and task": Case(
        lambda f: load(csv(f, frame(label="p;q")), separator=";", task="classification"),
        "Leave one of them out",
        lambda f: load(csv(f, frame(label=np.where(FLAGS[:, 0], "p;q", "q"))), separator=";"),
        OptionError,
    ),
    "a column with two roles": Case(
        lambda f: load(csv(f, frame()), numeric=["a"], categorical=["a"]),
        "Leave one out",
        lambda f: load(csv(f, frame()), numeric=["a"]),
        OptionError,
    ),
    "values for a column's name": Case(
        lambda _: load(frame(), label=FLAGS[:, 0]),
        r"load\(data\.assign\(label=values\), label='label'\)",
        lambda _: load(frame().assign(label=FLAGS[:, 0]), label="label"),
        OptionError,
    ),
    "splits without train": Case(
        lambda _: load({"val": frame(), "test": frame()}),
        "Expected the splits train, val and test",
        lambda _: load({"train": frame()[:30], "test": frame()[30:]}),
    ),
    "sparse X": Case(
        lambda f: load((sparse(f), Y)), r"X\.toarray\(\)", lambda f: load((sparse(f).toarray(), Y))
    ),
    "X with a column called as y": Case(
        lambda _: load((frame(), pd.Series(Y, name="label"))),
        "Rename y, or drop the column",
        lambda _: load((frame(), pd.Series(Y, name="kind"))),
    ),
    "one-hot y": Case(
        lambda _: load((X, np.eye(2)[(Y == "yes") * 1])),
        r"y\.argmax\(axis=1\)",
        lambda _: load((X, np.eye(2)[(Y == "yes") * 1].argmax(axis=1))),
    ),
    "y of several columns, one": Case(
        lambda _: load((X, pd.DataFrame(FLAGS, columns=["p", "q"]))),
        r"y\['p'\]",
        lambda _: load((X, pd.DataFrame(FLAGS, columns=["p", "q"])["p"])),
    ),
    "y of several columns, all": Case(
        lambda _: load((X, pd.DataFrame(FLAGS, columns=["p", "q"]))),
        r"y\.to_numpy\(\), with task='multi-label'",
        lambda _: load((X, pd.DataFrame(FLAGS, columns=["p", "q"]).to_numpy()), task="multi-label"),
    ),
    "a set of texts": Case(
        lambda _: load(({f"text {i}" for i in range(N)}, Y)),
        r"Give list\(",
        lambda _: load((list({f"some text of number {i}" for i in range(N)}), Y)),
    ),
    "a loader of batches": Case(
        lambda f: load(loader(f)), r"loader\.dataset", lambda f: load(loader(f).dataset)
    ),
    "images beside two tables": Case(
        lambda f: load(two_tables(f)),
        r"Give the path of the right one, for example .*one\.csv",
        lambda f: load(two_tables(f) / "one.csv"),
    ),
    "parts without a header": Case(
        lambda f: load(parts(f / "a", header=False)),
        "name the columns with --header",
        lambda f: load(parts(f / "a", header=False), header=["a", "b", "label"]),
    ),
    "a number where shapes are three-dimensional": Case(
        lambda _: load((np.zeros((N, 4, 8, 8, 8), np.uint8), Y)),
        "Expected uint8",
        lambda _: load((PICTURES[..., 0], Y)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_message_advises_succeeds(name: str, tmp_path: Path, heard) -> None:
    case = CASES[name]
    with pytest.raises(case.error) as refused:
        case.wrong(tmp_path / "wrong")
    assert re.search(case.said, str(refused.value)), str(refused.value)
    assert len(case.right(tmp_path / "right").train)
    heard(refused.value)


NOTES = {
    "folds": Case(
        lambda f: load(folds(f)),
        "name it test and move the others into train",
        lambda f: load(as_said_of_folds(f)),
    ),
    "a table beside class folders": Case(
        lambda f: load(table_beside(f)),
        "To learn what such a table says, give its path",
        lambda f: load(table_beside(f) / "sizes.csv"),
    ),
    "rows that were rejected": Case(
        lambda f: load(csv(f, answered())),
        "To use them, say --drop answer",
        lambda f: load(csv(f, answered()), drop=["answer"]),
    ),
    "patients inside class folders": Case(
        lambda f: load(folders(f, lambda i: f"{Y[i]}/p{i // 4}/{i}.png")),
        "say --group folder",
        lambda f: load(folders(f, lambda i: f"{Y[i]}/p{i // 4}/{i}.png"), group="folder"),
    ),
    "groups of one": Case(
        lambda f: load(animals(f), group="_([0-9]+)[.]"),
        "so --group changes nothing",
        lambda f: load(animals(f), group="animal([0-9]+)"),
    ),
    "days that mix": Case(
        lambda f: load(csv(f, frame(day=DAYS)), date=["day"]),
        r"say --split time \(split='time' of load\)",
        lambda f: load(csv(f, frame(day=DAYS)), date=["day"], split="time"),
    ),
}


@pytest.mark.parametrize("name", NOTES)
def test_what_a_note_advises_ends_the_doubt(name: str, tmp_path: Path, heard) -> None:
    case = NOTES[name]
    told = [found.sentence for found in case.wrong(tmp_path / "wrong").findings]
    assert any(re.search(case.said, sentence) for sentence in told), told
    found = case.right(tmp_path / "right")
    assert len(found.train)
    assert not any(re.search(case.said, finding.sentence) for finding in found.findings)
    for sentence in told:
        if re.search(case.said, sentence):
            heard(sentence)
