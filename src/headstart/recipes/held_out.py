"""Which samples are held out where somebody else measures: a few, and none of a class's last."""

from __future__ import annotations

from typing import Any

import numpy as np

_LEAST = 3  # samples of a class of which some may be held out


def hold_out(
    y: np.ndarray, draw: Any, val_fraction: float, test_fraction: float, *, is_exclusive: bool
) -> dict[str, np.ndarray]:
    """Return which samples are train, val and test; every class keeps one in train.

    Args:
        y: Targets, shape (N,); classes as numbers.
        draw: A ``numpy.random.RandomState``.
        val_fraction: Share that becomes val.
        test_fraction: Share that becomes test.
        is_exclusive: Whether targets are classes.

    Returns:
        Places in ``y`` by split, each sorted.

    Raises:
        ValueError: If there are too few.
    """
    order = draw.permutation(len(y))
    groups = [order[y[order] == k] for k in np.unique(y)] if is_exclusive else [order]
    shares = {"val": val_fraction, "test": test_fraction}
    held: dict[str, list[np.ndarray]] = {side: [] for side in shares}
    for group in groups:
        rest = group[1:] if len(group) >= _LEAST else group[:0]
        for side, share in shares.items():
            # what is between two whole numbers is drawn, so that small classes are not all left out
            number = min(int(len(group) * share + draw.uniform()), len(rest))
            held[side].append(rest[:number])
            rest = rest[number:]
    found = {side: np.concatenate(parts) for side, parts in held.items()}
    largest = max(groups, key=len)
    for side in shares:  # each holds one sample at the least
        if not len(found[side]):
            others = np.concatenate(list(found.values()))
            free = [place for place in largest[1:] if place not in others]
            found[side] = np.asarray(free[:1], np.int64)
    held_out = np.concatenate(list(found.values()))
    train = np.setdiff1d(np.arange(len(y)), held_out)
    if not all(map(len, found.values())) or len(train) < 2:
        raise ValueError(
            f"n_samples = {len(y)}: too few to hold one out for val and one for test; expected "
            f"{_LEAST} of a class at the least. Give more."
        )
    return {"train": train, **{side: np.sort(places) for side, places in found.items()}}
