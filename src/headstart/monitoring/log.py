"""The log of a server's windows: a line of JSON each, written after it was judged.

A line holds figures alone: p-values, shares of classes, counts. No input, no embedding.
"""

from __future__ import annotations

import json
from pathlib import Path

from headstart.errors import DataError
from headstart.monitoring.windows import Json

_NEEDED = {"model", "version", "number", "at", "samples", "state", "detectors", "alarm"}


def append_window(path: Path, record: Json) -> None:
    """Add a window to a log.

    Raises:
        OSError: If it cannot be written.
    """
    line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    with path.open("ab", buffering=0) as file:
        file.write(line.encode())


def read_windows(path: Path) -> list[Json]:
    """Return the windows of a log, in order.

    Raises:
        DataError: If it cannot be read, or a line is none that a server writes.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}); expected the log of a server. "
            "Check the path, or start the server with --monitor-log FILE."
        ) from error
    windows = []
    lines = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or not record.keys() >= _NEEDED:
                raise ValueError("it is no window")
        except (ValueError, RecursionError) as error:
            if number == len(lines):  # the server is writing it
                break
            raise DataError(
                f"Line {number} of {path} is damaged ({error}); expected a window as 'headstart "
                "serve --monitor-log' writes it. Remove the line."
            ) from error
        windows.append(record)
    return windows
