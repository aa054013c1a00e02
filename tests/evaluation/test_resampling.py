from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from headstart.evaluation import resampling
from headstart.evaluation.resampling import FigureTable, bootstrap_weights


@pytest.mark.parametrize("coarse", [False, True])
def test_weighted_figures_agree_with_scikit_learn_on_the_repeated_items(draw, coarse):
    probabilities, targets = draw(90, 4, coarse=coarse)
    table = FigureTable(probabilities, targets)
    weights = next(bootstrap_weights(90, 20, seed=5))
    found = table.figures(weights).values
    for r in range(20):
        items = np.repeat(np.arange(90), weights[:, r].astype(int))
        p, t = probabilities[items], targets[items]
        guesses = p.argmax(axis=1)
        macro = reference.precision_recall_fscore_support(
            t, guesses, average="macro", zero_division=0
        )
        expected = {
            "accuracy": np.mean(guesses == t),
            "precision_macro": macro[0],
            "recall_macro": macro[1],
            "f1_macro": macro[2],
            "roc_auc": reference.roc_auc_score(t, p, multi_class="ovr"),
            "log_loss": reference.log_loss(t, p, labels=range(4)),
        }
        for name, value in expected.items():
            assert found[name][r] == pytest.approx(value, abs=1e-6), name


def test_weighted_figures_leave_out_a_class_that_a_resample_lacks(draw):
    probabilities, targets = draw(60, 3)
    weights = np.where(targets == 0, 0.0, 60 / np.count_nonzero(targets))[:, None]
    areas = FigureTable(probabilities, targets).figures(weights).class_areas
    assert np.isnan(areas[0, 0])
    assert np.isfinite(areas[1:, 0]).all()


def test_bootstrap_weights_are_counts_of_draws_with_replacement():
    blocks = list(bootstrap_weights(50, 100, seed=0))
    weights = np.concatenate(blocks, axis=1)
    assert weights.shape == (50, 100)
    assert (weights.sum(axis=0) == 50).all()
    # a Poisson(1)-like count: an item is left out with probability (1 - 1/50)^50 = 0.364
    assert 0.34 < np.mean(weights == 0) < 0.39


def test_bootstrap_blocks_stay_small_however_many_items():
    assert next(bootstrap_weights(1_000_000, 3, seed=0)).shape == (1_000_000, 1)


def test_resample_gives_areas_to_fewer_resamples_of_large_work(draw, monkeypatch):
    monkeypatch.setattr(resampling, "_MAX_AREA_WORK", 1)
    probabilities, targets = draw(50, 3)
    found = FigureTable(probabilities, targets).resample(400, seed=0)
    assert 200 <= np.isfinite(found["roc_auc"]).sum() < 300
    assert np.isfinite(found["f1_macro"]).all()
