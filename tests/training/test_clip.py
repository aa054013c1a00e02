"""Gradients are clipped as PyTorch clips them, whether or not the host looks first."""

import math

import pytest
import torch
from torch import nn

from headstart.training.state.finite import clip_gradients


def with_gradients(scale):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3), nn.Linear(3, 2))
    for parameter in module[:2].parameters():
        parameter.grad = scale * torch.randn_like(parameter)
    return list(module.parameters())  # the last layer has no gradient


@pytest.mark.parametrize("may_read", [True, False], ids=["reads", "does not read"])
@pytest.mark.parametrize("scale", [0.01, 1.0, 1e30, math.inf, math.nan])
@pytest.mark.parametrize("most", [0.0, 1.0])
def test_it_equals_pytorchs_own_bit_for_bit(may_read, scale, most):
    own, reference = with_gradients(scale), with_gradients(scale)
    norm = clip_gradients(own, most, may_read=may_read)
    expected = nn.utils.clip_grad_norm_(reference, most or math.inf)
    assert norm.shape == ()
    assert torch.equal(norm, expected) or (norm.isnan() and expected.isnan())
    if not norm.isfinite() and not most:
        return  # PyTorch's factor of inf / inf spoils what is skipped anyway
    for one, other in zip(own, reference, strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            assert torch.equal(one.grad.nan_to_num(7.0), other.grad.nan_to_num(7.0))
