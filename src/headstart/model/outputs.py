"""What a model's logits mean: calibrated probabilities, or values in the targets' own unit."""

from __future__ import annotations

from typing import Protocol

from headstart.tasks import Task
from headstart.types import Deciding, Rows, Schema


class Calibrated(Protocol):
    """What says what its logits mean: a model, or several that answer together."""

    temperature: float
    target_mean: float
    target_scale: float

    @property
    def task(self) -> Task:
        """What is predicted."""

    @property
    def schema(self) -> Schema:
        """The classes, and where samples come from."""

    def decide_by(self, deciding: Deciding) -> None:
        """Take what was settled on val of how answers are made."""

    def standard_targets(self, targets: Rows) -> Rows:
        """Return targets as the loss takes them."""


def model_outputs(model: Calibrated, logits: Rows) -> Rows:
    """Return calibrated probabilities, or values in the targets' own unit."""
    return model.task.outputs(
        logits,
        model.schema,
        temperature=model.temperature,
        target_mean=model.target_mean,
        target_scale=model.target_scale,
    )
