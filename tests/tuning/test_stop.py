"""Signals: the first asks, the second leaves; where nothing is to be saved the first leaves."""

import signal
import threading

import pytest

from headstart.events import listen
from headstart.tuning.stop import SIGNALS, graceful_stop, leaving_at_once


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
def test_the_first_signal_asks_and_the_second_leaves_at_once(number, code):
    told = []
    former = signal.getsignal(number)
    with listen(lambda kind, fields: told.append(fields["text"])), graceful_stop() as stop:
        assert not stop()
        assert not stop.requested
        signal.raise_signal(number)
        assert not told  # a handler may run in the middle of a write: it says nothing itself
        assert stop()
        assert stop()
        assert stop.exit_code == code
        assert len(told) == 1
        assert "once more to leave at once" in told[0]
        with pytest.raises(KeyboardInterrupt) as caught:
            signal.raise_signal(number)
    assert caught.value.args == (number,)
    assert signal.getsignal(number) == former


def test_the_second_signal_may_be_another_one():
    with graceful_stop() as stop:
        signal.raise_signal(signal.SIGUSR1)
        with pytest.raises(KeyboardInterrupt) as caught:
            signal.raise_signal(signal.SIGTERM)
    assert caught.value.args == (signal.SIGTERM,)
    assert stop.exit_code == 138


def test_where_nothing_is_to_be_saved_the_first_signal_leaves():
    with leaving_at_once():
        for number in SIGNALS:
            with pytest.raises(KeyboardInterrupt) as caught:
                signal.raise_signal(number)
            assert caught.value.args == (number,)
        with graceful_stop() as stop:  # inside, there is something to save
            signal.raise_signal(signal.SIGTERM)
            assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("context", [graceful_stop, leaving_at_once])
def test_outside_the_main_thread_signals_stay_as_they_are(context):
    found = []

    def work():
        with context() as stop:
            found.append((stop and stop(), signal.getsignal(signal.SIGINT)))

    former = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found in ([(False, former)], [(None, former)])
