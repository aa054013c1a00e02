"""What all arms of a search share, and what it hands back.

Left out: how starts are ranked (``ranking``), and how a winner is evaluated (``tuning.conclude``).
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from headstart.searching.arms import ArmSpec
from headstart.searching.ending import TrainingEnd
from headstart.training.contract import never
from headstart.training.options.common_options import CommonOptions
from headstart.tuning.arm import Tuned
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.texts import TextCache
from headstart.types import Dataset, Inputs


@dataclass(frozen=True)
class SearchContext:
    """What all arms of a search share.

    Attributes:
        dataset: The data; the test split is not touched.
        asked: What the user said.
        device: Where to run.
        budget: The budget.
        deadline: ``time.monotonic()`` value by which all training has ended; None for no limit.
        end: Knows it better as passes turn out; None in a worker, which is told.
        decisions: What the run has settled.
        state: Folder of the arms' checkpoints.
        texts: What the run keeps of its texts.
        stop_requested: Whether someone asked to stop.
        open_options: As ``Conditions`` takes them.
        save: Keeps a model that is better than those before it, so that one can be used early.
        spare: Models that were built to measure a start, until their arms take them.
    """

    dataset: Dataset
    asked: CommonOptions
    device: torch.device
    budget: Budget
    deadline: float | None
    decisions: Decisions
    state: Path
    texts: TextCache | None = None
    stop_requested: Callable[[], bool] = never
    open_options: frozenset[str] = frozenset()
    save: Callable[[Contender], None] = lambda contender: None
    end: TrainingEnd | None = None
    spare: MutableMapping[ArmSpec, TrainingSetup] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """A model that was made, with what it was made of.

    Attributes:
        name: How it is told.
        setup: The model.
        tuned: How its training went.
        train: What it learned from.
        val: What it was chosen by.
    """

    name: str
    setup: TrainingSetup
    tuned: Tuned
    train: Inputs
    val: Inputs

    @property
    def is_trained(self) -> bool:
        """Whether gradient steps made it, and val chose among its weights."""
        return self.setup.strategy.loops


@dataclass(frozen=True)
class Found:
    """What a search hands back.

    Attributes:
        winner: The model to hand over.
        why: Why this one.
        others: The other models that were trained to their end, or solved for.
        rows: One an arm, for ``options.json``.
        refitted: Why the winner was fitted again, on train and val; None where it was not.
        more: Why a larger budget may give more; None where nothing says so.
    """

    winner: Contender
    why: str
    others: Sequence[Contender] = ()
    rows: Sequence[dict[str, object]] = field(default_factory=tuple)
    refitted: str | None = None
    more: str | None = None
