"""Checks that every JSON record shares.

A record may come from a file that a stranger wrote: keys, types and lengths are compared with what
is expected, and nothing more is done with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.errors import StartError, quoted


def read_json(path: Path) -> dict[str, object]:
    """Return the object of a JSON file.

    Raises:
        StartError: If the file cannot be read or is no JSON object.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StartError(
            f"'{path}' cannot be read ({error}). Expected a JSON file. Restore it."
        ) from error
    if not isinstance(record, dict):
        raise StartError(f"'{path}' holds no JSON object. Expected one. Restore the file.")
    return record


def read_record(value: object, keys: tuple[str, ...], what: str) -> dict[str, Any]:
    """Return a JSON object that has exactly these keys.

    Args:
        value: A JSON value.
        keys: The names it needs.
        what: Names it in a refusal.

    Raises:
        StartError: If it is something else, or a key is unknown or missing.
    """
    if not isinstance(value, dict):
        raise StartError(
            f"The record '{what}' is {value!r}. Expected a JSON object. The file is damaged."
        )
    check_keys(value, keys, f"record '{what}'")
    return value


def check_keys(value: Mapping[str, object], keys: tuple[str, ...], what: str) -> None:
    """Refuse a record with other keys.

    Raises:
        StartError: If a key is unknown or missing.
    """
    unknown = [str(key) for key in value if key not in keys]
    missing = [key for key in keys if key not in value]
    if unknown or missing:
        parts = [f"unknown key {quoted(unknown)}"] if unknown else []
        parts += [f"missing key {quoted(missing)}"] if missing else []
        raise StartError(
            f"The {what} has {' and '.join(parts)}. Expected {quoted(keys, 12)}. The file is from "
            f"another version of headstart, or damaged."
        )


def damaged(what: str, record: object, expected: str) -> StartError:
    """Return the refusal of a record that is not as it was written.

    Args:
        what: Names it.
        record: What was found.
        expected: In words.
    """
    return StartError(
        f"The record '{what}' is {record!r}. Expected {expected}. The file is damaged."
    )


def check_column(record: Mapping[str, object]) -> None:
    """Refuse a column that is neither named nor absent.

    Raises:
        StartError: If so.
    """
    if not isinstance(record["column"], str | None):
        raise damaged("preprocess", dict(record), "the name of a column, or null")
