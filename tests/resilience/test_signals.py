"""Real signals to real processes: saved within a step, the documented exit code, equal bits."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TRAINING = str(Path(__file__).parents[1] / "training")

# Imports once and forks for every line it reads; each child ends as an interpreter ends. Where a
# child is to be hit, in the middle of a step or of a check, it waits to be hit: a test that has
# heard of the step may come late on a busy machine.
NURSERY = """
import json, os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch._dynamo
from tiny_training import Training, short_recipe
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.training.loop import StopRequested
from headstart.tuning.stop import graceful_stop

class Told(Training):
    def hold(self):
        while not self.stop_requested.requested:
            time.sleep(0.001)

    def compute_loss(self, batch):
        loss = super().compute_loss(batch)
        print("step", flush=True)
        if len(self.losses) == self.held_step:
            self.hold()
        return loss

    def check(self):
        for _ in range(4):
            print("check", flush=True)
            if self.holds_check:
                self.hold()
            if self.stop_requested():
                raise StopRequested
        return super().check()

def live(state, held_step=0, holds_check=False, is_slow_disk=False):
    training = Told(short_recipe(augment="light", ema_half_life=0.1, num_steps=24), dropout=0.3)
    training.held_step, training.holds_check = held_step, holds_check
    if is_slow_disk:
        os.fsync = lambda descriptor: time.sleep(600)
    try:
        with graceful_stop() as stop:
            training.stop_requested = stop
            result = training.run(CheckpointFolder(Path(state)), steps_per_check=8)
    except KeyboardInterrupt as error:
        print("left by", *error.args, flush=True)
        sys.exit(128 + error.args[0])
    print(result.ended, result.state.step, training.digest(), flush=True)
    sys.exit(stop.exit_code if result.ended == "interrupted" else 0)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        print("pid", os.getpid(), flush=True)
        live(**json.loads(line))
    _, status = os.waitpid(child, 0)
    print("exit", os.waitstatus_to_exitcode(status), flush=True)
"""


class Nursery:
    """Starts victims, sends them signals, and hears what they say."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY, TRAINING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, state, **settings):
        self.process.stdin.write(json.dumps({"state": str(state), **settings}) + "\n")
        self.process.stdin.flush()
        word, pid = self.process.stdout.readline().split()
        assert word == "pid"
        self.pid, self.lines = int(pid), []

    def hear(self, word, count=1):
        """Listen until a word has been said so many times."""
        while count:
            line = self.process.stdout.readline().strip()
            assert line, "the victim has fallen silent"
            self.lines.append(line)
            count -= line.split()[0] == word
        return self.lines

    def end(self):
        """Return the exit code, and what was said last before."""
        *_, last, code = self.hear("exit")
        return int(code.split()[1]), last

    def kill(self, number):
        os.kill(self.pid, number)


@pytest.fixture(scope="module")
def nursery():
    made = Nursery()
    with made.process:
        yield made
        made.process.stdin.close()


@pytest.fixture(scope="module")
def undisturbed(nursery, tmp_path_factory):
    nursery.start(tmp_path_factory.mktemp("undisturbed"))
    code, line = nursery.end()
    assert code == 0
    assert line.startswith("finished 24 ")
    return line


def assert_the_next_life_ends_in_equal_bits(nursery, state, undisturbed):
    nursery.start(state)
    assert nursery.end() == (0, undisturbed)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
def test_a_signal_in_a_step_saves_that_step_and_exits_with_its_code(
    nursery, tmp_path, undisturbed, number, code
):
    nursery.start(tmp_path, held_step=5)
    nursery.hear("step", 5)
    nursery.kill(number)
    found, line = nursery.end()
    assert (found, line.split()[:2]) == (code, ["interrupted", "5"])
    assert os.listdir(tmp_path) == ["step_00000005"]
    assert_the_next_life_ends_in_equal_bits(nursery, tmp_path, undisturbed)


def test_a_signal_in_a_check_is_honoured_within_one_batch(nursery, tmp_path, undisturbed):
    nursery.start(tmp_path, holds_check=True)
    nursery.hear("check")
    nursery.kill(signal.SIGTERM)
    code, line = nursery.end()
    assert (code, line.split()[:2]) == (143, ["interrupted", "8"])
    assert nursery.lines.count("check") == 1  # of four
    assert os.listdir(tmp_path) == ["step_00000008"]
    assert_the_next_life_ends_in_equal_bits(nursery, tmp_path, undisturbed)


def test_a_second_signal_leaves_at_once_though_the_disk_is_slow(nursery, tmp_path, undisturbed):
    nursery.start(tmp_path, held_step=3, is_slow_disk=True)
    nursery.hear("step", 3)
    nursery.kill(signal.SIGTERM)
    while not list(tmp_path.glob(".tmp-*")):  # until it has begun to save
        time.sleep(0.01)
    nursery.kill(signal.SIGINT)
    # a save would take ten minutes, longer than any test may
    assert nursery.end() == (130, "left by 2")
    assert not list(tmp_path.glob("step_*"))
    assert list(tmp_path.glob(".tmp-*"))
    assert_the_next_life_ends_in_equal_bits(nursery, tmp_path, undisturbed)
    assert not list(tmp_path.glob(".tmp-*"))  # what was half written is swept up
