"""Losses: what a fine-tuning minimises, and the score it is chosen by."""

from headstart.objectives.check import check_score, item_losses
from headstart.objectives.classification import classification_loss, l1_penalty
from headstart.objectives.labels import multi_label_loss
from headstart.objectives.task import task_loss
from headstart.objectives.values import regression_loss

__all__ = [
    "check_score",
    "classification_loss",
    "item_losses",
    "l1_penalty",
    "multi_label_loss",
    "regression_loss",
    "task_loss",
]
