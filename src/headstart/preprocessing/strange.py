"""Cells that train did not have: missing ones, other spellings, categories and ranges never seen.

A model answers for any row. Where a row is unlike all that was learned from, the answer is a guess
that nobody has measured; so each such column is told with its number of rows and an example, by one
rule for ``predict``, ``evaluate`` and the splits of training. Numbers are looked at twice: single
ones far outside the range of train (more than its whole width away), and all of them together,
for a unit that has changed moves or shrinks the whole column.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.cells import MOSTLY
from headstart.errors import did_you_mean, quoted
from headstart.preprocessing.columns import MISSING, other_spelling
from headstart.types import Column, Finding, Severity

FAR = 1.0  # widths of train's range beyond it
FAR_DATE = 0.1  # a model is asked about the future, but learned from the past
MIN_ROWS, MIN_DISTINCT = 10, 4  # to speak of all rows together
RARE = 0.01  # share of rows with categories that train did not have, as new rows always have some
CHANGED = 8.0  # times as wide, or as narrow
SHOWN = 4


def strange_cells(column: Column, cells: Any, names: Sequence[str]) -> list[Finding]:
    """Return findings on the cells of a column that are unlike those of train.

    Args:
        column: As it was fitted.
        cells: As ``to_cells`` shows them: words, or numbers.
        names: Of the rows.
    """
    if column.kind == "categorical":
        return _strange_words(column, cells, names)
    findings = _missing(column, np.flatnonzero(np.isnan(cells)), names)
    if column.kind != "boolean" and column.seen:
        findings += _strange_numbers(column, cells, names)
    return findings


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"


def _missing(column: Column, places: np.ndarray, names: Sequence[str]) -> list[Finding]:
    """Return a finding where cells are missing in a column that had none missing in train."""
    if column.has_missing or not len(places):
        return []
    stand_in = "train's most frequent value" if column.kind == "boolean" else "train's median"
    if column.kind == "categorical":
        counts = "it counts as a category that the model does not know"
    else:
        counts = f"{_shown(column, column.fill)}, {stand_in}, stands in"
    first = names[int(places[0])]
    sentence = (
        f"Column '{column.name}' is empty in {_rows(len(places))}, such as {first}, and "
        f"was never empty in training: {counts}. Check where the cells were lost."
    )
    return [Finding("missing", "warning", [names[i] for i in places.tolist()], sentence)]


def _strange_words(column: Column, words: list[str], names: Sequence[str]) -> list[Finding]:
    known = set(column.categories)
    spelled = {word: other_spelling(column, word) for word in set(words) - known}
    findings: list[Finding] = []
    rows: dict[str, list[int]] = {}
    for i, word in enumerate(words):
        if word in spelled:
            rows.setdefault(word, []).append(i)
    unknown = [word for word in rows if spelled[word] not in known and word != MISSING]
    for word, places in rows.items():
        read, items = spelled[word], [names[i] for i in places]
        if read in known and not _is_number_alike(word, read):
            was = f"holds '{word}'" if word else "is empty"
            counts = f"read as its category '{read}'" if read else "read as an empty cell"
            sentence = (
                f"Column '{column.name}' {was} in {_rows(len(places))}, such as {items[0]}: "
                f"{counts}, the only one in training that is written alike."
            )
            findings.append(Finding("unseen", "note", items, sentence))
        elif word == MISSING:
            findings += _missing(column, np.array(places), names)
    if unknown:
        places = sorted(i for word in unknown for i in rows[word])
        hint = did_you_mean(unknown[0], column.categories) if len(unknown) == 1 else ""
        sentence = (
            f"Column '{column.name}' holds categories unknown to the model in "
            f"{_rows(len(places))}: {quoted(unknown, limit=SHOWN)}.{hint}"
        )
        is_rare = len(places) <= RARE * len(words)  # the rest of a long tail
        how: Severity = "note" if is_rare else "warning"
        findings.append(Finding("unseen", how, [names[i] for i in places], sentence))
    return findings


def _is_number_alike(word: str, read: str) -> bool:
    """Return whether two words differ as ``1`` and ``1.0`` do, which is no news."""
    try:
        return float(word) == float(read) and not (word[:1] == "0" or read[:1] == "0")
    except ValueError:
        return False


def _strange_numbers(column: Column, values: np.ndarray, names: Sequence[str]) -> list[Finding]:
    low, high = column.seen[0], column.seen[-1]
    present = np.flatnonzero(~np.isnan(values))
    known = values[present]
    if not len(known) or high <= low:
        return []
    beyond = np.maximum(known - high, low - known) / (high - low)
    far = present[beyond > (FAR_DATE if column.kind == "date" else FAR)]
    range_ = f"training had {_shown(column, low)} to {_shown(column, high)}"
    changed = "" if column.kind == "date" else _change(column, known)
    if changed:
        example = f"{_shown(column, known[0])} in {names[int(present[0])]}"
        sentence = (
            f"Column '{column.name}' {changed} ({_rows(len(known))}, such as {example}; {range_}): "
            "has its unit changed?"
        )
        return [Finding("unseen", "warning", [names[i] for i in present.tolist()], sentence)]
    if not len(far):
        return []
    example = f"{_shown(column, values[far[0]])} in {names[int(far[0])]}"
    sentence = (
        f"Column '{column.name}' is far outside what the model was trained on in "
        f"{_rows(len(far))}, such as {example}; {range_}. What it says of them is a guess."
    )
    return [Finding("unseen", "warning", [names[i] for i in far.tolist()], sentence)]


def _change(column: Column, known: np.ndarray) -> str:
    """Return how all numbers differ from train's as another unit makes them, or nothing."""
    if fractions := _fractions(column, known):
        return fractions
    if len(known) < MIN_ROWS or len(np.unique(known)) < MIN_DISTINCT:
        return ""
    low, first, lower, middle, upper, last, high = column.seen
    now, width = float(np.median(known)), float(np.subtract(*np.quantile(known, (0.75, 0.25))))
    is_outside = bool(((known < low) | (known > high)).mean() > 0.5)
    wider = width / (upper - lower) if upper > lower else 1.0
    is_rescaled = wider > CHANGED or 0 < wider < 1 / CHANGED
    if middle and now / middle > 0:
        factor = now / middle
        if (is_outside or is_rescaled) and (factor > 2 or factor < 0.5):
            about = f"{factor:.3g} times" if factor > 1 else f"1/{1 / factor:.3g} of"
            return f"is about {about} what it was in training"
    if is_rescaled and (now < first or now > last or wider > CHANGED or low < 0 < high):
        about = f"{wider:.3g} times as wide" if wider > 1 else f"1/{1 / wider:.3g} as wide"
        return f"is spread about {about} as in training"
    return "is mostly outside of what it was in training" if is_outside else ""


def _fractions(column: Column, known: np.ndarray) -> str:
    """Return that numbers are fractions where all of train's are whole, or nothing."""
    parts = known[known != 0]
    if len(parts) < MIN_ROWS or not column.is_whole:
        return ""
    broken = parts[parts % 1 != 0]
    if len(broken) < MOSTLY * len(parts):
        return ""
    return f"holds fractions such as {broken[0]:.6g}, where it held whole numbers in training"


def _shown(column: Column, value: float) -> str:
    if column.kind == "date":
        day = datetime.date(1970, 1, 1) + datetime.timedelta(days=float(np.floor(value)))
        return day.isoformat()
    if column.kind == "boolean":
        return "true" if value else "false"
    return f"{value:.6g}"
