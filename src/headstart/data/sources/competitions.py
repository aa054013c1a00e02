"""The target of a competition's table, whose column has a name of its own.

``train.csv`` beside ``test.csv`` and ``sample_submission.csv``: the sample names what is to be told
(a column, or a column a class), the test lacks it, and beside a column of images there may be but
one column left. Where these do not settle it, the question goes back to the user.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headstart.cells import as_number, is_missing
from headstart.data.options import DEFAULT_LABEL, ReadOptions
from headstart.data.roles import IDENTIFIER, is_image_column
from headstart.data.sources.columns import Table, read_table
from headstart.data.sources.files_beside import FilesBeside
from headstart.data.sources.folder_tree import list_folder
from headstart.data.sources.listed import EditedTable
from headstart.data.sources.one_hot import read_one_hot
from headstart.data.sources.split_columns import find_split_column
from headstart.errors import DataError
from headstart.types import Finding

SUBMISSION = re.compile(r".*submission.*\.(csv|csv\.gz|tsv|parquet)", re.IGNORECASE)
Parts = list[tuple[Table, str | None]]


def find_submission(folder: Path) -> Path | None:
    """Return the sample of a submission in a folder; None where there is none, or several."""
    try:
        files = list_folder(folder)[1]
    except DataError:
        return None  # a file may be read in a folder that may not
    found = [name for name in files if SUBMISSION.fullmatch(name)]
    samples = [name for name in found if "sample" in name.lower()] or found
    return folder / samples[0] if len(samples) == 1 else None


def settle_target(
    parts: Parts, options: ReadOptions, beside: FilesBeside | None
) -> tuple[Parts, ReadOptions, list[Finding]]:
    """Return the tables that have the target, the options that name it, and what was found.

    Args:
        parts: Open tables, each with the split it is, or None.
        options: What the user said.
        beside: The images in the folder of the train table; None where tables are no files.
    """
    findings: list[Finding] = []
    train = next((table for table, split in parts if split == "train"), parts[0][0])
    target = options.target_among(train.columns)
    if target not in train.columns and not options.label and options.schema is None and beside:
        tests = [table for table, split in parts if split in ("val", "test")]
        found = _asked_for(train, tests, options, beside)
        if found is not None:
            target, (values, used), finding = found
            findings.append(finding)
            options = replace(options, label=target, drop=(*options.drop, *used))
            if values:
                made = EditedTable(train, None, {target: values}, target=target)
                parts = [(made if table is train else table, split) for table, split in parts]
    if target not in train.columns and not findings:
        return parts, options, findings
    kept = [part for part in parts if part[1] not in ("val", "test") or _has(part[0], target)]
    if options.schema is not None or not kept:
        return parts, options, findings
    for table, _ in (part for part in parts if part not in kept):
        sentence = (
            f"{table.where} is not used: it has no '{target}', so nothing can be measured on it. "
            "What a model makes of it, predict says."
        )
        findings.append(Finding("unlabelled", "note", (), sentence))
    return kept, options, findings


def _has(table: Table, target: str) -> bool:
    if target not in table.columns:
        return False
    cells = table.cells(target)
    return not len(cells) or any(isinstance(one, list) or not is_missing(one) for one in cells)


Answers = tuple[list[object], Sequence[str]]


def _asked_for(
    train: Table, tests: Sequence[Table], options: ReadOptions, beside: FilesBeside
) -> tuple[str, Answers, Finding] | None:
    """Return the target, its values and columns where several hold it, and what says so."""
    if any(as_number(name) is not None for name in train.columns):
        return None  # a row of data in place of a header
    splits = find_split_column(
        train.columns, train.values, (options.group, *options.drop), train.head
    )
    taken = {options.group, options.image_column, options.text, *options.drop, *splits.taken}
    free = [column for column in train.columns if column not in taken]
    free = [column for column in free if not any(column in test.columns for test in tests)]
    path = find_submission(train.root)
    if path is not None and path.name != train.where:
        try:
            asked = read_table(path, path.name, options).columns[1:]
        except DataError:
            asked = []  # a sample of another form says nothing
        why = f"{path.name} asks for"
        named = [column for column in asked if column in free]
        if len(named) == 1 and len(asked) <= 2:
            return named[0], ([], ()), _said(f"{why} it", named[0])
        if len(named) == len(asked) > 1 and (hot := read_one_hot(train, asked, options)):
            sentence = f"{hot.finding.sentence} They are the target: {why} them."
            return DEFAULT_LABEL, (hot.values, asked), replace(hot.finding, sentence=sentence)
        if len(asked) > 1 and not named:
            holding = [column for column in free if _classes(train, column) == {*asked}]
            if len(holding) == 1:
                return holding[0], ([], ()), _said(f"{why} a number for each class", holding[0])
    has_others = all(set(test.columns) & set(train.columns) for test in tests)
    if tests and has_others and len(free) == 1:
        names = " and ".join(test.where for test in tests)
        return free[0], ([], ()), _said(f"it is the only column that {names} lacks", free[0])
    images = [c for c in train.columns if c == options.image_column or _names(train, c, beside)]
    left = [column for column in free if column not in images]
    if images and len(left) > 1:
        left = [column for column in left if not IDENTIFIER.fullmatch(column)]
    if len(images) == 1 and len(left) == 1:
        return left[0], ([], ()), _said("it is the only column beside the images", left[0])
    return None


def _said(why: str, target: str) -> Finding:
    sentence = f"Column '{target}' is the target: {why}. If it is another, name it with --label."
    return Finding("reading", "note", (), sentence)


def _classes(table: Table, column: str) -> set[str]:
    return {str(value) for value in table.values(column) if not is_missing(value)}


def _names(table: Table, column: str, beside: FilesBeside) -> bool:
    head = table.head(column)
    return is_image_column(head) or beside.are_named(head)
