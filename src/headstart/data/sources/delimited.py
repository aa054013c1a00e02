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
import gzip
import io
import re
import shlex
import zlib
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from headstart.cells import as_number
from headstart.cores import free_memory_bytes
from headstart.data.options import ReadOptions
from headstart.data.sources.encodings import likely_encodings, wide_encoding
from headstart.errors import DataError, quoted
from headstart.preprocessing.canonical import PROGRAM_GAPS
from headstart.preprocessing.memory import refuse_duplicates

DELIMITERS = {"csv": ",", "tsv": "\t"}
MAX_BLOCK_BYTES = 2**31 - 2
PACKED = 4  # times that gzip makes text smaller, about
PEAK_OF_FILE = 3  # memory at the most while a text file is read, in sizes of the file
SNIFFED_CHARACTERS = 2**16
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
        pyarrow.ArrowInvalid: The content cannot be parsed for another reason.
    """
    content = read_text_bytes(path, where, options.encoding)
    if not content[:SNIFFED_CHARACTERS].strip() and not content.strip():
        raise DataError(f"{where} is empty. Expected a table with a header.")
    if kind in ("jsonl", "ndjson"):
        if options.header:
            raise DataError(
                f"{where} names its columns in every row; --header {' '.join(options.header)} is "
                "for files without a header. Leave it out."
            )
        buffer = _buffer_of(content)
        del content
        return _parse(buffer, where, "", (), has_names=True)
    said, content = _said_delimiter(content)
    head = content[:SNIFFED_CHARACTERS].decode(errors="ignore")
    delimiter = said or _find_delimiter(head, kind, options)
    names = options.header or _read_header(content, where, delimiter)
    is_plain = delimiter == "\t" and _has_even_tabs(content, len(names) - 1)
    has_quotes = b'"' in content
    buffer = _buffer_of(content)
    del content  # a table of text has the size of its file: not a third time
    has_names = options.header is not None
    is_plain = is_plain or not has_quotes
    table = _parse(buffer, where, delimiter, names, has_names=has_names, is_plain=is_plain)
    return _without_gaps(_unquote(table) if is_plain and has_quotes else table)


def refuse_too_large(path: Path, where: str) -> None:
    """Refuse a text file that memory does not hold, before it is read: a killed process says less.

    Raises:
        DataError: With the command that takes a part of its rows.
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
    raise DataError(
        f"{where} has {'about ' if name.endswith('.gz') else ''}{decimal(size)}; reading it takes "
        f"up to {PEAK_OF_FILE} times as much memory, and {decimal(free)} are free. Take some of "
        "its rows, drawn at random, for example: "
        f"{part} (a header is kept; for rows without line breaks in their cells). Or read it where "
        "there is more memory."
    )


def read_text_bytes(path: Path, where: str, encoding: str | None) -> bytes:
    """Return a file as UTF-8 bytes without byte-order mark; gzip is undone.

    Args:
        path: The file.
        where: What to call it in messages.
        encoding: What the user said of its bytes, or None for UTF-8.

    Raises:
        DataError: The bytes are no text of that encoding, or too many for the memory that is free.
    """
    refuse_too_large(path, where)
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error) as error:
            raise DataError(
                f"{where} cannot be read: its gzip data is cut short or damaged ({error}). "
                "Compress or download it again."
            ) from error
    if encoding is not None:
        try:
            return content.decode(encoding).removeprefix("\ufeff").encode()
        except UnicodeError as error:
            start = getattr(error, "start", 0)
            raise DataError(
                f"{where} is not {encoding}: byte {start:,} ({_around(content, start)}), line "
                f"{_line(content, start):,}. Say another --encoding, or convert the file to UTF-8."
            ) from error
    content = content.removeprefix(b"\xef\xbb\xbf")
    if wide := wide_encoding(content):
        raise DataError(
            f"{where} is not UTF-8 but looks like {wide[:6].upper()}. Say --encoding {wide}, or "
            "save the file as UTF-8."
        )
    try:
        if not content.isascii():
            content.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is not UTF-8: byte {error.start:,} ({_around(content, error.start)}), line "
            f"{_line(content, error.start):,}. {_advice(content)}"
        ) from error
    return content


def _line(content: bytes, offset: int) -> int:
    return content.count(b"\n", 0, offset) + 1


def _around(content: bytes, offset: int) -> str:
    return f"0x{content[offset]:02x}" if offset < len(content) else "the end"


def _advice(content: bytes) -> str:
    """Return which encoding to say, and how each that is possible reads the first such line."""
    found = likely_encodings(content)
    if not found:
        return "No usual encoding fits: it may be damaged, or no text. Convert the file to UTF-8."
    read = "; ".join(f"as {name}: '{line}'" for name, line in found)
    return (
        f"Say what it is, for example --encoding {found[0][0]}, or convert the file to UTF-8. "
        f"Choose by how its first such line reads {read}."
    )


