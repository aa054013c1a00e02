"""Print what a verb returned: a report or a table for a person, lines or JSON for a program.

Every result says its own text (``report``) and its own record (``record``); this file only knows
those that are plain values: a path, predictions, a list of starts. The form of each record is
stated in docs/json.md, and the tests hold every verb to it.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TextIO

from headstart.errors import HeadstartError
from headstart.reporting.terminal import is_terminal, print_table
from headstart.types import BadSample, Prediction, Predictions, Start, in_number

_LONGEST = 60  # characters of a caption in a table


def render(result: object, stream: TextIO) -> None:
    """Print what a verb returned: its report, a table, or JSON lines where a program reads.

    Args:
        result: What it returned.
        stream: Where to.
    """
    report = getattr(result, "report", None)
    if callable(report):
        stream.write(f"{report()}\n")
    elif isinstance(result, Predictions) and result.written is not None:
        from headstart.reporting.predicted_text import render_written

        stream.write(f"{render_written(result, result.written)}\n")
    elif isinstance(result, Predictions):
        _render_predictions(result.records, stream)
    elif isinstance(result, list) and all(isinstance(item, Prediction) for item in result):
        _render_predictions(result, stream)
    elif isinstance(result, list) and all(isinstance(item, Start) for item in result):
        _render_starts(result, stream)
    elif result is not None:
        stream.write(f"{result}\n")


def render_json(result: object, stream: TextIO) -> None:
    """Print what a verb returned as one JSON object; nothing where it returned nothing.

    Args:
        result: What it returned.
        stream: Where to.
    """
    if result is not None:
        _write(record_of(result), stream)


def render_failure(failure: HeadstartError, stream: TextIO) -> None:
    """Print what has ended a verb as one JSON object.

    Args:
        failure: What a person is told.
        stream: Where to.
    """
    told = {
        "type": type(failure).__name__,
        "message": in_number(str(failure)),
        "exit_code": failure.exit_code,
    }
    _write({"error": told}, stream)


def record_of(result: object) -> dict[str, Any]:
    """Return what a program reads of a result.

    Args:
        result: What a verb returned.
    """
    record = getattr(result, "record", None)
    if isinstance(record, Mapping):
        return dict(record)
    if is_dataclass(result) and not isinstance(result, type):
        return asdict(result)
    if isinstance(result, Path):
        return {"path": str(result)}
    if isinstance(result, Predictions):
        return {"predictions": [one.to_json() for one in result.records]}
    if isinstance(result, list) and all(isinstance(item, Prediction) for item in result):
        return {"predictions": [one.to_json() for one in result]}
    if isinstance(result, list) and all(isinstance(item, Start) for item in result):
        return {"starts": [asdict(one) for one in result]}
    return {"result": result}


def _write(record: Mapping[str, Any], stream: TextIO) -> None:
    text = json.dumps(_plain(record), indent=1, ensure_ascii=False, allow_nan=False)
    stream.write(f"{text}\n")


def _plain(value: Any) -> Any:
    """Return what JSON can say: no NaN, no infinity, paths as text, arrays as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if callable(getattr(value, "tolist", None)):  # of NumPy
        return _plain(value.tolist())
    return str(value)


def _render_predictions(predictions: Sequence[Prediction | BadSample], stream: TextIO) -> None:
    if is_terminal(stream):
        from headstart.reporting.judged_text import certainty_cells

        rows: list[list[str | None]] = [
            [p.name, f"not read: {p.reason}", None, None]
            if isinstance(p, BadSample)
            else [p.name, _brief(p), *certainty_cells(p)]
            for p in predictions
        ]
        columns = ["sample", "prediction", "probability", "may be"]
        told = [place for place in range(4) if place < 2 or any(row[place] for row in rows)]
        shown = [[row[place] for place in told] for row in rows]
        print_table([columns[place] for place in told], shown, stream)
        return
    for one in predictions:
        record = one.to_json()
        if record.get("top"):  # of hundreds of candidates the best few, by name, are enough to read
            record.pop("probabilities", None)
        stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def _brief(one: Prediction) -> str:
    """Return what is said of a sample as a table shows it: of a long caption its beginning."""
    return one.label if not one.top else textwrap.shorten(one.label, _LONGEST, placeholder=" …")


def _render_starts(starts: Sequence[Start], stream: TextIO) -> None:
    columns = ["start", "family", "size", "pixels", "pretrained on", "licence", "local"]
    rows = [
        [
            start.address,
            start.family,
            f"{start.num_parameters / 1e6:.1f} M" if start.num_parameters else None,
            start.image.size if start.image else None,
            _pretraining(start),
            start.licence,
            start.is_local,
        ]
        for start in starts
    ]
    print_table(columns, rows, stream)


def _pretraining(start: Start) -> str:
    if start.pretrained_on is None:
        return "nothing"
    is_usual = start.objective in (None, "supervised")
    return start.pretrained_on + ("" if is_usual else f" ({start.objective})")
