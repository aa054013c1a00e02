"""CoNLL files: a word a line with its tag in the last column, a blank line after each sentence.

Two or more columns between tabs or blanks; ``-DOCSTART-`` and lines of comments (``# …`` as CoNLL-U
has them) are no words. Known by their lines, whatever the file is called; where no line is blank,
by tags of entities. What is none, and is called one or stands beside one, is told the line that is
wrong. Left out: CoNLL-U's multiword tokens, whose parts are read.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from headstart.data.options import ReadOptions
from headstart.data.sources.encodings import wide_encoding
from headstart.data.sources.listed import ListTable
from headstart.data.sources.split_words import split_of
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError
from headstart.preprocessing.word_places import sentence_of

HEAD_BYTES = 65536
_ENOUGH = 20  # lines of words that are looked at
_FEW_ODD = 10  # of so many lines one may have other columns: a slip, and no other form
_BETWEEN = re.compile(r"[^ \t]+")  # other blanks, U+3000 and U+00A0, can be words
_TAG = re.compile(r"(?:[BIOESLU][-_]\S+|\S+[-_][BIOESLU]|O|[A-Z][A-Z0-9$.:,-]*)")
_ENTITY = re.compile(r"[BIOESLU][-_]\S+|\S+[-_][BIOESLU]|O")
_COMMENT = re.compile(r"#(?:\s|$)")
_DOCUMENT = re.compile(r"-DOCSTART-|-X-")
_RANGE = re.compile(r"\d+[-.]\d+$")
_TARGET = "tags"
_UNIVERSAL = 10  # columns of CoNLL-U
_MOST_FILES = 50
_BESIDE = re.compile(r"(?i)^(?:readme|licen[cs]e|copying|sha256sums|citation)|\.md$")
_OTHERS = re.compile(r"(?i)\.(?:csv|tsv|jsonl?|parquet|zip|gz|png|jpe?g|arrow|xlsx)$")
_NAMED = re.compile(r"(?i)\.(?:conll\w*|bioe?s?|iobe?s?\d?|bilou)(?:\.\w+)?$")
_SPLIT = re.compile(r"train|dev|valid|val|test|eval")


def is_conll(path: Path) -> bool:
    """Return whether the first lines of a file are words with tags, with blank lines between.

    Without a blank line they are where the tags can be of nothing but entities: then it is missing.
    """
    lines = _first_lines(path)
    blank = [number for number, line in enumerate(lines) if not line.strip()]
    words = [line for line in lines if line.strip() and not _is_aside(line)]
    if len(words) < 2:
        return False
    cut = _cutter(words)
    some = [cut(line) for line in words[:_ENOUGH]]
    width, num = Counter(map(len, some)).most_common(1)[0]
    num_odd = len(some) - num
    if width < 2 or num_odd > max(1, len(some) // _FEW_ODD):
        return False
    some = [cells for cells in some if len(cells) == width]  # the others are refused by their place
    tags = [_tag_of(cells) for cells in some]
    is_of_entities = len(set(tags)) > 1 and all(map(_ENTITY.fullmatch, tags))
    if not is_of_entities and (not blank or num_odd > (num + num_odd) // _FEW_ODD):
        return False  # of a few lines, or without a blank one, tags of entities alone are sure
    return all(_TAG.fullmatch(tag) for tag in tags) and not any(" " in cells[0] for cells in some)


def _first_lines(path: Path) -> list[str]:
    """Return the first lines of a file of text; none of another."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return []
    wide = wide_encoding(head)
    if b"\0" in head and not wide:
        return []
    lines = _lines(head.decode(wide or "utf-8", "replace"))
    is_cut = len(head) == HEAD_BYTES or not lines[-1].strip()  # behind the last end of a line
    return lines[:-1] if is_cut else lines


def is_called_conll(name: str) -> bool:
    """Return whether a file of this name can hold nothing but words with tags."""
    return bool(_NAMED.search(name))


def refuse_other(path: Path, where: str) -> None:
    """Refuse a file that should be CoNLL and is none, by what is wrong first.

    Args:
        path: The file; nothing is said of what is no text.
        where: What to call it in messages.

    Raises:
        DataError: Naming the line.
    """
    lines = _first_lines(path)
    expected = (
        "Expected a word, its tag last ('O', 'B-PER', 'NOUN'), and a blank line after each sentence"
    )
    words = [(i, line) for i, line in enumerate(lines, 1) if line.strip() and not _is_aside(line)]
    if lines and not words:
        raise DataError(f"{where} has no line of a word and its tag. {expected}.")
    for number, line in words:
        cells = _cells(line)
        if len(cells) < 2:
            wrong = f"has 1 column: '{line[:60]}'"
        elif not _TAG.fullmatch(_tag_of(cells)):
            wrong = f"ends in '{_tag_of(cells)[:60]}', which is no tag"
        else:
            continue
        raise DataError(
            f"Line {number:,} of {where} {wrong}. {expected}. Correct the line, and those like it."
        )
    if words and all(line.strip() for line in lines):
        raise DataError(
            f"{where} has no blank line among its first {len(words):,} words. {expected}. Put one "
            "behind the last word of each."
        )


