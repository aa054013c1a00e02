"""Muon: orthogonalised steps for kernels, AdamW for the rest, in one optimizer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import headstart as hs
from headstart.errors import OptionError
from headstart.training.options.muon import RATE, Muon, orthogonalised
from headstart.training.options.recipe import Recipe
from headstart.training.options.strategy import build_optimizer, parameter_groups
from headstart.training.state.checkpoint import optimizer_tensors, restore_optimizer

NAMES = [["stem.weight", "stem.bias"], ["inner.weight", "inner.bias"]]


class Encoder(nn.Module):
    """A stem of few inputs and a kernel of many."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(1, 16, 3)
        self.inner = nn.Conv2d(16, 32, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(self.stem(images).relu()).relu().mean((2, 3))


@pytest.fixture
def muon(recipe: Recipe) -> Recipe:
    return replace(
        recipe,
        optimizer="muon",
        learning_rate=0.01,
        momentum=0.7,
        weight_decay=0.1,
        head_multiplier=1.0,
        bottom_multiplier=1.0,
    )


def built(recipe: Recipe) -> tuple[nn.Sequential, torch.optim.Optimizer]:
    encoder = Encoder().to(memory_format=torch.channels_last)
    model = nn.Sequential(encoder, nn.Linear(32, 2))
    return model, build_optimizer(parameter_groups(encoder, model[1], NAMES, recipe), recipe)


def learn(model: nn.Module, optimizer: torch.optim.Optimizer, num_steps: int) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(num_steps):
        images = torch.randn(8, 1, 8, 8, generator=generator)
        optimizer.zero_grad()
        model(images).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(64, 288), (288, 64), (32, 32)])
def test_orthogonalised_keeps_directions_and_evens_their_lengths(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalised(matrix)
    cosine = torch.sum(found * (left @ right)) / (found.norm() * (left @ right).norm())
    assert float(cosine) > 0.95
    lengths = torch.linalg.svdvals(found)
    assert float(lengths.median()) == pytest.approx(0.95, abs=0.3)
    assert torch.equal(orthogonalised(torch.zeros(shape)), torch.zeros(shape))


def test_kernels_move_by_their_orthogonalised_momentum_and_the_rest_by_adamw(
    muon: Recipe,
) -> None:
    model, optimizer = built(muon)
    plain, adamw = built(replace(muon, optimizer="adamw"))
    assert isinstance(optimizer, Muon)
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    for network in (model, plain):
        network(images).square().sum().backward()
    kernel = model[0].inner.weight
    before, gradient = kernel.detach().clone(), kernel.grad.clone()
    optimizer.step()
    adamw.step()
    for (name, mine), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, other) is (name != "0.inner.weight"), name
    step = orthogonalised((gradient * (1 + 0.7)).reshape(32, -1)).reshape(kernel.shape)
    expected = before * (1 - 0.01 * 0.1) - RATE * 0.01 * step
    torch.testing.assert_close(kernel.detach(), expected)


def test_restored_state_goes_on_bit_for_bit(muon: Recipe) -> None:
    model, optimizer = built(muon)
    learn(model, optimizer, 3)
    again, other = built(muon)
    again.load_state_dict(model.state_dict())
    restore_optimizer(other, {n: t.clone() for n, t in optimizer_tensors(optimizer).items()})
    learn(model, optimizer, 3)
    learn(again, other, 3)
    for mine, its in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_what_it_cannot_do_is_refused(muon: Recipe, heard) -> None:
    with pytest.raises(OptionError, match="split over processes") as told:
        built(replace(muon, fsdp=True))
    assert built(muon)  # as advised: not split, or adamw
    assert built(replace(muon, optimizer="adamw", fsdp=True))
    heard(told.value)
    head = nn.Linear(4, 2)
    with pytest.raises(OptionError, match="Choose adamw"):
        build_optimizer(parameter_groups(nn.Identity(), head, [[]], muon), muon)


def test_it_is_refused_before_anything_is_trained_where_there_is_no_kernel(tmp_path) -> None:
    texts = [f"{word} film {place}" for place in range(20) for word in ("fine", "dull")]
    data = (texts, ["good", "bad"] * 20)
    out = tmp_path / "run"
    with pytest.raises(OptionError, match="Choose adamw"):
        hs.finetune(
            data,
            start="scratch/bert-tiny",
            strategy="lp-ft",  # its probe comes before its steps
            optimizer="muon",
            out=str(out),
            device="cpu",
        )
    assert not out.exists()
