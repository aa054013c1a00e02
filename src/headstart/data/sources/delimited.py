"""Read CSV, TSV and JSONL files: bytes → characters → columns, with the place of every fault.

Every cell of a CSV or TSV file arrives as text, or as nothing where it is empty (or reads ``NaN``
or ``<NA>``, as programs write; among numbers ``NA`` and ``null``, too): what a column holds is
decided later and in one place, so that the class ``01`` stays and a number is never guessed from
the first rows. Bytes that are not UTF-8 are refused with their line; characters are never guessed.

A tab-separated file with as many tabs in every line is read without regard to quotes, which texts
of messages hold at will; quotes around a whole cell are taken off all the same.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import shlex
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from headstart.cells import as_number
from headstart.columnar import holds, holds_short
from headstart.cores import free_memory_bytes
from headstart.data.options import ReadOptions
from headstart.data.sources.text_source import TextSource, held_text, open_text
from headstart.errors import DataError, OptionError, quoted
from headstart.preprocessing.canonical import PROGRAM_GAPS
from headstart.preprocessing.memory import refuse_duplicates

DELIMITERS = {"csv": ",", "tsv": "\t"}
MAX_BLOCK_BYTES = 2**31 - 2
PACKED = 4  # times that gzip makes text smaller, about
PEAK_OF_FILE = 3  # memory at the most while a text file is read, in sizes of the file
FIRST_BLOCK_BYTES = 2**22  # small ones are freed soon, and what is freed is taken again
SNIFFED_LINES = 20
MAYBE_WORDS = ("NA", "N/A", "n/a", "NULL", "null", "#NA", "#N/A N/A")  # missing among numbers


def read_text_table(path: Path, where: str, kind: str, options: ReadOptions) -> Any:
    """Return a CSV, TSV or JSONL file as a pyarrow Table.

    Args:
        path: The file; gzip is undone.
        where: What to call it in messages.
        kind: Its suffix: ``csv``, ``tsv``, ``jsonl``, ``ndjson``; anything else is delimited text
            whose delimiter is looked for.
        options: Header and encoding, where they were said.

    Raises:
        DataError: The bytes are no text of the encoding, or the rows do not fit.
        OptionError: A header is said for rows that name their columns.
        pyarrow.ArrowInvalid: The content cannot be parsed for another reason.
    """
    refuse_too_large(path, where)
    before = path.stat()
    source = open_text(path, where, options.encoding)
    if source.is_blank:
        raise DataError(f"{where} is empty. Expected a table with a header.")
    if kind in ("jsonl", "ndjson"):
        if options.header:
            raise OptionError(
                f"{where} names its columns in every row; --header {' '.join(options.header)} is "
                "for files without a header. Leave it out."
            )
        return _unchanged(_parse(source, where, "", (), has_names=True), path, where, before)
    said, source = _said_delimiter(source)
    delimiter = said or _find_delimiter(source.head.decode(errors="ignore"), kind, options)
    source = _without_backslashes(source, delimiter)
    names = options.header or _read_header(source, where, delimiter)
    is_plain = not source.has_quotes
    is_plain = is_plain or (delimiter == "\t" and source.has_even_tabs(len(names) - 1))
    has_names = options.header is not None
    table = _parse(source, where, delimiter, names, has_names=has_names, is_plain=is_plain)
    table = _unchanged(table, path, where, before)
    return _without_gaps(_unquote(table) if is_plain and source.has_quotes else table)


class TooLargeError(DataError):
    """Refuse a file that memory does not hold."""


def refuse_too_large(path: Path, where: str) -> None:
    """Refuse a text file that memory does not hold, before it is read: a killed process says less.

    Raises:
        TooLargeError: With the command that takes a part of its rows.
    """
    size, free = path.stat().st_size, free_memory_bytes()
    if path.name.lower().endswith(".gz"):
        size *= PACKED
    if free is None or PEAK_OF_FILE * size <= free:
        return
    name = path.name.lower()
    rows = f"{'zcat' if name.endswith('.gz') else 'cat'} {shlex.quote(str(path))}"
    part = f"({rows} | head -n 1; {rows} | tail -n +2 | shuf -n 1000000) > part.csv"
    if name.removesuffix(".gz").endswith(("jsonl", "ndjson", ".txt")):
        part = f"{rows} | shuf -n 1000000 > part.jsonl"
    raise TooLargeError(
        f"{where} has {'about ' if name.endswith('.gz') else ''}{decimal(size)}; reading it takes "
        f"up to {PEAK_OF_FILE} times as much memory, and {decimal(free)} are free. Take some of "
        "its rows, drawn at random, for example: "
        f"{part} (a header is kept; for rows without line breaks in their cells). Or read it where "
        "there is more memory."
    )


def _unchanged(table: Any, path: Path, where: str, before: os.stat_result) -> Any:
    """Return the table of a file that is as it was before it was read.

    Raises:
        DataError: Somebody has written into it meanwhile.
    """
    after = path.stat()
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise DataError(
            f"{where} has changed while it was read ({before.st_size:,} bytes before, "
            f"{after.st_size:,} now). Expected a finished file; read it when nobody writes to it."
        )
    return table


def _said_delimiter(source: TextSource) -> tuple[str, TextSource]:
    """Return the delimiter in a first line such as ``sep=;``, as Excel takes it, and the rest.

    The line stays as an empty one, so that messages count lines as an editor does.
    """
    pattern = rb'"?sep=([^\r\n"])"?[ \t,;]*(?=\r?\n)'
    match = re.match(pattern, source.head, re.IGNORECASE)
    return ("", source) if match is None else (match[1].decode(), source.after(match.end()))


def _without_backslashes(source: TextSource, delimiter: str) -> TextSource:
    r"""Return a source with ``""`` in place of ``\"``, where that is how it writes quotes in cells.

    Spark, MySQL and others do. Only a backslash before a quote that cannot end its cell shows it;
    in a file without one, ``"C:\"`` is a cell that ends with a backslash.
    """
    if not source.has_backslashes:
        return source
    content = source.read()
    ends = re.escape(delimiter.encode())
    if not re.search(rb'[^\\](\\\\)*\\"[^"\r\n' + ends + rb"]", content):
        return source
    content = re.sub(
        rb'(\\+)"',
        lambda m: m[1][: len(m[1]) // 2] + (b'""' if len(m[1]) % 2 else b'"'),
        content,
    )
    return held_text(content)


def _find_delimiter(head: str, kind: str, options: ReadOptions) -> str:
    """Return what stands between cells: by the suffix, unless the first line tells otherwise."""
    first = head.lstrip("\r\n").split("\n", 1)[0]
    usual = DELIMITERS.get(kind)
    if usual and usual in first:
        others = [mark for mark in ("\t", ";", ",") if mark != usual and mark in first]
        return next((mark for mark in others if _fits_better(head, mark, usual)), usual)
    if "|" in first and not any(mark in first for mark in "\t;") and _fits_better(head, "|", ","):
        return "|"
    # Spreadsheets of many countries write ';', where the comma is the decimal sign.
    counts = {mark: first.count(mark) for mark in ("\t", ";", ",")}
    if options.header and (usual is None or len(options.header) > 1):
        fitting = [mark for mark, n in counts.items() if n >= len(options.header) - 1]
        return fitting[0] if fitting else (usual or ",")
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else (usual or ",")


def _fits_better(head: str, mark: str, usual: str) -> bool:
    """Return whether a mark alone cuts the first lines into as many cells each, or into more."""
    lines = [line for line in head.splitlines()[:SNIFFED_LINES] if line.strip()]
    widths = {}
    for delimiter in (mark, usual):
        with contextlib.suppress(csv.Error):
            widths[delimiter] = {len(row) for row in csv.reader(lines, delimiter=delimiter)}
    found, expected = widths.get(mark, set()), widths.get(usual, set())
    return len(found) == 1 and (len(expected) != 1 or max(found) > max(expected))


def _read_header(source: TextSource, where: str, delimiter: str) -> tuple[str, ...]:
    """Return the column names in the first row; a name that is empty becomes ``column 3``."""
    try:
        with io.TextIOWrapper(source.open(), "utf-8", newline="") as lines:  # as far as is needed
            row = next(row for row in csv.reader(lines, delimiter=delimiter) if row)
    except (csv.Error, StopIteration) as error:
        raise DataError(
            f"{where} has no header that can be read ({error}). Expected column names in the first "
            "row; if there is none, name the columns with --header."
        ) from error
    names = tuple(name.strip() or f"column {i + 1}" for i, name in enumerate(row))
    refuse_duplicates(names, where)
    return names


def _parse(
    source: TextSource,
    where: str,
    delimiter: str,
    names: tuple[str, ...],
    *,
    has_names: bool,
    is_plain: bool = False,
) -> Any:
    """Return the table in a source; JSON where there is no delimiter."""
    import pyarrow as pa

    block = FIRST_BLOCK_BYTES
    while True:
        try:
            if not delimiter:
                return _parse_json(source, block)
            table = _parse_csv(source, block, names, delimiter, is_plain)
            return table if has_names else table.slice(1)
        except pa.ArrowInvalid as error:
            # One row is longer than a block: read larger blocks.
            is_long = "straddl" in str(error) or "try to increase block size" in str(error)
            if is_long and block < min(source.size, MAX_BLOCK_BYTES):
                block = min(block * 8, source.size + 1, MAX_BLOCK_BYTES)
                continue
            if delimiter and (fault := _find_ragged(source.read(), delimiter, names)):
                raise DataError(f"{where} cannot be read as CSV: {fault}") from error
            raise


def _parse_json(source: TextSource, block: int) -> Any:
    import pyarrow.json

    options = pyarrow.json.ReadOptions(block_size=block)
    return pyarrow.json.read_json(source.reader(), read_options=options)


def _parse_csv(
    source: TextSource, block: int, names: tuple[str, ...], delimiter: str, is_plain: bool
) -> Any:
    """Return all rows, the header's too, as columns of text."""
    import pyarrow as pa
    import pyarrow.csv

    return pyarrow.csv.read_csv(
        source.reader(),
        pyarrow.csv.ReadOptions(block_size=block, column_names=list(names)),
        pyarrow.csv.ParseOptions(
            delimiter=delimiter,
            quote_char=False if is_plain else '"',
            newlines_in_values=not is_plain,
        ),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=["", *PROGRAM_GAPS],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            check_utf8=False,  # has been looked at, with the place of the first fault
        ),
    )


