"""Documents of text files and of columns of tables, a part at a time, however large they are.

A folder's files are a document each. A file alone holds many: blank lines part them where there
are some in its first megabyte, otherwise each line is one. A row of a table is one. What comes out
are parts of bounded length with whether the document ends there, so that one document of 100 MB
takes no more memory than a short one. Tables up to 256 MB are opened as everywhere; above that CSV,
TSV and JSONL are streamed, plainly (UTF-8, a header), and Parquet always is.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from headstart.data.options import ReadOptions
from headstart.data.roles import find_roles, prose_kind
from headstart.data.sources.columns import ArrowTable, Table, source_table
from headstart.data.sources.encodings import wide_encoding
from headstart.data.sources.folder import TABLE_SUFFIXES
from headstart.data.sources.formats import open_table
from headstart.data.sources.text_source import HEAD_BYTES, read_text_bytes
from headstart.errors import DataError, first_line
from headstart.types import MODALITIES, Finding

TEXT_SUFFIXES = (".txt", ".md", ".markdown", ".rst")  # read as they are, marks included
PART_CHARACTERS = 2**18
LARGE_BYTES = 2**28
_LOOKED_CHARACTERS = 2**20
_ROWS = 1024
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
Parts = Iterator[tuple[str, bool]]  # the next part of a document, and whether it ends there
Documents = Callable[[], Parts]


def read_file(path: Path, where: str, encoding: str | None) -> Parts:
    """Yield a text file as one document.

    Args:
        path: The file.
        where: What to call it in messages.
        encoding: What the user said of its bytes, or None for UTF-8.

    Raises:
        DataError: If it cannot be read, is no text, or is not of that encoding.
    """
    rest = ""
    for text in _characters(path, where, encoding):
        rest += text
        while len(rest) > PART_CHARACTERS:
            cut = _last_blank(rest[:PART_CHARACTERS])
            yield rest[:cut], False
            rest = rest[cut:]
    yield rest, True


def read_lone_file(path: Path, where: str, encoding: str | None) -> Parts:
    """Yield the documents of a text file that holds many: between blank lines, or its lines.

    Args:
        path: The file.
        where: What to call it in messages.
        encoding: What the user said of its bytes, or None for UTF-8.

    Raises:
        DataError: As ``read_file``.
    """
    by_lines = not has_blank_lines(path, where, encoding)
    held: list[str] = []
    size, is_open = 0, False
    for line, is_whole in _lines(_characters(path, where, encoding)):
        if is_whole and not line.strip() and not (by_lines and is_open):
            if held or is_open:
                yield "".join(held), True
            held, size, is_open = [], 0, False
            continue
        held.append(line)
        size += len(line)
        ends = by_lines and is_whole
        if ends or by_lines or size > PART_CHARACTERS:
            yield "".join(held), ends
            held, size, is_open = [], 0, not ends
    if held or is_open:
        yield "".join(held), True


def has_blank_lines(path: Path, where: str, encoding: str | None) -> bool:
    """Return whether the first megabyte of a text file has an empty line between others."""
    looked = ""
    for text in _characters(path, where, encoding):
        looked += text
        if len(looked) > _LOOKED_CHARACTERS:
            break
    return _BLANK_LINE.search(looked.strip()) is not None


def text_column(path: Path, where: str, options: ReadOptions) -> tuple[str, list[Finding]]:
    """Return the column of a table file that holds texts, and what is to be said of the choice.

    Args:
        path: The file.
        where: What to call it in messages.
        options: What the user said; the label, if any, is no text.

    Raises:
        DataError: If there is none, or several could be it.
    """
    return column_of(_head(path, where, options), options)


def column_of(table: Table, options: ReadOptions) -> tuple[str, list[Finding]]:
    """Return the column of a table that holds texts, and what is to be said of the choice.

    Raises:
        DataError: As ``text_column``.
    """
    lone = lone_texts(table, options)
    try:
        roles = find_roles(table, options.label or "", options)
    except DataError:
        if lone is None:
            raise
        return lone, [_said_of(lone)]
    if roles.column is None and lone is not None:
        return lone, [_said_of(lone)]
    if roles.column is None or not MODALITIES[roles.modality].has_words:
        raise DataError(
            f"{table.where} has no column that is seen to hold texts (found: "
            f"{', '.join(table.columns)}). Name it with --text."
        )
    return roles.column, roles.findings


def lone_texts(table: Table, options: ReadOptions) -> str | None:
    """Return the one column that holds prose, whatever else stands in the rows.

    Who learns a language asks for texts alone: that a table could be learned from as rows, too, is
    no question then.

    Args:
        table: Of which the first rows are looked at.
        options: What the user said.

    Returns:
        None where the user has named a column, there is no such one, or there are several.
    """
    if options.text or options.image_column:
        return None
    taken = {options.label, options.group, *options.drop}
    found = [c for c in table.columns if c not in taken and prose_kind(table.head(c))]
    return found[0] if len(found) == 1 else None


def lone_text_column(source: object, options: ReadOptions) -> str | None:
    """Return the one column of prose of a table file or frame, as ``lone_texts``; else None.

    Args:
        source: As ``load`` takes it.
        options: What the user said.
    """
    table: Table | None = source_table(source)
    if table is None and isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        if os.path.isfile(path) and path.name.lower().endswith(TABLE_SUFFIXES):
            table = _head(path, os.fspath(source), options)
    return None if table is None else lone_texts(table, options)


def _said_of(column: str) -> Finding:
    sentence = f"Texts come from column '{column}', the only one of prose; no other is read."
    return Finding("reading", "note", (), sentence)


def read_column(path: Path, where: str, column: str, options: ReadOptions) -> Parts:
    """Yield the cells of a column as documents; one without text is an empty document.

    Args:
        path: A table file.
        where: What to call it in messages.
        column: Its column of texts.
        options: Header and encoding, where they were said.

    Raises:
        DataError: If it cannot be read.
    """
    for values in _column_lots(path, where, column, options):
        yield from parts_of(values)


def parts_of(values: Iterable[object]) -> Parts:
    """Yield texts as documents; whatever is no text is an empty one."""
    for value in values:
        text = value if isinstance(value, str) else ""
        while len(text) > PART_CHARACTERS:
            cut = _last_blank(text[:PART_CHARACTERS])
            yield text[:cut], False
            text = text[cut:]
        yield text, True


def _characters(path: Path, where: str, encoding: str | None) -> Iterator[str]:
    """Yield the characters of a file, some at a time, lines ending in a line feed alone."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            file.seek(0)
            if head[:2] == b"\x1f\x8b" or (encoding is None and wide_encoding(head)):
                # what is compressed is held; what is UTF-16 unsaid is refused by its own sentence
                yield _unified(read_text_bytes(path, where, encoding).decode())
                return
            decoder = codecs.getincrementaldecoder(encoding or "utf-8-sig")()
            lines = io.IncrementalNewlineDecoder(decoder, translate=True)
            place = 0
            while True:
                block = file.read(PART_CHARACTERS)
                text = lines.decode(block, final=not block)
                if "\0" in text:
                    near = place + max(0, block.find(b"\0"))
                    raise DataError(
                        f"{where} is not text: there is a zero byte near byte {near:,}. Expected "
                        f"a text file. Remove it from the corpus, or save its text as .txt."
                    )
                if text:
                    yield text
                if not block:
                    return
                place += len(block)
    except UnicodeError:
        read_text_bytes(path, where, encoding)  # says where, and which encodings it may be
        raise
    except FileNotFoundError:
        raise DataError(f"{where} does not exist; expected a text file. Check the path.") from None
    except OSError as error:
        raise DataError(
            f"{where} cannot be read ({error.strerror or error}). Check that this user may read it."
        ) from error


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(texts: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield lines with whether they end; one longer than a part comes in several."""
    rest = ""
    for text in texts:
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield f"{line}\n", True
        while len(rest) > PART_CHARACTERS:
            cut = _last_blank(rest[:PART_CHARACTERS])
            yield rest[:cut], False
            rest = rest[cut:]
    if rest:
        yield rest, True


def _last_blank(text: str) -> int:
    """Return where to cut a text: before its last blank, at its end if there is none."""
    return max(text.rfind(" "), text.rfind("\n"), 0) or len(text)


def _head(path: Path, where: str, options: ReadOptions) -> Table:
    """Return a table, or of a large one the first rows."""
    if path.suffix.lower() == ".parquet" or path.stat().st_size <= LARGE_BYTES:
        return open_table(path, where, options)
    import pyarrow as pa

    if _is_lines(path):
        rows = list(islice(_json_rows(path, where), _ROWS))
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = pa.table({n: [_as_text(row.get(n)) for row in rows] for n in names})
    else:
        table = next(iter(_open_csv(path, where, options, None)))
    return ArrowTable(table, where, path.parent)


def _as_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _column_lots(
    path: Path, where: str, column: str, options: ReadOptions
) -> Iterator[Sequence[object]]:
    """Yield the values of a column, some at a time."""
    if path.suffix.lower() == ".parquet":
        yield from _parquet_lots(path, where, column)
    elif path.stat().st_size <= LARGE_BYTES:
        table = open_table(path, where, options)
        if column not in table.columns:
            raise _missing(where, column, table.columns)
        yield table.values(column)
    elif _is_lines(path):
        rows = _json_rows(path, where)
        while lot := [row.get(column) for row in islice(rows, _ROWS)]:
            yield lot
    else:
        for table in _open_csv(path, where, options, column):
            yield table.column(column).to_pylist()


def _missing(where: str, column: str, found: Sequence[str]) -> DataError:
    return DataError(
        f"Column '{column}' is missing in {where} (found: {', '.join(found)}). Name the text "
        f"column with --text."
    )


def _parquet_lots(path: Path, where: str, column: str) -> Iterator[Sequence[object]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if column not in file.schema_arrow.names:
                raise _missing(where, column, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=_ROWS, columns=[column]):
                yield batch.column(0).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{where} cannot be read as PARQUET: {first_line(error)} Download or write it again."
        ) from error


def _is_lines(path: Path) -> bool:
    return path.suffix.lower() in (".jsonl", ".ndjson")


def _json_rows(path: Path, where: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a large file of JSON lines."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line) if line.strip() else {}
            except ValueError as error:
                raise DataError(
                    f"{where} line {number:,} is no JSON ({error}). Expected an object a line. "
                    f"Correct the line."
                ) from error
            if not isinstance(row, dict):
                raise DataError(
                    f"{where} line {number:,} is no object but {line[:40]!r}. Expected one with "
                    f"a key a column. Correct the line."
                )
            if row:
                yield row


def _open_csv(path: Path, where: str, options: ReadOptions, column: str | None) -> Iterator[Any]:
    """Yield a large table of characters as pyarrow Tables, some rows at a time."""
    import pyarrow as pa
    from pyarrow import csv

    wanted = csv.ConvertOptions(
        include_columns=None if column is None else [column],
        column_types=None if column is None else {column: pa.string()},
    )
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        batches = csv.open_csv(
            path,
            read_options=csv.ReadOptions(
                block_size=2**22,
                encoding=options.encoding or "utf8",
                column_names=list(options.header) if options.header else None,
            ),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=wanted,
        )
        for batch in batches:
            yield pa.Table.from_batches([batch])
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise DataError(
            f"{where} is larger than {LARGE_BYTES >> 20} MB and cannot be streamed: "
            f"{first_line(error)} Save it as Parquet."
        ) from error
