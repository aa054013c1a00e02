"""A step that is not finite leaves no trace, whether the host decides or the device."""

from functools import partial

import numpy as np
import pytest
import torch
from tiny_training import Training, short_recipe
from torch.utils._python_dispatch import TorchDispatchMode

from headstart.errors import DivergenceError
from headstart.events import listen
from headstart.training import loop as loop_module
from headstart.training.state.checkpoint import CheckpointFolder, optimizer_tensors
from headstart.training.state.finite import FiniteGuard, RunningStatistics


@pytest.fixture(params=[False, True], ids=["host", "device"])
def is_deferred(request, monkeypatch):
    """Decide on the host, or as on a GPU; the fused kernels of the CPU know the same flag."""
    monkeypatch.setattr(loop_module, "FiniteGuard", partial(FiniteGuard, is_deferred=request.param))
    return request.param


class Poisoned(Training):
    """A training in which one pixel of the first sample is infinite at some steps."""

    def __init__(self, recipe, steps, **options):
        super().__init__(recipe, **options)
        self.steps = steps
        self.seen = {}
        self.step = 0

    def batches(self, step, micro_batch_size=None):
        self.step = step
        self.seen[step] = self.everything()
        for number, batch in enumerate(super().batches(step, micro_batch_size)):
            if step in self.steps and number == 0:
                batch.inputs[0][0, 0, 2, 2] = torch.inf
            yield batch

    def everything(self):
        tensors = {**self.module.state_dict(), **optimizer_tensors(self.optimizer)}
        return {name: value.detach().clone() for name, value in tensors.items()}


def all_equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_skipped_step_changes_neither_weights_nor_optimizer_nor_statistics(
    is_deferred, optimizer
):
    training = Poisoned(short_recipe(optimizer=optimizer, micro_batch_size=8), {5, 6, 9})
    result = training.run(steps_per_check=7)
    assert result.ended == "finished"
    for step in range(19):
        was, is_now = training.seen[step], training.seen[step + 1]
        if step == 0:
            continue  # the optimizer makes its state in the first step
        assert all_equal(was, is_now) == (step in training.steps), step
    assert all(torch.isfinite(t).all() for t in training.module.state_dict().values())


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("steps", [(), (0,), (0, 1, 4), (3, 4, 8)])
def test_host_and_device_decide_to_the_same_bits(monkeypatch, optimizer, steps):
    digests = []
    for is_deferred in (False, True):
        monkeypatch.setattr(
            loop_module, "FiniteGuard", partial(FiniteGuard, is_deferred=is_deferred)
        )
        training = Poisoned(short_recipe(optimizer=optimizer), set(steps), dropout=0.2)
        training.run()
        digests.append(training.digest())
    assert digests[0] == digests[1]


def test_three_in_a_row_end_the_run_with_a_report_of_steps_and_samples(is_deferred):
    training = Poisoned(short_recipe(), {6, 7, 8})
    reports = []
    hear = reports.append
    with (
        listen(lambda kind, fields: hear(fields) if kind == "diverged" else None),
        pytest.raises(DivergenceError) as caught,
    ):
        training.run(steps_per_check=10)
    (report,) = reports
    ids = [training.feed.step_ids(step).tolist() for step in (6, 7, 8)]
    assert report["step"] == 8
    assert [row["step"] for row in report["steps"]] == [6, 7, 8]
    assert [row["sample_ids"] for row in report["steps"]] == ids
    assert {row["loss"] for row in report["steps"]} <= {"nan", "inf"}
    assert report["not_finite_inputs"] == ids[2][:1]
    assert f"whose inputs are not finite, with ids [{ids[2][0]}]" in str(caught.value)


def test_a_row_of_skipped_steps_goes_on_in_the_next_life(tmp_path, is_deferred):
    recipe = short_recipe()
    first = Poisoned(recipe, {6, 7, 8})
    first.stop_at = 8  # two of the three are behind it
    assert first.run(CheckpointFolder(tmp_path)).state.skipped_in_a_row == 2
    last = Poisoned(recipe, {6, 7, 8}, init_seed=4)
    with pytest.raises(DivergenceError, match="the last is step 8"):
        last.run(CheckpointFolder(tmp_path))


def test_an_absurd_learning_rate_is_caught_with_finite_best_weights(tmp_path, is_deferred):
    training = Training(short_recipe(clip=0.0))
    for group in training.optimizer.param_groups:
        group["peak"] = 1e20
    with pytest.raises(DivergenceError):
        training.run(CheckpointFolder(tmp_path), check_first=True, checkpoint_seconds=0.0)
    best = CheckpointFolder(tmp_path).newest()
    if best is not None:
        kept = [t for n, t in best.tensors.items() if n.startswith("best.")]
        assert kept
        assert all(torch.isfinite(t).all() for t in kept)


class Reads(TorchDispatchMode):
    """Count what makes a host wait for a device: a tensor's value asked for."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


class Quiet(Training):
    """A training that reads no loss itself."""

    def compute_loss(self, batch):
        return torch.nn.functional.cross_entropy(self.module(*batch.inputs), batch.targets)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_on_a_device_the_host_reads_nothing_between_two_looks(monkeypatch, optimizer):
    monkeypatch.setattr(loop_module, "FiniteGuard", partial(FiniteGuard, is_deferred=True))
    monkeypatch.setattr(loop_module, "_TELL_SECONDS", 1e9)
    looks = []
    count = FiniteGuard._count

    def counted(guard, step, found, ids):
        looks.append(step)
        return count(guard, step, found, ids)

    monkeypatch.setattr(FiniteGuard, "_count", counted)
    training = Quiet(short_recipe(optimizer=optimizer, num_steps=30))
    told = []
    with Reads() as reads:
        training.stop_requested = lambda: told.append((reads.count, len(looks))) or False
        training.run(steps_per_check=100)
    # the first step is decided by the host; from then on nothing is read until the end
    assert told[:29] == [(told[0][0], 1)] * 29
    assert looks == list(range(30))


def test_running_statistics_of_frozen_parts_are_left_alone():
    module = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3))
    module[0].eval()
    statistics = RunningStatistics(module)
    statistics.keep()
    module[0].running_mean.fill_(5)
    module[1].running_mean.fill_(5)
    statistics.put_back()
    assert module[0].running_mean.eq(5).all()
    assert module[1].running_mean.eq(0).all()
    module[1](torch.randn(4, 3))
    after = module[1].running_var.clone()
    statistics.put_back_where(torch.tensor(False))
    assert torch.equal(module[1].running_var, after)
    assert module[1].num_batches_tracked == 1
    RunningStatistics(torch.nn.Linear(2, 2)).keep()  # nothing to remember


def test_a_guard_asks_for_nothing_that_an_optimizer_does_not_understand():
    weight = torch.nn.Parameter(torch.ones(2))
    plain = torch.optim.SGD([weight], lr=0.1)
    guard = FiniteGuard(plain, torch.device("cuda"), lambda step: [])
    statistics = RunningStatistics(torch.nn.Linear(2, 2))
    for step in range(2):
        figures = (torch.tensor(torch.nan if step else 1.0),)
        assert guard.passes(step, figures, [np.arange(2)], statistics) == (step == 0)
    assert not hasattr(plain, "found_inf")
