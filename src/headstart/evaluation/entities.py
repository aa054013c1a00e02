"""Entities in rows of tags: where they begin and end, which are found, how sure that is.

An entity is found where its place and its type are right, and counts as nothing otherwise (strict,
as CoNLL-2003 scores). Tags are those of IOB2: ``B-x`` begins an entity of type x, ``I-x`` goes on
with it, everything else is outside; an ``I-x`` that goes on with nothing is no entity. Tags without
such beginnings (parts of speech, say) are entities of one word each.

Sentences are what is independent: intervals resample them, or the groups they are of, never words.

Source:
    E. F. Tjong Kim Sang and F. De Meulder, 2003, CoNLL; seqeval 1.2.2 with scheme and strict mode,
    which gives the same figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.evaluation.clusters import Groups, as_groups
from headstart.evaluation.counts import count_classes, counted_scores, macro_figures
from headstart.evaluation.intervals import NUM_RESAMPLES, f1_of
from headstart.evaluation.means import plain_mean, studentised_interval, unit_sums, within
from headstart.evaluation.parts import summed
from headstart.evaluation.records import Scores
from headstart.evaluation.shares import clustered_share, share_of
from headstart.types import Figure
from headstart.types.ragged import Ragged

_FLOOR = float(np.finfo(np.float64).eps)
_NEVER = -1e9  # the logarithm of what cannot be


@dataclass(frozen=True)
class TagSet:
    """What K tags mean; arrays of shape (K,), by the number of a tag.

    Attributes:
        num_types: How many types of entities there are.
        type_of: int64, the type of a tag; -1 outside.
        begins: bool, whether an entity begins with it.
        goes_on: bool, whether it goes on with the one before.
    """

    num_types: int
    type_of: np.ndarray
    begins: np.ndarray
    goes_on: np.ndarray

    @classmethod
    def of_entities(cls, num_tags: int) -> TagSet:
        """Return the tags ``O, B-a, I-a, B-b, I-b …``: 1 and two a type."""
        numbers = np.arange(num_tags)
        begins = numbers % 2 == 1
        return cls(num_tags // 2, (numbers + 1) // 2 - 1, begins, (numbers > 0) & ~begins)

    @classmethod
    def of_words(cls, num_tags: int) -> TagSet:
        """Return tags of which each is told of one word alone."""
        every = np.ones(num_tags, bool)
        return cls(num_tags, np.arange(num_tags), every, ~every)

    def allowed(self) -> np.ndarray:
        """Return which tag may follow which, bool, shape (K + 1, K); the last row: at the start."""
        same = np.append(self.type_of, -1)[:, None] == self.type_of[None, :]
        found: np.ndarray = ~self.goes_on[None, :] | (same & (self.type_of >= 0)[None, :])
        return found


@dataclass(frozen=True)
class Entities:
    """The entities of N rows, in their order; each array of shape (M,).

    Attributes:
        row: Which row one stands in.
        start: Its first word in that row.
        end: The word after its last.
        type: Its type.
    """

    row: np.ndarray
    start: np.ndarray
    end: np.ndarray
    type: np.ndarray

    def among(self, others: Entities) -> np.ndarray:
        """Return which of these are among others too, bool, shape (M,)."""
        return np.isin(self._keys(), others._keys())

    def _keys(self) -> np.ndarray:
        columns = np.stack([self.row, self.start, self.end, self.type], axis=1).astype(np.int64)
        return np.ascontiguousarray(columns).view([("", np.int64)] * 4).reshape(-1)


def entities_of(tags: Ragged, meaning: TagSet) -> Entities:
    """Return the entities of rows of tags.

    Args:
        tags: int64, N rows, numbers of tags.
        meaning: What they mean.
    """
    flat, lengths = tags.whole, tags.lengths
    if not len(flat):
        none = np.zeros(0, np.int64)
        return Entities(none, none, none, none)
    rows = np.repeat(np.arange(len(tags)), lengths)
    first = np.zeros(len(flat), bool)
    first[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
    types = meaning.type_of[flat]
    before = np.concatenate(([-1], types[:-1]))
    goes_on = meaning.goes_on[flat] & (types == before) & ~first
    starts = np.flatnonzero(meaning.begins[flat])
    breaks = np.append(np.flatnonzero(~goes_on), len(flat))
    ends = breaks[np.searchsorted(breaks, starts, side="right")]
    shift = np.repeat(np.cumsum(lengths) - lengths, lengths)[starts]
    return Entities(rows[starts], starts - shift, ends - shift, types[starts])


def decode(scores: Ragged, meaning: TagSet) -> Ragged:
    """Return the likeliest rows of tags among those in which no entity goes on with nothing.

    Args:
        scores: N rows, each (T, K): logits, or logarithms of probabilities.
        meaning: What the tags mean.

    Returns:
        int64, N rows of T tags: the most probable of each word where that is allowed.

    Source:
        A. Viterbi, 1967, IEEE Transactions on Information Theory 13, 260-269, with transitions that
        are allowed or not.
    """
    offsets = scores.offsets - scores.offsets[0]
    if not len(scores.whole):
        return Ragged(np.zeros(0, np.int64), offsets)
    plain = Ragged(scores.whole.argmax(axis=1).astype(np.int64), offsets)
    if not meaning.goes_on.any():
        return plain
    allowed = meaning.allowed()
    odd = _odd_rows(plain, allowed)
    if not len(odd):
        return plain
    steps = np.where(allowed, 0.0, _NEVER)
    wide = scores[odd].padded(0.0).astype(np.float64)
    best, came = steps[-1][None, :] + wide[:, 0], []
    for place in range(1, wide.shape[1]):
        ways = best[:, :, None] + steps[None, :-1]
        came.append(ways.argmax(axis=1))
        best = ways.max(axis=1) + wide[:, place]
    tags = np.zeros(wide.shape[:2], np.int64)
    tags[:, -1] = best.argmax(axis=1)
    for place in range(wide.shape[1] - 1, 0, -1):
        chosen = tags[:, place : place + 1]
        tags[:, place - 1] = np.take_along_axis(came[place - 1], chosen, axis=1)[:, 0]
    flat = plain.flat.copy()
    for number, row in enumerate(odd.tolist()):
        flat[offsets[row] : offsets[row + 1]] = tags[number, : offsets[row + 1] - offsets[row]]
    return Ragged(flat, offsets)


def _odd_rows(tags: Ragged, allowed: np.ndarray) -> np.ndarray:
    """Return the rows in which a tag follows one that it must not follow."""
    flat, lengths = tags.whole, tags.lengths
    before = np.concatenate(([len(allowed) - 1], flat[:-1]))
    firsts = (np.cumsum(lengths) - lengths)[lengths > 0]
    before[firsts] = len(allowed) - 1
    rows = np.repeat(np.arange(len(tags)), lengths)
    return np.unique(rows[~allowed[before, flat]])


def entity_f1(decisions: Ragged, targets: Ragged, meaning: TagSet) -> tuple[float, float]:
    """Return F1 over all entities, and its standard error over sentences.

    Args:
        decisions: int64, N rows.
        targets: The same.
        meaning: What the tags mean.
    """
    hits, wanted, said = _per_row(decisions, targets, meaning)
    both = wanted + said
    total = float(both.sum())
    if not total:
        return 0.0, 0.0
    value = 2.0 * float(hits.sum()) / total
    moved = 2.0 * hits - value * both
    return value, float(np.sqrt((moved**2).sum())) / total


def _per_row(
    decisions: Ragged, targets: Ragged, meaning: TagSet
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each row the entities found, wanted and said, float64, shape (N,)."""
    wanted, said = entities_of(targets, meaning), entities_of(decisions, meaning)
    num = len(targets)
    return (
        np.bincount(wanted.row[wanted.among(said)], minlength=num).astype(np.float64),
        np.bincount(wanted.row, minlength=num).astype(np.float64),
        np.bincount(said.row, minlength=num).astype(np.float64),
    )


