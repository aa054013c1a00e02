"""A linear probe for several targets: one for each, on the samples that have it, side by side."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from headstart.errors import DataError
from headstart.model import Model
from headstart.objectives import check_score
from headstart.tasks import array_of
from headstart.training.probing.probe import Probe, fit_probe
from headstart.types import Rows

Grouped = tuple[np.ndarray, np.ndarray]


def probe_several(
    model: Model,
    train: tuple[Any, Rows],
    val: tuple[Any, Rows],
    *,
    deadline: float | None,
    groups: Grouped | None,
) -> Probe:
    """Fit a probe of each target.

    Args:
        model: Gives the parts.
        train: Features, float32 (N, D), dense or CSR, and standardised targets, shape (N, T).
        val: The same of M samples.
        deadline: As ``fit_probe`` takes it; each part may take its share of what is left.
        groups: As ``fit_probe`` takes them.

    Returns:
        Weights of all parts one below the other; the largest strength that a part has chosen.
    """
    began, task = time.monotonic(), model.task
    (features, targets), (val_features, val_targets) = train, val
    wanted, val_wanted = array_of(targets), array_of(val_targets)
    fitted: list[Probe] = []
    for place, part in enumerate(task.parts):
        has, val_has = (np.isfinite(rows[:, place]) for rows in (wanted, val_wanted))
        if not has.any() or not val_has.any():
            side = "val" if has.any() else "train"
            raise DataError(
                f"No sample of {side} has the target '{part.label}'; expected some on each side. "
                "Leave the target out, or draw the split by another --seed."
            )
        left = None if deadline is None else deadline - time.monotonic()
        end = None if left is None else time.monotonic() + left / (len(task.parts) - place)
        fitted.append(
            fit_probe(
                features[np.flatnonzero(has)],
                _as_learned(part.present(wanted[:, place]), part.num_classes),
                val_features[np.flatnonzero(val_has)],
                _as_learned(part.present(val_wanted[:, place]), part.num_classes),
                task=part.task.name,
                num_outputs=part.width,
                deadline=end,
                groups=None if groups is None else (groups[0][has], groups[1][val_has]),
            )
        )
    weight = np.concatenate([one.weight for one in fitted])
    bias = np.concatenate([one.bias for one in fitted])
    logits = np.asarray(val[0] @ weight.T + bias, np.float32)
    metric, score, loss, _ = check_score(task.name, logits, val_targets)
    seconds, strength = time.monotonic() - began, max(one.strength for one in fitted)
    by = fitted[0].chosen_by
    return Probe(weight, bias, logits, score, loss, strength, seconds, metric, by)


def _as_learned(values: np.ndarray, num_classes: int) -> np.ndarray:
    return values if num_classes else values.astype(np.float32)
