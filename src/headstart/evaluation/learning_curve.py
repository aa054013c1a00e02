"""What more data would bring: a power law through the errors of trainings on parts of the data.

Errors of most learners fall as ``floor + scale * n ** -exponent``. Three or four points do not tell
three numbers well, so every law that the points do not contradict has its say: exponents and floors
on a grid, each with the scale that fits best, weighted by their likelihood and by a prior that
expects exponents between 0.1 and 1. The interval holds the weighted laws, and how far one more
training falls from its law. Deliberately left out: curves that rise or stand still for other
reasons than noise, which no law of this kind describes: their error at twice the data is that of
now at the most.

Source:
    The law: C. Cortes et al., 1994, NIPS 6, 327-334; exponents between 0.07 and 0.5 of large
    networks: J. Hestness et al., 2017, arXiv 1712.00409; that averages over laws predict better
    than the best one: T. Domhan, J. T. Springenberg and F. Hutter, 2015, IJCAI, 3460-3468.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.errors import OptionError
from headstart.types import Figure

_EXPONENTS = np.linspace(0.02, 1.5, 75)
_FLOORS = np.linspace(0.0, 1.0, 41)  # as shares of the smallest error
_LEAST_POINTS = 3
_DRAWS = 4000


@dataclass(frozen=True)
class LearningCurve:
    """What was extrapolated.

    Attributes:
        error: At the number of samples that was asked for, with its 95 % interval.
        scale: Of the likeliest law.
        exponent: The same.
        floor: The same: the error that remains with any number of samples.
    """

    error: Figure
    scale: float
    exponent: float
    floor: float


def extrapolate(
    numbers: Sequence[int], errors: Sequence[float], deviations: Sequence[float], wanted: int
) -> LearningCurve:
    """Return the error that a power law through some errors gives for another number of samples.

    Args:
        numbers: Training samples of each point, ascending, at least three.
        errors: Of each, at least 0: one minus a share of right ones, or an error itself.
        deviations: Standard deviation of each, by test items and training together.
        wanted: Number of samples that is asked for, above all of them.

    Raises:
        OptionError: There are fewer than three points, or they are no such numbers.
    """
    n, e, s = (np.asarray(each, np.float64) for each in (numbers, errors, deviations))
    if len(n) < _LEAST_POINTS or not (len(n) == len(e) == len(s)) or np.any(np.diff(n) <= 0):
        raise OptionError(
            f"A learning curve has {len(n)} points; expected at least {_LEAST_POINTS}, with "
            "ascending numbers of samples, and an error and its deviation each."
        )
    if wanted <= n[-1] or not np.isfinite(e).all() or (e < 0).any():
        raise OptionError(
            f"A learning curve goes to {n[-1]:g} samples with errors {e.tolist()}, and {wanted} is "
            "asked for; expected a larger number, and errors of 0 or more."
        )
    s = np.maximum(s, 1e-3 * max(float(e.max()), 1e-12))
    laws, weights = _laws(n / n[-1], e, s)
    best = int(weights.argmax())
    scale, exponent, floor = (float(v) for v in laws[best])
    told = laws[:, 2] + laws[:, 0] * (wanted / n[-1]) ** -laws[:, 1]
    draw = np.random.default_rng(0)
    drawn = draw.choice(told, size=_DRAWS, p=weights)
    # the scale of each law is known no better than the points are, and nor is one more training
    known = 1.0 / math.sqrt(float((1.0 / s**2).sum()))
    spread = math.hypot(known, _beyond(n, e, s, laws[best]))
    drawn = drawn + draw.normal(0.0, spread, _DRAWS)
    low, high = np.quantile(drawn, (0.025, 0.975))
    value = float((weights * told).sum())
    figure = Figure(value, max(0.0, min(float(low), value)), max(float(high), value))
    return LearningCurve(figure, scale * float(n[-1]) ** exponent, exponent, floor)


def _laws(n: np.ndarray, e: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return laws (scale, exponent, floor), shape (L, 3), and their weights, summing to 1.

    Args:
        n: Samples, as shares of the largest number.
        e: Errors.
        s: Their deviations.
    """
    exponents, shares = (each.ravel() for each in np.meshgrid(_EXPONENTS, _FLOORS))
    floors = shares * float(e.min())
    shapes = n[None, :] ** -exponents[:, None]
    precision = 1.0 / s**2
    left = e[None, :] - floors[:, None]
    scales = (precision * shapes * left).sum(axis=1) / (precision * shapes**2).sum(axis=1)
    scales = np.maximum(scales, 0.0)
    rest = left - scales[:, None] * shapes
    log_likelihood = -0.5 * (precision * rest**2).sum(axis=1)
    # a log normal around 0.35 for the exponent, and small floors rather than large ones
    log_prior = -0.5 * (np.log(exponents / 0.35) / 0.9) ** 2 - 0.5 * (shares / 0.6) ** 2
    log_weights = log_likelihood + log_prior
    weights = np.exp(log_weights - log_weights.max())
    return np.stack((scales, exponents, floors), axis=1), weights / weights.sum()


def _beyond(n: np.ndarray, e: np.ndarray, s: np.ndarray, law: np.ndarray) -> float:
    """Return by how much points are farther from the likeliest law than their deviations say."""
    told = law[2] + law[0] * (n / n[-1]) ** -law[1]
    excess = ((e - told) ** 2 - s**2).mean()
    return math.sqrt(max(0.0, float(excess)))
