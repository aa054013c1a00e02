"""What a table of annotations says beside its labels: who answered how, and which rows have none.

Between opening tables and reading their columns. First the exports of tools are recognised
(``READERS``, a row a form); then rows without a label are left out, never made a class, and numbers
are read by the names that their own file states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from headstart.cells import as_list, as_number, is_missing
from headstart.columnar import array_from, different, mapped, numbers_of, taken
from headstart.data.options import ReadOptions
from headstart.data.roles import is_image_column, prose_kind
from headstart.data.sources.addresses import find_pictures
from headstart.data.sources.argilla import read_responses
from headstart.data.sources.captions import caption_options, read_captions
from headstart.data.sources.columns import Table
from headstart.data.sources.crowds import (
    read_aggregated,
    read_assignments,
    read_chats,
    read_labelbox,
    without_objects,
)
from headstart.data.sources.dialogues import dialogue_options, read_dialogues
from headstart.data.sources.exports import (
    read_doccano,
    read_ground_truth,
    read_spacy,
    read_states,
    read_vertex,
)
from headstart.data.sources.label_studio import read_rows, read_tasks
from headstart.data.sources.listed import EditedTable, row_number
from headstart.data.sources.one_hot import read_indicators, read_shares
from headstart.data.sources.prodigy import read_answers
from headstart.data.sources.questions import question_options, read_questions
from headstart.data.sources.raters import read_raters
from headstart.data.sources.regions import read_regions
from headstart.data.sources.split_words import is_unlabelled
from headstart.data.sources.tagged import read_tagged, tagged_options
from headstart.errors import quoted
from headstart.tasks import CLASSIFICATION
from headstart.types import Finding, Schema

Reader = Callable[[Table, ReadOptions], tuple[Table, list[Finding]] | None]
READERS: tuple[Reader, ...] = (
    read_captions,
    read_questions,
    read_chats,
    read_dialogues,
    read_tagged,
    read_regions,
    read_tasks,
    read_rows,
    read_answers,
    read_responses,
    read_spacy,
    read_doccano,
    read_vertex,
    read_ground_truth,
    read_assignments,
    read_aggregated,
    read_labelbox,
    read_indicators,
    read_shares,
)
Parts = list[tuple[Table, str | None]]
NO_LABEL = -1
MINUS_ONES = frozenset({-1, "-1", "-1.0"})
FEW_LABELS = 2
NOT_YET = frozenset(("todo", "tbd", "to do", "n/l"))


def settle(
    tables: Sequence[tuple[Table, str | None]], options: ReadOptions
) -> tuple[Parts, ReadOptions, list[Finding]]:
    """Return the tables with only rows that have a label, the options, and what was found.

    Args:
        tables: Open tables, each with the split it is, or None.
        options: What the user said; in what is returned, the target is named where data name it.

    Raises:
        DataError: An export holds nothing that can be the target.
    """
    parts: Parts = []
    findings: list[Finding] = []
    of_each: list[tuple[str, list[Finding]]] = []
    for table, split in tables:
        found = next((read for reader in READERS if (read := reader(table, options))), None)
        if found is None:
            table = without_objects(table, options)
            found = read_states(table, options, _is_table(table, options))
        if found is not None:
            table, said = found
            of_each.append((table.where, said))
        elif (joined := read_raters(table, options)) is not None:
            table, said = joined
            of_each.append((table.where, said))
        parts.append((find_pictures(table, options, findings), split))
    findings[:0] = _once(of_each, len(tables))
    if (pictured := caption_options([table for table, _ in parts], options)) is not None:
        return parts, pictured, findings
    if (asked := question_options([table for table, _ in parts], options)) is not None:
        return parts, asked, findings
    if (tagged := tagged_options([table for table, _ in parts], options)) is not None:
        return parts, tagged, findings
    if (spoken := dialogue_options([table for table, _ in parts], options)) is not None:
        return parts, spoken, findings
    first = parts[0][0]
    target = options.target_among(first.columns)
    stated = getattr(first, "target", None)
    if target not in first.columns and options.label is None and stated:
        target = stated
        options = replace(options, label=stated)
    if not all(target in table.columns for table, _ in parts):
        return parts, options, findings  # said where columns are asked for
    parts = _without_unlabelled(parts, target, options, findings)
    if options.schema is None:
        parts = _without_strangers(parts, target, findings)
    return _renumbered(parts, target, findings, options.schema), options, findings


def _once(told: Sequence[tuple[str, list[Finding]]], num_tables: int) -> list[Finding]:
    """Return what was found of tables: once what holds of all, with its file what holds of one."""
    found: list[Finding] = []
    for where, said in told:
        for one in said:
            is_of_all = num_tables == 1 or sum(one in others for _, others in told) == num_tables
            if not is_of_all and where not in one.sentence:
                one = replace(one, sentence=f"{where}: {one.sentence}")
            found += [] if one in found else [one]
    return found


def _is_table(table: Table, options: ReadOptions) -> bool:
    """Return whether rows themselves are the inputs: no column of texts or of images."""
    if options.text or options.image_column:
        return False
    heads = (table.head(column) for column in table.columns)
    return not any(prose_kind(head) or is_image_column(head) for head in heads)


def _without_unlabelled(
    parts: Parts, target: str, options: ReadOptions, findings: list[Finding]
) -> Parts:
    """Leave out rows whose label is -1 beside numbers, an empty list, or ``unlabeled``."""
    values = [table.cells(target) for table, _ in parts]
    marks = _unlabelled(
        values, [table.class_names(target) for table, _ in parts], options, findings
    )
    kept: Parts = []
    for (table, split), cells, is_bare in zip(parts, values, marks, strict=True):
        number = int(is_bare.sum())
        if number == 0:
            kept.append((table, split))
        elif number == len(cells) and len(parts) > 1 and split != "train":
            sentence = f"{table.where} is not used: its labels are hidden."
            findings.append(Finding("unused", "note", (), sentence))
        else:
            places = np.flatnonzero(~is_bare)
            bare = np.flatnonzero(is_bare).tolist()
            cell = cells[bare[0]]
            shown = "an empty list" if as_list(cell) is not None else str(cell)
            items = [f"row {row_number(table, i)}" for i in bare]
            sentence = (
                f"{number:,} of {len(cells):,} rows of {table.where} have no label ({shown} in "
                f"'{target}') and are left out."
            )
            findings.append(Finding("unlabelled", "warning", items, sentence))
            target_of = getattr(table, "target", None)
            kept.append((EditedTable(table, places, target=target_of), split))
    return kept or parts


def _unlabelled(
    values: Sequence[Sequence[Any]],
    names: Sequence[list[str] | None],
    options: ReadOptions,
    findings: list[Finding],
) -> list[np.ndarray]:
    """Return for each table which of its rows have no label."""
    known = options.known_task
    none = [np.zeros(len(cells), bool) for cells in values]
    measured = [numbers_of(cells) for cells in values]
    if all(found is not None and NO_LABEL not in found for found in measured):
        return none  # numbers that mostly differ, and none is -1
    every = [cell for cells in values for cell in different(cells)]
    is_native = any(issubclass(kind, (list, tuple)) for kind in set(map(type, every)))
    lists = [as_list(cell) for cell in every] if is_native or _opens_a_list(every) else []
    if is_native or (lists and all(found is not None for found in lists)):
        sizes = {len(found) for found in lists if found is not None}
        if known in (None, CLASSIFICATION.name) and sizes == {0, 1}:
            return [array_from(cells, lambda cell: as_list(cell) == [], bool) for cells in values]
        return none
    if known not in (None, CLASSIFICATION.name):
        return none
    if (said := _said_unlabelled(every, options.schema)) is not None:
        return [array_from(cells, lambda c: _is_among(said, c), bool) for cells in values]
    if options.schema and "-1" in options.schema.classes:
        return none
    if not any(cell in MINUS_ONES for cell in every if isinstance(cell, (str, int, float))):
        return none
    numbers = set(map(as_number, every))
    others = {n for n in numbers if n is not None and n == n} - {NO_LABEL}
    marks = [array_from(cells, lambda c: as_number(c) == NO_LABEL, bool) for cells in values]
    if any(names):
        return marks
    if None in numbers:
        return none
    is_numbered = others == set(range(len(others)))
    if is_numbered and len(others) > FEW_LABELS:
        return marks
    if is_numbered and len(others) == FEW_LABELS:
        sentence = (
            "The labels are -1, 0 and 1, each a class. If -1 means that there is no label, remove "
            "these rows."
        )
        findings.append(Finding("classes", "note", (), sentence))
    return none


def _said_unlabelled(cells: Sequence[Any], trained: Schema | None) -> set[str] | None:
    """Return the words that say of a row that it has no label, beside two classes or more."""
    words = {cell for cell in cells if isinstance(cell, str) and not is_missing(cell)}
    found = {word for word in words if is_unlabelled(word) or word.strip().lower() in NOT_YET}
    known = {*trained.classes} if trained else set()
    return found - known if found - known and len(words - found) >= FEW_LABELS else None


def _opens_a_list(cells: Sequence[Any]) -> bool:
    """Return whether the first cell that holds anything begins like a list."""
    first = next((cell for cell in cells if not is_missing(cell)), None)
    return isinstance(first, dict) or str(first).lstrip()[:1] in tuple("[({")


def _without_strangers(parts: Parts, target: str, findings: list[Finding]) -> Parts:
    """Leave out of val and test the classes that the names in train's own files do not hold."""
    named = [(table.class_names(target), split) for table, split in parts]
    known = {name for names, split in named if split == "train" for name in names or ()}
    made: Parts = []
    for (table, split), (names, _) in zip(parts, named, strict=True):
        if not known or not names or split == "train":
            made.append((table, split))
            continue
        strangers = set(names) - known
        cells = table.cells(target)
        labels = mapped(cells, partial(_by_name, names=names, odd=set()))
        strange = array_from(labels, partial(_is_among, strangers), bool)
        if not strange.any() or strange.all():
            made.append((table, split))
            continue
        places = np.flatnonzero(strange).tolist()
        classes = quoted(sorted({str(labels[i]) for i in places}))
        sentence = (
            f"{len(places):,} of {len(cells):,} rows of {table.where} are of the class {classes}, "
            "which the training file does not know, and are left out: the figures say nothing of "
            "it. Add training samples of it."
        )
        items = [f"row {row_number(table, i)}" for i in places]
        findings.append(Finding("untested", "warning", items, sentence))
        kept = [name for name in names if name in known]
        index = {name: place for place, name in enumerate(kept)}
        stay = np.flatnonzero(~strange)
        coded = mapped(taken(labels, stay), partial(_coded, index=index))
        made.append((EditedTable(table, stay, {target: coded}, {target: kept}), split))
    return made


