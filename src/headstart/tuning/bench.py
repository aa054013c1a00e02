"""One start on the workbench: its encoder with a fresh head, its recipe, and what a pass costs.

Every candidate and every fine-tuning is prepared here, in one way.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

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
from headstart.types import Dataset, ImageSpec, Start

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
        module: The user's own module in place of a start's.
        spec: The preprocessing of ``module``.

    Raises:
        StartError: If the start cannot be built for these images.
        OptionError: If an option is out of range.
    """
    encoder = (
        _encoder(dataset, start, wishes, size, seed)
        if module is None or spec is None
        else wrap_module(module, spec)
    )
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


def seconds_per_image(bench: Bench, *, num_images: int = 8, seed: int = 0) -> float:
    """Measure one forward pass, in seconds an image, on noise of the decoded size.

    Args:
        bench: The model.
        num_images: Images of the measured batch; the best of two passes counts.
        seed: Seed of the noise.
    """
    spec = bench.spec
    shape = (num_images, spec.decode_size, spec.decode_size, spec.decode_channels)
    noise = generator(BOOTSTRAP, seed).integers(0, 256, size=shape, dtype=np.uint8)
    run_batches(bench.model, noise[:2], bench.model.features)
    best = float("inf")
    for _ in range(2):
        began = time.monotonic()
        run_batches(bench.model, noise, bench.model.features)
        best = min(best, (time.monotonic() - began) / num_images)
    return best


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


def install(model: Model, fitted: Probe) -> None:
    """Copy a probe's weights into the model's head."""
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(fitted.weight))
        model.head.bias.copy_(torch.from_numpy(fitted.bias))
