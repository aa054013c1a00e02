"""Texts that are nearly the same: a word changed, cut short, a signature added, other marks.

Short texts, which chance makes alike, are near copies only where nothing but case, blanks,
punctuation and web addresses differ, and where so many texts would not make them again by chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools
from headstart.auditing.near_pairs import Everyone, NearPairs, describe_pairs
from headstart.auditing.shingles import Shingled, plain, propose_pairs, shingle
from headstart.data.chance import texts_by_chance
from headstart.tasks import find_task
from headstart.types import Dataset, Finding

SHORT = 5  # words: of fewer, only the whole text is compared
SHARED = 0.8  # of the words of both together: one word in ten may be another (9 of 11)
CONTAINED, LONG_ENOUGH = 0.9, 6  # pairs of words of the shorter that the longer has; its words
SHORTEST_PART = 0.4  # of the longer that the shorter is: less is a quotation


def near_texts(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Return texts that are nearly the same, across splits first.

    Args:
        dataset: Of texts.
        tools: Its clock is looked at.
    """
    everyone = Everyone(dataset)
    first, node_of = everyone.nodes()
    texts = [everyone.read(i) for i in first.tolist()]
    shingled = shingle(texts, tools.is_over)
    if shingled is None:
        sentence = (
            f"The time was up before {len(everyone):,} texts were compared: near copies were not "
            "looked for."
        )
        return [Audited(Finding("near copies", "warning", (), sentence))]
    return describe_pairs(dataset, everyone, node_of, _pairs(texts, shingled))


def text_pairs(texts: Sequence[str]) -> NearPairs:
    """Return pairs of texts that are nearly the same; each text is a node."""
    shingled = shingle(texts)
    assert shingled is not None  # nobody stops it
    return _pairs(texts, shingled)


def _pairs(texts: Sequence[str], shingled: Shingled) -> NearPairs:
    """Return pairs of nearly the same texts."""
    same = _same_but_marks(texts, shingled)
    # of texts that are the same but for marks, one stands for all
    lone = np.setdiff1d(np.flatnonzero(shingled.lengths >= SHORT), same[:, 1])
    one, two = propose_pairs(shingled.bands, lone)
    words = shingled.words.common(one, two)
    total = shingled.words.sizes[one] + shingled.words.sizes[two] - words
    shared = words / np.maximum(total, 1)
    number = np.column_stack([shingled.pairs.sizes[one], shingled.pairs.sizes[two]])
    less, more = number.min(1), number.max(1)
    inside = shingled.pairs.common(one, two) / np.maximum(less, 1)
    shorter = np.minimum(shingled.lengths[one], shingled.lengths[two])
    is_edited = shared >= SHARED
    is_part = (inside >= CONTAINED) & (shorter >= LONG_ENOUGH) & (less >= SHORTEST_PART * more)
    fits = is_edited | is_part
    certainty = np.where(is_edited, shared, inside * 0.99)[fits]
    share, part = shared[fits], (is_part & ~is_edited)[fits]
    ends = np.concatenate([same, np.column_stack([one, two])[fits]])

    def how(number: int) -> str:
        if number < len(same):
            return "the same but for case, blanks, marks and addresses"
        place = number - len(same)
        return "one holds the other" if part[place] else f"{share[place]:.0%} of their words shared"

    all_certain = np.concatenate([np.ones(len(same)), np.minimum(certainty, 0.999)])
    means = "a word or marks changed, cut short, or something added"
    return NearPairs(ends[:, 0], ends[:, 1], all_certain, how, means)


def _same_but_marks(texts: Sequence[str], shingled: Shingled) -> np.ndarray:
    """Return pairs of the first and each other text of one plain form, int64 (P, 2)."""
    _, first, inverse = np.unique(shingled.whole, return_index=True, return_inverse=True)
    before = first[inverse.reshape(-1)]
    places = np.flatnonzero((before < np.arange(len(texts))) & (shingled.lengths > 0))
    if not len(places):
        return np.zeros((0, 2), np.int64)
    by_chance = texts_by_chance(plain(texts).to_pylist(), places)
    places = places[~by_chance]
    return np.column_stack([before[places], places])


def _stand_alone(dataset: Dataset) -> bool:
    """Return whether texts are told of by themselves; questions share their contexts on purpose."""
    return dataset.schema.facts.has_words and not find_task(dataset.schema.task).finds_texts


NEAR_TEXTS = Audit(
    name="near texts",
    question="Do nearly the same texts stand twice, or on both sides of the split?",
    applies=_stand_alone,
    run=near_texts,
    finds_copies=True,
)
