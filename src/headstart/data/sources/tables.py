"""Read table files: which column is what, its targets and groups, one table or one file a split.

Images, texts and table rows come out of the same files; ``roles`` decides which. Class names come
from where the data states them: text labels, Hugging Face metadata, or a column that names each
integer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.cells import is_missing
from headstart.columnar import different, joined, mapped
from headstart.data.groups import GroupError
from headstart.data.kinds import Recognised
from headstart.data.options import ALL, COLUMN_OPTIONS, DEFAULT_LABEL, ReadOptions
from headstart.data.paired_texts import paired, said_columns
from headstart.data.records import SPLIT_CODES, UNASSIGNED, Records
from headstart.data.roles import Roles, find_roles, need_column, unused_beside
from headstart.data.sources.annotations import settle
from headstart.data.sources.columns import Table
from headstart.data.sources.competitions import settle_target
from headstart.data.sources.files_beside import FilesBeside
from headstart.data.sources.folder import TABLE_SUFFIXES
from headstart.data.sources.formats import open_table, refuse_header
from headstart.data.sources.headers import describe_header
from headstart.data.sources.listed import row_number
from headstart.data.sources.samples import ChainSamples, ValueSamples
from headstart.data.sources.several_labels import read_labels, read_said
from headstart.data.sources.split_columns import SplitColumn, find_split_column
from headstart.data.sources.split_words import is_unsure, split_within, splits_among
from headstart.data.sources.table_rows import Rows, rows_beside, table_samples
from headstart.data.sources.text_files import read_named_texts
from headstart.data.sources.text_pairs import settle_pair
from headstart.errors import DataError, OptionError, did_you_mean, quoted
from headstart.preprocessing.rows import TextSamples
from headstart.tasks import order_classes
from headstart.types import MODALITIES, Finding, Modality, Samples

NAMING_COLUMNS = ("class", "class_name", "label_name", "label_text")
SPLIT_FILE = re.compile(
    rf"(.+?)(-\d+-of-\d+)?({'|'.join(map(re.escape, TABLE_SUFFIXES))})",
    re.IGNORECASE,
)


def find_split_files(folder: Path) -> list[tuple[Path, str]]:
    """Return the files ``train.parquet``, ``test.csv`` … of a folder, each with its split."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []  # the folder reader says why
    matches = [(name, SPLIT_FILE.fullmatch(name)) for name in names]
    words = splits_among(m.group(1) for _, m in matches if m is not None)
    found = [(folder / n, words[m[1]]) for n, m in matches if m is not None and m[1] in words]
    return found if any(split == "train" for _, split in found) else []


def read_table_files(
    files: Sequence[tuple[Path, str | None]],
    name: str,
    options: ReadOptions,
    *,
    class_names: Sequence[str] | None = None,
) -> Records:
    """Return the records of table files.

    Args:
        files: Each file with the split it is, or None.
        name: What the user called the source.
        options: What the user said of the columns.
        class_names: What integer labels stand for, where that is common knowledge.

    Raises:
        DataError: A file cannot be read, or a column is missing or holds what it should not.
    """
    if options.schema is None:
        refuse_header(files[0][0], options)
    tables = [(open_table(path, path.name, options), split) for path, split in files]
    said = [*describe_header(tables[0][0], options), *_said_splits(files)]
    records = read_tables(tables, name, options, class_names=class_names, are_files=True)
    return replace(records, findings=[*said, *records.findings])


def _said_splits(files: Sequence[tuple[Path, str | None]]) -> list[Finding]:
    """Return which file is which split, where a name means val to some and test to others."""
    splits = {path.name: split for path, split in files if split}
    if not any(is_unsure(name.partition(".")[0]) for name in splits):
        return []
    shown = ", ".join(f"'{name}' as {split}" for name, split in sorted(splits.items()))
    sentence = f"Files are read as splits: {shown}. Rename them if another is meant."
    return [Finding("reading", "note", (), sentence)]


