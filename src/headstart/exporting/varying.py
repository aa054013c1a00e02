"""Which axes of a network's inputs vary, in the words of PyTorch's exporters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from headstart.preprocessing import NamedInput

BATCH, LENGTH = "batch", "length"


def varying_shapes(inputs: Sequence[NamedInput]) -> tuple[Any, ...]:
    """Return the ``dynamic_shapes`` of a network that takes its inputs as ``*arrays``.

    Args:
        inputs: What it takes; a length that differs from sample to sample is a word in the shape.
    """
    longest = min((one.longest for one in inputs if one.longest is not None), default=None)
    batch = torch.export.Dim(BATCH, min=1)
    length = torch.export.Dim(LENGTH, min=1, max=longest)
    each = [
        {0: batch, 1: length} if isinstance(one.shape[0], str) else {0: batch} for one in inputs
    ]
    return (tuple(each),)  # of *arrays, as one
