"""The linear probe is scikit-learn's logistic or ridge regression, as a plain linear layer."""

import time
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, log_loss, r2_score

from headstart.errors import OptionError, StartError
from headstart.training.probing import linear
from headstart.training.probing import probe as probe_module
from headstart.training.probing.probe import ORDINARY, fit_probe


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
    probe = fit_probe(train, targets, val, val_targets, task="classification", num_outputs=classes)
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
    assert probe.val_score == (logits.argmax(axis=1) == val_targets).mean()


def test_separable_classes_are_separated():
    train, targets = features(spread=0.1)
    val, val_targets = features(90, seed=1, spread=0.1)
    probe = fit_probe(train, targets, val, val_targets, task="classification", num_outputs=3)
    assert probe.val_score == 1.0
    assert probe.weight.shape == (3, 6)
    assert probe.bias.shape == (3,)
    assert probe.weight.dtype == probe.bias.dtype == np.float32


def test_a_class_that_train_lacks_never_wins():
    train, targets = features()
    keep = targets != 1
    probe = fit_probe(
        train[keep], targets[keep], train, targets, task="classification", num_outputs=4
    )
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
        probe = fit_probe(train, targets, val, val_targets, task="classification", num_outputs=3)
    assert np.isfinite(probe.weight).all()
    assert probe.val_score == 1.0


def test_weights_help_the_rare_class():
    draws = np.random.default_rng(0)
    targets = (np.arange(1_000) % 20 == 0).astype(np.int64)
    train = draws.normal(size=(1_000, 2)).astype(np.float32)
    train[:, 0] += targets * 1.5
    plain = fit_probe(train, targets, train, targets, task="classification", num_outputs=2)
    weighted = fit_probe(
        train, targets, train, targets, task="classification", num_outputs=2, imbalance="weights"
    )

    def recall(probe):
        return (probe.logits(train).argmax(axis=1) == 1)[targets == 1].mean()

    assert recall(weighted) > recall(plain) + 0.2


def test_a_deadline_that_has_passed_still_gives_a_probe_and_soon(monkeypatch):
    train, targets = features(num=3_000, classes=30, dimensions=200, spread=6.0)
    build, taken = probe_module._solver, []

    def counted(*args):
        solve = build(*args)

        def count(strength, iterations):
            solved = solve(strength, iterations)
            taken.append(solved.num_iterations)
            return solved

        return count

    monkeypatch.setattr(probe_module, "_solver", counted)
    now = time.monotonic()
    probe = fit_probe(
        train,
        targets,
        train[:300],
        targets[:300],
        task="classification",
        num_outputs=30,
        deadline=now,
    )
    assert np.isfinite(probe.weight).all()
    assert probe.val_score > 3 / 30
    # one strength, and one more fit to measure what an iteration takes
    assert len(taken) == 2
    assert max(taken) <= 5
    taken.clear()
    fit_probe(train, targets, train[:300], targets[:300], task="classification", num_outputs=30)
    assert len(taken) > 2
    assert max(taken) > 5


def test_features_that_are_not_finite_are_refused(heard):
    train, targets = features()
    broken = train.copy()
    broken[3, 2] = np.nan
    with pytest.raises(StartError, match="not finite numbers") as told:
        fit_probe(broken, targets, broken, targets, task="classification", num_outputs=3)
    # of another start, as advised
    assert fit_probe(train, targets, train, targets, task="classification", num_outputs=3)
    heard(told.value)


# Labels, numbers, and sparse features ------------------------------------------------------------


def labels(num=400, dimensions=8, seed=0):
    draws = np.random.default_rng(seed)
    layer = np.random.default_rng(42).normal(size=(dimensions, 5))
    found = draws.normal(size=(num, dimensions)) * np.linspace(0.5, 20, dimensions) + 3
    logits = ((found - 3) / np.linspace(0.5, 20, dimensions)) @ layer - 0.5
    targets = (1 / (1 + np.exp(-logits)) > draws.random(logits.shape)).astype(np.uint8)
    return found.astype(np.float32), targets


