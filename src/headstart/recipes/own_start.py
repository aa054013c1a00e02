"""The start of a run: found by its address, or a module of the user's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import OptionError

if TYPE_CHECKING:
    from torch import nn

    from headstart.types import ImageSpec, Start


@dataclass(frozen=True)
class GivenStart:
    """Where the user wants to start.

    Attributes:
        start: Its record.
        module: A copy of the user's own module; None where the start was named.
        spec: The preprocessing of that module, where it does not bring its own.
    """

    start: Start
    module: nn.Module | None = None
    spec: ImageSpec | None = None


def find_given(start: str | nn.Module, spec: ImageSpec | None) -> tuple[Start, nn.Module | None]:
    """Return the start's record, and the module where the user brought one."""
    if isinstance(start, str | Path):
        from headstart.starts import find_start, require_start

        found = find_start(str(start))
        require_start(found)
        return found, None
    from copy import deepcopy

    from torch.nn import Module

    from headstart.starts import Encoder, wrap_module

    if not isinstance(start, Module):
        raise OptionError(
            f"start is {start!r:.60}; expected the name of a start, such as 'scratch/linear', a "
            "folder, or a torch module. 'headstart starts' lists them."
        )
    if isinstance(start, Encoder):
        if spec is not None:
            raise OptionError(
                "start is an encoder and spec is given too; expected one preprocessing. Leave spec "
                "out, the encoder brings its own."
            )
        return start.start, deepcopy(start)
    if spec is None:
        raise OptionError(
            "start is a module and spec is missing; expected its preprocessing. Give "
            "spec=ImageSpec(size=…, channels=…, mean=…, std=…, …)."
        )
    # a copy: the caller's module keeps its weights, and a second run starts where the first did
    return wrap_module(start, spec).start, deepcopy(start)


def own_network(module: nn.Module | None) -> nn.Module | None:
    """Return the user's module itself: opening a run wraps it again."""
    from headstart.starts import Encoder

    return module.network if isinstance(module, Encoder) else module


def refuse_own_start(address: str, out: str | None) -> None:
    """Refuse to write into the folder that is the start.

    Raises:
        OptionError: If ``out`` is the start.
    """
    if out is not None and os.path.exists(out) and Path(out).resolve() == Path(address).resolve():
        raise OptionError(
            f"out '{out}' is the start itself; expected another folder, or the start would be "
            f"overwritten. Choose another --out."
        )
