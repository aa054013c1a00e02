"""What a pass costs, and what therefore fits a budget: input size, samples, looks.

Everything is measured on the start at hand; nothing is read from a table of speeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from headstart.errors import StartError
from headstart.events import emit
from headstart.preprocessing import TermPreprocess
from headstart.preprocessing.framing import decided, framed_size
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import SHARES, STEP_PASSES, Budget
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.decisions import Decided, Decisions
from headstart.tuning.named_budget import named_budget
from headstart.tuning.setup import TrainingSetup, prepare_sample, set_up
from headstart.tuning.texts import TextCache
from headstart.types import Dataset, Framing, ImageSpec, Inputs, SplitName, Start

SMALLEST_SIDE = 64
LAST_SIDE = 32  # where the test split does not fit the budget otherwise
_GRAIN, _GRAIN_OF_CONVNETS = 32, 16  # pixels
_BUSY = 1.25  # how much slower the machine may be when the budget named is tried
_MIN_EPOCHS = 3.0
# However many samples there are: of 42,500 small photos half of them at 96 pixels were worth 2.7
# points more than all of them nearly twice at 64 (docs/experiments.md).
_ENOUGH_STEPS = 300
_LEAST_VALIDATED = 100
# Before a start is refused by its pace it is measured so many times more, as long as each time, of
# about ten samples, takes no more than such a part of what is left.
_MORE_LOOKS, _LOOKED_AT, _LOOK_SHARE = 3, 10, 0.02


class TooSlowError(StartError):
    """A start that does not fit the time at hand; more of it, or a quieter moment, may do."""


def fitting_setup(
    dataset: Dataset,
    start: Start,
    options: TrainingOptions,
    budget: Budget,
    *,
    device: torch.device,
    texts: TextCache | None = None,
) -> tuple[TrainingSetup, float, str]:
    """Set a start up at the largest input size whose fine-tuning fits the budget.

    Wanted are three epochs or 300 steps, whatever is less (a pass with gradients costs three
    without), and two passes over the test split; where not even one of these fits at 64 pixels, it
    is 32. A scratch start keeps the data's
    own size, and so does every start without a budget.
    What the run keeps of its ``texts`` bounds how many of them are learned from.

    Returns:
        The setup, seconds a sample, and a note where the size was lowered or not all texts were
        learned from.

    Raises:
        StartError: If the test split alone would take too much of what is left, or learning from
            the texts.
    """

    def at(size: int | None) -> tuple[TrainingSetup, float]:
        sized = replace(options, input_size=size)
        setup = set_up(dataset, start, sized, device=device, texts=texts)
        return setup, seconds_per_sample(setup, dataset, budget)

    if start.pretrained_on is None or start.image is None or budget.limit_seconds is None:
        setup, each = at(None)
        total = len(dataset.train)
        learned = texts.num_learned(start) if texts else total
        note = "" if learned == total else f", vocabulary of {learned:,} of {total:,} texts"
    else:
        default = start.image.size
        ceiling = largest_useful_size(dataset, start.image, options.framing)
        size = smallest = min(SMALLEST_SIDE, ceiling)
        setup, each = at(smallest)
        wanted = min(_MIN_EPOCHS * len(dataset.train), _ENOUGH_STEPS * setup.recipe.batch_size)
        passes = STEP_PASSES * wanted
        passes += 2 * (len(dataset.test) + len(dataset.val))
        affordable = budget.may_take("input size") / passes
        # a pass costs in proportion to the pixels; rounded, since few steps at more pixels are
        # worth more than many at fewer
        side = int(smallest * (affordable / (budget.load * each)) ** 0.5)
        grain = side_grain(start)
        size = int(np.clip(round(side / grain) * grain, smallest, ceiling))
        if size != smallest:
            setup, each = at(size)
        elif size > LAST_SIDE and _test_seconds(dataset, each, budget) > budget.may_take("test"):
            with suppress(StartError):  # a network that cannot read images so small
                setup, each = at(LAST_SIDE)
                size = LAST_SIDE
        note = "" if size == default else f", at {size} pixels instead of {default}"
    if budget.limit_seconds is not None:
        preparing = _preparing_seconds(setup)

        def fits(each: float) -> bool:
            return _test_seconds(dataset, each, budget, preparing) <= budget.may_take("least test")

        each = surer_pace(setup, dataset, budget, each, fits)
        refuse_too_slow(dataset, start, each, budget, preparing=preparing)
    return setup, each, note


def side_grain(start: Start) -> int:
    """Return what sides of a start's input are multiples of: patches and windows allow no others.

    A head reads 80 pixels of cats and dogs 8 points better than 64, and 96 only 3 better than that.
    """
    return _GRAIN_OF_CONVNETS if start.family == "convnet" else _GRAIN


def surer_pace(
    setup: TrainingSetup,
    dataset: Dataset,
    budget: Budget,
    each: float,
    is_enough: Callable[[float], bool],
) -> float:
    """Return seconds a sample: as measured, or anew as long as a start would be refused by it.

    Others' programs only slow a pass down, and on a busy machine one is slow by chance: what was
    measured at one moment refuses nobody.

    Args:
        setup: The model.
        dataset: Its samples.
        budget: Keeps what is measured.
        each: Seconds a sample, as measured.
        is_enough: Whether a pace is quick enough.
    """
    for _ in range(_MORE_LOOKS):
        if is_enough(each) or _LOOKED_AT * each > _LOOK_SHARE * budget.left:
            break
        each = seconds_per_sample(setup, dataset, budget, again=True)
    return each


def largest_useful_size(
    dataset: Dataset, spec: ImageSpec, framing: Literal["auto", Framing]
) -> int:
    """Return the side of the input in pixels beyond which these images show nothing more.

    That of the start, or four times the images' own: pixels that the data does not have are worth
    little beyond that.

    Args:
        dataset: Gives the images' size.
        spec: Of the start.
        framing: How an image becomes a square.
    """
    own = min(framed_size(dataset.image_size, decided(framing)) or (10_000, 10_000))
    return min(spec.size, max(SMALLEST_SIDE, 4 * own))


def _preparing_seconds(setup: TrainingSetup) -> float:
    """Return what preparing one sample takes, in seconds; 0 where it is no text."""
    # an encoder of the user's own, too: it is measured with what it brings
    return setup.texts.seconds_per_text(setup.model.encoder) if setup.texts else 0.0


def refuse_too_slow(
    dataset: Dataset,
    start: Start,
    seconds_per_sample: float,
    budget: Budget,
    *,
    preparing: float = 0.0,
) -> None:
    """Refuse a start that cannot even be evaluated within the budget.

    Args:
        dataset: Gives the number of test samples.
        start: Named in the refusal.
        seconds_per_sample: One forward pass.
        budget: The budget.
        preparing: Seconds that preparing one sample takes before the first pass.

    Raises:
        TooSlowError: Saying what the test split would take.
    """
    seconds, share = (
        _test_seconds(dataset, seconds_per_sample, budget, preparing),
        SHARES["least test"].share,
    )
    if seconds > budget.may_take("least test"):
        needed = budget.spent + _BUSY * seconds / share
        enough = named_budget(needed)
        if budget.left <= 0:
            raise TooSlowError(
                f"The budget was spent before '{start.address}' could be tried; expected time for "
                f"one pass over the {len(dataset.test):,} samples of the test split. Give "
                f"{enough}."
            )
        raise TooSlowError(
            f"Start '{start.address}' needs {_told(seconds)} for one pass over the "
            f"{len(dataset.test):,} samples of the test split, and {_told(budget.left)} "
            f"of the budget are left; expected less than {share:.0%} of it. Give "
            f"{enough}, or choose a smaller start."
        )


def _told(seconds: float) -> str:
    """Return seconds as a refusal names them: a start is refused for parts of one, too."""
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def _test_seconds(
    dataset: Dataset, seconds_per_sample: float, budget: Budget, preparing: float = 0.0
) -> float:
    """Return what one pass over the test split takes; a second one, of the baseline, may go."""
    return budget.load * len(dataset.test) * (seconds_per_sample + preparing)


def validation_limit(seconds_per_sample: float, budget: Budget) -> int | None:
    """Return how many samples one validation may take; None where there is no budget."""
    if budget.limit_seconds is None:
        return None
    each = budget.load * seconds_per_sample
    return max(_LEAST_VALIDATED, int(budget.may_take("validation") / each))


def train_limit(
    dataset: Dataset, setup: TrainingSetup, seconds_per_sample: float, budget: Budget
) -> int | None:
    """Return how many training samples are worth preparing; None for all of them.

    Rows cost next to nothing to prepare: all of them. Images and texts too where preparing them
    takes less than a tenth of what is left. Otherwise no more than the budget lets the network see
    once, and no more than a quarter of what is left lets us prepare. Terms go to a solver, past the
    network.
    """
    if budget.limit_seconds is None or setup.preprocess.is_instant:
        return None
    each = preparing_seconds(dataset, setup, budget)
    samples = dataset.train.samples
    if each * len(samples) < budget.may_take("all samples"):
        return None
    worth = budget.may_take("samples") / max(1e-9, each)
    if not isinstance(setup.preprocess.main, TermPreprocess):
        each = budget.load * seconds_per_sample
        worth = min(max(0.0, budget.left) / (STEP_PASSES * each), worth)
    return max(int(worth), 20 * len(dataset.schema.classes))


def preparing_seconds(dataset: Dataset, setup: TrainingSetup, budget: Budget) -> float:
    """Return what preparing one sample takes, in seconds: as measured before, or now.

    Args:
        dataset: The data; rows cost next to nothing.
        setup: Says how samples are prepared.
        budget: Keeps what the run has measured.
    """
    key = ("preparing", setup.model.encoder.start.address, setup.size)
    samples, preprocess = dataset.train.samples, setup.preprocess
    reading = budget.measured(key, lambda: preprocess.seconds_per_sample(samples))
    return reading + _preparing_seconds(setup)


def settle_limits(
    decisions: Decisions,
    dataset: Dataset,
    setup: TrainingSetup,
    seconds_per_sample: float,
    budget: Budget,
) -> dict[str, int | None]:
    """Settle how many samples of train and of val the budget can use; None for all of them."""

    def decide() -> Decided[dict[str, int | None]]:
        train = train_limit(dataset, setup, seconds_per_sample, budget)
        return Decided({"train": train, "val": validation_limit(seconds_per_sample, budget)})

    return decisions.settle("sample_limits", decide)


def prepare_splits(
    dataset: Dataset, setup: TrainingSetup, limits: Mapping[str, int | None]
) -> tuple[Inputs, Inputs, Inputs]:
    """Prepare train, val and test; no more of train and val than ``settle_limits`` says.

    Test is prepared here too, whole, but looked at by nobody before the end: a file that cannot be
    read should stop a run before its training, and decoding is part of the budget.
    """

    def part(name: SplitName) -> Inputs:
        limit, num = limits.get(name), len(dataset.split(name))
        if limit is not None and limit < num:
            why = "no more fit the budget"
            emit("choice", name=f"{name} samples", value=f"{limit} of {num}", why=why)
        return prepare_sample(dataset, name, setup, limit, seed=setup.recipe.seed)

    test, val = part("test"), part("val")
    return part("train"), val, test
