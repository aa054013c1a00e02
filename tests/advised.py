"""What is advised, followed to its end: refused or told first, then done as it says, then right.

A case is a pair of what goes wrong and of what its reader would then do; the fixture ``follow``
runs it and remembers what was heard, which ``advice.py`` counts.
"""

from __future__ import annotations

import builtins
import html
import io
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headstart.errors import HeadstartError

N = 60
Do = Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """What is refused or told, and what is then done.

    Attributes:
        wrong: Does what is refused; or returns the sentences that are told of it.
        said: Part of the message, as a regular expression.
        right: Does as the message says; or returns what is told then, where nobody was refused.
        error: What refuses, None where a sentence is told and nothing is refused.
    """

    wrong: Do
    said: str
    right: Do
    error: type[Exception] | None = HeadstartError


def told(wrong: Do, said: str, right: Do) -> Case:
    """Return a case whose sentence is told: among those that wrong returns, not those of right."""
    return Case(wrong, said, right, error=None)


def follow(
    case: Case,
    folder: Path,
    heard: Callable[[object], None],
    place: Callable[[Path], Any] = lambda folder: folder,
) -> None:
    """Provoke what is said, do as it says, and see that it helps.

    Args:
        case: What to do.
        folder: Where both sides get a folder of their own.
        heard: Called with what was said, once it was followed.
        place: Makes of a folder what the case's functions take.
    """
    for side in ("wrong", "right"):
        (folder / side).mkdir(exist_ok=True)
    if case.error is None:
        before = sentences_of(case.wrong(place(folder / "wrong")))
        said = [each for each in before if re.search(case.said, each)]
        assert said, before
        after = sentences_of(case.right(place(folder / "right")))
        assert not [each for each in after if re.search(case.said, each)], after
        for each in said:
            heard(each)
        return
    with pytest.raises(case.error) as refused:
        case.wrong(place(folder / "wrong"))
    assert re.search(case.said, str(refused.value)), str(refused.value)
    assert case.right(place(folder / "right")) is not False
    heard(refused.value)


def sentences_of(what: Any) -> list[str]:
    """Return what was told: of a data set its findings, else the sentences themselves."""
    if hasattr(what, "findings"):
        return [each.sentence for each in what.findings]
    return [str(getattr(each, "sentence", each)) for each in what]


X = np.random.default_rng(0).normal(size=(N, 3))
Y = np.where(np.arange(N) % 2, "yes", "no")
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 12, 12, 3)).astype(np.uint8)
TEXTS = [f"{'good' if i % 2 else 'bad'} text of number {i} here" for i in range(N)]


def frame(**columns: Any) -> pd.DataFrame:
    """Return a table of two numbers and a label, with further columns or others in their place."""
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "label": Y, **columns})


def csv(folder: Path, table: pd.DataFrame, name: str = "a.csv", **how: Any) -> str:
    """Write a table, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / name, index=False, **how)
    return str(folder / name)


def photos(folder: Path, name: Callable[[int], str], number: int = N) -> str:
    """Write small pictures under the names of their numbers, and return the folder."""
    from PIL import Image

    for i in range(number):
        path = folder / name(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[i]).save(path)
    return str(folder)


def jsonl(folder: Path, rows: list[Any], name: str = "a.jsonl") -> str:
    """Write a value a line, and return the path."""
    import json

    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(folder / name)


def follow_page(run: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Do what the page of a run says of its use, but serve; return the lines for a shell.

    Args:
        run: The run folder.
        folder: Where what is exported goes, and what ``FILE.csv`` stands for is.
        capsys: What takes the answers.
    """
    from headstart.cli import main

    page = html.unescape((run / "report.html").read_text(encoding="utf-8"))
    lines = re.findall(r"<code>(headstart \w+ RUN\b.*?)</code>", page)
    (program,) = re.findall(r"<code>(import headstart.*?)</code>", page, re.DOTALL)
    places = {"RUN": str(run), "FILE.csv": str(folder / "FILE.csv")}
    places |= {name: str(folder / name) for name in ("BUNDLE", "FOLDER")}
    for line in lines:
        words = [places.get(word, word) for word in shlex.split(line)]
        if words[1] != "serve":
            assert main(words[1:]) == 0, capsys.readouterr().err
    capsys.readouterr()
    for name, place in places.items():
        program = program.replace(f'"{name}"', repr(place))
    exec(program, {})
    said = capsys.readouterr().out
    assert said.strip()
    assert "None" not in said
    assert "nan" not in said.split()
    return lines


@contextmanager
def locked(path: Path) -> Iterator[Path]:
    """Take a file's or folder's rights away for a while, from the superuser's eyes as well."""
    real_open, real_scan, real_list = builtins.open, os.scandir, os.listdir
    mode = path.stat().st_mode

    def refuse(named: Any) -> None:
        if isinstance(named, (str, os.PathLike)) and Path(named) == path:
            raise PermissionError(13, "Permission denied", str(path))

    def opened(file: Any, *args: Any, **kwargs: Any) -> Any:
        refuse(file)
        return real_open(file, *args, **kwargs)

    def scanned(folder: Any = ".") -> Any:
        refuse(folder)
        return real_scan(folder)

    def listed(folder: Any = ".") -> Any:
        refuse(folder)
        return real_list(folder)

    path.chmod(0)
    with pytest.MonkeyPatch.context() as patch:
        if os.geteuid() == 0:
            patch.setattr(builtins, "open", opened)
            patch.setattr(io, "open", opened)
            patch.setattr(os, "scandir", scanned)
            patch.setattr(os, "listdir", listed)
        try:
            yield path
        finally:
            path.chmod(mode)


@contextmanager
def without_package(name: str) -> Iterator[None]:
    """Hide a package for a while, as if it were not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, None)
        yield


def in_extra(package: str, extra: str) -> bool:
    """Return whether an extra of pyproject.toml brings a package, as a message says of it."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    listed = project["optional-dependencies"][extra]
    return any(re.split(r"[<>=\[; ]", each)[0] == package for each in listed)
