"""Turn a target column into targets: which task it asks for, its classes, its numbers.

The task is decided when the user has not said it, and the decision is said in a note:

- lists, or a separator: multi-label;
- words: classification;
- numbers that are not all whole: regression (for images it must be said, since a measured label
  beside a photo is more often a mistaken column);
- whole numbers: classification, unless there are many different ones (more than 20, and more than
  5 % of the samples), or most occur once: then regression.

Left out: ordinal targets, several targets, weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from headstart.data.options import ReadOptions
from headstart.data.records import class_labels, encode_targets, is_missing, order_classes
from headstart.errors import DataError, OptionError
from headstart.types import Modality, Task

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
INFINITE = ("inf", "infinity", "+inf", "-inf", "+infinity", "-infinity")
MANY_VALUES, MANY_SHARE = 20, 0.05
FEW_VALUES = 5
MOSTLY = 0.9
SEPARATORS = (";", "|", ",", "/")
Place = Callable[[int], str]
# Gives numbered labels their names: labels → labels, classes, note.
Naming = Callable[[list[str]], tuple[list[str], tuple[str, ...], str | None]]


@dataclass(frozen=True)
class Targets:
    """A target column, read.

    Attributes:
        task: What it asks for.
        values: As ``Split.targets``.
        classes: Class names in order; empty for regression.
        notes: Sentences a user should read.
    """

    task: Task
    values: np.ndarray
    classes: tuple[str, ...]
    notes: list[str] = field(default_factory=list)


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
    task, note = options.known_task, None
    if task is None:
        task, note = _decide(values, modality, what, place)
    notes = [note] if note else []
    if task == "regression":
        return Targets(task, _read_numbers(values, what, place), (), notes)
    if task == "multi-label":
        return _read_label_sets(values, options, what, place, naming, notes)
    is_said = options.known_task == "classification"
    labels = class_labels(values, what, place, allow_real=is_said)
    if modality != "image":
        labels = _tidy(labels)
    if naming is None:
        named, classes, naming_note = labels, order_classes(set(labels)), None
    else:
        named, classes, naming_note = naming(labels)
    notes += [naming_note] if naming_note else []
    return Targets(task, encode_targets(named, classes), classes, notes)


def as_number(value: object) -> float | None:
    """Return the number that a cell holds, NaN for none; None where it holds something else.

    Words with leading zeros (``007``) are codes, not numbers.
    """
    if is_missing(value):
        return math.nan
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (int, float, np.integer, np.floating, Decimal)):
        return float(value)
    if not isinstance(value, str):
        return None
    word = value.strip()
    if NUMBER.fullmatch(word):
        return None if re.match(r"[-+]?0\d", word) else float(word)
    return float(word) if word.lower() in INFINITE else None


def _tidy(labels: list[str]) -> list[str]:
    """Return labels without blanks around them, and ``1`` for the ``1.0`` of a CSV file."""
    labels = [label.strip() for label in labels]
    if all(re.fullmatch(r"-?\d+\.0+", label) for label in labels):
        return [label.split(".")[0] for label in labels]
    return labels


def _decide(
    values: Sequence[object], modality: Modality, what: str, place: Place
) -> tuple[Task, str | None]:
    """Return the task that the values ask for, and a note where another was thinkable."""
    if any(isinstance(value, (list, tuple, set, np.ndarray)) for value in values):
        return "multi-label", None
    if modality == "image":
        return "classification", _several_in_a_cell(values, what)
    found = [as_number(value) for value in values]
    numbers = [number for number in found if number is not None and not math.isnan(number)]
    distinct = set(numbers)
    real = next((n for n in numbers if not math.isfinite(n) or n != int(n)), None)
    is_many = len(distinct) > MANY_VALUES and len(distinct) > MANY_SHARE * len(values)
    is_many = is_many or 2 * len(distinct) > len(values) > 2
    is_measure = real is not None or is_many
    strange = [i for i, number in enumerate(found) if number is None]
    if strange:
        if is_measure and len(numbers) >= MOSTLY * len(values):
            raise DataError(
                f"{what} holds '{values[strange[0]]}' in {place(strange[0])}, where "
                f"{len(numbers):,} other values are numbers. Correct it, or say "
                "--task classification if all of them are classes."
            )
        return "classification", _several_in_a_cell(values, what)
    otherwise = "(say --task {} otherwise)."
    if real is not None:
        return "regression", (
            f"{what} holds numbers such as {real:g}: regression "
            + otherwise.format("classification")
        )
    if is_many:
        return "regression", (
            f"{what} has {len(distinct):,} distinct numbers: regression "
            + otherwise.format("classification")
        )
    # numbers with a decimal point could be measured ones as well, however few there are
    has_point = any(isinstance(v, (float, np.floating)) or "." in str(v) for v in values)
    if len(distinct) >= FEW_VALUES or (has_point and len(distinct) > 1):
        return "classification", (
            f"{what} has {len(distinct)} distinct whole numbers: classification "
            + otherwise.format("regression")
        )
    return "classification", None


def _several_in_a_cell(values: Sequence[object], what: str) -> str | None:
    """Return a note where classes look as if several stood in a cell: few parts, many mixtures."""
    words = {value.strip() for value in values if isinstance(value, str)}
    for mark in SEPARATORS:
        mixed = sorted(word for word in words if mark in word)
        parts = {part.strip() for word in words for part in word.split(mark)}
        if mixed and len(parts - {""}) < len(words):
            return (
                f"{what} holds classes such as '{mixed[0]}', each read as one: if '{mark}' stands "
                f"between several labels, say --separator '{mark}'."
            )
    return None


def _read_numbers(values: Sequence[object], what: str, place: Place) -> np.ndarray:
    """Return float64 targets, shape (N,), all finite."""
    numbers = np.empty(len(values), np.float64)
    for i, value in enumerate(values):
        number = as_number(value)
        if isinstance(value, (bool, np.bool_)):
            number = float(value)
        if number is None:
            raise DataError(
                f"{what} holds '{value}' in {place(i)}; regression expects a number. Correct it, "
                "name another column with --label, or say --task classification."
            )
        if not math.isfinite(number):
            found = "is empty or NaN" if math.isnan(number) else f"holds {number}"
            raise DataError(
                f"{what} {found} in {place(i)}; regression expects a finite number for every "
                "sample. Fill it in or remove the sample."
            )
        numbers[i] = number
    return numbers


def _read_label_sets(
    values: Sequence[object],
    options: ReadOptions,
    what: str,
    place: Place,
    naming: Naming | None,
    notes: list[str],
) -> Targets:
    """Return multi-label targets, uint8, shape (N, K)."""
    if not options.separator and any(isinstance(value, str) for value in values):
        shown = next(str(value) for value in values if isinstance(value, str))
        used = [s for s in SEPARATORS if any(s in str(value) for value in values)]
        example = used[0] if used else SEPARATORS[0]
        raise OptionError(
            f"{what} holds texts such as '{shown[:60]}', and task is multi-label; what stands "
            f"between the labels is not known. Say it, for example --separator '{example}'."
        )
    sets = [_label_set(value, options.separator, what, place(i)) for i, value in enumerate(values)]
    flat = [label for labels in sets for label in labels]
    if len(set(flat)) < 2:
        found = f"all of them hold '{flat[0]}' alone" if flat else "all of them are empty"
        kind = type(values[0]).__name__ if options.separator is None else "text of labels"
        raise DataError(
            f"{what} holds a {kind} in {place(0)}, so the task is multi-label, but {found}; "
            "expected at least two classes. Name another column with --label."
        )
    if naming is None:
        named, classes = flat, order_classes(set(flat))
    else:
        named, classes, note = naming(flat)
        notes = [*notes, note] if note else notes
    index = {name: position for position, name in enumerate(classes)}
    targets = np.zeros((len(values), len(classes)), np.uint8)
    rows = np.repeat(np.arange(len(sets)), [len(labels) for labels in sets])
    targets[rows, [index[name] for name in named]] = 1
    if num_bare := int((targets.sum(axis=1) == 0).sum()):
        notes = [*notes, f"{num_bare:,} of {len(values):,} samples have no label: none applies."]
    return Targets("multi-label", targets, classes, notes)


def _label_set(value: object, separator: str | None, what: str, where: str) -> list[str]:
    """Return the labels of one cell; an empty cell has none."""
    if isinstance(value, (list, tuple, set, np.ndarray)):
        items = sorted(value) if isinstance(value, set) else list(value)
        if any(isinstance(item, (list, tuple, set, dict, np.ndarray)) for item in items):
            raise DataError(
                f"{what} holds lists inside a list in {where}; expected a list of class names. "
                "Name another column with --label."
            )
        return [str(item).strip() for item in items if not is_missing(item)]
    if is_missing(value):
        return []
    if separator is None:
        raise DataError(
            f"{what} holds '{value}' in {where}, where other rows hold lists of labels. Make it a "
            "list too."
        )
    return [label.strip() for label in str(value).split(separator) if label.strip()]