def _is_among(names: set[str], label: Any) -> bool:
    return isinstance(label, str) and label in names


def _renumbered(
    parts: Parts, target: str, findings: list[Finding], trained: Schema | None
) -> Parts:
    """Give all tables one numbering, where the names they state differ or leave numbers out.

    Data that a model is evaluated on are counted as those were that it learned from.
    """
    stated = [table.class_names(target) for table, _ in parts]
    if not any(stated) or any(getattr(table, "counts_from_one", False) for table, _ in parts):
        return parts
    counts = {len(names) for names in stated if names}
    numbers = _numbers_of(parts, target) if len(counts) == 1 else []
    number = counts.pop()
    is_from_one = bool(numbers) and min(numbers) == 1 and max(numbers) == number > 1
    if trained is not None and trained.counts_from_one and numbers:
        is_from_one = True
    elif numbers and trained is None and 1 <= min(numbers) <= max(numbers) < number:
        findings += _unsaid_zero(next(names for names in stated if names), target)
    if is_from_one:
        stated = [["0", *names] if names else None for names in stated]
        sentence = (
            f"The numbers in '{target}' go from 1 to the number of names: 1 is "
            f"'{next(names[1] for names in stated if names)}'."
            if trained is None
            else f"The numbers in '{target}' are counted from 1, as in training: 1 is "
            f"'{next(names[1] for names in stated if names)}'."
        )
        findings.append(Finding("classes", "note", (), sentence))
    order = sorted(range(len(parts)), key=lambda i: parts[i][1] != "train")
    default = next(names for i in order if (names := stated[i]))
    union = list(dict.fromkeys(name for i in order for name in stated[i] or ()))
    odd: set[str] = set()
    columns = []
    for (table, _), names in zip(parts, stated, strict=True):
        cells = table.cells(target)
        if _are_vectors(different(cells), len(names or default)):
            return parts  # places in a vector, which the names are of
        columns.append(mapped(cells, partial(_by_name, names=names or default, odd=odd)))
    if not odd and not is_from_one and all(names in (None, union) for names in stated):
        return parts
    union += [name for name in sorted(odd) if name not in union]
    index = {name: i for i, name in enumerate(union)}
    if odd:
        shown = quoted(sorted(odd))
        sentence = (
            f"Column '{target}' holds {shown}, for which no name is stated (names: "
            f"{quoted(default)}): classes of their own."
        )
        findings.append(Finding("classes", "warning", (), sentence))
    if any(names and names != union[: len(names)] for names in stated):
        sentence = f"The files number '{target}' differently; each is read by its own names."
        findings.append(Finding("classes", "note", (), sentence))
    made: Parts = []
    for (table, split), labels in zip(parts, columns, strict=True):
        coded = mapped(labels, partial(_coded, index=index))
        target_of = getattr(table, "target", None)
        edited = EditedTable(
            table, None, {target: coded}, {target: union}, target_of, counts_from_one=is_from_one
        )
        made.append((edited, split))
    return made


