"""What a worker does with the main process's messages, as far as one process can tell."""

import pytest
import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.training.contract import Check, Hooks, LoopOptions
from headstart.training.processes.company import Several
from headstart.training.processes.exchange import ShardExchange
from headstart.training.processes.placement import SharedPlacement
from headstart.training.processes.worker import WorkerLoop

OPTIONS = LoopOptions(
    num_steps=4,
    steps_per_check=2,
    steps_per_epoch=2,
    batch_size=8,
    clip=0.0,
    ema_half_life=0.0,
    patience=0,
    seed=0,
    rank=1,
)


class Told(Several):
    """A worker's company whose main process has one message for it."""

    def __init__(self, message):
        self.rank, self.size = 1, 2
        self._message = message

    def receive(self, *, seconds=None):
        return self._message


def parts(message):
    """Return what a worker's loop is handed when the main process's next message is this one."""
    module = nn.Linear(3, 2)
    placed = SharedPlacement(Told(message), module, None)
    hooks = Hooks(
        batches=lambda step, size=None: iter(()),
        compute_loss=lambda batch: torch.zeros(()),
        check=lambda: Check(0.0, 0.0, 0.0),
        learning_rate_factor=lambda progress: 1.0,
        set_mode=lambda: None,
        stop_requested=lambda: False,
        join=placed.join,
    )
    return placed, torch.optim.SGD(module.parameters(), lr=0.1), hooks


def take_part(message):
    placed, optimizer, hooks = parts(message)
    placed.take_part(optimizer, hooks, OPTIONS)


ENDED = {"kind": "ended", "code": 6}


def test_a_worker_leaves_with_the_code_of_a_main_process_that_ends_before_the_first_step():
    with pytest.raises(SystemExit) as left:
        take_part(ENDED)
    assert left.value.code == 6


def test_so_it_is_where_the_weights_are_split():
    placed, optimizer, hooks = parts(ENDED)
    loop = WorkerLoop(placed.module, optimizer, hooks, OPTIONS, None, None)
    with pytest.raises(SystemExit) as left:
        ShardExchange(loop, placed.company, None).align()
    assert left.value.code == 6


def test_so_it_is_where_a_decision_is_awaited():
    with pytest.raises(SystemExit) as left:
        Told(ENDED).agree_on(lambda: pytest.fail("a worker decides nothing"))
    assert left.value.code == 6


def test_a_worker_takes_over_what_the_main_process_has_decided():
    decided = {"views": 3, "why": "few samples"}
    found = Told({"kind": "value", "value": decided}).agree_on(lambda: pytest.fail("decided here"))
    assert found == decided


def test_a_main_process_that_is_elsewhere_is_not_misunderstood():
    with pytest.raises(HeadstartError, match="says 'phase' and this one waits for 'value'"):
        Told({"kind": "phase", "views": 0}).agree_on(lambda: None)


def test_another_network_is_still_refused():
    with pytest.raises(HeadstartError, match="another network than the main one"):
        take_part({"kind": "align", "network": "unlike"})
