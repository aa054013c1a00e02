"""What every test needs: one thread, its own random numbers, and clocks to choose from.

One thread, set before torch is imported: the networks here are tiny, and OpenMP threads that wait
for one another on a busy machine make them ten times slower, not faster.
"""

import os
import random
import sys

import audited_once
import pytest
from clocks import ProcessorClock, StillClock, set_clock

os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True, scope="session")
def _audited_once():
    audited_once.hand_on()


@pytest.fixture(autouse=True)
def _same_random_numbers(request):
    """Begin each test with the same random numbers, whichever tests ran before it."""
    if hasattr(request.module, "RNG"):  # what a file's tests draw from
        request.module.RNG = sys.modules["numpy"].random.default_rng(0)
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def still_clock(monkeypatch):
    """Return a clock that only sleeping moves on."""
    return set_clock(monkeypatch, StillClock())


@pytest.fixture
def processor_clock(monkeypatch):
    """Return a clock that counts the work of this process."""
    return set_clock(monkeypatch, ProcessorClock())


@pytest.fixture(scope="session")
def mlp_bundle(tmp_path_factory):
    """Return a run of a table, from files, and its bundle."""
    from small_runs import table_run

    import headstart

    run = table_run(tmp_path_factory.mktemp("mlp"), "scratch/mlp")
    return run, headstart.export(str(run.path), to="onnx", out=f"{run.path.parent}/rows")


@pytest.fixture(scope="session")
def text_bundle(tmp_path_factory):
    """Return a run of texts, from a file, and its bundle."""
    from small_runs import text_run

    import headstart

    run = text_run(tmp_path_factory.mktemp("texts"), "scratch/tfidf")
    return run, headstart.export(str(run.path), to="onnx", out=f"{run.path.parent}/texts")


@pytest.fixture(scope="session")
def image_bundle(tmp_path_factory):
    """Return a run of pictures, from a folder, and its bundle."""
    from small_runs import image_run

    import headstart

    run = image_run(tmp_path_factory.mktemp("pictures"))
    return run, headstart.export(str(run.path), to="onnx", out=f"{run.path.parent}/pictures-onnx")
