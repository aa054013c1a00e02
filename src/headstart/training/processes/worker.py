"""The loop of a process that follows, and how all processes come to the same state first.

A follower takes the steps that the leader orders, on its own share of the samples. It keeps no
average and no best weights, looks at no split, reads no clock and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.events import emit
from headstart.training.contract import LoopResult, LoopState
from headstart.training.loop import Loop
from headstart.training.processes.company import Act, Order, Team
from headstart.training.processes.gradients import GradientSum
from headstart.training.state.checkpoint import optimizer_tensors, restore_optimizer

if TYPE_CHECKING:
    from headstart.training.contract import Hooks, LoopOptions


class Together:
    """What a loop does with the other processes.

    Args:
        loop: One that leads or follows.
        team: The processes.
    """

    def __init__(self, loop: Loop, team: Team) -> None:
        self.loop, self.team = loop, team

    @cached_property
    def _gradients(self) -> GradientSum:
        return GradientSum(self.team, self.loop.module, self.loop.optimizer)

    def expect_gradients(self, *, is_last: bool) -> None:
        """Before a backward pass: let gradients travel while the last of a step still runs."""
        self._gradients.expect(is_last=is_last)

    def lead(self, act: Act) -> Act:
        """Agree on what comes next, and on the smallest micro-batch; return what it is.

        Where every process has the whole network the followers need to hear of steps alone.

        Args:
            act: What the leader wants; what a follower says does not count.
        """
        return self._agree(act) if act in ("end", "step") else act

    def hear(self) -> Act:
        """Return what the leader wants next."""
        return self._agree("end")

    def _agree(self, act: Act) -> Act:
        state = self.loop.state
        size = state.micro_batch_size
        order = self.team.agree(Order(act, state.num_steps, state.progress, size))
        if order.act == "end":
            self._close()
        if order.act not in ("end", "step"):
            return order.act
        state.num_steps, state.progress = order.num_steps, order.progress
        state.micro_batch_size = order.micro_batch_size
        if self.team.leads and state.micro_batch_size != size:
            why = f"out of memory in another process before step {state.step}"
            emit("choice", name="micro_batch_size", value=state.micro_batch_size, why=why)
        return order.act

    def add_up(self, loss: Tensor, ids: list[np.ndarray]) -> list[np.ndarray]:
        """Add up gradients and loss over all processes; buffers become the leader's.

        Args:
            loss: Of this process's share, shape (); afterwards of the whole step.
            ids: Of the samples of this process's share.

        Returns:
            The ids of all samples of the step.
        """
        loop = self.loop
        self._add_gradients(loss)
        self.team.copy_from_leader(loop.statistics.buffers)
        return [loop.hooks.step_ids(loop.state.step)] if loop.hooks.step_ids else ids

    def _close(self) -> None:
        self._gradients.close()

    def _add_gradients(self, loss: Tensor) -> None:
        self._gradients.finish(loss)

    def align(self) -> None:
        """Make weights, buffers, optimizer state and the loop's numbers the leader's everywhere.

        Raises:
            SystemExit: In a follower, if the leader has ended instead.
        """
        loop, team = self.loop, self.team
        if team.leads:
            told = optimizer_tensors(loop.optimizer)
            team.say(
                "align",
                network=described(loop.module),
                loop=asdict(loop.state),
                scaler=loop.scaler.state_dict(),
                optimizer=[[n, *_kind(t), list(t.shape)] for n, t in told.items()],
            )
            copy_module(loop.module, team)
            team.copy_from_leader(list(told.values()))
            return
        word = self._hear_alignment()
        copy_module(loop.module, team)
        found = {
            name: torch.empty(shape, dtype=getattr(torch, dtype), device=_device(team, device))
            for name, dtype, device, shape in word["optimizer"]
        }
        team.copy_from_leader(list(found.values()))
        restore_optimizer(loop.optimizer, found)
        if loop.scaler.is_enabled():
            loop.scaler.load_state_dict(word["scaler"])
        loop.state = LoopState(**word["loop"])
        loop.guard.skipped = loop.state.skipped_in_a_row

    def _hear_alignment(self) -> dict[str, Any]:
        """Return what the leader says of its state, once the networks are known to be the same.

        Raises:
            SystemExit: If the leader has ended instead, which it has told.
            HeadstartError: If this process has built another network.
        """
        word: dict[str, Any] = self.team.hear() or {}
        if word["kind"] == "ended":  # its training was refused, by what was settled for it alone
            raise SystemExit(word["code"])
        self.demand_same(word["network"])
        return word

    def demand_same(self, network: str) -> None:
        """Refuse to follow with another network.

        Args:
            network: The leader's, as ``described`` says it.

        Raises:
            HeadstartError: If this process has built another.
        """
        if network != described(self.loop.module):
            raise HeadstartError(
                "This process has built another network than the leading one; expected the same "
                "start, data and versions everywhere. Start all processes with the same command."
            )


def join_in(loop: Loop, team: Team) -> Together:
    """Return what a loop does with the other processes, by how its weights lie on them."""
    if loop.hooks.shards is None:
        return Together(loop, team)
    from headstart.training.processes.shard_loop import TogetherInShards

    return TogetherInShards(loop, team, loop.hooks.shards)


class FollowingLoop(Loop):
    """One training run, as a process sees it that does not lead; ``follow`` is the door."""

    def run(self) -> LoopResult:
        """Take the steps that the leader orders, until it says that the loop has ended."""
        assert self.together is not None
        self.together.align()
        self._set_mode()
        while self.together.hear() == "step":
            self.enter_phase()
            self._step()
            self.state.step += 1
        return LoopResult("followed", self.state)


def follow(
    module: nn.Module, optimizer: torch.optim.Optimizer, hooks: Hooks, options: LoopOptions
) -> LoopResult:
    """Train in step with the leader; what is learned is the same everywhere.

    Args:
        module: As the leader's.
        optimizer: As the leader's.
        hooks: This process's share of the batches, the loss, the schedule, and the team.
        options: As the leader's, with this process's rank; without an average.

    Raises:
        ProcessLost: If another process has left.
        DivergenceError: If the loss is not finite at three steps in a row.
    """
    return FollowingLoop(module, optimizer, hooks, options, None, None).run()


def copy_module(module: nn.Module, team: Team) -> None:
    """Set all parameters and buffers of a module to the leader's, when all have come so far."""
    team.meet()
    team.copy_from_leader([t for _, t in _tensors(module)])


def _tensors(module: nn.Module) -> Iterable[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def described(module: nn.Module) -> str:
    """Return a digest of the names, types and shapes of all tensors."""
    said = [(n, str(t.dtype), tuple(t.shape)) for n, t in _tensors(module)]
    return blake2b(repr(said).encode(), digest_size=16).hexdigest()


def _kind(tensor: Tensor) -> tuple[str, str]:
    return str(tensor.dtype).removeprefix("torch."), tensor.device.type


def _device(team: Team, kind: str) -> torch.device:
    return team.device if kind == team.device.type else torch.device(kind)
