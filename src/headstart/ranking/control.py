"""The control: what a simple method reads from the samples themselves, without any network.

Of images the pixels at 32 by 32, of texts their words by TF-IDF, of rows their columns, each by the
ridge regression that reads the features of starts. A start that does not beat it brings nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from headstart.model import run_batches
from headstart.preprocessing import ImagePreprocess
from headstart.ranking.scores import Outcome, equalise, ridge_score
from headstart.starts import find_start
from headstart.starts.candidates import CANDIDATES
from headstart.tasks import array_of
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.strategies import HEAD
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.setup import prepare_sample, set_up, subsample
from headstart.tuning.texts import TextCache
from headstart.types import Dataset, ImageSpec

_SIDE = 32
_MOST = 2_000  # samples: a simple method gains little by more
_DIMENSION = 256


def control_outcome(
    dataset: Dataset, limit: int, *, asked: CommonOptions, texts: TextCache | None
) -> tuple[str, Outcome]:
    """Return what the control is called, and how well it predicts each sample by all others.

    Args:
        dataset: Its train split is read.
        limit: Largest number of samples.
        asked: What the user said: the seed, and what is seen of an image.
        texts: What the run keeps of its texts.

    Raises:
        StartError: If there is nothing to learn from the samples.
    """
    num = min(limit, _MOST)
    plain = CANDIDATES[dataset.schema.modality].plain
    if plain is None:
        values, targets, ids = _pixels(dataset, num, asked)
        name = f"pixels at {_SIDE} by {_SIDE}"
    else:
        values, targets, ids = _plain(dataset, plain, num, asked, texts)
        name = plain
    groups = dataset.train.groups_of(ids)
    return name, ridge_score(equalise(values, _DIMENSION), targets, groups=groups)


def as_scored(targets: np.ndarray) -> np.ndarray:
    """Return targets as the scores take them: classes whole numbers, the rest floats."""
    return targets if targets.ndim == 1 and targets.dtype.kind == "i" else targets.astype(float)


def _pixels(
    dataset: Dataset, num: int, asked: CommonOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels (N, D), targets and ids."""
    channels = dataset.image_channels or 3
    spec = ImageSpec(
        _SIDE, channels, (0.5,) * channels, (0.5,) * channels, "bilinear", _SIDE, channels
    )
    if (known := asked.value_range) is not None:
        spec = replace(spec, value_range=(float(known[0]), float(known[1])))
    train = dataset.train
    places = subsample(train.targets, num, seed=asked.seed)
    inputs = ImagePreprocess(spec, dataset.input_column).prepare(dataset, "train", places)
    (pixels,) = inputs.arrays(np.arange(len(inputs)))
    values = pixels.reshape(len(pixels), -1).astype(np.float32) / 255
    return values, as_scored(array_of(inputs.targets)), inputs.ids


def _plain(
    dataset: Dataset, address: str, num: int, asked: CommonOptions, texts: TextCache | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what a start hands on that knows nothing, (N, D), targets and ids."""
    options = TrainingOptions(strategy=HEAD.name, seed=asked.seed)
    cpu = torch.device("cpu")
    setup = set_up(dataset, find_start(address), options, device=cpu, texts=texts)
    inputs = prepare_sample(dataset, "train", setup, num, seed=asked.seed)
    values = array_of(run_batches(setup.model, inputs, setup.model.features, phase=None))
    return values, as_scored(array_of(inputs.targets)), inputs.ids
