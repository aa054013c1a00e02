"""A bench whose model is split over the processes for as long as it learns.

Whether it is split is settled here too. Before and after the loop the model is whole: the leader
probes, calibrates and evaluates it alone. Nothing of this file is imported by a process that trains
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headstart.errors import OptionError, StartError
from headstart.events import emit
from headstart.model import Model
from headstart.tensors import evaluating, to_tensors
from headstart.training.loop import Hooks, LoopOptions, LoopResult, train
from headstart.training.processes.company import Order, Team
from headstart.training.processes.shard_files import ShardFolder
from headstart.training.processes.shard_loop import follow_in_shards, run_together
from headstart.training.processes.sharding import Plan, Shards
from headstart.tuning.hooks import let_learn, optimizer_of
from headstart.tuning.memory import learning_bytes
from headstart.tuning.setup import Bench
from headstart.types import Inputs

_SAME = 1e-3  # largest difference of logits, by their size: sums in another order differ by less
_DEVICE_SHARE = 0.7  # of a GPU's free memory; the rest is for activations


class SplitBench:
    """A bench in pieces; all processes make it at the same time.

    Args:
        whole: The same in every process; what learns requires gradients. Its model has no weights
            on the device from now on, until it has learned.
        team: The processes.
        state: Where all keep their checkpoints; None keeps none.
        train: Some of it shows that the parts compute what the whole does.

    Attributes:
        bench: The copy that is split.
        optimizer: Over the pieces that lie in this process.
        checkpoints: Their folder.

    Raises:
        StartError: If the network cannot be split.
    """

    def __init__(self, whole: Bench, team: Team, state: Path | None, train: Inputs) -> None:
        recipe = whole.recipe
        plan = Plan(bool(recipe.fsdp), recipe.tensor_parallel_size)
        example = to_tensors(train.arrays(np.arange(min(2, len(train)))), team.device)
        with evaluating(whole.model):
            expected = whole.model(*example)
        self._whole, self._team = whole, team
        self.shards = Shards(whole.model, team, plan)
        self._prove(example, expected)
        model = self.shards.module
        assert isinstance(model, Model)
        self.bench = replace(whole, model=model)
        self.optimizer = optimizer_of(self.bench, self.shards)
        self.checkpoints = ShardFolder(state, self.shards) if state else None

    def _prove(self, example: Sequence[Tensor], expected: Tensor) -> None:
        """Refuse a network that computes something else in pieces."""
        self.shards.module.eval()
        found = run_together(self.shards, list(example))
        difference = float((found - expected).abs().max())
        if not difference <= _SAME * (1 + float(expected.abs().max())):
            raise StartError(
                f"'{self._whole.model.encoder.start.address}' gives other logits when its weights "
                f"are split (by up to {difference:.2g}); expected the same. Leave --fsdp and "
                f"--tensor-parallel-size out, or choose another start."
            )

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the logits of a batch of a look; the followers hear of it and run it too."""
        self._team.agree(Order("forward"))
        self._team.send(inputs)
        return run_together(self.shards, list(inputs))

    def lend_whole(self) -> None:
        """Within a look, give the leader's whole model the weights that are looked at."""
        self._team.agree(Order("whole"))
        self.shards.bring_home()

    def train(self, hooks: Hooks, options: LoopOptions, deadline: float | None) -> LoopResult:
        """Lead the training; afterwards the whole model holds the best weights seen.

        Args:
            hooks: Over the pieces.
            options: Numbers of the loop.
            deadline: ``time.monotonic()`` value by which the loop has ended; None for no limit.
        """
        result = train(
            self.bench.model,
            self.optimizer,
            hooks,
            options,
            checkpoints=self.checkpoints,
            deadline=deadline,
        )
        self._finish()
        return result

    def follow(self, hooks: Hooks, options: LoopOptions) -> None:
        """Train in step with the leader, and give it what lies here at the end."""
        follow_in_shards(self.optimizer, hooks, options, self.checkpoints)
        self._finish()

    def _finish(self) -> None:
        """Give the leader's whole model what was learned; all processes take part."""
        self.optimizer.state.clear()  # room for the whole
        self.shards.bring_home()
        if self._team.leads:
            is_last = self._whole.recipe.channels_last
            layout = torch.channels_last if is_last else torch.contiguous_format
            self._whole.model.to(self._team.device).to(memory_format=layout)


def settle_split(bench: Bench, team: Team) -> None:
    """Settle whether the weights are split, where nobody has said so.

    Args:
        bench: Its recipe is changed; what learns in the end requires gradients afterwards.
        team: The processes.

    Raises:
        OptionError: If what was settled elsewhere cannot be done with split weights.
    """
    let_learn(bench)
    recipe = bench.recipe
    is_fully = recipe.fsdp
    if is_fully is None:
        is_fully = recipe.tensor_parallel_size == 1 and _is_too_large(bench, team)
    bench.recipe = recipe = replace(recipe, fsdp=is_fully)
    if not recipe.is_split:
        return
    if recipe.precision == "fp16":
        raise OptionError(
            "The weights are to be split over the processes, and precision is 'fp16', whose scaled "
            "loss each process would scale by itself; expected bf16 or fp32. Give --precision bf16."
        )
    if recipe.strategy in ("last-n", "gradual"):
        emit("note", text="It trains uncached: its weights are split over the processes.")


def _is_too_large(bench: Bench, team: Team) -> bool:
    """Return whether what learning takes does not fit one GPU, by estimate, and tell it if so."""
    recipe = bench.recipe
    if team.device.type != "cuda" or recipe.compile or recipe.l1_penalty:
        return False
    if recipe.precision == "fp16":
        return False
    needed = learning_bytes(bench.model, recipe)
    free, _ = torch.cuda.mem_get_info(team.device)
    if needed <= _DEVICE_SHARE * free:
        return False
    why = f"gradients and optimizer take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
    emit("choice", name="fsdp", value=True, why=why)
    return True
