"""The figures of a regression on one split, each with a 95 % interval.

Every interval is the percentile bootstrap over items. All figures but the median depend on an item
only through sums (its error, the error's square, its target ...), so a block of resamples is one
matrix product; the median sorts the errors once and walks the counts.

Deliberately left out: relative errors (undefined at a target of zero), and intervals for single
predictions.
"""

from __future__ import annotations

import math

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.clusters import Groups, as_groups
from headstart.evaluation.intervals import check_resamples, is_degenerate, percentile_interval
from headstart.evaluation.records import Scores
from headstart.evaluation.resampling import NUM_RESAMPLES, bootstrap_weights
from headstart.types import Figure

FIGURES = ("rmse", "mse", "mae", "r2", "median_absolute_error", "bias")
MAX_RESIDUALS = 500


def score_values(
    values: np.ndarray,
    targets: np.ndarray,
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    groups: np.ndarray | None = None,
) -> Scores:
    """Measure predicted numbers against targets, in the units of the targets.

    ``rmse``, ``mse``, ``mae``, ``r2`` (NaN where all targets are equal), ``median_absolute_error``,
    and ``bias``, mean of prediction - target.

    Args:
        values: Predictions, shape (N,), N at least 1, in the units of the targets.
        targets: Shape (N,).
        seed: Seed of the bootstrap and of the choice of residuals.
        num_resamples: Bootstrap resamples, at least 40; or 0 for none, which leaves NaN at the ends
            of every interval.
        groups: Which items belong together, as ``score_classes``.

    Returns:
        Figures, and residuals of at most 500 items.

    Raises:
        OptionError: The shapes differ, there are no items, a number is not finite, or
            ``num_resamples`` is not as described.
    """
    check_resamples(num_resamples)
    predicted, wanted = checked_values("Predictions", values, targets)
    table, told = _ValueTable(predicted, wanted), as_groups(groups, len(wanted))
    point = table.figures(np.ones((len(wanted), 1)))
    resampled = _resampled(table, num_resamples, seed, told)
    num_groups = told.num if told else None
    figures = {
        name: _figure(float(point[name][0]), resampled[name], num_groups) for name in FIGURES
    }
    places = np.arange(len(wanted))
    if len(wanted) > MAX_RESIDUALS:
        rng = np.random.default_rng(seed)
        places = np.sort(rng.choice(len(wanted), MAX_RESIDUALS, replace=False))
    residuals = np.stack((wanted[places], predicted[places]), axis=1)
    return Scores(len(wanted), figures, residuals=residuals, num_groups=num_groups)


def rmse(
    predictions: np.ndarray,
    targets: np.ndarray,
    *,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Figure:
    """Return the root mean squared error alone, as ``score_values`` gives it.

    Args:
        predictions: Shape (N,), N at least 1.
        targets: Shape (N,).
        seed: Seed of the bootstrap.
        groups: Which items belong together, as ``score_classes``.

    Raises:
        OptionError: As ``score_values``.
    """
    return score_values(predictions, targets, seed=seed, groups=groups).figures["rmse"]


def checked_values(
    what: str, values: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and targets as float64, shape (N,), or say what is wrong with them.

    Args:
        what: What a message calls the predictions.
        values: Predictions.
        targets: Targets.

    Raises:
        OptionError: The shapes differ, there are no items, or a number is not finite.
    """
    predicted, wanted = (np.asarray(a, dtype=np.float64) for a in (values, targets))
    if predicted.shape != wanted.shape or wanted.ndim != 1 or wanted.size == 0:
        raise OptionError(
            f"{what} have shape {predicted.shape} and targets {wanted.shape}, expected one shape "
            "(N,) with N at least 1."
        )
    for name, array in ((what, predicted), ("targets", wanted)):
        if not np.isfinite(array).all():
            place = int(np.flatnonzero(~np.isfinite(array))[0])
            raise OptionError(
                f"{name}[{place}] is {array[place]}, expected a finite number. A prediction that "
                "is not finite means that the model has diverged."
            )
    return predicted, wanted


class _ValueTable:
    """Per-item terms of predictions and targets, independent of the item weights."""

    def __init__(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        errors = predictions - targets
        centred = targets - targets.mean()  # so that the squares below lose no digits
        self.num_items = len(targets)
        self._sums = np.stack((errors, errors**2, np.abs(errors), centred, centred**2))
        self._order = np.argsort(self._sums[2], kind="stable")
        self._sorted = self._sums[2][self._order]
        # rounding must not give targets that are all equal a spread
        self._is_constant = bool(np.ptp(targets) == 0.0)

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return every figure under each weighting: name to float64, shape (R,)."""
        means = self._sums @ weights.astype(np.float64) / self.num_items
        error, square, absolute, target, target_square = means
        spread = target_square - target**2
        explained = np.full(spread.shape, np.nan)
        if not self._is_constant:
            floor = 1e-12 * float(self._sums[4].max())
            np.divide(square, spread, out=explained, where=spread > floor)
        return {
            "rmse": np.sqrt(square),
            "mse": square,
            "mae": absolute,
            "r2": 1.0 - explained,
            "median_absolute_error": self._medians(weights),
            "bias": error,
        }

    def _medians(self, weights: np.ndarray) -> np.ndarray:
        """Return the median absolute error under each weighting."""
        reached = np.cumsum(weights[self._order], axis=0, dtype=np.float64)
        # where half of the weight is reached, and where it is passed; scaled weights are not exact
        half, slack = self.num_items / 2, 1e-9 * self.num_items
        first, second = (reached >= half - slack).argmax(axis=0), (reached > half + slack).argmax(0)
        median: np.ndarray = (self._sorted[first] + self._sorted[second]) / 2.0
        return median


def _resampled(
    table: _ValueTable, num_resamples: int, seed: int, groups: Groups | None
) -> dict[str, np.ndarray]:
    """Return every figure on bootstrap resamples of items or groups; empty for no resamples."""
    if num_resamples == 0:
        return dict.fromkeys(FIGURES, np.empty(0))
    drawn = bootstrap_weights(table.num_items, num_resamples, seed, groups)
    blocks = [table.figures(weights) for weights in drawn]
    return {name: np.concatenate([block[name] for block in blocks]) for name in FIGURES}


def _figure(value: float, resampled: np.ndarray, num_groups: int | None) -> Figure:
    """Return a figure with its percentile interval; NaN ends where no resample moves it."""
    figure = percentile_interval(value, resampled, num_groups)
    # One item, or all errors alike: the data holds no information on the spread.
    return Figure(value, math.nan, math.nan) if is_degenerate(figure) else figure
