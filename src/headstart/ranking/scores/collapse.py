"""How near classes are to collapsing onto their centres, seen on samples that were held out."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from headstart.ranking.scores.outcome import Outcome, joined_copies
from headstart.ranking.scores.shrinkage import ledoit_wolf

_FOLDS = 5
_DIMENSION = 64  # principal components


def collapse_score(
    features: np.ndarray, targets: np.ndarray, *, groups: np.ndarray | None = None, seed: int = 0
) -> Outcome:
    """Return how well a shrunk linear discriminant tells classes that it was not fitted on.

    NCTI (Wang et al. 2023) measures the distance to neural collapse on the samples that it is
    fitted on, and scales its terms over the pool of candidates. Here both are left out: five folds,
    absolute units. ``log_loss`` is the mean negative log probability of the nearest centre plus one
    minus the share of the scatter that lies between classes, both on held-out samples: lower is
    nearer to collapse.

    Args:
        features: Float, shape (N, D); its first 64 principal components are used.
        targets: Classes, whole numbers, shape (N,); all of those from 0 on occur.
        groups: A group is in one fold, as are samples of equal features.
        seed: Of the folds.

    Source:
        Wang et al. 2023, ICCV, "How far pre-trained models are from neural collapse on the target
        dataset informs their transferability"; Ledoit and Wolf 2004 (shrinkage).
    """
    centred = features - features.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    parts = left[:, :_DIMENSION] * values[:_DIMENSION]
    folds = _folds(joined_copies(features, groups), targets, seed)
    logs, between = np.zeros(len(targets)), np.zeros(len(targets))
    outcomes, within = np.zeros(len(targets)), np.zeros(len(targets))
    for fold in range(_FOLDS):
        held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if not len(held) or not len(rest):
            continue
        centres, whiten, middle = _discriminant(parts[rest], targets[rest], int(targets.max()) + 1)
        points = parts[held] @ whiten
        distances = ((points[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
        logits = np.where(np.isnan(distances), -np.inf, -0.5 * distances)
        told = logits - logsumexp(logits, axis=1, keepdims=True)
        floor = -np.log(len(rest))  # a class that the other folds lack is unlikely, not impossible
        logs[held] = np.maximum(told[np.arange(len(held)), targets[held]], floor)
        outcomes[held] = logits.argmax(axis=1) == targets[held]
        own = centres[targets[held]]
        between[held] = np.nan_to_num(((own - middle) ** 2).sum(axis=1))
        within[held] = np.nan_to_num(((points - own) ** 2).sum(axis=1))
    scatter = float(between.sum() + within.sum())
    share = float(between.sum()) / scatter if scatter > 0 else 0.0
    return Outcome(float(outcomes.mean()), float(-logs.mean() + 1 - share), outcomes, share)


def _discriminant(
    points: np.ndarray, targets: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centres (C, d) in a space where the spread within classes is one, the way, the middle.

    Centres of classes without a sample are NaN.
    """
    counts = np.bincount(targets, minlength=num_classes)
    sums = np.zeros((num_classes, points.shape[1]))
    np.add.at(sums, targets, points)
    with np.errstate(invalid="ignore"):
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], np.nan)
    covariance, _ = ledoit_wolf(points - centres[targets])
    values, vectors = np.linalg.eigh(covariance)
    spread = np.sqrt(np.maximum(values, max(values.max(initial=0), 1e-30) * 1e-10))
    whiten = vectors / spread
    return centres @ whiten, whiten, points.mean(axis=0) @ whiten


def _folds(groups: np.ndarray, targets: np.ndarray, seed: int) -> np.ndarray:
    """Return a fold a sample, int64, shape (N,): groups whole, classes spread evenly."""
    first = np.unique(groups, return_index=True)[1]
    order = np.random.default_rng(seed).permutation(len(first))
    by_class = order[np.argsort(targets[first][order], kind="stable")]
    fold_of = np.empty(int(groups.max()) + 1, np.int64)
    fold_of[groups[first[by_class]]] = np.arange(len(first)) % _FOLDS
    found: np.ndarray = fold_of[groups]
    return found
