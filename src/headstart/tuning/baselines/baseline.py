"""What every baseline is: when it applies, about how long it takes, and how it is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headstart.tuning.budget import Budget
from headstart.tuning.setup import TrainingSetup
from headstart.types import Dataset, Inputs, Modality, Rows, is_among


@dataclass(frozen=True)
class Items:
    """The data, and its splits as they were prepared for the fine-tuned model."""

    dataset: Dataset
    train: Inputs
    val: Inputs
    test: Inputs


@dataclass(frozen=True)
class Rival:
    """What another method decides for the test items, under its name."""

    name: str
    predictions: Rows


@dataclass(frozen=True)
class Baseline:
    """A simple, quick method that is shown beside a run; a row of ``BASELINES``.

    Attributes:
        modality: What it reads; None where it asks the data itself.
        says_more: Whether it says anything beside a fine-tuned model that reads the same.
        seconds: About what it takes.
        run: Its answers for the test items; None, and a note, where the budget leaves it no time.
        library: What may have to be read for it first, as ``in_time`` takes it.
    """

    modality: Modality | None
    says_more: Callable[[Dataset, TrainingSetup], bool]
    seconds: Callable[[Dataset, TrainingSetup], float]
    run: Callable[[Items, TrainingSetup, Budget], Rival | None]
    library: str | None = "sklearn"

    def applies(self, dataset: Dataset, setup: TrainingSetup) -> bool:
        """Return whether it is shown beside a model of these data."""
        is_for = self.modality is None or is_among(dataset.schema, (self.modality,))
        return is_for and self.says_more(dataset, setup)
