"""A pass is timed once a start and size, whoever asks for it."""

from collections import Counter

import pytest
from small_runs import few_digits

import headstart as hs
from headstart.tuning import cost


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
