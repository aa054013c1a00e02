"""Cells of a target column that hold lists: labels, a vector of 0 and 1, or shares of classes.

What a list means is read from all of them together: numbers between 0 and 1 that sum to one are
soft labels, refused by name unless the largest of each is asked for; 0 and 1, all of one length,
say which labels apply; one label in each is one class a sample.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from headstart.cells import as_list, is_missing
from headstart.columnar import different, kinds_of, mapped
from headstart.data.soft_labels import largest, plain_shares, shares_at, shares_refused
from headstart.tasks import CLASSIFICATION, find_task
from headstart.tasks.reading import Place
from headstart.types import Finding, TaskName


def read_cells(
    values: Sequence[object], known: TaskName | None, what: str, place: Place
) -> tuple[Sequence[object], list[Finding]]:
    """Return the values with lists in a plain form: of labels, or one label where each has one.

    Args:
        values: A target column.
        known: The task, where it was said.
        what: What the column is called.
        place: Says where a value stands.

    Raises:
        DataError: They are soft labels or scores.
    """
    values, names = plain_shares(_as_vectors(values))
    kinds = kinds_of(values)
    is_native = not kinds <= _SINGLE and any(_is_list(value) for value in different(values))
    if not is_native and not any(issubclass(kind, (str, dict)) for kind in kinds):
        return values, []
    first = next((value for value in different(values) if not is_missing_cell(value)), None)
    if isinstance(first, str) and not is_native and first.lstrip()[:1] not in tuple("[({"):
        return values, []
    found = [None if is_missing_cell(value) else as_list(value) for value in values]
    present = [cells for cells in found if cells is not None]
    absent = [i for i, cells in enumerate(found) if cells is None]
    if not present or (not is_native and any(not is_missing_cell(values[i]) for i in absent)):
        return values, []  # words, some of which may stand in brackets
    if any(not is_missing_cell(values[i]) for i in absent) or any(
        isinstance(one, (list, tuple, dict)) for cells in present for one in cells
    ):
        return values, []  # said where the task reads them
    is_one = all(len(cells) == 1 for cells in present) and not absent
    if not is_one and (shares := shares_at(found)) is not None:
        if known != CLASSIFICATION.name or absent:
            raise shares_refused(found, shares, what, place)
        return largest(present, what, names)
    if length := _vector_length(present):
        return _read_vectors(found, length, known, what, names)
    if is_one and (known is None or not find_task(known).has_label_sets):
        findings = []
        if known is None:
            sentence = (
                f"{what} holds lists of one label each: one class a sample (say --task "
                "multi-label otherwise)."
            )
            findings.append(Finding("task", "note", (), sentence))
        return [cells[0] for cells in present], findings
    if is_native:
        return values, []
    return [[] if cells is None else cells for cells in found], []


def _as_vectors(values: Sequence[object]) -> Sequence[object]:
    """Return ``0 1 0`` as a list of numbers, where all cells are such, of one length."""
    if not any(issubclass(kind, str) for kind in kinds_of(values)):
        return values
    # the first cell that is no vector ends it: most columns hold none
    words = []
    for word in different(values):
        if is_missing_cell(word):
            continue
        if not (isinstance(word, str) and _VECTOR.fullmatch(word.strip())):
            return values
        words.append(word)
    if len({len(_DIGIT.findall(str(word))) for word in words}) != 1:
        return values
    return mapped(
        values, lambda v: v if is_missing_cell(v) else [int(d) for d in _DIGIT.findall(str(v))]
    )


_VECTOR, _DIGIT = re.compile(r"[01](?:(?:, ?|[ ;|])[01])+"), re.compile(r"[01]")
_SINGLE = frozenset((str, int, float, bool, type(None)))


def is_missing_cell(value: object) -> bool:
    """Return whether a cell holds nothing; a list holds something."""
    return not _is_list(value) and is_missing(value)


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple, set)) or getattr(value, "ndim", 0) == 1


def _vector_length(present: Sequence[list[Any]]) -> int:
    """Return the length of lists that all are vectors of 0 and 1; 0 where they are none."""
    lengths = {len(cells) for cells in present}
    length = lengths.pop() if len(lengths) == 1 else 0
    is_vector = length > 1 and all(
        isinstance(one, (int, float)) and one in (0, 1) for cells in present for one in cells
    )
    return length if is_vector else 0


def _read_vectors(
    found: Sequence[list[Any] | None],
    length: int,
    known: TaskName | None,
    what: str,
    names: Sequence[str] = (),
) -> tuple[list[object], list[Finding]]:
    """Return the places of the ones: one a sample where each vector has one, else a list."""
    places = [[i for i, one in enumerate(cells or ()) if one == 1] for cells in found]
    is_one_hot = all(len(ones) == 1 for ones in places) and known in (None, CLASSIFICATION.name)
    meaning = "one class a sample" if is_one_hot else "each says which labels apply"
    sentence = f"{what} holds vectors of {length} numbers, 0 or 1: {meaning}."
    called = names or [str(i) for i in range(length)]
    one = names or range(length)
    plain: list[object] = [
        one[ones[0]] if is_one_hot else [called[i] for i in ones] for ones in places
    ]
    return plain, [Finding("task", "note", (), sentence)]
