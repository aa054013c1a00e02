"""Figures over seeds and folds have intervals that hold; a learning curve foretells."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from headstart.errors import OptionError
from headstart.evaluation import over_folds, over_seeds
from headstart.evaluation.learning_curve import extrapolate
from headstart.evaluation.shares import share_of
from headstart.types import Figure


@pytest.mark.parametrize(("num_seeds", "spread"), [(3, 0.0), (3, 0.8), (5, 0.3), (5, 1.5)])
def test_an_interval_over_seeds_holds_seeds_and_items(num_seeds, spread):
    rng = np.random.default_rng(0)
    # an item is right by its own ease and the luck of a seed, in log odds
    ease = rng.normal(1.5, 1.5, 4_000)
    lucks = spread * norm.ppf((np.arange(100) + 0.5) / 100)
    truth = np.mean([(1 / (1 + np.exp(-(ease + one)))).mean() for one in lucks])
    held, draws = 0, 120
    for _ in range(draws):
        items = rng.integers(0, len(ease), 150)
        said = []
        for luck in rng.normal(0.0, spread, num_seeds):
            chance = 1 / (1 + np.exp(-(ease[items] + luck)))
            said.append(share_of(rng.random(150) < chance, None))
        found = over_seeds(said, lowest=0.0, highest=1.0)
        held += found.low <= truth <= found.high
        assert found.value == pytest.approx(np.mean([one.value for one in said]))
    assert held / draws >= 0.93


def test_one_seed_is_itself_and_ends_stay_within_bounds():
    one = Figure(0.9, 0.8, 0.95)
    assert over_seeds([one]) == one
    found = over_seeds([one, Figure(0.5, 0.4, 0.6)], lowest=0.0, highest=1.0)
    assert (found.low, found.high) == (0.0, 1.0)  # two seeds say little
    assert math.isnan(over_seeds([one, Figure(0.5, math.nan, 0.6)]).low)


def _seeds_hold(values, reach, truth, bounds):
    """Return how often intervals over seeds hold, rows of values each seed's on the same items."""
    lowest, highest = bounds
    held = 0
    for row in values:
        each = [Figure(one, one - reach, one + reach) for one in row]
        found = over_seeds(each, lowest=lowest, highest=highest)
        held += found.low <= truth <= found.high
    return held / len(values)


@pytest.mark.parametrize("num_seeds", [3, 5])
def test_seeds_whose_figures_are_skewed_by_a_bound_are_held_more_often_than_by_students_t(
    num_seeds,
):
    """Shares below 1, errors above 0, and what is only bounded above, as R² is."""
    draw = np.random.default_rng(0).normal(size=(600, num_seeds))
    odds, chances = 1.0 + 1.5 * draw, norm.ppf((np.arange(500) + 0.5) / 500)
    shares, sizes = 1 / (1 + np.exp(-odds)), np.exp(0.6 * draw)
    mean_share, mean_size = (1 / (1 + np.exp(-1 - 1.5 * chances))).mean(), math.exp(0.6**2 / 2)
    cases = [
        (shares, mean_share, (0.0, 1.0)),
        (sizes, mean_size, (0.0, math.inf)),
        (1 - sizes, 1 - mean_size, (-math.inf, 1.0)),
    ]
    for values, truth, bounds in cases:
        bent = _seeds_hold(values, 0.01, truth, bounds)
        plain = _seeds_hold(values, 0.01, truth, (-math.inf, math.inf))
        assert bent >= plain + 0.01
        assert bent >= 0.9


def test_seeds_that_differ_little_are_told_as_by_students_t():
    each = [Figure(one, one - 0.01, one + 0.01) for one in (0.70, 0.71, 0.72)]
    bounded, free = over_seeds(each, lowest=0.0, highest=1.0), over_seeds(each)
    assert bounded.low == pytest.approx(free.low, abs=2e-3)
    assert bounded.high == pytest.approx(free.high, abs=2e-3)
    right = [Figure(1.0, 0.9, 1.0)] * 3  # at its bound, and none differs
    assert over_seeds(right, lowest=0.0, highest=1.0) == Figure(1.0, pytest.approx(0.9), 1.0)


