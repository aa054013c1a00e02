"""Gradients travel while the backward pass runs, and memory that runs out in it loses none."""

import pytest
import torch
from torch import nn

from headstart.training.processes import buckets, gradients
from headstart.training.processes.gradients import GradientReducer


class Twin:
    """Another process with the same gradients: what travels comes back doubled, when waited for."""

    def __init__(self, parameters):
        self.parameters = list(parameters)
        self.sent = []  # sizes, and how many gradients were there when each was sent
        self.pattern = None

    def begin_all_reduce(self, tensor):
        present = sum(p.grad is not None for p in self.parameters)
        self.sent.append((tensor.numel(), present))
        return tensor

    def finish_all_reduce(self, tensor):
        tensor.mul_(2)

    def note_gradients(self, parameters):
        self.pattern = [p.grad is not None for p in parameters]


@pytest.fixture(autouse=True)
def _small_buckets(monkeypatch):
    monkeypatch.setattr(gradients, "_FIRST_BYTES", 1)
    monkeypatch.setattr(buckets, "BUCKET_BYTES", 120)


def network():
    torch.manual_seed(0)
    layers = [nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 1)]
    return nn.Sequential(*layers)


def with_unused():
    """Return a network of which three numbers take no part."""
    module = network()
    module.append(nn.Identity())
    module[5].unused = nn.Parameter(torch.ones(3))
    return module


def joined(module):
    twin = Twin(module.parameters())
    optimizer = torch.optim.AdamW(module.parameters())
    return twin, GradientReducer(twin, module, optimizer), optimizer


def passes(module, total, inputs, num_passes=1):
    """Take one step's passes, as the loop does; return its loss."""
    parts = inputs.chunk(num_passes)
    loss = torch.zeros(())
    for number, part in enumerate(parts, 1):
        own = module(part).square().sum()
        total.expect(is_last=number == len(parts))
        own.backward()
        loss = loss + own.detach()
    return loss


def doubled(module, inputs):
    """Return twice the gradients of one process, and twice the loss."""
    loss = module(inputs).square().sum()
    found = torch.autograd.grad(loss, list(module.parameters()))
    return [2 * each for each in found], 2 * loss.detach()


@pytest.mark.parametrize("num_passes", [1, 2, 3])
def test_the_last_layers_travel_while_the_first_are_still_at_work(num_passes):
    module, inputs = network(), torch.randn(12, 5)
    expected, twice = doubled(module, inputs)
    twin, total, _ = joined(module)
    loss = passes(module, total, inputs, num_passes)
    early = list(twin.sent)
    total.finish(loss)
    for parameter, value in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, value)
    torch.testing.assert_close(loss, twice)
    assert [size for size, _ in early] == [1, 35, 30]
    assert [size for size, _ in twin.sent] == [1, 35, 30, 1]  # only the loss was left
    if num_passes == 1:  # otherwise all have something from the pass before
        assert early[0][1] <= 2
        assert early[1][1] <= 5


def test_memory_that_runs_out_in_the_middle_loses_nothing_and_sends_nothing_twice():
    module, inputs = network(), torch.randn(12, 5)
    expected, _ = doubled(module, inputs)
    twin, total, optimizer = joined(module)

    def fail(gradient):
        raise torch.OutOfMemoryError("no room")

    hook = module[0].weight.register_hook(fail)
    with pytest.raises(torch.OutOfMemoryError):
        passes(module, total, inputs)
    sent = list(twin.sent)
    assert 0 < len(sent) < 3  # of three buckets
    hook.remove()
    optimizer.zero_grad(set_to_none=True)
    total.finish(passes(module, total, inputs, num_passes=4))
    assert twin.sent[: len(sent)] == sent
    assert [size for size, _ in twin.sent] == [1, 35, 30, 1]
    for parameter, value in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, value)


def test_what_never_gets_a_gradient_is_not_waited_for_and_keeps_none():
    module, inputs = with_unused(), torch.randn(12, 5)
    twin, total, optimizer = joined(module)
    for is_known in (False, True):
        twin.sent.clear()
        loss = passes(module, total, inputs)
        assert len(twin.sent) == (3 if is_known else 0)
        total.finish(loss)
        assert module[5].unused.grad is None
        assert twin.pattern == [False] + [True] * 6
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    # once it is used, it travels at the end
    (module(inputs).sum() * module[5].unused.sum()).backward()
    total.finish(torch.zeros(()))
    assert module[5].unused.grad is not None
    assert twin.pattern == [True] * 7


def test_places_in_a_bucket_are_those_that_an_undisturbed_process_would_use():
    """Sums of more than two depend on them; a process that begins anew must not change them."""
    sizes = []
    for is_anew in (False, True):
        module, inputs = with_unused(), torch.randn(12, 5)
        twin, total, optimizer = joined(module)
        for step in range(3):
            if is_anew and step == 2:
                state = optimizer.state_dict()
                twin, total, optimizer = joined(module)
                optimizer.load_state_dict(state)
            twin.sent.clear()
            total.finish(passes(module, total, inputs))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        sizes.append([size for size, _ in twin.sent])
    assert sizes[0] == sizes[1] == [1, 35, 30, 3, 1]


def test_gradients_lie_in_memory_as_their_parameters_do():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    module = module.to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    expected, _ = doubled(module, images)
    _, total, _ = joined(module)
    total.finish(passes(module, total, images))
    for parameter, value in zip(module.parameters(), expected, strict=True):
        assert parameter.grad.stride() == parameter.stride()
        torch.testing.assert_close(parameter.grad, value)


def test_what_does_not_learn_yet_does_not_travel():
    module, inputs = network(), torch.randn(12, 5)
    twin, total, _ = joined(module)
    module[0].requires_grad_(False)
    total.finish(passes(module, total, inputs))
    assert sum(size for size, _ in twin.sent) == 36 + 1
    module[0].requires_grad_(True)
    twin.sent.clear()
    total.finish(passes(module, total, inputs))
    assert sum(size for size, _ in twin.sent) == 66 + 1