def _said_delimiter(content: bytes) -> tuple[str, bytes]:
    """Return the delimiter in a first line such as ``sep=;``, as Excel takes it, and the rest.

    The line stays as an empty one, so that messages count lines as an editor does.
    """
    match = re.match(rb'"?sep=([^\r\n"])"?[ \t,;]*(?=\r?\n)', content, re.IGNORECASE)
    return ("", content) if match is None else (match[1].decode(), content[match.end() :])


def _find_delimiter(head: str, kind: str, options: ReadOptions) -> str:
    """Return what stands between cells: by the suffix, unless the first line tells otherwise."""
    first = head.lstrip("\r\n").split("\n", 1)[0]
    usual = DELIMITERS.get(kind)
    if usual and usual in first:
        others = [mark for mark in ("\t", ";", ",") if mark != usual and mark in first]
        return next((mark for mark in others if _fits_better(head, mark, usual)), usual)
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


def _read_header(content: bytes, where: str, delimiter: str) -> tuple[str, ...]:
    """Return the column names in the first row; a name that is empty becomes ``column 3``."""
    lines = io.TextIOWrapper(io.BytesIO(content), "utf-8", newline="")  # read as far as is needed
    try:
        row = next(row for row in csv.reader(lines, delimiter=delimiter) if row)
    except (csv.Error, StopIteration) as error:
        raise DataError(
            f"{where} has no header that can be read ({error}). Expected column names in the first "
            "row; if there is none, name the columns with --header."
        ) from error
    names = tuple(name.strip() or f"column {i + 1}" for i, name in enumerate(row))
    if any("\0" in name for name in names):
        raise DataError(f"{where} holds NUL bytes in its first row: it is no text table.")
    refuse_duplicates(names, where)
    return names


def _parse(
    content: Any,
    where: str,
    delimiter: str,
    names: tuple[str, ...],
    *,
    has_names: bool,
    is_plain: bool = False,
) -> Any:
    """Return the table in the content; JSON where there is no delimiter."""
    import pyarrow as pa

    block = max(2**20, min(content.size // 32, 2**23))
    while True:
        try:
            if not delimiter:
                return _parse_json(content, block)
            table = _parse_csv(content, block, names, delimiter, is_plain)
            return table if has_names else table.slice(1)
        except pa.ArrowInvalid as error:
            # One row is longer than a block: read larger blocks.
            is_long = "straddl" in str(error) or "try to increase block size" in str(error)
            if is_long and block < min(content.size, MAX_BLOCK_BYTES):
                block = min(block * 8, content.size + 1, MAX_BLOCK_BYTES)
                continue
            if delimiter and (fault := _find_ragged(content.to_pybytes(), delimiter, names)):
                raise DataError(f"{where} cannot be read as CSV: {fault}") from error
            raise


def _parse_json(content: Any, block: int) -> Any:
    import pyarrow as pa
    import pyarrow.json

    options = pyarrow.json.ReadOptions(block_size=block)
    return pyarrow.json.read_json(pa.BufferReader(content), read_options=options)


def _buffer_of(content: bytes) -> Any:
    """Return content in memory of pyarrow's own.

    Not ``BufferReader(content)``: a thread of pyarrow's may let go of the content last, after the
    table has been returned, and a thread that needs Python for that while Python ends aborts the
    process: exit code 134 in place of the error's own.
    """
    import pyarrow as pa

    # Of the right size at once: a stream that grows holds up to three times the content.
    copy = pa.allocate_buffer(len(content))
    with pa.FixedSizeBufferWriter(copy) as writer:
        writer.write(content)
    return copy


def _parse_csv(
    content: Any, block: int, names: tuple[str, ...], delimiter: str, is_plain: bool
) -> Any:
    """Return all rows, the header's too, as columns of text."""
    import pyarrow as pa
    import pyarrow.csv

    return pyarrow.csv.read_csv(
        pa.BufferReader(content),
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
        ),
    )


def _has_even_tabs(content: bytes, number: int) -> bool:
    """Return whether every line that is not empty holds this many tabs."""
    return all(line.count(b"\t") == number for line in content.split(b"\n") if line.strip(b"\r"))


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
    for i, name in enumerate(table.column_names):
        column = table.column(i)
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
                return (
                    f"line {begins:,} has {cells}, the header {len(names)} ({quoted(names)}). "
                    f"Put quotes around cells that hold '{delimiter}' and correct the file."
                )
            begins = rows.line_num + 1
    except csv.Error as error:
        return f"{error}. Expected quotes in pairs; correct the file."
    finally:
        csv.field_size_limit(limit)
    return ""
