"""95 % intervals that are quickly made, and what intervals of several kinds share.

Wilson's for the proportions that starts are ranked by, normal ones for screening scores,
percentiles for differences that are resampled. The figures of a test split have intervals that hold
at any size: ``shares.py``, ``parts.py``, ``areas.py``, ``gaps.py``, ``means.py``.
"""

from __future__ import annotations

import math

import numpy as np

from headstart.errors import OptionError
from headstart.types import Figure

Z95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution
NUM_RESAMPLES = 1000
MIN_RESAMPLES = 40  # below, no resample at all lies outside the 2.5 % quantile


def check_resamples(num_resamples: int) -> None:
    """Refuse a number of bootstrap resamples that gives no interval; 0 asks for none.

    Raises:
        OptionError: It is below 40 and not 0.
    """
    if num_resamples != 0 and num_resamples < MIN_RESAMPLES:
        raise OptionError(
            f"num_resamples is {num_resamples}, expected at least {MIN_RESAMPLES} (fewer have no "
            "2.5 % quantile), or 0 for no bootstrap."
        )


def wilson(successes: float, trials: float) -> Figure:
    """Return a proportion with Wilson's 95 % score interval.

    Args:
        successes: Number of successes, at most ``trials``.
        trials: Number of trials; 0 gives NaN for all three.

    Source:
        E. B. Wilson, 1927, JASA 22, 209-212; recommended for all n by L. D. Brown, T. T. Cai and
        A. DasGupta, 2001, Statistical Science 16, 101-133.
    """
    if trials <= 0:
        return Figure(math.nan, math.nan, math.nan)
    rate = successes / trials
    shrink = 1.0 + Z95**2 / trials
    centre = (rate + Z95**2 / (2 * trials)) / shrink
    spread = (
        Z95 / shrink * math.sqrt(rate * (1.0 - rate) / trials + Z95**2 / (4.0 * trials * trials))
    )
    # At 0 and n the ends are 0 and 1 exactly; rounding must not put the value outside them.
    low = 0.0 if successes == 0 else max(0.0, centre - spread)
    high = 1.0 if successes == trials else min(1.0, centre + spread)
    return Figure(rate, low, high)


def normal_interval(
    value: float, error: float, *, lowest: float = -math.inf, highest: float = math.inf
) -> Figure:
    """Return an estimate with the 95 % interval of its standard error.

    Args:
        value: The estimate.
        error: Its standard error.
        lowest: What it cannot fall below.
        highest: What it cannot exceed.
    """
    return Figure(value, max(lowest, value - Z95 * error), min(highest, value + Z95 * error))


def f1_of(share: Figure) -> Figure:
    """Return a class's F1 with a 95 % interval.

    F1 is an increasing function of the share J = hits / touched (Jaccard): F1 = 2 J / (1 + J).
    J is a proportion, so its interval carries over.

    Args:
        share: J, of the items that are of the class, or were predicted as it, or both.
    """
    return Figure(*(2.0 * j / (1.0 + j) for j in (share.value, share.low, share.high)))


def percentile_interval(
    value: float, resampled: np.ndarray, num_groups: int | None = None
) -> Figure:
    """Return a value with the 2.5 % and 97.5 % quantiles of its bootstrap resamples.

    Args:
        value: The figure on all items.
        resampled: The figure on each resample, shape (R,); NaN where it is undefined there.
        num_groups: Where groups were drawn, how many there are: few push the quantiles outwards.

    Source:
        B. Efron and R. Tibshirani, 1993, An Introduction to the Bootstrap, section 13.3; for
        groups T. C. Hesterberg, 2015, The American Statistician 69, 371-386.
    """
    known = resampled[np.isfinite(resampled)]
    if not math.isfinite(value) or known.size < MIN_RESAMPLES:
        return Figure(value, math.nan, math.nan)
    tail = 0.025 if num_groups is None else _tail(num_groups)
    low, high = np.quantile(known, (tail, 1.0 - tail))
    return Figure(value, float(low), float(high))


def _tail(num_groups: int) -> float:
    """Return the quantile at which a 95 % interval ends where so many groups were drawn."""
    from scipy.stats import norm, t

    if num_groups < 2:
        return 0.0
    wider = math.sqrt(num_groups / (num_groups - 1)) * t.ppf(0.025, num_groups - 1)
    return float(norm.cdf(wider))


def is_degenerate(figure: Figure) -> bool:
    """Return whether resampling did not move the figure, so that its interval says nothing."""
    return figure.high - figure.low <= 1e-12
