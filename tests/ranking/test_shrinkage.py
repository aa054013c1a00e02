"""What rankings compute themselves is what the libraries compute that take long to import."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn import covariance

from headstart.ranking.aggregate import mid_ranks
from headstart.ranking.scores.shrinkage import ledoit_wolf


@pytest.mark.parametrize(("num", "width"), [(7, 30), (200, 5), (40, 40)])
def test_shrinkage_is_that_of_scikit_learn(num, width):
    rng = np.random.default_rng(num)
    rows = rng.normal(size=(num, width)) * rng.uniform(0.1, 3, width)
    rows -= rows.mean(axis=0)
    found, weight = ledoit_wolf(rows)
    wanted, expected = covariance.ledoit_wolf(rows, assume_centered=True)
    assert weight == pytest.approx(expected, abs=1e-12)
    assert np.allclose(found, wanted, atol=1e-12)


def test_rows_without_a_spread_have_no_covariance():
    found, weight = ledoit_wolf(np.zeros((5, 3)))
    assert weight == 0.0
    assert not found.any()


def test_equal_values_share_the_mean_of_their_places():
    values = np.random.default_rng(0).integers(0, 6, 40).astype(float)
    assert np.array_equal(mid_ranks(values), rankdata(values))
