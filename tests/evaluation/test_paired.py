from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as reference

from headstart.evaluation import class_sums, holm, label_sums, mid_p_value, resample_together
from headstart.evaluation.clusters import Groups
from headstart.evaluation.paired import MOST_UNITS, unit_draws, units_of, value_sums


def test_mid_p_is_the_exact_p_less_half_of_what_was_seen():
    for gained, lost in ((6, 1), (1, 6), (30, 12), (0, 5)):
        total = gained + lost
        exact = binomtest(gained, total, 0.5).pvalue
        seen = math.comb(total, gained) / 2**total
        assert mid_p_value(gained, lost) == pytest.approx(exact - seen)
    assert mid_p_value(0, 0) == 1.0
    # by hand: two tails of Binomial(4, 1/2), the middle counted half
    assert mid_p_value(2, 2) == pytest.approx(1 - 6 / 16 / 2)


def test_mid_p_errs_nearer_to_five_in_a_hundred_than_the_exact_test():
    """Add up the chance of p below 5 % where neither predictor is better, for every number."""
    exact, middle = [], []
    for total in range(8, 60):
        chances = [math.comb(total, gained) / 2**total for gained in range(total + 1)]
        seen = [mid_p_value(gained, total - gained) for gained in range(total + 1)]
        middle.append(sum(c for c, p in zip(chances, seen, strict=True) if p < 0.05))
        whole = zip(chances, seen, strict=True)
        exact.append(sum(c for c, p in whole if p + c < 0.05))
    assert max(exact) < 0.05
    assert max(middle) < 0.08
    assert 0.02 < np.mean(exact) < 0.035 < np.mean(middle) < 0.05


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_sums_give_the_figures_of_scikit_learn():
    rng = np.random.default_rng(0)
    targets, said, losses = rng.integers(0, 4, 90), rng.integers(0, 5, 90), rng.random(90)
    (found,) = resample_together([class_sums(said, targets, 6, losses)], 90, num_resamples=40)
    macro = reference.precision_recall_fscore_support(
        targets, said, average="macro", zero_division=0
    )
    names = ("precision_macro", "recall_macro", "f1_macro")
    assert [found.values[name] for name in names] == pytest.approx(macro[:3])
    assert found.values["log_loss"] == pytest.approx(losses.mean())
    labels, given = (rng.integers(0, 2, (70, 4)) for _ in range(2))
    (found,) = resample_together([label_sums(given, labels, losses[:70])], 70, num_resamples=40)
    for name in ("micro", "macro"):
        value = reference.f1_score(labels, given, average=name, zero_division=0)
        assert found.values[f"f1_{name}"] == pytest.approx(value)
    assert found.values["hamming_loss"] == pytest.approx(reference.hamming_loss(labels, given))
    values, truth = rng.normal(size=50), rng.normal(5.0, 1.0, 50)
    (found,) = resample_together([value_sums(values, truth)], 50, num_resamples=40)
    assert found.values["r2"] == pytest.approx(reference.r2_score(truth, values))


def test_a_difference_is_as_sure_as_its_items_and_not_as_its_two_sides():
    """Two predictors that agree but on a few items differ by little, however hard the items are."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 400)
    first = np.where(rng.random(400) < 0.6, targets, 1 - targets)
    second = first.copy()
    second[:20] = targets[:20]
    zeros = np.zeros(400)
    one, other = resample_together(
        [class_sums(each, targets, 2, zeros) for each in (first, second)], 400
    )
    found = one.difference(other, "accuracy")
    assert found.low > 0
    assert found.high - found.low < 0.05
    again = one.difference(one, "f1_macro")
    assert again.value == 0.0
    assert np.isnan(again.low)


def test_blocks_of_many_items_spread_as_the_items_do():
    rng = np.random.default_rng(0)
    num = 40_000
    values = rng.exponential(size=num)
    (found,) = resample_together([value_sums(values, np.zeros(num))], num)
    error = np.std(values) / np.sqrt(num)
    assert found.num_units == MOST_UNITS
    assert np.std(found.drawn["bias"]) == pytest.approx(error, rel=0.1)


def test_blocks_hold_whole_groups():
    groups = Groups(np.repeat(np.arange(5_000), 3), 5_000)
    units = units_of(15_000, groups, 0)
    assert units.num == MOST_UNITS
    assert all(len(set(units.codes[i : i + 3])) == 1 for i in range(0, 15_000, 3))


def test_the_figures_of_one_split_share_draws_that_nobody_can_change():
    drawn = unit_draws(50, 450, 3)
    assert unit_draws(50, 450, 3) is drawn
    assert [one.shape for one in drawn] == [(50, 200), (50, 200), (50, 50)]
    assert all((one.sum(axis=0) == 50).all() for one in drawn)
    with pytest.raises(ValueError, match="read-only"):
        drawn[0][0, 0] = 7
