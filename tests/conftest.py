"""What every test needs: one thread, its own random numbers, and clocks to choose from.

One thread, set before torch is imported: the networks here are tiny, and OpenMP threads that wait
for one another on a busy machine make them ten times slower, not faster.
"""

import os
import random
import shutil
import sys
from pathlib import Path

import advice
import audited_once
import pytest
from clocks import ProcessorClock, StillClock, WorkClock, set_clock

os.environ["OMP_NUM_THREADS"] = "1"
# processes that tests start read what the one before has compiled, whatever an image says
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


WHOLE = pytest.StashKey[bool]()
WHOLE_WORKERS: list[bool] = []  # of each that has ended


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Put what counts the advice that was followed last, and leave out other tests for the count.

    Only a session with every test that follows advice can say which sentences none has followed.
    """
    if os.environ.get(advice.VARIABLE):
        left_out = [each for each in items if not _follows(each)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [each for each in items if _follows(each)]
    items.sort(key=lambda each: each.path.name == "test_advice_is_followed.py")
    ran = {each.path for each in items if _follows(each)}
    is_cut = config.option.keyword or any("::" in word for word in config.args)
    config.stash[WHOLE] = not is_cut and advice.followers() <= ran


def _follows(item):
    return "heard" in getattr(item, "fixturenames", ())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take what a worker of pytest-xdist has heard."""
    told = getattr(node, "workeroutput", {})
    advice.HEARD.extend(told.get("heard", ()))
    WHOLE_WORKERS.append(told.get("is_whole", False))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Count the advice that was followed: by several workers, or for ``tests/advice.py``."""
    config = session.config
    if hasattr(config, "workeroutput"):
        plain = (text.encode(errors="backslashreplace").decode() for text in advice.HEARD)
        config.workeroutput["heard"] = list(dict.fromkeys(plain))
        config.workeroutput["is_whole"] = config.stash.get(WHOLE, False)
    elif WHOLE_WORKERS and all(WHOLE_WORKERS) and (faults := advice.faults()):
        print("\n\nAdvice that is not followed:", *faults, sep="\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if path := os.environ.get(advice.VARIABLE):
        Path(path).write_text("\n".join(advice.HEARD), encoding="utf-8", errors="backslashreplace")


@pytest.fixture
def heard():
    """Return what is called with a message whose advice was followed to success."""
    return advice.heard


@pytest.fixture
def follow(heard, tmp_path):
    """Return what follows the advice of a case: refused or told, said, done, and then right."""
    import advised  # and NumPy with it: after the number of threads is set

    return lambda case, **place: advised.follow(case, tmp_path, heard, **place)


@pytest.fixture
def is_whole(request):
    """Return whether every test that follows advice is part of this session."""
    return request.config.stash[WHOLE]


@pytest.fixture(autouse=True, scope="session")
def _audited_once():
    audited_once.hand_on()


@pytest.fixture(autouse=True, scope="session")
def _no_wait_for_the_disk():
    """Let nobody wait until the disk has what was written: forty times a run, 10 ms and more each.

    That it is asked for is tested in processes of their own (``tests/resilience/test_disk.py``).
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


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
def work_clock(monkeypatch):
    """Return a clock that counts the steps of trainings, however fast the machine takes them."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    clock = set_clock(monkeypatch, WorkClock())
    monkeypatch.setattr("headstart.tuning.cost.measure_pass", clock.measure_pass)
    hook = register_optimizer_step_post_hook(clock.took_step)
    yield clock
    hook.remove()


@pytest.fixture
def processor_clock(monkeypatch):
    """Return a clock that counts the work of this process."""
    return set_clock(monkeypatch, ProcessorClock())


def made_once(factory, name, make):
    """Return a run and its bundle: made by one worker, a copy of its own for each.

    A bundle of three layers takes ten seconds of PyTorch's exporter, most of them its imports.

    Args:
        factory: pytest's, of folders.
        name: Of the folder.
        make: Makes the run ``run`` in a folder, and returns it.
    """
    from filelock import FileLock

    import headstart

    own, place = factory.getbasetemp(), "bundle"
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / f"made-{name}"
    with FileLock(f"{shared}.lock"):
        if not (shared / "done").exists():
            shutil.rmtree(shared, ignore_errors=True)
            shared.mkdir()
            run = make(shared)
            headstart.export(str(run.path), to="onnx", out=str(shared / place / name))
            (shared / "done").touch()
    copied = factory.mktemp(name)
    shutil.copytree(shared, copied, dirs_exist_ok=True)
    return headstart.open(str(copied / "run")), copied / place / name


@pytest.fixture(scope="session")
def mlp_bundle(tmp_path_factory):
    """Return a run of a table, from files, and its bundle."""
    from small_runs import table_run

    return made_once(tmp_path_factory, "rows", lambda folder: table_run(folder, "scratch/mlp"))


@pytest.fixture(scope="session")
def text_bundle(tmp_path_factory):
    """Return a run of texts, from a file, and its bundle."""
    from small_runs import text_run

    return made_once(tmp_path_factory, "texts", lambda folder: text_run(folder, "scratch/tfidf"))


@pytest.fixture(scope="session")
def image_bundle(tmp_path_factory):
    """Return a run of pictures, from a folder, and its bundle."""
    from small_runs import image_run

    return made_once(tmp_path_factory, "pictures-onnx", image_run)


@pytest.fixture(scope="session")
def watched(tmp_path_factory):
    """Return a run of 2,000 rows and its bundle, which has a drift reference."""
    from monitored import watched_run

    return made_once(tmp_path_factory, "watched", watched_run)