def over_all_entities(
    decisions: Ragged, targets: Ragged, meaning: TagSet, groups: Groups | None
) -> dict[str, Figure]:
    """Return F1, precision and recall over all entities, those of a sentence belonging together.

    Args:
        decisions: int64, N rows.
        targets: The same.
        meaning: What the tags mean.
        groups: Which sentences belong together.
    """
    hits, wanted, said = (summed(each, groups) for each in _per_row(decisions, targets, meaning))
    return {
        "f1_entities": f1_of(clustered_share(hits, wanted + said - hits)),
        "precision_entities": clustered_share(hits, said),
        "recall_entities": clustered_share(hits, wanted),
    }


def score_entities(
    probabilities: Ragged,
    decisions: Ragged,
    targets: Ragged,
    meaning: TagSet,
    types: Sequence[str],
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    groups: np.ndarray | None = None,
) -> Scores:
    """Measure rows of tags, every figure with its 95 % interval over sentences.

    Args:
        probabilities: N rows, each (T, K), N at least 1.
        decisions: int64, N rows of T.
        targets: The same.
        meaning: What the K tags mean.
        types: Names of the types of entities.
        seed: Of the bootstrap of the log loss.
        num_resamples: At least 40, or 0 for none.
        groups: Which sentences belong together, shape (N,), or None.

    Returns:
        F1, precision and recall over all entities, F1 in the mean over types, the share of words
        and of whole sentences that are right, log loss a word; and each type's own figures.
    """
    num = len(targets)
    told = as_groups(groups, num)
    wanted, said = entities_of(targets, meaning), entities_of(decisions, meaning)
    pairs = (
        (wanted.type, wanted.row, wanted.among(said)),
        (said.type, said.row, said.among(wanted)),
    )
    sentences = told or Groups(np.arange(num), num)
    counts = count_classes(*pairs, num, meaning.num_types, sentences)
    expected = counts.predicted.astype(np.float64)
    figures = over_all_entities(decisions, targets, meaning, told)
    figures["f1_macro"] = macro_figures(*pairs, counts, expected, num, sentences)["f1_macro"]
    figures |= _of_words(probabilities, decisions, targets, told, (seed, num_resamples))
    per_type = {name: counted_scores(counts, k) for k, name in enumerate(types)}
    return Scores(num, figures, per_type, num_groups=told.num if told else None)


def _of_words(
    probabilities: Ragged,
    decisions: Ragged,
    targets: Ragged,
    groups: Groups | None,
    draws: tuple[int, int],
) -> dict[str, Figure]:
    """Return the shares of words and sentences that are right, and the log loss of a word."""
    num, lengths = len(targets), targets.lengths
    rows = np.repeat(np.arange(num), lengths)
    right = decisions.whole == targets.whole
    right_of = np.bincount(rows[right], minlength=num).astype(np.float64)
    of_target = probabilities.whole[np.arange(len(rows)), targets.whole].astype(np.float64)
    loss = -np.log(np.clip(of_target, _FLOOR, 1.0))
    codes = np.arange(num) if groups is None else groups.codes
    words = Groups(codes[rows], num if groups is None else groups.num)
    seed, num_resamples = draws
    units = unit_sums(loss[None], words, seed)
    mean = studentised_interval(units, plain_mean, num_resamples=num_resamples, seed=seed)
    return {
        "accuracy": clustered_share(summed(right_of, groups), summed(lengths * 1.0, groups)),
        "exact_match": share_of(right_of == lengths, groups),
        "log_loss": within(mean, 0.0, np.inf),
    }
