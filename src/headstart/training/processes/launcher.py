"""Several processes of one command on this machine, by PyTorch's elastic launcher.

What ``torchrun --standalone --nproc-per-node N`` does, in this process: a rendezvous of its own,
the variables of the environment, signals handed on, and all ended when one dies. What differs:
threads are divided among the processes where nobody said how many (torchrun gives each one), the
launcher's own log is silent, since the main process tells what went wrong, and its exit code is
handed on.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from headstart.cores import usable_cores
from headstart.errors import ProcessLost
from headstart.events import BEGAN, emit

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# how often the launcher looks: a process that misses another ends by itself meanwhile, with a word
_LOOK_SECONDS = 0.5
_SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
_THREADS = "OMP_NUM_THREADS"


def run_together(num: int, words: Sequence[str], *, spent_seconds: float = 0.0) -> int:
    """Run a command of headstart in several processes; return when all have ended.

    Args:
        num: How many.
        words: What follows ``headstart``.
        spent_seconds: What the command has taken until now: its budget counts from its beginning.

    Returns:
        The main process's exit code, or 128 and the number of the signal that ended the command.

    Raises:
        ProcessLost: If the main process has died.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=_LOOK_SECONDS,
        signals_to_handle=_SIGNALS,
    )
    threads = os.environ.get(_THREADS) or str(max(1, usable_cores() // num))
    began = repr(time.monotonic() - spent_seconds)  # the clock of the machine, not of a process
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    # -P: what lies in the present folder is no module of ours
    command = ["-P", "-u", "-m", "headstart", *words]
    with _environment({_THREADS: threads, BEGAN: began}):
        try:
            elastic_launch(config, sys.executable)(*command)
        except SignalException as error:
            return 128 + int(error.sigval)
        except ChildFailedError as error:
            return _code(error.failures, num)
    return 0


def _code(failures: Mapping[int, ProcessFailure], num: int) -> int:
    """Return the main process's exit code, which has told why; where a worker has died, say which.

    Raises:
        ProcessLost: If the main process itself has died.
    """
    main = failures.get(0)
    if main is not None and main.exitcode > 0:
        return main.exitcode
    # where a worker was killed the main process has missed it and said so, whatever ended it then
    killed = [rank for rank, failure in failures.items() if rank > 0 and failure.exitcode < 0]
    rank = killed[0] if killed else min(failures)
    code = failures[rank].exitcode
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    text = (
        f"Process {rank} of {num} has died ({how}), and the others were ended; expected all of "
        f"them to the end. Where it had saved, repeat the command with --resume; signal 9 is most "
        f"often too little memory, for which fewer processes help."
    )
    if rank == 0:
        raise ProcessLost(text)
    emit("note", text=text, severity="warning")
    return ProcessLost.exit_code


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started inside the block."""
    former = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
