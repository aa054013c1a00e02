"""Decide what the inputs of a table file are: images, texts, or the rows themselves.

What the user says counts. Otherwise: a column of image bytes or image paths makes images; one
column of prose with at most two other usable columns makes texts; short words and numbers make a
table. Prose is recognised without relying on blanks, which Chinese, Japanese or Thai do not write.
When a table of several usable columns also holds long texts, both readings are sensible, so the
question goes back to the user.
"""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from headstart.cells import as_number, is_missing
from headstart.columnar import joined
from headstart.data.groups import names_groups, repeated_columns
from headstart.data.options import ALL, ReadOptions
from headstart.data.paired_texts import named_pair, said_columns
from headstart.data.sources.columns import Table
from headstart.data.sources.files_beside import FilesBeside
from headstart.data.sources.folder import is_image
from headstart.errors import DataError, UnlabelledError, did_you_mean, quoted
from headstart.preprocessing.dates import is_like_a_date
from headstart.tasks import find_task
from headstart.types import MODALITIES, Finding, Modality, Sentence, TaskName

# Mean of a column, a wide character (Chinese, Japanese, Korean) counting as two.
PROSE_WIDTH, PROSE_WORDS = 25, 5
LONG_WIDTH, LONG_WORDS = 60, 10
MIN_WORDS = 3  # of a long cell in a script with blanks: fewer make it a path, a link, a code
TEXT_NAMES = ("text", "texts", "sentence", "utterance", "message", "文本")
MOSTLY_DISTINCT = 0.5
FEW_COLUMNS = 2
FEW_OFFERED = 4  # columns that are named one by one
IDENTIFIER = re.compile(r"(.*[_ ])?(id|uuid|guid|key|index|number|no)|id[_ ].*|.*[a-z]I[dD]|Id|ID")
Prose = Literal["", "short", "long"]


@dataclass(frozen=True)
class Roles:
    """What the inputs are.

    Attributes:
        modality: Of the inputs.
        column: The column of images or texts; None for tables.
        second: Of pairs of texts the column of the second ones; None where texts stand alone.
        beside: Columns that are learned from together with these; none where they stand alone.
        findings: What a user should know of it.
    """

    modality: Modality
    column: str | None = None
    second: str | None = None
    beside: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)


def find_roles(
    table: Table,
    target: str,
    options: ReadOptions,
    taken: Collection[str] = (),
    beside: FilesBeside | None = None,
) -> Roles:
    """Return what the inputs of a table are.

    Args:
        table: The table, of which the first rows are looked at.
        target: The target column.
        options: What the user said.
        taken: Columns that are no inputs, such as that of the splits.
        beside: The images in the table's folder, which a column of ids may name.

    Raises:
        DataError: A named column is missing, or several readings are possible.
    """
    others_taken = {target, options.group, *taken, *options.drop}
    free = [column for column in table.columns if column not in others_taken]
    roles = _find_main(table, free, options, beside)
    if not options.is_joined:
        return roles
    if roles.column is None:
        raise DataError(
            f"{table.where} has no column of texts or images that --beside "
            f"{' '.join(options.beside)} could stand beside (found: {quoted(table.columns)}). Name "
            "it with --text or --image-column, or leave --beside out to learn from the rows alone."
        )
    main = [column for column in (roles.column, roles.second) if column is not None]
    columns = options.joined_among([column for column in free if column not in main])
    if not columns:
        raise DataError(
            f"No column of {table.where} is left to stand beside {quoted(main)}; expected one or "
            "more. Name others, or leave --beside out."
        )
    if wrong := [c for c in columns if c in main or c not in free]:
        raise DataError(
            f"Column {quoted(wrong)} of {table.where} cannot stand beside {quoted(main)}: expected "
            f"other columns than the target, groups, splits and inputs, such as "
            f"{quoted([c for c in free if c not in main], limit=3)}. Name those, or --beside all."
        )
    called = f"{MODALITIES[roles.modality].nouns} (column {quoted(main)})"
    sentence = f"Learned from together: {called} and the columns {quoted(columns)} of their rows."
    kept = [found for found in roles.findings if found.kind != "unused"]
    findings = [*kept, Finding("reading", "note", (), sentence)]
    return replace(roles, beside=columns, findings=findings)


