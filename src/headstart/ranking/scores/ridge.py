"""Ridge regression that predicts every sample by all others, in closed form.

One thin singular value decomposition serves all strengths and all columns of the target.
"""

from __future__ import annotations

import numpy as np

from headstart.evaluation.calibration import fit_temperature
from headstart.ranking.scores.outcome import (
    Outcome,
    as_columns,
    is_classes,
    joined_copies,
    outcomes_of,
)

STRENGTHS = 10.0 ** np.linspace(-6, 2, 17)  # in units of the features' total variance a sample
_SHARPENED = 10.0  # predictions lie around 0 and 1: the temperature is looked for around 1


def ridge_score(
    features: np.ndarray,
    targets: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> Outcome:
    """Return how well ridge regression predicts each sample from the others, at its best strength.

    The strength is the one whose predictions of samples that were left out are best: by the log
    loss after one temperature for classes, by the squared error otherwise.

    Args:
        features: Float, shape (N, D), of like scale.
        targets: As ``as_columns`` takes them.
        weights: Of each sample while fitting, shape (N,), above 0.
        groups: Samples of a group never predict one another, nor do those of equal features.

    Source:
        Golub, Heath, Wahba 1979, "Generalized cross-validation", eq. 2.2 (the closed form).
    """
    best: Outcome | None = None
    for strength, predicted in leave_out(features, targets, STRENGTHS, weights, groups):
        outcomes, loss = outcomes_of(predicted, targets), float("nan")
        if is_classes(targets):
            loss = _log_loss(predicted, targets)
        found = Outcome(float(outcomes.mean()), loss, outcomes, float(strength))
        if best is None or _is_better(found, best):
            best = found
    assert best is not None
    return best


def leave_out(
    features: np.ndarray,
    targets: np.ndarray,
    strengths: np.ndarray,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> list[tuple[float, np.ndarray]]:
    """Return, for each strength, what ridge regression fitted without a group predicts of it.

    The intercept is not shrunk. Equal to fitting anew without each group in turn.

    Args:
        features: Float, shape (N, D).
        targets: As ``as_columns`` takes them; its columns are fitted one by one.
        strengths: Shape (S,), times the weighted sum of the features' variances.
        weights: As in ``ridge_score``.
        groups: As there.

    Returns:
        Strength and predictions, float64, shape (N, K).
    """
    columns, num = as_columns(targets), len(features)
    weight = np.ones(num) if weights is None else weights.astype(np.float64)
    root, total = np.sqrt(weight), float(weight.sum())
    centred = features - (weight @ features) / total
    means = (weight @ columns) / total
    left, values, _ = np.linalg.svd(root[:, None] * centred, full_matrices=False)
    kept = values > values[:1].max(initial=0) * 1e-10
    left, squares = left[:, kept], values[kept] ** 2
    wanted = root[:, None] * (columns - means)
    projected = left.T @ wanted
    blocks = _blocks(joined_copies(features, groups))
    found = []
    for strength in strengths:
        shrunk = squares / (squares + strength * squares.sum()) if len(squares) else squares
        errors = wanted - left @ (shrunk[:, None] * projected)
        for places in blocks:
            hat = (left[places] * shrunk) @ left[places].T
            hat += np.outer(root[places], root[places]) / total
            alone = np.eye(len(places)) - hat
            errors[places] = np.linalg.solve(alone, errors[places])
        single = _singles(blocks, num)
        hats = (left[single] ** 2) @ shrunk + weight[single] / total
        errors[single] /= (1 - hats)[:, None]
        found.append((float(strength), columns - errors / root[:, None]))
    return found


def _blocks(groups: np.ndarray) -> list[np.ndarray]:
    """Return the places of each group of more than one sample."""
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return [part for part in parts if len(part) > 1]


def _singles(blocks: list[np.ndarray], num: int) -> np.ndarray:
    """Return the places that no block holds."""
    is_single = np.ones(num, bool)
    for places in blocks:
        is_single[places] = False
    return np.flatnonzero(is_single)


def _log_loss(predicted: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean log loss in nats, after one temperature."""
    logits = _SHARPENED * predicted
    logits = logits / fit_temperature(logits, targets, is_shrunk=False)
    logits = logits - logits.max(axis=1, keepdims=True)
    picked = logits[np.arange(len(targets)), targets]
    return float((np.log(np.exp(logits).sum(axis=1)) - picked).mean())


def _is_better(found: Outcome, best: Outcome) -> bool:
    """Return whether an outcome is better: by the log loss where there is one."""
    if np.isnan(found.log_loss):
        return found.value > best.value
    return found.log_loss < best.log_loss
