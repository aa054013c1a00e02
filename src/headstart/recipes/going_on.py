"""The command that goes on with a run: what is said after one was stopped, and by who looks at it.

It is that which began the run, in its folder. Left out: whether the run can be gone on with.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from headstart.recipes.options import FinetuneOptions, FitOptions

_DROPPED = ("--resume", "--overwrite")


def going_on(command: Sequence[str], path: Path) -> str:
    """Return the command that goes on with a run in its folder.

    Args:
        command: What was typed after ``headstart`` when the run began.
        path: The folder.
    """
    rest, words = iter(command), list[str]()
    for word in rest:
        if word == "--out":
            next(rest, None)
        elif word not in _DROPPED and not word.startswith("--out="):
            words.append(word)
    return shlex.join(["headstart", *words, "--out", str(path), "--resume"])


def as_command(plan: Mapping[str, Any]) -> list[str]:
    """Return the words of the command that does what a program has asked for: what it said.

    Args:
        plan: Verb and options of the run.
    """
    known = {
        option.name: option.default
        for taken in (FinetuneOptions, FitOptions)
        for option in fields(taken)
    }
    words = [str(plan["verb"]), "DATA"]
    for name, value in plan["options"].items():
        is_said = name not in known or value != known[name]
        flag = f"--{name.replace('_', '-')}"
        if is_said and value is True:
            words.append(flag)
        elif is_said and isinstance(value, str | int | float) and value is not False:
            words += [flag, str(value)]
    return words