def _find_main(
    table: Table, free: Sequence[str], options: ReadOptions, beside: FilesBeside | None
) -> Roles:
    """Return what the samples of a table are, whatever stands beside them; as ``find_roles``."""
    if options.image_column:
        need_column(table, options.image_column, "image", "--image-column")
        return Roles("image", options.image_column)
    if said := said_columns(options.text, table.columns):
        for column in said:
            need_column(table, column, "text", "--text")
        return _texts(said, free, is_found=False)
    if options.kept_columns and not options.is_joined:
        return Roles("table")
    trained = options.preprocess.main if options.preprocess else None
    free = [column for column in free if column not in options.beside]
    if trained and len(trained.columns) == 1 and trained.columns[0] in free:
        return Roles(trained.modality, trained.columns[0])
    if pair := _find_pair(table, free, options):
        return _texts(pair, free, is_found=not (trained and trained.is_pair))
    heads = {column: table.head(column) for column in free}
    worded = [c for c in free if any(isinstance(value, Sentence) for value in heads[c])]
    if worded:
        return _texts((worded[0],), free, is_found=False)
    images = [column for column in free if is_image_column(heads[column])]
    if not images and beside is not None and not options.text:
        ids = [column for column in free if beside.are_named(heads[column])]
        if ids:
            found = next((beside.find(v) for v in heads[ids[0]] if beside.find(v)), "")
            sentence = f"Column '{ids[0]}' names the images beside {table.where}, such as {found}."
            return Roles("image", ids[0], findings=[Finding("reading", "note", (), sentence)])
    if len(images) == 1:
        return Roles("image", images[0])
    if images:
        raise DataError(
            f"{table.where} has {len(images)} columns that could hold the images "
            f"({quoted(images)}). Name one, for example --image-column {images[0]}."
        )
    prose = {column: how for column in free if (how := prose_kind(heads[column]))}
    others = [c for c in free if c not in prose and is_cell_column(heads[c])]
    if not prose and (named := _named_text(free, heads)):
        return _texts((named,), free, is_found=True)
    if not prose:
        return _only_words(table, free, heads)
    long = [column for column, how in prose.items() if how == "long"]
    if len(others) > FEW_COLUMNS and not (options.is_joined and len(prose) == 1):
        if not long:
            return Roles("table")
        raise DataError(
            f"{table.where} can be read as texts (column {quoted(long)}) or as a table (columns "
            f"{quoted(others)}). Say which: --text {long[0]}, --drop {' '.join(long)} for the "
            f"table without it, or --text {long[0]} --beside all for both together."
        )
    if len(prose) > 1:
        both = f"; or two that belong together, --text {','.join(list(prose)[:2])}"
        raise DataError(
            f"{table.where} has {len(prose)} columns that could hold the texts "
            f"({quoted(list(prose))}). Name one, for example --text {(long or list(prose))[0]}"
            f"{both}; or leave them out with --drop to read a table."
        )
    return _texts((next(iter(prose)),), free, is_found=True)


def _find_pair(table: Table, free: Sequence[str], options: ReadOptions) -> Sequence[str]:
    """Return the two columns that are a pair of texts; none where none are known to be."""
    # one of two texts may also say what belongs together
    columns = [*free, *(c for c in table.columns if c == options.group)]
    trained = options.preprocess.main if options.preprocess else None
    if trained and trained.is_pair and set(trained.columns) <= set(columns):
        return trained.columns
    return named_pair({column: table.head(column) for column in columns})


def _named_text(free: Sequence[str], heads: dict[str, list[object]]) -> str:
    """Return the one column called text that holds several words a row, beside few others."""
    named = [column for column in free if column.strip().lower() in TEXT_NAMES]
    if len(named) != 1 or len(free) - 1 > FEW_COLUMNS:
        return ""
    texts = [value for value in heads[named[0]] if not is_missing(value)]
    words = [len(value.split()) for value in texts if isinstance(value, str)]
    is_text = len(words) == len(texts) > 0 and sum(words) >= 2 * len(words)
    return named[0] if is_text and not all(is_like_a_date(str(v)) for v in texts) else ""


