"""The figures of a regression on one split, each with a 95 % interval.

All figures but the median are smooth functions of means over items, and have studentised bootstrap
intervals (``means.py``); that of the median lies between two of the errors.

Deliberately left out: relative errors (undefined at a target of zero), and intervals for single
predictions.
"""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.clusters import Groups, as_groups
from headstart.evaluation.correlations import correlations
from headstart.evaluation.intervals import NUM_RESAMPLES, check_resamples
from headstart.evaluation.means import (
    explained,
    plain_mean,
    studentised_interval,
    unit_sums,
    within,
)
from headstart.evaluation.records import Scores
from headstart.evaluation.shares import exact_ends
from headstart.types import Figure

FIGURES = (
    "rmse",
    "mse",
    "mae",
    "r2",
    "pearson",
    "spearman",
    "median_absolute_error",
    "bias",
)
MAX_RESIDUALS = 500
_FEWEST = 6  # independent items below which no two of them hold the median in 95 of 100 cases


def score_values(
    values: np.ndarray,
    targets: np.ndarray,
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    groups: np.ndarray | None = None,
) -> Scores:
    """Measure predicted numbers against targets, in the units of the targets.

    ``rmse``, ``mse``, ``mae``, ``r2`` (NaN where all targets are equal), ``pearson`` and
    ``spearman`` (NaN where all predictions are, too), ``median_absolute_error``, and ``bias``, mean
    of prediction - target.

    Args:
        values: Predictions, shape (N,), N at least 1, in the units of the targets.
        targets: Shape (N,).
        seed: Seed of the bootstrap and of the choice of residuals.
        num_resamples: Bootstrap resamples, at least 40; or 0 for none, which leaves NaN at the ends
            of every interval but the median's.
        groups: Which items belong together, as ``score_classes``.

    Returns:
        Figures, and residuals of at most 500 items.

    Raises:
        OptionError: The shapes differ, there are no items, a number is not finite, or
            ``num_resamples`` is not as described.
    """
    check_resamples(num_resamples)
    predicted, wanted = checked_values("Predictions", values, targets)
    told = as_groups(groups, len(wanted))
    num_groups = told.num if told else None
    figures = _figures(predicted, wanted, told, num_resamples=num_resamples, seed=seed)
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


def _figures(
    predictions: np.ndarray,
    targets: np.ndarray,
    groups: Groups | None,
    *,
    num_resamples: int,
    seed: int,
) -> dict[str, Figure]:
    """Return every figure with its interval; ends are unknown where nothing is known of spread."""
    errors = predictions - targets
    middle, scale = float(targets.mean()), float(np.std(targets)) or 1.0
    centred = (targets - middle) / scale  # so that the squares below lose no digits
    quantities = {
        "mse": (errors**2, plain_mean),
        "mae": (np.abs(errors), plain_mean),
        "bias": (errors, plain_mean),
    }
    found = {}
    for name, (quantity, smooth) in quantities.items():
        units = unit_sums(quantity[None], groups, seed)
        found[name] = studentised_interval(units, smooth, num_resamples=num_resamples, seed=seed)
    found["mse"] = within(found["mse"], 0.0, math.inf)
    found["mae"] = within(found["mae"], 0.0, math.inf)
    found["rmse"] = Figure(*(math.sqrt(end) for end in astuple(found["mse"])))
    found["r2"] = Figure(math.nan, math.nan, math.nan)
    # rounding must not give targets that are all equal a spread
    if float(np.ptp(targets)) > 0.0:
        squares = np.stack((errors**2 / scale**2, centred, centred**2))
        units = unit_sums(squares, groups, seed)
        figure = studentised_interval(units, explained, num_resamples=num_resamples, seed=seed)
        found["r2"] = within(figure, -math.inf, 1.0)
    found["pearson"], found["spearman"] = correlations(
        predictions, targets, groups, num_resamples=num_resamples, seed=seed
    )
    found["median_absolute_error"] = _median(np.abs(errors), groups)
    return {name: found[name] for name in FIGURES}


def _median(sizes: np.ndarray, groups: Groups | None) -> Figure:
    """Return the median with the 95 % interval that lies between two of the sizes.

    Source:
        R. S. Woodruff, 1952, JASA 47, 635-646: the ends of the interval of the share below the
        median, looked up among the sizes.
    """
    ordered, num = np.sort(sizes), len(sizes)
    value = float(np.median(ordered))
    effective = float(num) if groups is None else groups.effective(sizes <= value)
    if effective < _FEWEST:
        return Figure(value, math.nan, math.nan)
    low, high = (
        float(end[0]) for end in exact_ends(np.array([effective / 2]), np.array([effective]))
    )
    first = max(0, math.floor(low * num) - 1)
    last = min(num - 1, math.ceil(high * num))
    if ordered[first] == ordered[last]:  # all alike: the data holds no information on the spread
        return Figure(value, math.nan, math.nan)
    return Figure(value, float(ordered[first]), float(ordered[last]))
