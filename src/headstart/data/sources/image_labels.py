"""Read folders of images whose classes stand in a file beside them, and not in folders.

Such files: a table (``metadata.csv``, ``_classes.csv``, ``labels.csv``, JSONL, Parquet), a JSON of
names and labels, lists (``train.txt`` with ``synsets.txt``), and a ``.txt`` of YOLO beside each
image. Each becomes a table of paths and labels, which ``tables`` then reads as any other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headstart.cells import is_missing
from headstart.data.options import DEFAULT_LABEL, ReadOptions
from headstart.data.records import Records
from headstart.data.roles import is_image_column, need_column
from headstart.data.sources.columns import ArrowTable, Table
from headstart.data.sources.competitions import settle_target
from headstart.data.sources.files_beside import FilesBeside
from headstart.data.sources.folder import TABLE_SUFFIXES, is_image
from headstart.data.sources.folder_tree import Tree, list_folder
from headstart.data.sources.formats import open_table
from headstart.data.sources.image_lists import find_lists
from headstart.data.sources.label_names import ClassNames, are_numbers_of, names_beside
from headstart.data.sources.layouts import FolderLayout, find_layout
from headstart.data.sources.list_files import Labelled
from headstart.data.sources.one_hot import read_one_hot, read_soft
from headstart.data.sources.split_columns import find_split_column
from headstart.data.sources.split_words import split_of, split_within
from headstart.data.sources.tables import read_tables
from headstart.errors import DataError, quoted
from headstart.preprocessing.image_files import IMAGE_SUFFIXES
from headstart.types import Finding

PREFERRED = ("metadata.", "_classes.", "labels.", "label.", "annotations.", "train.")
KINDS = tuple(kind for kind in TABLE_SUFFIXES if kind != ".json")  # JSON: image_lists
NO_LABELS = ("sample_submission", "samplesubmission", "submission")
IMAGE = "image"
_LOOKED_AT = 50
_LEARNED = ("train", None)  # splits that must have labels


@dataclass
class LabelTables:
    """What files say of the images of a folder.

    Attributes:
        tables: Tables whose image column holds paths below the root, each with its split.
        options: How these are to be read.
        findings: What a user should know of it.
    """

    tables: list[tuple[Table, str | None]]
    options: ReadOptions
    findings: list[Finding] = field(default_factory=list)


def read_stated(tree: Tree, name: str, options: ReadOptions) -> Records | None:
    """Return the records of a folder of images whose classes a file states.

    Args:
        tree: The folder, and what is below.
        name: What the user called it.
        options: What the user said; the label column may be named.

    Returns:
        None where no file states them, or folders do.

    Raises:
        DataError: Several files could, or the one that does cannot be read.
    """
    root, layout = tree.root, find_layout(tree, IMAGE_SUFFIXES)
    if not layout.classes and not layout.flat:
        return None
    beside = FilesBeside(root)
    stated = None if layout.classes else _from_tables(root, layout, options, beside)
    stated = stated or _from_lists(tree, layout, options, beside)
    if stated is None:
        return None
    records = read_tables(stated.tables, name, stated.options)
    used = {records.samples.name(i) for i in range(len(records.targets))}
    findings = [*layout.findings, *stated.findings, *records.findings]
    findings += _not_named(root, layout, used)
    origin = "folder" if any(split for _, split in stated.tables) else records.origin
    return replace(records, findings=findings, origin=origin)


def _not_named(root: Path, layout: FolderLayout, used: set[str]) -> list[Finding]:
    """Return which images no file names."""
    findings = []
    for folder in layout.flat:
        files = [os.path.join(folder, f) for f in list_folder(root / folder)[1] if is_image(f)]
        if left := [file for file in files if file not in used]:
            sentence = (
                f"{len(left)} images of '{folder or '.'}/' are not used, since no file says their "
                f"class: {quoted(left, limit=3)}."
            )
            findings.append(Finding("unlabelled", "warning", left, sentence))
    if layout.unlabelled:
        sentence = f"Skipped folders of samples without a label: {quoted(layout.unlabelled)}."
        findings.append(Finding("unlabelled", "note", (), sentence))
    return findings


def _from_tables(
    root: Path, layout: FolderLayout, options: ReadOptions, beside: FilesBeside
) -> LabelTables | None:
    """Return the tables in the flat folders, or the one beside them."""
    found: list[tuple[Table, str | None]] = []
    for folder, split in layout.flat.items():
        above = os.path.dirname(folder) if split else folder  # train/labels.csv of train/images
        above = folder if above in ("", layout.top) else above
        if path := _pick_table(root, folder) or _pick_table(root, above):
            table = open_table(path, os.path.relpath(path, root), options)
            found.append((table, split or None))
    if not found or not any(split in ("train", None) for _, split in found):
        path = _pick_table(root, layout.top) or _pick_table(root, "")
        if path is None:
            return None
        found = [(open_table(path, os.path.relpath(path, root), options), None)]
    resolved: list[tuple[Table, str | None]] = []
    reading, findings = options, []
    images = [_image_column(table, options, beside) for table, _ in found]
    read = [
        _labels(table, image, options, beside)
        for (table, _), image in zip(found, images, strict=True)
    ]
    label = next(n for (_, split), (n, *_) in zip(found, read, strict=True) if split in _LEARNED)
    several = any(isinstance(value, list) for _, values, *_ in read for value in values)
    for (table, part), image, (_, values, told, said) in zip(found, images, read, strict=True):
        if part not in _LEARNED and not values and _is_blank(table, label):
            continue  # a test to be submitted
        if several and values:
            values = [value if isinstance(value, list) else [value] for value in values]
        findings += [] if said is None else [said]
        below = os.path.dirname(table.where)
        there = beside.of_split(part or split_within(Path(table.where).stem))
        paths = [_path(value, root, there, below) for value in table.values(image)]
        _refuse_other_suffix(table, image, paths, there)
        every = _with_columns(table, {image: paths} | ({label: values} if values else {}))
        every = every.drop_columns([c for c in told if c != label])  # labels are no inputs
        if part is None:
            every = _with_folder_splits(every, paths, layout)
        names = _class_names(root, layout, table, label)
        resolved.append((ArrowTable(every, table.where, root, names), part))
        reading = replace(options, image_column=image, label=label)
    where = quoted([table.where for table, _ in resolved])
    sentence = f"The classes come from {where}, column '{reading.label}'."
    return LabelTables(resolved, reading, [Finding("classes", "note", (), sentence), *findings])


def _pick_table(root: Path, folder: str) -> Path | None:
    """Return the table of a folder that states labels: the only one, or the one named so."""
    files = [f for f in list_folder(root / folder)[1] if f.lower().endswith(TABLE_SUFFIXES)]
    files = [f for f in files if not f.lower().startswith(NO_LABELS) and f.lower().endswith(KINDS)]
    if len(files) > 1:
        ranked = [f for start in PREFERRED for f in files if f.lower().startswith(start)]
        if not ranked:
            raise DataError(
                f"Folder {root / folder} holds images and {len(files)} tables ({quoted(files)}), "
                "any of which could say their classes. Give the path of the right one, for "
                f"example {root / folder / files[0]}."
            )
        files = ranked
    return root / folder / files[0] if files else None


def _is_blank(table: Table, label: str) -> bool:
    return label not in table.columns or all(map(is_missing, table.values(label)))


def _image_column(table: Table, options: ReadOptions, beside: FilesBeside) -> str:
    """Return the column whose cells name images; DataError where there is none."""
    if options.image_column:
        need_column(table, options.image_column, "image", "--image-column")
        return options.image_column
    free = [c for c in table.columns if c not in (options.label, options.group, *options.drop)]
    heads = {column: table.head(column) for column in free}
    likely = [column for column in free if is_image_column(heads[column])]
    likely += [column for column in free if beside.are_named(heads[column])]
    if not likely:
        raise DataError(
            f"{table.where} lies beside images, but none of its columns names them (found: "
            f"{quoted(table.columns)}). Expected a column of file names or of ids. Name it "
            "with --image-column, or make a folder per class and move the table elsewhere."
        )
    return likely[0]


def _labels(
    table: Table, image: str, options: ReadOptions, beside: FilesBeside
) -> tuple[str, list[object], Sequence[str], Finding | None]:
    """Return the label column; its values and their columns where several hold them together."""
    if options.label or DEFAULT_LABEL in table.columns:
        target = options.target_among(table.columns)
        need_column(table, target, "target", "--label")
        return target, [], (), None
    kept = (image, options.group, *options.drop)
    splits = find_split_column(table.columns, table.values, kept, table.head)
    taken = {image, options.group, *splits.taken, *options.drop}
    free = [column for column in table.columns if column not in taken]
    if len(free) < 2:
        return (free or [DEFAULT_LABEL])[0], [], (), None
    if (hot := read_one_hot(table, free, options)) is not None:
        return DEFAULT_LABEL, hot.values, free, hot.finding
    if (soft := read_soft(table, free, options)) is not None:
        return DEFAULT_LABEL, soft[0].values, soft[1], soft[0].finding
    made, asked, found = settle_target([(table, None)], options, beside)
    if asked.label and found:
        is_new = asked.label not in table.columns
        told = [column for column in asked.drop if column not in options.drop]
        return asked.label, made[0][0].values(asked.label) if is_new else [], told, found[0]
    need_column(table, DEFAULT_LABEL, "target", "--label")
    raise AssertionError  # it is not there


def _refuse_other_suffix(
    table: Table, image: str, paths: Sequence[str | None], beside: FilesBeside
) -> None:
    """Refuse names that only files of another suffix have: what these show nobody has said."""
    some = [path for path in paths[:_LOOKED_AT] if path]
    missing = [path for path in some if not os.path.isfile(beside.root / path)]
    alike = {path: beside.of_another_suffix(path) for path in missing}
    found = {path: there for path, there in alike.items() if there}
    if 2 * len(found) <= len(some):
        return
    named, there = next(iter(found.items()))
    raise DataError(
        f"Column '{image}' of {table.where} names '{os.path.basename(named)}', and there is "
        f"'{there}'; expected the names of files as they are. Write them so, or without a suffix."
    )


def _path(value: object, root: Path, beside: FilesBeside, below: str) -> str | None:
    """Return the path below the root of what a cell names; the cell itself where nothing is."""
    if is_missing(value):
        return None
    near = os.path.normpath(os.path.join(below, str(value).strip()))
    if os.path.isfile(root / near):
        return near
    return beside.find(value, below=below) or near


def _with_columns(table: Table, columns: dict[str, list[Any]]) -> Any:
    """Return a table as pyarrow's, with these columns in place of its own or added."""
    import pyarrow as pa

    every = table.arrow(table.columns)
    for name, values in columns.items():
        kind = pa.string() if all(isinstance(v, str) or v is None for v in values) else None
        column = pa.array(values, type=kind)
        at = every.column_names.index(name) if name in every.column_names else -1
        every = every.append_column(name, column) if at < 0 else every.set_column(at, name, column)
    return every