def values(num=300, dimensions=6, seed=0, noise=0.1):
    draws = np.random.default_rng(seed)
    layer = np.random.default_rng(42).normal(size=dimensions) / np.sqrt(dimensions)
    found = draws.normal(size=(num, dimensions))
    targets = found @ layer + draws.normal(size=num) * noise
    found = found * np.linspace(0.01, 50, dimensions) + np.linspace(-20, 20, dimensions)
    return found.astype(np.float32), targets.astype(np.float32)


def terms(num=300, classes=3, seed=0):
    """Return unit rows of a few of 500 terms, as TF-IDF gives them, and classes they tell of."""
    draws = np.random.default_rng(seed)
    targets = np.arange(num) % classes
    counts = np.zeros((num, 500), dtype=np.float32)
    for row, target in enumerate(targets):
        own = draws.integers(0, 20, 4) + 20 * target
        counts[row, np.concatenate([own, draws.integers(60, 500, 6)])] += 1
    counts /= np.linalg.norm(counts, axis=1, keepdims=True)
    return csr_matrix(counts), targets


def test_labels_are_scikit_learns_regressions_one_by_one():
    train, targets = labels()
    val, val_targets = labels(200, seed=1)
    probe = fit_probe(train, targets, val, val_targets, task="multi-label", num_outputs=5)
    assert probe.metric == "f1_micro"
    mean, scale = train.mean(axis=0), train.std(axis=0)
    expected = np.stack(
        [
            LogisticRegression(C=probe.strength * 1000 / len(train), tol=1e-6)
            .fit((train - mean) / scale, targets[:, k])
            .predict_proba((val - mean) / scale)[:, 1]
            for k in range(5)
        ],
        axis=1,
    )
    logits = probe.logits(val)
    assert np.allclose(1 / (1 + np.exp(-logits)), expected, atol=5e-3)
    assert probe.val_score == pytest.approx(f1_score(val_targets, logits >= 0, average="micro"))
    losses = [log_loss(val_targets[:, k], expected[:, k]) for k in range(5)]
    assert probe.val_loss == pytest.approx(np.mean(losses), abs=2e-3)


def test_labels_that_none_or_all_have_are_constant():
    train, targets = labels()
    targets[:, 1], targets[:, 3] = 0, 1
    probe = fit_probe(train, targets, train, targets, task="multi-label", num_outputs=5)
    assert probe.bias[1] == -30
    assert probe.bias[3] == 30
    assert not probe.weight[[1, 3]].any()
    assert np.abs(probe.weight[[0, 2, 4]]).sum(axis=1).min() > 0


def test_weights_find_the_rare_label():
    draws = np.random.default_rng(0)
    targets = (np.arange(1_000) % 20 == 0).astype(np.uint8)[:, None]
    train = draws.normal(size=(1_000, 2)).astype(np.float32)
    train[:, :1] += targets * 1.5
    plain, weighted = (
        fit_probe(
            train, targets, train, targets, task="multi-label", num_outputs=1, imbalance=imbalance
        )
        for imbalance in ("none", "weights")
    )
    recall = [(p.logits(train) >= 0)[targets == 1].mean() for p in (plain, weighted)]
    assert recall[1] > recall[0] + 0.2


def test_blocks_of_labels_change_nothing(monkeypatch):
    train, targets = labels()
    whole = fit_probe(train, targets, train, targets, task="multi-label", num_outputs=5)
    monkeypatch.setattr(linear, "_MAX_BLOCK_NUMBERS", 20)  # two labels at once
    parts = fit_probe(train, targets, train, targets, task="multi-label", num_outputs=5)
    assert parts.strength == whole.strength
    # the solver stops within its tolerance of the same minimum
    chances = [1 / (1 + np.exp(-probe.logits(train))) for probe in (parts, whole)]
    assert np.allclose(*chances, atol=0.01)


@pytest.mark.parametrize("dimensions", [6, 400])
def test_values_are_scikit_learns_ridge(dimensions):
    """400 features of 300 samples take the dual way."""
    train, targets = values(dimensions=dimensions)
    val, val_targets = values(150, dimensions=dimensions, seed=1)
    probe = fit_probe(train, targets, val, val_targets, task="regression", num_outputs=1)
    mean, scale = train.mean(axis=0), train.std(axis=0)
    reference = Ridge(alpha=len(train) / (1000 * probe.strength))
    reference.fit(((train - mean) / scale).astype(float), targets.astype(float))
    expected = reference.predict((val - mean) / scale)
    found = probe.logits(val)
    assert found.shape == (150, 1)
    assert np.allclose(found[:, 0], expected, atol=1e-4)
    assert probe.metric == "r2"
    assert probe.val_score == pytest.approx(r2_score(val_targets, found[:, 0]), abs=1e-5)
    assert probe.val_loss == pytest.approx(((found[:, 0] - val_targets) ** 2).mean(), rel=1e-4)


