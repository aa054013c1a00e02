"""Ctrl-C: the first asks, the second leaves."""

import signal
import threading

import pytest

from headstart.events import listen
from headstart.tuning.stop import graceful_stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_leaves_at_once(number):
    told = []
    former = signal.getsignal(number)
    with listen(lambda kind, fields: told.append(fields["text"])), graceful_stop() as stop:
        assert not stop()
        signal.raise_signal(number)
        assert stop()
        assert "once more to leave at once" in told[0]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) == former


def test_outside_the_main_thread_signals_stay_as_they_are():
    found = []

    def work():
        with graceful_stop() as stop:
            found.append((stop(), signal.getsignal(signal.SIGINT)))

    former = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, former)]
