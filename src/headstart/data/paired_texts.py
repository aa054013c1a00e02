"""Pairs of texts: in which columns they stand, and what two pairs have in common.

The same pair may stand there with its texts turned; both then stay on one side of a split that is
drawn. A text of a pair may stand in other pairs too: what that makes of test is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart.cells import is_missing
from headstart.data.identity import text_identity
from headstart.data.records import SPLIT_CODES, Records
from headstart.preprocessing.rows import TextSamples
from headstart.types import Finding, TextPair, are_pairs

# What both columns are called in public sets and in the examples of their tools, in small letters.
PAIRED_NAMES = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("text_1", "text_2"),
    ("sentence_a", "sentence_b"),
    ("sentence_1", "sentence_2"),
    ("sent1", "sent2"),
    ("texta", "textb"),
    ("sentencea", "sentenceb"),
    ("句子1", "句子2"),
)
SHARED_WARNED = 0.1  # of test pairs that have a text of train


def said_columns(text: str | None, columns: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the columns that ``--text`` names: one, or two with a comma between.

    Args:
        text: What was said, or None.
        columns: Of the table: a name that holds a comma is looked for first.
    """
    if text is None:
        return ()
    parts = tuple(part.strip() for part in text.split(","))
    return parts if len(parts) == 2 and all(parts) and text not in columns else (text,)


def named_pair(heads: Mapping[str, list[object]]) -> tuple[str, ...]:
    """Return two columns whose names say that they are a pair of texts; none where none do.

    Args:
        heads: The first cells of each column, by its name.
    """
    low = {column.strip().lower(): column for column in heads}
    for names in PAIRED_NAMES:
        found = [low[name] for name in names if name in low]
        if len(found) == 2 and all(_is_text(heads[column]) for column in found):
            return tuple(found)
    return ()


def _is_text(values: Sequence[object]) -> bool:
    present = [value for value in values if not is_missing(value)]
    return bool(present) and all(isinstance(value, str) for value in present)


def paired(first: Sequence[Any], second: Sequence[Any]) -> list[TextPair]:
    """Return the pairs of two columns; a side that is missing is an empty one."""
    return [
        TextPair(*("" if is_missing(side) else str(side) for side in sides))
        for sides in zip(first, second, strict=True)
    ]


def as_pairs(X: Any) -> list[TextPair] | None:
    """Return X as pairs where it is a list of tuples or lists of two texts; else None."""
    if not isinstance(X, (list, tuple)) or not X:
        return None
    if not all(isinstance(one, (list, tuple, TextPair)) for one in X):
        return None
    if all(isinstance(one, TextPair) for one in X):
        return list(X)
    if any(isinstance(one, TextPair) or len(one) != 2 for one in X):
        return None
    sides = [side for one in X for side in one]
    is_text = any(isinstance(side, str) for side in sides)
    if not is_text or not all(isinstance(side, str) or is_missing(side) for side in sides):
        return None
    return paired([one[0] for one in X], [one[1] for one in X])


def turned_groups(texts: Sequence[str], contents: np.ndarray) -> np.ndarray | None:
    """Return which pairs are the same in either order, int64, shape (N,); None where none are.

    Args:
        texts: Pairs that can be used.
        contents: uint64, shape (N,), of them as they stand.
    """
    if not are_pairs(texts):
        return None
    turned = text_identity([text.turned for text in texts]).content
    either = np.minimum(contents, turned)
    different, groups = np.unique(either, return_inverse=True)
    if len(different) == len(np.unique(contents)):
        return None
    return np.asarray(groups.reshape(-1), np.int64)


def describe_pairs(
    records: Records, splits: np.ndarray, turned: np.ndarray | None
) -> list[Finding]:
    """Return what a user should know of pairs: which stand there turned, and what they share.

    Args:
        records: The samples.
        splits: int8, shape (N,), the final ones.
        turned: Which pairs are the same in either order; None where none are.
    """
    samples = records.samples
    if not isinstance(samples, TextSamples) or not are_pairs(samples.texts):
        return []
    found = [] if turned is None else [_tell_turned(samples, splits, turned)]
    shared = _tell_shared(records, samples, splits)
    return found if shared is None else [*found, shared]


def _tell_turned(samples: TextSamples, splits: np.ndarray, turned: np.ndarray) -> Finding:
    """Return how many pairs stand there in both orders, and of how many in test train has one."""
    texts = text_identity(samples.texts).content
    order = np.lexsort((texts, turned))
    is_new = (turned[order][1:] == turned[order][:-1]) & (texts[order][1:] != texts[order][:-1])
    places = np.sort(order[1:][is_new])
    is_train, is_test = (splits == SPLIT_CODES[name] for name in ("train", "test"))
    num_leaks = int(np.isin(turned[is_test], turned[is_train]).sum())
    leak = (
        f" {num_leaks:,} of {int(is_test.sum()):,} test pairs are in train in one of both orders: "
        "the figure flatters. Leave them out of train."
        if num_leaks
        else " A split that is drawn keeps both on one side."
    )
    sentence = (
        f"{len(places):,} pairs are another one with its two texts turned, such as "
        f"{samples.name(int(places[0]))}.{leak}"
    )
    items = [samples.name(int(place)) for place in places[:100]]
    if num_leaks:
        return Finding("leak", "warning", items, sentence)
    return Finding("copies", "note", items, sentence)


def _tell_shared(records: Records, samples: TextSamples, splits: np.ndarray) -> Finding | None:
    """Return how many test pairs have a text that train pairs have too; None where few do."""
    test, train = (np.flatnonzero(splits == SPLIT_CODES[name]) for name in ("test", "train"))
    pairs = [text for text in samples.texts if isinstance(text, TextPair)]
    sides = [[pair.first for pair in pairs], [pair.second for pair in pairs]]
    first, second = (text_identity(side).content for side in sides)
    known = np.union1d(first[train], second[train])
    seen = [np.isin(side[test], known) for side in (first, second)]
    both, number = [int(one.sum()) for one in seen], int((seen[0] | seen[1]).sum())
    if number < SHARED_WARNED * len(test) or not len(test):
        return None
    names, is_drawn = records.sides, SPLIT_CODES["test"] not in records.splits
    most = names[int(both[1] > both[0])]
    remedy = (
        f" To measure texts that are new, keep the pairs of one text together: --group {most}."
        if records.input_column is not None and records.groups is None and is_drawn
        else ""
    )
    sentence = (
        f"{number:,} of {len(test):,} test pairs have a text that train has in other pairs "
        f"('{names[0]}' {both[0]:,}, '{names[1]}' {both[1]:,}): what is learned of it there helps "
        f"here.{remedy}"
    )
    return Finding("group", "warning", (), sentence)
