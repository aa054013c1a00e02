"""The baseline of every image run: a linear model of small pictures and their edges.

It reads what the model's own preparation has left, so that no image is decoded for it again, and
is not tuned beyond the strength of its penalty. What it reads is what ``scratch/pixels`` does.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F

from headstart.events import emit
from headstart.model import model_outputs
from headstart.preprocessing import JoinedInputs
from headstart.starts.images.plain_pixels import MOST_SIDE, PlainPixels
from headstart.starts.images.scratch import MEAN, STD
from headstart.tensors import to_tensors
from headstart.training.probing.probe import fit_probe
from headstart.tuning.baselines.baseline import Baseline, Items, Rival
from headstart.tuning.budget import Budget
from headstart.tuning.setup import TrainingSetup, subsample
from headstart.tuning.slowness import slowness
from headstart.types import Dataset, Inputs

PIXELS = "pixels + linear"
_START = "scratch/pixels"
_MOST_SAMPLES, _AT_ONCE = 5_000, 256  # of train; of a pass
# On one idle core: a sample read and passed; a number of it and an output, for the solver, which
# has so much and no more; and the rest.
_READ_SECONDS, _NUMBER_SECONDS, _REST_SECONDS = 0.15e-3, 5e-8, 0.3


def _says_more(dataset: Dataset, setup: TrainingSetup) -> bool:
    is_itself = setup.model.encoder.start.address == _START and not dataset.schema.beside
    task = setup.model.task
    is_told = task.head == "linear" and not task.matches_texts and not task.parts
    return not is_itself and is_told and setup.size is not None


def _seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    num = min(_MOST_SAMPLES, len(dataset.train)) + len(dataset.val) + len(dataset.test)
    return num * _READ_SECONDS * slowness() + _solver_seconds(dataset, setup)


def _solver_seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    """Return what the solver takes and is given, in seconds."""
    num = min(_MOST_SAMPLES, len(dataset.train))
    width = PlainPixels(dataset.image_channels or 3, min(MOST_SIDE, setup.size or MOST_SIDE))
    numbers = num * width.num_features * setup.model.num_outputs
    return (_REST_SECONDS + numbers * _NUMBER_SECONDS) * slowness()


def _run(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    if budget.left < _seconds(items.dataset, setup) + 2.0:
        emit("note", text=f"The baseline ({PIXELS}) was left out: the budget is nearly spent.")
        return None
    emit("task", name=PIXELS, done=0, total=1)
    model, train, val = setup.model, items.train, items.val
    places = subsample(train.targets, _MOST_SAMPLES, seed=setup.recipe.seed)
    features = _features(train, places), _features(val, np.arange(len(val)))
    fitted = fit_probe(
        features[0],
        model.standard_targets(train.targets[places]),
        features[1],
        model.standard_targets(val.targets),
        task=model.schema.task,
        num_outputs=model.num_outputs,
        deadline=time.monotonic() + _solver_seconds(items.dataset, setup),
    )
    logits = fitted.logits(_features(items.test, np.arange(len(items.test))))
    emit("task", name=PIXELS, done=1, total=1)
    return Rival(PIXELS, model.task.decisions(model_outputs(model, logits)))


def _features(inputs: Inputs, places: np.ndarray) -> np.ndarray:
    """Return what small pictures of some samples and their edges say, float32, shape (N, D)."""
    read = inputs.main if isinstance(inputs, JoinedInputs) else inputs
    device, found = torch.device("cpu"), []
    network: PlainPixels | None = None
    with torch.inference_mode():
        for begin in range(0, len(places), _AT_ONCE):
            (images,) = to_tensors(read.arrays(places[begin : begin + _AT_ONCE]), device)
            if images.shape[-1] > MOST_SIDE:
                images = F.interpolate(images, size=(MOST_SIDE, MOST_SIDE), mode="area")
            network = network or PlainPixels(images.shape[1], images.shape[-1])
            found.append(network((images - MEAN) / STD).numpy())
    return np.concatenate(found)


PIXELS_BASELINE = Baseline(
    modality="image", says_more=_says_more, seconds=_seconds, run=_run, library=None
)
