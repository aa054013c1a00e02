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
from headstart.tuning.texts import TextStock
from headstart.tuning.worker import Worker

CPU = torch.device("cpu")


def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    return load((x, (x[:, 0] > 0).astype(int)))


def texts():
    return load((["good film", "bad film", "fine plot", "dull plot"] * 15, ["p", "n"] * 30))


def told(bench):
    """Return what the main process says of a bench."""
    received = []
    company = SimpleNamespace(size=2, send=lambda kind, **message: received.append(message))
    send_setup(company, bench)
    return received[0]


def test_a_worker_learns_from_the_texts_that_the_main_process_learned_from():
    dataset, start = texts(), find_start("scratch/tfidf")
    sent = []
    company = SimpleNamespace(send=lambda kind, **message: sent.append(message))
    decisions = Decisions(company=company)
    decisions.settle(f"vocabulary of {start.address}", lambda: Decided(20))
    stock = TextStock(dataset, Budget(None), seed=0, decisions=decisions)
    options = TrainingOptions(strategy="head")
    bench = set_up(dataset, start, options, device=CPU, texts=stock)
    whole = set_up(dataset, start, options, device=CPU)
    worker = Worker(SimpleNamespace(device=CPU), dataset, lambda: (None, None), None)
    for message in sent:
        worker.decisions.receive(message)
    worker.build(told(bench))
    theirs, own, all_texts = (
        b.model.encoder.preprocess.files() for b in (worker._bench, bench, whole)
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
    bench = set_up(dataset, find_start(start), options, device=CPU)
    worker = Worker(SimpleNamespace(device=CPU), dataset, lambda: (None, None), None)
    worker.build(told(bench))
    assert worker._bench.recipe == bench.recipe
    theirs = worker._bench.model.state_dict()
    assert {n: t.shape for n, t in theirs.items()} == {
        n: t.shape for n, t in bench.model.state_dict().items()
    }
