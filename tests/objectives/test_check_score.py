"""The score a training is chosen by, against scikit-learn, and its standard error by simulation."""

import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from headstart.objectives import check_score, item_losses


def _draw(task, num_items=300, seed=0):
    rng = np.random.default_rng(seed)
    if task == "regression":
        targets = rng.standard_normal(num_items).astype(np.float32)
        noise = rng.standard_normal((num_items, 1)).astype(np.float32)
        return 0.7 * targets[:, None] + 0.5 * noise, targets
    logits = (rng.standard_normal((num_items, 4)) * 2).astype(np.float32)
    if task == "classification":
        return logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return logits, (1 / (1 + np.exp(-logits)) > rng.random(logits.shape)).astype(np.uint8)


def _reference(task, logits, targets):
    if task == "classification":
        shifted = np.exp(logits.astype(float))
        return (
            "accuracy",
            reference.accuracy_score(targets, logits.argmax(axis=1)),
            reference.log_loss(targets, shifted / shifted.sum(axis=1, keepdims=True)),
        )
    if task == "multi-label":
        p = 1 / (1 + np.exp(-logits.astype(float)))
        loss = np.mean([reference.log_loss(targets[:, k], p[:, k]) for k in range(4)])
        return "f1_micro", reference.f1_score(targets, logits >= 0, average="micro"), loss
    values = logits[:, 0]
    return (
        "r2",
        reference.r2_score(targets, values),
        reference.mean_squared_error(targets, values),
    )


TASKS = ("classification", "multi-label", "regression")


@pytest.mark.parametrize("task", TASKS)
def test_score_and_loss_agree_with_scikit_learn(task):
    logits, targets = _draw(task)
    name, score, loss, _ = check_score(task, logits, targets)
    expected = _reference(task, logits, targets)
    assert name == expected[0]
    assert (score, loss) == pytest.approx(expected[1:], rel=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_the_standard_error_is_the_spread_over_data_sets(task):
    scores, errors = [], []
    for seed in range(200):
        _, score, _, error = check_score(task, *_draw(task, seed=seed))
        scores.append(score)
        errors.append(error)
    # 200 draws know a spread to about 5 %
    assert np.mean(errors) == pytest.approx(np.std(scores), rel=0.2)


@pytest.mark.parametrize("task", TASKS)
def test_a_perfect_score_is_not_a_certain_one(task):
    _, targets = _draw(task, 50)
    perfect = {
        "classification": lambda: np.eye(4, dtype=np.float32)[targets] * 9,
        "multi-label": lambda: targets.astype(np.float32) * 9 - 4,
        "regression": lambda: targets[:, None],
    }[task]()
    _, score, _, error = check_score(task, perfect, targets)
    assert score == pytest.approx(1.0)
    assert error == pytest.approx(math.sqrt(1e-6 / 50))


@pytest.mark.parametrize("task", TASKS)
def test_logits_that_are_not_finite_give_a_loss_that_is_not(task):
    logits, targets = _draw(task, 20)
    logits[3] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, _, loss, _ = check_score(task, logits, targets)
    assert not math.isfinite(loss)


def test_labels_where_there_is_nothing_to_find_and_nothing_given():
    found = check_score(
        "multi-label", np.full((5, 2), -3.0, np.float32), np.zeros((5, 2), np.uint8)
    )
    assert found[:2] == ("f1_micro", 0.0)
    assert all(math.isfinite(x) for x in found[1:])


def test_r2_of_equal_targets_is_taken_against_a_variance_of_one():
    name, score, loss, error = check_score(
        "regression", np.array([[0.5], [0.3]], np.float32), np.zeros(2, np.float32)
    )
    assert name == "r2"
    assert loss == pytest.approx((0.25 + 0.09) / 2)
    assert score == pytest.approx(1 - loss)
    assert error > 0


@pytest.mark.parametrize("task", ["classification", "multi-label", "regression"])
def test_the_losses_of_the_items_have_the_loss_as_their_mean(task):
    logits, targets = _draw(task)
    losses = item_losses(task, logits, targets)
    assert losses.shape == (len(targets),)
    assert losses.dtype == np.float64
    assert losses.mean() == pytest.approx(check_score(task, logits, targets)[2], rel=1e-5)
