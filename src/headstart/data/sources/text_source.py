"""The characters of a table file: streamed from the disk where they are UTF-8, held otherwise.

A file of UTF-8 is looked through once, a piece at a time (is it UTF-8, does it hold quotes?), and
then parsed from the disk: what is in memory is the table alone, however large the file. A file of
another encoding, or a compressed one, is held as UTF-8 bytes.
"""

from __future__ import annotations

import codecs
import gzip
import os
import shlex
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from headstart.data.sources.encodings import likely_encodings, wide_encoding
from headstart.errors import DataError

PIECE_BYTES = 2**22
HEAD_BYTES = 2**16
MARK = b"\xef\xbb\xbf"  # of the byte order, which UTF-8 does not need
_TAB, _LINE_FEED, _RETURN = 9, 10, 13


@dataclass(frozen=True)
class TextSource:
    """Characters as UTF-8, from a place on.

    Attributes:
        path: The file they are streamed from; None where they are held.
        content: They themselves, in memory of pyarrow's, where they are held.
        start: Where they begin, in bytes.
        head: The first bytes.
        size: Bytes in all.
        has_quotes: Whether a double quote is among them.
        has_backslashes: Whether one stands behind a backslash.
        is_blank: Whether nothing but blanks is.
    """

    path: Path | None
    content: Any
    start: int
    head: bytes
    size: int
    has_quotes: bool
    has_backslashes: bool
    is_blank: bool

    def after(self, number: int) -> TextSource:
        """Return what comes after the first bytes."""
        start, size = self.start + number, self.size - number
        return replace(self, start=start, size=size, head=self.head[number:])

    def open(self) -> IO[bytes]:
        """Return the bytes as a file."""
        import pyarrow as pa

        held = self.content
        file: IO[bytes] = pa.BufferReader(held) if self.path is None else self.path.open("rb")
        file.seek(self.start)
        return file

    def read(self) -> bytes:
        """Return all bytes."""
        with self.open() as file:
            return file.read()

    def reader(self) -> Any:
        """Return what pyarrow reads the bytes from, with nothing of Python's in it."""
        import pyarrow as pa

        if self.path is None:
            return pa.BufferReader(self.content.slice(self.start))
        file = pa.OSFile(os.fspath(self.path))
        file.seek(self.start)
        return file

    def has_even_tabs(self, number: int) -> bool:
        """Return whether every line that is not empty holds this many tabs."""
        with self.open() as file:
            return all(_has_even_tabs(lines, number) for lines in _whole_lines(file))


def open_text(path: Path, where: str, encoding: str | None) -> TextSource:
    """Look through a file of text.

    Args:
        path: The file; gzip is undone.
        where: What to call it in messages.
        encoding: What the user said of its bytes, or None for UTF-8.

    Raises:
        DataError: The bytes are no text of that encoding.
    """
    before = os.stat(path)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    is_plain = encoding is None and head[:2] != b"\x1f\x8b" and not wide_encoding(head)
    looked = _look_through(path) if is_plain else None
    if looked is None:
        content = read_text_bytes(path, where, encoding)
        return held_text(content)
    start = len(MARK) if head.startswith(MARK) else 0
    return TextSource(path, b"", start, head[start:], before.st_size - start, *looked)


def held_text(content: bytes) -> TextSource:
    """Return UTF-8 that is in memory."""
    is_blank = not content[:HEAD_BYTES].strip() and not content.strip()
    has_quotes, has_backslashes = b'"' in content, b'\\"' in content
    return TextSource(
        *(None, buffer_of(content), 0, content[:HEAD_BYTES], len(content)),
        *(has_quotes, has_backslashes, is_blank),
    )


def _look_through(path: Path) -> tuple[bool, bool, bool] | None:
    """Return ``has_quotes``, ``has_backslashes`` and ``is_blank``; None if it is no UTF-8."""
    piece, decoder = bytearray(PIECE_BYTES), None
    has_quotes, has_backslashes, is_blank, last = False, False, True, b""
    with path.open("rb", buffering=0) as file:
        while number := file.readinto(piece):
            part = piece if number == len(piece) else piece[:number]
            has_quotes = has_quotes or b'"' in part
            has_backslashes = has_backslashes or b'\\"' in last + part[:1] or b'\\"' in part
            is_blank = is_blank and not part.strip()
            if 0 in part:
                return None  # which says where
            last = bytes(part[-1:])
            if decoder is None and part.isascii():
                continue
            decoder = decoder or codecs.getincrementaldecoder("utf-8")()
            try:
                decoder.decode(part)
            except UnicodeDecodeError:
                return None
    try:
        if decoder is not None:
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return None
    return has_quotes, has_backslashes, is_blank


def read_text_bytes(path: Path, where: str, encoding: str | None) -> bytes:
    """Return a file as UTF-8 bytes without byte-order mark; gzip is undone.

    Args:
        path: The file.
        where: What to call it in messages.
        encoding: What the user said of its bytes, or None for UTF-8.

    Raises:
        DataError: The bytes are no text of that encoding.
    """
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
    if (place := content.find(b"\0")) >= 0:
        raise DataError(
            f"{where} holds zero bytes, the first in line {_line(content, place):,}, as damaged "
            "and binary files do; expected text. Write it again from its source, or take them "
            f"out: tr -d '\\000' < {shlex.quote(path.name)} > clean-{shlex.quote(path.name)}"
        )
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


def buffer_of(content: bytes) -> Any:
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


def _whole_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a file in pieces that end with a line."""
    rest = b""
    while piece := file.read(PIECE_BYTES):
        lines, feed, after = piece.rpartition(b"\n")
        if feed:
            yield rest + lines + feed
            rest = after
        else:
            rest += piece
    if rest:
        yield rest + b"\n"


def _has_even_tabs(lines: bytes, number: int) -> bool:
    """Return whether every line holds this many tabs; lines of nothing but returns do not count."""
    letters = np.frombuffer(lines, np.uint8)
    ends = np.flatnonzero(letters == _LINE_FEED)
    tabs = np.diff(np.searchsorted(np.flatnonzero(letters == _TAB), ends), prepend=0)
    written = np.cumsum((letters != _LINE_FEED) & (letters != _RETURN))[ends]
    is_full = np.diff(written, prepend=0) > 0
    return bool((tabs[is_full] == number).all())