def _only_words(table: Table, free: Sequence[str], heads: dict[str, list[object]]) -> Roles:
    """Return texts where the only column is called so or holds different words; else a table."""
    if len(free) == 1:
        words = [value for value in heads[free[0]] if not is_missing(value)]
        is_text = bool(words) and all(isinstance(value, str) for value in words)
        is_text = is_text and not all(is_like_a_date(str(value)) for value in words)
        numbers = [as_number(value) for value in words]
        distinct = len({str(value) for value in words})
        is_named = free[0].strip().lower() in TEXT_NAMES
        differ = distinct == len(words) and IDENTIFIER.fullmatch(free[0]) is not None
        identifier = [_identifier(free[0], table.where)] if differ else []
        if is_text and None in numbers and (is_named or distinct > MOSTLY_DISTINCT * len(words)):
            texts = _texts((free[0],), free, is_found=True)
            return replace(texts, findings=[*texts.findings, *identifier])
        return Roles("table", findings=identifier)
    if not free:
        raise no_inputs(table.where, table.columns)
    return Roles("table")


def _identifier(column: str, where: str) -> Finding:
    """Return the warning that the only input is a name of the sample."""
    sentence = (
        f"Column '{column}', the only input, looks like an identifier: its values all differ and "
        "name samples, from which nothing can be learned. If they name images, put these into the "
        f"folder of {where}, or below it."
    )
    return Finding("identifier", "warning", (), sentence)


def _texts(columns: Sequence[str], free: Sequence[str], *, is_found: bool) -> Roles:
    """Return the role of a column of texts, or of two, which are pairs."""
    findings, is_pair = [], len(columns) == 2
    if is_found:
        what = f"Pairs of texts come from columns {quoted(columns)}." if is_pair else None
        sentence = what or f"Texts come from column '{columns[0]}'."
        findings.append(Finding("reading", "note", (), sentence))
    if unused := [other for other in free if other not in columns]:
        findings.append(_unused(unused))
    return Roles("text", columns[0], columns[1] if is_pair else None, findings=findings)


def _unused(columns: Sequence[str], usable: Sequence[str] = ()) -> Finding:
    """Return which columns are not used, and how those are that could be learned from."""
    named = " ".join(map(shlex.quote, usable)) if len(usable) <= FEW_OFFERED else ALL
    offer = f" To learn from them, too: --beside {named}." if usable else ""
    return Finding("unused", "note", (), f"Columns that are not used: {quoted(columns)}.{offer}")


def takes_columns(task: TaskName) -> bool:
    """Return whether columns help to tell it: a class or a number, and no words or places."""
    return find_task(task).is_answered_whole


def unused_beside(
    tables: Sequence[Table],
    taken: Sequence[str],
    roles: Roles,
    options: ReadOptions,
    task: TaskName,
) -> list[Finding]:
    """Return which columns beside images or texts are not used, and which of them may name groups.

    Args:
        tables: All of them.
        taken: The target first, and the others that have a meaning.
        roles: Of the columns.
        options: What the user said.
        task: What is told; where it takes no columns, none are offered.
    """
    if roles.column is None:
        return []
    known = {*taken, roles.column, roles.second, *roles.beside, options.group, *options.drop}
    unused = [column for column in tables[0].columns if column not in known]
    said = []
    if unused:
        usable = [
            column
            for column in unused
            if is_cell_column(tables[0].head(column)) and not IDENTIFIER.fullmatch(column)
        ]
        said.append(_unused(unused, usable if takes_columns(task) else ()))
    if options.group is not None:
        return said
    named = [c for c in unused if names_groups(c) and all(c in table.columns for table in tables)]
    cells = {c: joined(table.cells(c) for table in tables) for c in [*named, taken[0]]}
    return [*said, *repeated_columns(cells, cells.pop(taken[0]))] if named else said


def no_inputs(where: str, columns: Sequence[str]) -> DataError:
    """Return the error for a table in which nothing can be learned from."""
    return DataError(
        f"{where} has no column of image bytes or of paths such as 'photos/1.jpg', none of texts, "
        f"and none whose values differ, as a table needs (found: {quoted(columns)}). Name the "
        "column with --image-column or --text, or add one."
    )


