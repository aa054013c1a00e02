"""In which number format, memory layout and by which kernels training steps run on a CPU.

No rule fits all networks: bf16 halves the time of a ResNet's step and lengthens that of another
network, by the kernels that there are. So real steps of the network at hand are measured, forward
and back, in each way that may apply; that takes at most its share of the budget, two seconds
without one, and what was found is remembered for the machine. It is settled once a run
(``decisions``), so that a later attempt, and every worker, trains to the same bits. Weights,
optimizer and loss are fp32 in every format.

What is measured is what is stepped: where a frozen part has been computed, what follows it; where
more layers learn from phase to phase, the whole network, since half of the steps have all of it.
Where steps are expected to take less than ``_WORTH_SECONDS`` nothing is measured, and they run as
the recipe has it. Nothing of a measurement is left: weights, buffers, gradients, modes and random
numbers are those from before.

Left out: GPUs; compiled networks; weights that are split over processes; passes without gradients.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from headstart.cores import has_bf16_units
from headstart.storage.measured import recall, remember
from headstart.training.batches.feed import Batch
from headstart.training.batches.order import Share
from headstart.training.options.common_options import Precision
from headstart.training.options.defaults import defaults_for
from headstart.training.options.recipe import Recipe
from headstart.training.options.strategy import as_trained, set_train_mode
from headstart.tuning.budget import STEP_PASSES, share_until
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decided
from headstart.tuning.hooks import let_learn, step_loss, uncut
from headstart.tuning.memory import largest_phase
from headstart.tuning.phases import Opened, Phases
from headstart.tuning.setup import TrainingSetup
from headstart.types import Inputs

_DECISION = "step_format"
_WORTH_SECONDS = 10.0  # of steps that are expected; below it a choice gains nothing to speak of
_MOST_SECONDS = 2.0  # without a budget, or
_MOST_SHARE = 0.1  # of all steps, where these take longer
_ENOUGH_SECONDS = 20.0  # however long the budget
_ROUNDS = 4  # of all formats in turn; the first warms up
_FEWEST_ROUNDS = 3
_FEW_SAMPLES = 8  # with fewer, what a pass costs whatever its samples hides what they cost
_FEWEST_SAMPLES = 4
_FEWEST_LONG, _LONG = 2, 100  # of samples of so many tokens, which cost enough by themselves
_HOPELESS = 1.3  # times the best: not measured again
_HOPELESS_AT_FIRST = 2.5
_GAIN = 0.95  # of the time of today's format, or less: only then another one is taken
_CLEAR_GAIN = 0.8  # where time was short, and kernels were made while the clock ran
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")


@dataclass(frozen=True)
class StepFormat:
    """How training steps run.

    Attributes:
        precision: Number format.
        channels_last: Whether images lie in memory pixel by pixel.
        own_kernels: Whether kernels of bf16 that are slow are replaced.
    """

    precision: Precision
    channels_last: bool
    own_kernels: bool

    def into(self, recipe: Recipe) -> Recipe:
        """Return the recipe with steps in this format."""
        return replace(
            recipe,
            step_precision=self.precision,
            step_channels_last=self.channels_last,
            own_kernels=self.own_kernels,
        )

    def told(self, *, has_layout: bool) -> str:
        """Return it as people read it."""
        layout = "channels last" if self.channels_last else "channels first"
        return f"{self.precision}, {layout}" if has_layout else self.precision


def open_formats(said: Mapping[str, object]) -> frozenset[str]:
    """Return which options of the format a user has left open.

    Args:
        said: Options as a run keeps them.
    """
    is_open = {
        "precision": said.get("precision", "auto") == "auto",
        "channels_last": said.get("channels_last") is None,
    }
    return frozenset(name for name, found in is_open.items() if found)


def lay_out(model: nn.Module, recipe: Recipe) -> None:
    """Lay the weights out in memory as steps have it."""
    layout = torch.channels_last if recipe.is_stepped_channels_last else torch.contiguous_format
    model.to(memory_format=layout)


def settle_step_format(
    setup: TrainingSetup,
    train: Inputs,
    phases: Phases,
    share: Share,
    conditions: Conditions,
    micro_batch_size: int | None,
) -> None:
    """Settle in which format steps run; recipe, model and phases are brought to it.

    Args:
        setup: The model and its recipe; the optimizer is not built yet.
        train: What steps are measured with.
        phases: What the loop will run.
        share: Which part of every step is this process's.
        conditions: What the user left open, the time, and what was settled before.
        micro_batch_size: Where memory has no room for the recipe's.
    """
    formats = _formats(setup, phases, conditions.open_options)
    if len(formats) < 2:
        return
    size = min(micro_batch_size or setup.recipe.micro_batch_size, len(train))
    size = min(size, -(-phases.order.batch_size // share.num))

    def decide() -> Decided[dict[str, object]]:
        found, why = _choose(setup, train, phases, share, conditions, formats, size)
        told = found.told(has_layout=setup.size is not None)
        return Decided(asdict(found), why, told)

    settled = conditions.decisions.settle(_DECISION, decide, given=conditions.company.size)
    found = StepFormat(**settled)  # type: ignore[arg-type]
    was_last = setup.recipe.is_stepped_channels_last
    setup.recipe = found.into(setup.recipe)
    if found.channels_last != was_last:
        lay_out(setup.model, setup.recipe)
        phases.replace(uncut(setup, train, share, phases.present.views))


def _formats(setup: TrainingSetup, phases: Phases, free: frozenset[str]) -> list[StepFormat]:
    """Return the formats that may apply: the recipe's own, then the likelier ones first."""
    model, recipe = setup.model, setup.recipe
    own = StepFormat(recipe.precision, recipe.channels_last, False)
    is_out = recipe.is_split or recipe.compile or not setup.strategy.loops
    if not free or is_out or model.device.type != "cpu":
        return [own]
    narrow = defaults_for(model.encoder.start).bf16_steps and has_bf16_units()
    precisions = [own.precision]
    if "precision" in free and narrow:
        precisions = ["bf16", own.precision]
    layouts = [own.channels_last]
    if "channels_last" in free and setup.size and phases.is_one:
        phases.prepare(0.0)
        # what crosses a cut lies in memory as the frozen part has left it
        layouts += [] if phases.present.is_cut else [not own.channels_last]
    found = [own]
    for layout in layouts:
        for precision in precisions:
            # in fp32 there is nothing to replace
            found.append(StepFormat(precision, layout, precision == "bf16"))
    return list(dict.fromkeys(found))


