"""The phases of a run: batches and forward of the loop, while what learns may change on the way.

Most strategies have one phase. Under ``gradual`` each phase frees more layers; its frozen part is
cut anew, and computed once where that pays. What is frozen has never learned, so that a phase
depends on nothing that came before it: a run that is resumed in the middle opens its own phase and
no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from headstart.events import emit
from headstart.training.batches.feed import Batch, Feed
from headstart.training.batches.order import order_of
from headstart.training.options.strategy import Phase, freeze, phases_of
from headstart.types import Inputs

if TYPE_CHECKING:
    from headstart.tuning.setup import TrainingSetup

_ROUNDING = 1e-9  # progress is a sum of many small shares


@dataclass(frozen=True)
class Opened:
    """A phase that is ready to be trained.

    Attributes:
        feed: Its batches.
        forward: The inputs of a batch to logits, with gradients for what learns.
        is_cut: Whether the frozen part has been computed, and the rest alone runs.
        views: Fixed augmented views of each sample; 0 augments anew in every epoch.
    """

    feed: Feed
    forward: Callable[..., Tensor]
    is_cut: bool
    views: int


class Phases:
    """Batches and forward of whichever phase the run is in.

    Args:
        setup: The model and its recipe.
        train: Learned from.
        open_phase: Makes a phase ready whose layers are frozen already; called once a phase.
        on_enter: Called when the loop enters a phase, before its first batch.

    Attributes:
        order: Which samples each step sees, in every phase.
        encoder: Frozen and freed; another one with the same layers may take its place.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        train: Inputs,
        open_phase: Callable[[Phase], Opened],
        on_enter: Callable[[Opened], None] = lambda opened: None,
    ) -> None:
        self.order = order_of(train.targets, train.batch_order, setup.recipe)
        self.encoder = setup.model.encoder
        self._only = setup.only
        self._phases = phases_of(setup.recipe, len(self.encoder.layers))
        self._open, self._on_enter = open_phase, on_enter
        self._opened: Opened | None = None
        self._number = self._entered = -1

    def prepare(self, progress: float) -> None:
        """Make the phase ready that the run is in, before the loop asks for it.

        Args:
            progress: In [0, 1].
        """
        starts = [phase.start for phase in self._phases]
        number = int(np.searchsorted(starts, progress + _ROUNDING, side="right")) - 1
        if number != self._number:
            phase = self._phases[number]
            layers = self.encoder.layers
            freeze(self.encoder, layers, phase.learns, only=self._only)
            self.close()
            self._opened = None  # its memory goes before the new one's comes
            self._opened = self._open(phase)
            self._number = number

    def replace(self, opened: Opened) -> None:
        """Train the phase that was made ready in another way."""
        self.close()
        self._opened = opened

    def restart(self) -> bool:
        """Stand before every phase again, for a loop that begins, or goes on after a pause.

        Returns:
            Whether what was open is closed; a phase that is the only one stays as it is.
        """
        self._entered = -1
        if self.is_one:
            return False
        self.close()
        self._opened = None
        self._number = -1
        return True

    def enter(self, progress: float) -> bool:
        """Go over to the phase that the run is in; return whether it is a new one."""
        self.prepare(progress)
        if self._entered == self._number:
            return False
        self._entered = self._number
        if not self.is_one:
            learns = self._phases[self._number].learns
            emit("phase", learns=f"{sum(learns)} of {len(learns)} layers")
        self._on_enter(self.present)
        return True

    def close(self) -> None:
        """End the workers of the present phase; batches may be asked for all the same."""
        if self._opened is not None:
            self._opened.feed.close()

    @property
    def is_one(self) -> bool:
        """Whether the same layers learn from the first step to the last."""
        return len(self._phases) < 2

    @property
    def present(self) -> Opened:
        """The phase that was made ready last."""
        assert self._opened is not None
        return self._opened

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logits of the inputs of one batch."""
        return self.present.forward(*inputs)

    def batches(self, step: int, micro_batch_size: int | None = None, /) -> Iterator[Batch]:
        """Yield the micro-batches of one optimizer step."""
        return self.present.feed.batches(step, micro_batch_size)

    def whole(self, step: int) -> Iterator[Batch]:
        """Yield the micro-batches of one optimizer step, of all processes."""
        return self.present.feed.whole(step)

    def step_ids(self, step: int) -> np.ndarray:
        """Return the ids of all samples of one optimizer step, int64, shape (B,)."""
        return self.present.feed.step_ids(step)
