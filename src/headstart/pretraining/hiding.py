"""What is hidden of images and what is told of it: settled by the data, once a run, and said."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.model.reconstruction import PatchTeller
from headstart.objectives.masked_pixels import empty_share, patches_of
from headstart.tensors import to_tensors
from headstart.training.options.pretraining_defaults import mask_fraction_of
from headstart.training.options.pretraining_options import CropName, PretrainingOptions
from headstart.tuning.decisions import Decided, Decisions
from headstart.types import Dataset, Inputs

EMPTY_MOST = 0.2  # patches of one colour, from which on pixels are told as they are
SPARSE_FRACTION = 0.6  # hidden where so many are empty: strokes are few
LOOKED_AT = 512  # images of train, for that share and for the mean patch
_LEAST_CROPPED = 24  # pixels of a side
_SMALL_SIDE = 64  # grey images up to this many pixels may be digits or letters


@dataclass(frozen=True)
class Hiding:
    """What is hidden of an image, and what is told of it.

    Attributes:
        num_seen: Patches that are seen.
        is_normalised: Whether each hidden patch is told less its mean, over its spread.
    """

    num_seen: int
    is_normalised: bool


def settle_hiding(
    options: PretrainingOptions, module: PatchTeller, train: Inputs, decisions: Decisions
) -> Hiding:
    """Settle what is hidden and told where the user has not said it.

    Args:
        options: As the user said them.
        module: Gives the patches.
        train: Some of it is looked at.
        decisions: Of the run.
    """

    def decide() -> Decided[dict[str, object]]:
        share = empty_share(patches_of(seen_images(module, train, LOOKED_AT), module.side))
        is_sparse = share > EMPTY_MOST
        fraction = mask_fraction_of(options)
        if options.mask_fraction is None:
            own = module.hidden_fraction or fraction
            fraction = min(own, SPARSE_FRACTION) if is_sparse else own
        is_normalised = options.target == "normalised"
        if options.target == "auto":
            is_normalised = not is_sparse
        num_hidden = min(max(1, round(fraction * module.num_patches)), module.num_patches - 1)
        found = Hiding(module.num_patches - num_hidden, is_normalised)
        told = f"{num_hidden} of {module.num_patches} patches, told as "
        told += "normalised pixels" if is_normalised else "pixels"
        return Decided(asdict(found), f"{share:.0%} of the patches show one colour", told)

    settled = decisions.settle("hidden", decide)
    return Hiding(int(str(settled["num_seen"])), bool(settled["is_normalised"]))


def settle_crop(options: PretrainingOptions, dataset: Dataset, decisions: Decisions) -> CropName:
    """Settle what is done to images where the user has not said it."""
    if options.augment != "auto":
        return options.augment
    side = min(dataset.image_size or (224, 224))

    def decide() -> Decided[CropName]:
        if side < _LEAST_CROPPED:
            return Decided("none", f"images of {side} pixels: half of one is another picture")
        if dataset.image_channels == 1 and side <= _SMALL_SIDE:
            why = "small grey images may be digits or letters, which a mirror would change"
            return Decided("crop-unmirrored", why)
        return Decided("crop", f"images of {side} pixels")

    return decisions.settle("augment", decide)


def some_of(num: int, most: int) -> np.ndarray:
    """Return places spread evenly over so many samples, int64, at most ``most`` of them."""
    return np.unique(np.linspace(0, num - 1, min(num, most)).astype(np.int64))


def seen_images(module: PatchTeller, inputs: Inputs, most: int) -> Tensor:
    """Return some images as the encoder sees them, spread over all, shape (M, C, S, S)."""
    device = next(module.parameters()).device
    places = some_of(len(inputs), most)
    with torch.no_grad():
        (images,) = to_tensors(inputs.arrays(places), device, channels_last=False)
        return module.normalised(images)