def need_column(table: Table, column: str, role: str, option: str) -> None:
    """Refuse a column that a table lacks.

    Raises:
        DataError: It is missing.
    """
    if column in table.columns:
        return
    example = next((c for c in table.columns if c != "id"), column)
    if role == "target":  # an id or a file name is no target; the target often stands last
        no_input = [c for c in table.columns if not is_image_column(table.head(c))]
        example = next((c for c in reversed(no_input) if c.lower() != "id"), example)
    likely = {
        "target": ("category", "class", "target", "y", "labels", "sentiment", "price"),
        "image": ("image", "path", "file"),
        "text": ("text", "review", "sentence", "content"),
    }
    within = [c for c in table.columns if c.rpartition(".")[2] == column and role == "target"]
    example = next(
        (c for c in likely.get(role, ()) if c in table.columns), (within or [example])[0]
    )
    # the command line and Python come through here alike, and so the sentence serves both
    keyword = option.removeprefix("--").replace("-", "_")
    remedy = (
        f"Name the {role} column, for example {option} {example} ({keyword}='{example}' of load)."
    )
    if any(
        as_number(name) is not None or len(name) > 40 or name in table.head(name)
        for name in table.columns
    ):
        remedy = (
            "If the first row is data and no header, name all columns with --header; otherwise "
            f"name the {role} column with {option}."
        )
    shown = [name if len(name) <= 60 else f"{name[:57]}..." for name in table.columns]
    told = (
        f"Column '{column}' is missing in {table.where} (found: {quoted(shown)})."
        f"{did_you_mean(column, table.columns)} {remedy}"
    )
    raise UnlabelledError(told) if role == "target" else DataError(told)


def prose_kind(values: Sequence[object]) -> Prose:
    """Return whether values are texts: not, short ones (titles, names), or long ones.

    Args:
        values: The first values of a column.
    """
    texts = [value for value in values if not is_missing(value)]
    if not texts or not all(isinstance(value, str) for value in texts):
        return ""
    if all(as_number(value) is not None for value in texts):
        return ""  # as thousands of columns of a file without types are
    if all(is_like_a_date(str(value)) for value in texts):
        return ""  # 31 January 2024 at 10:00 has many words
    words = [str(value).split() for value in texts]
    num_words = sum(map(len, words)) / len(texts)
    width = sum(_width(str(value)) for value in texts) / len(texts)
    letters = [c for value in texts for c in str(value)[:200] if c.isalpha()]
    foreign = sum(ord(c) > 0x2FF for c in letters) / max(1, len(letters))
    if len(set(texts)) <= MOSTLY_DISTINCT * len(texts):
        return ""
    if num_words < MIN_WORDS and foreign < 0.3:  # one long word: a path, a link, a code
        return ""
    if width >= LONG_WIDTH or num_words >= LONG_WORDS:
        return "long"
    return "short" if width >= PROSE_WIDTH or num_words >= PROSE_WORDS else ""


def _width(text: str) -> int:
    return len(text) + sum(unicodedata.east_asian_width(c) in "WF" for c in text[:1000])


def is_cell_column(values: Sequence[object]) -> bool:
    """Return whether values are such as a table is made of: numbers or repeated words, no ids."""
    present = [value for value in values if not is_missing(value)]
    numbers = [as_number(value) for value in present]
    distinct = len({str(value) for value in present})
    if distinct < 2:
        return False
    if None in numbers:
        return distinct <= MOSTLY_DISTINCT * len(present)
    is_whole = all(n is not None and n == n // 1 for n in numbers)
    return not (is_whole and distinct == len(present) and len(present) > FEW_COLUMNS)


def is_image_column(values: Sequence[object]) -> bool:
    """Return whether all values that are there are images, or paths of some."""
    present = [v for v in values if not is_missing(v)]
    return bool(present) and all(_looks_like_image(value) for value in present)


def _looks_like_image(value: object) -> bool:
    if isinstance(value, dict):
        return "bytes" in value or "path" in value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return True
    if not isinstance(value, (str, os.PathLike)):
        return False
    return is_image(str(value).strip())
