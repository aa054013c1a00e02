"""The loop of a worker: a process that does what the main process's loop says, on its own share.

It validates nothing, reads no clock and writes nothing, and keeps no average and no best weights;
unless the weights are split. Then the main process says before a validation, before each batch of
it and before a save what comes, and the workers do the same with their pieces: they too keep an
average, the best weights and checkpoints. What they compute of a validation they throw away.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from headstart.errors import HeadstartError
from headstart.training.contract import LoopResult
from headstart.training.loop import Loop
from headstart.training.processes.exchange import ShardExchange, SharedExchange
from headstart.training.state.average import set_tensors

if TYPE_CHECKING:
    from headstart.training.company import Act


class WorkerLoop(Loop):
    """One training run, as a worker sees it; ``SharedPlacement.take_part`` is the door."""

    @property
    def shared(self) -> SharedExchange:
        """What is exchanged with the main process."""
        assert isinstance(self.exchange, SharedExchange)
        return self.exchange

    def run(self) -> LoopResult:
        """Take the steps that the main process wants, until it says that the loop has ended."""
        self.shared.align()
        self._set_mode()
        while self.shared.receive_act() == "step":
            self.enter_phase()
            self._step()
            self.state.step += 1
        return LoopResult("told", self.state)


class ShardWorkerLoop(WorkerLoop):
    """One training run, as a worker sees it that has a part of the weights."""

    def run(self) -> LoopResult:
        """Do what the main process wants, until it says that the loop has ended."""
        self._restore()
        self.shared.align()
        self._set_mode()
        try:
            act = self.shared.receive_act()
            while act != "end":
                act = self._obey(act)
            self._tell_written(is_waiting=True)
        except BaseException:
            if self.writer:
                self.writer.settle()
            raise
        if self.best is not None:
            set_tensors(self.learned, self.best)
        return LoopResult("told", self.state)

    def _obey(self, act: Act) -> Act:
        """Do one thing; return what comes next."""
        if act == "step":
            self.enter_phase()
            self._step()
            self.state.step += 1
        elif act == "save":
            self._save()
        elif act == "validate":
            return self._take_part_in_validation()
        else:
            raise HeadstartError(f"The main process asks for '{act}' outside of a validation.")
        return self.shared.receive_act()

    def _take_part_in_validation(self) -> Act:
        """Run the batches that the main process validates by; return what comes afterwards."""
        assert isinstance(self.exchange, ShardExchange)
        shards = self.exchange.shards
        with self.average.applied() if self.average else nullcontext():
            self.module.eval()
            while True:
                act = self.shared.receive_act()
                if act == "forward":
                    shards.run(shards.company.receive_tensors())
                elif act == "gather":
                    shards.gather()
                elif act == "keep":
                    self.keep_best()
                else:
                    break
        self._set_mode()
        return act
