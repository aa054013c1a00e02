"""Killed with SIGKILL at any moment, resumed until done: the same bits as if nothing had happened.

With augmentation, mixing, dropout, BatchNorm, accumulation, averaged weights, patience, and both
optimizers; without workers that make batches ahead, with two, and with another number in each life.
What they must equal ran without. The number of threads is the user's, and belongs to the machine:
it is the same in all lives here.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from kinds import KINDS

LIVES = Path(__file__).parent / "lives.py"


def live(kind, folder, kills, in_save, threads=1, workers="0,2", seed=None):
    """Run ``lives.py``; where no seed is given it is another one each time, and is told."""
    if seed is None:
        seed = random.SystemRandom().randrange(10_000)
        print(f"seed {seed}")  # shown where the test fails
    command = [sys.executable, str(LIVES), kind, str(folder), "--kills", str(kills)]
    command += ["--in-save", str(in_save), "--seed", str(seed), "--threads", str(threads)]
    command += ["--workers", workers]
    threads_of = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    # on a busy machine threads that wait must sleep, not spin
    environment = {**os.environ, **threads_of, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    chains = json.loads(done.stdout.splitlines()[-1])
    killed = [chain["killed"] for chain in chains]
    assert sum(k["killed"] for k in killed) == kills
    assert sum(k["killed_in_save"] for k in killed) == in_save
    return chains


def assert_equal_bits(chains):
    for chain in chains:
        assert chain["killed"]["digest"] == chain["whole"]["digest"], chain
        assert chain["whole"]["began"] == 0
    # the last kill came after a checkpoint (others may come before the first one), and it was used
    assert chains[-1]["killed"]["began"] > 0


def test_eight_kills_two_of_them_inside_a_save_change_no_bit(tmp_path):
    chains = live("loop", tmp_path, kills=8, in_save=2, seed=1)
    assert_equal_bits(chains)
    # the same training went on with another number of workers
    assert any(len(set(chain["killed"]["workers"])) > 1 for chain in chains)
    assert all(chain["whole"]["workers"] == [0] for chain in chains)


def test_a_run_by_the_public_function_survives_kills_bit_for_bit(tmp_path):
    assert_equal_bits(live("run", tmp_path, kills=2, in_save=1, seed=2))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_any_kind_survives_kills_bit_for_bit(tmp_path, kind):
    assert_equal_bits(live(kind, tmp_path, kills=3, in_save=1, workers="0", seed=4))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_micro_batch_that_memory_forced_outlives_a_kill_whatever_is_free_later(tmp_path):
    chains = live("tight", tmp_path, kills=1, in_save=0, seed=3)
    assert_equal_bits(chains)
    for chain in chains:
        assert chain["killed"]["micro_batch_size"] == chain["whole"]["micro_batch_size"] == 8


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("workers", ["0", "2", "0,1,2,4"])
def test_a_hundred_kills_ten_of_them_inside_a_save_change_no_bit(tmp_path, workers):
    chains = live("loop", tmp_path, kills=100, in_save=10, workers=workers)
    assert_equal_bits(chains)
    assert sum(chain["killed"]["half"] for chain in chains) >= 5


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_with_two_threads_in_every_life_twenty_kills_change_no_bit(tmp_path):
    assert_equal_bits(live("loop", tmp_path, kills=20, in_save=5, threads=2))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_twenty_kills_of_a_run_by_the_public_function_change_no_bit(tmp_path):
    assert_equal_bits(live("run", tmp_path, kills=20, in_save=6))
