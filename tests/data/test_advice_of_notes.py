"""What is told of data, or refused of groups, splits and lists of fixes, is done as it says."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from advised import PIXELS, TEXTS, Case, N, X, Y, csv, frame, photos, told
from PIL import Image

import headstart as hs
from headstart.data import load

DAYS = pd.date_range("2024-01-01", periods=N).strftime("%Y%m%d").astype(int)
GROUPS = [f"g{i // 4}" for i in range(N)]
SIDES = np.array(["train", "train", "test"])[np.arange(N) % 3]
QUICK: dict[str, Any] = {"start": "scratch/simple-cnn", "num_steps": 1, "device": "cpu"}


def copied(folder: Path) -> str:
    table = frame(split=SIDES)
    table.loc[2, ["a", "b", "label"]] = table.loc[1, ["a", "b", "label"]]
    table.loc[5, ["a", "b", "label"]] = table.loc[4, ["a", "b", "label"]]
    return csv(folder, table)


def without_copies(folder: Path) -> Any:
    listed = str(folder / "fixes.csv")
    hs.check(copied(folder), fix=listed, out=str(folder / "out"), skip=["drift", "doubtful-labels"])
    return load(copied(folder), fixes=listed)


def unmarked(folder: Path) -> Any:
    return load(csv(folder, pd.read_csv(copied(folder)).drop(columns="split")))


def few_of_a_class(others: bool) -> Any:
    table = frame(label=["odd"] * 8 + list(Y[8:]))
    table.loc[:7, ["a", "b"]] = table.loc[0, ["a", "b"]].to_numpy()
    if others:
        table.loc[:7, "a"] = np.arange(8) / 7
    return load(table)


def ambiguous(folder: Path) -> str:
    return photos(folder / "set", lambda i: f"{('cat', 'cat-wild')[i % 2]}/{i:03d}.png")


def plain(folder: Path) -> str:
    return photos(folder / "set", lambda i: f"{Y[i]}/{i:03d}.png")


def by_path(root: str) -> dict[str, str]:
    paths = sorted(str(p.relative_to(root)) for p in Path(root).rglob("*.png"))
    return {path: f"g{int(Path(path).stem) // 4}" for path in paths}


def shaped(folder: Path, long: int, **said: Any) -> Any:
    """Return pictures of which every ``long``-th is four times as wide as high."""
    for i in range(N):
        path = folder / "set" / Y[i] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (12, 48, 3) if i % long == 0 else (12, 12, 3)
        Image.fromarray(np.resize(PIXELS[i], shape)).save(path)
    return tuned(folder, **said) if said else load(str(folder / "set"))


def deep(folder: Path, **said: Any) -> Any:
    for i in range(N):
        path = folder / "set" / Y[i] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[i, ..., 0].astype(np.uint16) * 100).save(path)
    return tuned(folder, **said) if said else load(str(folder / "set"))


def tuned(folder: Path, **said: Any) -> list[str]:
    """Train with an option as is said; a training tells nothing more of it."""
    data = str(folder / "set")
    run = hs.finetune(data, out=str(folder / "run"), **QUICK, **said)
    kept = run.model.encoder.preprocess.spec
    if "framing" in said:
        assert kept.framing == said["framing"]
    return []


def grouped(label: list[str]) -> Any:
    return load(frame(label=label, farm=GROUPS), group="farm")


def foretold(folder: Path, **said: Any) -> Any:
    days = pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d")
    run = hs.finetune(
        partial(load, frame(day=days), label="label", date=["day"]),
        out=str(folder / "run"),
        start="scratch/linear",
        num_steps=2,
        device="cpu",
    )
    new = frame(day=days)[::-1]
    new["a"] += 0.5
    return hs.evaluate(str(run.path), load(csv(folder, new), schema=run.schema, **said))


def folds_above(folder: Path) -> str:
    return photos(folder / "set", lambda i: f"farm{'xyz'[i % 3]}/{Y[i // 3 % N]}/{i}.png")


def named_shares(**columns: Any) -> pd.DataFrame:
    share = np.round(np.random.default_rng(0).random(N), 3)
    return pd.DataFrame({"text": TEXTS, "p": share, "q": np.round(1 - share, 3), **columns})


def competition(folder: Path, **said: Any) -> Any:
    table = frame(id=range(N)).rename(columns={"label": "kind"})
    csv(folder / "set", table, "train.csv")
    csv(folder / "set", table.drop(columns="kind"), "test.csv")
    sample = pd.DataFrame({"id": range(N), "kind": "no"})
    csv(folder / "set", sample, "sample_submission.csv")
    return load(str(folder / "set"), **said)


NOTES = {
    "copies, check --fix": told(
        lambda f: load(copied(f)), "headstart check --fix lists them", without_copies
    ),
    "copies, no marks": told(
        lambda f: load(copied(f)), "or put all rows together without marks of a split", unmarked
    ),
    "copies of a class": told(
        lambda _: few_of_a_class(False),
        "too few different .* Add others",
        lambda _: few_of_a_class(True),
    ),
    "groups in the order of paths": told(
        lambda f: load(plain(f), group=GROUPS),
        "Give a dict of paths where that is another",
        lambda f: load(plain(f), group=by_path(plain(f))),
    ),
    "long among others": told(
        lambda f: shaped(f, 5), "--framing pad shows all", lambda f: shaped(f, 5, framing="pad")
    ),
    "long ones": told(
        lambda f: shaped(f, 1),
        "unless --framing says otherwise",
        lambda f: shaped(f, 1, framing="crop"),
    ),
    "more than 8 bits": told(
        deep, r"\(--value-range\)", lambda f: deep(f, value_range=[0.0, 25500.0])
    ),
    "numbers and words": told(
        lambda f: load(csv(f, frame(c=mixed("lost")))),
        "If it holds numbers, leave the other cells empty",
        lambda f: load(csv(f, frame(c=mixed("")))),
    ),
    "numbers and words, as said": told(
        lambda f: load(csv(f, frame(c=mixed("lost")))),
        "if not, say --categorical c",
        lambda f: load(csv(f, frame(c=mixed("lost"))), categorical=["c"]),
    ),
    "an identifier like dates": told(
        lambda f: load(csv(f, frame(day=DAYS))),
        "--date day reads them as dates",
        lambda f: load(csv(f, frame(day=DAYS)), date=["day"]),
    ),
    "a column that tells the answer": told(
        lambda f: load(csv(f, frame(c=(Y == "yes") * 2.5 + X[:, 2] / 50))),
        "leave it out with --drop c",
        lambda f: load(csv(f, frame(c=(Y == "yes") * 2.5 + X[:, 2] / 50)), drop=["c"]),
    ),
    "a label of amounts": told(
        lambda f: load(
            csv(f, frame(label=[f"{i},{i:03d}.50" for i in range(100, 100 + N)])), task="regression"
        ),
        "If that is wrong, write them plainly",
        lambda f: load(
            csv(f, frame(label=[i * 1000 + i + 0.5 for i in range(100, 100 + N)])),
            task="regression",
        ),
    ),
    "real numbers": told(
        lambda f: load(frame(label=np.resize([1.5, 2.5, 3.5], N))),
        "regression .say --task classification otherwise",
        lambda f: load(frame(label=np.resize(["1.5", "2.5", "3.5"], N)), task="classification"),
    ),
    "many whole numbers": told(
        lambda f: load(frame(label=np.arange(N) % 50)),
        "distinct numbers: regression .say --task classification otherwise",
        lambda f: load(frame(label=np.arange(N) % 20), task="classification"),
    ),
    "groups of splits": told(
        lambda f: load(
            photos(f / "s", lambda i: f"{('train', 'test')[i % 2]}/p{i // 8}/{Y[i // 2]}/{i}.png"),
        ),
        "Move each to one side",
        lambda f: load(
            photos(
                f / "s", lambda i: f"{('train', 'test')[i // 40]}/p{i // 8}/{Y[i // 2]}/{i}.png"
            ),
        ),
    ),
    "upper folders": told(
        lambda f: load(folds_above(f)),
        "The classes are the upper folders",
        lambda f: load(photos(f / "set", lambda i: f"{Y[i // 3]}/{i}.png")),
    ),
    "shares of the answer": told(
        lambda f: load(csv(f, named_shares()), label="p", text="text"),
        "leave them out with --drop q",
        lambda f: load(csv(f, named_shares()), label="p", text="text", drop=["q"]),
    ),
    "two columns of flags": told(
        lambda f: load(csv(f, frame(is_train=SIDES == "train", is_test=SIDES == "test"))),
        "Join them into one column split with train, val and test",
        lambda f: load(csv(f, frame(split=SIDES))),
    ),
    "a column of splits": told(
        lambda f: load(csv(f, frame(subset=np.where(SIDES == "test", "holdout", "training")))),
        "--drop subset leaves it out",
        lambda f: load(
            csv(f, frame(subset=np.where(SIDES == "test", "holdout", "training"))), drop=["subset"]
        ),
    ),
    "a column called split": told(
        lambda f: load(csv(f, frame(split=np.where(SIDES == "test", "holdout", "training")))),
        "Rename it otherwise",
        lambda f: load(csv(f, frame(side=np.where(SIDES == "test", "holdout", "training")))),
    ),
    "a target of a competition": told(
        competition,
        "If it is another, name it with --label",
        lambda f: competition(f, label="kind"),
    ),
}


def mixed(word: str) -> list[str]:
    return [
        word
        if i % 5 == 0 and i % 10
        else f"{i}.25"
        if i % 5
        else f"{word}{i // 10 if word else ''}"
        for i in range(N)
    ]


@pytest.mark.parametrize("name", NOTES)
def test_what_a_note_advises_leaves_nothing_to_say(name: str, follow, heard) -> None:
    follow(NOTES[name])


CASES = {
    "a list of two readings": Case(
        lambda f: load(ambiguous(f), group=GROUPS),
        "Give a dict",
        lambda f: load(ambiguous(f), group=by_path(ambiguous(f))),
    ),
    "a pattern for arrays": Case(
        lambda f: load((TEXTS, Y), group="folder"),
        r"or from Python give the values: load\(…, group=values\)",
        lambda f: load((TEXTS, Y), group=GROUPS),
    ),
    "fixes that are no list": Case(
        lambda f: load(frame(), fixes=_huge(f)),
        "Expected what 'headstart check DATA --fix LIST.csv' writes",
        lambda f: load(frame(), fixes=_checked(f)),
    ),
    "images and texts": Case(
        lambda f: load(
            csv(f, pd.DataFrame({"text": TEXTS, "image": "a.png", "label": Y})),
            text="text",
            image_column="image",
        ),
        "Leave one out",
        lambda f: load(
            csv(f, pd.DataFrame({"text": TEXTS, "image": "a.png", "label": Y})), text="text"
        ),
    ),
    "nothing to learn from": Case(
        lambda f: load(csv(f, pd.DataFrame({"a": 1, "label": Y}))),
        "or add one",
        lambda f: load(csv(f, pd.DataFrame({"a": X[:, 0], "label": Y}))),
    ),
    "shares in cells": Case(
        lambda f: load(pd.DataFrame({"text": TEXTS, "label": [[0.3, 0.7], [0.6, 0.4]] * (N // 2)})),
        "Say --task classification to learn the class with the largest",
        lambda f: load(
            pd.DataFrame({"text": TEXTS, "label": [[0.3, 0.7], [0.6, 0.4]] * (N // 2)}),
            task="classification",
        ),
    ),
    "shares in columns": Case(
        lambda f: load(csv(f, named_shares())),
        "Say --task classification to learn the class with the largest share",
        lambda f: load(csv(f, named_shares()), task="classification"),
    ),
    "shares beside another target": Case(
        lambda f: load(csv(f, named_shares(kind=Y))),
        "if another column is the target, name it with --label",
        lambda f: load(csv(f, named_shares(kind=Y)), label="kind"),
    ),
    "split of an evaluation": Case(partial(foretold, split="time"), "Leave out --split", foretold),
}


def _huge(folder: Path) -> str:
    (folder / "fixes.csv").write_text("sample,action\n" + "x" * 200_000 + ",look\n")
    return str(folder / "fixes.csv")


def _checked(folder: Path) -> str:
    listed = str(folder / "fixes.csv")
    hs.check(frame(), fix=listed, out=str(folder / "out"), skip=["drift", "doubtful-labels"])
    return listed


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_data_reads_it(name: str, follow, heard) -> None:
    follow(CASES[name])
