"""The frozen part of a network as a job: which cut, computed by what, kept under which keys."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from headstart.engines import PLAIN, Choice, Pass
from headstart.model import Model
from headstart.training.batches.feed import ids_digest
from headstart.training.batches.order import Share
from headstart.training.contract import never
from headstart.training.frozen.activations import ActivationCache, Layout, activation_key
from headstart.training.frozen.cut import Cut
from headstart.training.options.recipe import Recipe
from headstart.tuning.engine_rule import prefix_engine
from headstart.types import Inputs


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    """Return the number format that a recipe's forward passes run in."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.precision)
    return torch.autocast(device.type, dtype) if dtype else nullcontext()


@dataclass(frozen=True)
class FrozenJob:
    """A frozen part, and what computing it needs to know.

    Attributes:
        model: The network.
        recipe: Augmentation, precision, layout.
        cut: Where it is cut.
        share: Which part of every step is this process's.
        stop_requested: Whether someone asked to stop.
        choice: What computes it.
        run: Gives the pass of that choice; None where it is PyTorch's own.
    """

    model: Model
    recipe: Recipe
    cut: Cut
    share: Share
    stop_requested: Callable[[], bool] = never
    choice: Choice = PLAIN
    run: Callable[[], Pass] | None = None

    def compute(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what is kept of what crosses, by PyTorch in the number format of the steps."""
        with autocast(self.recipe, self.model.device):
            return self.cut.compute(*inputs)


def with_engine(
    job: FrozenJob, cache: ActivationCache, train: Inputs, val: Inputs, num_views: int
) -> FrozenJob:
    """Return the job with what computes it: what is kept already, or what is settled.

    Args:
        job: Without.
        cache: Where what was computed is kept.
        train: Learned from.
        val: Chosen by.
        num_views: Views of each training sample.
    """

    def is_kept(choice: Choice) -> bool:
        found = replace(job, choice=choice)
        wanted = [(train, view or None) for view in range(num_views)]
        return all(cache.open(*entry(found, *one)) for one in [*wanted, (val, None)])

    num_samples = num_views * len(train) + len(val)
    choice, run = prefix_engine(job.model, job.cut, train, num_samples, is_kept, job.compute)
    return replace(job, choice=choice, run=run)


def entry(job: FrozenJob, inputs: Inputs, view: int | None) -> tuple[str, Layout]:
    """Return the key and the layout of an entry of the cache.

    Args:
        job: What computes it belongs to the key: another engine's are other numbers.
        inputs: The samples.
        view: Number of the augmented view; None for the samples as they are.
    """
    recipe, cut = job.recipe, job.cut
    parts: dict[str, object] = {
        "cut": cut.fingerprint,
        "name": cut.name,
        "preprocess": job.model.encoder.preprocess.digest(),
        "ids": ids_digest(inputs),
        "view": [recipe.augment, view] if view is not None else None,
        "precision": recipe.precision,
        "channels_last": recipe.channels_last,
        "device": job.model.device.type,
    }
    if job.choice != PLAIN:
        parts["computed"] = job.choice.to_json()
    return activation_key(parts), Layout(cut.kept, len(inputs), inputs.lengths)
