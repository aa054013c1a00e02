"""A few training images beside what the network sees of them, for a person to look at.

A policy that turns a 6 into a 9, a square that cuts the object off, or a range that leaves the
picture black is seen at once in a picture, and nowhere in a figure. ``views.json`` keeps them, so
that the page can be made again from the folder alone.
"""

from __future__ import annotations

import base64
import contextlib
import io

import numpy as np
import torch
from PIL import Image

from headstart.errors import DataError
from headstart.preprocessing import ImagePreprocess
from headstart.preprocessing.images import thumbnail
from headstart.tensors import to_tensors
from headstart.training.batches.augment import POLICIES, augment, describe_policy
from headstart.tuning.setup import TrainingSetup
from headstart.types import Dataset, Inputs, Ragged

NUM_IMAGES, NUM_DRAWS = 4, 3
SIDE = 96  # pixels, at most, of a shown picture
QUALITY = 85


def training_views(dataset: Dataset, train: Inputs, setup: TrainingSetup) -> dict[str, object]:
    """Return the content of ``views.json``: some training images, and what is made of them.

    Args:
        dataset: Gives the images as they are stored.
        train: What the network takes.
        setup: Says how, and which policy changes them.

    Returns:
        ``augment``, the policy; ``words``, what it does; ``framing``; ``items``, each with
        ``name``, ``original``, ``seen`` and ``augmented``, JPEG in base64. Empty where samples are
        no images.
    """
    read = setup.preprocess.main
    if not isinstance(read, ImagePreprocess) or not len(train):
        return {}
    name = setup.recipe.augment if setup.strategy.loops else "none"
    policy = POLICIES[name]
    places = _spread(train)
    arrays = train.arrays(places)
    images, *_ = to_tensors(arrays, torch.device("cpu"), channels_last=False)
    drawn = [] if policy is None else range(NUM_DRAWS)
    ids = train.ids[places]
    changed = [augment(images, ids, policy, seed=setup.recipe.seed, epoch=e) for e in drawn]  # type: ignore[arg-type]
    place_of = {int(i): place for place, i in enumerate(dataset.train.ids)}
    items = []
    for row, place in enumerate(places.tolist()):
        stored = dataset.train.samples.read(place_of[int(train.ids[place])])
        original = None
        with contextlib.suppress(DataError):  # a file that went away since it was decoded
            original = _jpeg(thumbnail(stored, read.spec, SIDE))
        item = {"name": train.names[place], "original": original}
        item["seen"] = _jpeg(_picture(arrays[0][row]))
        pixels = [(batch[row].permute(1, 2, 0) * 255).round().byte().numpy() for batch in changed]
        items.append(item | {"augmented": [_jpeg(_picture(one)) for one in pixels]})
    words = describe_policy(policy)
    return {"augment": name, "words": words, "framing": read.spec.framing, "items": items}


def _spread(train: Inputs) -> np.ndarray:
    """Return places of a few images, of different classes where there are some."""
    num, targets = len(train), train.targets
    if not isinstance(targets, Ragged) and targets.ndim == 1 and targets.dtype.kind in "iu":
        _, first = np.unique(targets, return_index=True)
        chosen = first[np.linspace(0, len(first) - 1, min(NUM_IMAGES, len(first))).astype(int)]
        more = np.linspace(0, num - 1, NUM_IMAGES).astype(int)
        both = np.array(list(dict.fromkeys([*chosen.tolist(), *more.tolist()])))
        return np.sort(both[:NUM_IMAGES])
    return np.unique(np.linspace(0, num - 1, NUM_IMAGES).astype(int))


def _picture(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((SIDE, SIDE))
    return image


def _jpeg(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return base64.b64encode(buffer.getvalue()).decode()
