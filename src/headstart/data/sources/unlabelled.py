"""New samples as a command names them: images, texts, or the rows of tables, without targets.

One row a modality in ``READERS``: how words become samples and what to call each of them. What the
training data was read with (a header, an encoding, the column of images) is read the same way here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cells import shown
from headstart.data.options import ReadOptions
from headstart.data.sources.conll import is_conll, read_conll
from headstart.data.sources.dialogues import asked_in
from headstart.data.sources.folder import TABLE_SUFFIXES, is_image
from headstart.data.sources.folder_tree import files_below
from headstart.data.sources.given_tables import AsTrained, is_table
from headstart.data.sources.handed import table_pictures
from headstart.data.sources.listed import row_number
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError
from headstart.preprocessing.image_files import READ_SUFFIXES
from headstart.preprocessing.incoming import text_column
from headstart.preprocessing.memory import as_arrow
from headstart.preprocessing.pairs_given import paired_columns
from headstart.types import Modality, Schema

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

Named = tuple[Any, list[str]]  # samples, and what to call each of them


def _all_images(given: Sequence[str], how: AsTrained) -> Iterator[Named]:
    """Yield the images of files, folders and tables, in the order given, and their names."""
    images: list[Any] = []
    names: list[str] = []
    for word in given:
        if is_table(word):
            for table, rows in how.open_tables(word):
                pictures, called = table_pictures(table, how.image_column)
                images += pictures
                names += [name or row for name, row in zip(called, rows, strict=True)]
        else:
            found = _images(Path(word))
            images += found
            names += [shown(str(path)) for path in found]
    yield images, names


def _images(path: Path) -> list[Path]:
    """Return the images that a path stands for: of a folder, what training takes for images."""
    if os.path.isdir(path):  # Path.is_dir raises where a name is too long
        inside = sorted(file for file in files_below(path) if is_image(file.name))
        if not inside:
            raise DataError(
                f"{path} holds no image files; expected some that end in "
                f"{', '.join(READ_SUFFIXES)}. Name the files themselves."
            )
        return inside
    if not os.path.isfile(path):
        raise DataError(
            f"{path} does not exist; expected an image file or a folder of them. Check the path."
        )
    return [path]


def _text_files(word: str, is_text: bool) -> list[str]:
    """Return what a word stands for: the .txt files of a folder, a file, or the text itself.

    Args:
        word: A path, or a text.
        is_text: Whether a word that is no path may be a text.
    """
    if os.path.isdir(word) and is_table(word):
        return [word]
    if os.path.isdir(word):
        found = files_below(Path(word))
        inside = sorted(str(file) for file in found if file.suffix.lower() == ".txt")
        if not inside:
            raise DataError(
                f"{word} holds no text files; expected some that end in .txt. Name the files "
                f"themselves."
            )
        return inside
    if word.lower().endswith((".txt", *TABLE_SUFFIXES)) and _can_be_path(word):
        return [word]
    if os.path.exists(word) and is_conll(Path(word)):
        return [word]
    if os.path.exists(word):
        raise DataError(
            f"{word} is a file whose content is not known; expected texts in .txt, or a table that "
            f"ends in {', '.join(TABLE_SUFFIXES)}. Save it as one of these."
        )
    if not is_text:
        raise DataError(
            f"{word} does not exist; expected a text file. Check the path, or give the text itself "
            f"as a str."
        )
    return [word]


def _words_or_files(given: Sequence[Any]) -> list[str]:
    """Return each text or file of texts; a path stays one: only a str can be a text itself."""
    return [word for one in given for word in _text_files(str(one), isinstance(one, str))]


def _files(given: Sequence[Any]) -> list[str]:
    return [str(one) for one in given]


def _can_be_path(word: str) -> bool:
    """Return whether the system takes a word for a path, of something that may be missing."""
    try:
        os.stat(word)
    except ValueError:  # a NUL, or half a surrogate pair
        return False
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG
    return True


def _all_texts(given: Sequence[str], how: AsTrained) -> Iterator[Named]:
    """Yield the texts of files and words, in the order given, and what to call each of them."""
    texts: list[str] = []
    names: list[str] = []
    num_words = 0
    for word in given:
        is_path = _can_be_path(word)
        if is_path and is_table(word):
            for table, rows in how.open_tables(word):
                texts += _column_of(table, how)
                names += rows
        elif is_path and os.path.isfile(word) and is_conll(Path(word)):
            read = ReadOptions(encoding=how.encoding)
            lines = read_conll(Path(word), word, read, may_be_one=True)
            texts += [value for value in lines.values("text") if isinstance(value, str)]
            names += [f"{word} row {row_number(lines, i)}" for i in range(lines.num_rows)]
        elif is_path and word.lower().endswith(".txt"):
            texts.append(read_text(word, how.encoding))
            names.append(word)
        else:
            num_words += 1
            texts.append(word)
            names.append(f"text {num_words}")
    yield texts, names


def _column_of(table: Table, how: AsTrained) -> list[Any]:
    """Return the samples of a table of texts, pairs or conversations."""
    if how.column is not None and how.second_column is not None:
        return list(paired_columns(table, (how.column, how.second_column)))
    asked = asked_in(table) if how.of_turns else None
    return list(text_column(table, how.column)) if asked is None else list(asked)


def _all_pictured(given: Sequence[str], how: AsTrained) -> Iterator[Named]:
    """Yield the rows of each table with their images, and what to call each of them."""
    for word in given:
        for table, names in how.open_tables(_table_named(word)):
            column = how.image_column or how.column or ""
            pictures, _ = table_pictures(table, column)
            cells = {name: table.values(name) for name in table.columns if name != column}
            rows = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
            yield [{**row, column: one} for row, one in zip(rows, pictures, strict=True)], names


def _table_named(word: str) -> str:
    """Return a word that names a table.

    Raises:
        DataError: It does not.
    """
    if not is_table(word):
        raise DataError(
            f"'{word}' is no table; expected a file with the columns of the training data, "
            f"whose name ends in {', '.join(TABLE_SUFFIXES)}, or a folder of the parts of "
            "one. Give such a file."
        )
    return word


def _all_rows(given: Sequence[str], how: AsTrained) -> Iterator[Named]:
    """Yield the rows of each table, and what to call each of them."""
    import pyarrow as pa

    for word in given:
        found = how.open_tables(_table_named(word))
        columns = found[0][0].columns
        cells = {c: [v for table, _ in found for v in table.values(c)] for c in columns}
        names = [name for _, rows in found for name in rows]
        yield pa.table({c: as_arrow(values) for c, values in cells.items()}), names


def read_text(word: str, encoding: str | None) -> str:
    """Return the content of a .txt file.

    Raises:
        DataError: It does not exist, or cannot be read.
    """
    try:
        return read_text_bytes(Path(word), word, encoding).decode()
    except FileNotFoundError:
        raise DataError(
            f"{word} does not exist; expected a text file. Check the path, or give the text itself."
        ) from None
    except OSError as error:
        raise DataError(
            f"{word} cannot be read ({error.strerror or error}); expected a text file. Check that "
            f"it is one and that this user may read it."
        ) from error


@dataclass(frozen=True)
class Reader:
    """How what is given becomes samples, of one modality.

    Attributes:
        listed: What is given, one by one.
        read: Yields samples with their names.
        read_rows: Yields the rows that they stand in, where columns are read beside them.
        is_decoded: Whether the files of samples are bytes that stand for characters.
    """

    listed: Callable[[Sequence[Any]], list[str]]
    read: Callable[[Sequence[str], AsTrained], Iterator[Named]]
    read_rows: Callable[[Sequence[str], AsTrained], Iterator[Named]]
    is_decoded: bool = True


READERS: dict[Modality, Reader] = {
    "image": Reader(_files, _all_images, _all_pictured, is_decoded=False),
    "text": Reader(_words_or_files, _all_texts, _all_rows),
    "table": Reader(_files, _all_rows, _all_rows),
}


def reader_of(schema: Schema) -> Reader:
    """Return how what is given becomes samples of a schema; with columns beside, rows of tables."""
    reader = READERS[schema.modality]
    if not schema.beside:
        return reader
    return replace(reader, listed=_files, read=reader.read_rows, is_decoded=True)
