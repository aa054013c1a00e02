"""A learner through the one loop: its length, its checks, its hooks; in every process the same.

Nothing here knows what is hidden from what. Length and checks are settled once a run: under a
budget a few passes say how many steps it has room for, so that the learning rate warms up and falls
over these and not over the hundreds of epochs that an unlimited run would have.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import OptionError
from headstart.events import emit
from headstart.pretraining.objective import Learner
from headstart.pretraining.room import settle_micro_batch
from headstart.training.batches.feed import Batch
from headstart.training.batches.order import WHOLE, Share
from headstart.training.company import Company, Placement
from headstart.training.contract import Check, Hooks, LoopOptions, LoopResult
from headstart.training.loop import train
from headstart.training.machine.memory import keep_freed_memory
from headstart.training.options.recipe import Recipe, with_length
from headstart.training.options.schedule import learning_rate_factor
from headstart.training.options.strategy import build_optimizer, parameter_groups
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decided
from headstart.tuning.slowness import slowness

NUM_CHECKS = 10  # one every tenth of the run
_TRIED = 32  # samples of a step that is tried, of which the batch's time follows
_SPARE = 0.9  # of the steps that seem to fit: checks and saves take the rest
_CHECKS_AFTER, _SECONDS_AFTER = 2.5, 1.0  # what follows the loop: looks, pictures, the page
FEWEST_STEPS, LEAST_BATCH = 200, 32


@dataclass(frozen=True)
class Length:
    """How long a run is, as it is planned.

    Attributes:
        num_steps: Optimizer steps.
        batch_size: Samples a step.
    """

    num_steps: int
    batch_size: int

    @property
    def steps_per_check(self) -> int:
        """Steps between two checks."""
        return max(1, self.num_steps // NUM_CHECKS)


def settle_length(
    learner: Learner, conditions: Conditions, deadline: float | None, *, is_batch_said: bool
) -> Length:
    """Settle how many steps a run has; under a budget by steps tried.

    Where time is short for ``FEWEST_STEPS`` steps, they are smaller ones: a few large steps learn
    nothing.

    Args:
        learner: Its recipe says what the user, or the table of defaults, wants.
        conditions: The run's decisions.
        deadline: ``time.monotonic()`` value by which the last step has ended; None for no limit.
        is_batch_said: Whether the user named the batch: then it stays.
    """
    recipe, num = learner.recipe, learner.num_samples

    def decide() -> Decided[dict[str, int]]:
        wanted, _ = recipe.length(num)
        size = recipe.batch_size
        if deadline is None:
            return Decided(asdict(Length(wanted, size)))
        is_late = deadline <= time.monotonic()  # then a step is taken, and nothing is tried
        each = math.inf if is_late else _sample_seconds(learner)
        fitting = _SPARE * max(0.0, deadline - time.monotonic()) / each  # samples
        total, fewest = min(fitting, float(wanted) * size), min(FEWEST_STEPS, wanted)
        while size > LEAST_BATCH and fitting < fewest * size and not is_batch_said:
            size = (size + 1) // 2
        num_steps = max(1, int(total / size))
        is_less = num_steps * size < wanted * recipe.batch_size
        took = "the time is over" if is_late else f"a sample takes about {each * 1e3:.3g} ms"
        why = f"{took}: {num_steps * size / num:.3g} epochs fit"
        told = f"{num_steps:,} of {size} samples"
        return Decided(asdict(Length(num_steps, size)), why if is_less else "", told)

    return Length(**conditions.decisions.settle("steps", decide))


def _sample_seconds(learner: Learner) -> float:
    """Return what a sample takes in a step, forward and back; nothing is learned."""
    module, feed = learner.module, learner.feed(WHOLE)
    places = feed.order.indices(0)[:_TRIED]
    best = float("inf")
    with learner.as_it_trains():
        for _ in range(3):  # the first warms up
            began = time.monotonic()
            loss = learner.compute_loss(feed.batch_of(places))
            loss.backward()  # type: ignore[no-untyped-call]
            float(loss.detach())
            best = min(best, time.monotonic() - began)
            module.zero_grad(set_to_none=True)
    feed.close()
    each = max(best, 1e-6) / len(places)
    # a step may hold short texts, or long ones
    lengths = feed.lengths
    return each if lengths is None else each * float(lengths.mean() / lengths[places].mean())


def first_check(learner: Learner, conditions: Conditions) -> float:
    """Look at the weights as the start gives them, and tell it; return what a check takes.

    Args:
        learner: Not trained yet.
        conditions: Whose ``on_usable`` is called: from here on the folder is a start.

    Returns:
        Seconds; what was measured before, where the run was interrupted.
    """

    def decide() -> Decided[float]:
        began = time.monotonic()
        found = learner.validate(conditions.stop_requested)
        seconds = time.monotonic() - began
        conditions.on_usable()
        emit("check", step=0, num_steps=0, epoch=0.0, **found.figures)
        return Decided(seconds)

    return conditions.decisions.settle("seconds of a check", decide)


def follow(learner: Learner, conditions: Conditions, *, is_batch_said: bool = False) -> LoopResult:
    """Train to the end, the deadline or a request to stop; in the main process.

    Afterwards the module holds the weights of the best check, where there was one.

    Args:
        learner: What learns.
        conditions: Clock, folder, processes, decisions; by the deadline the loop has ended and what
            follows it has begun: ``_CHECKS_AFTER`` looks are put by for that.
        is_batch_said: Whether the user named the batch.

    Raises:
        DivergenceError: If the loss is not finite at three steps in a row.
        OptionError: If a step has fewer samples than there are processes.
    """
    emit("stage", text="Pretraining")
    company = conditions.company
    check_seconds = first_check(learner, conditions)
    deadline = conditions.deadline
    if deadline is not None:
        deadline -= _CHECKS_AFTER * check_seconds + _SECONDS_AFTER * slowness()
    length = settle_length(learner, conditions, deadline, is_batch_said=is_batch_said)
    size = min(learner.recipe.micro_batch_size, length.batch_size)
    recipe = replace(learner.recipe, batch_size=length.batch_size, micro_batch_size=size)
    learner.recipe = with_length(recipe, length.num_steps)
    state = conditions.checkpoints.path if conditions.checkpoints else None
    where = str(state.absolute()) if state else None
    company.send("loop", recipe=asdict(learner.recipe), length=asdict(length), state=where)
    company.broadcast_module(learner.module)
    micro = settle_micro_batch(learner, conditions)
    laid = Laid(learner, company, length, conditions.checkpoints)
    with closing(laid.feed):
        result = train(
            laid.placed.module,
            laid.optimizer,
            laid.hooks(
                partial(learner.validate, conditions.stop_requested), conditions.stop_requested
            ),
            replace(laid.options, check_seconds=check_seconds, micro_batch_size=micro),
            checkpoints=laid.placed.checkpoints,
            deadline=deadline,
        )
        laid.placed.finish(laid.optimizer)
    return result


class Laid:
    """A learner as it lies on the processes, with its share of the batches and its optimizer.

    Args:
        learner: The same in every process; its recipe is the settled one.
        company: The processes, all of which make this at the same time.
        length: As settled.
        checkpoints: Where the loop's state is kept; None keeps none.

    Raises:
        OptionError: If a step has fewer samples than there are processes.
    """

    def __init__(
        self, learner: Learner, company: Company, length: Length, checkpoints: Any
    ) -> None:
        self.learner, recipe = learner, learner.recipe
        module = learner.module
        for parameter in module.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        if company.device.type == "cpu":
            keep_freed_memory()
        share = Share(company.rank, company.size)
        self.feed = learner.feed(share)
        order = self.feed.order
        if order.batch_size < share.num:
            raise OptionError(
                f"batch_size is {order.batch_size} and {share.num} processes share it; expected a "
                f"sample for each. Raise --batch-size, or start fewer processes."
            )
        self.placed: Placement = company.place(
            module,
            recipe,
            checkpoints=checkpoints,
            example=_no_example,
            name=learner.encoder.start.address,
        )
        self.optimizer = optimizer_of(learner.encoder, module, recipe)
        self.options = LoopOptions(
            num_steps=length.num_steps,
            steps_per_check=length.steps_per_check,
            steps_per_epoch=order.steps_per_epoch,
            batch_size=order.batch_size,
            clip=recipe.clip,
            ema_half_life=0.0,
            patience=0,
            seed=recipe.seed,
            scale_loss=recipe.stepped_precision == "fp16",
            rank=company.rank,
            task="pretrain",
        )

    def hooks(self, check: Callable[[], Check], stop_requested: Callable[[], bool]) -> Hooks:
        """Return what the loop is handed.

        Args:
            check: Looks at what is held out; in the main process.
            stop_requested: Whether someone asked to stop.
        """
        recipe, feed = self.learner.recipe, self.feed
        return Hooks(
            batches=feed.batches,
            compute_loss=self._loss,
            check=check,
            learning_rate_factor=partial(
                _factor, recipe.schedule, recipe.warmup_fraction, recipe.cooldown_fraction
            ),
            set_mode=partial(_train_mode, self.learner.module),
            stop_requested=stop_requested,
            join=self.placed.join,
            step_ids=feed.step_ids,
            whole=feed.whole,
        )

    def _loss(self, batch: Batch) -> Tensor:
        return self.learner.compute_loss(batch)


def optimizer_of(encoder: Any, module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer of all that learns: one rate, no decay on biases, norms and positions.

    Args:
        encoder: Its layers are known.
        module: Holds it, and what learns beside it.
        recipe: Rate, decay and betas.
    """
    inside = {id(parameter) for parameter in encoder.parameters()}
    beside = nn.ParameterDict(
        {n.replace(".", "_"): p for n, p in module.named_parameters() if id(p) not in inside}
    )
    groups = parameter_groups(encoder, beside, encoder.layers, recipe)
    return build_optimizer(groups, recipe)


def _factor(name: Any, warmup: float, cooldown: float, progress: float) -> float:
    return learning_rate_factor(name, progress, warmup_fraction=warmup, cooldown_fraction=cooldown)


def _train_mode(module: nn.Module) -> None:
    module.train()


def _no_example() -> Sequence[Tensor]:
    raise AssertionError("a pretraining has whole networks in every process")
