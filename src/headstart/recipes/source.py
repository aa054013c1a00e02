"""The data that a verb is given: loaded when it is needed, and what a run of it is called."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from headstart.errors import HeadstartError, OptionError
from headstart.events import seconds_since_command_began
from headstart.recipes.options import JudgingOptions
from headstart.types import MODALITIES, Data, Dataset, Identified

Costing = TypeVar("Costing", bound=JudgingOptions)

_NOT_TYPED = ("source", "refused", "seed")  # of load, and not to be typed again


def as_dataset(data: Data, asked: object = (), languages: str | None = None) -> Dataset:
    """Return a ``Dataset`` as it is, call what loads one, and load anything else by default.

    Args:
        data: As a verb is given it.
        asked: The start that is asked for, or several: where all read words, a table's only column
            of words is the texts, however few of them differ.
        languages: That of texts and that of targets, where they were said.
    """
    if isinstance(data, Dataset):
        return data
    from headstart.data import load

    # the command line's is partial: options are checked before data is read
    read: partial[Dataset] = data if isinstance(data, partial) else partial(load, data)
    if languages is not None:
        read = partial(read, languages=languages)
    found = read()
    column = _lone_words(found)
    return read(text=column) if column is not None and _are_for_words(asked) else found


def lacking(data: Data, starts: object, log: Sequence[str] | None = None) -> HeadstartError | None:
    """Return the refusal of a package or a path that is not there, without reading anything.

    A verb that is cut off before its data are read names this reason, not its budget.

    Args:
        data: As a verb is given it.
        starts: The addresses that are asked for, one or several; what is none says nothing.
        log: The trackers that are asked for.
    """
    from headstart.data.reading import refuse_missing
    from headstart.starts.catalog import require_named
    from headstart.tracking import require_trackers

    several = starts if isinstance(starts, list | tuple) else [starts]
    try:
        require_trackers(log)
        for address in several:
            if isinstance(address, str):
                require_named(address)
        refuse_missing(data.args[0] if isinstance(data, partial) and data.args else data)
    except HeadstartError as error:
        return error
    return None


def _lone_words(dataset: Dataset) -> str | None:
    """Return the only column of a table, where it holds words."""
    table = getattr(dataset.train.samples, "table", None)
    if not dataset.schema.facts.is_plain_column or table is None or len(table.column_names) != 1:
        return None
    cells = table.column(0).drop_null().unique().to_pylist()
    is_worded = bool(cells) and all(isinstance(c, str) and not c.isnumeric() for c in cells)
    return str(table.column_names[0]) if is_worded else None


def _are_for_words(asked: object) -> bool:
    """Return whether starts are named, and all of them read words."""
    from headstart.starts import find_start

    several = asked if isinstance(asked, list | tuple) else [asked]
    starts = [find_start(one) if isinstance(one, str) else one for one in several]
    known = [MODALITIES.get(m) for start in starts if (m := getattr(start, "modality", None))]
    return bool(known) and all(facts is not None and facts.has_words for facts in known)


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