def _unquote(table: Any) -> Any:
    """Return a table without the quotes around whole cells that a writer has put there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, name in enumerate(table.column_names):
        column = table.column(i)
        # Quotes inside are doubled by a writer that quotes; others belong to the text.
        quoted_cells = pc.match_substring_regex(column, r'(?s)^"([^"]|"")*"$')
        if pc.any(quoted_cells).as_py():
            inner = pc.replace_substring(pc.utf8_slice_codeunits(column, 1, -1), '""', '"')
            column = pc.if_else(pc.fill_null(quoted_cells, False), inner, column)
            table = table.set_column(i, pa.field(name, pa.string()), column)
    return table


def _without_gaps(table: Any) -> Any:
    """Return a table where ``NA`` and ``null`` are nothing, in columns of numbers otherwise.

    Among words they are words: a country, a class.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    maybe = pa.array(MAYBE_WORDS)
    longest = max(map(len, MAYBE_WORDS))
    for i, name in enumerate(table.column_names):
        column = table.column(i)
        if not holds_short(column, longest) or not holds(column, "N", "n"):
            continue  # of a million cells, each look at all of them takes a hundredth of a second
        is_gap = pc.is_in(column, value_set=maybe)
        if not pc.any(is_gap).as_py():
            continue
        words = pc.unique(column.filter(pc.invert(is_gap))).drop_null().to_pylist()
        if words and all(as_number(word.lstrip("0") or "0") is not None for word in words):
            column = pc.if_else(is_gap, pa.scalar(None, pa.string()), column)
            table = table.set_column(i, pa.field(name, pa.string()), column)
    return table


def _find_ragged(content: bytes, delimiter: str, names: tuple[str, ...]) -> str:
    """Name the first line whose number of cells is not the header's; empty where none is."""
    limit = csv.field_size_limit(max(csv.field_size_limit(), len(content) + 1))
    try:
        rows = csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter)
        begins = 1
        for row in rows:
            if row and len(row) != len(names):
                cells = "1 cell" if len(row) == 1 else f"{len(row)} cells"
                said = f"line {begins:,} has {cells}, the header {len(names)} ({quoted(names)}). "
                if names[0].startswith("#") and len(row) > len(names):
                    lines = content.splitlines()
                    is_remark = (not line.strip().startswith(b"#") for line in lines)
                    number = next((i for i, is_table in enumerate(is_remark) if is_table), 1)
                    return f"{said}The first {number:,} lines are remarks (#): delete them."
                return (
                    f"{said}Put quotes around cells that hold '{delimiter}' and correct the file."
                )
            begins = rows.line_num + 1
    except csv.Error as error:
        return f"{error}. Expected quotes in pairs; correct the file."
    finally:
        csv.field_size_limit(limit)
    return ""
