"""PyTorch's attention in plain operations, as an export takes it."""

import pytest
import torch
from torch import nn

from headstart.exporting.onnx_network import PlainAttention


@pytest.mark.parametrize("length", [1, 5])
def test_it_gives_what_pytorch_gives(length):
    torch.manual_seed(0)
    own = nn.MultiheadAttention(12, 3, batch_first=True).eval()
    nn.init.normal_(own.in_proj_bias)
    query, states = torch.randn(2, length, 12), torch.randn(2, 7, 12)
    plain = PlainAttention(own)
    with torch.no_grad():
        found, weights = plain(query, states, states)
        wanted, _ = own(query, states, states)
        mask = torch.zeros(2, 7, dtype=torch.bool)
        mask[:, 4:] = True
        masked, _ = plain(query, states, states, key_padding_mask=mask)
        expected, _ = own(query, states, states, key_padding_mask=mask)
    assert weights is None
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(masked, expected)
