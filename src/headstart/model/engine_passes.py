"""Which engine computes a model's features over a split: chosen, checked, and lent for the pass.

The head is a matrix and stays PyTorch's; what is compiled is what lies before it, from the inputs
as a batch has them. What was compiled is kept for the passes that follow, under a digest of the
weights and for as long as the rule of the verb holds (``engines.rule``). Left to PyTorch as it is:
every device but the CPU, and weights that are split over processes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor, nn

from headstart.engines import (
    LEAST_SAMPLES,
    PLAIN,
    Choice,
    Pass,
    PassJob,
    PassRule,
    choose_pass,
    listed,
    present_rule,
)
from headstart.model.network import Model
from headstart.tensors import to_tensors
from headstart.types import Inputs

FEATURES = "features"  # the phase in which the head has not learned yet
_LENGTH_STEP = 16  # tokens: lengths that are as good as the same to a measurement


class FeaturesNetwork(nn.Module):
    """A model up to its features, as a network of its own.

    Args:
        model: Its own parameters, not copies.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return features of what the model's forward takes."""
        return self.model.own_features(*inputs)


def settle_engine(
    model: Model,
    inputs: Inputs,
    size: int,
    *,
    phase: str = FEATURES,
    is_fixed: bool = True,
    network: nn.Module | None = None,
) -> tuple[Choice, PassJob | None]:
    """Settle what computes a model's features in a phase of a verb; the job gives the pass.

    Args:
        model: On any device; only on a CPU there is something to choose.
        inputs: The samples of the pass, or of the first of several that are to be computed alike.
        size: Samples a batch.
        phase: Names the passes that are computed alike.
        is_fixed: Whether the weights stay as they are until the rule ends.
        network: What is computed, where it is more than the model's features, under a phase of its
            own: a network that holds the model.
    """
    rule = present_rule()
    if rule.is_plain or model.device.type != "cpu" or len(inputs) < 2:
        return PLAIN, None
    if not any(True for _ in model.encoder.parameters()):
        return PLAIN, None  # what only hands its inputs on
    if rule.engine in ("auto", "torch") and _num_samples(inputs, rule) < LEAST_SAMPLES:
        return PLAIN, None
    job = _job(model, inputs, size, phase if network is None else FEATURES, rule, is_fixed=is_fixed)
    if network is not None:
        about = {**job.about, "what": phase}
        job = replace(job, network=network, plain=network, about=about, keep=dict)
    given = [model.encoder.start.address, model.encoder.preprocess.size]
    return rule.settle(phase, partial(choose_pass, job, rule), given), job


@contextmanager
def engine_lent(
    model: Model, inputs: Inputs, size: int, *, phase: str, is_fixed: bool
) -> Iterator[None]:
    """Let a model's features be computed by what was settled, inside the block.

    Args:
        model: As ``settle_engine`` takes it, and what follows.
        inputs: The samples.
        size: Samples a batch.
        phase: Names the passes.
        is_fixed: Whether the weights stay as they are.
    """
    choice, job = settle_engine(model, inputs, size, phase=phase, is_fixed=is_fixed)
    if choice == PLAIN or job is None:
        yield
        return
    run = job.guarded(choice)

    def features(*inputs: Tensor) -> Tensor:
        return listed(run(*inputs))[0]

    with model.lent(features):
        yield


def network_digest(network: nn.Module, architecture: object) -> str:
    """Return a digest of what a network is: its modules and their sizes, not its weights."""
    text = json.dumps(architecture, sort_keys=True, default=str)
    return blake2b(f"{text}\n{network}".encode(), digest_size=16).hexdigest()


def weights_digest(module: nn.Module) -> str:
    """Return a digest of every tensor of a module's state."""
    digest = blake2b(digest_size=16)
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Sampler:
    """Real samples of a pass, as tensors: what engines are measured and checked on.

    Args:
        inputs: The samples.
        device: Where they are wanted.
    """

    def __init__(self, inputs: Inputs, device: torch.device) -> None:
        self._inputs, self._device = inputs, device
        lengths = inputs.lengths
        self._order = (
            np.arange(len(inputs)) if lengths is None else np.argsort(lengths, kind="stable")
        )

    def middle(self, num: int) -> tuple[Tensor, ...]:
        """Return samples of middle length."""
        start = max(0, (len(self._order) - num) // 2)
        return self._tensors(self._order[start : start + num])

    def longest(self, num: int) -> tuple[Tensor, ...]:
        """Return the longest samples."""
        return self._tensors(self._order[-num:])

    def spread_places(self, num: int) -> np.ndarray:
        """Return the places of samples of every length, int64, shape (min(num, N),)."""
        at = np.linspace(0, len(self._order) - 1, min(num, len(self._order)))
        found: np.ndarray = self._order[at.astype(np.int64)]
        return found

    def spread(self, num: int) -> tuple[Tensor, ...]:
        """Return samples of every length."""
        return self._tensors(self.spread_places(num))

    def targets(self, num: int) -> np.ndarray | None:
        """Return the targets of ``spread``, where they are an array."""
        targets = self._inputs.targets
        return targets[self.spread_places(num)] if isinstance(targets, np.ndarray) else None

    def shapes(self) -> list[list[int]]:
        """Return the shape of a sample of middle length, a list an input; lengths are rounded."""
        is_ragged = self._inputs.lengths is not None
        found = []
        for tensor in self.middle(2):
            shape = list(tensor.shape[1:])
            if is_ragged and shape:
                shape[0] = -(-shape[0] // _LENGTH_STEP) * _LENGTH_STEP
            found.append(shape)
        return found

    def _tensors(self, places: np.ndarray) -> tuple[Tensor, ...]:
        return to_tensors(self._inputs.arrays(places), self._device)


def _job(
    model: Model, inputs: Inputs, size: int, phase: str, rule: PassRule, *, is_fixed: bool
) -> PassJob:
    sampler = Sampler(inputs, model.device)
    is_learned = phase != FEATURES
    about = {
        "what": "features",
        "network": network_digest(model.encoder.network, model.encoder.architecture),
        "head": model.head_name,
        "shapes": sampler.shapes(),
        "batch": size,
    }
    network = FeaturesNetwork(model)
    return PassJob(
        network=network,
        plain=network,
        samples=sampler.middle,
        longest=sampler.longest,
        batch=partial(sampler.spread, size),
        targets=None if is_learned else sampler.targets(size),
        readout=model.head if is_learned else None,
        num_samples=_num_samples(inputs, rule),
        about=about,
        called=model.encoder.start.address,
        is_fixed=is_fixed,
        keep=partial(_compiled, model, rule, sampler) if is_fixed else dict,
    )


def _num_samples(inputs: Inputs, rule: PassRule) -> int:
    return max(len(inputs), rule.num_expected)


def _compiled(model: Model, rule: PassRule, sampler: Sampler) -> dict[Choice, Pass]:
    """Return what was compiled of the model with these weights; grows with what will be."""
    key = (id(model), weights_digest(model.encoder), repr(sampler.shapes()[0][1:]))
    return rule.kept_for(key)
