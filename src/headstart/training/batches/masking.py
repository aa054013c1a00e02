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
    masking: Masking, seed: int, step: int, ids: np.ndarray, units: list[np.ndarray]
) -> list[np.ndarray]:
    """Return which tokens of some samples are hidden.

    Args:
        masking: The share.
        seed: The run's seed.
        step: Number of the step.
        ids: int64, shape (B,), the samples' ids.
        units: Of each sample the number of the unit that each token belongs to, int64, (T,),
            rising from 0.

    Returns:
        Of each sample the places of its hidden tokens, int64, rising; never empty where there is
        a token.
    """
    lengths = np.array([len(each) for each in units], np.int64)
    counts = np.array([each[-1] + 1 if len(each) else 0 for each in units], np.int64)
    # one draw a sample for the rounding, then one a unit
    drawn = scores(HIDE, seed, step, np.repeat(ids, counts + 1), _places(counts + 1))
    found = []
    begin = 0
    for length, count, unit in zip(lengths.tolist(), counts.tolist(), units, strict=True):
        rounding, order = drawn[begin], np.argsort(drawn[begin + 1 : begin + 1 + count])
        begin += count + 1
        wanted = max(1, int(masking.share * length + rounding))
        sizes = np.bincount(unit, minlength=count)[order]
        # the word that crosses the share is in where more than half of it is below
        is_in = np.cumsum(sizes) - sizes / 2 <= wanted
        is_in[:1] = True
        taken = np.zeros(count, bool)
        taken[order[is_in]] = True
        found.append(np.flatnonzero(taken[unit]))
    return found


def replaced(
    masking: Masking, seed: int, step: int, sample_id: int, tokens: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Return the tokens of a sample as a network sees them.

    Args:
        masking: What stands in place of hidden tokens.
        seed: The run's seed.
        step: Number of the step.
        sample_id: Of the sample.
        tokens: Integer, shape (T,).
        places: Of the hidden ones.
    """
    seen = tokens.copy()
    if masking.replacement == "mask":
        seen[places] = masking.mask_id
        return seen
    which = scores(REPLACE, seed, step, np.full(len(places), sample_id), places)
    other = scores(ANY_TOKEN, seed, step, np.full(len(places), sample_id), places)
    any_id = masking.first_id + (other * (masking.num_ids - masking.first_id)).astype(np.int64)
    seen[places] = np.where(
        which < _KEPT, tokens[places], np.where(which < _RANDOM, any_id, masking.mask_id)
    )
    return seen


def _places(counts: np.ndarray) -> np.ndarray:
    """Return 0, 1, … of each of several rows of these lengths, one row after the other."""
    total = int(counts.sum())
    found: np.ndarray = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    return found
