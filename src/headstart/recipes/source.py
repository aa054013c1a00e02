"""The data that a verb is given: loaded when it is needed, and what a run of it is called."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from headstart.errors import OptionError
from headstart.events import seconds_since_command_began
from headstart.recipes.options import JudgingOptions
from headstart.types import Data, Dataset, Identified

Costing = TypeVar("Costing", bound=JudgingOptions)

_NOT_TYPED = ("source", "refused", "seed")  # of load, and not to be typed again


def as_dataset(data: Data) -> Dataset:
    """Return a ``Dataset`` as it is, call what loads one, and load anything else by default."""
    if isinstance(data, Dataset):
        return data
    if isinstance(data, partial):  # the command line's: options are checked before data is read
        loaded: Dataset = data()
        return loaded
    from headstart.data import load

    return load(data)


def default_out(dataset: Identified, *, resume: bool = False) -> Path:
    """Return the first of ``runs/<name>``, ``runs/<name>-2`` … that does not exist.

    To resume, the last of those that do exist: the run that was interrupted.
    """
    name = data_name(dataset)
    path = former = Path("runs") / name
    number = 2
    while path.exists():
        former, path, number = path, Path("runs") / f"{name}-{number}", number + 1
    return former if resume else path


def data_name(dataset: Identified) -> str:
    """Return what a folder or file about the data is called."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(dataset.name).stem).strip("-.") or "run"


def with_costs(options: Costing) -> Costing:
    """Return options that hold what answers cost in place of the file that says it.

    So a run keeps them, whatever becomes of the file.

    Raises:
        OptionError: The file cannot be read.
    """
    if options.costs is None or "\n" in options.costs:
        return options
    from headstart.evaluation.costs import EXAMPLE

    try:
        content = Path(options.costs).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise OptionError(
            f"costs is '{options.costs}', which cannot be read ({why}); expected a CSV like "
            f"{EXAMPLE}. Name its file after --costs."
        ) from error
    return replace(options, costs=f"{content.strip()}\n")


def spent_before(dataset: Identified) -> float:
    """Return the seconds that the budget has already lost: the command's start, or the loading."""
    return seconds_since_command_began() or dataset.load_seconds


def typed_data(data: Data) -> str | None:
    """Return the data and the options of reading it, as a command line writes them."""
    source, said = data, dict[str, Any]()
    if isinstance(data, partial):
        source, said = data.args[0], data.keywords
    if not isinstance(source, str | Path):
        return None
    words = [str(source)]
    for name, value in said.items():
        if name in _NOT_TYPED or value is None:
            continue
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, list | tuple):
            words += [option, *map(str, value)]
        else:
            words += [option, str(value)]
    return " ".join(shlex.quote(word) for word in words)