def read_tables(
    tables: Sequence[tuple[Table, str | None]],
    name: str,
    options: ReadOptions,
    *,
    class_names: Sequence[str] | None = None,
    are_files: bool = False,
) -> Records:
    """Return the records of open tables; arguments as in ``read_table_files``.

    Where they are files, their cells may name images that lie anywhere in their folder.
    """
    options, paired = settle_pair(tables, name, options)
    tables, options, said = _settled(tables, options, are_files=are_files)
    said = [*paired, *said]
    rows = Rows([table for table, _ in tables])
    several = read_labels(rows.tables[0].columns, options)
    target = options.target_among(rows.tables[0].columns) if not several else several[0].column
    reference = next((table for table, split in tables if split == "train"), rows.tables[0])
    for table in (reference, *rows.tables):
        need_column(table, target, "target", "--label")
        if table.num_rows == 0:
            raise DataError(f"{table.where} has no rows. Expected one row a sample.")
    _check_named_columns(reference, options)
    splits = _find_splits(rows, target, options)
    beside = _files_beside(tables) if are_files else {}
    taken = (*(one.column for one in several[1:]), *splits.taken)
    roles = find_roles(reference, target, options, taken, beside.get(reference.where))
    known = class_names if target == DEFAULT_LABEL else None
    naming: list[str] = []  # the column that names the classes is the target in other words
    targets = read_said(
        lambda column: rows.cells(column, "target", "--label"),
        several or target,
        options,
        roles.modality,
        rows.place,
        lambda labels: _name_classes(rows, target, labels, known, naming),
    )
    groups = _groups(rows, roles.modality, options)
    samples, found = _inputs(rows, reference, roles, [target, *naming, *taken], options, beside)
    codes = [_split_codes(table, split, rows, splits) for table, split in tables]
    records = Records(
        name=name,
        samples=samples,
        targets=targets.values,
        classes=targets.classes,
        splits=np.concatenate(codes),
        origin="one file a split" if any(s for _, s in tables) else f"column '{splits.name}'",
        label=",".join(one.column for one in several) or target,
        parts=targets.parts,
        input_column=roles.column,
        sides=(str(roles.column), roles.second) if roles.second else (),
        groups=groups,
        findings=[
            *said,
            *(one for one in roles.findings if one.kind != "unused"),  # said below, by the task
            *splits.findings,
            *targets.findings,
            *(found.findings if found else ()),
            *unused_beside(rows.tables, [target, *naming, *taken], roles, options, targets.task),
        ],
        modality=roles.modality,
        task=targets.task,
        column_kinds=found.kinds if found else None,
        date_formats=found.date_formats if found else {},
        number_formats=found.number_formats if found else {},
        levels=found.levels if found else {},
        kept_columns=options.kept_columns,
        columns=reference.columns,
        counts_from_one=getattr(reference, "counts_from_one", False),
    )
    return rows_beside(records, rows, reference, roles, naming, options)


def _groups(rows: Rows, modality: Modality, options: ReadOptions) -> list[str] | None:
    """Return the column that tells the groups; None where paths are to tell them, or nothing."""
    group = options.group
    if not group:
        return None
    if not any(group in table.columns for table in rows.tables) and MODALITIES[modality].is_file:
        return None  # a pattern, or refused with all that it may be
    try:
        return _texts(rows.cells(group, "group", "--group"), group, rows)
    except DataError as error:
        raise GroupError(str(error)) from None


def _settled(
    tables: Sequence[tuple[Table, str | None]], options: ReadOptions, *, are_files: bool
) -> tuple[list[tuple[Table, str | None]], ReadOptions, list[Finding]]:
    """Return the tables that have a target, rows without a label left out, and what was found."""
    if options.labels_among(tables[0][0].columns):  # several targets: a table of plain columns
        given = list(tables)
        return read_named_texts(given, options) if are_files else (given, options, [])
    tables, options, said = settle(tables, options)
    if are_files:
        tables, options, texts = read_named_texts(tables, options)
        said = [*said, *texts]
    before = options
    beside = _files_beside(tables) if are_files else {}
    train = next((table for table, split in tables if split == "train"), tables[0][0])
    tables, options, found = settle_target(tables, options, beside.get(train.where))
    if options is not before:  # the target has a name now
        tables, options, more = settle(tables, options)
        said = [*said, *more]
    return tables, options, [*said, *found]


def _files_beside(tables: Sequence[tuple[Table, str | None]]) -> dict[str, FilesBeside]:
    """Return the images in the folder of each table, by the table's name."""
    roots = {table.root: FilesBeside(table.root) for table, _ in tables}
    return {
        table.where: roots[table.root].of_split(split or split_within(Path(table.where).stem))
        for table, split in tables
    }


def _inputs(
    rows: Rows,
    reference: Table,
    roles: Roles,
    no_inputs_here: list[str],
    options: ReadOptions,
    beside: Mapping[str, FilesBeside],
) -> tuple[Samples, Recognised | None]:
    """Return what the model is to see, and, of rows, what their columns hold."""
    if roles.modality == "image":
        return _image_samples(rows, str(roles.column), beside), None
    if roles.modality == "text":
        texts = list(rows.cells(str(roles.column), "text", "--text"))
        if roles.second is not None:
            texts = list(paired(texts, rows.cells(roles.second, "text", "--text")))
        return TextSamples(texts, rows.names()), None
    taken = {*no_inputs_here, options.group, *options.drop}
    columns = [column for column in reference.columns if column not in taken]
    if options.columns:  # what the model does not read need not be readable
        columns = [column for column in columns if column in options.kept_columns]
    return table_samples(rows, reference, columns, taken, options)


