"""How good a model is on the validation split, in three numbers that the loop chooses by.

One score a task for which higher is better, the loss that breaks ties, and the score's standard
error, so that patience does not take noise for progress. Deliberately left out: intervals and every
other figure; those are for the test split.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from headstart.objectives.labels import multi_label_loss
from headstart.types import Task

_LEAST_VARIANCE = 1e-6  # of an item's part of a score: a perfect score is not a certain one


def check_score(
    task: Task, logits: np.ndarray, targets: np.ndarray
) -> tuple[str, float, float, float]:
    """Return the name of the score, the score, the loss, and the score's standard error.

    Classification: accuracy, log loss. Multi-label: micro F1 at p >= 0.5, binary log loss.
    Regression: R², mean squared error; where all targets are equal, R² is taken against a variance
    of 1, which is that of standardised train targets.

    The standard error is exact for accuracy, and by linearisation (the delta method) for the two
    ratios F1 and R².

    Args:
        task: What the logits are for.
        logits: float32, shape (N, K), or (N, 1) under regression; N at least 1.
        targets: int64 (N,); 0 or 1, (N, K); or *standardised* numbers, (N,).

    Returns:
        Score and loss are not finite where a logit is not.
    """
    if task == "classification":
        loss = float(functional.cross_entropy(_tensor(logits), _tensor(targets)))
        accuracy = float((logits.argmax(axis=1) == targets).mean())
        return "accuracy", accuracy, loss, _error(accuracy * (1 - accuracy), len(targets))
    if task == "multi-label":
        loss = float(multi_label_loss(_tensor(logits), _tensor(targets)))
        return "f1_micro", *_f1_micro(logits >= 0, targets != 0, loss)
    return "r2", *_r2(logits[:, 0].astype(np.float64), targets.astype(np.float64))


def item_losses(task: Task, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the loss of each item, for comparing two models item by item.

    Args:
        task: What the logits are for.
        logits: float32, shape (N, K), or (N, 1) under regression.
        targets: As ``check_score`` takes them.

    Returns:
        float64, shape (N,): log loss; under multi-label its mean over labels; the squared error
        under regression.
    """
    if task == "classification":
        losses = functional.cross_entropy(_tensor(logits), _tensor(targets), reduction="none")
        return losses.double().numpy()
    if task == "multi-label":
        wanted = _tensor(targets).float()
        losses = functional.binary_cross_entropy_with_logits(
            _tensor(logits).float(), wanted, reduction="none"
        )
        return losses.double().mean(dim=1).numpy()
    squares: np.ndarray = (logits[:, 0].astype(np.float64) - targets.astype(np.float64)) ** 2
    return squares


def _f1_micro(
    predictions: np.ndarray, targets: np.ndarray, loss: float
) -> tuple[float, float, float]:
    """Return (F1, loss, standard error): F1 is a ratio of two sums over items."""
    hits = 2.0 * (predictions & targets).sum(axis=1)
    decided = (predictions.sum(axis=1) + targets.sum(axis=1)).astype(np.float64)
    mean = decided.mean()
    if mean == 0:  # nothing to find and nothing claimed: the score says nothing either way
        return 0.0, loss, _error(0.0, len(targets))
    score = float(hits.mean() / mean)
    parts = (hits - score * decided) / mean
    return score, loss, _error(float(parts.var()), len(targets))


def _r2(values: np.ndarray, targets: np.ndarray) -> tuple[float, float, float]:
    """Return (R², mean squared error, standard error)."""
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged model: the loop judges it
        squares = (values - targets) ** 2
        loss = float(squares.mean())
        spreads = (targets - targets.mean()) ** 2
        spread = float(spreads.mean())
        if spread <= 1e-12:
            return 1.0 - loss, loss, _error(float(squares.var()), len(targets))
        score = 1.0 - loss / spread
        parts = (squares - (1.0 - score) * spreads) / spread
        return score, loss, _error(float(parts.var()), len(targets))


def _error(variance: float, num_items: int) -> float:
    """Return the standard error of a mean of parts of that variance."""
    return math.sqrt(max(variance, _LEAST_VARIANCE) / num_items)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
