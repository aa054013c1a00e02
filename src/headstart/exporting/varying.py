"""Which axes of a network's inputs vary, in the words of PyTorch's exporters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from headstart.preprocessing import NamedInput

BATCH, LENGTH = "batch", "length"
LEAST_LENGTH = 4  # tokens of an example: of one or two an exporter would make a constant


def varying_shapes(inputs: Sequence[NamedInput], *, shortest: int = 1) -> tuple[Any, ...]:
    """Return the ``dynamic_shapes`` of a network that takes its inputs as ``*arrays``.

    Args:
        inputs: What it takes; a length that differs from sample to sample is a word in the shape.
        shortest: The least of such lengths.
    """
    longest = min((one.longest for one in inputs if one.longest is not None), default=None)
    batch = torch.export.Dim(BATCH, min=1)
    # an example has some places, and may be longer than any of the texts
    most = None if longest is None else max(longest, LEAST_LENGTH)
    length = torch.export.Dim(LENGTH, min=shortest, max=most)
    each = [
        {0: batch, 1: length} if isinstance(one.shape[0], str) else {0: batch} for one in inputs
    ]
    return (tuple(each),)  # of *arrays, as one