def _choose(
    setup: TrainingSetup,
    train: Inputs,
    phases: Phases,
    share: Share,
    conditions: Conditions,
    formats: Sequence[StepFormat],
    size: int,
) -> tuple[StepFormat, str]:
    """Return the quickest format, and why; the first, without a reason, where nothing is known."""
    if _expected_seconds(setup, len(train), conditions) < _WORTH_SECONDS:
        return formats[0], ""
    opened = largest_phase(setup, train, phases, share)  # with several phases the whole network
    trial = _Trial(setup, train, opened, conditions, size)
    known = recall(trial.question)
    times, is_sure = ({}, True) if known is None else (_read_times(known, formats), True)
    if len(times) < 2:
        times, is_sure = trial.run(formats)
        if len(times) < 2:
            return formats[0], ""
        if is_sure:
            answer = {"seconds": [[asdict(one), seconds] for one, seconds in times.items()]}
            about = f"steps of {setup.model.encoder.start.address}"
            remember(trial.question, answer, about=about)
    best = min(times, key=lambda one: times[one])
    if times[best] > (_GAIN if is_sure else _CLEAR_GAIN) * times[formats[0]]:
        best = formats[0]
    has_layout = setup.size is not None
    told = (
        f"{one.told(has_layout=has_layout)} {1e3 * seconds:.2f}" for one, seconds in times.items()
    )
    when = "as measured before" if known is not None else "measured"
    return best, f"ms a sample of a step, {when}: {'; '.join(told)}"


def _read_times(
    answer: Mapping[str, object], formats: Sequence[StepFormat]
) -> dict[StepFormat, float]:
    """Return what was measured before of the formats that may apply; nothing without the first."""
    rows = answer.get("seconds")
    assert isinstance(rows, list)
    found = {StepFormat(**one): float(seconds) for one, seconds in rows}
    found = {one: seconds for one, seconds in found.items() if one in formats}
    return found if formats[0] in found else {}


def _expected_seconds(setup: TrainingSetup, num_train: int, conditions: Conditions) -> float:
    """Return what all steps will take as far as anybody knows: at the most what is left."""
    recipe, each = setup.recipe, conditions.seconds_per_sample
    num_steps, _ = recipe.length(num_train)
    deadline = conditions.deadline
    left = float("inf") if deadline is None else deadline - time.monotonic()
    if each is None:
        return left
    return min(left, STEP_PASSES * each * recipe.batch_size * num_steps)


