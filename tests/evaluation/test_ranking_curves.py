"""ROC, precision-recall and lift points are scikit-learn's, ties and empty sides included."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

from headstart.errors import OptionError
from headstart.evaluation import (
    as_groups,
    lift_points,
    precision_recall_points,
    rank_items,
    reliability,
    roc_points,
    score_classes,
    thinned,
)


def _cases(number=200):
    """Yield scores and targets: many ties, one side empty now and then, one item."""
    rng = np.random.default_rng(0)
    for case in range(number):
        num = int(rng.integers(1, 60))
        scores = rng.random(num)
        if case % 2:
            scores = np.round(scores, 1)
        is_positive = rng.random(num) < rng.choice([0.0, 0.1, 0.5, 1.0])
        yield scores, is_positive


def test_roc_points_are_those_of_scikit_learn():
    for scores, is_positive in _cases():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one class only: a rate is not defined
            expected = np.stack(roc_curve(is_positive, scores, drop_intermediate=False), axis=1)
        found = roc_points(rank_items(scores, is_positive))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_precision_recall_points_are_those_of_scikit_learn():
    for scores, is_positive in _cases():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            precision, recall, thresholds = precision_recall_curve(is_positive, scores)
        found = precision_recall_points(rank_items(scores, is_positive))
        np.testing.assert_allclose(found[:, 0], recall, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found[:, 1], precision, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found[:-1, 2], thresholds, rtol=0, atol=1e-9)


def test_lift_is_the_share_of_positives_among_the_first_over_that_of_all():
    for scores, is_positive in _cases():
        if not is_positive.any():
            continue
        for share, lift in lift_points(rank_items(scores, is_positive)).tolist():
            taken = scores >= np.sort(scores)[::-1][round(share * len(scores)) - 1]
            assert taken.mean() == pytest.approx(share)
            assert lift == pytest.approx(is_positive[taken].mean() / is_positive.mean(), abs=1e-9)


def test_thinned_points_are_few_and_draw_the_same_line():
    rng = np.random.default_rng(1)
    is_positive = rng.random(20_000) < 0.2
    scores = rng.normal(size=20_000) + is_positive
    whole = roc_points(rank_items(scores, is_positive))
    few = np.array([[v if v is not None else np.inf for v in row] for row in thinned(whole)])
    assert len(few) <= 201 < len(whole)
    assert few[0].tolist() == whole[0].tolist()
    assert few[-1].tolist() == whole[-1].tolist()
    assert auc(few[:, 0], few[:, 1]) == pytest.approx(roc_auc_score(is_positive, scores), abs=1e-3)
    assert thinned(whole[:3])[0] == [0.0, 0.0, None]  # JSON has no infinity


@pytest.mark.parametrize(
    ("scores", "is_positive", "words"),
    [([], [], "N at least 1"), ([0.1], [True, False], "one shape"), ([np.nan], [True], r"\[0\]")],
)
def test_scores_that_rank_nothing_are_refused(scores, is_positive, words):
    with pytest.raises(OptionError, match=words):
        rank_items(np.array(scores), np.array(is_positive))


def test_bins_of_a_reliability_diagram_hold_all_items_and_the_ece():
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet((2, 1, 1), 500)
    targets = rng.integers(0, 3, 500)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    found = reliability(sure, right, None)
    assert sum(one["count"] for one in found["bins"]) == 500
    gaps = [
        one["count"] / 500 * abs(one["accuracy"]["value"] - one["confidence"])
        for one in found["bins"]
    ]
    ece = score_classes(probabilities, targets, "abc", num_resamples=0).figures["ece"]
    assert sum(gaps) == pytest.approx(ece.value, abs=1e-9)
    assert found["ece"]["high"] == pytest.approx(ece.high)
    for one in found["bins"]:
        inside = (sure > one["low"]) & (sure <= one["high"])
        assert one["accuracy"]["value"] == pytest.approx(right[inside].mean())
        assert one["accuracy"]["low"] <= one["accuracy"]["value"] <= one["accuracy"]["high"]
    # items of one group tell less
    wide = reliability(sure, right, as_groups(np.arange(500) // 10, 500))["bins"]
    widths = [
        np.mean([one["accuracy"]["high"] - one["accuracy"]["low"] for one in each])
        for each in (found["bins"], wide)
    ]
    assert widths[1] > widths[0]
