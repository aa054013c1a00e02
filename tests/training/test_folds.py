"""Where val is small the penalty is chosen by cross-validation over train and val."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

import headstart as hs
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.training.probing.folds import FEW_SAMPLES, NUM_FOLDS, as_unseen, deal_folds
from headstart.training.probing.methods import PROBES
from headstart.training.probing.probe import fit_probe
from headstart.tuning import solving
from headstart.tuning.setup import set_up


def _draw(num: int, dimensions: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features of which one tells two classes, weakly."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num, dimensions)).astype(np.float32)
    return features, (features[:, 0] + rng.normal(size=num) > 0).astype(np.int64)


def test_a_fold_holds_whole_groups_and_its_share_of_each_class():
    groups = np.arange(200) // 2
    targets = groups % 10 // 9  # one in ten
    folds = deal_folds(targets, groups)
    assert (folds[0::2] == folds[1::2]).all()
    assert set(folds) == set(range(NUM_FOLDS))
    rare = np.bincount(folds[targets == 1], minlength=NUM_FOLDS)
    assert set(rare) == {4}
    assert np.array_equal(folds, deal_folds(targets, groups))
    assert deal_folds(targets, np.zeros(200)).max() == 0


def test_the_penalty_is_the_one_that_scikit_learn_finds_best_on_the_same_folds():
    train, targets = _draw(150, 40, seed=1)
    val, val_targets = _draw(30, 40, seed=2)
    probe = fit_probe(train, targets, val, val_targets, task="classification", num_outputs=2)
    rows, wanted = np.concatenate([train, val]), np.concatenate([targets, val_targets])
    folds, losses = deal_folds(wanted, None), {}
    for strength in PROBES["logistic"].strengths:
        said = np.empty((len(rows), 2), np.float64)
        for fold in range(NUM_FOLDS):
            inner, outer = folds != fold, folds == fold
            scaler = StandardScaler().fit(rows[inner])
            learner = LogisticRegression(C=strength * 1000 / inner.sum(), max_iter=200, tol=1e-3)
            learner.fit(scaler.transform(rows[inner]), wanted[inner])
            said[outer] = learner.predict_proba(scaler.transform(rows[outer]))
        losses[strength] = log_loss(wanted, said / said.sum(axis=1, keepdims=True))
    assert probe.strength == min(losses, key=losses.__getitem__)
    assert probe.strength < max(losses)
    assert "5-fold cross-validation over train and val" in probe.chosen_by


def test_few_val_items_no_longer_choose_the_weakest_penalty():
    found = load_breast_cancer()
    features, targets = found.data.astype(np.float32), found.target.astype(np.int64)
    strengths = []
    for seed in range(12):
        order = np.random.default_rng(seed).permutation(len(targets))
        train, val = order[:150], order[150:170]
        given = features[train], targets[train], features[val], targets[val]
        probe = fit_probe(*given, task="classification", num_outputs=2)
        strengths.append(probe.strength)
    # val alone takes the weakest of all in five draws of these twelve
    assert strengths.count(max(PROBES["logistic"].strengths)) <= 1


def test_many_val_items_choose_by_themselves():
    train, targets = _draw(200, 5, seed=1)
    val, val_targets = _draw(FEW_SAMPLES, 5, seed=2)
    probe = fit_probe(train, targets, val, val_targets, task="classification", num_outputs=2)
    assert probe.chosen_by == "val"


def test_copies_in_groups_do_not_make_a_weak_penalty_look_good():
    train, targets = _draw(60, 200, seed=1)
    train, targets = np.repeat(train, 4, axis=0), np.repeat(targets, 4)
    val, val_targets = _draw(20, 200, seed=2)
    groups = np.repeat(np.arange(60), 4), np.arange(60, 80)
    known, unknown = (
        fit_probe(
            train, targets, val, val_targets, task="classification", num_outputs=2, groups=given
        )
        for given in (groups, None)
    )
    assert known.strength < unknown.strength


def test_of_a_class_that_no_sample_showed_nothing_is_asked():
    logits, learned = np.arange(12.0).reshape(4, 3), np.array([0, 2])
    asked, wanted = PROBES["logistic"].answerable(logits, np.array([0, 1, 2, 1]), learned)
    assert wanted.tolist() == [0, 2]
    assert np.array_equal(asked, logits[[0, 2]])
    labels = np.eye(4, 3, dtype=np.uint8)
    asked, wanted = PROBES["logistic-labels"].answerable(logits, labels, learned)
    assert np.array_equal(asked, logits[:, [0, 2]])
    assert np.array_equal(wanted, labels[:, [0, 2]])


def test_a_class_of_one_sample_is_no_obstacle():
    train, targets = _draw(100, 30, seed=1)
    val, val_targets = _draw(20, 30, seed=2)
    targets[7] = 2
    probe = fit_probe(train, targets, val, val_targets, task="classification", num_outputs=4)
    assert "cross-validation" in probe.chosen_by
    only = np.arange(6)  # nothing can be asked: each class has one sample
    lone = fit_probe(train[:6], only, val[:6], only, task="classification", num_outputs=6)
    assert np.isfinite(lone.weight).all()
    lost = fit_probe(train[:3], only[:3], val[:3], only[3:], task="classification", num_outputs=6)
    assert lost.chosen_by == "val"


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_other_tasks_and_sparse_features_are_cross_validated_too(task):
    rng = np.random.default_rng(0)
    dense = (rng.random((200, 60)) < 0.1) * rng.random((200, 60))
    if task == "multi-label":
        targets = (dense[:, :3] > 0).astype(np.uint8)
    else:
        targets = dense[:, :9].sum(axis=1) + 0.1 * rng.normal(size=200)
    for features in (dense.astype(np.float32), csr_matrix(dense.astype(np.float32))):
        probe = fit_probe(
            features[:160],
            targets[:160],
            features[160:],
            targets[160:],
            task=task,
            num_outputs=3 if task == "multi-label" else 1,
        )
        assert "cross-validation" in probe.chosen_by
        assert np.isfinite(probe.weight).all()
        assert probe.val_score > 0.3


def test_a_text_left_out_looks_like_one_that_train_never_had():
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["a bb cc", "bb cc dd", "cc dd ee only", "alone bb dd"]
    rows = TfidfVectorizer(token_pattern=r"\w+", use_idf=False).fit_transform(texts)
    found = as_unseen(rows[2:], rows[:2]).toarray()
    later = TfidfVectorizer(token_pattern=r"\w+", use_idf=False).fit(texts[:2])
    expected = later.transform(texts[2:]).toarray()
    assert np.sort(found, axis=1)[:, -3:] == pytest.approx(np.sort(expected, axis=1)[:, -3:])
    assert found.sum() == pytest.approx(expected.sum())
    dense = rows.toarray()
    assert as_unseen(dense[2:], dense[:2]) is not None
    assert np.array_equal(as_unseen(dense[2:], dense[:2]), dense[2:])
    counts = csr_matrix(np.array([[0, 2.0, 3.0]]))  # no lengths of 1: nothing to give back
    assert as_unseen(counts, csr_matrix(np.array([[0, 1.0, 0]]))).toarray().tolist() == [[0, 2, 0]]


def test_folds_take_half_of_the_time_at_most_and_none_when_it_is_over():
    train, targets = _draw(4_000, 400, seed=1)
    val, val_targets = _draw(50, 400, seed=2)
    asked = {"task": "classification", "num_outputs": 2}
    late = fit_probe(train, targets, val, val_targets, **asked, deadline=time.monotonic())
    assert late.chosen_by == "val"
    began = time.monotonic()
    fit_probe(train, targets, val, val_targets, **asked, deadline=began + 0.5)
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("is_told", [True, False])
def test_a_probe_of_a_data_set_knows_its_groups_and_its_copies(monkeypatch, is_told):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(60, 3)).round(3), columns=list("abc"))
    rows["who"] = np.arange(60) // 3
    rows["label"] = np.where(rows["a"] > 0, "up", "down")
    rows = pd.concat([rows] * 2, ignore_index=True)  # every row has a copy
    told = {"group": "who"} if is_told else {"drop": ["who"]}
    data = hs.load(rows, label="label", **told)
    setup = set_up(
        data,
        find_start("scratch/mlp"),
        TrainingOptions(strategy="head"),
        device=torch.device("cpu"),
    )
    parts = [setup.preprocess.prepare(data, name) for name in ("train", "val")]
    asked = []

    def fit(*given, groups, **options):
        asked.append(groups)
        return fit_probe(*given, groups=groups, **options)

    monkeypatch.setattr("headstart.tuning.solving.fit_probe", fit)
    found = solving.probe(setup, *parts, imbalance="none", limit=1_000, deadline=None)
    assert "cross-validation" in found.chosen_by
    groups = asked[0][0]
    # six rows of each who, or two of each content
    assert set(np.unique(groups, return_counts=True)[1]) == {6 if is_told else 2}
