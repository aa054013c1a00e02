"""The exception tree, and the one sentence pattern every message follows.

A message says what is wrong (value and place), what was expected, and what to do:

    Column 'label' is missing in reviews.csv (found: 'id', 'text', 'category'). Name the target
    column, for example --label category (label='category' of load).

    HeadstartError            exit code 1
    ├── OptionError           2    an option's value, or options that contradict each other
    ├── DataError             3    the data cannot be read, or not be learned from
    ├── StartError            4    a start is unknown, unreachable, or does not fit
    ├── RunFolderError        5    a run folder is missing, occupied, damaged, or cannot be written
    ├── DeviceError           6    a device is missing or out of memory
    ├── ExportError           7    an export failed or is not faithful
    ├── DivergenceError       8    the loss stopped being a number
    ├── ProcessLost           9    another process of the same training has left
    ├── PackageMissing        10   an optional package is not installed; it is an error of options,
    │                              data, starts and exports too, whichever needed it
    └── Interrupted           128 + the signal's number: the state is kept
                              (130 SIGINT, Ctrl-C; 143 SIGTERM; 138 SIGUSR1)
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class HeadstartError(Exception):
    """Report a failure a user can act on; the command line prints it without a traceback.

    Attributes:
        exit_code: What a command ends with.
        is_urgent: Whether a command ends at once then, since its time is over.
    """

    exit_code = 1
    is_urgent = False


class OptionError(HeadstartError):
    """Refuse an option's value, or options that contradict each other."""

    exit_code = 2


class DataError(HeadstartError):
    """Refuse data that cannot be read or cannot be learned from."""

    exit_code = 3


class UnlabelledError(DataError):
    """Refuse to learn labels from data in which nothing says them."""


class StartError(HeadstartError):
    """Refuse a start that is unknown, unreachable, or does not fit the data."""

    exit_code = 4


class RunFolderError(HeadstartError):
    """Refuse a run folder that is missing, occupied, damaged, or cannot be written."""

    exit_code = 5


class DeviceError(HeadstartError):
    """Report a device that is missing or out of memory."""

    exit_code = 6


class ExportError(HeadstartError):
    """Report an export that failed or does not reproduce the model."""

    exit_code = 7


class PackageMissing(OptionError, DataError, StartError, ExportError):
    """Report an optional package that is not installed, whatever needs it.

    One exit code for all of them; who handles options, data, starts or exports handles it too.
    """

    exit_code = 10


class DivergenceError(HeadstartError):
    """Report a loss that stopped being a finite number."""

    exit_code = 8


class ProcessLost(HeadstartError):
    """Report that another process has left, without which a training or a server cannot go on."""

    exit_code = 9


class Interrupted(HeadstartError):
    """Report a signal; the message says where the state is and how to go on.

    Args:
        message: What to tell.
        signal_number: SIGINT (Ctrl-C) when not given.

    Attributes:
        next_command: What goes on with it; empty where nothing was kept.
    """

    exit_code = 128 + signal.SIGINT
    next_command = ""

    def __init__(self, message: str, signal_number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known name, or an empty string.

    Args:
        value: The name that was not found.
        known: The names that exist.
    """
    close = get_close_matches(value, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def quoted(names: Sequence[str], limit: int = 8) -> str:
    """Return names in single quotes, comma separated, at most ``limit`` of them."""
    shown = ", ".join(f"'{name}'" for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
