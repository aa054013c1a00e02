"""Make the phases of the main process ready: their frozen parts are computed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from headstart.model import run_batches
from headstart.training.batches.order import Share
from headstart.training.company import Placement
from headstart.training.contract import never, stoppable
from headstart.training.options.strategy import Phase
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decided
from headstart.tuning.frozen import FrozenPrefix, freeze_prefix
from headstart.tuning.hooks import placed_setup, uncut
from headstart.tuning.phases import Opened
from headstart.tuning.setup import TrainingSetup
from headstart.types import Inputs, Rows


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
