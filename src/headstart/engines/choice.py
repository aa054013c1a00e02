"""What a pass without gradients may be computed by, and what a network and its pass are here.

A pass is a network's forward in eval mode. ``Choice`` names what computes it; it can be written as
JSON, kept in a plan and sent to a worker. No modality, no model: modules and tensors alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

Outputs = Tensor | tuple[Tensor, ...]
Pass = Callable[..., Outputs]


class RefusedError(Exception):
    """Report that an engine does not take a network, in words that continue a sentence."""


@dataclass(frozen=True)
class Choice:
    """What computes a pass.

    Attributes:
        engine: A name in ``ENGINES``.
        precision: ``fp32`` or ``bf16``: what it computes in; it takes and gives float32.
        is_folded: Whether each BatchNorm of a network that is frozen is a part of the convolution
            before it; engines other than PyTorch do that in any case.
    """

    engine: str = "torch"
    precision: str = "fp32"
    is_folded: bool = False

    def to_json(self) -> dict[str, object]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @property
    def said(self) -> str:
        """The choice for people."""
        return f"{self.engine} {self.precision}{', BatchNorm folded' if self.is_folded else ''}"


PLAIN = Choice()  # what computes where nothing else was chosen


def read_choice(record: Mapping[str, Any]) -> Choice:
    """Return the choice that ``to_json`` has written."""
    return Choice(**record)


def listed(outputs: Outputs) -> tuple[Tensor, ...]:
    """Return what a pass gives as a tuple, whether it is one tensor or several."""
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