def _linear(inputs, targets):
    wide = np.c_[inputs, np.ones(len(inputs))]
    return np.linalg.solve(wide.T @ wide + 0.01 * np.eye(wide.shape[1]), wide.T @ targets)


def _folds_hold(num_items, num_inputs, num_folds, draws):
    """Return how often the interval of folds holds, and how often that of the items alone."""
    rng = np.random.default_rng(0)
    weights = np.zeros(num_inputs)
    weights[:3] = 1.0

    def drawn(number):
        inputs = rng.normal(size=(number, num_inputs))
        return inputs, inputs @ weights + rng.logistic(size=number) > 0

    def right(model, inputs, targets):
        return (inputs @ model[:-1] + model[-1] > 0) == targets

    everyone = drawn(4_000)
    learned = num_items * (num_folds - 1) // num_folds
    models = [_linear(x, 2.0 * y - 1) for x, y in (drawn(learned) for _ in range(100))]
    truth = np.mean([right(model, *everyone).mean() for model in models])
    held = np.zeros(2)
    for _ in range(draws):
        inputs, targets = drawn(num_items)
        fold_of, is_right = rng.permutation(num_items) % num_folds, np.zeros(num_items, bool)
        for fold in range(num_folds):
            inside = fold_of == fold
            model = _linear(inputs[~inside], 2.0 * targets[~inside] - 1)
            is_right[inside] = right(model, inputs[inside], targets[inside])
        each = [share_of(is_right[fold_of == fold], None) for fold in range(num_folds)]
        pooled = share_of(is_right, None)
        wide = over_folds(pooled, each, 1 / (num_folds - 1), lowest=0.0, highest=1.0)
        held += [wide.low <= truth <= wide.high, pooled.low <= truth <= pooled.high]
    return held / draws


def test_an_interval_of_folds_holds_where_that_of_the_items_does_not():
    wide, narrow = _folds_hold(60, 20, 5, 100)
    assert wide >= 0.93 > narrow


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_items", "num_inputs", "num_folds"),
    [(60, 20, 5), (100, 20, 3), (300, 30, 5), (100, 40, 10)],
)
def test_intervals_of_folds_hold_in_94_of_100(num_items, num_inputs, num_folds):
    wide, _ = _folds_hold(num_items, num_inputs, num_folds, 1_000)
    assert wide >= 0.94


def test_folds_that_differ_no_more_than_their_items_add_nothing():
    pooled, alike = Figure(0.8, 0.7, 0.88), [Figure(0.8, 0.5, 0.95)] * 5
    found = over_folds(pooled, alike, 0.25)
    assert found.value == 0.8
    assert found.high - 0.8 == pytest.approx(1.15 * 0.08)
    apart = [Figure(v, v - 0.05, v + 0.05) for v in (0.6, 0.7, 0.8, 0.9, 1.0)]
    assert over_folds(pooled, apart, 0.25).high > found.high


@pytest.mark.parametrize(("exponent", "floor"), [(0.2, 0.0), (0.5, 0.05), (0.9, 0.02), (0.35, 0.1)])
def test_a_learning_curve_foretells_twice_the_data(exponent, floor):
    rng = np.random.default_rng(0)
    numbers = [125, 250, 500, 1_000]
    scale = (0.3 - floor) * 125**exponent
    truth = floor + scale * 2_000.0**-exponent
    held, misses = 0, []
    for _ in range(60):
        errors = floor + scale * np.array(numbers, float) ** -exponent
        deviations = np.sqrt(errors * (1 - errors) / 400)
        seen = np.maximum(0.0, errors + rng.normal(0, deviations))
        found = extrapolate(numbers, seen.tolist(), deviations.tolist(), 2_000)
        held += found.error.low <= truth <= found.error.high
        misses.append(found.error.value - truth)
    assert held / 60 >= 0.93
    assert abs(np.mean(misses)) < 0.02


def test_a_learning_curve_needs_three_points_and_a_larger_number():
    with pytest.raises(OptionError, match="at least 3"):
        extrapolate([10, 20], [0.2, 0.1], [0.01, 0.01], 40)
    with pytest.raises(OptionError, match="expected a larger number"):
        extrapolate([10, 20, 40], [0.3, 0.2, 0.1], [0.01] * 3, 40)
