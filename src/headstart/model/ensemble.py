"""Several models that answer together, or one: what a run folder serves.

Each member reads samples its own way and is calibrated by itself; the ensemble's answer is the
weighted mean of their probabilities, or of their values. Seen from outside it is a model: its
logits are those whose outputs that mean is, so that its own temperature, losses and figures follow
as ever. An ensemble of one is that model, bit for bit.

Left out: which models belong together (``searching.ensembling``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from headstart.errors import DataError, OptionError
from headstart.model.network import Model
from headstart.model.outputs import model_outputs
from headstart.model.passes import run_batches
from headstart.preprocessing import Preprocess
from headstart.tasks import Task, array_of
from headstart.types import PLAINLY, Dataset, Deciding, Inputs, Rows, Schema, SplitName

MOST_MEMBERS = 3


@dataclass(frozen=True)
class Member:
    """One model of an ensemble.

    Attributes:
        model: Calibrated.
        weight: Its share of the answer, positive; shares are divided by their sum.
        strategy: How it was tuned, for whoever reads its record.
    """

    model: Model
    weight: float = 1.0
    strategy: str | None = None


@dataclass(eq=False)
class Ensemble:
    """Models of the same data that answer together.

    Attributes:
        members: One to ``MOST_MEMBERS``; the first stands for all where a sample is described.
        temperature: Divides the logits of the mean; of a single member its own.
        deciding: How answers are made of the mean; of a single member its own.
        target_mean: Of the first member: logits of numbers are in its units.
        target_scale: The same.

    Raises:
        OptionError: If there are too many or none, a weight is not positive, or two of them do not
            tell the same.
    """

    members: Sequence[Member]
    temperature: float = 1.0
    deciding: Deciding = PLAINLY
    target_mean: float = field(init=False)
    target_scale: float = field(init=False)

    def __post_init__(self) -> None:
        """Check the members."""
        num = len(self.members)
        if not 1 <= num <= MOST_MEMBERS:
            raise OptionError(f"There are {num} members; expected 1 to {MOST_MEMBERS} models.")
        wrong = [one.weight for one in self.members if not 0 < one.weight < float("inf")]
        if wrong:
            raise OptionError(f"A member has weight {wrong[0]}; expected a positive number.")
        for one in self.members[1:]:
            if one.model.schema != self.schema:
                raise OptionError(
                    f"A member tells {one.model.schema.kind} of {one.model.num_outputs} outputs "
                    f"and the first one {self.schema.kind} of {self.first.num_outputs}; expected "
                    f"the same target and classes. Give models of the same data."
                )
        self.target_mean, self.target_scale = self.first.target_mean, self.first.target_scale
        if num == 1:
            self.temperature = self.first.temperature
            self.deciding = self.first.task.deciding

    @property
    def first(self) -> Model:
        """The member that stands for all."""
        return self.members[0].model

    @property
    def is_one(self) -> bool:
        """Whether it is a single model."""
        return len(self.members) == 1

    @property
    def schema(self) -> Schema:
        """What is predicted."""
        return self.first.schema

    @property
    def task(self) -> Task:
        """The same, as the task itself, which decides as was settled for the ensemble."""
        return self.first.task.deciding_by(self.deciding)

    def decide_by(self, deciding: Deciding) -> None:
        """Take what was settled on val of how answers are made; of one model it is the model's."""
        self.deciding = deciding
        if self.is_one:
            self.first.decide_by(deciding)

    @property
    def preprocess(self) -> Preprocess:
        """How the first member reads samples: the columns and the kind are those of all."""
        return self.first.encoder.preprocess

    @property
    def weights(self) -> np.ndarray:
        """Shares of the answer, float64, shape (number of members,), summing to 1."""
        given = np.array([one.weight for one in self.members], np.float64)
        shares: np.ndarray = given / given.sum()
        return shares

    def to(self, device: torch.device) -> Ensemble:
        """Move every member; return itself."""
        for one in self.members:
            one.model.to(device)
        return self

    def standard_targets(self, targets: Rows) -> Rows:
        """Return targets as the loss takes them, in the units of ``combine``."""
        return self.task.standard(targets, self.target_mean, self.target_scale)

    def prepare(
        self, dataset: Dataset, name: SplitName, places: np.ndarray | None = None
    ) -> list[Inputs]:
        """Return the samples of a split as each member takes them.

        Args:
            dataset: The data.
            name: The split.
            places: Positions in it, shape (N,), or None for all.
        """
        each = (one.model.encoder.preprocess for one in self.members)
        return [preprocess.prepare(dataset, name, places) for preprocess in each]

    def incoming(self, samples: Any, names: Sequence[str] | None = None) -> Iterator[list[Inputs]]:
        """Yield what a user gives as each member takes it, so many samples as fit into memory.

        Args:
            samples: As ``Preprocess.incoming`` takes them.
            names: The same.

        Raises:
            DataError: As ``Preprocess.incoming`` does.
        """
        given = list(samples) if isinstance(samples, Iterator) else samples
        each = (one.model.encoder.preprocess for one in self.members)
        parts = zip(*(one.incoming(given, names) for one in each), strict=True)
        return (list(part) for part in parts)

    def run(self, inputs: Sequence[Inputs], *, name: str | None = None, phase: str) -> Rows:
        """Return the ensemble's logits of samples.

        Args:
            inputs: The same samples, as each member takes them: of ``prepare`` or ``incoming``.
            name: Of the progress line; None shows none.
            phase: Names the passes, as ``run_batches`` takes it.

        Returns:
            float32, shape (N, K).

        Raises:
            DataError: If one member could read a sample that another could not.
        """
        return self.combine(self.run_each(inputs, name=name, phase=phase))

    def run_each(
        self, inputs: Sequence[Inputs], *, name: str | None = None, phase: str
    ) -> list[Rows]:
        """Return each member's own logits, which ``combine`` takes; otherwise as ``run``."""
        first = list(inputs[0].names)
        for given in inputs[1:]:
            if list(given.names) != first:
                odd = sorted(set(first) ^ set(given.names)) or first[:1]
                raise DataError(
                    f"'{odd[0]}' is read by one model of the ensemble and not by another; expected "
                    f"samples that all of them read. Leave it out."
                )
        found = []
        for place, (one, given) in enumerate(zip(self.members, inputs, strict=True)):
            # what computes a pass is settled for each: they are different networks
            of_member = phase if place == 0 else f"{phase}, model {place + 1}"
            called = name if self.is_one or name is None else f"{name}, model {place + 1}"
            found.append(run_batches(one.model, given, one.model, name=called, phase=of_member))
        return found

    def combine(self, logits: Sequence[Rows]) -> Rows:
        """Return the logits whose outputs are the mean of the members' outputs.

        Args:
            logits: Of each member, N rows of the same samples.

        Returns:
            float32, shape (N, K), before the ensemble's temperature; of one member its own.

        Raises:
            OptionError: If the task has no mean of several answers.
        """
        if self.is_one:
            return logits[0]
        outputs = [
            array_of(model_outputs(one.model, own))
            for one, own in zip(self.members, logits, strict=True)
        ]
        mean = sum(share * one for share, one in zip(self.weights, outputs, strict=True))
        found = self.task.logits_of(
            np.asarray(mean), mean=self.target_mean, scale=self.target_scale
        )
        return found.astype(np.float32)
