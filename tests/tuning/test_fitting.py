"""What a budget leaves room for: the input size, the samples, the looks at val."""

import re
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.errors import StartError
from headstart.starts import find_start
from headstart.starts.encoder import Encoder
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning import fitting as fitting_module
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


def test_a_start_whose_test_pass_does_not_fit_is_refused_with_the_figures(data, heard):
    start = find_start(LITE)
    refuse_too_slow(data, start, 0.001, Budget(60))
    with pytest.raises(StartError, match=r"needs 359 s for one pass .* 60 s of the budget") as told:
        refuse_too_slow(data, start, 1.0, Budget(60))
    refuse_too_slow(data, start, 1.0, Budget(None))
    refuse_too_slow(data, start, 1.0, Budget(budget_in(told.value)))
    heard(told.value)


def budget_in(message):
    """Return the seconds that a message names as enough."""
    return int(re.search(r"Give --budget (\d+)s or more", str(message))[1])


def test_a_refusal_tells_parts_of_a_second_and_a_budget_that_is_spent(data, still_clock, heard):
    start = find_start(LITE)
    with pytest.raises(StartError, match=r"needs 0\.7 s for one pass .* 1\.0 s of the budget"):
        refuse_too_slow(data, start, 0.7 / len(data.test), Budget(10, 9))
    with pytest.raises(
        StartError, match=r"^The budget was spent before .* Give --budget \d+s or"
    ) as told:
        refuse_too_slow(data, start, 1e-6, Budget(10, 12))
    refuse_too_slow(data, start, 1e-6, Budget(budget_in(told.value), 12))
    heard(told.value)


def by_pixels(monkeypatch, seconds_at_64):
    """Let a pass cost so much a sample at 64 pixels, in proportion to the pixels at others."""

    def cost(setup, dataset, budget):
        return seconds_at_64 * (setup.size / 64) ** 2

    monkeypatch.setattr(fitting_module, "seconds_per_sample", cost)


@pytest.mark.parametrize("budget", [30, 40, 60])
def test_what_does_not_fit_at_64_pixels_is_tried_at_32(data, monkeypatch, still_clock, budget):
    by_pixels(monkeypatch, 0.4 * budget / len(data.test))  # 40 % of the budget; 30 % may be
    setup, _, note = fitted(data, Budget(budget))
    assert setup.size == 32
    assert note == ", at 32 pixels instead of 224"


def test_one_pass_over_test_is_enough(data, monkeypatch, still_clock):
    by_pixels(monkeypatch, 0.25 * 60 / len(data.test))  # two take half of the budget
    assert fitted(data, Budget(60))[0].size == 64


@pytest.mark.parametrize("budget", [15, 40, 60])
@pytest.mark.parametrize("address", [LITE, "pip/all-minilm-l6-v2", "scratch/bert-tiny"])
def test_the_smallest_budget_is_named_and_works(data, monkeypatch, still_clock, budget, address):
    start = find_start(address)
    each = 2.0 * budget / len(data.test)
    with pytest.raises(StartError, match=r"Give --budget \d+s or more") as caught:
        refuse_too_slow(data, start, each, Budget(budget))
    named = float(str(caught.value).split("--budget ")[1].split("s")[0])
    assert named < 10 * budget
    refuse_too_slow(data, start, each, Budget(named))
    refuse_too_slow(data, start, 1.2 * each, Budget(named))  # on a machine that is busier


def test_the_budget_that_a_refusal_names_is_enough_for_the_run(tmp_path, monkeypatch, still_clock):
    monkeypatch.chdir(tmp_path)
    each = 0.05  # seconds of a pass: what else a run does takes none on this clock
    features = Encoder.forward

    def slow(encoder, *inputs):
        passes = 3 if torch.is_grad_enabled() else 1
        still_clock.sleep(passes * each * len(inputs[0]))
        return features(encoder, *inputs)

    monkeypatch.setattr(Encoder, "forward", slow)
    words = {"start": "scratch/simple-cnn", "device": "cpu"}
    with pytest.raises(StartError, match=r"of the test split, .* Give --budget \d+s") as caught:
        hs.finetune("digits-8x8", budget="40s", **words)
    named = int(str(caught.value).split("--budget ")[1].split("s")[0])
    assert named < 80
    run = hs.finetune("digits-8x8", budget=f"{named}s", out="run", **words)
    assert run.metrics["test"]["num_items"] == 359
    assert run.metrics["seconds"]["total"] <= named


def test_the_size_that_fits_the_budget_that_is_named(data, monkeypatch, still_clock):
    by_pixels(monkeypatch, 10.0 * 40 / len(data.test))
    with pytest.raises(StartError, match=r"Give --budget \d+s or more") as caught:
        fitted(data, Budget(40))
    named = float(str(caught.value).split("--budget ")[1].split("s")[0])
    assert fitted(data, Budget(named))[0].size == 32


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
