"""The control: what a simple method reads from the samples themselves, without any network.

Of images small pictures and their edges, of texts their words by TF-IDF, of rows their columns,
each by the ridge regression that reads the features of starts. A start that does not beat it brings
nothing.
"""

from __future__ import annotations

import numpy as np
import torch

from headstart.model import run_batches
from headstart.ranking.scores import Outcome, equalise, ridge_score
from headstart.starts import find_start
from headstart.starts.candidates import CANDIDATES
from headstart.tasks import array_of
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.strategies import HEAD
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.setup import prepare_sample, set_up
from headstart.tuning.texts import TextCache
from headstart.types import Dataset

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
    values, targets, ids = _plain(dataset, plain, num, asked, texts)
    groups = dataset.train.groups_of(ids)
    return plain, ridge_score(equalise(values, _DIMENSION), targets, groups=groups)


def as_scored(targets: np.ndarray) -> np.ndarray:
    """Return targets as the scores take them: classes whole numbers, the rest floats."""
    return targets if targets.ndim == 1 and targets.dtype.kind == "i" else targets.astype(float)


def _plain(
    dataset: Dataset, address: str, num: int, asked: CommonOptions, texts: TextCache | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what a start hands on that knows nothing, (N, D), targets and ids."""
    options = TrainingOptions(
        strategy=HEAD.name,
        framing=asked.framing,
        value_range=asked.value_range,
        seed=asked.seed,
    )
    cpu = torch.device("cpu")
    setup = set_up(dataset, find_start(address), options, device=cpu, texts=texts)
    inputs = prepare_sample(dataset, "train", setup, num, seed=asked.seed)
    values = array_of(run_batches(setup.model, inputs, setup.model.features, phase=None))
    return values, as_scored(array_of(inputs.targets)), inputs.ids
