"""Make the phases of the main process ready: their frozen parts are computed here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from headstart.model import Model, run_batches, tell_texts
from headstart.training.batches.order import Share
from headstart.training.company import Placement
from headstart.training.contract import never, stoppable
from headstart.training.options.strategy import Phase
from headstart.tuning.budget import SHARES
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decided
from headstart.tuning.frozen import FrozenPrefix, freeze_prefix
from headstart.tuning.hooks import placed_setup, uncut
from headstart.tuning.phases import Opened
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.writing import expected_writing
from headstart.types import Inputs, Rows
from headstart.types.texts import Telling

_LEAST_WRITTEN, _MOST_WRITTEN, _TIMED = 16, 500, 32


@dataclass
class Opener:
    """Makes a phase ready whose layers are frozen already, and validates what it has made.

    Attributes:
        setup: The model and its recipe.
        train: Learned from.
        val: Chosen by.
        conditions: The clock, and how many views are settled.
        share: Which part of every step is this process's.
        placed: How the model lies on the processes, which changes while the loop runs where it is
            split over them.
        prefix: The frozen part of the present phase; None while none is kept.
    """

    setup: TrainingSetup
    train: Inputs
    val: Inputs
    conditions: Conditions
    share: Share
    placed: Placement
    prefix: FrozenPrefix | None = None

    def __call__(self, phase: Phase) -> Opened:
        """Compute what a phase freezes, where that pays."""
        setup, decisions = placed_setup(self.setup, self.placed), self.conditions.decisions
        recipe = setup.recipe
        if phase.start > 0 and all(phase.learns):
            # nothing is frozen any more: what varies most is best
            self.prefix = None
            return uncut(setup, self.train, self.share, 0)
        if decisions.holds("views"):
            recipe = replace(recipe, views=decisions.settle("views", lambda: Decided(0)))
        if not recipe.is_split:
            num_steps, steps_per_epoch = recipe.length(len(self.train))
            self.prefix = freeze_prefix(
                setup.model,
                recipe,
                self.train,
                self.val,
                self.conditions,
                num_epochs=(phase.end - phase.start) * num_steps / steps_per_epoch,
                share=self.share,
            )
        if self.prefix is not None:
            num_views = self.prefix.num_views
            return Opened(self.prefix.feed, self.prefix.forward, is_cut=True, views=num_views)
        # what cannot be cut, or is not worth it, has as many views as were asked for
        views = decisions.settle("views", lambda: Decided(recipe.views or 0))
        return uncut(setup, self.train, self.share, views)

    def val_logits(self, stop_requested: Callable[[], bool] = never) -> Rows:
        """Return logits of the validation samples, shape (M, K), in eval mode.

        Raises:
            StopRequested: Between two batches, if someone asked to stop.
        """
        prefix, placed = self.prefix, self.placed
        if prefix is not None:
            return prefix.check_logits(stoppable(prefix.forward, stop_requested))
        model = placed_setup(self.setup, placed).model
        if model.task.tells_texts:
            return self._told(model, stop_requested)
        run, is_whole = stoppable(placed.run, stop_requested), not self.setup.recipe.is_split
        # several processes wait for one another here, and could not hear of a choice
        is_alone = self.conditions.company.size == 1
        return run_batches(
            model,
            self.val,
            run,
            is_bounded=is_whole,
            phase="validation" if is_alone else None,
            is_fixed=False,
        )

    def _told(self, model: Model, stop_requested: Callable[[], bool]) -> Rows:
        """Return what the model tells of val, with its own texts for some of it.

        The texts are written quickly, the likeliest token each time, and end soon after those that
        are wanted would.
        """
        run = stoppable(self.placed.run, stop_requested)
        how = expected_writing(model, self.val, num_beams=1)
        num = self._num_written(model, how) if model.task.is_chosen_by_texts else 0
        places = np.linspace(0, len(self.val) - 1, num).astype(np.int64) if num else np.arange(0)
        return tell_texts(
            model, self.val, run, how=how, places=places, stop_requested=stop_requested
        )

    def _num_written(self, model: Model, how: Telling) -> int:
        """Return of how many validation samples each look has the model write; settled once."""

        def decide() -> Decided[int]:
            whole, deadline = min(_MOST_WRITTEN, len(self.val)), self.conditions.deadline
            if self.setup.recipe.is_split:
                return Decided(0, "the weights are split over processes", "none")
            if deadline is None or whole < 2:
                return Decided(whole)
            few = np.linspace(0, len(self.val) - 1, min(_TIMED, whole)).astype(np.int64)
            began = time.monotonic()
            tell_texts(model, self.val, how=how, places=few)
            now = time.monotonic()
            each = (now - began) / len(few)
            fitting = int(SHARES["written"].share * max(0.0, deadline - now) / max(each, 1e-6))
            num = min(whole, max(_LEAST_WRITTEN, fitting))
            why = f"writing one takes {each * 1e3:.0f} ms"
            return Decided(num, why if num < len(self.val) else "", f"{num} of {len(self.val)}")

        return self.conditions.decisions.settle("val texts written", decide)
