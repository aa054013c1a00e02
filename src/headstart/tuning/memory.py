"""Whether a training step fits the memory of the machine, and the micro-batch with which it does.

On a GPU memory that runs out is an error, and the loop halves the micro-batch then: nothing is done
here. On a CPU nothing is raised: the kernel kills the process, or the machine swaps to death. So
there the first step waits for an estimate (``training.footprint``), and where the step does not fit
the loop begins with the micro-batch that it would have ended with. It is settled once a run
(``decisions``), so that a later attempt with more or less free memory trains to the same bits; with
another number of processes, whose shares are others and whose bits are too, it is settled anew.

Nor does a step take gigabytes because they are free: where smaller micro-batches give the same
gradient up to rounding (no statistics of BatchNorm, no mixing, no random numbers), activations are
kept below ``ENOUGH_BYTES``, the same on every machine.

Left out: weights that are split over processes; the memory of processes on other machines (the
main process's estimate counts); passes without gradients, whose size does not depend on the
micro-batch (docs/survival.md says what they take).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from rich.filesize import decimal
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.errors import DeviceError
from headstart.events import emit
from headstart.objectives.supervised import find_loss
from headstart.training.batches.order import Share
from headstart.training.company import Company
from headstart.training.contract import refuse_halving
from headstart.training.machine import memory
from headstart.training.machine.footprint import Footprint, measure_forward
from headstart.training.machine.kernels import stepping
from headstart.training.options.recipe import Recipe
from headstart.training.options.strategy import as_trained, phases_of, set_train_mode
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decided
from headstart.tuning.hooks import let_learn, uncut
from headstart.tuning.phases import Opened, Phases
from headstart.tuning.setup import TrainingSetup
from headstart.types import Inputs

_USABLE = 0.8  # of the free memory: up to a fifth more than estimated was measured
# Bytes of activations; what fewer cost in time is not settled: docs/experiments.md, "Memory of a
# whole fit". EfficientNet-Lite0 at its own size takes 440 MB for four photos, Lite2 385 MB for two.
ENOUGH_BYTES = 600 * 10**6
_DECISION = "micro_batch_size"


class _Settled(TypedDict):
    """None where the recipe's micro-batch stays; and what a step takes."""

    micro_batch_size: int | None
    step_bytes: int


@dataclass(frozen=True)
class _Step:
    """What a step takes, and how small its micro-batches may be.

    Attributes:
        footprint: By the size of its micro-batches.
        learning_bytes: Of that, what gradients, optimizer and averages take.
        smallest: 2 where a BatchNorm learns its statistics, else 1.
        is_mixed: Whether samples of a micro-batch have to do with one another.
        is_random: Whether the network draws random numbers, others in other micro-batches.
        is_sized: Whether they are images, whose size can be chosen.
    """

    footprint: Footprint
    learning_bytes: int
    smallest: int
    is_mixed: bool
    is_random: bool
    is_sized: bool

    def fits(self, size: int, free_bytes: int) -> bool:
        """Return whether a step with such micro-batches fits."""
        return _fits(self.footprint.of(size), free_bytes)

    def sparing(self, size: int) -> int:
        """Return the micro-batch, halved while its activations are more than enough.

        As it is where another one would give another gradient, not only other rounding.
        """
        if self.is_mixed or self.is_random:
            return size
        while size > self.smallest and self.footprint.per_sample * size > ENOUGH_BYTES:
            size = (size + 1) // 2
        return size

    def largest(self, size: int, free_bytes: int) -> int:
        """Return the micro-batch, halved until it fits or is the smallest."""
        while size > self.smallest and not self.fits(size, free_bytes):
            size = (size + 1) // 2  # as the loop does it where memory has run out
        return size


