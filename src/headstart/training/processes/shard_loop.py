"""The loop where the weights are split: whatever needs a whole network, all processes do together.

The loop itself is the same. Its leader says before a look, before each batch of it and before a
save what comes, and the others do the same with their pieces: they too keep an average, the best
weights and checkpoints. What they compute of a look they throw away.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.training.contract import LoopResult, LoopState
from headstart.training.loop import Loop
from headstart.training.processes.company import Act, Order, Team
from headstart.training.processes.sharding import Shards
from headstart.training.processes.worker import FollowingLoop, Together, described
from headstart.training.state.average import set_tensors

if TYPE_CHECKING:
    from headstart.training.contract import Hooks, LoopOptions
    from headstart.training.state.checkpoint import CheckpointFolder


class TogetherInShards(Together):
    """What a loop does with the other processes, each of which has a part of the weights.

    Args:
        loop: One that leads or follows.
        team: The processes.
        shards: The network in pieces.
    """

    def __init__(self, loop: Loop, team: Team, shards: Shards) -> None:
        super().__init__(loop, team)
        self.shards = shards

    def lead(self, act: Act) -> Act:
        """Agree on what comes next; return it. The followers need to hear of everything."""
        if act in ("end", "step"):
            return self._agree(act)
        if self.team.leads:
            self.team.agree(Order(act))
        return act

    def expect_gradients(self, *, is_last: bool) -> None:
        """Nothing to prepare: the pieces' gradients travel by themselves after every pass."""

    def _close(self) -> None:
        """Nothing to end."""

    def _add_gradients(self, loss: Tensor) -> None:
        self.shards.add_up(loss)

    def align(self) -> None:
        """Make sure that all have the same network, and come to the same numbers of the loop.

        Weights and optimizer are what the leader's were before they were split, or what each
        process has read from the same checkpoint.

        Raises:
            SystemExit: In a follower, if the leader has ended instead.
        """
        loop, team = self.loop, self.team
        if team.leads:
            team.say("align", network=described(loop.module), loop=asdict(loop.state))
            return
        loop.state = LoopState(**self._hear_alignment()["loop"])


class FollowingInShards(FollowingLoop):
    """One training run, as a process sees it that follows and has a part of the weights."""

    def run(self) -> LoopResult:
        """Do what the leader orders, until it says that the loop has ended."""
        assert self.together is not None
        self._restore()
        self.together.align()
        self._set_mode()
        try:
            act = self.together.hear()
            while act != "end":
                act = self._obey(act)
            self._tell_written(is_waiting=True)
        except BaseException:
            if self.writer:
                self.writer.settle()
            raise
        if self.best is not None:
            set_tensors(self.learned, self.best)
        return LoopResult("followed", self.state)

    def _obey(self, act: Act) -> Act:
        """Do one thing; return what comes next."""
        assert self.together is not None
        if act == "step":
            self.enter_phase()
            self._step()
            self.state.step += 1
        elif act == "save":
            self._save()
        elif act == "look":
            return self._follow_look()
        else:
            raise HeadstartError(f"The leading process asks for '{act}' outside of a look.")
        return self.together.hear()

    def _follow_look(self) -> Act:
        """Run the batches that the leader looks at; return what comes after the look."""
        shards = self.hooks.shards
        assert shards is not None
        assert self.together is not None
        with self.average.applied() if self.average else nullcontext():
            self.module.eval()
            while True:
                act = self.together.hear()
                if act == "forward":
                    run_together(shards, shards.team.receive())
                elif act == "whole":
                    shards.bring_home()
                elif act == "keep":
                    self.keep_best()
                else:
                    break
        self._set_mode()
        return act


def run_together(shards: Shards, inputs: list[Tensor]) -> Tensor:
    """Return the logits of a batch that all processes have; all run it at the same time."""
    # tensors made in inference mode could not take part in the steps that follow
    with shards.in_step(), torch.inference_mode(False), torch.no_grad():
        logits: Tensor = shards.module(*inputs)
        return logits


def follow_in_shards(
    optimizer: torch.optim.Optimizer,
    hooks: Hooks,
    options: LoopOptions,
    checkpoints: CheckpointFolder | None,
) -> LoopResult:
    """Train in step with the leader, with a part of the weights; otherwise as ``follow``.

    Args:
        optimizer: Over this process's pieces.
        hooks: As for ``follow``, with the pieces.
        options: As the leader's.
        checkpoints: Where all processes keep their pieces; None keeps none.
    """
    assert hooks.shards is not None
    module = hooks.shards.module
    return FollowingInShards(module, optimizer, hooks, options, checkpoints, None).run()
