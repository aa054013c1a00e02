"""A worker builds the model that the main process has told it of."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headstart.data import load
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decided, Decisions
from headstart.tuning.messages import send_setup
from headstart.tuning.setup import set_up
from headstart.tuning.texts import TextCache
from headstart.tuning.worker import Worker

CPU = torch.device("cpu")


def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    return load((x, (x[:, 0] > 0).astype(int)))


def texts():
    return load((["good film", "bad film", "fine plot", "dull plot"] * 15, ["p", "n"] * 30))


def told(setup):
    """Return what the main process says of a setup."""
    received = []
    company = SimpleNamespace(size=2, send=lambda kind, **message: received.append(message))
    send_setup(company, setup)
    return received[0]


def test_a_worker_learns_from_the_texts_that_the_main_process_learned_from():
    dataset, start = texts(), find_start("scratch/tfidf")
    sent = []
    company = SimpleNamespace(send=lambda kind, **message: sent.append(message))
    decisions = Decisions(company=company)
    decisions.settle(f"vocabulary of {start.address}", lambda: Decided(20))
    cache = TextCache(dataset, Budget(None), seed=0, decisions=decisions)
    options = TrainingOptions(strategy="head")
    setup = set_up(dataset, start, options, device=CPU, texts=cache)
    whole = set_up(dataset, start, options, device=CPU)
    worker = Worker(SimpleNamespace(device=CPU), dataset, lambda: (None, None), None)
    for message in sent:
        worker.decisions.receive(message)
    worker.build(told(setup))
    theirs, own, all_texts = (
        b.model.encoder.preprocess.files() for b in (worker._setup, setup, whole)
    )
    assert theirs == own != all_texts


@pytest.mark.parametrize(
    ("data", "start", "strategy"),
    [
        (table, "scratch/linear", "head"),
        (table, "scratch/mlp", "full"),
        (texts, "scratch/tfidf", "head"),
    ],
)
def test_a_worker_builds_a_start_that_has_few_layers_or_none(data, start, strategy):
    dataset = data()
    options = TrainingOptions(strategy=strategy)
    setup = set_up(dataset, find_start(start), options, device=CPU)
    worker = Worker(SimpleNamespace(device=CPU), dataset, lambda: (None, None), None)
    worker.build(told(setup))
    assert worker._setup.recipe == setup.recipe
    theirs = worker._setup.model.state_dict()
    assert {n: t.shape for n, t in theirs.items()} == {
        n: t.shape for n, t in setup.model.state_dict().items()
    }
