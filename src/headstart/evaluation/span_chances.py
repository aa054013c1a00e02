"""How probable each entity is that is told of a text, and how far that may be believed.

A network tells of each word how probable each tag is. Taken as a distribution over whole rows of
tags, of which those are left out in which an entity goes on with nothing, the probability of an
entity is the mass of all rows that hold exactly it: that begins there, is of that type, and ends
there. It is computed by the forward–backward recursion, and not by what single words say: the least
sure word is neither a bound nor an estimate of it.

Words of a name are right or wrong together more often than such a product says. So val's entities
tell, once, to which power the probability is raised: one number, which keeps their order. No val
makes sure of everything: targets are those of Platt, as far from 0 and 1 as the numbers of
entities allow.

Source:
    L. R. Rabiner, 1989, Proceedings of the IEEE 77, 257-286 (forward–backward); J. Platt, 1999,
    "Probabilistic outputs for support vector machines", for the targets.
"""

from __future__ import annotations

import numpy as np

from headstart.evaluation.entities import Entities, TagSet
from headstart.types.ragged import Ragged

_AT_ONCE = 1_000_000  # numbers of texts that are padded to the longest of them
_LEAST = 1e-12
_POWERS = (0.02, 50.0)
_FEWEST = 10  # entities of val; fewer say nothing of how sure they should be


def span_chances(probabilities: Ragged, found: Entities, meaning: TagSet) -> np.ndarray:
    """Return the probability of each entity.

    Args:
        probabilities: N rows, each (T, K), of each word's tags.
        found: Entities of these rows, M of them, in the order of rows.
        meaning: What the tags mean.

    Returns:
        float64, shape (M,).
    """
    chances = np.ones(len(found.row), np.float64)
    rows = np.unique(found.row)
    widths = probabilities.lengths[rows] * probabilities.flat.shape[1]
    by_length = np.argsort(widths, kind="stable")
    begin = 0
    while begin < len(rows):
        sizes = widths[by_length[begin:]] * np.arange(1, len(rows) - begin + 1)
        num = max(1, int(np.searchsorted(sizes, _AT_ONCE, side="right")))
        lot = np.sort(rows[by_length[begin : begin + num]])
        places = np.flatnonzero(np.isin(found.row, lot))
        own = np.searchsorted(lot, found.row[places])
        some = Entities(own, found.start[places], found.end[places], found.type[places])
        chances[places] = _of_some(probabilities[lot], some, meaning)
        begin += num
    return chances


def _of_some(rows: Ragged, found: Entities, meaning: TagSet) -> np.ndarray:
    """Return the same of few rows, padded to the longest."""
    wide, lengths = rows.padded(0.0).astype(np.float64), rows.lengths
    if not meaning.goes_on.any():  # each word by itself
        of_words: np.ndarray = wide[found.row, found.start, found.type]
        return of_words
    follows = meaning.allowed().astype(np.float64)
    masses = _masses(wide, follows)
    behind = _behind(wide, follows, masses, lengths)
    begins, goes_on = np.flatnonzero(meaning.begins), np.flatnonzero(meaning.goes_on)
    first = begins[np.argsort(meaning.type_of[begins])][found.type]
    then = goes_on[np.argsort(meaning.type_of[goes_on])][found.type]
    shares = wide / masses[:, :, None]
    chances = shares[found.row, found.start, first]
    reach = found.end - found.start
    for step in range(1, int(reach.max(initial=1))):
        longer = np.flatnonzero(reach > step)
        at = (found.row[longer], found.start[longer] + step, then[longer])
        chances[longer] *= shares[at]
    # what comes next is anything that may follow, but for going on
    is_inner = found.end < lengths[found.row]
    row, end = found.row[is_inner], found.end[is_inner]
    last = np.where(reach == 1, first, then)[is_inner]
    may = follows[last].copy()
    may[np.arange(len(may)), then[is_inner]] = 0.0
    chances[is_inner] *= (may * shares[row, end] * behind[row, end]).sum(axis=1)
    clipped: np.ndarray = np.clip(chances, 0.0, 1.0)
    return clipped


def _masses(wide: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """Return the mass of what may stand at each word, given all words before it, shape (N, T)."""
    masses = np.ones(wide.shape[:2], np.float64)
    before = np.broadcast_to(follows[-1], (len(wide), wide.shape[2])).copy()
    for place in range(wide.shape[1]):
        here = wide[:, place] * before
        masses[:, place] = np.maximum(here.sum(axis=1), _LEAST)
        before = (here / masses[:, place, None]) @ follows[:-1]
    return masses


def _behind(
    wide: np.ndarray, follows: np.ndarray, masses: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Return what the words behind each make of each of its tags, shape (N, T, K)."""
    behind = np.ones_like(wide)
    for place in range(wide.shape[1] - 2, -1, -1):
        later = wide[:, place + 1] * behind[:, place + 1] / masses[:, place + 1, None]
        is_inner = (place + 1 < lengths)[:, None]
        behind[:, place] = np.where(is_inner, later @ follows[:-1].T, 1.0)
    return behind


def tune_power(chances: np.ndarray, is_right: np.ndarray) -> float | None:
    """Return the power of probabilities that makes them mean what they say, on val.

    Args:
        chances: Of M entities, in [0, 1].
        is_right: bool, shape (M,), whether each is one.

    Returns:
        Above 0; None where there are fewer than ten entities, which tell nothing.
    """
    from scipy.optimize import minimize_scalar

    num, right = len(chances), int(is_right.sum())
    if num < _FEWEST:
        return None
    targets = np.where(is_right, (right + 1) / (right + 2), 1 / (num - right + 2))
    logs = np.log(np.clip(chances, _LEAST, 1.0))

    def loss(log_power: float) -> float:
        told = np.exp(np.exp(log_power) * logs)
        kept = np.clip(told, _LEAST, 1 - _LEAST)
        return float(-(targets * np.log(kept) + (1 - targets) * np.log1p(-kept)).mean())

    low, high = np.log(_POWERS)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))
