"""What a probe says of samples that it has not learned from: cross-validated, copies kept together.

The probe of dense features is a linear discriminant with a shrunk covariance, written out because
one pass over the samples serves every fold: what a fold learns from is all sums less its own. On
frozen features with wrong labels among them it ranked the wrong ones better than logistic
regression did at any strength (docs/experiments.md), in a tenth of the time. Where samples have a
second form (the terms of a text), a logistic regression on that one speaks too, of pictures the
nearest ones, and the mean of both logits counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluation import fit_temperature, softmax
from headstart.training.probing.linear import few_threads, solve_classes

NUM_FOLDS = 5
SHRINKAGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # added to the variances, which are 1
RIDGE = 0.03  # the same, of a regression
MAX_WIDTH = 2_048  # of dense features; wider ones are projected at random
MAX_LEARNED = 50_000  # samples that a fold of a solver that walks learns from
TERMS_STRENGTH, TERMS_STEPS = 2.0, 100
NUM_NEIGHBOURS, MAX_NEIGHBOURS = 20, 5_000  # that are asked; that they are looked for among
_SHARPNESS, _NEVER_SEEN, _ASKED_AT_ONCE = 10.0, 0.05, 1_024
_ROWS_A_CHUNK = 8_192
_UNSEEN = -30.0


@dataclass(frozen=True)
class Judged:
    """Out-of-fold answers.

    Attributes:
        logits: float32, shape (V, N, K), of V voices, K = 1 for numbers; NaN where no fold was
            reached.
        folds: int64, shape (N,), the fold that each sample was left out of.
        num_done: Folds that were reached.
    """

    logits: np.ndarray
    folds: np.ndarray
    num_done: int

    @property
    def is_done(self) -> np.ndarray:
        """bool, shape (N,)."""
        found: np.ndarray = ~np.isnan(self.logits[0, :, 0])
        return found


# Logits of the samples at the second places, learned from those at the first.
Voice = Callable[[np.ndarray, np.ndarray], np.ndarray]


def assign_folds(
    strata: np.ndarray, groups: np.ndarray | None, *, num_folds: int = NUM_FOLDS, seed: int = 0
) -> np.ndarray:
    """Return the fold of each sample, int64, shape (N,): groups whole, strata spread evenly.

    Args:
        strata: int64, shape (N,).
        groups: Shape (N,), the same for samples that stay together; None where all stand alone.
        num_folds: Number of folds.
        seed: Of the order within a stratum.
    """
    if groups is None:
        groups = np.arange(len(strata))
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(first))
    order = shuffled[np.argsort(strata[first][shuffled], kind="stable")]
    fold_of = np.empty(len(first), dtype=np.int64)
    fold_of[order] = np.arange(len(first)) % num_folds
    return fold_of[inverse.reshape(-1)]


def standardised(features: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return features of mean 0 and variance 1, float32, at most ``MAX_WIDTH`` of them.

    Args:
        features: Shape (N, D), finite.
        seed: Of the projection where they are more.
    """
    if features.shape[1] > MAX_WIDTH:
        draw = np.random.default_rng(seed)
        directions = draw.standard_normal((features.shape[1], MAX_WIDTH), dtype=np.float32)
        features = features @ (directions / np.sqrt(features.shape[1]).astype(np.float32))
    middle = features.mean(axis=0, dtype=np.float64)
    spread = features.std(axis=0, dtype=np.float64)
    # a column that hardly varies would be blown up to rounding errors
    scale = np.where(spread > 1e-6 * (np.abs(middle) + spread.max(initial=0.0)), spread, np.inf)
    found: np.ndarray = features - middle.astype(np.float32)
    found /= scale.astype(np.float32)
    return found


