"""Which parameters learn, at which rate, and that what is frozen stays what it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from headstart.training.options.strategy import (
    build_optimizer,
    freeze,
    parameter_groups,
    phases_of,
    set_train_mode,
)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
        self.block1 = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.block2 = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
        self.pos_embed = nn.Parameter(torch.zeros(1, 4))
        self.layers = [
            [n for n, _ in self.named_parameters() if n.startswith(prefix)]
            for prefix in (("stem", "pos_embed"), ("block1",), ("block2",))
        ]

    def forward(self, x):
        return self.block2(self.block1(self.stem(x))).mean(dim=(2, 3)) + self.pos_embed


@pytest.mark.parametrize(
    ("strategy", "num_last", "learns"),
    [
        ("head", 1, [False, False, False]),
        ("last-n", 1, [False, False, True]),
        ("last-n", 2, [False, True, True]),
        ("lp-ft", 1, [True, True, True]),
        ("full", 1, [True, True, True]),
    ],
)
def test_each_strategy_frees_its_layers(recipe, strategy, num_last, learns):
    encoder = Encoder()
    recipe = replace(recipe, strategy=strategy, num_last_layers=num_last)
    (phase,) = phases_of(recipe, 3)
    assert (phase.start, phase.end, phase.learns) == (0.0, 1.0, tuple(learns))
    freeze(encoder, encoder.layers, learns)
    parameters = dict(encoder.named_parameters())
    for names, learn in zip(encoder.layers, learns, strict=True):
        assert all(parameters[n].requires_grad == learn for n in names)


@pytest.mark.parametrize(
    ("num_layers", "counts"), [(1, [1]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (13, [1, 2, 4, 8, 13])]
)
def test_gradual_unfreezing_frees_layers_from_the_last_one_down(recipe, num_layers, counts):
    phases = phases_of(replace(recipe, strategy="gradual"), num_layers)
    assert [sum(phase.learns) for phase in phases] == counts
    assert all(sorted(phase.learns) == list(phase.learns) for phase in phases)
    assert phases[0].start == 0
    assert [phase.end for phase in phases] == [*(phase.start for phase in phases[1:]), 1]
    if len(counts) > 1:
        assert phases[-1].start == pytest.approx(0.5)
        assert np.ptp([phase.end - phase.start for phase in phases[:-1]]) < 1e-12


def test_a_frozen_batchnorm_stays_as_it_is_while_the_rest_trains(recipe):
    model = nn.Sequential(Encoder(), nn.Linear(4, 2))
    encoder = model[0]
    freeze(encoder, encoder.layers, [False, False, True])
    groups = parameter_groups(encoder, model[1], encoder.layers, recipe)
    optimizer = build_optimizer(groups, recipe)
    before = {n: t.clone() for n, t in encoder.state_dict().items()}
    set_train_mode(model)
    for _ in range(3):
        model(torch.randn(8, 1, 12, 12)).square().mean().backward()
        optimizer.step()
    after = encoder.state_dict()
    for name, value in before.items():
        is_free = name.startswith("block2")
        is_changed = not torch.equal(value, after[name])
        assert is_changed == is_free, name
    assert not encoder.stem.training
    assert not encoder.block1[2].training  # a frozen block drops nothing
    assert encoder.block2.training


def test_batchnorm_frozen_keeps_statistics_even_where_scale_and_shift_learn():
    encoder = Encoder()
    set_train_mode(encoder, "frozen")
    norms = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms)
    assert all(norm.weight.requires_grad for norm in norms)
    assert encoder.block1[0].training
    set_train_mode(encoder, "train")
    assert all(norm.training for norm in norms)


def test_layer_wise_rates_go_geometrically_from_the_stem_to_the_head(recipe):
    encoder, head = Encoder(), nn.Linear(4, 2)
    recipe = replace(recipe, learning_rate=0.1, bottom_multiplier=0.04, head_multiplier=10.0)
    groups = parameter_groups(encoder, head, encoder.layers, recipe)
    rates = {id(p): group["peak"] for group in groups for p in group["params"]}
    assert rates[id(encoder.stem[0].weight)] == pytest.approx(0.1 * 0.04)
    assert rates[id(encoder.block1[0].weight)] == pytest.approx(0.1 * 0.2)
    assert rates[id(encoder.block2[0].weight)] == pytest.approx(0.1)
    assert rates[id(head.weight)] == pytest.approx(1.0)
    assert all(group["lr"] == group["peak"] for group in groups)


def test_an_encoder_of_one_layer_learns_at_the_rate_of_the_last(recipe):
    encoder, head = nn.Linear(3, 3), nn.Linear(3, 2)
    recipe = replace(recipe, learning_rate=0.1, bottom_multiplier=0.01)
    groups = parameter_groups(encoder, head, [["weight", "bias"]], recipe)
    assert {group["peak"] for group in groups} == {0.1}


def test_biases_norms_and_embeddings_have_no_weight_decay(recipe):
    encoder, head = Encoder(), nn.Linear(4, 2)
    recipe = replace(recipe, weight_decay=0.3)
    groups = parameter_groups(encoder, head, encoder.layers, recipe)
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in [*encoder.named_parameters(), *head.named_parameters()]:
        is_matrix = parameter.ndim >= 2 and name != "pos_embed"
        assert decays[id(parameter)] == (0.3 if is_matrix else 0.0), name


@pytest.mark.parametrize("learns", [[True] * 3, [False, False, True], [False] * 3])
def test_groups_hold_every_parameter_that_learns_exactly_once(recipe, learns):
    encoder, head = Encoder(), nn.Linear(4, 2)
    freeze(encoder, encoder.layers, learns)
    groups = parameter_groups(encoder, head, encoder.layers, recipe)
    held = [id(p) for group in groups for p in group["params"]]
    free = [id(p) for m in (encoder, head) for p in m.parameters() if p.requires_grad]
    assert sorted(held) == sorted(free)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_the_optimizer_is_the_one_asked_for(recipe, name, kind):
    encoder, head = Encoder(), nn.Linear(4, 2)
    recipe = replace(recipe, optimizer=name, momentum=0.7, beta1=0.8, beta2=0.95)
    optimizer = build_optimizer(parameter_groups(encoder, head, encoder.layers, recipe), recipe)
    assert type(optimizer) is kind
    if name == "sgd":
        assert optimizer.defaults["momentum"] == 0.7
        assert optimizer.defaults["nesterov"]
    else:
        assert optimizer.defaults["betas"] == (0.8, 0.95)