def settle_micro_batch(
    setup: TrainingSetup, train: Inputs, phases: Phases, share: Share, conditions: Conditions
) -> int | None:
    """Return the micro-batch that the loop begins with; None for the recipe's.

    Args:
        setup: The model and its recipe; weights, buffers and modes are left as they are.
        train: The longest of these is measured.
        phases: What the loop will run; where there is one phase, it is made ready.
        share: Which part of every step is this process's.
        conditions: Whether the user named a micro-batch, and what was settled before for as many
            processes.

    Raises:
        DeviceError: If gradients, optimizer and averages alone are more than memory and swap, or
            the loss does not allow smaller micro-batches.
    """
    company, decisions = conditions.company, conditions.decisions
    if setup.model.device.type != "cpu" or setup.recipe.is_split:
        return None
    # a checkpoint's micro-batch, if it is the smaller one, holds all the same
    is_known = decisions.holds(_DECISION, company.size)
    free = _free_bytes(company)
    notes: list[str] = []

    def decide() -> Decided[_Settled]:
        step = _measure(setup, train, phases, share, is_saved=conditions.checkpoints is not None)
        whole = min(setup.recipe.micro_batch_size, -(-phases.order.batch_size // share.num))
        decided, note = _decide(setup, step, whole, free, conditions)
        notes.append(note)
        return decided

    settled = decisions.settle(_DECISION, decide, given=company.size)
    for text in filter(None, notes):
        emit("note", text=text)
    if is_known and free is not None:
        _tell_misfit(settled["step_bytes"], free, company)
    return settled["micro_batch_size"]


def _decide(
    setup: TrainingSetup, step: _Step, whole: int, free: int | None, conditions: Conditions
) -> tuple[Decided[_Settled], str]:
    """Decide in which micro-batches a step begins; with a note where it does not fit all the same.

    Args:
        setup: Named where it is refused.
        step: As measured.
        whole: The micro-batch of the recipe.
        free: Bytes that are free; None where nobody knows.
        conditions: The processes, and what the user said.

    Raises:
        DeviceError: As ``settle_micro_batch``.
    """
    is_said = conditions.is_micro_batch_said
    is_mean = find_loss(setup.model.schema.task).is_sample_mean
    size = step.sparing(whole) if is_mean and not is_said else whole
    fitting, why, note = size, "", ""
    if size < whole:
        memory.give_back_freed_memory()  # what earlier passes have left is not taken beside it
    if free is not None:
        fitting, why, note = _fitting(setup, step, size, free, conditions)
    if fitting == size < whole:
        taken = (decimal(step.footprint.of(num)) for num in (whole, size))
        why = "a step of {} samples needs about {}, in parts {}; the batch stays whole"
        why = why.format(whole, *taken)
    settled = None if is_said or fitting == whole else fitting
    needed = step.footprint.of(settled or whole)
    found: _Settled = {"micro_batch_size": settled, "step_bytes": needed}
    return Decided(found, why if settled else "", settled), note


def _fitting(
    setup: TrainingSetup, step: _Step, size: int, free: int, conditions: Conditions
) -> tuple[int, str, str]:
    """Return the micro-batch, smaller where it does not fit; why, and what to say all the same.

    Raises:
        DeviceError: As ``settle_micro_batch``.
    """
    company, is_said = conditions.company, conditions.is_micro_batch_said
    free = _make_free(step.footprint.of(size), free, company)
    if step.learning_bytes > free + memory.free_swap_bytes() // company.num_local:
        raise DeviceError(
            f"Gradients, optimizer and averages of '{setup.model.encoder.start.address}' take "
            f"{decimal(step.learning_bytes)} under strategy {setup.recipe.strategy}, and "
            f"{decimal(free)} are free; expected room for them. Choose --strategy last-n or lora, "
            f"a smaller start, or a machine with more memory."
        )
    fitting = step.largest(size, free)
    if fitting < size and not is_said:
        is_mean = find_loss(setup.model.schema.task).is_sample_mean
        refuse_halving(_found(step, size, free), is_sample_mean=is_mean)
    if step.fits(size, free):
        return fitting, "", ""
    why = "" if is_said or fitting == size else _why(step, size, free)
    return fitting, why, _misfit(step, size, fitting, free, is_said=is_said)


def _tell_misfit(needed: int, free: int, company: Company) -> None:
    """Say where what was settled before would no longer fit."""
    free = _make_free(needed, free, company)
    if not _fits(needed, free):
        emit(
            "note",
            text=f"A step needs about {decimal(needed)}, more than {_USABLE:.0%} of the "
            f"{decimal(free)} that are free now; the micro-batch stays, so that the result does. "
            f"Close other programs, or start anew with --overwrite.",
        )


def _why(step: _Step, size: int, free: int) -> str:
    """Return why the micro-batch is smaller."""
    why = f"{_found(step, size, free)}; the batch stays whole"
    if step.is_mixed:
        why += ", but statistics of BatchNorm and mixing are those of a micro-batch"
    return why


def _found(step: _Step, size: int, free: int) -> str:
    needed = decimal(step.footprint.of(size))
    return f"a step of {size} samples needs about {needed}, {decimal(free)} are free"


def _misfit(step: _Step, size: int, fitting: int, free: int, *, is_said: bool) -> str:
    """Return what to say where nothing can be done about a misfit, or nothing may be."""
    if not step.fits(fitting, free):
        needed = decimal(step.footprint.of(fitting))
        text = f"Even micro-batches of {fitting} need about {needed}, and {decimal(free)} are "
        text += "free: the system may end this run, or swap. Choose --strategy last-n, a "
        text += "smaller start"
        smaller = " or --input-size" if step.is_sized else ""
        return f"{text}{smaller}, or close other programs."
    if is_said:
        found = _found(step, size, free)
        text = f"{found[0].upper()}{found[1:]}: the system may end this run, or swap. "
        return f"{text}--micro-batch-size {fitting} would fit."
    return ""


def _measure(
    setup: TrainingSetup, train: Inputs, phases: Phases, share: Share, *, is_saved: bool
) -> _Step:
    """Measure the largest step of the training; the model is left as it was."""
    model, recipe = setup.model, setup.recipe
    longest = 0 if train.lengths is None else int(np.argmax(train.lengths))
    opened = largest_phase(setup, train, phases, share)

    def inputs(num: int) -> tuple[Tensor, ...]:
        return opened.feed.batch_of(np.full(num, longest)).inputs

    draws: list[bool] = []

    def forward(*given: Tensor) -> Tensor:
        before = torch.get_rng_state()
        with stepping(recipe, model.device):
            output = opened.forward(*given)
        draws.append(not torch.equal(before, torch.get_rng_state()))
        return output

    head = {name for name, _ in model.named_parameters() if name.startswith("head.")}
    with as_trained(model, head, recipe.batchnorm):
        let_learn(setup)
        set_train_mode(model, recipe.batchnorm)
        found = measure_forward(model, inputs, forward)
        learning = learning_bytes(model, recipe)
        norms = any(isinstance(m, _BatchNorm) and m.training for m in model.modules())
    # a checkpoint holds the weights in place of the gradients
    fixed = found.fixed + learning * (2 if is_saved else 1)
    is_mixed = norms or bool(recipe.mixup or recipe.cutmix)
    footprint, smallest = Footprint(fixed, found.per_sample), 2 if norms else 1
    is_image = setup.size is not None
    return _Step(footprint, learning, smallest, is_mixed, any(draws), is_image)


def largest_phase(setup: TrainingSetup, train: Inputs, phases: Phases, share: Share) -> Opened:
    """Return the phase in which most is kept for the backward pass."""
    if len(phases_of(setup.recipe, len(setup.model.encoder.layers))) > 1:
        return uncut(setup, train, share, 0)  # in the last one everything learns
    phases.prepare(0.0)
    return phases.present


def _free_bytes(company: Company) -> int | None:
    """Return what this process may take of the free memory; None where that is not known."""
    free = memory.free_memory_bytes()
    return None if free is None else free // company.num_local


def _fits(num_bytes: int, free_bytes: int) -> bool:
    """Return whether a step that takes so much fits what is free."""
    return num_bytes <= _USABLE * free_bytes


def _make_free(needed: int, free: int, company: Company) -> int:
    """Return what is free; where a step does not fit, what earlier passes have freed comes too."""
    if _fits(needed, free):
        return free
    memory.give_back_freed_memory()
    again = _free_bytes(company)
    return free if again is None else again


def learning_bytes(model: nn.Module, recipe: Recipe) -> int:
    """Return the bytes that learning takes beside the weights: gradients, optimizer, averages.

    Activations are not counted: they depend on the micro-batch, which can be made smaller.
    """
    moments = (1 if recipe.momentum else 0) if recipe.optimizer == "sgd" else 2
    copies = 1 + moments + (1 if recipe.ema_half_life else 0) + 1  # the last: the best weights
    return copies * sum(p.nbytes for p in model.parameters() if p.requires_grad)
