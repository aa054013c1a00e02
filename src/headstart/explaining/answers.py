"""What a model answers to changed samples, and by how much its own answer falls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from headstart.model import Ensemble, model_outputs, run_batches
from headstart.tasks import array_of
from headstart.types import BadSample, Finding, Inputs, PlainInputs


@dataclass(frozen=True, eq=False)
class Changed(PlainInputs):
    """Samples as a network takes them, given as arrays: what is left of samples after deleting.

    Attributes:
        parts: As ``Inputs.arrays`` gives them, of N samples.
        targets: Empty: nobody asks for them.
        ids: int64, shape (N,).
        names: N names.
        bad_samples: None.
        findings: None.
    """

    parts: tuple[np.ndarray, ...]
    targets: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    bad_samples: Sequence[BadSample] = ()
    findings: Sequence[Finding] = ()

    @property
    def ids(self) -> np.ndarray:
        """Their places."""
        return np.arange(len(self))

    @property
    def names(self) -> Sequence[str]:
        """Nothing: they are nobody's samples."""
        return [""] * len(self)

    def __len__(self) -> int:
        return len(self.parts[0])

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return one batch."""
        return tuple(part[places] for part in self.parts)


@dataclass(frozen=True, eq=False)
class Answerer:
    """Whoever answers.

    Attributes:
        ensemble: One model, or several together.
    """

    ensemble: Ensemble

    def outputs(self, inputs: Sequence[Inputs]) -> np.ndarray:
        """Return what it says of samples: shape (N, K) of classes, (N,) of numbers.

        Args:
            inputs: The samples as each member takes them.
        """
        each = zip(self.ensemble.members, inputs, strict=True)
        logits = [run_batches(one.model, own, one.model, phase=None) for one, own in each]
        return array_of(model_outputs(self.ensemble, self.ensemble.combine(logits)))

    def told(self, samples: Sequence[object]) -> np.ndarray:
        """Return what it says of samples as a user gives them.

        Args:
            samples: Texts, or rows; every one can be read.
        """
        parts = [self.outputs(each) for each in self.ensemble.incoming(list(samples))]
        return np.concatenate(parts)

    def chosen(self, outputs: np.ndarray) -> np.ndarray:
        """Return which output its answer is, int64, shape (N,): the most probable class, or 0."""
        if not self.ensemble.task.has_classes:
            return np.zeros(len(outputs), np.int64)
        return np.asarray(outputs.argmax(axis=1), np.int64)

    def fall(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Return by how much its answer falls when samples are changed, float64, shape (N,).

        That is the probability of what it said before; of numbers, how far the answer moves, in
        standard deviations of train's targets.

        Args:
            before: Its outputs of samples as they are.
            after: Of the same samples, changed.
        """
        if not self.ensemble.task.has_classes:
            return np.asarray(np.abs(after - before) / self.ensemble.target_scale, np.float64)
        rows, answer = np.arange(len(before)), self.chosen(before)
        return np.asarray(before[rows, answer] - after[rows, answer], np.float64)

    @property
    def effect(self) -> str:
        """What falls, in words."""
        if self.ensemble.task.has_classes:
            return "the probability of its answer falls by"
        return "its answer moves, in standard deviations of the target, by"
