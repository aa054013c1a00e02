"""What a model's logits mean: calibrated probabilities, or values in the targets' own unit."""

from __future__ import annotations

from headstart.model.network import Model
from headstart.types import Rows


def model_outputs(model: Model, logits: Rows) -> Rows:
    """Return calibrated probabilities, or values in the targets' own unit."""
    return model.task.outputs(
        logits,
        model.schema,
        temperature=model.temperature,
        target_mean=model.target_mean,
        target_scale=model.target_scale,
    )
