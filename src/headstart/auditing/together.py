"""Which samples belong together, as far as is known: as the user says, as copies, as near copies.

What belongs together stands in one fold of a probe, so that copies never vouch for one another and
photos of one animal do not tell of each other, and counts once in intervals and tests. Left out:
groups that an audit only suspects (``group_leaks``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.auditing.audit import AuditTools
from headstart.auditing.pool import SPLITS, Pool
from headstart.data.copies import connected
from headstart.types import Dataset, SplitName


def together_of(dataset: Dataset, pool: Pool, tools: AuditTools) -> np.ndarray | None:
    """Return a number for what each sample of a pool belongs to; None where each stands alone.

    Args:
        dataset: The data.
        pool: N samples of it.
        tools: With the near copies that were found.

    Returns:
        int64, shape (N,), the same for samples that belong together, or None.
    """
    numbers = [len(dataset.split(name)) for name in SPLITS]
    starts = dict(zip(SPLITS, np.cumsum([0, *numbers[:-1]]).tolist(), strict=True))
    found = _joined(None if dataset.alike_by_chance else _all(dataset, "contents"), None)
    found = _joined(found, _all(dataset, "groups"))
    found = _joined(found, _near(starts, sum(numbers), tools))
    if found is None:
        return None
    offsets = np.array([starts[name] for name in pool.names], np.int64)
    chosen = found[offsets[pool.splits] + pool.places]
    codes = np.unique(chosen, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return None if codes.max(initial=-1) + 1 == len(codes) else codes


def together_in(
    dataset: Dataset, name: SplitName, places: np.ndarray, tools: AuditTools
) -> np.ndarray | None:
    """Return the same of some samples of one split.

    Args:
        dataset: The data.
        name: The split.
        places: int64, shape (N,), their indices there.
        tools: With the near copies that were found.
    """
    return together_of(dataset, Pool((name,), np.zeros(len(places), np.int64), places), tools)


def one_of_each(groups: np.ndarray | None, number: int, seed: int) -> np.ndarray:
    """Return the places of one sample of each group, drawn at random; all where none has two.

    What a test counts must not hang together: a hundred photos of one animal are one animal.

    Args:
        groups: int64, shape (N,), or None.
        number: N.
        seed: Of the draw.
    """
    if groups is None:
        return np.arange(number)
    order = np.random.default_rng(seed).permutation(number)
    first = np.unique(groups[order], return_index=True)[1]
    return np.sort(order[first])


def variance_of_sum(parts: np.ndarray, groups: np.ndarray | None) -> float:
    """Return the variance of a sum of parts of mean zero, those of a group taken as one.

    Args:
        parts: Shape (N,).
        groups: int64, shape (N,), or None.
    """
    if groups is not None:
        parts = np.bincount(groups, weights=parts)
    return float((parts**2).sum())


def _all(dataset: Dataset, what: str) -> np.ndarray | None:
    """Return contents or groups of all samples as numbers, or None where a split has none."""
    parts = [getattr(dataset.split(name), what) for name in SPLITS]
    if any(part is None for part in parts):
        return None
    codes = np.unique(np.concatenate(parts), return_inverse=True)[1]
    return codes.reshape(-1).astype(np.int64)


def _near(starts: dict[SplitName, int], number: int, tools: AuditTools) -> np.ndarray | None:
    """Return the near copies as numbers, or None where there are none."""
    if not tools.near_copies:
        return None
    found = np.arange(number)
    for copies in tools.near_copies:  # a sample may stand in several
        own = np.arange(number)
        for members in copies:
            places = [starts[spot.split] + spot.index for spot in members]
            own[places] = places[0]
        found = connected(found, own)
    return found


def _joined(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    if first is None or second is None:
        return second if first is None else first
    return connected(first, second)


def is_one(groups: Sequence[int] | np.ndarray | None) -> bool:
    """Return whether everything belongs together: then nothing can be learned from others."""
    return groups is not None and len(np.unique(np.asarray(groups))) < 2
