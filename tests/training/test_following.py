"""What a process that follows does with the leader's words, as far as one process can tell."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.training.contract import Check, Hooks, LoopOptions
from headstart.training.processes.shard_loop import TogetherInShards
from headstart.training.processes.worker import FollowingLoop, follow

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


def parts(word):
    """Return what a follower's loop is handed when the leader's next word is this one."""
    module = nn.Linear(3, 2)
    hooks = Hooks(
        batches=lambda step, size=None: iter(()),
        compute_loss=lambda batch: torch.zeros(()),
        check=lambda: Check(0.0, 0.0, 0.0),
        learning_rate_factor=lambda progress: 1.0,
        set_mode=lambda: None,
        stop_requested=lambda: False,
        team=SimpleNamespace(leads=False, rank=1, num=2, hear=lambda: word),
    )
    return module, torch.optim.SGD(module.parameters(), lr=0.1), hooks, OPTIONS


ENDED = {"kind": "ended", "code": 6}


def test_a_leader_that_ends_before_the_first_step_is_followed_out_with_its_code():
    with pytest.raises(SystemExit) as left:
        follow(*parts(ENDED))
    assert left.value.code == 6


def test_so_it_is_where_the_weights_are_split():
    loop = FollowingLoop(*parts(ENDED), None, None)
    with pytest.raises(SystemExit) as left:
        TogetherInShards(loop, loop.hooks.team, SimpleNamespace()).align()
    assert left.value.code == 6


def test_another_network_is_still_refused():
    with pytest.raises(HeadstartError, match="another network than the leading one"):
        follow(*parts({"kind": "align", "network": "unlike"}))
