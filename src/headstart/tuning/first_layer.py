"""A first layer that is learned from images of train before any step.

Some starts whiten patches of images (``starts.images.quick_cnn``). That is learned here, when a
start is set up: by every candidate, and again by an attempt that resumes, from the same images.
"""

from __future__ import annotations

import numpy as np
import torch

from headstart.model import Model
from headstart.tensors import to_tensors
from headstart.types import Dataset

_NUM_IMAGES = 256  # tens of thousands of patches; photos are dear to decode


def learn_first_layer(model: Model, dataset: Dataset) -> None:
    """Learn the first layer from images spread over train, where the encoder ``learns_patches``.

    Args:
        model: On the CPU; whatever its start is.
        dataset: The data; val and test are not looked at.

    Raises:
        DataError: If too many of the images cannot be read.
    """
    if not model.encoder.learns_patches:
        return
    num = len(dataset.train)
    places = np.unique(np.linspace(0, num - 1, min(num, _NUM_IMAGES)).astype(np.int64))
    images = model.encoder.preprocess.prepare(dataset, "train", places)
    pixels = images.arrays(np.arange(len(images)))[:1]  # cells of a row beside them come after
    model.learn_patches(*to_tensors(pixels, torch.device("cpu")))
