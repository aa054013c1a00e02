import dataclasses

import numpy as np
import pandas as pd
import pytest
from planted import digits

import headstart.auditing.probe_features as module
from headstart.auditing.audit import AuditTools, Spot
from headstart.auditing.out_of_fold import FoldSums, assign_folds, standardised
from headstart.auditing.pixel_features import NUM_WAVES
from headstart.auditing.pool import pooled, with_features
from headstart.auditing.probe_features import ProbeFeatures
from headstart.data import load

RNG = np.random.default_rng(0)


def _texts(num):
    words = ["film", "plot", "scene", "we", "they", "saw", "that", "day"]
    return [" ".join(RNG.choice(words, 6)) for _ in range(num)], list(RNG.choice(["a", "b"], num))


def test_without_a_start_images_have_their_pixels_and_texts_their_terms(monkeypatch) -> None:
    monkeypatch.setattr("headstart.starts.candidates.local_starts", lambda modality: [])
    images = ProbeFeatures(digits())
    assert images.start == "pixels"
    assert images("train").shape == (len(digits().train), NUM_WAVES)
    texts = ProbeFeatures(load(_texts(120)))
    assert texts.start == "scratch/tfidf"
    found = texts("test")
    assert found.dtype == np.float32
    assert 1 < found.shape[1] <= module.NUM_DIRECTIONS
    assert np.isfinite(found).all()


def test_pixels_tell_digits_apart(monkeypatch) -> None:
    from sklearn.linear_model import RidgeClassifier

    monkeypatch.setattr("headstart.starts.candidates.local_starts", lambda modality: [])
    dataset = digits()
    features = ProbeFeatures(dataset)
    probe = RidgeClassifier(alpha=1.0).fit(features("train"), dataset.train.targets)
    assert probe.score(features("test"), dataset.test.targets) > 0.95


def test_small_pictures_whose_features_take_too_long_have_their_pixels(
    monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))  # nothing is kept of other tests
    features = ProbeFeatures(digits(), seconds=0.05)  # too short for any machine
    features("train")
    assert features.start == "pixels"
    assert "small pictures" in features.findings[0].sentence


def test_rows_have_their_columns(tmp_path) -> None:
    frame = pd.DataFrame(
        {"x": RNG.normal(size=90), "k": RNG.choice(["u", "v", "w"], 90), "y": [0, 1, 1] * 30}
    )
    dataset = load(frame, label="y")
    features = ProbeFeatures(dataset)
    assert features.start == "scratch/linear"
    assert features("train").shape == (len(dataset.train), 4)


def test_what_does_not_fit_is_left_out_at_random_and_said(monkeypatch) -> None:
    monkeypatch.setattr("headstart.starts.candidates.local_starts", lambda modality: [])
    monkeypatch.setattr(module, "MAX_BYTES", 4 * NUM_WAVES * 600)
    dataset = digits()
    features = ProbeFeatures(dataset)
    rows = features("train")
    is_there = np.isfinite(rows).all(axis=1)
    assert is_there.sum() == pytest.approx(600 * len(rows) / 1797, abs=2)
    assert np.isnan(rows[~is_there]).all()
    assert "the memory for features of pixels" in features.findings[0].sentence
    pool, found = with_features(pooled(dataset, ("train",)), AuditTools(features=features))
    assert len(pool) == len(found) == is_there.sum()
    assert pool.spot(0) == Spot("train", int(np.flatnonzero(is_there)[0]))


def test_an_image_that_cannot_be_read_has_no_features(tmp_path, monkeypatch) -> None:
    from PIL import Image

    monkeypatch.setattr("headstart.starts.candidates.local_starts", lambda modality: [])
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(70):
            pixels = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    broken = tmp_path / "cat" / "3.png"
    broken.write_bytes(broken.read_bytes()[:300])
    dataset = load(str(tmp_path), max_bad_fraction=0.2)
    features = ProbeFeatures(dataset)
    missing = [
        dataset.split(name).samples.name(i)
        for name in ("train", "val", "test")
        for i in np.flatnonzero(np.isnan(features(name)).any(axis=1))
    ]
    bad = [sample.name for sample in dataset.bad_samples]
    assert [name.endswith("3.png") for name in missing + bad] == [True]


def test_folds_keep_groups_whole_and_classes_spread() -> None:
    strata, groups = RNG.integers(0, 4, 1_000), RNG.integers(0, 300, 1_000)
    folds = assign_folds(strata, groups)
    assert all(len(np.unique(folds[groups == g])) == 1 for g in np.unique(groups))
    alone = assign_folds(strata, None)
    for k in range(4):
        counts = np.bincount(alone[strata == k], minlength=5)
        assert np.ptp(counts) <= 1


def test_the_discriminant_is_that_of_scikit_learn_in_the_limit() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    truth = RNG.integers(0, 3, 600)
    rows = standardised((RNG.normal(size=(600, 5)) + np.eye(5)[truth]).astype(np.float32))
    folds = assign_folds(truth, None)
    sums = FoldSums(rows, folds)
    said = np.empty((600, 3))
    theirs = np.empty((600, 3))
    for fold in range(5):
        said[folds == fold] = sums.logits(truth, 3, fold, 3.0)
        shrunk = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.75)
        shrunk.fit(rows[folds != fold], truth[folds != fold])
        theirs[folds == fold] = shrunk.decision_function(rows[folds == fold])
    assert (said.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.99


def test_little_is_shrunk_where_samples_are_many_and_much_where_they_are_few() -> None:
    truth = RNG.integers(0, 3, 3_000)
    # what tells the classes apart is where the features, all alike, differ by little
    alike = RNG.normal(size=(3_000, 1)) + 0.1 * RNG.normal(size=(3_000, 8))
    many = standardised((alike + 0.1 * np.eye(8)[truth]).astype(np.float32))
    few = standardised((RNG.normal(size=(150, 120)) + np.eye(120)[truth[:150]]).astype(np.float32))
    little = FoldSums(many, assign_folds(truth, None)).best_shrinkage(truth, 3)
    much = FoldSums(few, assign_folds(truth[:150], None)).best_shrinkage(truth[:150], 3)
    assert little <= 1.0 <= much


def test_a_constant_feature_is_not_blown_up() -> None:
    rows = RNG.normal(size=(200, 3)).astype(np.float32)
    rows[:, 1] = 0.1 + RNG.normal(0, 1e-9, 200).astype(np.float32)
    assert np.abs(standardised(rows)[:, 1]).max() == 0


def test_ids_that_repeat_in_copies_find_their_places(monkeypatch) -> None:
    monkeypatch.setattr("headstart.starts.candidates.local_starts", lambda modality: [])
    dataset = digits()
    train = dataset.train
    images = np.stack([train.samples.read(i) for i in range(40)])
    double = load((np.concatenate([images, images]), np.tile(train.targets[:40] % 2, 2)))
    features = ProbeFeatures(dataclasses.replace(double))
    assert all(np.isfinite(features(name)).all() for name in ("train", "val", "test"))
