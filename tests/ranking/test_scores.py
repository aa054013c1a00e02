"""Scores of features equal what brute force finds, and keep the bounds that are proven for them."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.linear_model import LogisticRegression, Ridge

from headstart.ranking.scores import (
    collapse_score,
    common_dimension,
    equalise,
    h_score,
    leave_out,
    leep,
    log_evidence,
    nce,
    neighbour_score,
    ridge_score,
)


@pytest.fixture(scope="module")
def wine():
    features, targets = load_wine(return_X_y=True)
    return (features - features.mean(0)) / features.std(0), targets


def refitted(features, columns, penalty, weights, groups):
    """Return what ridge regressions fitted without each group say of it."""
    found = np.empty(columns.shape)
    for group in np.unique(groups):
        rest = groups != group
        model = Ridge(alpha=penalty, solver="svd")
        model.fit(features[rest], columns[rest], sample_weight=weights[rest])
        found[~rest] = model.predict(features[~rest]).reshape(-1, columns.shape[1])
    return found


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("group_size", [1, 3])
@pytest.mark.parametrize("data", ["classes", "labels", "values"])
def test_leaving_out_equals_refitting(data, group_size, is_weighted, wine):
    rng = np.random.default_rng(0)
    if data == "values":
        features, targets = load_diabetes(return_X_y=True)
        features, targets = features[:120], targets[:120]
        columns = targets[:, None]
    else:
        features, classes = wine
        columns = np.eye(3)[classes]
        targets = classes if data == "classes" else columns
    groups = np.arange(len(features)) // group_size
    weights = rng.uniform(0.2, 5, len(features)) if is_weighted else np.ones(len(features))
    middle = np.average(features, axis=0, weights=weights)
    total = float((weights[:, None] * (features - middle) ** 2).sum())
    for strength, predicted in leave_out(
        features, targets, np.array([1e-4, 1e-2, 1.0]), weights if is_weighted else None, groups
    ):
        wanted = refitted(features, columns, strength * total, weights, groups)
        np.testing.assert_allclose(predicted, wanted, rtol=1e-6, atol=1e-8)


def test_a_ridge_score_does_not_change_when_the_features_are_rotated(wine):
    features, targets = wine
    turned = features @ np.linalg.qr(np.random.default_rng(1).normal(size=(13, 13)))[0]
    one, two = ridge_score(features, targets), ridge_score(turned, targets)
    assert one.value == two.value > 0.95
    assert one.log_loss == pytest.approx(two.log_loss, rel=1e-6)
    assert one.outcomes.mean() == one.value


def test_more_dimensions_than_samples_tell_nothing_of_random_classes():
    rng = np.random.default_rng(2)
    features, targets = rng.normal(size=(60, 400)), np.arange(60) % 2
    assert ridge_score(features, targets).value < 0.7
    assert neighbour_score(features, targets).value < 0.7
    assert h_score(features, targets) == pytest.approx(1)  # in-sample: as if perfect


@pytest.mark.parametrize("score", [ridge_score, neighbour_score, collapse_score])
def test_copies_and_members_of_a_group_never_vote_for_each_other(score):
    rng = np.random.default_rng(3)
    once, classes = rng.normal(size=(150, 60)), rng.integers(0, 2, 150)
    features, targets = np.repeat(once, 2, axis=0), np.repeat(classes, 2)
    assert score(features, targets).value < 0.65  # exact copies are found by themselves
    near = features + 1e-3 * rng.normal(size=features.shape)
    assert score(near, targets, groups=np.arange(300) // 2).value < 0.65
    assert score(near, targets).value > 0.65  # what the groups are there for


@pytest.mark.parametrize("score", [ridge_score, neighbour_score])
def test_values_and_labels_are_scored_by_the_variance_they_explain(score):
    rng = np.random.default_rng(4)
    features = rng.normal(size=(400, 5))
    value = features @ np.array([2.0, -1, 0, 0, 0])
    noisy = value + value.std() * rng.normal(size=400)  # half of it can be explained
    assert score(features, value).value > 0.8
    assert 0.1 < score(features, noisy).value < 0.6
    assert score(features, rng.normal(size=400)).value < 0.1
    labels = np.stack([value > 0, features[:, 2] > 0.5], axis=1).astype(np.float64)
    assert 0.2 < score(features, labels).value < 1
    assert np.isnan(score(features, value).log_loss)


def test_neighbours_equal_brute_force(wine):
    features, targets = wine
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similar = unit @ unit.T
    np.fill_diagonal(similar, -2)
    order = np.argsort(-similar, axis=1)
    right = {}
    for count in (1, 5, 20):
        votes = np.eye(3)[targets[order[:, :count]]].sum(axis=1)
        votes += 1e-3 * np.eye(3)[targets[order[:, 0]]]
        right[count] = float((votes.argmax(axis=1) == targets).mean())
    found = neighbour_score(features, targets)
    assert found.value == max(right.values())
    assert right[int(found.setting)] == found.value


@pytest.mark.parametrize("load", [load_diabetes, load_iris, load_breast_cancer])
def test_the_evidence_is_the_largest_there_is(load):
    features, targets = load(return_X_y=True)
    features, column = features[:150], targets[:150].astype(np.float64)
    num = len(features)
    centred = (features - features.mean(0)) / features.std(0)
    column = column - 0.3

    def evidence(logs):
        alpha, beta = np.exp(logs)
        covariance = np.eye(num) / beta + centred @ centred.T / alpha
        logdet = np.linalg.slogdet(covariance)[1]
        fit = column @ np.linalg.solve(covariance, column)
        return (fit + logdet + num * np.log(2 * np.pi)) / 2 / num

    starts = [(a, b) for a in (-3, 0, 3) for b in (-8, -2, 2)]
    best = min(minimize(evidence, start, method="Nelder-Mead").fun for start in starts)
    assert log_evidence(centred, column) == pytest.approx(-best, abs=1e-4)


def test_the_evidence_does_not_change_when_every_feature_stands_twice(wine):
    features, targets = wine
    twice = np.hstack([features, features])
    assert log_evidence(twice, targets) == pytest.approx(log_evidence(features, targets), rel=1e-6)


@pytest.mark.parametrize("is_regularised", [False, True])
def test_the_h_score_is_at_most_the_classes_less_one(is_regularised, wine):
    rng = np.random.default_rng(5)
    for num, dimension, num_classes in ((40, 3, 2), (40, 60, 5), (200, 50, 10), (30, 29, 4)):
        features, targets = rng.normal(size=(num, dimension)), np.arange(num) % num_classes
        found = h_score(features, targets, is_regularised=is_regularised)
        assert 0 <= found <= num_classes - 1 + 1e-9
        if dimension >= num and not is_regularised:
            assert found == pytest.approx(num_classes - 1)
    features, targets = wine
    inverse = np.linalg.inv(np.cov(features.T, bias=True))
    means = np.stack([features[targets == c].mean(0) for c in range(3)])[targets]
    plain = float(np.trace(inverse @ np.cov(means.T, bias=True)))
    assert h_score(features, targets) == pytest.approx(plain)


def test_a_source_that_knows_the_target_has_the_highest_leep_and_nce():
    rng = np.random.default_rng(6)
    targets = rng.integers(0, 3, 600)
    knows = np.eye(6)[targets * 2 + rng.integers(0, 2, 600)]
    guesses = rng.dirichlet(np.ones(6), 600)
    assert leep(knows, targets) == pytest.approx(0, abs=1e-9)
    assert nce(knows.argmax(1), targets) == pytest.approx(0, abs=1e-9)
    entropy = -np.log(np.bincount(targets) / 600) @ (np.bincount(targets) / 600)
    assert leep(guesses, targets) == pytest.approx(-entropy, abs=0.02)
    assert -entropy <= nce(guesses.argmax(1), targets) < -entropy + 0.02
    # by the definition, sample by sample
    joint = np.array([[guesses[targets == y, z].sum() / 600 for z in range(6)] for y in range(3)])
    given = joint / joint.sum(axis=0)
    by_hand = np.mean(
        [np.log((given[y] * row).sum()) for y, row in zip(targets, guesses, strict=True)]
    )
    assert leep(guesses, targets) == pytest.approx(by_hand)


def test_collapse_follows_how_far_apart_the_classes_are():
    rng = np.random.default_rng(7)
    targets = rng.integers(0, 4, 400)
    centres = rng.normal(size=(4, 30))
    losses = [
        collapse_score(far * centres[targets] + rng.normal(size=(400, 30)), targets).log_loss
        for far in (0.0, 0.3, 1.0, 3.0)
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > np.log(4)


def test_a_class_with_a_single_sample_is_no_end(wine):
    features, targets = wine
    targets = np.where(np.arange(len(targets)) == 7, 3, targets)
    for score in (ridge_score, neighbour_score, collapse_score):
        found = score(features, targets)
        assert np.isfinite(found.value)
        assert found.outcomes[7] == 0


@pytest.mark.parametrize("score", [ridge_score, neighbour_score, collapse_score])
def test_features_that_are_all_alike_score_like_the_majority_at_most(score):
    targets = np.repeat([0, 1], [70, 30])
    found = score(np.ones((100, 8)), targets)
    assert np.isfinite(found.value)
    assert found.value <= 0.71


def test_all_candidates_get_as_many_dimensions(wine):
    features, _ = wine
    assert common_dimension(178, [13, 2048]) == 13
    assert common_dimension(178, [384, 2048]) == 44
    assert common_dimension(9_000, [384, 2048]) == 256
    equal = equalise(features, 5)
    assert equal.shape == (178, 5)
    assert (equal**2).sum(axis=1).mean() == pytest.approx(1)
    spread = equal.var(axis=0)
    assert (np.diff(spread) < 0).all()  # proportions kept: not whitened
    np.testing.assert_allclose(equalise(100 * features + 7, 5), equal, atol=1e-9)
    assert (equalise(np.ones((10, 4)), 3) == 0).all()


def test_scores_order_features_as_logistic_regression_does(wine):
    features, targets = wine
    rng = np.random.default_rng(8)
    worse = [features + noise * rng.normal(size=features.shape) for noise in (0, 1, 3, 10)]
    real = [
        LogisticRegression(max_iter=500).fit(f[::2], targets[::2]).score(f[1::2], targets[1::2])
        for f in worse
    ]
    assert real == sorted(real, reverse=True)
    for score in (ridge_score, neighbour_score, collapse_score):
        found = [score(f, targets).value for f in worse]
        assert found == sorted(found, reverse=True)
