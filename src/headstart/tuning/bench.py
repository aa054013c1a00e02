"""One start on the workbench: its encoder with a fresh head, its recipe, and what a pass costs.

Every candidate and every fine-tuning is prepared here, in one way.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from headstart.data import Pixels, decode, decode_one
from headstart.errors import DataError, StartError
from headstart.model import Model, run_batches
from headstart.starts import Encoder, build_encoder, wrap_module
from headstart.training.defaults import defaults_for
from headstart.training.probe import Probe, fit_probe
from headstart.training.randomness import BOOTSTRAP, generator
from headstart.training.recipe import (
    Imbalance,
    Recipe,
    StrategyName,
    Wishes,
    recipe_for,
)
from headstart.tuning.clock import Clock
from headstart.types import Dataset, ImageSpec, SplitName, Start

# A probe gains little from more samples than this, and its cost grows with them.
PROBE_SAMPLES = {"head": 200_000, "last-n": 20_000, "lp-ft": 20_000, "full": 5_000}


@dataclass
class Bench:
    """A model ready to be trained.

    Attributes:
        model: Encoder as the start gives it, head random.
        recipe: Every training option, resolved.
        initial: The encoder's state at the start, on the CPU, for the "before" figure.
    """

    model: Model
    recipe: Recipe
    initial: dict[str, Tensor]

    @property
    def spec(self) -> ImageSpec:
        """The model's preprocessing."""
        return self.model.encoder.spec


