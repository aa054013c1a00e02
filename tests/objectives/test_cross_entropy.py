"""The loss is torch's cross-entropy, with what the recipe adds computed by hand."""

import pytest
import torch
from torch.nn import functional

from headstart.objectives import Wanted, l1_penalty
from headstart.objectives.supervised import cross_entropy


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 5, generator=generator)
    return logits, torch.randint(0, 5, (12,), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_equals_torch(batch, smoothing):
    logits, targets = batch
    expected = functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    found = cross_entropy(logits, Wanted(targets, label_smoothing=smoothing))
    assert torch.allclose(found, expected)


def test_smoothing_by_hand(batch):
    logits, targets = batch
    soft = functional.one_hot(targets, 5) * 0.8 + 0.2 / 5
    by_hand = -(soft * logits.log_softmax(dim=1)).sum(dim=1).mean()
    assert torch.allclose(cross_entropy(logits, Wanted(targets, label_smoothing=0.2)), by_hand)


def test_class_weights_are_divided_by_the_number_of_samples(batch):
    logits, targets = batch
    weights = torch.tensor([0.1, 2.0, 1.0, 0.5, 3.0])
    each = functional.cross_entropy(logits, targets, reduction="none")
    by_hand = (weights[targets] * each).mean()
    found = cross_entropy(logits, Wanted(targets, class_weights=weights))
    assert torch.allclose(found, by_hand)
    # so that the parts of a step add up to the whole
    parts = [
        cross_entropy(logits[cut], Wanted(targets[cut], class_weights=weights)) * share
        for cut, share in ((slice(0, 9), 9 / 12), (slice(9, 12), 3 / 12))
    ]
    assert torch.allclose(sum(parts), found)


def test_mixed_targets_share_the_loss(batch):
    logits, targets = batch
    partner = torch.arange(11, -1, -1)
    found = cross_entropy(logits, Wanted(targets, partner=partner, share=0.7, label_smoothing=0.1))
    soft = 0.7 * functional.one_hot(targets, 5) + 0.3 * functional.one_hot(targets[partner], 5)
    soft = soft * 0.9 + 0.1 / 5
    assert torch.allclose(found, -(soft * logits.log_softmax(dim=1)).sum(dim=1).mean())


def test_half_precision_logits_are_summed_in_full(batch):
    logits, targets = batch
    found = cross_entropy(logits.bfloat16(), Wanted(targets))
    assert found.dtype == torch.float32
    assert torch.allclose(found, cross_entropy(logits.bfloat16().float(), Wanted(targets)))


def test_l1_is_the_sum_of_absolute_weights_that_learn():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 0.0]]))
        network[0].bias.fill_(100.0)  # biases do not count
        network[1].weight.fill_(50.0)
    network[1].weight.requires_grad_(False)
    penalty = l1_penalty(network.parameters())
    assert penalty.item() == 6.0
    torch.autograd.backward(penalty)
    assert network[0].weight.grad.tolist() == [[1.0, -1.0], [1.0, 0.0]]


def test_l1_of_nothing_is_zero():
    assert l1_penalty([]).item() == 0.0
