"""One JSON file of what a preprocessing has learned, read from the folder of its start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from headstart.errors import StartError

Learned = TypeVar("Learned")


def read_learned(path: Path, parse: Callable[[Any], Learned], expected: str) -> Learned:
    """Return what a file holds.

    Args:
        path: Of the file, usually in a run folder.
        parse: Makes it of the record; raises ``ValueError``, ``KeyError`` or ``TypeError`` where
            headstart did not write it.
        expected: What should stand there, for a refusal.

    Raises:
        StartError: If the file is missing or damaged.
    """
    try:
        return parse(json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise StartError(
            f"'{path.parent}' holds no {path.name}. Expected {expected}. Restore the file, or "
            "train again."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartError(
            f"'{path}' is damaged ({type(error).__name__}: {error}). Expected what headstart "
            "wrote. Restore the file, or train again."
        ) from error
