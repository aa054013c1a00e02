"""Clocks for tests of deadlines and budgets: what they find is no matter of the machine's load.

A test that looks at the clock on the wall fails where another program takes the processor at the
wrong moment. A still clock moves only where the test sleeps; a processor clock counts the work of
this process, however long that takes on the wall. Promises about the wall itself are tested on it
under the marker ``slow``.
"""

import time


class StillClock:
    """A clock that stands still, but for sleeping, which takes no time.

    Attributes:
        now: What it shows, in seconds.
    """

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class WorkClock(StillClock):
    """A clock that moves on where an optimizer takes a step: the same on every machine.

    So many steps fit a time as the clock says, and a fit of half a minute is over as soon as they
    are taken.

    Attributes:
        step_seconds: What a step takes.
        pass_seconds: What is measured for a sample of a pass without gradients.
    """

    def __init__(self, step_seconds=0.1, pass_seconds=1e-4):
        super().__init__()
        self.step_seconds, self.pass_seconds = step_seconds, pass_seconds

    def took_step(self, *_):
        self.sleep(self.step_seconds)

    def measure_pass(self, *_, **__):
        return self.pass_seconds


class ProcessorClock:
    """A clock that counts the seconds that this process has worked, and those it would have slept.

    Args:
        slowness: Seconds on the clock for each second of work: a machine so many times slower.
    """

    def __init__(self, slowness=1.0):
        self.slowness, self.slept = slowness, 0.0

    def __call__(self):
        return self.slowness * time.process_time() + self.slept

    def sleep(self, seconds):
        self.slept += seconds


def set_clock(patch, clock):
    """Let headstart and the test read this clock, and sleep by it; threads wait as ever."""
    patch.setattr(time, "monotonic", clock)
    patch.setattr(time, "sleep", clock.sleep)
    return clock
