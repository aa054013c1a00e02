"""On a device the host waits for nothing within a step: nothing that a tensor holds is asked for.

Seen on a CPU, where the loop is told to decide as on a GPU. What reads a value (``item``, ``bool``,
``tolist``, ``numpy``, ``cpu``), or needs one for a shape (``nonzero``, an index of booleans), makes
the host wait on a GPU.
"""

from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from headstart.data import load
from headstart.starts import find_start
from headstart.training import loop as loop_module
from headstart.training.batches.order import WHOLE
from headstart.training.company import ALONE
from headstart.training.loop import Check, train
from headstart.training.options.training_options import TrainingOptions
from headstart.training.state.finite import FiniteGuard
from headstart.tuning.hooks import loop_options, uncut, unfreeze, wire
from headstart.tuning.phases import Phases
from headstart.tuning.setup import set_up

NUM_STEPS = 12
READING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique", "unique_dim", "equal")


class Reads(TorchDispatchMode):
    """Note at which step what is read."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.step, self.found = 0, []
        for name in ("tolist", "numpy", "cpu"):  # these do not pass the dispatcher on a CPU
            monkeypatch.setattr(torch.Tensor, name, self.noted(name, getattr(torch.Tensor, name)))

    def noted(self, name, function):
        def call(*args, **kwargs):
            self.found.append((self.step, name))
            return function(*args, **kwargs)

        return call

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().removeprefix("aten::").partition(".")[0]
        flat = torch.utils._pytree.tree_leaves(args)
        booleans = [a for a in flat if isinstance(a, torch.Tensor) and a.dtype == torch.bool]
        if name.startswith(READING) or (name in ("index", "index_put_") and booleans):
            self.found.append((self.step, name))
        return function(*args, **(kwargs or {}))


def reads_of(monkeypatch, start, *, is_deferred=True, **changes):
    """Return what is read at which step of a training."""
    monkeypatch.setattr(loop_module, "FiniteGuard", partial(FiniteGuard, is_deferred=is_deferred))
    monkeypatch.setattr(loop_module, "_TELL_SECONDS", 1e9)
    dataset, device = load("digits-8x8"), torch.device("cpu")
    options = TrainingOptions(
        strategy="full", num_steps=NUM_STEPS, batch_size=16, patience=0, **changes
    )
    setup = set_up(dataset, find_start(start), options, device=device)
    train_inputs = setup.preprocess.prepare(dataset, "train")
    views = setup.recipe.views or 0
    phases = Phases(setup, train_inputs, lambda phase: uncut(setup, train_inputs, WHOLE, views))
    reads = Reads(monkeypatch)

    def stop_requested():
        reads.step += 1
        return False

    hooks = wire(
        setup,
        train_inputs,
        phases,
        ALONE.place(setup.model, setup.recipe, checkpoints=None, example=tuple, name=start),
        validate=lambda: Check(1.0, 0.1, 0.1),
        stop_requested=stop_requested,
    )
    options = loop_options(setup.recipe, phases.order, check_seconds=0.0)
    with reads:
        train(setup.model, unfreeze(setup), hooks, options)
    assert reads.step == NUM_STEPS
    return reads.found


EVERYTHING = {
    "augment": "standard",
    "mixup": 0.2,
    "cutmix": 1.0,
    "ema": True,
    "dropout": 0.1,
    "label_smoothing": 0.1,
    "micro_batch_size": 8,
    "imbalance": "weights",
    "l1_penalty": 1e-5,
}
CNN = "scratch/simple-cnn"
CASES = {
    "everything": (CNN, EVERYTHING),
    "no clipping": (CNN, {"clip": 0.0, "optimizer": "sgd", "augment": "light"}),
    "views": (CNN, {"augment": "digits", "views": 3, "imbalance": "oversample"}),
    "BatchNorm": ("scratch/resnet18", {"ema": True}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_host_reads_nothing_between_the_first_step_and_the_last(monkeypatch, case):
    start, changes = CASES[case]
    found = reads_of(monkeypatch, start, **changes)
    # the first step is looked at, and the last one is told and looked at
    assert {step for step, _ in found} <= {0, NUM_STEPS - 1}
    assert found


def test_reads_are_found(monkeypatch):
    found = reads_of(monkeypatch, CNN, is_deferred=False)
    assert {step for step, _ in found} == set(range(NUM_STEPS))
    pixels = torch.arange(6.0)
    for read in (
        lambda: pixels[pixels > 2],
        lambda: bool(pixels.sum() > 0),
        lambda: pixels.max().item(),
        lambda: pixels.nonzero(),
        lambda: pixels.cpu(),
        lambda: pixels.unique(),
    ):
        with Reads(monkeypatch) as reads:
            read()
        assert reads.found
