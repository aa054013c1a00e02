"""What the arms of a search cost, and the samples they share: each start's prepared once a size.

Left out: what a step costs once it was taken (the loop's own pace knows).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from headstart.events import emit
from headstart.searching.arms import LEAST_STEPS, ArmCost, ArmSpec, Entrant
from headstart.searching.context import SearchContext
from headstart.searching.runner import built
from headstart.starts import find_start
from headstart.training.options.defaults import defaults_for
from headstart.training.options.strategies import find_strategy
from headstart.tuning.budget import STEP_PASSES
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.decisions import Decided
from headstart.tuning.fitting import (
    SMALLEST_SIDE,
    largest_useful_size,
    settle_limits,
    side_grain,
    validation_limit,
)
from headstart.tuning.setup import TrainingSetup, prepare_sample
from headstart.types import Inputs

VAL_ITEMS = "val items of the search"  # the decision: how many all arms are judged by
_OVERHEAD = 1.15  # of a step beside its passes: optimizer, batches, validations
_VIEWS = 4  # of each sample that a frozen part is mostly computed for
_NEARLY_ALL = 0.8  # of train
WANTED_STEPS = 60  # of an arm for which pixels give way, since it could take too few


@dataclass(frozen=True)
class _Measured:
    """A start at one size: seconds of a forward pass a sample, layers, batch, planned steps."""

    each: float
    num_layers: int
    batch_size: int
    num_steps: int
    num_last_layers: int


class Prices:
    """Costs and samples of arms.

    Args:
        context: What all arms share.
    """

    def __init__(self, context: SearchContext) -> None:
        self.context = context
        self.val_limit: int | None = None
        self._measured: dict[tuple[str, int | None], _Measured] = {}
        self._samples: dict[tuple[str, int | None], tuple[Inputs, Inputs]] = {}
        self._settled: set[tuple[str, int | None]] = set()

    def each(self, spec: ArmSpec) -> float:
        """Return seconds of one forward pass a sample."""
        return self._of(spec).each

    def measure_again(self, spec: ArmSpec) -> None:
        """Measure a start's pace anew, before an arm is refused by it; the quicker one counts."""
        context, key = self.context, (spec.start, spec.size)
        found, setup = self._of(spec), self._built(spec)
        each = seconds_per_sample(setup, context.dataset, context.budget, again=True)
        self._measured[key] = replace(found, each=min(each, found.each))

    def cost(self, spec: ArmSpec) -> ArmCost:
        """Return what an arm takes at the pace that this machine has shown during the run."""
        found, strategy = self._of(spec), find_strategy(spec.strategy)
        num_train, num_val = len(self.context.dataset.train), self._num_val
        learning = 1.0
        before = 0.0
        if strategy.is_cacheable:
            learning = min(1.0, found.num_last_layers / max(1, found.num_layers))
            before = found.each * (_VIEWS * num_train + num_val)
        step = _OVERHEAD * STEP_PASSES * found.each * found.batch_size * learning
        load, validation = self.context.budget.load, found.each * num_val * learning
        num_steps = round(spec.length * found.num_steps)
        return ArmCost(load * before, load * step, load * validation, num_steps)

    def head_seconds(self, spec: ArmSpec) -> float:
        """Return what the features of a head take, at the most."""
        num = len(self.context.dataset.train) + self._num_val
        return self.context.budget.load * self._of(spec).each * num

    def larger_size(self, spec: ArmSpec, seconds: float) -> int | None:
        """Return a side at which the features of all splits take so long; None for no larger one.

        Args:
            spec: A head at the size that a fine-tuning affords.
            seconds: What the features of train, val, and twice of test may take.
        """
        start, dataset = find_start(spec.start), self.context.dataset
        if seconds <= 0 or spec.size is None or not (start.image and start.pretrained_on):
            return None
        passes = len(dataset.train) + self._num_val + 2 * len(dataset.test)
        each = self.context.budget.load * self.each(spec)
        ratio = math.sqrt(seconds / max(1e-9, passes * each))
        most = largest_useful_size(dataset, start.image, self.context.asked.framing)
        grain = side_grain(start)
        side = int(np.clip(int(spec.size * min(ratio, 100.0)) // grain * grain, 0, most))
        return side if side >= spec.size + grain else None

    def affordable(self, spec: ArmSpec, seconds: float) -> ArmSpec:
        """Return an arm that sees fewer pixels, where it could take too few steps otherwise.

        Args:
            spec: An arm that learns by steps.
            seconds: Of its training.
        """
        start, cost = find_start(spec.start), self.cost(spec)
        enough = cost.affordable(seconds) >= min(cost.num_steps, LEAST_STEPS)
        if spec.size is None or start.pretrained_on is None or enough:
            return spec
        steps = min(cost.num_steps, WANTED_STEPS)
        # a pass costs in proportion to the pixels
        side = spec.size * math.sqrt(max(0.0, seconds / cost.of(steps)))
        grain = side_grain(start)
        size = max(min(SMALLEST_SIDE, spec.size), int(side) // grain * grain)
        return replace(spec, size=min(size, spec.size))

    def rates(self, address: str) -> tuple[float, ...]:
        """Return the multiples of a family's rate that are worth a try."""
        row = defaults_for(find_start(address))
        return row.grid

    def samples(self, spec: ArmSpec) -> tuple[Inputs, Inputs]:
        """Return train and val as an arm's network takes them; the same val items for all arms."""
        key = (spec.start, spec.size)
        if key not in self._samples:
            context = self.context
            setup = self._built(spec)
            seed, limit = context.asked.seed, self._settled_limit(spec, setup)
            if limit is not None:
                value = f"{limit} of {len(context.dataset.train)}"
                emit("choice", name="train samples", value=value, why="no more fit the budget")
            self._samples[key] = (
                prepare_sample(context.dataset, "train", setup, limit, seed=seed),
                prepare_sample(context.dataset, "val", setup, self.val_limit, seed=seed),
            )
        return self._samples[key]

    def settle(self, spec: ArmSpec) -> None:
        """Settle how many samples an arm learns from, before another process prepares them."""
        key = (spec.start, spec.size)
        if key not in self._samples and key not in self._settled:
            self._settled_limit(spec, self._built(spec))
        self.context.spare.pop(spec, None)  # another process builds its own

    def _settled_limit(self, spec: ArmSpec, setup: TrainingSetup) -> int | None:
        """Return how many training samples an arm learns from; None for all."""
        context = self.context
        self._settled.add((spec.start, spec.size))
        decisions = context.decisions.within(f"{spec.start} {spec.size or ''}".strip())
        limits = settle_limits(decisions, context.dataset, setup, self.each(spec), context.budget)
        limit = limits["train"]
        if limit is not None and limit > _NEARLY_ALL * len(context.dataset.train):
            return None  # what was computed for all of them is there already
        return limit

    def _built(self, spec: ArmSpec) -> TrainingSetup:
        """Return the model of an arm, which stays there for it: each is built once."""
        setup = self.context.spare[spec] = built(spec, self.context)
        return setup

    def keep_spare(self, specs: Collection[ArmSpec]) -> None:
        """Let go what was built to measure and no arm will take.

        Args:
            specs: The arms that are to come.
        """
        for spec in self.context.spare.keys() - set(specs):
            del self.context.spare[spec]

    @property
    def _num_val(self) -> int:
        num = len(self.context.dataset.val)
        return num if self.val_limit is None else min(num, self.val_limit)

    def num_validated(self, specs: list[ArmSpec]) -> int | None:
        """Return how many val items the slowest of some arms can validate; None for all."""
        budget = self.context.budget
        limits = [validation_limit(self.each(spec), budget) for spec in specs]
        return min((limit for limit in limits if limit is not None), default=None)

    def _of(self, spec: ArmSpec) -> _Measured:
        key = (spec.start, spec.size)
        if key not in self._measured:
            setup = self._built(replace(spec, length=1.0))
            each = seconds_per_sample(setup, self.context.dataset, self.context.budget)
            num_steps, _ = setup.recipe.length(len(self.context.dataset.train))
            self._measured[key] = _Measured(
                each,
                len(setup.model.encoder.layers),
                setup.recipe.batch_size,
                num_steps if setup.strategy.loops else 0,
                setup.recipe.num_last_layers,
            )
        return self._measured[key]


def prepare_prices(context: SearchContext, entries: Sequence[Entrant]) -> Prices:
    """Settle how many val items all arms are judged by, and prepare the first start's samples.

    Args:
        context: What all arms share.
        entries: The starts that take part, the best first.
    """
    prices = Prices(context)
    specs = [ArmSpec(one.start, one.strategy, size=one.size) for one in entries]

    def decide() -> Decided[int | None]:
        return Decided(prices.num_validated(specs))

    prices.val_limit = context.decisions.settle(VAL_ITEMS, decide)
    prices.samples(specs[0])
    return prices
