from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from headstart.evaluation.intervals import (
    f1_of,
    mean_interval,
    percentile_interval,
    wilson,
)
from headstart.types import Figure


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (3, 7), (40, 40), (981, 1000)])
def test_wilson_agrees_with_scipy(successes, trials):
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    found = wilson(successes, trials)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.low <= found.value <= found.high


def test_wilson_of_nothing_is_unknown():
    assert all(math.isnan(end) for end in vars(wilson(0, 0)).values())


def test_f1_interval_agrees_with_the_formula():
    # 6 hits, 2 false alarms, 1 miss: F1 = 12 / 15
    figure = f1_of(wilson(6, 9))
    assert figure.value == pytest.approx(12 / 15)
    assert figure.low < figure.value < figure.high < 1.0


def test_mean_interval_of_equal_parts_shrinks_with_their_root():
    part = Figure(0.5, 0.4, 0.6)
    figure = mean_interval([part] * 4)
    assert (figure.value, figure.low, figure.high) == pytest.approx((0.5, 0.45, 0.55))


def test_percentile_interval_ignores_undefined_resamples():
    resampled = np.concatenate((np.linspace(0, 1, 1001), [np.nan, np.nan]))
    assert percentile_interval(0.5, resampled) == Figure(
        0.5, pytest.approx(0.025), pytest.approx(0.975)
    )


def test_percentile_interval_of_too_few_resamples_is_unknown():
    assert math.isnan(percentile_interval(0.5, np.linspace(0, 1, 39)).low)
