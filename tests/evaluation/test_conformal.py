"""Sets hold the truth as often as they say, by the law for so many items, and none is empty."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, kstest

from headstart.errors import OptionError
from headstart.evaluation import (
    class_misfits,
    conformal_bound,
    coverage_range,
    label_set_misfits,
)


def _population(num, rng, sharpness=1.0, num_classes=6):
    """Return probabilities of a model that is somewhat too sure, and targets."""
    logits = rng.normal(size=(num, num_classes)) * sharpness
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (truth.cumsum(axis=1) > rng.random((num, 1))).argmax(axis=1)
    sure = np.exp(1.5 * logits)
    return sure / sure.sum(axis=1, keepdims=True), targets


def _of_targets(probabilities, targets):
    return class_misfits(probabilities)[np.arange(len(targets)), targets]


@pytest.mark.parametrize("num_items", [50, 300])
def test_coverage_follows_the_beta_law_of_so_many_items(num_items):
    rng = np.random.default_rng(0)
    probabilities, targets = _population(10_000, rng)
    every = _of_targets(probabilities, targets)
    covered = []
    for _ in range(200):
        bound = conformal_bound(every[rng.integers(0, len(every), num_items)], 0.9)
        covered.append((every <= bound).mean())
    rank = int(np.ceil((num_items + 1) * 0.9))
    assert kstest(covered, beta(rank, num_items + 1 - rank).cdf).pvalue > 0.001
    low, high = coverage_range(num_items, 0.9)
    inside = np.mean((np.array(covered) >= low) & (np.array(covered) <= high))
    assert 0.91 <= inside <= 0.985
    assert np.mean(covered) >= 0.895


def test_no_set_is_empty_and_a_model_that_is_right_more_often_covers_more():
    rng = np.random.default_rng(1)
    probabilities, targets = _population(5_000, rng, sharpness=8.0)
    right = (probabilities.argmax(axis=1) == targets).mean()
    assert right > 0.85
    bound = conformal_bound(_of_targets(probabilities[:500], targets[:500]), 0.5)
    sets = class_misfits(probabilities[500:]) <= bound
    assert sets.any(axis=1).all()
    assert sets[np.arange(4_500), probabilities[500:].argmax(axis=1)].all()
    assert sets[np.arange(4_500), targets[500:]].mean() >= 0.5


def test_sets_of_labels_hold_all_true_labels_as_often():
    rng = np.random.default_rng(2)
    probabilities = rng.beta(0.6, 1.2, (8_000, 4))
    targets = (rng.random((8_000, 4)) < probabilities).astype(np.uint8)
    bound = conformal_bound(label_set_misfits(probabilities[:1_000], targets[:1_000]), 0.8)
    sets = class_misfits(probabilities[1_000:]) <= bound
    holds = (sets | (targets[1_000:] == 0)).all(axis=1)
    low, high = coverage_range(1_000, 0.8)
    assert low - 0.01 <= holds.mean() <= high + 0.01
    assert sets.any(axis=1).all()


def test_bounds_are_the_ranks_of_the_source_and_too_few_items_have_none():
    scores = np.arange(1.0, 20.0)
    assert conformal_bound(scores, 0.9) == pytest.approx(18.0, abs=1e-4)  # ceil(20 * 0.9)
    assert conformal_bound(scores[:8], 0.9) is None
    assert coverage_range(8, 0.9) is None
    assert conformal_bound(scores[:9], 0.9) == pytest.approx(9.0, abs=1e-4)
    for wrong in (0.0, 1.0, 1.5):
        with pytest.raises(OptionError, match="between 0 and 1"):
            conformal_bound(scores, wrong)