def set_up(
    dataset: Dataset,
    start: Start,
    strategy: StrategyName,
    wishes: Wishes,
    *,
    size: int | None,
    device: torch.device,
    seed: int,
    module: nn.Module | None = None,
    spec: ImageSpec | None = None,
) -> Bench:
    """Build a model from a start and resolve its recipe.

    Args:
        dataset: Gives the classes, the image size and the number of samples.
        start: Where to start.
        strategy: Which parameters learn.
        wishes: What the user said about training.
        size: Side of the network input in pixels; None lets the start decide.
        device: Where the model goes.
        seed: Seed of random weights.
        module: The user's own module in place of a start's, or an encoder wrapped from one.
        spec: The preprocessing of ``module``.

    Raises:
        StartError: If the start cannot be built for these images.
        OptionError: If an option is out of range.
    """
    if isinstance(module, Encoder):
        encoder = module
    elif module is not None and spec is not None:
        encoder = wrap_module(module, spec)
    else:
        encoder = _encoder(dataset, start, wishes, size, seed)
    recipe = recipe_for(
        start,
        strategy,
        wishes,
        num_train=len(dataset.train),
        num_classes=len(dataset.schema.classes),
        num_layers=len(encoder.layers),
        seed=seed,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Model(encoder, dataset.schema, dropout=recipe.dropout)
    initial = {n: t.detach().clone() for n, t in encoder.state_dict().items()}
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    model = model.to(device).to(memory_format=layout)
    return Bench(model, recipe, initial)


def _encoder(
    dataset: Dataset, start: Start, wishes: Wishes, size: int | None, seed: int
) -> Encoder:
    drop_path = defaults_for(start).drop_path if wishes.drop_path is None else wishes.drop_path
    return build_encoder(
        start,
        image_size=dataset.image_size,
        image_channels=dataset.image_channels,
        size=size,
        drop_path=drop_path,
        seed=seed,
    )


def seconds_per_image(bench: Bench, *, seed: int = 0) -> float:
    """Measure one forward pass, in seconds an image, on noise of the decoded size.

    The best of several passes counts, since whatever else runs on the machine only slows one down;
    a quick network gets larger batches, or the cost of the call would count and not the images'.

    Args:
        bench: The model.
        seed: Seed of the noise.
    """
    spec = bench.spec
    shape = (_MOST_MEASURED, spec.decode_size, spec.decode_size, spec.decode_channels)
    noise = generator(BOOTSTRAP, seed).integers(0, 256, size=shape, dtype=np.uint8)
    run_batches(bench.model, noise[:2], bench.model.features)
    best, num_images, started = float("inf"), _LEAST_MEASURED, time.monotonic()
    for _ in range(_NUM_PASSES):
        began = time.monotonic()
        run_batches(bench.model, noise[:num_images], bench.model.features)
        now = time.monotonic()
        best = min(best, (now - began) / num_images)
        if now - began < _QUICK_SECONDS:
            num_images = _MOST_MEASURED
        if now - started > _MEASURE_SECONDS:
            break
    return best


SMALLEST_SIDE = 64
_LEAST_MEASURED, _MOST_MEASURED, _NUM_PASSES = 8, 64, 6
_QUICK_SECONDS, _MEASURE_SECONDS = 0.02, 0.5
_MIN_EPOCHS = 3.0
_TRAIN_SHARE = 0.6  # of the budget; the rest is screening, evaluation and the report
_TEST_SHARE = 0.4  # of what is left, that two passes over the test split may take
_LOOK_SHARE = 0.04  # of what is left, that one look at the validation split may take
_MIN_LOOK = 100


def fitting_bench(
    dataset: Dataset,
    start: Start,
    strategy: StrategyName,
    wishes: Wishes,
    clock: Clock,
    *,
    device: torch.device,
    seed: int,
) -> tuple[Bench, float, str]:
    """Set a start up at the largest input size whose fine-tuning fits the budget.

    Wanted are three epochs (a pass with gradients costs three without) and two passes over the test
    split. A scratch start keeps the data's own size, and so does every start without a budget.

    Returns:
        The bench, seconds an image, and a note where the size was lowered.

    Raises:
        StartError: If the test split alone would take too much of what is left.
    """

    def at(size: int | None) -> tuple[Bench, float]:
        bench = set_up(dataset, start, strategy, wishes, size=size, device=device, seed=seed)
        return bench, seconds_per_image(bench)

    note = ""
    if start.pretrained_on is None or start.image is None or clock.budget_seconds is None:
        bench, each = at(None)
    else:
        default = start.image.size
        own = min(dataset.image_size or (10_000, 10_000))
        # pixels that the data does not have are worth little beyond four times its own side
        ceiling = min(default, max(SMALLEST_SIDE, 4 * own))
        size = smallest = min(SMALLEST_SIDE, ceiling)
        bench, each = at(smallest)
        passes = 3 * _MIN_EPOCHS * len(dataset.train) + 2 * (len(dataset.test) + len(dataset.val))
        affordable = _TRAIN_SHARE * clock.left / passes
        # a pass costs in proportion to the pixels
        side = int(smallest * max(0.0, affordable / each) ** 0.5)
        size = int(np.clip(side // 32 * 32, smallest, ceiling))
        if size != smallest:
            bench, each = at(size)
        note = "" if size == default else f", at {size} pixels instead of {default}"
    refuse_too_slow(dataset, start, each, clock)
    return bench, each, note


def refuse_too_slow(dataset: Dataset, start: Start, seconds_per_image: float, clock: Clock) -> None:
    """Refuse a start that cannot even be evaluated within the budget.

    Raises:
        StartError: Saying what the test split would take.
    """
    seconds = 2 * len(dataset.test) * seconds_per_image
    if seconds > _TEST_SHARE * clock.left:
        raise StartError(
            f"Start '{start.address}' needs {seconds:.0f} s for two passes over the test split, "
            f"and {max(0.0, clock.left):.0f} s of the budget are left; expected less than "
            f"{_TEST_SHARE:.0%} of it. Raise --budget, or choose a smaller start."
        )


def look_limit(seconds_per_image: float, clock: Clock) -> int | None:
    """Return how many validation images one look may take; None where there is no budget."""
    if clock.budget_seconds is None:
        return None
    return max(_MIN_LOOK, int(_LOOK_SHARE * max(0.0, clock.left) / seconds_per_image))


def train_limit(
    dataset: Dataset, spec: ImageSpec, seconds_per_image: float, clock: Clock
) -> int | None:
    """Return how many training images are worth decoding; None for all of them.

    All of them where decoding takes less than a tenth of what is left. Otherwise no more than the
    budget lets the network see once, and no more than a quarter of what is left lets us decode.
    """
    if clock.budget_seconds is None:
        return None
    samples = dataset.train.samples
    num_tried = min(8, len(samples))
    began = time.monotonic()
    for index in range(num_tried):
        # one that cannot be read costs next to nothing, and is named when it is decoded
        with contextlib.suppress(DataError):
            decode_one(samples.read(index), spec)
    decode_seconds = (time.monotonic() - began) / num_tried
    left = max(0.0, clock.left)
    if decode_seconds * len(samples) < 0.1 * left:
        return None
    worth = min(left / (3 * seconds_per_image), 0.25 * left / max(1e-9, decode_seconds))
    return max(int(worth), 20 * len(dataset.schema.classes))


def probe(
    bench: Bench,
    images: np.ndarray,
    targets: np.ndarray,
    val_images: np.ndarray,
    val_targets: np.ndarray,
    *,
    num_classes: int,
    imbalance: Imbalance,
    limit: int,
    deadline: float | None,
) -> Probe:
    """Fit a linear probe on the features of at most ``limit`` training images.

    The features are computed once, by the model as it stands, in eval mode, without augmentation.
    """
    places = subsample(targets, limit, seed=bench.recipe.seed)
    features = run_batches(bench.model, images[places], bench.model.features, name="probe features")
    val_features = run_batches(bench.model, val_images, bench.model.features)
    return fit_probe(
        features,
        targets[places],
        val_features,
        val_targets,
        num_classes=num_classes,
        imbalance=imbalance,
        deadline=deadline,
    )


def subsample(targets: np.ndarray, limit: int, *, seed: int) -> np.ndarray:
    """Return sorted positions of at most ``limit`` samples, each class keeping its share.

    Args:
        targets: int64, shape (N,).
        limit: Largest number of positions; every class keeps at least one.
        seed: Seed of the choice.
    """
    if len(targets) <= limit:
        return np.arange(len(targets))
    order = generator(BOOTSTRAP, seed).permutation(len(targets))
    # stable sort by class after the shuffle, then take every k-th: shares are kept exactly
    by_class = order[np.argsort(targets[order], kind="stable")]
    picks = by_class[np.linspace(0, len(targets) - 1, limit).astype(np.int64)]
    lost = np.setdiff1d(targets, targets[picks])
    first = [int(np.flatnonzero(targets == k)[0]) for k in lost]
    return np.unique(np.concatenate([picks, np.asarray(first, dtype=np.int64)]))


def decode_sample(
    dataset: Dataset, name: SplitName, spec: ImageSpec, limit: int | None, *, seed: int
) -> Pixels:
    """Decode at most ``limit`` samples of a split, each class keeping its share; None takes all.

    Args:
        dataset: The data.
        name: The split.
        spec: How to decode.
        limit: Largest number of samples.
        seed: Seed of the choice.
    """
    split = dataset.split(name)
    if limit is None or len(split) <= limit:
        return decode(dataset, name, spec)
    return decode(dataset, name, spec, indices=subsample(split.targets, limit, seed=seed))


def install(model: Model, fitted: Probe) -> None:
    """Copy a probe's weights into the model's head."""
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(fitted.weight))
        model.head.bias.copy_(torch.from_numpy(fitted.bias))
