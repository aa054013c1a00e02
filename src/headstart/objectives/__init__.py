"""Losses: what a training minimises, and what it is chosen by."""

from headstart.objectives.supervised import (
    LOSSES,
    Loss,
    Wanted,
    check_score,
    find_loss,
    item_losses,
    l1_penalty,
    task_loss,
)

__all__ = [
    "LOSSES",
    "Loss",
    "Wanted",
    "check_score",
    "find_loss",
    "item_losses",
    "l1_penalty",
    "task_loss",
]
