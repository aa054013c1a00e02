"""What crosses a cut: the shape, type and memory layout of each tensor, and how it becomes rows.

A tensor is kept in the order in which it lay in memory and comes back with the same strides:
kernels choose their algorithm by layout, and equal bits need equal kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Slot:
    """One tensor that crosses a cut.

    Attributes:
        shape: Of one sample; a leading None is the length, which varies.
        dtype: Name of its type, as torch calls it (``float32``).
        order: Its dimensions as they lie in memory, slowest first.
        input: Which input of the network it is (a batch has it at hand, nothing has to keep it), or
            None where the prefix computed it.
    """

    shape: tuple[int | None, ...]
    dtype: str
    order: tuple[int, ...]
    input: int | None = None

    @property
    def is_ragged(self) -> bool:
        """Whether samples differ in length."""
        return None in self.shape

    @property
    def stored_dtype(self) -> np.dtype:
        """NumPy's type of a row; NumPy has no bfloat16, whose bits are kept as uint16."""
        return np.dtype("uint16" if self.dtype == "bfloat16" else self.dtype)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of a sample in memory, or of one token where samples differ in length."""
        return tuple(size for size in (self.shape[i] for i in self.order) if size is not None)

    @property
    def num_bytes(self) -> int:
        """Bytes of a sample, or of one token where samples differ in length."""
        return int(np.prod(self.stored_shape, dtype=np.int64)) * self.stored_dtype.itemsize

    def pack(self, tensor: Tensor) -> np.ndarray:
        """Return a batch as it is stored, shape (B, *memory order)."""
        rows = tensor.detach().permute(0, *(i + 1 for i in self.order)).contiguous().cpu()
        if self.dtype == "bfloat16":
            rows = rows.view(torch.uint16)
        packed: np.ndarray = rows.numpy()
        return packed

    def blank(self, batch_size: int, length: int) -> Tensor:
        """Return a tensor on the ``meta`` device that is shaped like a batch, with its strides."""
        shape = [length if size is None else size for size in self.shape]
        laid = [shape[i] for i in self.order]
        made = torch.empty((batch_size, *laid), dtype=getattr(torch, self.dtype), device="meta")
        return _put_back(made, self.order)

    def unpack(self, rows: np.ndarray) -> Tensor:
        """Return the batch that was packed, with the same strides."""
        tensor = torch.from_numpy(rows)
        if self.dtype == "bfloat16":
            tensor = tensor.view(torch.bfloat16)
        return _put_back(tensor, self.order)


def memory_order(tensor: Tensor) -> tuple[int, ...]:
    """Return the dimensions of one sample as they lie in memory, slowest first.

    Where samples do not lie one after another without gaps, that is the order of the dimensions.

    Args:
        tensor: Shape (B, …), B at least 2.
    """
    dims = range(1, tensor.ndim)
    strides = tensor.stride()
    # a dimension of size one may lie anywhere: leave those where they are
    plain = sorted((i for i in dims if tensor.shape[i] > 1), key=lambda i: -strides[i])
    order = [plain.pop(0) if tensor.shape[i] > 1 else i for i in dims]
    is_dense = tensor.permute(0, *order).is_contiguous()
    return tuple(i - 1 for i in (order if is_dense else dims))


def lies_in_order(tensor: Tensor, order: Sequence[int]) -> bool:
    """Return whether samples lie one after another without gaps, their dimensions in that order."""
    return tensor.permute(0, *(i + 1 for i in order)).is_contiguous()


def in_order(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """Return the tensor laid out in memory in that order."""
    return _put_back(tensor.permute(0, *(i + 1 for i in order)).contiguous(), order)


def _put_back(laid: Tensor, order: Sequence[int]) -> Tensor:
    """Return a tensor whose dimensions stand in that order with them in their own."""
    return laid.permute(0, *(order.index(i) + 1 for i in range(len(order))))
