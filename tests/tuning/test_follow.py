"""A process that follows builds the model that the leader has told it of."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headstart.data import load
from headstart.starts import find_start
from headstart.training.recipe import Wishes
from headstart.tuning.bench import set_up
from headstart.tuning.follow import Follower

CPU = torch.device("cpu")


def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    return load((x, (x[:, 0] > 0).astype(int)))


def texts():
    return load((["good film", "bad film", "fine plot", "dull plot"] * 15, ["p", "n"] * 30))


@pytest.mark.parametrize(
    ("data", "start", "strategy"),
    [
        (table, "scratch/linear", "head"),
        (table, "scratch/mlp", "full"),
        (texts, "scratch/tfidf", "head"),
    ],
)
def test_a_follower_builds_a_start_that_has_few_layers_or_none(data, start, strategy):
    dataset = data()
    bench = set_up(dataset, find_start(start), strategy, Wishes(), size=None, device=CPU, seed=0)
    follower = Follower(SimpleNamespace(device=CPU), dataset, lambda: (None, None), None)
    follower.build({"recipe": asdict(bench.recipe), "start": start, "size": bench.size})
    assert follower._bench.recipe == bench.recipe
    theirs = follower._bench.model.state_dict()
    assert {n: t.shape for n, t in theirs.items()} == {
        n: t.shape for n, t in bench.model.state_dict().items()
    }