def find_conll(folder: Path) -> list[tuple[Path, str | None]]:
    """Return the CoNLL files of a folder that holds no other data, each with the split it names."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    names = [n for n in names if not n.startswith((".", "_")) and not _BESIDE.search(n)]
    files = [folder / name for name in names]
    if not 0 < len(files) <= _MOST_FILES or not all(file.is_file() for file in files):
        return []
    if any(_OTHERS.search(name) for name in names):
        return []
    are = [is_conll(file) for file in files]
    words = [_SPLIT.search(name.lower()) for name in names]
    if any(are) and not all(are) and all(words):
        refuse_other(files[are.index(False)], names[are.index(False)])
    if not all(are):
        return []
    return [
        (file, split_of(word[0]) if word else None) for file, word in zip(files, words, strict=True)
    ]


def read_conll(
    path: Path, where: str, options: ReadOptions, *, may_be_one: bool = False
) -> ListTable:
    """Return sentences and their tags, in the columns ``text`` and ``tags``.

    Args:
        path: The file.
        where: What to call it in messages.
        options: The encoding, where it was said.
        may_be_one: Whether all of it may be one text, without a blank line.

    Raises:
        DataError: A line has other columns than the others, or there is no sentence, or but one
            where there should be more.
    """
    if options.label not in (None, _TARGET):
        raise DataError(
            f"{where} holds lines of a word and its tag, which is the last column; there is no "
            f"column '{options.label}'. Leave --label out."
        )
    content = read_text_bytes(path, where, options.encoding).decode()
    sentences: list[list[list[str]]] = [[]]
    numbers: list[int] = []
    width, lines = 0, _lines(content)
    cut = _cutter(lines)
    for number, line in enumerate(lines):
        if not line.strip():
            if sentences[-1]:
                sentences.append([])
            continue
        if _is_aside(line):
            if _DOCUMENT.match(line) and sentences[-1]:
                sentences.append([])
            continue
        cells = cut(line)
        width = width or len(cells)
        if len(cells) != width:
            raise DataError(
                f"Line {number + 1:,} of {where} has {len(cells)} columns, and the first line has "
                f"{width}: '{line[:60]}'. Expected a word, its tag last, and a blank line after "
                "each sentence. Correct the line."
            )
        if width == _UNIVERSAL and _RANGE.match(cells[0]):
            continue  # a multiword token, whose parts follow
        if not sentences[-1]:
            numbers.append(number)
        sentences[-1].append(cells)
    found = [rows for rows in sentences if rows]
    if not found:
        raise DataError(
            f"{where} has no sentence. Expected lines of a word and its tag, a blank line after "
            "each sentence."
        )
    if len(found) == 1 and not may_be_one:
        raise DataError(
            f"{where} has no blank line between its {len(found[0]):,} words, so that all of them "
            "would be one text. Expected a blank line after each sentence. Put one behind the last "
            "word of each."
        )
    words = [[_word_of(cells) for cells in rows] for rows in found]
    plain = [sentence_of(row, "words") for row in words]
    singles = sum(len(word) == 1 for row in words for word in row)
    is_by_character = singles > 0.9 * sum(map(len, words)) and _is_unspaced(words)
    texts = [sentence_of(row, "characters") for row in words] if is_by_character else plain
    tags = [[_tag_of(cells) for cells in rows] for rows in found]
    columns: dict[str, list[Any]] = {"text": list(texts), _TARGET: tags}
    return ListTable(columns, where, path.parent, target=_TARGET, numbers=numbers)


def _is_aside(line: str) -> bool:
    return bool(_DOCUMENT.match(line) or (_COMMENT.match(line) and "\t" not in line[:3]))


def _lines(content: str) -> list[str]:
    """Return lines as any system ends them; other characters that end lines belong to words."""
    whole = content.replace("\r\n", "\n").replace("\r", "\n")
    return [line.strip("\ufeff") for line in whole.split("\n")]


def _cutter(lines: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what cuts a line: at tabs and blanks where all then have as many columns, else below.

    So columns may be between tabs and blanks by turns, and words of a file with tabs hold blanks.
    """
    widths = {len(_by_blanks(line)) for line in lines if line.strip() and not _is_aside(line)}
    return _by_blanks if len(widths) == 1 else _cells


def _by_blanks(line: str) -> list[str]:
    return _BETWEEN.findall(line)


def _cells(line: str) -> list[str]:
    """Return the columns of a line: between tabs where there are any, else between blanks."""
    if "\t" not in line.strip():
        return _by_blanks(line)
    return [cell.strip(" ") for cell in line.rstrip().split("\t")]


def _word_of(cells: list[str]) -> str:
    return cells[1] if len(cells) == _UNIVERSAL else cells[0]


def _tag_of(cells: list[str]) -> str:
    """Return the last column; of CoNLL-U's ten the universal part of speech."""
    return cells[3] if len(cells) == _UNIVERSAL else cells[-1].strip()


def _is_unspaced(words: list[list[str]]) -> bool:
    """Return whether words are of a script without blanks between them."""
    letters = [c for row in words[:200] for word in row for c in word if c.isalpha()]
    return sum(ord(c) > 0x2E7F for c in letters) > 0.5 * max(1, len(letters))
