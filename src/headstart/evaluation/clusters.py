"""What whole groups of items can tell: photos of 13 animals are 13 animals, not 78 photos.

Items of one group are alike, so that a figure knows less than its number of items says. Three
means, and none of them changes a value, only its interval and its p:

- a proportion takes the exact interval (``shares.py``) on an *effective* number of items: as many
  independent ones as would spread as much as the groups do, cut once more because few groups tell
  little of how much groups spread (Student's t with one degree less than there are groups);
- a bootstrapped figure draws groups;
- a paired test lets whole groups change sides.

Source:
    Effective numbers: E. L. Korn and B. I. Graubard, 1998, Survey Methodology 24, 193-201.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.intervals import Z95

ALL_FLIPS = 12  # groups of which every choice of sides is looked at: 4,096
NUM_FLIPS = 10_000
MOST_FLIPPED = 2_000  # groups that change sides one by one


@dataclass(frozen=True)
class Groups:
    """Which items belong together.

    Attributes:
        codes: int64, shape (N,), in [0, num).
        num: How many groups there are.
    """

    codes: np.ndarray
    num: int

    def among(self, chosen: np.ndarray) -> int:
        """Return how many groups the chosen items, a mask, are of."""
        return len(np.unique(self.codes[chosen]))

    def effective(self, hits: np.ndarray) -> float:
        """Return as how many independent items N items count, by what they have right."""
        rows = np.zeros(len(hits), np.int64)
        return float(effective_numbers(rows, hits, self.codes, 1)[0])


def as_groups(groups: np.ndarray | None, num_items: int) -> Groups | None:
    """Return groups by number; None where there are none, or each item is a group of its own.

    Args:
        groups: Whole numbers, shape (N,), the same for items that belong together.
        num_items: N.

    Raises:
        OptionError: Another shape or type.
    """
    if groups is None:
        return None
    told = np.asarray(groups)
    if told.shape != (num_items,) or not np.issubdtype(told.dtype, np.integer):
        raise OptionError(
            f"groups are {told.dtype} of shape {told.shape}, expected whole numbers of shape "
            f"({num_items},): one for each item, the same for items that belong together."
        )
    found, codes = np.unique(told, return_inverse=True)
    if len(found) == num_items:
        return None
    return Groups(codes.reshape(-1).astype(np.int64), len(found))


def effective_numbers(
    rows: np.ndarray, hits: np.ndarray, codes: np.ndarray, num_rows: int
) -> np.ndarray:
    """Return as how many independent trials those of each row count.

    Args:
        rows: int64, shape (M,), which of the proportions a trial belongs to.
        hits: bool, shape (M,), whether it is a success.
        codes: int64, shape (M,), its group.
        num_rows: How many proportions there are.

    Returns:
        float64, shape (num_rows,): at most the number of trials; the number of groups where all
        trials succeed or all fail, one where a single group has both; 0 without trials.
    """
    from scipy.stats import t

    trials = np.bincount(rows, minlength=num_rows).astype(np.float64)
    right = np.bincount(rows, weights=hits, minlength=num_rows).astype(np.float64)
    rate = np.divide(right, trials, out=np.zeros(num_rows), where=trials > 0)
    width = int(codes.max(initial=0)) + 1
    pairs, pair_of = np.unique(rows * width + codes, return_inverse=True)
    row_of, pair_of = pairs // width, pair_of.reshape(-1)
    inside = np.bincount(pair_of, minlength=len(pairs))
    right_inside = np.bincount(pair_of, weights=hits, minlength=len(pairs))
    squares = (right_inside - rate[row_of] * inside) ** 2
    num_groups = np.bincount(row_of, minlength=num_rows).astype(np.float64)
    spread = np.bincount(row_of, weights=squares, minlength=num_rows).astype(np.float64)
    several = num_groups > 1
    spread *= np.divide(num_groups, num_groups - 1, out=np.ones(num_rows), where=several)
    simple = rate * (1.0 - rate) * trials**2
    independent = np.divide(simple, spread, out=trials.copy(), where=spread > 0)
    few = np.ones(num_rows)
    few[several] = (Z95 / t.ppf(0.975, num_groups[several] - 1)) ** 2
    found = np.minimum(trials, independent) * few
    is_still = (right == 0) | (right == trials)
    return np.where(is_still, num_groups, np.where(several, found, np.minimum(trials, 1.0)))


def flip_p_value(changes: np.ndarray, groups: Groups, seed: int) -> float:
    """Return how often groups that change sides at random differ as much: two-sided.

    Args:
        changes: float64, shape (N,), what each item gains.
        groups: Which items belong together.
        seed: Of the choice of sides, where there are too many to look at all.
    """
    sums = np.bincount(groups.codes, weights=changes, minlength=groups.num)
    if groups.num > MOST_FLIPPED:  # blocks of groups change sides: as valid, and bounded
        blocks = np.random.default_rng(seed).permutation(groups.num) % MOST_FLIPPED
        sums = np.bincount(blocks, weights=sums, minlength=MOST_FLIPPED)
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0
    seen = abs(float(sums.sum())) - 1e-9 * float(np.abs(sums).sum())
    if len(sums) <= ALL_FLIPS:
        sides = np.array(list(product((-1.0, 1.0), repeat=len(sums))))
        return float((np.abs(sides @ sums) >= seen).mean())
    rng, as_much = np.random.default_rng(seed), 0
    for _ in range(10):
        sides = rng.integers(0, 2, size=(NUM_FLIPS // 10, len(sums))) * 2.0 - 1.0
        as_much += int((np.abs(sides @ sums) >= seen).sum())
    return (as_much + 1) / (NUM_FLIPS + 1)
