"""Losses: what a fine-tuning minimises."""

from headstart.objectives.classification import classification_loss, l1_penalty

__all__ = ["classification_loss", "l1_penalty"]
