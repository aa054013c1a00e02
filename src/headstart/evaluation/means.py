"""Intervals of means over items, and of what is made of them: log loss, MAE, RMSE, R² ...

The errors of a model are skewed: most are small, a few large, and a sample of fifty may hold none
of the large ones. Percentiles of resampled means are then too low. Resampled is therefore how many
standard errors a mean lies from its own (the studentised bootstrap).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headstart.evaluation.clusters import Groups
from headstart.evaluation.paired import unit_draws, units_of
from headstart.types import Figure

TAIL = 0.02  # of draws beyond each end: what studentised intervals lack of 95 % at 50 items
_OUTERMOST = 0.003
_PER_SKEWNESS = 0.04
_PER_UNIT = 0.08  # of twelve groups the draws have lighter tails than such groups
_ENOUGH_WRONG = 10
MOST_LOG = 700.0  # whose exponential is still a number
_FARTHEST = 20.0  # standard errors: beyond, a resample has met nothing of what moves the figure
Smooth = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class UnitSums:
    """What is known of N items, summed up by what is independent: items, groups, or blocks.

    Attributes:
        sums: Shape (S, U), S quantities of U units; the first counts items.
    """

    sums: np.ndarray

    @property
    def num(self) -> int:
        """How many units there are."""
        return int(self.sums.shape[1])


def unit_sums(quantities: np.ndarray, groups: Groups | None, seed: int) -> UnitSums:
    """Sum up quantities of items.

    Args:
        quantities: Shape (S, N).
        groups: Which items belong together.
        seed: Of blocks, where units are many.
    """
    units = units_of(quantities.shape[1], groups, seed)
    rows = np.vstack((np.ones(quantities.shape[1]), quantities))
    sums = [np.bincount(units.codes, weights=row, minlength=units.num) for row in rows]
    return UnitSums(np.stack(sums))


def studentised_interval(
    units: UnitSums, smooth: Smooth, *, num_resamples: int, seed: int
) -> Figure:
    """Return a smooth function of means with its 95 % interval.

    The more skewed the influences of units are, the less a sample tells of what is rare, and the
    further out the ends are read: at 2 % where they are even, at 0.3 % where a few are all. So it
    is where units are few: at 1.3 % of twelve groups, at 1.8 % of fifty items.

    Args:
        units: The sums.
        smooth: From means, shape (S, R), the first being 1, to the figure, shape (R,), and its
            gradient by each mean, shape (S, R); not finite where it is undefined.
        num_resamples: At least 40, or 0: then both ends are unknown.
        seed: Of the draws.

    Source:
        B. Efron and R. Tibshirani, 1993, An Introduction to the Bootstrap, section 12.5; P. Hall,
        1988, Annals of Statistics 16, 927-953, on why it is even for skewed data. How far out the
        ends are read was chosen by simulation (``benchmarks/coverage.py``).
    """
    sums = units.sums
    value, influences = _influences(sums, smooth)
    error = math.sqrt(float((influences**2).sum()) * units.num / max(units.num - 1, 1))
    if num_resamples == 0 or units.num < 2 or not error > 1e-12 * abs(value):
        return Figure(value, math.nan, math.nan)
    drawn = []
    for weights in unit_draws(units.num, num_resamples, seed):
        values, errors = _with_error(sums, weights.astype(np.float64), smooth)
        with np.errstate(all="ignore"):
            far = (values - value) / errors
        drawn.append(np.where(np.isnan(far), 0.0, np.clip(far, -_FARTHEST, _FARTHEST)))
    tail = _tail(influences)
    low, high = map(float, np.quantile(np.concatenate(drawn), (tail, 1.0 - tail)))
    return Figure(value, min(value, value - high * error), max(value, value - low * error))


def _influences(sums: np.ndarray, smooth: Smooth) -> tuple[float, np.ndarray]:
    """Return a figure, and by how much each unit moves it, shape (U,)."""
    number = sums[0].sum()
    means = sums.sum(axis=1, keepdims=True) / number
    value, gradient = smooth(means)
    moved: np.ndarray = (gradient * (sums - means * sums[0])).sum(axis=0) / number
    return float(value[0]), moved


def _tail(influences: np.ndarray) -> float:
    """Return the quantile at which an end is read, by number and skewness of units' influences."""
    spread, even = float(influences.std()), TAIL - _PER_UNIT / len(influences)
    if not spread > 0:
        return max(_OUTERMOST, even)
    skewness = float((((influences - influences.mean()) / spread) ** 3).mean())
    return max(_OUTERMOST, even - _PER_SKEWNESS * abs(skewness) / math.sqrt(len(influences)))


