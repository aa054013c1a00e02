"""From images and a start to a learner: network, samples, what is settled before the first step."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from headstart.errors import OptionError, StartError
from headstart.events import emit
from headstart.model.map_reconstruction import SparseAutoencoder
from headstart.model.reconstruction import (
    MaskedAutoencoder,
    PatchTeller,
    begin_with_sines,
    is_plain,
    no_patches,
)
from headstart.preprocessing.framing import decided
from headstart.pretraining.hiding import seen_images, settle_crop, settle_hiding
from headstart.pretraining.images import Images
from headstart.pretraining.objective import Givens
from headstart.pretraining.pixels import PixelLearner
from headstart.pretraining.step_precision import settle_step_precision
from headstart.starts import BuildRequest, Encoder, build_encoder
from headstart.tensors import evaluating, seeded
from headstart.training.machine.device import choose_precision
from headstart.training.options.pretraining_defaults import pretraining_recipe
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.training.randomness import BOOTSTRAP, generator
from headstart.tuning.decisions import Decided
from headstart.tuning.looking import choose_view
from headstart.types import Dataset, Inputs, Split, SplitName, are_alike

CHECK_SHARE = 0.01  # of the time that is left, for one look: there are eleven, and one at the end
FEWEST_CHECKED, MOST_CHECKED = 64, 1_000  # images


def build_pixels(images: Images, means: Givens) -> PixelLearner:
    """Build a learner of hidden patches.

    Args:
        images: The corpus.
        means: Options, start, device, budget, decisions.

    Raises:
        StartError: If the start cannot leave patches out, or reads something else.
        OptionError: If a ConvNet is to be compiled, or sees one image at a time.
        DataError: If too many images cannot be decoded.
    """
    options, dataset, decisions = means.options, images.dataset, means.decisions
    encoder = _encoder(dataset, means)
    crop = settle_crop(options, dataset, decisions)
    with seeded(options.seed):
        module = _teller(encoder, options)
    module = module.to(means.device)
    train, val = (
        _prepared(dataset, "train", encoder, means),
        _prepared(dataset, "val", encoder, means),
    )
    hiding = settle_hiding(options, module, train, decisions)
    options = replace(options, precision=choose_precision(options.precision, means.device))
    recipe = pretraining_recipe(options, len(train), augmented=crop)
    if recipe.micro_batch_size < module.least_batch:
        raise OptionError(
            f"A step sees one image at a time, and '{means.start.address}' has BatchNorm layers, "
            f"which learn from several; expected {module.least_batch} or more. Raise --batch-size "
            f"and --micro-batch-size, give more images, or choose scratch/vit-tiny."
        )
    num_checked = _settle_checked(module, val, means)
    learner = PixelLearner(module, recipe, images, (train, val), hiding, num_checked)
    settle_step_precision(learner, means)
    return learner


def _encoder(dataset: Dataset, means: Givens) -> Encoder:
    """Build the encoder for these images.

    Raises:
        StartError: If it reads something else.
    """
    options, start = means.options, means.start
    if not are_alike(start, dataset.schema):
        facts = dataset.schema.facts
        raise StartError(
            f"Start '{start.address}' reads {start.modality}s, and objective mae learns from "
            f"{facts.nouns}. Choose a vision transformer, for example --start scratch/vit-tiny."
        )
    seen = choose_view(options.framing, options.value_range, dataset)
    known = seen.value_range
    request = BuildRequest(
        image_size=dataset.image_size,
        image_channels=dataset.image_channels,
        framing=decided(seen.framing),
        value_range=None if known is None else (float(known[0]), float(known[1])),
        size=options.input_size,
        column=dataset.input_column,
        seed=options.seed,
    )
    return build_encoder(start, request)


def _teller(encoder: Encoder, options: PretrainingOptions) -> PatchTeller:
    """Return the encoder with a decoder.

    Raises:
        StartError: If it cannot leave patches out.
        OptionError: If a ConvNet is to be compiled.
    """
    width, blocks = options.decoder_width, options.decoder_blocks
    if is_plain(encoder):
        if encoder.start.pretrained_on is None:
            begin_with_sines(encoder)
        return MaskedAutoencoder(encoder, decoder_width=width, decoder_blocks=blocks)
    if encoder.start.family != "convnet":
        raise no_patches(encoder, "it is neither a plain vision transformer nor a ConvNet")
    if options.compile:
        raise OptionError(
            f"compile is said, and '{encoder.start.address}' is a ConvNet, of which other places "
            f"are computed at every step; expected a vision transformer. Leave --compile out."
        )
    return SparseAutoencoder(encoder, decoder_width=width, decoder_blocks=blocks)


def _prepared(dataset: Dataset, name: SplitName, encoder: Encoder, means: Givens) -> Inputs:
    """Return the decoded images of a split; of many as many as their share of the budget allows."""
    split = dataset.split(name)
    most = means.decisions.settle(
        f"{name} images", lambda: Decided(_affordable(split, encoder, means))
    )
    places = None
    if most < len(split):
        draw = generator(BOOTSTRAP, means.options.seed)
        places = np.sort(draw.permutation(len(split))[:most])
        emit("note", text=f"{most:,} of {len(split):,} {name} images are used: more do not fit.")
    return encoder.preprocess.prepare(dataset, name, places)


def _affordable(split: Split, encoder: Encoder, means: Givens) -> int:
    """Return how many images of a split there is time to decode."""
    if means.budget.limit_seconds is None:
        return len(split)
    each = encoder.preprocess.seconds_per_sample(split.samples)
    seconds = means.budget.may_take("samples")
    return int(np.clip(seconds / max(each, 1e-9), min(FEWEST_CHECKED, len(split)), len(split)))


def _settle_checked(module: PatchTeller, val: Inputs, means: Givens) -> int:
    """Settle how many held-out images a check looks at: as many as its share of the time allows."""
    seen = seen_images(module, val, 32)

    def decide() -> Decided[int]:
        if means.budget.limit_seconds is None:
            return Decided(MOST_CHECKED)
        best = float("inf")
        with evaluating(module.encoder):
            for _ in range(3):  # the first warms up
                began = time.monotonic()
                float(module.encoder(seen).sum())
                best = min(best, (time.monotonic() - began) / len(seen))
        seconds = CHECK_SHARE * max(0.0, means.budget.left)
        fitting = int(seconds / (module.passes_of_a_check * best))
        return Decided(int(np.clip(fitting, FEWEST_CHECKED, MOST_CHECKED)))

    return means.decisions.settle("checked images", decide)
