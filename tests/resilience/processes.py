"""Start the processes of ``pair.py``, wait for them, and read what they have written down.

Those that are started by hand are forked from one that has imported everything (``nursery.py``): an
import takes longer than what most of them do. Those of torchrun are processes of its own making.
"""

import atexit
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache as once
from pathlib import Path

from safetensors.torch import load_file

PAIR = str(Path(__file__).parent / "pair.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
NUM_STEPS = 36
OWN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def environment(cache, **own):
    quiet = {"HEADSTART_QUIET": "1", "OMP_NUM_THREADS": "1", "HEADSTART_CACHE": str(cache)}
    kept = {name: value for name, value in os.environ.items() if name not in OWN}
    return {**kept, **quiet, **own}


def free_port():
    """Return a port below those that the kernel hands out by itself.

    It is bound seconds later, by a process that has to import PyTorch first: one that the kernel
    hands out may be somebody's by then.
    """
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


@once
def nursery():
    """Return the process that forks the others; it ends when its input does."""
    command = [sys.executable, str(Path(__file__).parent / "nursery.py")]
    made = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    atexit.register(made.wait)
    atexit.register(made.stdin.close)
    return made


class Child:
    """A process of ``pair.py``, as ``subprocess.Popen`` would show it."""

    def __init__(self, arguments, environment):
        self.folder = tempfile.TemporaryDirectory()
        self.place = Path(self.folder.name)
        told = {"arguments": arguments, "environment": environment, "place": self.folder.name}
        nursery().stdin.write(json.dumps(told) + "\n")
        nursery().stdin.flush()
        self.pid = int(nursery().stdout.readline())
        self.returncode = None

    def poll(self):
        with contextlib.suppress(FileNotFoundError):
            self.returncode = int((self.place / "code").read_text())
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def end(self, until):
        """Return what was said to stderr, once it has ended."""
        while self.poll() is None:
            assert time.monotonic() < until, "it hangs"
            time.sleep(0.01)
        said = (self.place / "stderr").read_text()
        self.folder.cleanup()
        return said


def start(cache, out, num, program=PAIR, **fate):
    """Start so many processes by hand; their exit codes are their own."""
    meet = {"WORLD_SIZE": str(num), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    started = []
    for rank in range(num):
        own = {**meet, "RANK": str(rank), "LOCAL_RANK": str(rank)} if num > 1 else {}
        started.append(Child([program, str(out), json.dumps(fate)], environment(cache, **own)))
    return started


def end(started, seconds=250):
    """Return the exit codes and what was said to stderr; who hangs, hangs for longer."""
    until = time.monotonic() + seconds
    try:
        said = [each.end(until) for each in started]
    finally:
        for each in started:
            each.kill()
    return [each.returncode for each in started], said


def elastic(cache, out, *, restarts, **fate):
    """Let torchrun start two processes, and start them again when one dies."""
    command = [*TORCHRUN, "--standalone", "--max-restarts", str(restarts), PAIR, str(out)]
    return subprocess.run(
        [*command, json.dumps(fate)],
        env=environment(cache),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def told(out, name):
    return json.loads(out.with_name(f"{out.name}.{name}").read_text())


def assert_close(out, other):
    weights, expected = (load_file(str(p / "model.safetensors")) for p in (out, other))
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert abs(weights[name] - value).max() <= 1e-5 + 1e-5 * abs(value).max(), name
