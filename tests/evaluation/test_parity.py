"""Every figure is scikit-learn's, on 200 random cases a task: ties, empty and absent classes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from headstart.evaluation import (
    class_sums,
    label_sums,
    resample_together,
    score_classes,
    score_labels,
    score_values,
    value_sums,
)
from headstart.evaluation.paired import unit_draws

NUM_CASES = 200
EXACT = {"abs": 1e-9, "rel": 1e-9}


def _same(found: dict[str, float], expected: dict[str, float], case: object) -> None:
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, **EXACT), (name, case)


def _values(figures) -> dict[str, float]:
    return {name: figure.value for name, figure in figures.items()}


def _of_classes(targets, said, num_classes: int) -> dict[str, float]:
    macro = reference.precision_recall_fscore_support(
        targets, said, average="macro", zero_division=0
    )
    return {
        "accuracy": reference.accuracy_score(targets, said),
        "precision_macro": macro[0],
        "recall_macro": macro[1],
        "f1_macro": macro[2],
    }


def _ece(confidences: np.ndarray, is_right: np.ndarray) -> float:
    """Return equation 3 of Guo et al. (2017), 15 bins that are closed above."""
    bins = np.clip(np.ceil(confidences * 15), 1, 15)
    gaps = (abs((is_right - confidences)[bins == k].sum()) for k in range(1, 16))
    return sum(gaps) / len(confidences)


def _case(seed: int) -> tuple[np.random.Generator, int, int, bool]:
    rng = np.random.default_rng(seed)
    return rng, int(rng.integers(5, 70)), int(rng.integers(2, 8)), bool(rng.random() < 0.5)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes that are not there
        yield


def test_figures_of_classes_are_those_of_scikit_learn():
    absent = ties = 0
    for seed in range(NUM_CASES):
        rng, num, K, is_coarse = _case(seed)
        targets = rng.choice(K, size=num, p=rng.dirichlet(np.full(K, 0.5)))
        probabilities = rng.dirichlet(np.full(K, 0.4), num)
        if is_coarse:
            probabilities = rng.multinomial(6, probabilities) / 6
        names = [f"c{k}" for k in range(K)]
        found = _values(score_classes(probabilities, targets, names, num_resamples=0).figures)
        said = probabilities.argmax(axis=1)
        expected = _of_classes(targets, said, K)
        # scikit-learn refuses classes without items: the mean is over those that have some
        one_hot = np.eye(K, dtype=int)[targets]
        told = [k for k in range(K) if 0 < one_hot[:, k].sum() < num]
        if told:
            columns = one_hot[:, told], probabilities[:, told]
            expected["roc_auc"] = reference.roc_auc_score(*columns, average="macro")
        expected["log_loss"] = reference.log_loss(targets, probabilities, labels=range(K))
        expected["ece"] = _ece(probabilities.max(axis=1), said == targets)
        expected["brier"] = K * reference.mean_squared_error(one_hot, probabilities)
        if set(said) <= set(targets):  # else a class that is only predicted counts as not found
            expected["recall_macro"] = reference.balanced_accuracy_score(targets, said)
        _same(found, expected, seed)
        absent += len(set(targets)) < K
        ties += len(np.unique(probabilities[:, 0])) < num
    assert min(absent, ties) > 40


def test_figures_of_labels_are_those_of_scikit_learn():
    empty = 0
    for seed in range(NUM_CASES):
        rng, num, K, is_coarse = _case(seed)
        probabilities = rng.random((num, K))
        if is_coarse:
            probabilities = np.round(probabilities, 1)
        targets = (rng.random((num, K)) < rng.beta(0.5, 1.0, K)).astype(np.uint8)
        names = [f"l{k}" for k in range(K)]
        found = _values(score_labels(probabilities, targets, names, num_resamples=0).figures)
        said = (probabilities >= 0.5).astype(np.uint8)
        seen = (targets.sum(axis=0) + said.sum(axis=0)) > 0
        both = [k for k in range(K) if 0 < targets[:, k].sum() < num]
        expected = {
            "exact_match": reference.accuracy_score(targets, said),
            "hamming_loss": reference.hamming_loss(targets, said),
            "brier": reference.mean_squared_error(targets, probabilities),
            "log_loss": reference.log_loss(targets.ravel(), probabilities.ravel(), labels=[0, 1]),
        }
        for average, columns in (("micro", slice(None)), ("macro", seen)):
            three = reference.precision_recall_fscore_support(
                targets[:, columns], said[:, columns], average=average, zero_division=0
            )
            names = [f"{name}_{average}" for name in ("precision", "recall", "f1")]
            expected |= dict(zip(names, three[:3], strict=True))
        if seen.sum() < 2:  # scikit-learn then takes the column for a binary task
            expected = {n: v for n, v in expected.items() if not n.endswith(("micro", "macro"))}
        if both:
            columns = targets[:, both], probabilities[:, both]
            expected["roc_auc"] = reference.roc_auc_score(*columns)
            expected["average_precision"] = reference.average_precision_score(*columns)
        _same(found, expected, seed)
        empty += len(both) < K
    assert empty > 40


def test_figures_of_values_are_those_of_scikit_learn():
    for seed in range(NUM_CASES):
        rng, num, _, is_coarse = _case(seed)
        targets = rng.normal(rng.choice([0.0, 50.0]), 3.0, num)
        values = targets + rng.standard_t(3, num)
        if is_coarse:
            targets, values = np.round(targets), np.round(values)
        expected = {
            "rmse": reference.root_mean_squared_error(targets, values),
            "mse": reference.mean_squared_error(targets, values),
            "mae": reference.mean_absolute_error(targets, values),
            "median_absolute_error": reference.median_absolute_error(targets, values),
            "bias": float(np.mean(values - targets)),
        }
        if np.ptp(targets) > 0:
            expected["r2"] = reference.r2_score(targets, values)
        if np.ptp(targets) > 0 and np.ptp(values) > 0:
            expected["pearson"] = stats.pearsonr(values, targets).statistic
            expected["spearman"] = stats.spearmanr(values, targets).statistic
        _same(_values(score_values(values, targets, num_resamples=0).figures), expected, seed)


def test_figures_of_resamples_are_those_of_the_repeated_items():
    """A resample may lack a class that the items have: it is then left out there, too."""
    lacking = 0
    for seed in range(NUM_CASES):
        rng, num, K, _ = _case(seed)
        targets = rng.choice(K, size=num, p=rng.dirichlet(np.full(K, 0.5)))
        said = np.where(rng.random(num) < 0.6, targets, rng.integers(0, K, num))
        labels, given = (rng.random((num, K)) < 0.3 for _ in range(2))
        numbers, losses = rng.normal(size=(2, num)), rng.random(num)
        classes, several, values = resample_together(
            [
                class_sums(said, targets, K, losses),
                label_sums(given, labels, losses),
                value_sums(numbers[0], numbers[1]),
            ],
            num,
            seed=seed,
            num_resamples=40,
        )
        counts = unit_draws(num, 40, seed)[0][:, 0]
        items = np.repeat(np.arange(num), counts)
        first = {name: drawn[0] for name, drawn in classes.drawn.items()}
        _same(first, _of_classes(targets[items], said[items], K), seed)
        assert first["log_loss"] == pytest.approx(losses[items].mean())
        lacking += len(set(targets[items])) < len(set(targets))
        micro = reference.f1_score(labels[items], given[items], average="micro", zero_division=0)
        assert several.drawn["f1_micro"][0] == pytest.approx(micro, **EXACT)
        pair = numbers[1][items], numbers[0][items]
        assert values.drawn["rmse"][0] == pytest.approx(
            reference.root_mean_squared_error(*pair), **EXACT
        )
        if len(set(items)) > 1:
            assert values.drawn["r2"][0] == pytest.approx(reference.r2_score(*pair), **EXACT)
    assert lacking > 40