class FoldSums:
    """Sums over the samples of each fold, from which every discriminant is solved.

    Args:
        features: Standardised, shape (N, D).
        folds: int64, shape (N,).
    """

    def __init__(self, features: np.ndarray, folds: np.ndarray) -> None:
        self.features, self.folds = features, folds
        self.num_folds = int(folds.max(initial=0)) + 1
        width = features.shape[1]
        self.products = np.zeros((self.num_folds, width, width), dtype=np.float32)
        for fold in range(self.num_folds):
            places = np.flatnonzero(folds == fold)
            for start in range(0, len(places), _ROWS_A_CHUNK):
                rows = features[places[start : start + _ROWS_A_CHUNK]]
                self.products[fold] += rows.T @ rows
        self.whole = self.products.sum(axis=0, dtype=np.float64)

    def best_shrinkage(self, targets: np.ndarray, num_classes: int) -> float:
        """Return the shrinkage whose calibrated logits of the first fold have the least loss.

        Args:
            targets: int64, shape (N,).
            num_classes: K.
        """
        given = targets[self.folds == 0]
        losses = []
        for shrinkage in SHRINKAGES:
            chances = _calibrated(self.logits(targets, num_classes, 0, shrinkage), given)
            own = chances[np.arange(len(given)), given]
            losses.append(-float(np.log(np.maximum(own, 1e-12)).mean()))
        return SHRINKAGES[int(np.argmin(losses))]

    def logits(
        self, targets: np.ndarray, num_classes: int, fold: int, shrinkage: float
    ) -> np.ndarray:
        """Return logits, shape (M, K), of a fold's samples, learned from all other folds.

        Args:
            targets: int64, shape (N,).
            num_classes: K.
            fold: The fold.
            shrinkage: Added to the variance of each feature within classes, before the sum is
                brought back to its size.

        Source:
            R. A. Fisher, 1936, Annals of Eugenics 7, 179-188; shrunk as J. H. Friedman, 1989,
            JASA 84, 165-175 (gamma).
        """
        from scipy.linalg import cho_factor, cho_solve

        is_left_out = self.folds == fold
        learned = np.flatnonzero(~is_left_out)
        counts = np.bincount(targets[learned], minlength=num_classes).astype(np.float64)
        # sparse, so that many classes cost no more than few
        sums = np.zeros((num_classes, self.features.shape[1]))
        order = learned[np.argsort(targets[learned], kind="stable")]
        seen = np.flatnonzero(counts)
        starts = np.concatenate([[0], np.cumsum(counts[seen])[:-1]]).astype(np.int64)
        for start, stop, k in zip(starts, [*starts[1:], len(order)], seen, strict=True):
            sums[k] = self.features[order[start:stop]].sum(axis=0, dtype=np.float64)
        means = sums / np.maximum(counts, 1.0)[:, None]
        total = counts.sum()
        within = self.whole - self.products[fold] - (means * counts[:, None]).T @ means
        within /= total
        within[np.diag_indices_from(within)] += shrinkage
        within /= 1 + shrinkage  # what is between classes keeps its weight against their shares
        directions = cho_solve(cho_factor(within, overwrite_a=True), means.T)
        bias = np.where(counts > 0, np.log(np.maximum(counts, 1.0) / total), _UNSEEN)
        bias -= 0.5 * (directions.T * means).sum(axis=1)
        rows = self.features[is_left_out]
        found: np.ndarray = rows @ directions.astype(np.float32) + bias.astype(np.float32)
        return found

    def values(self, targets: np.ndarray, fold: int) -> np.ndarray:
        """Return values, shape (M,), of a fold's samples by ridge regression on all other folds.

        Args:
            targets: Numbers, shape (N,).
            fold: The fold.
        """
        from scipy.linalg import cho_factor, cho_solve

        is_left_out = self.folds == fold
        rows, wanted = self.features[~is_left_out], targets[~is_left_out].astype(np.float64)
        # one absurd target must not bend what is said of the others
        low, high = np.quantile(wanted, (0.005, 0.995))
        wanted = np.clip(wanted, low, high)
        middle = wanted.mean()
        right = rows.T @ (wanted - middle).astype(np.float32)
        shrunk = (self.whole - self.products[fold]) / len(rows)
        shrunk[np.diag_indices_from(shrunk)] += RIDGE
        weights = cho_solve(cho_factor(shrunk, overwrite_a=True), right / len(rows))
        found: np.ndarray = self.features[is_left_out] @ weights + middle
        return found


def neighbours_voice(
    features: np.ndarray, targets: np.ndarray, num_classes: int, *, seed: int = 0
) -> Voice:
    """Return the voice of the nearest samples, by the cosine of their features.

    A wrong label bends a line for all, but says something to its neighbours alone.

    Args:
        features: Standardised, shape (N, D).
        targets: int64, shape (N,).
        num_classes: K.
        seed: Of the samples that are learned from where they are very many.
    """
    lengths = np.maximum(np.linalg.norm(features, axis=1), 1e-9).astype(np.float32)

    def speak(learned: np.ndarray, asked: np.ndarray) -> np.ndarray:
        if len(learned) > MAX_NEIGHBOURS:  # so that the cost grows with the samples alone
            learned = np.random.default_rng(seed).choice(learned, MAX_NEIGHBOURS, replace=False)
        number = min(NUM_NEIGHBOURS, len(learned))
        known = features[learned] / lengths[learned, None]
        shares = np.empty((len(asked), num_classes), np.float32)
        for start in range(0, len(asked), _ASKED_AT_ONCE):
            part = asked[start : start + _ASKED_AT_ONCE]
            alike = (features[part] / lengths[part, None]) @ known.T
            nearest = np.argpartition(-alike, number - 1, axis=1)[:, :number]
            weights = np.exp(_SHARPNESS * np.take_along_axis(alike, nearest, axis=1))
            places = np.arange(len(part))[:, None] * num_classes + targets[learned[nearest]]
            sums = np.bincount(
                places.reshape(-1), weights.reshape(-1), len(part) * num_classes
            ).reshape(len(part), num_classes)
            shares[start : start + len(part)] = sums / sums.sum(axis=1, keepdims=True)
        found: np.ndarray = np.log(shares + _NEVER_SEEN)
        return found

    return speak


