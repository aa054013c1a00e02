"""A column that says which split each row is in, under the names and words that tools write.

``split`` always is one. A column of another usual name (``subset``, ``ml_use``, ``partition``,
``set``, ``Usage``) is one where each of its cells is a word for a split. A column of any name is
one where its cells are such words, train and another among them, or files called so
(``train.csv``).

Numbers say the splits where the name of the column does (``partition``, ``set``) and the first of
them, 0 or 1, has at least half of the rows: train, val and test in their order. Other numbers of
such a column are no input either, and said. Columns that number folds are said, and not used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from headstart.cells import is_missing
from headstart.columnar import array_from, different
from headstart.data.records import SPLIT_CODES, UNASSIGNED
from headstart.data.sources.listed import row_number
from headstart.data.sources.split_words import PLAIN, is_left_open, splits_among
from headstart.errors import DataError, quoted
from headstart.types import Finding

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

SPLIT_COLUMN = "split"
# fmt: off
OTHER_NAMES = frozenset(
    (
        "split", "splits", "subset", "mluse", "partition", "set", "usage", "datasplit",
        "datasetsplit", "phase", "settype", "splitname", "datasettype",
        "aiplatformgoogleapiscommluse",
    )
)
# fmt: on
FOLD_NAME = re.compile(
    r"(the|data|cv|k|stratified|group|outer|inner|test|val|cross|validation)*"
    r"folds?(id|ids|no|nr|num|number|index|idx)?"
)
# Columns of true and false, by what true means; false is train, or of ``is_train`` test.
FLAGS = {
    "istrain": "train",
    "istraining": "train",
    "intrain": "train",
    "isval": "val",
    "isvalid": "val",
    "isvalidation": "val",
    "isdev": "val",
    "istest": "test",
    "istesting": "test",
    "isholdout": "test",
    "intest": "test",
    "holdout": "test",
    "isheldout": "test",
    "heldout": "test",
    "intrainset": "train",
    "intestset": "test",
}
YES, NO = ("true", "1", "yes"), ("false", "0", "no")
_FILE = re.compile(
    r"(.*[\\/])?(?P<stem>[^\\/]+)\.(csv|tsv|txt|jsonl?|parquet|xlsx?)", re.IGNORECASE
)
# CelebA's partition: 0 train, 1 val, 2 test; MatConvNet's set: 1, 2, 3.
NUMBERED = OTHER_NAMES - {"usage", "phase"}
NUMBERED_IN_THREE = frozenset(("set", "subset"))  # of two numbers they may be an input
MOST_NUMBERS, LEAST_OF_TRAIN = 20, 0.5  # different ones; the share of the rows of the first
_WRONG = -2


@dataclass(frozen=True)
class SplitColumn:
    """The column of splits of a table.

    Attributes:
        name: Its name; None where there is none.
        splits: For each word in it the split, or None where the choice is left open.
        unused: Columns that number folds, which are no input either.
        findings: What a user should know of it.
    """

    name: str | None = None
    splits: dict[str, str | None] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)

    @property
    def taken(self) -> set[str]:
        """Columns that are no inputs."""
        return {*self.unused, *([self.name] if self.name else [])}

    def codes(self, values: Sequence[object], place: Callable[[int], str]) -> np.ndarray:
        """Return the split of each row, int8, shape (N,).

        Args:
            values: The column.
            place: Says where a row stands.

        Raises:
            DataError: A cell is empty, or no word for a split.
        """
        codes = self.sides(values)
        wrong = np.flatnonzero(codes == _WRONG)
        if len(wrong):
            first = int(wrong[0])
            value, where = values[first], place(first)
            if is_missing(value):
                raise DataError(
                    f"Column '{self.name}' is empty in {where}. Fill it in for every row, for "
                    "example with UNASSIGNED, or leave the column out."
                )
            raise DataError(
                f"Column '{self.name}' holds '{_word(value)}' in {where}; expected train, val "
                "or test. Correct it, or rename the column to have splits made."
            )
        return codes

    def sides(self, values: Sequence[object]) -> np.ndarray:
        """Return the split of each row, int8, shape (N,); other words are a side of their own."""
        return array_from(values, self._code, np.int8)

    def _code(self, value: object) -> int:
        word = _word(value)
        if is_missing(value) or word not in self.splits:
            return _WRONG
        split = self.splits[word]
        return SPLIT_CODES[split] if split else UNASSIGNED


def find_split_column(
    columns: Sequence[str],
    values_of: Callable[[str], Sequence[object]],
    kept: Sequence[str | None],
    head_of: Callable[[str], Sequence[object]],
) -> SplitColumn:
    """Return which column of a table says the splits.

    Args:
        columns: Names of the columns.
        values_of: Gives all values of a column.
        kept: Columns that the user has given another role.
        head_of: Gives the first values of a column.
    """
    free = [column for column in columns if column not in kept]
    folds = tuple(c for c in free if FOLD_NAME.fullmatch(_plain(c)) and _are_folds(values_of(c)))
    findings = []
    if folds:
        held = "; ".join(f"'{c}' holds {_counted(values_of(c))}" for c in folds)
        sentence = (
            f"Columns that number folds are not used: {quoted(folds)}. {held}. To keep one fold "
            "for the test, add a column split with train and test."
        )
        findings.append(Finding("unused", "note", (), sentence))
    flags = [c for c in free if _plain(c) in FLAGS and _are_flags(values_of(c))]
    if len(flags) > 1:
        sentence = (
            f"Columns {quoted(flags)} say the splits together, and are not used. Join them into "
            "one column split with train, val and test, or leave one out with --drop."
        )
        findings.append(Finding("unused", "warning", (), sentence))
        folds = (*folds, *flags)
    usual = [c for c in free if _plain(c) in OTHER_NAMES or [c] == flags]
    usual.sort(key=lambda name: name != SPLIT_COLUMN)
    likely = [c for c in free if c not in usual and _may_say_splits(head_of(c))]
    for column in [*usual, *(c for c in likely if _says_splits(different(values_of(c))))]:
        cells = different(values_of(column))
        words = list(dict.fromkeys(map(_word, filter(_is_there, cells))))
        if _plain(column) in NUMBERED and _are_numbers(words):
            splits = _by_number(_plain(column), values_of(column))
            if not splits:
                findings.append(_unclear(column, values_of(column)))
                folds = (*folds, column)
                continue
        else:
            splits = _read_words(_plain(column), words)
        known = [word for word in words if word in splits]
        if column != SPLIT_COLUMN and (len(known) < len(words) or not words):
            continue
        is_lone = len(set(splits.values())) < 2 and None not in splits.values()
        if column != SPLIT_COLUMN and is_lone and "train" not in splits.values():
            continue
        if sentence := _say(column, words, splits):
            findings.append(Finding("reading", "note", (), sentence))
        return SplitColumn(column, splits, folds, findings)
    return SplitColumn(None, {}, folds, findings)


def refuse_torn(table: Table, firsts: Sequence[int], kept: Sequence[str | None], what: str) -> None:
    """Refuse rows of one sample that the table's own column of splits puts on two sides.

    Args:
        table: With several rows a sample.
        firsts: For each row the first one of its sample.
        kept: Columns that are no splits.
        what: What rows of one sample share, such as ``"image"``.

    Raises:
        DataError: They stand in two splits: what is tested would be learned from.
    """
    column = find_split_column(table.columns, table.cells, kept, table.head)
    if column.name is None:
        return
    values = table.cells(column.name)
    sides = column.sides(values)
    torn = np.flatnonzero(sides != sides[np.asarray(firsts, dtype=np.intp)])
    if len(torn):
        later = int(torn[0])
        first = firsts[later]
        raise DataError(
            f"Column '{column.name}' puts one {what} on two sides: '{_word(values[first])}' in row "
            f"{row_number(table, first):,} of {table.where} and '{_word(values[later])}' in row "
            f"{row_number(table, later):,}, and so {len({firsts[row] for row in torn.tolist()}):,} "
            f"in all; expected all rows of one {what} in one split. Correct the column, or have "
            f"splits made: --drop {column.name}."
        )


def _may_say_splits(head: Sequence[object]) -> bool:
    """Return whether the first cells of a column of any name are split words."""
    words = [value for value in head if isinstance(value, str)]
    return 0 < len(words) == len(head) and all(map(_splits, set(words)))


def _says_splits(cells: Sequence[object]) -> bool:
    """Return whether different cells are split words, train and another among them."""
    words = [_word(cell) for cell in cells if isinstance(cell, str)]
    found = _read_words("", words)
    is_all = len(found) == len(words) == len(cells)
    return is_all and "train" in found.values() and len({*found.values()}) > 1


def _splits(word: str) -> dict[str, str | None]:
    return _read_words("", [_word(word)])


def _read_words(name: str, words: Sequence[str]) -> dict[str, str | None]:
    """Return the split of each word that means one, or leaves it open."""
    if name in FLAGS:
        true = FLAGS[name]
        false = "test" if true == "train" else "train"
        return {word: true if word.lower() in YES else false for word in words}
    files = {word: match["stem"] for word in words if (match := _FILE.fullmatch(word))}
    stems = {word: files.get(word, word) for word in words}
    splits = splits_among(stems.values())
    found: dict[str, str | None] = {w: splits[stem] for w, stem in stems.items() if stem in splits}
    return found | {word: None for word in words if is_left_open(word)}


def _are_numbers(words: Sequence[str]) -> bool:
    """Return whether different cells are a few whole numbers, two at the least."""
    return 1 < len(words) <= MOST_NUMBERS and all(re.fullmatch(r"-?\d{1,3}", w) for w in words)


def _by_number(name: str, values: Sequence[object]) -> dict[str, str | None]:
    """Return the split of each number of a column; empty where they do not speak clearly.

    Of two the second is test: val is drawn of train then, and what was held out is not learned.
    """
    counts = _counts(values)
    first = min(counts)
    named = ("train", "test") if len(counts) == 2 else ("train", "val", "test")
    runs_on = sorted(counts) == list(range(first, first + len(named))) and first in (0, 1)
    if not runs_on or (len(counts) == 2 and name in NUMBERED_IN_THREE):
        return {}
    if counts[first] < LEAST_OF_TRAIN * sum(counts.values()):
        return {}
    return {str(first + i): split for i, split in enumerate(named)}


def _unclear(column: str, values: Sequence[object]) -> Finding:
    """Return that a column may say the splits by numbers, and what decides it."""
    sentence = (
        f"Column '{column}' holds {_counted(values)}, which may say the splits; nothing says which "
        "is train, so it is not used. Write train, val and test into it to have it obeyed; "
        f"--categorical {column} makes it an input of a table."
    )
    return Finding("unused", "warning", (), sentence)


def _counts(values: Sequence[object]) -> Counter[int]:
    return Counter(int(_word(value)) for value in values if _is_there(value))


def _counted(values: Sequence[object]) -> str:
    """Return which values there are, and how often each is: ``0 (70 rows), 1 (15), 2 (15)``."""
    counts = Counter(_word(value) for value in values if _is_there(value))
    words = sorted(counts, key=lambda word: int(re.search(r"(^-)?\d+$", word)[0]))  # type: ignore[index]
    return ", ".join(
        f"{word} ({counts[word]:,}{' rows' if i == 0 else ''})" for i, word in enumerate(words)
    )


def _say(column: str, words: Sequence[str], splits: dict[str, str | None]) -> str:
    """Return a sentence where name or words are not the plain ones."""
    is_plain = all(word.lower() in PLAIN for word, split in splits.items() if split)
    if column == SPLIT_COLUMN and is_plain and all(splits.values()):
        return ""
    shown = ", ".join(
        f"'{word}' as {splits[word] or 'left open'}" for word in words if word in splits
    )
    ways = f"--drop {column} leaves it out." if column != SPLIT_COLUMN else "Rename it otherwise."
    return f"Column '{column}' says the splits: {shown}. {ways}"


def _are_folds(values: Sequence[object]) -> bool:
    words = {_word(value) for value in different(values) if _is_there(value)}
    return 1 < len(words) <= 20 and all(
        re.fullmatch(r"(fold)?[\W_]*\d{1,2}", w.lower()) for w in words
    )


def _are_flags(values: Sequence[object]) -> bool:
    words = {_word(value).lower() for value in values if _is_there(value)}
    return len(words) == 2 and all(word in (*YES, *NO) for word in words)


def _is_there(value: object) -> bool:
    return not is_missing(value)


def _word(value: object) -> str:
    word = str(value).strip()
    return word[:-2] if re.fullmatch(r"\d\.0", word) else word


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())
