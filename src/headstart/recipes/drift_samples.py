"""Samples of a run's own data that it has not learned from: what new ones are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from headstart.events import emit
from headstart.recipes.run import Run

if TYPE_CHECKING:
    from headstart.monitoring import HeldOut
    from headstart.types import Dataset, Inputs, SplitName

_ENOUGH = 500  # of test, which nothing was chosen by; below, val is taken, too


def find_held_out(run: Run, dataset: Dataset) -> HeldOut | None:
    """Return up to a thousand samples of test, and of val where test is small.

    Args:
        run: The run.
        dataset: Its own data.

    Returns:
        None where there are too few; that is told.
    """
    from headstart.monitoring import LEAST, MOST_HELD_OUT, HeldOut

    sides: list[SplitName] = ["test"]
    if len(dataset.test) < _ENOUGH:
        sides.append("val")
    parts: list[list[Inputs]] = []
    counts: list[str] = []
    groups: list[np.ndarray | None] = []
    for side in sides:
        split = dataset.split(side)
        room = MOST_HELD_OUT - sum(len(part[0]) for part in parts)
        if not len(split) or room <= 0:
            continue
        places = np.sort(np.random.default_rng(0).permutation(len(split))[:room])
        inputs = _read_by_all(run, dataset, side, places)
        parts.append(inputs)
        counts.append(f"{len(inputs[0]):,} {side}")
        groups.append(split.groups_of(inputs[0].ids))
    num = sum(len(part[0]) for part in parts)
    if num < LEAST:
        text = (
            f"The bundle has no drift reference: {num} samples were held out, expected at least "
            f"{LEAST}. It can be served, and not monitored."
        )
        emit("note", text=text)
        return None
    together = None if any(one is None for one in groups) else _apart(groups)
    return HeldOut(parts, together, f"{' and '.join(counts)} samples of the run's data")


def _read_by_all(run: Run, dataset: Dataset, side: SplitName, places: np.ndarray) -> list[Inputs]:
    """Return samples as each member takes them, without those that one cannot read."""
    inputs = run.ensemble.prepare(dataset, side, places)
    bad = {one.name for given in inputs for one in given.bad_samples}
    if not bad or len({len(places), *map(len, inputs)}) == 1:
        return inputs
    samples = dataset.split(side).samples
    good = [int(place) for place in places if samples.name(int(place)) not in bad]
    return run.ensemble.prepare(dataset, side, np.array(good, np.int64))


def _apart(groups: Sequence[np.ndarray | None]) -> np.ndarray:
    """Return groups of several splits as numbers of which no two splits share one."""
    found, begin = [], 0
    for one in groups:
        assert one is not None
        _, places = np.unique(one, return_inverse=True)
        found.append(places + begin)
        begin += int(places.max(initial=-1)) + 1
    return np.concatenate(found)
