"""A network whose weights are split over the processes for as long as it learns.

Before and after the loop the network is whole: the main process probes, calibrates and evaluates it
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from headstart.errors import StartError
from headstart.tensors import evaluating
from headstart.training.company import Exchange
from headstart.training.options.recipe import Recipe
from headstart.training.processes.exchange import ShardExchange
from headstart.training.processes.instruction import Instruction
from headstart.training.processes.placement import SharedPlacement
from headstart.training.processes.shard_files import ShardFolder
from headstart.training.processes.sharding import ShardingPlan
from headstart.training.processes.shards import Shards
from headstart.training.processes.worker import ShardWorkerLoop
from headstart.training.state.checkpoint import CheckpointFolder

if TYPE_CHECKING:
    from headstart.training.contract import Hooks, LoopOptions
    from headstart.training.loop import Loop
    from headstart.training.processes.company import Several

_SAME = 1e-3  # largest difference of logits, by their size: sums in another order differ by less


class ShardPlacement(SharedPlacement):
    """A network in pieces; all processes make it at the same time.

    Args:
        company: The processes.
        whole: The same in every process; what learns requires gradients. It has no weights on the
            device from now on, until it has learned.
        recipe: Says how it is split.
        checkpoints: Where all keep their checkpoints; None keeps none.
        example: Inputs of some samples: they show that the pieces compute what the whole does.
        name: What to call the network in a sentence.

    Raises:
        StartError: If the network cannot be split.
    """

    def __init__(
        self,
        company: Several,
        whole: nn.Module,
        recipe: Recipe,
        checkpoints: CheckpointFolder | None,
        example: Sequence[Tensor],
        name: str,
    ) -> None:
        with evaluating(whole):
            expected = whole(*example)
        self.whole = whole
        plan = ShardingPlan(bool(recipe.fsdp), recipe.tensor_parallel_size)
        self.shards = Shards(whole, company, plan)
        self._is_channels_last = recipe.channels_last
        self._prove(example, expected, name)
        folder = ShardFolder(checkpoints.path, self.shards) if checkpoints else None
        super().__init__(company, self.shards.module, folder)

    def _prove(self, example: Sequence[Tensor], expected: Tensor, name: str) -> None:
        """Refuse a network that computes something else in pieces."""
        self.shards.module.eval()
        found = self.shards.run(example)
        difference = float((found - expected).abs().max())
        if not difference <= _SAME * (1 + float(expected.abs().max())):
            raise StartError(
                f"'{name}' gives other logits when its weights are split (by up to "
                f"{difference:.2g}); expected the same. Leave --fsdp and --tensor-parallel-size "
                f"out, or choose another start."
            )

    def localize(self, groups: Sequence[dict[str, object]]) -> None:
        """Put pieces in place of split parameters into the groups of an optimizer."""
        self.shards.localize(groups)

    def join(self, loop: Loop) -> Exchange:
        """Return what a loop over these pieces exchanges with the other processes."""
        return ShardExchange(loop, self.company, self.shards)

    def run(self, *inputs: Tensor) -> Tensor:
        """Return the logits of a batch of a validation; the workers hear of it and run it too."""
        self.company.agree(Instruction("forward"))
        self.company.send_tensors(inputs)
        return self.shards.run(inputs)

    def lend_whole(self) -> None:
        """Within a validation: give the main process's whole network what is validated."""
        self.company.agree(Instruction("gather"))
        self.shards.gather()

    def finish(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the main process's whole network what was learned; all processes take part."""
        optimizer.state.clear()  # room for the whole
        self.shards.gather()
        if self.company.is_main:
            layout = torch.channels_last if self._is_channels_last else torch.contiguous_format
            self.whole.to(self.company.device).to(memory_format=layout)

    def take_part(
        self, optimizer: torch.optim.Optimizer, hooks: Hooks, options: LoopOptions
    ) -> None:
        """Train in step with the main process, in a worker, with a part of the weights."""
        ShardWorkerLoop(self.module, optimizer, hooks, options, self.checkpoints, None).run()
