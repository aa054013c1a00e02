"""Read data sets of the Hugging Face hub, ``hf/NAME`` or ``hub:NAME``, through ``datasets``.

A configuration follows after a colon: ``hf/nyu-mll/glue:sst2``. Splits called train, validation
(or val, dev) and test are used, others are named in a note; a split whose labels are hidden (-1
everywhere, as in GLUE's test) is left out. The package is the extra ``hub``. Left out: streaming,
and data sets that come with code of their own.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headstart.cells import is_missing
from headstart.data.options import COLUMN_OPTIONS, ReadOptions
from headstart.data.records import Records
from headstart.data.sources.columns import ArrowTable, Table
from headstart.data.sources.split_words import splits_among
from headstart.data.sources.tables import read_tables
from headstart.errors import DataError, PackageMissing, quoted
from headstart.extras import install_command
from headstart.types import Finding

PREFIXES = ("hf/", "hub:")
HIDDEN = -1


def read_hub(address: str, options: ReadOptions) -> Records:
    """Return the records of a data set on the hub.

    Args:
        address: ``hf/NAME``, ``hub:NAME``, or either with ``:CONFIGURATION`` behind.
        options: What the user said of its columns.

    Raises:
        DataError: The package is missing, the hub or the data set cannot be reached, or the data
            has no train split.
    """
    options.refuse(
        "data on the hub are no text files",
        *("label", "image_column", "text", "group", "separator", *COLUMN_OPTIONS),
    )
    prefix = next(p for p in PREFIXES if address.startswith(p))
    name, _, configuration = address.removeprefix(prefix).partition(":")
    parts = _download(address, name, configuration)
    if not hasattr(parts, "keys"):
        raise DataError(f"'{address}' gave one table; expected its splits by name.")
    tables: list[tuple[Table, str | None]] = []
    findings = []
    words = splits_among(parts)
    for split, part in parts.items():
        word = words.get(split)
        if word is None:
            findings.append(Finding("unused", "note", (), f"Split '{split}' is not used."))
            continue
        arrow = part.with_format("arrow")[:]
        table = ArrowTable(arrow, f"{address} ({split})", Path.cwd(), _class_names(part.features))
        target = options.target_among(table.columns)
        if word != "train" and target in table.columns and _is_hidden(table.values(target)):
            sentence = f"Split '{split}' is not used: its labels are hidden."
            findings.append(Finding("unused", "note", (), sentence))
            continue
        tables.append((table, word))
    if not any(word == "train" for _, word in tables):
        raise DataError(
            f"'{address}' has no train split (found: {quoted(list(parts.keys()))}). Choose another "
            "data set, or download it and name its files train, val and test."
        )
    records = read_tables(tables, address, options)
    records.findings.extend(findings)
    return records


def require_hub(address: str) -> None:
    """Refuse an address of the hub where the package that reads it is not installed.

    Raises:
        PackageMissing: If so.
    """
    if "datasets" not in sys.modules and find_spec("datasets") is None:
        raise _missing(address)


def _missing(address: str) -> PackageMissing:
    return PackageMissing(
        f"'{address}' is read through the package datasets, which is not installed. "
        f"Install it: {install_command('headstart[hub]')}."
    )


def _download(address: str, name: str, configuration: str) -> Any:
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        raise _missing(address) from None
    try:
        return datasets.load_dataset(name, configuration or None)
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # unreachable, unknown, no such configuration
        reason = " ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__
        raise DataError(
            f"The data set '{address}' cannot be read from the hub: {reason}. Check its name (a "
            f"configuration follows after a colon: hf/{name}:NAME) and the connection, or give a "
            "local copy."
        ) from error


def _class_names(features: Any) -> dict[str, list[str]]:
    """Return the names behind the integers of each column, also where these come in lists."""
    found = {}
    for column, feature in dict(features or {}).items():
        names = getattr(feature, "names", None) or getattr(
            getattr(feature, "feature", None), "names", None
        )
        if names:
            found[str(column)] = [str(name) for name in names]
    return found


def _is_hidden(values: list[object]) -> bool:
    return all(is_missing(value) or value == HIDDEN for value in values)
