"""Work that never looks at the clock is cut off when its time has come; no alarm is left."""

import importlib
import signal
import threading
import time

import pytest

from headstart.errors import StartError
from headstart.tuning.cut_off import cut_off

LONG = 20.0  # seconds that nobody waits for


def work(seconds=LONG):
    """Work without a pause, and see nobody's clock but one's own."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(100))


def late(name="late"):
    return lambda: StartError(name)


def test_work_that_asks_nobody_ends_with_its_time_and_no_alarm_is_left():
    before = signal.getsignal(signal.SIGALRM)
    began = time.perf_counter()
    with pytest.raises(StartError, match="late"), cut_off(time.monotonic() + 0.1, late()):
        work()
    assert time.perf_counter() - began < LONG / 2
    assert signal.getsignal(signal.SIGALRM) is before


def test_what_ends_in_time_is_not_cut_and_neither_is_what_has_no_limit():
    with cut_off(time.monotonic() + 0.1, late()):
        pass
    with cut_off(None, late()):
        work(0.02)
    work(0.15)  # past the time of the first block


def test_an_inner_block_ends_with_the_outer_one_and_the_outer_one_goes_on_after_it():
    began = time.monotonic()

    def in_turn():
        with pytest.raises(StartError, match="first"), cut_off(began + 0.1, late("first")):
            work()
        with pytest.raises(StartError, match="second"), cut_off(began + LONG, late("second")):
            work()
        work()

    with pytest.raises(StartError, match="outer"), cut_off(began + 0.3, late("outer")):
        in_turn()
    assert time.monotonic() - began < LONG / 2


def test_what_was_called_off_or_is_not_needed_cuts_nothing():
    with cut_off(time.monotonic() + 0.05, late()) as cut:
        cut.call_off()
        work(0.1)
    asked = []
    with cut_off(time.monotonic() + LONG, late()) as cut:
        cut.unless = lambda: not asked.append("asked")
        cut.bring_forward(time.monotonic() + 0.05)
        work(0.8)
    assert asked == ["asked"]


@pytest.mark.parametrize(("cuts_imports", "is_whole"), [(False, True), (True, False)])
def test_an_import_is_only_cut_where_the_process_ends_then(
    tmp_path, monkeypatch, cuts_imports, is_whole
):
    name = f"slow_to_read_{cuts_imports}"
    lines = ["import time", "end = time.perf_counter() + 0.3"]
    lines += ["while time.perf_counter() < end: pass", "is_read = True"]
    (tmp_path / f"{name}.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    read = []

    def import_and_work():
        read.append(importlib.import_module(name).is_read)
        work()

    at = time.monotonic() + 0.1
    with pytest.raises(StartError), cut_off(at, late(), cuts_imports=cuts_imports):
        import_and_work()
    assert bool(read) == is_whole


def test_other_threads_are_not_cut():
    done = []

    def run():
        with cut_off(time.monotonic() + 0.01, late()):
            work(0.05)
        done.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [True]
