"""What a pass with gradients takes, against what autograd says that it saves."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from headstart.training.machine.footprint import _BESIDE, LiveTensors, measure_forward


class Block(nn.Module):
    """A transformer's block whose scores are kept, as dropout inside attention wants it."""

    def __init__(self, width=32, heads=4):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.heads = heads

    def forward(self, x):
        size, length, width = x.shape
        parts = self.project(self.norm(x)).view(size, length, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) / (width / self.heads) ** 0.5
        mixed = functional.dropout(scores.softmax(-1), 0.1, self.training) @ value
        x = x + self.out(mixed.transpose(1, 2).reshape(size, length, width))
        return x + self.mlp(x)


def convnet():
    layers = []
    for given, made in ((3, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(given, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5))


def transformer():
    return nn.Sequential(Block(), Block(), Block(), nn.Linear(32, 5))


NETWORKS = {"convnet": (convnet, (3, 24, 24)), "transformer": (transformer, (64, 32))}


def saved_bytes(module, inputs):
    """Return the bytes of what autograd saves, each storage once, parameters apart."""
    own = {t.untyped_storage().data_ptr() for t in [*module.parameters(), *module.buffers()]}
    found, kept = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)  # so that no other gets its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(inputs)
    return sum(found.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_alive_is_what_autograd_saves(name):
    make, shape = NETWORKS[name]
    module = make()
    inputs = torch.randn(8, *shape)
    live = LiveTensors([*module.parameters(), *module.buffers()])
    with live:
        output = module(inputs)
        assert live.num_bytes <= live.most_bytes
        del output
    saved = saved_bytes(module, inputs)
    assert saved <= live.most_bytes < 1.5 * saved


@pytest.mark.parametrize("name", NETWORKS)
def test_two_and_three_samples_tell_what_sixteen_take(name):
    make, shape = NETWORKS[name]
    module = make()
    found = measure_forward(module, lambda num: (torch.randn(num, *shape),), module)
    inputs = torch.randn(16, *shape)
    live = LiveTensors([*module.parameters(), *module.buffers()])
    with live:
        live.note(inputs)
        module(inputs)
    beside = _BESIDE * live.largest_bytes
    assert found.of(16) == pytest.approx(live.most_bytes + beside, rel=0.02)
    assert found.of(16) > saved_bytes(module, inputs)


def test_what_is_frozen_keeps_nothing():
    module = convnet()
    whole = measure_forward(module, lambda num: (torch.randn(num, 3, 24, 24),), module)
    for parameter in [*module.parameters()][:-2]:
        parameter.requires_grad_(False)
    module.eval()
    last = measure_forward(module, lambda num: (torch.randn(num, 3, 24, 24),), module)
    # of the frozen part no more than a few tensors are alive at once
    assert last.per_sample < 0.8 * whole.per_sample


def test_views_parameters_and_what_is_gone_are_not_counted():
    weight = torch.zeros(1_000)
    live = LiveTensors([weight])
    with live:
        view = weight.view(10, 100)
        one = torch.ones(100)
        part = one[:50].view(5, 10)
        assert live.num_bytes == 400
        del one
        assert live.num_bytes == 400  # the view holds it
        del part
        assert live.num_bytes == 0
        weight.add_(1)
        del view
    assert (live.num_bytes, live.most_bytes, live.largest_bytes) == (0, 400, 400)


class Graph(nn.Module):
    """Mixes samples' features along the edges of a graph, whose matrix is sparse."""

    def __init__(self, width=32):
        super().__init__()
        self.register_buffer("edges", torch.eye(width).to_sparse())
        self.out = nn.Linear(width, 5)

    def forward(self, x):
        hidden = torch.sparse.mm(self.edges, x.T).T
        again = torch.sparse.mm(hidden.detach().relu().to_sparse(), torch.eye(x.shape[1]))
        return self.out(hidden + again + x.detach().to_mkldnn().to_dense())


def test_tensors_without_a_storage_are_passed_over():
    module = Graph()
    found = measure_forward(module, lambda num: (torch.randn(num, 32),), module)
    assert found.per_sample >= 4 * 32  # what is dense counts as ever
