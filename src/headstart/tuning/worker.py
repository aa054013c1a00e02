"""Fine-tune in step with a process that leads: the same bench, and a share of every step.

The leader screens, probes, looks, evaluates and writes; a follower hears from it, word by word,
what to build and when to begin. Nothing of this file is imported by a process that trains alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from headstart.events import emit
from headstart.starts import find_start
from headstart.training.options.recipe import Recipe, Wishes
from headstart.training.options.strategy import Phase
from headstart.training.processes.company import Team
from headstart.training.processes.worker import copy_module, follow
from headstart.tuning.budget import Clock
from headstart.tuning.frozen import share_prefix
from headstart.tuning.hooks import (
    let_learn,
    loop_options,
    optimizer_of,
    share_of,
    uncut,
    wire,
)
from headstart.tuning.phases import Opened, Phases
from headstart.tuning.setup import Bench, prepare_sample, set_up
from headstart.tuning.texts import text_stock
from headstart.types import Dataset, ImageSpec, Inputs, Start

if TYPE_CHECKING:
    from torch import nn

    from headstart.tuning.sharded import SplitBench


def lead_into_loop(team: Team, bench: Bench, state: Path | None) -> None:
    """Tell the followers that the loop begins, and give them the model as it stands.

    Args:
        team: The processes.
        bench: The model and its recipe.
        state: Where checkpoints are kept; None keeps none.
    """
    where = str(state.absolute()) if state else None
    team.say("loop", recipe=asdict(bench.recipe), state=where)
    copy_module(bench.model, team)


def tell_phase(team: Team, opened: Opened) -> None:
    """Tell the followers how the phase is trained that the loop enters now."""
    team.say("phase", views=opened.views, is_cut=opened.is_cut)


def tell_bench(team: Team, bench: Bench) -> None:
    """Tell the followers which model to build."""
    why = "so many were started; each takes its share of every step"
    emit("choice", name="processes", value=team.num, why=why)
    recipe = asdict(bench.recipe)
    team.say(
        "bench",
        start=bench.model.encoder.start.address,
        size=bench.size,
        recipe=recipe,
        text_limits=bench.texts.limits if bench.texts else None,
    )


class Follower:
    """What a following process has built so far.

    Args:
        team: The processes.
        dataset: The same as the leader's.
        find: Gives the user's own start and module; a start that is None the leader has chosen.
        spec: The preprocessing of the module.
    """

    def __init__(
        self,
        team: Team,
        dataset: Dataset,
        find: Callable[[], tuple[Start | None, nn.Module | None]],
        spec: ImageSpec | None,
    ) -> None:
        self.team, self.dataset, self.find, self.spec = team, dataset, find, spec
        self._bench: Bench | None = None
        self._train: Inputs | None = None

    def build(self, word: dict[str, Any]) -> None:
        """Set up the model that the leader will fine-tune."""
        recipe = Recipe(**word["recipe"])
        start, module = self.find()
        # under other strategies it is a number that nobody has asked for: a start without layers
        # (a linear one) would refuse it
        num_last = recipe.num_last_layers if recipe.strategy == "last-n" else None
        self._train = None
        self._bench = set_up(
            self.dataset,
            start or find_start(word["start"]),
            recipe.strategy,
            Wishes(
                drop_path=recipe.drop_path,
                dropout=recipe.dropout,
                channels_last=recipe.channels_last,
                num_last_layers=num_last,
            ),
            size=word["size"],
            device=self.team.device,
            seed=recipe.seed,
            module=module,
            spec=self.spec,
            texts=text_stock(
                self.dataset, Clock(None), seed=recipe.seed, limits=word["text_limits"]
            ),
        )
        self._bench.recipe = recipe
        self._bench.initial = {}  # for the figure "before", which is the leader's

    def prepare(self, word: dict[str, Any]) -> None:
        """Prepare the samples that the leader has prepared; pixels lie decoded in the cache."""
        assert self._bench is not None
        seed = self._bench.recipe.seed
        self._train = prepare_sample(self.dataset, "train", self._bench, word["limit"], seed=seed)

    def learn(self, word: dict[str, Any]) -> None:
        """Take this process's share of all steps."""
        bench, train, team = self._bench, self._train, self.team
        assert bench is not None
        assert train is not None
        bench.recipe = Recipe(**word["recipe"])
        # the head is the leader's probe, and a user's module may draw its own random weights
        copy_module(bench.model, team)
        let_learn(bench)
        split: SplitBench | None = None
        if bench.recipe.is_split:
            from headstart.tuning.sharded import SplitBench

            split = SplitBench(bench, team, Path(word["state"]) if word["state"] else None, train)
            bench = split.bench
        phases = Phases(bench, train, partial(self._open, bench, train))
        hooks = wire(
            bench,
            train,
            phases,
            look=_no_look,
            stop_requested=lambda: False,  # the leader stops for all
            team=team,
            shards=split.shards if split else None,
        )
        options = loop_options(bench.recipe, phases.order, check_seconds=0.0, team=team)
        with closing(phases):
            if split:
                split.follow(hooks, options)
            else:
                follow(bench.model, optimizer_of(bench), hooks, options)

    def _open(self, bench: Bench, train: Inputs, phase: Phase) -> Opened:
        """Make a phase ready as the leader has; it says so before the first step.

        Raises:
            SystemExit: If the leader has ended instead, which it has told.
        """
        word: dict[str, Any] = self.team.hear() or {}
        if word["kind"] == "ended":
            raise SystemExit(word["code"])
        share, views = share_of(self.team, bench.recipe), word["views"]
        if not word["is_cut"]:
            return uncut(bench, train, share, views)
        recipe = replace(bench.recipe, views=views)
        feed, forward = share_prefix(bench.model, recipe, train, share)
        return Opened(feed, forward, is_cut=True, views=views)


def _no_look() -> NoReturn:
    raise AssertionError("a process that follows looks at no split")
