"""Tensors that travel together: flat buckets of one type and device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import torch
import torch.distributed as dist
from torch import Tensor

BUCKET_BYTES = 25 << 20  # DistributedDataParallel's


def buckets(tensors: Iterable[Tensor], first_bytes: int | None = None) -> Iterator[list[Tensor]]:
    """Yield neighbours of one type and device, closed when they have reached a size.

    Args:
        tensors: In the order in which they travel.
        first_bytes: Size of the first one; that of all where it is None.
    """
    most = BUCKET_BYTES if first_bytes is None else first_bytes
    for _, alike in groupby(tensors, key=lambda tensor: (tensor.dtype, tensor.device)):
        some: list[Tensor] = []
        num_bytes = 0
        for tensor in alike:
            some.append(tensor)
            num_bytes += tensor.nbytes
            if num_bytes >= most:
                yield some
                some, num_bytes, most = [], 0, BUCKET_BYTES
        if some:
            yield some


def sort_alike(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return tensors with those of one type and device together."""
    return sorted(tensors, key=lambda tensor: (str(tensor.dtype), str(tensor.device)))


def flatten(bucket: Sequence[Tensor]) -> Tensor:
    """Return the numbers of all tensors of a bucket, shape (N,)."""
    return torch.cat([tensor.reshape(-1) for tensor in bucket])


def spread(flat: Tensor, bucket: Sequence[Tensor]) -> None:
    """Copy a flat bucket back to where it came from."""
    parts = torch.split(flat, [tensor.numel() for tensor in bucket])
    for tensor, part in zip(bucket, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


@torch.no_grad()
def gather_rows(rows: Tensor, size: int, group: dist.ProcessGroup | None) -> list[Tensor]:
    """Return the rows of each process, by rank.

    Args:
        rows: Of this process, shape (R, …); R may differ between processes.
        size: How many processes there are.
        group: What reaches them.
    """
    own = torch.tensor([len(rows)], device=rows.device)
    sizes = [torch.empty_like(own) for _ in range(size)]
    dist.all_gather(sizes, own, group=group)
    padded = rows.new_zeros((max(int(num) for num in sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    found = [torch.empty_like(padded) for _ in range(size)]
    dist.all_gather(found, padded, group=group)
    return [part[: int(num)] for part, num in zip(found, sizes, strict=True)]
