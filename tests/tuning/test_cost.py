"""A pass is timed once a start and size, whoever asks for it."""

from collections import Counter

import pytest
import torch
from small_runs import few_digits

import headstart as hs
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning import cost, slowness
from headstart.tuning.setup import set_up


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def timed(monkeypatch):
    """Count how often each start has been timed at each size."""
    counts: Counter = Counter()
    measure = cost.measure_pass

    def counting(setup, dataset, **words):
        counts[setup.model.encoder.start.address, setup.size] += 1
        return measure(setup, dataset, **words)

    monkeypatch.setattr(cost, "measure_pass", counting)
    return counts


@pytest.fixture(scope="module")
def data():
    return few_digits()


def test_a_fine_tuning_times_its_pass_once(data, timed, tmp_path):
    options = {"start": "scratch/simple-cnn", "num_steps": 5, "device": "cpu"}
    hs.finetune(data, out=str(tmp_path / "own"), budget="30s", **options)
    assert timed == {("scratch/simple-cnn", 8): 1}
    timed.clear()
    hs.finetune(data, out=str(tmp_path / "said"), input_size=16, **options)
    assert timed == {("scratch/simple-cnn", 16): 1}


@pytest.mark.slow
def test_what_screening_has_timed_the_training_uses(data, timed, tmp_path, processor_clock):
    starts = ["scratch/simple-cnn", "pip/efficientnet-lite0"]
    run = hs.fit(data, budget="20s", out=str(tmp_path / "run"), starts=starts, device="cpu")
    assert run.metrics["test"]
    assert {n for (address, _), n in timed.items() if "scratch" in address} == {1}
    # audits at the end look for a size of the pretrained one; an arm that is refused is timed anew
    assert max(timed.values()) <= 5
    assert {address for address, _ in timed} == set(starts)


def test_a_pass_is_measured_without_the_time_in_which_it_waited_for_a_core(
    data, monkeypatch, still_clock
):
    worked = {"seconds": 0.0}
    for room in (cost, slowness):  # of four seconds one is work, in three others have the core
        now = lambda: (worked["seconds"], 3 * worked["seconds"])  # noqa: E731
        monkeypatch.setattr(room, "scheduled_seconds", now)
    options = TrainingOptions(strategy="full")
    start, device = find_start("scratch/simple-cnn"), torch.device("cpu")
    setup = set_up(data, start, options, device=device)
    features = setup.model.features

    def slow(*inputs):
        worked["seconds"] += 0.01 * len(inputs[0])
        still_clock.sleep(0.04 * len(inputs[0]))
        return features(*inputs)

    monkeypatch.setattr(setup.model, "features", slow)
    assert cost.measure_pass(setup, data) == pytest.approx(0.01)


def test_what_took_no_longer_than_its_work_is_told_as_it_is(monkeypatch):
    monkeypatch.setattr(slowness, "scheduled_seconds", lambda: (5.0, 2.0))
    assert slowness.undisturbed_seconds(3.0, (3.0, 2.0)) == 3.0  # it slept, and did not wait
    assert slowness.undisturbed_seconds(3.0, (3.0, 1.0)) == 2.0
    assert slowness.undisturbed_seconds(0.0, (3.0, 1.0)) == 0.0  # by a clock that stands still
