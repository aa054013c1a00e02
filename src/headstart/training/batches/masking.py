"""Which tokens of a sample are hidden at a step: a pure function of (seed, step, sample).

Nothing has to be saved to resume bit for bit, and neither the number of processes nor the size of
a micro-batch changes what is hidden: a text is hidden the same way in whatever batch it stands.
Hidden are whole units, each a token, or each a word where whole words are asked for. Units are
taken in a random order until their tokens come nearest to the share; the number is rounded at
random, so that the mean over many short texts is the share itself, but never below one token.

Source: masked tokens, Devlin et al., "BERT", NAACL 2019; all of them replaced by [MASK], and a
share above 15 %, Wettig et al., "Should You Mask 15% in Masked Language Modeling?", EACL 2023;
whole words, Cui et al., "Pre-Training with Whole Word Masking for Chinese BERT", TASLP 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.training.options.pretraining_options import Replacement
from headstart.training.randomness import ANY_TOKEN, HIDE, REPLACE, scores

_KEPT, _RANDOM = 0.1, 0.2  # of BERT's: a tenth stays, a tenth becomes any token


@dataclass(frozen=True)
class Masking:
    """How tokens are hidden.

    Attributes:
        share: Of the tokens that may be hidden, above 0 and below 1.
        replacement: ``mask`` puts the mask's id in place of each; ``bert`` of 80 %, any id in
            place of 10 %, and leaves 10 % as they are, which are to be told all the same.
        mask_id: Id of the mask.
        num_ids: Ids that may stand in place of one: those from ``first_id`` to this, excluded.
        first_id: The first id that is no special token.
    """

    share: float
    replacement: Replacement
    mask_id: int
    num_ids: int
    first_id: int


def hidden(
    masking: Masking,
    seed: int,
    step: int,
    ids: np.ndarray,
    lengths: np.ndarray,
    begins: np.ndarray | None = None,
) -> np.ndarray:
    """Return which tokens of some samples are hidden, samples one after the other.

    Args:
        masking: The share.
        seed: The run's seed.
        step: Number of the step.
        ids: int64, shape (B,), the samples' ids.
        lengths: int64, shape (B,), tokens of each; T in all.
        begins: bool, shape (T,), whether a token is the first of a unit, as the first of each
            sample is; None where each is one.

    Returns:
        bool, shape (T,); of each sample that has a token one or more.
    """
    total, num = int(lengths.sum()), len(lengths)
    rows = np.repeat(np.arange(num), lengths)
    units = np.arange(total) if begins is None else np.cumsum(begins) - 1  # of each token
    owners = rows if begins is None else rows[begins]  # of each unit the sample
    counts = np.bincount(owners, minlength=num)
    # one draw a sample for the rounding, then one a unit
    drawn = scores(HIDE, seed, step, np.repeat(ids, counts + 1), places_of(counts + 1))
    first = np.cumsum(counts + 1) - counts - 1
    rounding, drawn = drawn[first], np.delete(drawn, first)
    wanted = np.maximum(1, (masking.share * lengths + rounding).astype(np.int64))
    order = np.lexsort((drawn, owners))  # the owners stay in their order
    sizes = np.bincount(units, minlength=len(owners))[order]
    before = np.cumsum(lengths) - lengths
    # the word that crosses the share is in where more than half of it is below
    is_in = np.cumsum(sizes) - sizes / 2 - before[owners] <= wanted[owners]
    is_in[(np.cumsum(counts) - counts)[counts > 0]] = True
    taken = np.zeros(len(owners), bool)
    taken[order[is_in]] = True
    found: np.ndarray = taken[units]
    return found


def replaced(
    masking: Masking, seed: int, step: int, ids: np.ndarray, places: np.ndarray, told: np.ndarray
) -> np.ndarray:
    """Return what stands in place of hidden tokens.

    Args:
        masking: Says what.
        seed: The run's seed.
        step: Number of the step.
        ids: int64, shape (N,), of each hidden token the id of its sample.
        places: int64, shape (N,), and its place there.
        told: Integer, shape (N,), what it is.

    Returns:
        Shape (N,), of the kind of ``told``.
    """
    if masking.replacement == "mask":
        return np.full_like(told, masking.mask_id)
    which = scores(REPLACE, seed, step, ids, places)
    other = scores(ANY_TOKEN, seed, step, ids, places)
    any_id = masking.first_id + (other * (masking.num_ids - masking.first_id)).astype(np.int64)
    seen = np.where(which < _KEPT, told, np.where(which < _RANDOM, any_id, masking.mask_id))
    return seen.astype(told.dtype)


def places_of(counts: np.ndarray) -> np.ndarray:
    """Return 0, 1, … of each of several rows of these lengths, one row after the other."""
    total = int(counts.sum())
    found: np.ndarray = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    return found
