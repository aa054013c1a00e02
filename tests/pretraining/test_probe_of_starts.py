"""The probe of a pretraining is ridge regression by samples left out, as scikit-learn has it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tiny_learner import make_learner

from headstart.pretraining.probe import STRENGTHS, ridge_probe
from headstart.training.batches.order import Share


def parted(X, y):
    order = np.random.default_rng(0).permutation(len(X))
    learned, held = order[: len(X) // 2], order[len(X) // 2 :]
    return X[learned], y[learned], X[held], y[held]


def alphas(X):
    """Return the penalties that are tried, in scikit-learn's units."""
    scaled = StandardScaler().fit_transform(X)
    singular = np.linalg.svd(scaled, compute_uv=False)
    return STRENGTHS * float(np.mean(singular**2))


def test_numbers_are_told_as_well_as_by_scikit_learn():
    X, y, val_X, val_y = parted(*load_diabetes(return_X_y=True))
    theirs = make_pipeline(StandardScaler(), RidgeCV(alphas(X))).fit(X, y)
    assert ridge_probe(X, y, val_X, val_y) == pytest.approx(theirs.score(val_X, val_y), abs=1e-3)


def test_classes_are_told_as_well_as_by_scikit_learn():
    X, y, val_X, val_y = parted(*load_digits(return_X_y=True))
    theirs = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas(X))).fit(X, y)
    assert ridge_probe(X, y, val_X, val_y) == pytest.approx(theirs.score(val_X, val_y), abs=0.01)
    names_missing = y != 3  # of a class that nobody has shown nothing is right
    score = ridge_probe(X[names_missing], y[names_missing], val_X, val_y)
    assert score <= 1 - (val_y == 3).mean()


@pytest.mark.parametrize(
    ("size", "channels", "address", "num_patches"),
    [(28, 1, "scratch/vit-mini", 49), (224, 3, "scratch/vit-tiny", 196)],
)
def test_images_of_28_and_of_224_pixels_are_learned_from(size, channels, address, num_patches):
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (6, size, size, channels), dtype=np.uint8)
    learner = make_learner(images, start=address, input_size=size, batch_size=2, num_steps=1)
    assert learner.module.num_patches == num_patches
    assert learner.hiding.num_seen == num_patches - round(0.75 * num_patches)
    (batch,) = learner.feed(Share()).batches(0)
    loss = learner.compute_loss(batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert learner.hiding.is_normalised
    half = make_learner(
        images, start=address, input_size=size, batch_size=2, num_steps=1, precision="bf16"
    )
    in_half = half.compute_loss(batch).detach()
    assert in_half.dtype == torch.float32
    assert float(in_half) == pytest.approx(float(loss.detach()), rel=0.02)
