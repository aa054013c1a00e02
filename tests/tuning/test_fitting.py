"""What a budget leaves room for: the input size, the samples, the looks at val."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.errors import StartError
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.fitting import (
    fitting_setup,
    refuse_too_slow,
    train_limit,
    validation_limit,
)
from headstart.tuning.setup import set_up

LITE = "pip/efficientnet-lite0"


@pytest.fixture(scope="module")
def data():
    return hs.load("digits-8x8")


def fitted(data, budget, address=LITE):
    return fitting_setup(
        data,
        find_start(address),
        TrainingOptions(strategy="lp-ft"),
        budget,
        device=torch.device("cpu"),
    )


def test_a_short_budget_lowers_the_input_size_and_says_so(data):
    setup, each, note = fitted(data, Budget(60))
    assert setup.size == 64
    assert each > 0
    assert note == ", at 64 pixels instead of 224"


def test_without_a_budget_a_start_keeps_its_own_size(data):
    setup, _, note = fitted(data, Budget(None))
    assert (setup.size, note) == (224, "")


def test_a_scratch_start_keeps_the_size_of_the_data(data):
    setup, _, _ = fitted(data, Budget(60), "scratch/simple-cnn")
    assert setup.size == 8


def test_a_start_whose_test_pass_does_not_fit_is_refused_with_the_figures(data):
    start = find_start(LITE)
    refuse_too_slow(data, start, 0.001, Budget(60))
    with pytest.raises(StartError, match=r"needs 718 s for two passes .* 60 s of the budget"):
        refuse_too_slow(data, start, 1.0, Budget(60))
    refuse_too_slow(data, start, 1.0, Budget(None))


def test_a_look_at_val_takes_a_small_share_of_what_is_left(still_clock):
    assert validation_limit(0.01, Budget(100)) == 400
    assert validation_limit(1.0, Budget(100)) == 100
    assert validation_limit(1.0, Budget(None)) is None


class _SlowSamples:
    """Samples of one image each of which takes long to read."""

    def __init__(self, num: int, seconds: float) -> None:
        self.num, self.seconds = num, seconds

    def __len__(self) -> int:
        return self.num

    def read(self, index: int) -> np.ndarray:
        time.sleep(self.seconds)
        return np.zeros((8, 8), np.uint8)

    def name(self, index: int) -> str:
        return str(index)


def test_no_more_is_decoded_than_the_budget_lets_the_network_see(data, still_clock):
    device = torch.device("cpu")
    start = find_start("scratch/simple-cnn")
    setup = set_up(data, start, TrainingOptions(strategy="full"), device=device)
    slow = replace(data, train=replace(data.train, samples=_SlowSamples(10_000, 0.01)))
    # 100 s of decoding are too much for 300 s: the network sees 1,000 images, or a quarter decodes
    assert train_limit(slow, setup, 0.1, Budget(300)) == pytest.approx(1000, abs=1)
    assert train_limit(slow, setup, 0.001, Budget(300)) == pytest.approx(7_498, abs=1)
    assert train_limit(slow, setup, 0.1, Budget(None)) is None
    assert train_limit(data, setup, 0.1, Budget(300)) is None  # decoding them costs next to nothing