def test_ordinary_least_squares_finds_a_line_exactly():
    x = np.array([[1], [2], [3], [4]], dtype=np.float32)
    standard = ((2 * x[:, 0] - 5) / np.sqrt(5)).astype(np.float32)
    probe = fit_probe(
        x, standard, x, standard, task="regression", num_outputs=1, strengths=ORDINARY
    )
    w = float(probe.weight[0, 0]) * np.sqrt(5)
    b = float(probe.bias[0]) * np.sqrt(5) + 5
    assert w == pytest.approx(2.0, abs=1e-6)
    assert b == pytest.approx(0.0, abs=1e-5)
    assert probe.strength == np.inf


def test_ordinary_least_squares_is_numpys_and_shares_weight_among_copies():
    train, targets = values()
    probe = fit_probe(
        train, targets, train, targets, task="regression", num_outputs=1, strengths=ORDINARY
    )
    design = np.concatenate([train.astype(float), np.ones((300, 1))], axis=1)
    expected = np.linalg.lstsq(design, targets.astype(float), rcond=None)[0]
    assert np.allclose(probe.weight[0], expected[:-1], rtol=1e-3, atol=1e-6)
    doubled = np.concatenate([train, train[:, :1], np.full((300, 1), 7, np.float32)], axis=1)
    copies = fit_probe(
        doubled, targets, doubled, targets, task="regression", num_outputs=1, strengths=ORDINARY
    )
    assert np.allclose(copies.logits(doubled), probe.logits(train), atol=1e-3)
    assert copies.weight[0, 0] == pytest.approx(copies.weight[0, 6], rel=1e-3)
    assert copies.weight[0, 7] == 0


@pytest.mark.parametrize("seed", range(3))
def test_one_hot_columns_beside_the_intercept_share_their_weight(seed):
    """Their sum is the intercept's column: rounding must not choose how far it is shifted."""
    draw = np.random.default_rng(seed)
    group = np.tile(np.arange(3), 70)
    x = draw.normal(size=210).astype(np.float32)
    hot = np.eye(3, dtype=np.float32)[group]
    train = np.concatenate([hot, x[:, None], (hot[:, :1] + x[:, None])], axis=1)
    targets = (np.array([-1.0, 0.2, 0.8])[group] + x + draw.normal(0, 0.1, 210)).astype(np.float32)
    probe = fit_probe(
        train, targets, train, targets, task="regression", num_outputs=1, strengths=ORDINARY
    )
    assert np.abs(probe.weight).max() < 2
    one_hot = fit_probe(
        train[:, :4],
        targets,
        train[:, :4],
        targets,
        task="regression",
        num_outputs=1,
        strengths=ORDINARY,
    )
    assert one_hot.weight[0, :3].sum() == pytest.approx(0, abs=1e-5)
    nothing = np.array([[0, 0, 0, x.mean()]], np.float32)
    assert one_hot.logits(nothing)[0, 0] == pytest.approx(targets.mean(), abs=1e-5)
    design = np.concatenate([hot, x[:, None]], axis=1).astype(float)
    expected = design @ np.linalg.lstsq(design, targets.astype(float), rcond=None)[0]
    for found in (one_hot.logits(train[:, :4]), probe.logits(train)):
        assert np.allclose(found[:, 0], expected, atol=1e-5)


def test_equal_targets_give_a_constant():
    train, _ = values()
    flat = np.zeros(300, dtype=np.float32)
    probe = fit_probe(train, flat, train, flat, task="regression", num_outputs=1)
    assert np.allclose(probe.logits(train), 0, atol=1e-6)
    assert probe.val_score == pytest.approx(1.0)


