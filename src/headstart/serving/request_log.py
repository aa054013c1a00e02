"""A line of JSON for every request: when, which path, how it ended, how long; never what was asked.

What strangers choose (paths there are not, names of models there are not, queries, bodies) is not
written. A trace that a client sends along (``traceparent``) is, so that a slow or failed request is
found from either side. Left out: spans of its own, which need a collector; rotation, which
``logrotate`` does with ``copytruncate``.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/ (3.2, traceparent).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

# A version to come may have more fields after these four; of 00 there are exactly four.
_TRACE = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-[ -~]*)?")
_NOTED = ("path", "id", "bytes", "rows", "label", "probability")  # of a request's state


def trace_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the trace that a request belongs to; None where it says none, two, or no valid one.

    Args:
        headers: Names in small letters, and values.

    Example:
        >>> trace_of([(b"traceparent", b"00-" + b"4b" * 16 + b"-" + b"1a" * 8 + b"-01")])
        '4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b'
    """
    said = [value for name, value in headers if name == b"traceparent"]
    found = _TRACE.fullmatch(said[0].strip()) if len(said) == 1 else None
    if found is None:
        return None
    version, trace, parent, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    return trace.decode() if trace.strip(b"0") and parent.strip(b"0") else None


class RequestLog:
    """A file that gets a line a request.

    Args:
        path: Of the file; lines are added to one that is there.

    Raises:
        OSError: If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self._file = os.open(path, flags, 0o640)
        self._has_failed = False

    def write(
        self,
        method: str,
        status: int,
        seconds: float,
        sent: int,
        trace: str | None,
        state: Mapping[str, Any],
    ) -> None:
        """Add a request.

        Args:
            method: Of HTTP.
            status: Of the answer; 499 where nobody waited for it any more.
            seconds: From its headers to its answer.
            sent: Bytes of the body of the answer.
            trace: See ``trace_of``.
            state: What is known of it: its path, model, size, rows, and of a single sample the
                class and how likely it is.
        """
        model, version = state.get("model", (None, None))
        record: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "method": method,
            "status": status,
            "ms": round(1000 * seconds, 3),
            "sent": sent,
            "model": model,
            "version": version,
            "trace": trace,
            **{name: state.get(name) for name in _NOTED},
        }
        line = orjson.dumps({name: one for name, one in record.items() if one is not None})
        try:
            os.write(self._file, line + b"\n")
        except OSError as error:
            if not self._has_failed:
                told = f"The request log cannot be written ({error.strerror or error})"
                print(f"{told}; requests are answered all the same.", file=sys.stderr, flush=True)
            self._has_failed = True
        else:
            self._has_failed = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
