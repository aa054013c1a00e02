"""The linear probe is scikit-learn's logistic regression, as a plain linear layer."""

import time
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from headstart.errors import StartError
from headstart.training.probe import fit_probe


def features(num=300, classes=3, dimensions=6, seed=0, spread=1.0):
    draws = np.random.default_rng(seed)
    centres = np.random.default_rng(42).normal(size=(classes, dimensions)) * 3
    targets = np.arange(num) % classes
    found = centres[targets] + draws.normal(size=(num, dimensions)) * spread
    # scales and offsets that the folding has to take back
    found = found * np.linspace(0.01, 50, dimensions) + np.linspace(-20, 20, dimensions)
    return found.astype(np.float32), targets


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_it_decides_like_scikit_learn_on_standardised_features(classes):
    train, targets = features(classes=classes, spread=2.0)
    val, val_targets = features(150, classes=classes, seed=1, spread=2.0)
    probe = fit_probe(train, targets, val, val_targets, num_classes=classes)
    mean, scale = train.mean(axis=0), train.std(axis=0)
    # L2 needs a strength, so the reference takes the one that was chosen
    reference = LogisticRegression(C=probe.strength * 1000 / len(train), max_iter=200, tol=1e-3)
    reference.fit((train - mean) / scale, targets)
    expected = reference.predict_proba((val - mean) / scale)
    logits = probe.logits(val)
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    found /= found.sum(axis=1, keepdims=True)
    assert np.allclose(found, expected, atol=1e-3)
    assert np.array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    assert probe.val_accuracy == (logits.argmax(axis=1) == val_targets).mean()


def test_separable_classes_are_separated():
    train, targets = features(spread=0.1)
    val, val_targets = features(90, seed=1, spread=0.1)
    probe = fit_probe(train, targets, val, val_targets, num_classes=3)
    assert probe.val_accuracy == 1.0
    assert probe.weight.shape == (3, 6)
    assert probe.bias.shape == (3,)
    assert probe.weight.dtype == probe.bias.dtype == np.float32


def test_a_class_that_train_lacks_never_wins():
    train, targets = features()
    keep = targets != 1
    probe = fit_probe(train[keep], targets[keep], train, targets, num_classes=4)
    predictions = probe.logits(train).argmax(axis=1)
    assert set(predictions) == {0, 2}
    assert np.isfinite(probe.val_loss)


def test_constant_and_nearly_constant_features_do_no_harm():
    train, targets = features(spread=0.1)
    val, val_targets = features(90, seed=1, spread=0.1)
    noise = np.random.default_rng(0).normal(size=(len(train), 1)) * 1e-9
    train = np.concatenate([train, np.full((len(train), 1), 7.0), 3 + noise], axis=1)
    val = np.concatenate([val, np.full((len(val), 2), 7.0)], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe = fit_probe(train, targets, val, val_targets, num_classes=3)
    assert np.isfinite(probe.weight).all()
    assert probe.val_accuracy == 1.0


def test_weights_help_the_rare_class():
    draws = np.random.default_rng(0)
    targets = (np.arange(1_000) % 20 == 0).astype(np.int64)
    train = draws.normal(size=(1_000, 2)).astype(np.float32)
    train[:, 0] += targets * 1.5
    plain = fit_probe(train, targets, train, targets, num_classes=2)
    weighted = fit_probe(train, targets, train, targets, num_classes=2, imbalance="weights")

    def recall(probe):
        return (probe.logits(train).argmax(axis=1) == 1)[targets == 1].mean()

    assert recall(weighted) > recall(plain) + 0.2


def test_a_deadline_that_has_passed_still_gives_a_probe_and_soon():
    train, targets = features(num=3_000, classes=30, dimensions=200, spread=6.0)
    began = time.monotonic()
    probe = fit_probe(train, targets, train[:300], targets[:300], num_classes=30, deadline=began)
    hurried = time.monotonic() - began
    assert np.isfinite(probe.weight).all()
    assert probe.val_accuracy > 3 / 30
    assert hurried < 1.5


def test_features_that_are_not_finite_are_refused():
    train, targets = features()
    train[3, 2] = np.nan
    with pytest.raises(StartError, match="not finite numbers"):
        fit_probe(train, targets, train, targets, num_classes=3)
