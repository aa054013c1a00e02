"""Turn a target column into targets: which task it asks for, its classes, its numbers.

The task is decided when the user has not said it, and the decision is said in a note:

- lists, or a separator: multi-label; where each list has one label, classification;
- words: classification; of texts, sentences that nearly all differ: seq2seq;
- numbers that are not all whole: regression;
- whole numbers: classification, unless there are many different ones (more than 20, and more than
  5 % of the samples), or most occur once: then regression, but for images, whose numbers are codes.

How a column is read is the task's (``tasks``). Left out: ordinal targets, several targets, weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.cells import MOSTLY, as_number, is_gap, is_missing, written_out
from headstart.columnar import array_from, different, kinds_of, mapped, numbers_of
from headstart.data.label_cells import read_cells
from headstart.data.options import ReadOptions
from headstart.data.quick import HEAD
from headstart.data.roles import prose_kind
from headstart.errors import DataError, quoted
from headstart.preprocessing.dates import is_like_a_date
from headstart.preprocessing.doubtful_points import doubtful_points
from headstart.preprocessing.numbers import find_number_format, is_code, read_number
from headstart.tasks import (
    CLASSIFICATION,
    MULTI_LABEL,
    REGRESSION,
    SEQ2SEQ,
    TargetColumn,
    Targets,
    Task,
    find_task,
)
from headstart.tasks.reading import SEPARATORS, Naming, Place
from headstart.types import MODALITIES, Finding, Modality

MANY_VALUES, MANY_SHARE = 20, 0.05
FEW_VALUES = 5
DIFFERENT_SHARE, FEWEST_TEXTS, HEAD_TEXTS = 0.7, 10, 100


def read_targets(
    values: Sequence[object],
    options: ReadOptions,
    modality: Modality,
    *,
    what: str,
    place: Place,
    naming: Naming | None = None,
) -> Targets:
    """Return the targets in a column.

    Args:
        values: One for each sample.
        options: Task and separator, where they were said.
        modality: Of the inputs.
        what: What the column is called in messages, for example ``"Column 'label'"``.
        place: Says where the value of an index stands, for example ``row 3 of reviews.csv``.
        naming: Gives numbered classes their names, where the data states them.

    Raises:
        DataError: A value is missing, or none that the task can use.
        OptionError: The task was said and the column cannot serve it.
    """
    known, note = options.known_task, None
    found_lists: list[Finding] = []
    task = None if known is None else find_task(known)
    if not options.separator and (task is None or task.is_answered_whole):
        values, found_lists = read_cells(values, known, what, place)
    values, read = _as_numbers(values, modality, known, what)
    if task is None:
        task, note = _decide(values, modality, what, place)
    column = TargetColumn(
        values,
        what,
        place,
        separator=options.separator,
        naming=naming,
    )
    found = task.read(column)
    decided = [*read, *([Finding("task", "note", (), note)] if note else [])]
    return replace(found, findings=[*found_lists, *decided, *found.findings])


def _as_numbers(
    values: Sequence[object], modality: Modality, known: str | None, what: str
) -> tuple[Sequence[object], list[Finding]]:
    """Return targets such as ``1.200,50`` or ``$5`` as numbers, and a finding that says so."""
    is_asked = known == REGRESSION.name or (
        known is None and not MODALITIES[modality].is_number_a_code
    )
    if not is_asked or str not in kinds_of(values):
        return values, []
    if numbers_of(values) is not None:  # written as programs write them, unless as people do
        words = [v for v in different(values)[:HEAD] if isinstance(v, str) and v.strip()]
        doubt = doubtful_points(what, list(dict.fromkeys(words)))
        return values, [Finding("reading", "note", (), doubt)] if doubt else []
    if not all(isinstance(v, str) or is_missing(v) for v in different(values)):
        return values, []
    words = [v for v in dict.fromkeys(different(values)) if isinstance(v, str) and v.strip()]
    words = [word for word in words if not is_gap(word)]
    if len(words) <= (0 if known else MANY_VALUES) or any(map(is_code, words)):
        return values, []
    odd = [word for word in words if as_number(word) is None]
    written, _ = find_number_format(words, what, has_commas=False)
    if written is None or not odd:
        return values, []
    sentence = (
        f"{what} holds numbers such as {quoted(odd, limit=3)}: '{odd[0]}' is read as "
        f"{read_number(odd[0], written):.12g}. If that is wrong, write them plainly, or say "
        "--task classification."
    )

    def plain(value: Any) -> float | None:
        return math.nan if is_missing(value) or is_gap(value) else read_number(value, written)

    return mapped(values, plain), [Finding("reading", "note", (), sentence)]


def _decide(
    values: Sequence[object], modality: Modality, what: str, place: Place
) -> tuple[Task, str | None]:
    """Return the task that the values ask for, and a note where another was thinkable."""
    if any(issubclass(kind, (list, tuple, set, np.ndarray)) for kind in kinds_of(values)):
        return MULTI_LABEL, None
    if MODALITIES[modality].is_learned_from and _are_texts(values):
        return SEQ2SEQ, (
            f"{what} holds texts, nearly all of them different: {SEQ2SEQ.name}, a text is written "
            "of each. Where another column holds the classes, name it with --label."
        )
    numbers, strange = _numbers_in(values)
    real = next(iter(numbers[(numbers != np.floor(numbers)) | np.isinf(numbers)]), None)
    if MODALITIES[modality].is_number_a_code and (real is None or len(strange)):
        return CLASSIFICATION, _several_in_a_cell(values, what)
    distinct = np.unique(numbers)
    is_many = len(distinct) > MANY_VALUES and len(distinct) > MANY_SHARE * len(values)
    is_many = is_many or 2 * len(distinct) > len(values) > 2
    is_measure = real is not None or is_many
    if len(strange):
        if is_measure and len(numbers) >= MOSTLY * len(values):
            raise DataError(
                f"{what} holds '{values[strange[0]]}' in {place(int(strange[0]))}, where "
                f"{len(numbers):,} other values are numbers. Correct it, or say "
                "--task classification if all of them are classes."
            )
        _refuse_days(values, what)
        return CLASSIFICATION, _several_in_a_cell(values, what)
    if real is not None:
        return REGRESSION, (
            f"{what} holds numbers such as {written_out(real)}: regression (say "
            "--task classification otherwise)."
        )
    if is_many:
        return REGRESSION, (
            f"{what} has {len(distinct):,} distinct numbers: regression (say "
            "--task classification otherwise)."
        )
    # numbers with a decimal point could be measured ones as well, however few there are
    has_point = any(isinstance(v, (float, np.floating)) or "." in str(v) for v in different(values))
    if len(distinct) >= FEW_VALUES or (has_point and len(distinct) > 1):
        return CLASSIFICATION, (
            f"{what} has {len(distinct)} distinct whole numbers: classification (say "
            "--task regression otherwise)."
        )
    return CLASSIFICATION, None


def _refuse_days(values: Sequence[object], what: str) -> None:
    """Refuse days, most of which occur once: they are neither classes nor numbers.

    Raises:
        DataError: If so.
    """
    words = list(dict.fromkeys(v for v in different(values) if isinstance(v, str)))
    if len(words) <= MANY_VALUES or 2 * len(words) <= len(values):
        return
    if sum(map(is_like_a_date, words)) >= MOSTLY * len(words):
        raise DataError(
            f"{what} holds dates such as {quoted(words, limit=2)}; expected classes or numbers. "
            "Make a number of each, such as the days since the first, or a class, such as its "
            "month, or name another column with --label."
        )


def _are_texts(values: Sequence[object]) -> bool:
    """Return whether values are sentences that nearly all differ: no names of classes."""
    distinct = list(dict.fromkeys(v for v in different(values) if isinstance(v, str)))
    if len(distinct) <= DIFFERENT_SHARE * len(values) or len(values) < FEWEST_TEXTS:
        return False
    return bool(prose_kind(distinct[:HEAD_TEXTS]))


def _numbers_in(values: Sequence[object]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers among values, and the places of what is neither a number nor empty."""
    numbers = numbers_of(values)
    if numbers is not None:
        return numbers[~np.isnan(numbers)], np.empty(0, np.int64)
    read = mapped(values, as_number)
    is_strange = array_from(read, lambda number: number is None, bool)
    numbers = array_from(read, lambda number: math.nan if number is None else number, np.float64)
    return numbers[~np.isnan(numbers)], np.flatnonzero(is_strange)


def _several_in_a_cell(values: Sequence[object], what: str) -> str | None:
    """Return a note where classes look as if several stood in a cell: few parts, many mixtures."""
    words = {str(v).strip() for v in different(values) if isinstance(v, str)}
    for mark in SEPARATORS:
        mixed = sorted(word for word in words if mark in word)
        parts = {part.strip() for word in words for part in word.split(mark)}
        if mixed and len(parts - {""}) < len(words):
            return (
                f"{what} holds classes such as '{mixed[0]}', each read as one: if '{mark}' stands "
                f"between several labels, say --separator '{mark}'."
            )
    return None
