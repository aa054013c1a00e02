"""Where a model is worse: parts of the test items, judged as honestly as many looks allow.

Of forty parts that are looked at, two are worse by chance. So the p of each is that of the worst of
all parts (Westfall and Young): how often, if no part differed, the worst of them would look as bad.
And each figure has an interval that holds together with all the others.

Parts overlap, are as small as twenty items, and are of one column each. Deliberately left out:
crossings of two columns, of which there are too many to say anything of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.cells import is_missing
from headstart.evaluation.clusters import Groups
from headstart.evaluation.paired import units_of
from headstart.evaluation.shares import exact_ends
from headstart.types import Figure

MIN_ITEMS = 20
MAX_VALUES = 12  # of a column that is told by its values; more are told as four quarters
NUM_DRAWS = 2_000
_MAX_MIXED = 5_000  # items that are mixed one by one
_BLOCK = 50


@dataclass(frozen=True)
class Slice:
    """A part of the test items.

    Attributes:
        column: What it is told by.
        value: Which part: a value, or a range of numbers.
        num_items: How many.
        figure: The mean in it; 95 % of the time all intervals of all parts hold.
        rest: The mean of all other items.
        p_value: How often the worst of all parts would be as bad if none differed.
    """

    column: str
    value: str
    num_items: int
    figure: Figure
    rest: float
    p_value: float


def parts_of(values: Sequence[object]) -> list[tuple[str, np.ndarray]]:
    """Return the parts of a column: its values, or four quarters of its numbers or days.

    Args:
        values: One an item; a missing one is a part of its own.

    Returns:
        What each part is called, and which items are in it, bool, shape (N,). Those with fewer than
        twenty items, or all but so few, are left out.
    """
    missing = np.array([is_missing(value) for value in values], bool)
    known = [value for value, gone in zip(values, missing, strict=True) if not gone]
    found: list[tuple[str, np.ndarray]] = [("missing", missing)]
    is_ordered = bool(known) and not any(isinstance(value, str | bool) for value in known)
    texts = np.array(["" if gone else str(v) for v, gone in zip(values, missing, strict=True)])
    names, first, counts = np.unique(texts[~missing], return_index=True, return_counts=True)
    if is_ordered and len(names) > MAX_VALUES:
        found += _quarters(known, missing)
    else:
        most = np.argsort(-counts, kind="stable")[:MAX_VALUES]
        shown = [_told(known[k]) for k in first]
        if len(set(shown)) < len(shown):  # numbers that differ far behind the point
            shown = names.tolist()
        found += [(shown[k], (texts == names[k]) & ~missing) for k in most]
    fewest = MIN_ITEMS
    return [(n, m) for n, m in found if fewest <= int(m.sum()) <= len(missing) - fewest]


def _quarters(known: Sequence[object], missing: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return four parts of ordered values, as equal in size as ties allow."""
    ordered = sorted(known)  # type: ignore[type-var]
    cuts = [ordered[len(ordered) * k // 4] for k in (1, 2, 3)]
    ranks = np.full(len(missing), -1)
    ranks[~missing] = [sum(value >= cut for cut in cuts) for value in known]  # type: ignore[operator]
    ends = [ordered[0], *cuts, ordered[-1]]
    return [
        (f"{_told(ends[k])} to {'' if k == 3 else 'below '}{_told(ends[k + 1])}", ranks == k)
        for k in range(4)
    ]


def _told(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e10 else f"{value:.4g}"


def judge_slices(
    errors: np.ndarray,
    parts: Mapping[str, Sequence[tuple[str, np.ndarray]]],
    *,
    is_share: bool,
    groups: Groups | None = None,
    seed: int = 0,
) -> list[Slice]:
    """Return every part with its figure, the surest to be worse first.

    Args:
        errors: How wrong each item is, shape (N,): 0 or 1 of a share, else any size.
        parts: Of each column, as ``parts_of`` gives them.
        is_share: Whether the figure told is the share that is right; else the mean error.
        groups: Which items belong together.
        seed: Of the draws.

    Source:
        P. H. Westfall and S. S. Young, 1993, Resampling-Based Multiple Testing, section 2.6 (single
        step); with groups by Rademacher's multipliers.
    """
    listed = [(column, value, mask) for column, each in parts.items() for value, mask in each]
    if not listed:
        return []
    masks = [mask for _, _, mask in listed]
    excess, spread, worst = _scores(masks, errors - errors.mean(), groups, seed)
    scores = np.divide(excess, spread, out=np.zeros(len(excess)), where=spread > 0)
    tail = 0.025 / len(listed)
    found = []
    for (column, value, mask), score in zip(listed, scores.tolist(), strict=True):
        inside, outside = errors[mask], errors[~mask]
        figure = _mean_figure(inside, mask, groups, tail, is_share=is_share)
        rest = 1.0 - float(outside.mean()) if is_share else float(outside.mean())
        p_value = (1 + int(np.count_nonzero(worst >= score - 1e-9))) / (len(worst) + 1)
        found.append(Slice(column, value, int(mask.sum()), figure, rest, p_value))
    order = sorted(range(len(found)), key=lambda k: (found[k].p_value, -scores[k]))
    return [found[k] for k in order]


def _scores(
    masks: Sequence[np.ndarray], centred: np.ndarray, groups: Groups | None, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the excess of each part, its spread by chance, and the worst score of each draw."""
    rng, num = np.random.default_rng(seed), len(centred)
    sizes = np.array([mask.sum() for mask in masks], np.float64)
    excess = np.array([centred[mask].sum() for mask in masks])
    if groups is None and num <= _MAX_MIXED:
        spread = float(centred.std()) * np.sqrt(sizes * (1.0 - sizes / num))
        whole, drawn = np.stack(masks).astype(np.float32), []
        for _ in range(0, NUM_DRAWS, _BLOCK):
            mixed = rng.permuted(np.tile(centred.astype(np.float32), (_BLOCK, 1)), axis=1)
            drawn.append(whole @ mixed.T)
        found = np.concatenate(drawn, axis=1).astype(np.float64)
    else:
        of_units = _by_unit(masks, centred, units_of(num, groups, seed))
        spread = np.sqrt((of_units**2).sum(axis=1))
        found = of_units @ (rng.integers(0, 2, size=(of_units.shape[1], NUM_DRAWS)) * 2.0 - 1.0)
    column = spread[:, None]
    scaled = np.divide(found, column, out=np.zeros_like(found), where=column > 0)
    return excess, spread, scaled.max(axis=0)


def _by_unit(masks: Sequence[np.ndarray], centred: np.ndarray, units: Groups) -> np.ndarray:
    """Return the excess of each part, shape (M, U), by what is independent."""
    # what the overall mean takes back: a part of all items has no excess
    whole = np.bincount(units.codes, weights=centred, minlength=units.num)
    rows = [
        np.bincount(units.codes[mask], weights=centred[mask], minlength=units.num)
        - mask.mean() * whole
        for mask in masks
    ]
    return np.stack(rows)


def _mean_figure(
    errors: np.ndarray, mask: np.ndarray, groups: Groups | None, tail: float, *, is_share: bool
) -> Figure:
    """Return the figure of one part, its ends as far out as several looks ask for."""
    own = None if groups is None else _own_groups(groups, mask)
    value = float(errors.mean())
    if is_share:
        right = errors == 0
        number = float(len(right)) if own is None else own.effective(right)
        share = float(right.mean())
        low, high = exact_ends(np.array([share * number]), np.array([number]), tail)
        return Figure(share, min(share, float(low[0])), max(share, float(high[0])))
    from scipy.stats import t

    units = own if own is not None else Groups(np.arange(len(errors)), len(errors))
    if units.num < 2:
        return Figure(value, math.nan, math.nan)
    sums = np.bincount(units.codes, weights=errors - value, minlength=units.num)
    error = math.sqrt(float((sums**2).sum()) * units.num / (units.num - 1)) / len(errors)
    reach = float(t.ppf(1.0 - tail, units.num - 1)) * error
    return Figure(value, max(0.0, value - reach), value + reach)


def _own_groups(groups: Groups, mask: np.ndarray) -> Groups:
    """Return the groups of a part's items alone."""
    found, codes = np.unique(groups.codes[mask], return_inverse=True)
    return Groups(codes.reshape(-1), len(found))