def _with_folder_splits(every: Any, paths: Sequence[str | None], layout: FolderLayout) -> Any:
    """Return a table with the split of each path's folder, where its folders are splits."""
    import pyarrow as pa

    names = every.column_names

    def values_of(column: str) -> list[object]:
        return list(every.column(column).to_pylist())

    if find_split_column(names, values_of, (), values_of).name:
        return every
    folders = {folder: split for folder, split in layout.flat.items() if split}
    splits = [
        next((s for f, s in folders.items() if path and path.startswith(f + "/")), "")
        for path in paths
    ]
    if len(set(splits)) < 2 or "" in splits:
        return every
    return every.append_column("split", pa.array(splits, pa.string()))


def _class_names(
    root: Path, layout: FolderLayout, table: Table, label: str
) -> dict[str, list[str]] | None:
    """Return the names of numbered classes: the table's own, or those in a list beside it."""
    if own := table.class_names(label):
        return {label: own}
    if label not in table.columns:
        return None
    numbers = {str(value).strip() for value in table.values(label)}
    for names in names_beside(root, [os.path.dirname(table.where), layout.top, ""]):
        named = names.by_number
        if named and are_numbers_of(numbers, named):
            return {label: named}
    return None


def _from_lists(
    tree: Tree, layout: FolderLayout, options: ReadOptions, beside: FilesBeside
) -> LabelTables | None:
    """Return what JSON files, lists and files beside each image say."""
    lists = find_lists(tree, layout, beside)
    if lists is None:
        return None
    tables: list[tuple[Table, str | None]] = []
    for labelled in lists.parts:
        tables.append((_table_of(tree.root, labelled, lists.names, beside), labelled.split))
    reading = replace(options, image_column=IMAGE, label=DEFAULT_LABEL)
    finding = Finding("classes", "note", (), lists.sentence)
    return LabelTables(tables, reading, [finding])


def _table_of(
    root: Path, part: Labelled, names: ClassNames | None, beside: FilesBeside
) -> ArrowTable:
    """Return paths and labels as a table."""
    import pyarrow as pa

    paths = [_path(path, root, beside, part.folder) for path in part.paths]
    columns: dict[str, Any] = {
        IMAGE: pa.array(paths, pa.string()),
        DEFAULT_LABEL: pa.array(part.labels),
    }
    if part.split is None:
        found = [split_of(path.split("/")[0]) if path else None for path in paths]
        if all(found) and len(set(found)) > 1:
            columns["split"] = pa.array(found)
    named = names.by_number if names else None
    stated = {DEFAULT_LABEL: named or []} if names else None
    return ArrowTable(pa.table(columns), part.where, root, stated)
