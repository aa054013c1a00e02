"""One door from a task to its loss, so that the loop's wiring does not know the three."""

from __future__ import annotations

from torch import Tensor

from headstart.errors import OptionError
from headstart.objectives.classification import classification_loss
from headstart.objectives.labels import multi_label_loss
from headstart.objectives.values import regression_loss
from headstart.types import Task


def task_loss(
    schema_task: Task,
    logits: Tensor,
    targets: Tensor,
    *,
    partner: Tensor | None = None,
    share: float = 1.0,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return the mean loss of a batch.

    Args:
        schema_task: Classification: cross-entropy. Multi-label: binary cross-entropy. Regression:
            squared error.
        logits: Shape (B, K); (B, 1) under regression.
        targets: int64 (B,); 0 or 1, (B, K); or standardised numbers, float32 (B,).
        partner: Index of the sample each one was mixed with, shape (B,), or None.
        share: Share of the sample itself in the mix; its partner's target has the rest.
        label_smoothing: Moves targets towards all classes alike, or each label towards 0.5.
        class_weights: Shape (K,): the weight of each class, or under multi-label of each label's
            positives.

    Raises:
        OptionError: Smoothing or class weights under regression, which has no classes.
    """
    if schema_task == "classification":
        return classification_loss(
            logits,
            targets,
            partner=partner,
            share=share,
            label_smoothing=label_smoothing,
            class_weights=class_weights,
        )
    if schema_task == "multi-label":
        return multi_label_loss(
            logits,
            targets,
            partner=partner,
            share=share,
            label_smoothing=label_smoothing,
            positive_weights=class_weights,
        )
    if label_smoothing or class_weights is not None:
        what = f"label_smoothing is {label_smoothing}" if label_smoothing else "There are weights"
        raise OptionError(
            f"{what}, but the task is regression, which has no classes to smooth or to weigh. "
            f"Leave out --label-smoothing and --imbalance."
        )
    return regression_loss(logits, targets, partner=partner, share=share)
