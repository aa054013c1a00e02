"""Fine-tune in step with a main process: the same setup, and a share of every step.

The main process screens, probes, validates, evaluates and writes; a worker receives from it,
message by message, what to build and when to begin. Nothing of this file is imported by a process
that trains alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from headstart.starts import find_start
from headstart.training.options.recipe import Recipe
from headstart.training.options.strategies import find_strategy
from headstart.training.options.strategy import Phase
from headstart.training.options.training_options import TrainingOptions
from headstart.training.processes.company import Several
from headstart.training.processes.placement import SharedPlacement
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions
from headstart.tuning.fitting import settle_limits
from headstart.tuning.frozen import share_prefix
from headstart.tuning.hooks import (
    let_learn,
    loop_options,
    optimizer_of,
    place_setup,
    placed_setup,
    share_of,
    uncut,
    wire,
)
from headstart.tuning.messages import LoopMessage, SetupMessage
from headstart.tuning.phases import Opened, Phases
from headstart.tuning.setup import TrainingSetup, prepare_sample, set_up
from headstart.tuning.step_format import lay_out
from headstart.tuning.texts import text_cache
from headstart.types import Dataset, ImageSpec, Inputs, Start

if TYPE_CHECKING:
    from torch import nn


class Worker:
    """What a worker has built so far.

    Args:
        company: The processes.
        dataset: The same as the main process's.
        find: Gives the user's own start and module; a start that is None the main process has
            chosen.
        spec: The preprocessing of the module.
    """

    def __init__(
        self,
        company: Several,
        dataset: Dataset,
        find: Callable[[], tuple[Start | None, nn.Module | None]],
        spec: ImageSpec | None,
    ) -> None:
        self.company, self.dataset, self.find, self.spec = company, dataset, find, spec
        self.decisions = Decisions()  # what the main process has settled
        self._setup: TrainingSetup | None = None
        self._train: Inputs | None = None

    def build(self, message: SetupMessage) -> None:
        """Set up the model that the main process will fine-tune."""
        recipe = Recipe(**message["recipe"])
        start, module = self.find()
        # under other strategies it is a number that nobody has asked for: a start without layers
        # (a linear one) would refuse it
        counts_layers = find_strategy(recipe.strategy).counts_layers
        self._train = None
        self._setup = set_up(
            self.dataset,
            start or find_start(message["start"]),
            TrainingOptions(
                strategy=recipe.strategy,
                input_size=message["size"],
                framing=message["framing"],
                value_range=message["value_range"],
                max_length=recipe.max_length,
                languages=recipe.languages,
                num_last_layers=recipe.num_last_layers if counts_layers else None,
                lora_rank=recipe.lora_rank,
                lora_alpha=recipe.lora_alpha,
                dropout=recipe.dropout,
                encoder_dropout=recipe.encoder_dropout,
                drop_path=recipe.drop_path,
                channels_last=recipe.channels_last,
                seed=recipe.seed,
            ),
            device=self.company.device,
            module=module,
            spec=self.spec,
            texts=text_cache(
                self.dataset, Budget(None), seed=recipe.seed, decisions=self.decisions
            ),
        )
        self._setup.recipe = recipe
        self._setup.initial = {}  # for the figure "before", which is the main process's

    def prepare(self) -> None:
        """Prepare the samples that the main process has prepared; pixels lie in the cache."""
        assert self._setup is not None
        setup, dataset = self._setup, self.dataset
        limits = settle_limits(self.decisions, dataset, setup, 0.0, Budget(None))
        self._train = prepare_sample(
            dataset, "train", setup, limits["train"], seed=setup.recipe.seed
        )

    def learn(self, message: LoopMessage) -> None:
        """Take this process's share of all steps."""
        whole, train, company = self._setup, self._train, self.company
        assert whole is not None
        assert train is not None
        whole.recipe = Recipe(**message["recipe"])
        if whole.recipe.step_channels_last is not None:
            lay_out(whole.model, whole.recipe)
        # the head is the main process's probe, and a user's module may draw its own random weights
        company.broadcast_module(whole.model)
        let_learn(whole)
        state = message["state"]
        placed = place_setup(
            whole, company, CheckpointFolder(Path(state)) if state else None, train
        )
        assert isinstance(placed, SharedPlacement)
        setup = placed_setup(whole, placed)
        phases = Phases(setup, train, partial(self._open, setup, train))
        hooks = wire(
            setup,
            train,
            phases,
            placed,
            validate=_no_validation,
            stop_requested=lambda: False,  # the main process stops for all
        )
        options = loop_options(setup.recipe, phases.order, check_seconds=0.0, company=company)
        with closing(phases):
            optimizer = optimizer_of(setup, placed)
            placed.take_part(optimizer, hooks, options)
            placed.finish(optimizer)

    def _open(self, setup: TrainingSetup, train: Inputs, phase: Phase) -> Opened:
        """Make a phase ready as the main process has; it says so before the first step.

        Raises:
            SystemExit: If the main process has ended instead, which it has told.
        """
        while (message := self.company.await_message("phase", "settled"))["kind"] == "settled":
            self.decisions.receive(message)
        share, views = share_of(self.company, setup.recipe), message["views"]
        if not message["is_cut"]:
            return uncut(setup, train, share, views)
        recipe = replace(setup.recipe, views=views)
        feed, forward = share_prefix(setup.model, recipe, train, share, self.decisions)
        return Opened(feed, forward, is_cut=True, views=views)


def _no_validation() -> NoReturn:
    raise AssertionError("a worker looks at no split")
