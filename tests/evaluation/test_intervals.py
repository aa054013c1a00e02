from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest
from sklearn.metrics import average_precision_score, roc_auc_score

from headstart.evaluation.areas import placement_influences, precision_influences
from headstart.evaluation.intervals import (
    f1_of,
    percentile_interval,
    wilson,
)
from headstart.evaluation.parts import Parts, mean_of_parts
from headstart.evaluation.shares import exact_ends
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


def test_percentile_interval_ignores_undefined_resamples():
    resampled = np.concatenate((np.linspace(0, 1, 1001), [np.nan, np.nan]))
    assert percentile_interval(0.5, resampled) == Figure(
        0.5, pytest.approx(0.025), pytest.approx(0.975)
    )


def test_percentile_interval_of_too_few_resamples_is_unknown():
    assert math.isnan(percentile_interval(0.5, np.linspace(0, 1, 39)).low)


def test_exact_ends_agree_with_scipy():
    hits, trials = np.array([0, 1, 3, 40, 981]), np.array([5, 1, 7, 40, 1000])
    low, high = exact_ends(hits, trials)
    for place, (hit, trial) in enumerate(zip(hits.tolist(), trials.tolist(), strict=True)):
        expected = binomtest(hit, trial).proportion_ci(method="exact")
        assert (low[place], high[place]) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert [float(end[0]) for end in exact_ends(np.zeros(1), np.zeros(1))] == [0.0, 1.0]


def test_the_exact_interval_misses_no_proportion_more_often_than_it_says():
    """Add up the chances of all outcomes whose interval misses; Wilson's misses more near 1."""
    for rate, num in ((0.98, 50), (0.97, 60), (0.7, 50), (0.995, 300)):
        outcomes = np.arange(num + 1)
        low, high = exact_ends(outcomes, np.full(num + 1, num))
        chances = binom.pmf(outcomes, num, rate)
        assert chances[(low > rate) | (high < rate)].sum() <= 0.05
    wilsons = [wilson(int(hit), 50) for hit in range(51)]
    missed = [not figure.low <= 0.98 <= figure.high for figure in wilsons]
    assert binom.pmf(np.arange(51), 50, 0.98)[missed].sum() > 0.07


def test_influences_of_rankings_are_their_derivatives():
    """Count one item a little more than the others, and see how the area and the precision move."""
    rng = np.random.default_rng(0)
    scores, is_positive = np.round(rng.random(40), 1), rng.random(40) < 0.4
    weights = np.ones(40)
    for measure, score in (
        (placement_influences, roc_auc_score),
        (precision_influences, average_precision_score),
    ):
        value, influences = measure(scores, is_positive)
        assert value == pytest.approx(score(is_positive, scores))
        for place in range(40):
            more = weights.copy()
            more[place] += 1e-6
            slope = (score(is_positive, scores, sample_weight=more) - value) / 1e-6
            # placements are divided as for an unbiased variance
            size = is_positive.sum() if is_positive[place] else (~is_positive).sum()
            scale = math.sqrt((size - 1) / size) if measure is placement_influences else 1.0
            assert influences[place] * scale == pytest.approx(slope, abs=1e-5)


def test_the_mean_of_one_part_has_its_own_ends():
    parts = Parts(*(np.array([x]) for x in (0.7, 0.5, 0.8, 0.1, 0.0, 0.0)))
    figure = mean_of_parts(parts, lambda factors: float((factors[0] * 0.1) ** 2))
    assert (figure.value, figure.low, figure.high) == pytest.approx((0.7, 0.5, 0.8))
    with_unseen = mean_of_parts(parts, lambda factors: float((factors[0] * 0.1) ** 2), 1)
    assert (with_unseen.low, with_unseen.high) == pytest.approx((0.25, 0.9))
