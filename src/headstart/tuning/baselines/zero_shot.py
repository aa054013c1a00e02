"""What a start that knows texts says of the classes by their names, before any training.

CLIP's own way of telling classes: an image is held against prompts that name each of them. It
needs no label, so that what labels add is what the fine-tuned model is better by.
"""

from __future__ import annotations

import torch

from headstart.model import run_batches
from headstart.starts import ClipImageNetwork
from headstart.tasks import find_task
from headstart.tuning.baselines.baseline import Baseline, Items, Rival
from headstart.tuning.budget import Budget
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.slowness import slowness
from headstart.types import Dataset

ZERO_SHOT = "zero-shot by class names"
_WEIGHT_SECONDS = 5e-9  # of a weight in one pass: 50 patches, two operations, 20 a nanosecond


def _knows_classes(dataset: Dataset, setup: TrainingSetup) -> bool:
    network = setup.model.encoder.network
    is_clip = isinstance(network, ClipImageNetwork) and network.class_rows is not None
    return is_clip and setup.model.task.is_exclusive


def _seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    start = setup.model.encoder.start
    return len(dataset.test) * start.num_parameters * _WEIGHT_SECONDS * slowness()


def _run(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    """Return the answers of the start as it was; the fine-tuned weights are put back after."""
    del budget
    model, network = setup.model, setup.model.encoder.network
    assert isinstance(network, ClipImageNetwork)
    assert network.class_rows is not None
    rows = network.class_rows.to(model.device)
    after = {n: t.detach().clone() for n, t in model.encoder.state_dict().items()}
    try:
        model.encoder.load_state_dict({n: t.to(model.device) for n, t in setup.initial.items()})
        logits = run_batches(
            model,
            items.test,
            lambda *inputs: torch.nn.functional.linear(model.features(*inputs), rows),
            name="test, zero-shot",
            phase=None,
        )
    finally:
        model.encoder.load_state_dict(after)
    plain = find_task(items.dataset.schema.task)
    return Rival(ZERO_SHOT, plain.decisions(plain.outputs(logits, items.dataset.schema)))


ZERO_SHOT_BASELINE = Baseline(
    modality="image", says_more=_knows_classes, seconds=_seconds, run=_run
)
