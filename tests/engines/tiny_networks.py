"""Networks and stand-in engines for the tests of engines."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from headstart.engines import Choice, PassJob
from headstart.engines.table import Engine


class Tokens(nn.Module):
    """A table of vectors, attention among them, and a mean under a mask."""

    def __init__(self, *, is_specialised: bool = False) -> None:
        super().__init__()
        self.table, self.positions = nn.Embedding(30, 16), nn.Embedding(40, 16)
        self.mix, self.is_specialised = nn.Linear(16, 48), is_specialised

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        rows = self.table(ids) + self.positions(places)
        query, key, value = self.mix(rows).chunk(3, dim=-1)
        allowed = (mask != 0)[:, None, :].expand(-1, ids.shape[1], -1)
        rows = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        if self.is_specialised:  # its length becomes a constant of a trace
            rows = rows * torch.full((int(ids.shape[1]), 1), 1.0 / float(ids.shape[1]))
        weight = mask[..., None].float()
        return (rows * weight).sum(dim=1) / weight.sum(dim=1)


class Counted(nn.Module):
    """A matrix that counts its passes, and takes its time for every sample."""

    def __init__(self, seconds_a_sample: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.matrix = nn.Linear(8, 4)
        self.seconds_a_sample, self.num_passes = seconds_a_sample, 0

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        self.num_passes += 1
        end = time.process_time() + self.seconds_a_sample * len(rows)
        while time.process_time() < end:
            pass
        return self.matrix(rows)


def photos() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Return a small convolutional network with BatchNorm, and images."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, groups=8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return network, (torch.randn(6, 3, 16, 16).contiguous(memory_format=torch.channels_last),)


def texts() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Return a small transformer, and padded ids with their mask."""
    torch.manual_seed(0)
    ids, mask = torch.randint(1, 30, (6, 12)), torch.ones(6, 12, dtype=torch.int64)
    for row, length in enumerate((12, 12, 9, 7, 12, 4)):
        ids[row, length:], mask[row, length:] = 0, 0
    return Tokens(), (ids, mask)


def a_job(network: nn.Module, num_samples: int = 50_000, **changes: object) -> PassJob:
    """Return a job over rows of eight numbers."""
    rows = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
    return PassJob(
        network=network,
        plain=network,
        samples=lambda num: (rows[:num],),
        longest=lambda num: (rows[:num],),
        batch=lambda: (rows,),
        targets=np.arange(32) % 3,
        readout=None,
        num_samples=num_samples,
        about={"network": str(network), "of": repr(sorted(changes))},
        called="rows",
        **changes,
    )


def stand_in(name: str, build, precisions: tuple[str, ...] = ("fp32",), **of: object) -> Engine:
    """Return an engine that is always installed."""
    return Engine(name, build, lambda: precisions, **of)


def matrix_alone(network: Counted, example: object, choice: Choice):
    """Return the pass of ``Counted`` without the time that it takes."""
    return lambda rows: network.matrix(rows)