def _check_named_columns(table: Table, options: ReadOptions) -> None:
    """Refuse names in --numeric, --categorical, --date and --drop that the table lacks."""
    if (options.text or options.image_column) and not options.beside:
        options.refuse(
            "the inputs are not a table's columns",
            *("label", "image_column", "text", "group", "separator", "drop", "header", "encoding"),
        )
    for option in COLUMN_OPTIONS:
        for column in getattr(options, option):
            if column not in table.columns and (option, column) != ("beside", ALL):
                raise OptionError(
                    f"Column '{column}' of --{option} is missing in {table.where} (found: "
                    f"{quoted(table.columns)}).{did_you_mean(column, table.columns)} Correct it."
                )


def _find_splits(rows: Rows, target: str, options: ReadOptions) -> SplitColumn:
    """Return the column of splits of all tables, if there is one."""
    columns = list(dict.fromkeys(c for table in rows.tables for c in table.columns))

    def values_of(column: str) -> Sequence[object]:
        having = [table for table in rows.tables if column in table.columns]
        return joined(table.cells(column) for table in having)

    def head_of(column: str) -> Sequence[object]:
        return next(table for table in rows.tables if column in table.columns).head(column)

    given = (target, options.group, options.image_column, *said_columns(options.text, columns))
    kept = (*given, *options.drop, *options.kept_columns)
    return find_split_column(columns, values_of, kept, head_of)


def _image_samples(rows: Rows, column: str, beside: Mapping[str, FilesBeside]) -> Samples:
    """Return the images that a column holds or points to."""
    parts = []
    for table in rows.tables:
        need_column(table, column, "image", "--image-column")
        paths = table.image_names(column)
        is_named = all(isinstance(value, (str, int)) for value in table.head(column) if value)
        if table.where in beside and is_named:
            paths = beside[table.where].resolved(paths)
        several = f"{table.where} " if len(rows.tables) > 1 else ""
        names = [p or f"{several}row {row_number(table, i)}" for i, p in enumerate(paths)]
        is_path = table.where in beside and is_named
        parts.append(
            ValueSamples(paths, names, table.root) if is_path else table.images(column, names)
        )
    return parts[0] if len(parts) == 1 else ChainSamples(parts)


def _split_codes(table: Table, split: str | None, rows: Rows, splits: SplitColumn) -> np.ndarray:
    """Return the split of each row, int8: that of the file, of the column, or none."""
    if split or splits.name is None or splits.name not in table.columns:
        return np.full(table.num_rows, SPLIT_CODES[split] if split else UNASSIGNED, np.int8)
    before = sum(t.num_rows for t in rows.tables[: list(rows.tables).index(table)])
    return splits.codes(table.cells(splits.name), lambda i: rows.place(before + i))


def _texts(values: Sequence[object], column: str, rows: Rows) -> list[str]:
    if any(map(is_missing, different(values))):
        first = next(i for i, value in enumerate(values) if is_missing(value))
        raise DataError(
            f"Column '{column}' is empty in {rows.place(first)}. Fill it in for every row, or "
            "leave the column out."
        )
    return list(mapped(values, str))


def _name_classes(
    rows: Rows,
    target: str,
    labels: Sequence[str],
    known: Sequence[str] | None,
    naming: list[str],
) -> tuple[Sequence[str], tuple[str, ...], str | None]:
    """Return labels and ordered classes under their names, and a note on where these come from.

    The column that names them, if any, is added to ``naming``.
    """
    numbers = set(different(labels))
    note = None
    names = {str(i): name for i, name in enumerate(known)} if known else None
    stated = None if names else rows.tables[0].class_names(target)
    if stated is not None:
        names = {str(i): name for i, name in enumerate(stated)}
    if names is None and all(re.fullmatch(r"\d+", number) for number in numbers):
        names, column = _naming_column(rows.tables, labels)
        note = f"Class names come from column '{column}'." if names else None
        naming += [column] if column else []
    if names is None or not numbers <= names.keys():
        return labels, order_classes(numbers), None
    ordered = order_classes(numbers)
    named = mapped(labels, names.__getitem__)
    return named, tuple(names[number] for number in ordered), note


def _naming_column(
    tables: Sequence[Table], labels: Sequence[str]
) -> tuple[dict[str, str] | None, str | None]:
    """Return the names of integer labels where a column gives one name for each."""
    for column in NAMING_COLUMNS:
        if not all(column in table.columns for table in tables):
            continue
        values = [value for table in tables for value in table.values(column)]
        if len(values) != len(labels) or all(re.fullmatch(r"\d*", str(v)) for v in values):
            continue  # labels in lists; or numbers, which name nothing
        pairs = {
            (number, value)
            for number, value in zip(labels, values, strict=True)
            if isinstance(value, str) and value
        }
        names = {number: str(value) for number, value in pairs}
        if len(pairs) == len(names) == len(set(names.values())) and set(labels) == names.keys():
            return names, column
    return None, None