def _numbers_of(parts: Parts, target: str) -> list[float]:
    """Return the different numbers that stand for classes; none where words stand among them."""
    cells = {c for table, _ in parts for c in different(table.cells(target)) if _is_plain(c)}
    read = [as_number(cell) for cell in cells]
    numbers = [number for number in read if number is not None]
    return numbers if len(numbers) == len(read) else []


def _unsaid_zero(names: Sequence[str], target: str) -> list[Finding]:
    """Return what to say where no label is 0, and it is not sure what the numbers count from."""
    if names[0] == "0":
        return []  # the names are numbered themselves, from 1
    sentence = (
        f"No label in '{target}' is 0: they are counted from 0, so that 1 is '{names[1]}', the "
        f"second of {len(names)} names. If 1 is '{names[0]}', write the numbers beside the names "
        f"where they are listed: '1 {names[0]}'."
    )
    return [Finding("classes", "note", (), sentence)]


def _is_plain(cell: Any) -> bool:
    return isinstance(cell, (str, int, float)) and not is_missing(cell)


def _are_vectors(cells: Sequence[Any], length: int) -> bool:
    """Return whether cells are lists of 0 and 1 that have one place for each name."""
    lists = [cell for cell in cells if isinstance(cell, (list, tuple))]
    return (
        length > 1
        and bool(lists)
        and all(len(cell) == length and {*cell} <= {0, 1} for cell in lists)
    )


def _by_name(cell: Any, names: Sequence[str], odd: set[str]) -> Any:
    """Return the name of a number, or of each in a list; what has none stays, and is noted."""
    if isinstance(cell, (list, tuple)):
        return [_by_name(one, names, odd) for one in cell]
    if is_missing(cell):
        return cell
    number = as_number(cell)
    if number is None or number != int(number):
        if str(cell) not in names:
            odd.add(str(cell))
        return str(cell)
    if 0 <= number < len(names):
        return names[int(number)]
    odd.add(str(int(number)))
    return str(int(number))


def _coded(label: Any, index: dict[str, int]) -> Any:
    if isinstance(label, list):
        return [_coded(one, index) for one in label]
    return label if is_missing(label) else index.get(label, label)