@pytest.mark.parametrize("classes", [2, 3])
def test_sparse_terms_are_scikit_learns_logistic_regression(classes):
    train, targets = terms(classes=classes)
    val, val_targets = terms(150, classes=classes, seed=1)
    probe = fit_probe(train, targets, val, val_targets, task="classification", num_outputs=classes)
    reference = LogisticRegression(C=probe.strength, tol=1e-6).fit(train, targets)
    logits = probe.logits(val)
    assert isinstance(logits, np.ndarray)
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    found /= found.sum(axis=1, keepdims=True)
    assert np.allclose(found, reference.predict_proba(val), atol=2e-3)
    assert probe.val_score > 0.95


def test_sparse_labels_and_values_agree_with_their_dense_reference():
    train, classes = terms()
    val, val_classes = terms(150, seed=1)
    wanted, val_wanted = (np.eye(3, dtype=np.uint8)[c] for c in (classes, val_classes))
    probe = fit_probe(train, wanted, val, val_wanted, task="multi-label", num_outputs=3)
    expected = LogisticRegression(C=probe.strength, tol=1e-6).fit(train, wanted[:, 0])
    assert np.allclose(
        1 / (1 + np.exp(-probe.logits(val)[:, 0])), expected.predict_proba(val)[:, 1], atol=5e-3
    )
    numbers, val_numbers = ((c - 1.0).astype(np.float32) for c in (classes, val_classes))
    probe = fit_probe(train, numbers, val, val_numbers, task="regression", num_outputs=1)
    ridge = Ridge(alpha=1 / probe.strength).fit(train.toarray(), numbers)
    assert np.allclose(probe.logits(val)[:, 0], ridge.predict(val.toarray()), atol=5e-3)
    assert probe.val_score > 0.5


def test_sparse_least_squares_is_ordinary():
    train, _ = terms()
    layer = np.random.default_rng(0).normal(size=500)
    dense = train.toarray()[:, :40]
    targets = (dense @ layer[:40]).astype(np.float32)
    probe = fit_probe(
        csr_matrix(dense),
        targets,
        csr_matrix(dense),
        targets,
        task="regression",
        num_outputs=1,
        strengths=ORDINARY,
    )
    assert np.allclose(probe.logits(csr_matrix(dense))[:, 0], targets, atol=1e-4)


def test_logistic_regression_without_a_penalty_is_allowed():
    train, targets = features(spread=4.0)
    probe = fit_probe(
        train, targets, train, targets, task="classification", num_outputs=3, strengths=ORDINARY
    )
    assert probe.strength == np.inf
    assert probe.val_score > 0.5


def test_one_class_always_wins():
    train, _ = features()
    targets = np.ones(len(train), dtype=np.int64)
    probe = fit_probe(train, targets, train, targets, task="classification", num_outputs=3)
    assert (probe.logits(train).argmax(axis=1) == 1).all()


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_a_deadline_that_has_passed_still_gives_a_probe_of_every_task(task):
    train, targets = labels() if task == "multi-label" else values()
    num_outputs = 5 if task == "multi-label" else 1
    probe = fit_probe(
        train,
        targets,
        train,
        targets,
        task=task,
        num_outputs=num_outputs,
        deadline=time.monotonic(),
    )
    assert np.isfinite(probe.weight).all()
    assert probe.val_score > 0.3


def test_sparse_features_that_are_not_finite_are_refused():
    train, targets = terms()
    train.data[5] = np.inf
    with pytest.raises(StartError, match="not finite numbers"):
        fit_probe(train, targets, train, targets, task="classification", num_outputs=3)


def test_a_regression_cannot_be_weighed_by_class(heard):
    train, targets = values()
    with pytest.raises(
        OptionError, match="imbalance is 'weights', but the task is regression"
    ) as told:
        fit_probe(
            train, targets, train, targets, task="regression", num_outputs=1, imbalance="weights"
        )
    assert fit_probe(train, targets, train, targets, task="regression", num_outputs=1)
    heard(told.value)


def test_a_penalty_that_rounding_swallows_is_none():
    train, targets = values()
    doubled = np.concatenate([train, train], axis=1)  # its products have no inverse
    ordinary, swallowed = (
        fit_probe(
            doubled, targets, doubled, targets, task="regression", num_outputs=1, strengths=(s,)
        )
        for s in (np.inf, 1e15)
    )
    assert np.array_equal(ordinary.weight, swallowed.weight)