def _with_error(
    sums: np.ndarray, weights: np.ndarray, smooth: Smooth
) -> tuple[np.ndarray, np.ndarray]:
    """Return a figure under weights of units, shape (U, R), and its standard error, each (R,)."""
    total = sums @ weights
    number = total[0]
    means = total / number
    value, gradient = smooth(means)
    num_units = weights.sum(axis=0)
    # the influence of a unit is gradient · (its sums - means · its items): its square, summed
    with np.errstate(all="ignore"):  # a draw of targets that are all equal has no R²
        centred = gradient.copy()
        centred[0] -= (gradient * means).sum(axis=0)
        variance = np.einsum("sr,tr,str->r", centred, centred, _products(sums, weights))
        inflate = num_units / np.maximum(num_units - 1.0, 1.0)
        return value, np.sqrt(np.maximum(variance, 0.0) * inflate) / number


def _products(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted sums of products of each two quantities, shape (S, S, R)."""
    num = len(sums)
    pairs = (sums[:, None] * sums[None]).reshape(num * num, -1)
    found: np.ndarray = (pairs @ weights).reshape(num, num, -1)
    return found


def plain_mean(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the second of the means, and its gradient."""
    gradient = np.zeros_like(means)
    gradient[1] = 1.0
    return means[1], gradient


def ratio_figure(
    above: np.ndarray, below: np.ndarray, groups: Groups | None, seed: int, num_resamples: int
) -> Figure:
    """Return the sum of one quantity of N texts over that of another, with its interval.

    Args:
        above: Shape (N,).
        below: Shape (N,), not negative, some above 0.
        groups: Which texts belong together.
        seed: Seed of the draws.
        num_resamples: At least 40, or 0 for no interval.
    """

    def smooth(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            value = means[1] / means[2]
            gradient = np.stack([np.zeros_like(value), 1 / means[2], -value / means[2]])
        return value, gradient

    units = unit_sums(np.stack([above, below]).astype(np.float64), groups, seed)
    return studentised_interval(units, smooth, num_resamples=num_resamples, seed=seed)


def raised(figure: Figure) -> Figure:
    """Return the exponential of a figure."""
    value, low, high = (
        math.exp(min(end, MOST_LOG)) for end in (figure.value, figure.low, figure.high)
    )
    return Figure(value, low, high)


def explained(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return R² of the means of squared errors, targets and squared targets, and its gradient."""
    square, target, target_square = means[1:4]
    gradient = np.zeros_like(means)
    with np.errstate(all="ignore"):
        spread = target_square - target**2
        gradient[1] = -1.0 / spread
        gradient[2] = -2.0 * target * square / spread**2
        gradient[3] = square / spread**2
        return 1.0 - square / spread, gradient


def within(figure: Figure, lowest: float, highest: float) -> Figure:
    """Return a figure whose ends are no further out than its values can be."""
    low, high = (min(max(end, lowest), highest) for end in (figure.low, figure.high))
    is_known = math.isfinite(figure.low) and math.isfinite(figure.high)
    return Figure(figure.value, low, high) if is_known else figure


def with_unseen(
    figure: Figure, wrong: Figure, num_wrong: int, costs: tuple[float, float]
) -> Figure:
    """Return a mean loss whose upper end reckons with wrong answers that the items do not show.

    Fifty items that are all right do not tell what a wrong one will cost. How many wrong ones there
    may be is the interval of their share; what they cost is what the model's own probabilities say,
    and what those that were seen have cost.

    Args:
        figure: The mean loss.
        wrong: The share of wrong answers.
        num_wrong: How many were seen; of ten and more nothing is changed.
        costs: Of a wrong answer and of a right one, in the mean.
    """
    if num_wrong >= _ENOUGH_WRONG or not math.isfinite(figure.high):
        return figure
    reach = (wrong.high - wrong.value) * max(0.0, costs[0] - costs[1])
    return Figure(figure.value, figure.low, max(figure.high, figure.value + reach))
