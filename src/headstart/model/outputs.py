"""What a model's logits mean to a person: calibrated probabilities or values, and class names."""

from __future__ import annotations

import numpy as np

from headstart.evaluation import outputs_of
from headstart.model.network import Model
from headstart.types import Schema


def model_outputs(model: Model, logits: np.ndarray) -> np.ndarray:
    """Return calibrated probabilities, or values in the targets' own unit."""
    return outputs_of(
        model.schema,
        logits,
        temperature=model.temperature,
        target_mean=model.target_mean,
        target_scale=model.target_scale,
    )


def label_names(schema: Schema, rows: np.ndarray) -> list[str]:
    """Return what a person calls targets or predictions of a task with classes.

    Args:
        schema: Gives task and classes.
        rows: int64 (N,) class indices, or uint8 (N, K) labels.
    """
    if rows.ndim == 1:
        return [schema.classes[int(row)] for row in rows]
    return [", ".join(schema.classes[k] for k in np.flatnonzero(row)) for row in rows]