def terms_voice(matrix: Any, targets: np.ndarray, num_classes: int, *, seed: int = 0) -> Voice:
    """Return the voice of a logistic regression on sparse terms.

    Args:
        matrix: CSR, shape (N, D).
        targets: int64, shape (N,).
        num_classes: K.
        seed: Of the samples that are learned from where they are very many.
    """

    def speak(learned: np.ndarray, asked: np.ndarray) -> np.ndarray:
        if len(learned) > MAX_LEARNED:
            learned = np.random.default_rng(seed).choice(learned, MAX_LEARNED, replace=False)
        with few_threads(matrix, num_classes):
            found = solve_classes(
                matrix[learned], targets[learned], None, TERMS_STRENGTH, TERMS_STEPS, 1e-5
            )
        logits = np.full((len(asked), num_classes), _UNSEEN, dtype=np.float32)
        logits[:, found.rows] = matrix[asked] @ found.coefficients.T + found.intercept
        return logits

    return speak


def boosted_voice(
    features: np.ndarray, targets: np.ndarray, num_classes: int, *, seed: int = 0
) -> Voice:
    """Return the voice of boosted trees, which rows of a table are told by better than by lines.

    Args:
        features: Shape (N, D).
        targets: Shape (N,), classes or numbers.
        num_classes: K; 0 for numbers, whose logits are the values.
        seed: Of the samples that are learned from where they are very many.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    def speak(learned: np.ndarray, asked: np.ndarray) -> np.ndarray:
        if len(learned) > MAX_LEARNED:
            learned = np.random.default_rng(seed).choice(learned, MAX_LEARNED, replace=False)
        shape: dict[str, Any] = {
            "max_iter": 60,
            "max_leaf_nodes": 15,
            "min_samples_leaf": 20,
            "l2_regularization": 1.0,
            "early_stopping": False,
            "random_state": seed,
        }
        if num_classes == 0:
            # one absurd target must not bend what is said of the others
            trees = HistGradientBoostingRegressor(loss="absolute_error", **shape)
            values: np.ndarray = trees.fit(features[learned], targets[learned]).predict(
                features[asked]
            )
            return values[:, None]
        seen = np.unique(targets[learned])
        logits = np.full((len(asked), num_classes), _UNSEEN, dtype=np.float32)
        if len(seen) == 1:
            logits[:, seen] = 0.0
            return logits
        fitted = HistGradientBoostingClassifier(**shape).fit(features[learned], targets[learned])
        chances = fitted.predict_proba(features[asked])
        logits[:, fitted.classes_.astype(np.int64)] = np.log(np.maximum(chances, 1e-12))
        return logits

    return speak


def judge(
    voices: Callable[[int], list[np.ndarray]],
    folds: np.ndarray,
    num_outputs: int,
    is_over: Callable[[], bool] = lambda: False,
) -> Judged:
    """Ask every fold in turn.

    Args:
        voices: A fold to the logits of its samples, one array (M, K) a voice.
        folds: int64, shape (N,).
        num_outputs: K; 1 for numbers.
        is_over: Asked before each fold; the first is always done.
    """
    logits = np.empty((0, len(folds), num_outputs), dtype=np.float32)
    done = 0
    for fold in range(int(folds.max(initial=-1)) + 1):
        if done and is_over():
            break
        found = voices(fold)
        if not done:
            shape = (len(found), len(folds), num_outputs)
            logits = np.full(shape, np.nan, dtype=np.float32)
        logits[:, folds == fold] = np.stack(found)
        done += 1
    return Judged(logits, folds, done)


def tempered(judged: Judged, targets: np.ndarray) -> np.ndarray:
    """Return calibrated probabilities, float32, shape (M, K), of the samples that were reached.

    Each voice is calibrated, the mean of what they say too.

    Args:
        judged: Logits of classes.
        targets: int64, shape (N,), as given: what is calibrated to.
    """
    is_done = judged.is_done
    given, logits = targets[is_done], judged.logits[:, is_done]
    if len(logits) == 1:
        return _calibrated(logits[0], given)
    mean = np.zeros(logits.shape[1:], dtype=np.float32)
    for said in logits:
        mean += np.log(np.maximum(_calibrated(said, given), 1e-12)) / len(logits)
    return _calibrated(mean, given)


def _calibrated(logits: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return probabilities, float32, of logits that are divided by their temperature."""
    some = np.arange(len(given))
    if len(some) > MAX_LEARNED:
        some = np.linspace(0, len(given) - 1, MAX_LEARNED).astype(np.int64)
    temperature = fit_temperature(logits[some], given[some])
    found = np.empty(logits.shape, dtype=np.float32)
    for start in range(0, len(logits), _ROWS_A_CHUNK):
        part = slice(start, start + _ROWS_A_CHUNK)
        found[part] = softmax(logits[part], temperature)
    return found
