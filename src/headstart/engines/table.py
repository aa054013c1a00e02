"""The engines, a row each, and the one door to a pass that is compiled by one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from headstart.engines.bounds import InputBounds, learn_bounds
from headstart.engines.choice import Choice, Outputs, Pass, RefusedError
from headstart.engines.onnxruntime_engine import onnxruntime_pass
from headstart.engines.openvino_engine import openvino_pass, openvino_precisions
from headstart.engines.torch_engine import torch_pass, torch_precisions
from headstart.errors import PackageMissing, first_line, quoted
from headstart.extras import install_command
from headstart.tensors import evaluating


@dataclass(frozen=True)
class Engine:
    """What can compute a pass.

    Attributes:
        name: As ``--engine`` takes it.
        build: A network, an example and a choice to a pass.
        precisions: Number formats worth trying on this processor, the quickest first.
        packages: Import names that must be there, with the extra that installs them.
        extra: See above; empty where none is needed.
        is_compiled: Whether it takes the weights as they stand, for a second or so, and knows
            nothing of what is learned later.
        folds: Whether norms may be folded, which takes the weights as they stand, too, at once.
    """

    name: str
    build: Callable[[nn.Module, Sequence[Tensor], Choice], Pass]
    precisions: Callable[[], tuple[str, ...]]
    packages: tuple[str, ...] = ()
    extra: str = ""
    is_compiled: bool = True
    folds: bool = False

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [name for name in self.packages if find_spec(name) is None]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of what computes."""
        return {"torch": torch.__version__, **{p: metadata.version(p) for p in self.packages}}

    def choices(self, precision: str, *, is_fixed: bool = True) -> list[Choice]:
        """Return what is worth trying, the most promising first.

        Args:
            precision: What was asked for: ``fp32`` allows nothing else.
            is_fixed: Whether the weights stay as they are.
        """
        of = [p for p in self.precisions() if precision != "fp32" or p == "fp32"]
        ways = [True, False] if self.folds and is_fixed else [False]
        return [Choice(self.name, one, way) for one in of for way in ways]


def _fp32() -> tuple[str, ...]:
    return ("fp32",)


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("openvino", openvino_pass, openvino_precisions, ("openvino", "onnx"), "openvino"),
        Engine("torch", torch_pass, torch_precisions, is_compiled=False, folds=True),
        Engine("onnxruntime", onnxruntime_pass, _fp32, ("onnxruntime", "onnx"), "onnx"),
    )
}


def require_engine(name: str) -> None:
    """Refuse an engine whose packages are not installed; ``auto`` asks for none.

    Args:
        name: In ``ENGINES``, or ``auto``.

    Raises:
        OptionError: If one is missing.
    """
    engine = ENGINES.get(name)
    if engine is not None and engine.missing:
        missing = engine.missing
        raise PackageMissing(
            f"engine '{name}' needs {quoted(missing)}, which {'is' if len(missing) == 1 else 'are'}"
            f" not installed. Install {'it' if len(missing) == 1 else 'them'}: "
            f"{install_command(f'headstart[{engine.extra}]')}, or leave the engine at auto."
        )


class CompiledPass:
    """A pass that an engine computes, within the bounds of what is known of its inputs.

    Args:
        network: What it was compiled from: computes what is beyond the bounds, or refuses it.
        run: The engine's own.
        bounds: See above.
    """

    def __init__(self, network: nn.Module, run: Pass, bounds: InputBounds) -> None:
        self._network, self._run, self._bounds = network, run, bounds

    def __call__(self, *inputs: Tensor) -> Outputs:
        """Return what the network gives for inputs.

        Raises:
            RefusedError: If the engine fails on them.
        """
        if not self._bounds.hold(inputs):
            made: Outputs = self._network(*inputs)
            return made
        try:
            return self._run(*inputs)
        except Exception as error:  # engines' errors have no common class but this one
            shapes = " and ".join(str(tuple(tensor.shape)) for tensor in inputs)
            raise RefusedError(f"it fails on {shapes} ({first_line(error)})") from error


def compile_pass(network: nn.Module, longest: Sequence[Tensor], choice: Choice) -> Pass:
    """Return a network's pass in eval mode, as an engine computes it.

    Args:
        network: On the CPU.
        longest: At least two samples that differ, the longest ones where lengths do.
        choice: The engine, and how.

    Raises:
        RefusedError: If the engine does not take the network.
        OptionError: If the engine is not installed, where a plan names it.
    """
    require_engine(choice.engine)
    engine = ENGINES[choice.engine]
    with evaluating(network):
        if not engine.is_compiled:
            return engine.build(network, longest, choice)
        bounds = learn_bounds(network, longest)
        return CompiledPass(network, engine.build(network, longest, choice), bounds)