class _Trial:
    """Steps of one network, measured in several formats.

    Args:
        setup: The model and its recipe.
        train: Some of these are stepped with.
        opened: What is stepped.
        conditions: The time there is, and what a pass takes.
        size: Samples of a micro-batch.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        train: Inputs,
        opened: Opened,
        conditions: Conditions,
        size: int,
    ) -> None:
        self._setup, self._train, self._opened = setup, train, opened
        self._each, self._size = conditions.seconds_per_sample, size
        self._limit = min(share_until("step format", conditions.deadline), _ENOUGH_SECONDS)
        self._is_unlimited = conditions.deadline is None
        if self._is_unlimited:
            self._limit = _MOST_SECONDS

    @property
    def question(self) -> dict[str, object]:
        """What a measurement depends on beside the machine."""
        model, recipe = self._setup.model, self._setup.recipe
        with _learning(self._setup):
            weights = [[n, *p.shape, p.requires_grad] for n, p in model.named_parameters()]
        inputs = self._batch(1).inputs
        return {
            "measured": "training step",
            "architecture": model.encoder.architecture,
            "weights": weights,
            "inputs": [[str(tensor.dtype), *tensor.shape[1:]] for tensor in inputs],
            "size": self._size,
            "batchnorm": recipe.batchnorm,
            "is_cut": self._opened.is_cut,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "limits": [os.environ.get(name, "") for name in _LIMITS],
        }

    def run(self, formats: Sequence[StepFormat]) -> tuple[dict[StepFormat, float], bool]:
        """Return seconds a sample of those formats that the time allows to measure.

        Returns:
            Those that were stepped, fewer than two where there was no time for a comparison; and
            whether each was stepped again after its kernels were made.
        """
        end = time.monotonic() + self._limit
        found: dict[StepFormat, float] = {}
        with _learning(self._setup):
            each = self._sample_seconds(formats[0])
            if self._is_unlimited:  # on a busy machine two seconds compare nothing
                num_steps, _ = self._setup.recipe.length(len(self._train))
                steps = each * self._setup.recipe.batch_size * num_steps
                end += max(0.0, min(_MOST_SHARE * steps, _ENOUGH_SECONDS) - self._limit)
            chosen, num = self._affordable(formats, each, end)
            if not chosen:
                return {}, False
            batch, alive, longest = self._batch(num), list(chosen), 0.0
            for number in range(_ROUNDS):
                for one in alive:
                    began = time.monotonic()
                    if began + longest > end:
                        return found, number > 1
                    taken = self._step(one, batch) / num
                    longest = max(longest, time.monotonic() - began)
                    # the first makes kernels, and tells what is out of the question
                    found[one] = taken if number == 1 else min(found.get(one, taken), taken)
                worse = _HOPELESS if number else _HOPELESS_AT_FIRST
                alive = [one for one in alive if found[one] < worse * min(found.values())]
        return found, True

    def _sample_seconds(self, first: StepFormat) -> float:
        """Return about what a step takes a sample: as measured before, or by one of very few."""
        if self._each is not None and not self._opened.is_cut:
            return STEP_PASSES * self._each
        num = min(_FEWEST_SAMPLES, self._size)
        began = time.monotonic()
        self._step(first, self._batch(num))
        return (time.monotonic() - began) / num

    def _affordable(
        self, formats: Sequence[StepFormat], each: float, end: float
    ) -> tuple[Sequence[StepFormat], int]:
        """Return the formats that can be compared until the end, and the samples of each pass."""
        seconds = end - time.monotonic()
        lengths = self._train.lengths
        is_long = lengths is not None and float(np.median(lengths)) >= _LONG
        for least in (_FEW_SAMPLES, _FEWEST_SAMPLES, *([_FEWEST_LONG] if is_long else [])):
            most = len(formats) if least == _FEW_SAMPLES else 2
            for count in range(most, 1, -1):
                num = int(seconds / (_FEWEST_ROUNDS * count * each))
                if num >= min(least, self._size):
                    return formats[:count], min(num, self._size)
        return [], 0

    def _batch(self, num: int) -> Batch:
        """Return a micro-batch as training has it; of texts, some of middling length."""
        lengths = self._train.lengths
        order = np.arange(len(self._train))
        if lengths is not None:
            middle = np.abs(lengths - np.median(lengths))
            order = np.argsort(middle, kind="stable")
        return self._opened.feed.batch_of(np.resize(order, num))

    def _step(self, one: StepFormat, batch: Batch) -> float:
        """Take a step forward and back; return its seconds. Weights are left as they are."""
        model = self._setup.model
        recipe = one.into(self._setup.recipe)
        layout = torch.channels_last if one.channels_last else torch.contiguous_format
        compute = step_loss(model, recipe, self._train.targets, self._opened.forward)
        model.zero_grad(set_to_none=True)
        if one.channels_last == self._setup.recipe.is_stepped_channels_last:
            return _seconds_of(compute, batch)
        with _laid(model, layout):
            inputs = tuple(t.to(memory_format=layout) if t.ndim == 4 else t for t in batch.inputs)
            return _seconds_of(compute, replace(batch, inputs=inputs))


def _seconds_of(compute: Callable[[Batch], Tensor], batch: Batch) -> float:
    """Return what a pass takes, forward and back.

    With one thread those of its own that the processor counts, which whatever else runs on the
    machine lengthens little.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.monotonic
    began = clock()
    torch.autograd.backward(compute(batch))
    return clock() - began


@contextmanager
def _laid(model: nn.Module, layout: torch.memory_format) -> Iterator[None]:
    """Lay weights out in another way inside the block; those from before come back after."""
    before = [(parameter, parameter.data) for parameter in model.parameters()]
    try:
        for parameter, data in before:
            if data.ndim == 4:
                parameter.data = data.to(memory_format=layout)
        yield
    finally:
        for parameter, data in before:
            parameter.grad = None
            parameter.data = data


@contextmanager
def _learning(setup: TrainingSetup) -> Iterator[None]:
    """Let learn what learns in the end; all but the weights comes back, which nothing changes."""
    model, recipe = setup.model, setup.recipe
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    head = {name for name, _ in model.named_parameters() if name.startswith("head.")}
    with as_trained(model, head, recipe.batchnorm):
        let_learn(setup)
        set_train_mode(model, recipe.batchnorm)
        try:
            yield
        finally:
            for parameter, gradient in gradients:
                parameter.grad = gradient
