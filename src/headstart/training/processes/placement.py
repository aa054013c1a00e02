"""How a network lies on several processes while it learns: whole in each, or split over them.

Here is the choice, and the first of the two; the second is ``shard_placement.py``'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from rich.filesize import decimal
from torch import nn

from headstart.errors import OptionError
from headstart.events import emit
from headstart.training.company import Exchange, WholePlacement
from headstart.training.options.recipe import Recipe
from headstart.training.options.strategies import find_strategy
from headstart.training.processes.exchange import SharedExchange
from headstart.training.processes.worker import WorkerLoop
from headstart.training.state.checkpoint import CheckpointFolder

if TYPE_CHECKING:
    from headstart.training.contract import Hooks, LoopOptions
    from headstart.training.loop import Loop
    from headstart.training.processes.company import Several

_DEVICE_SHARE = 0.7  # of a GPU's free memory; the rest is for activations


class SharedPlacement(WholePlacement):
    """A network that every process has whole, with a share of every step.

    Args:
        company: The processes.
        module: The same in every process.
        checkpoints: Where the main process keeps the loop's state; None keeps none.
    """

    company: Several

    def __init__(
        self, company: Several, module: nn.Module, checkpoints: CheckpointFolder | None
    ) -> None:
        super().__init__(company, module, checkpoints)

    def join(self, loop: Loop) -> Exchange:
        """Return what a loop over this network exchanges with the other processes."""
        return SharedExchange(loop, self.company)

    def take_part(
        self, optimizer: torch.optim.Optimizer, hooks: Hooks, options: LoopOptions
    ) -> None:
        """Train in step with the main process, in a worker; what is learned is the same everywhere.

        Args:
            optimizer: As the main process's, over what lies here.
            hooks: This process's share of the batches, the loss and the schedule, joined by this.
            options: As the main process's, with this process's rank; without an average, unless
                the weights are split.

        Raises:
            ProcessLost: If another process has left.
            DivergenceError: If the loss is not finite at three steps in a row.
        """
        WorkerLoop(self.module, optimizer, hooks, options, None, None).run()


def settle_split(recipe: Recipe, device: torch.device, learning_bytes: Callable[[], int]) -> Recipe:
    """Return the recipe with whether the weights are split, where nobody has said so.

    Args:
        recipe: What the user said about it stands.
        device: Where this process trains.
        learning_bytes: What learning takes beside the weights.

    Raises:
        OptionError: If what was settled elsewhere cannot be done with split weights.
    """
    is_fully = recipe.fsdp
    if is_fully is None:
        is_whole = recipe.tensor_parallel_size == 1
        is_fully = is_whole and _is_too_large(recipe, device, learning_bytes)
    recipe = replace(recipe, fsdp=is_fully)
    if not recipe.is_split:
        return recipe
    if recipe.precision == "fp16":
        raise OptionError(
            "The weights are to be split over the processes, and precision is 'fp16', whose scaled "
            "loss each process would scale by itself; expected bf16 or fp32. Give --precision bf16."
        )
    if find_strategy(recipe.strategy).is_cacheable:
        emit("note", text="It trains uncached: its weights are split over the processes.")
    return recipe


def _is_too_large(recipe: Recipe, device: torch.device, learning_bytes: Callable[[], int]) -> bool:
    """Return whether what learning takes does not fit one GPU, by estimate, and tell it if so."""
    if device.type != "cuda" or recipe.compile or recipe.l1_penalty:
        return False
    if recipe.precision == "fp16":
        return False
    needed = learning_bytes()
    free, _ = torch.cuda.mem_get_info(device)
    if needed <= _DEVICE_SHARE * free:
        return False
    why = f"gradients and optimizer take {decimal(needed)}, and {decimal(free)} are free"
    emit("choice", name="fsdp", value=True, why=why)
    return True
