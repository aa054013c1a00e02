"""A training that pauses goes on, in the same process or another, as if it had never paused."""

import time

import numpy as np
import pytest
import torch
from tiny_training import Training, short_recipe

from headstart.training.contract import Pause
from headstart.training.loop import StopRequested
from headstart.training.state.checkpoint import CheckpointFolder


def recipe(**changes):
    return short_recipe(**({"ema_half_life": 0.1, "num_steps": 40, "augment": "light"} | changes))


@pytest.mark.parametrize("stops", [[1], [7], [10, 10, 10], [3, 2, 5, 1]])
@pytest.mark.parametrize("is_same_process", [True, False])
def test_pieces_end_in_the_bits_of_the_whole(tmp_path, stops, is_same_process):
    whole = Training(recipe(), dropout=0.2)
    finished = whole.run(check_first=True)
    checkpoints = CheckpointFolder(tmp_path)
    training, taken = Training(recipe(), dropout=0.2), 0
    for num_steps in stops:
        result = training.run(checkpoints, check_first=True, pause=Pause(num_steps))
        taken += num_steps
        assert (result.ended, result.state.step) == ("paused", taken)
        assert checkpoints.newest_step() == taken
        if not is_same_process:
            training = Training(recipe(), dropout=0.2, init_seed=8)
    last = training.run(checkpoints, check_first=True)
    assert (last.ended, last.state.step) == (finished.ended, 40)
    assert (last.state.best_score, last.state.best_step) == (
        finished.state.best_score,
        finished.state.best_step,
    )
    assert training.digest() == whole.digest()


def test_a_pause_says_what_the_weights_of_that_step_are_worth(tmp_path):
    training = Training(recipe(num_steps=40))
    averaged = []
    check = training.check

    def watched():
        averaged.append({n: t.clone() for n, t in training.module.state_dict().items()})
        return check()

    training.check = watched
    result = training.run(CheckpointFolder(tmp_path), pause=Pause(3))
    assert result.found == training.checks[-1]
    assert len(training.checks) == 1
    assert result.state.best_step == -1  # it counts for nothing
    now = training.module.state_dict()
    assert all(torch.equal(averaged[0][n], now[n]) for n in now)  # what was validated is at hand
    training.run(CheckpointFolder(tmp_path), pause=Pause(2))  # at a check no other one is needed
    assert len(training.checks) == 2


def test_a_pause_by_the_clock_comes_after_the_step_that_reaches_it(tmp_path, still_clock):
    training = Training(recipe())
    training.sleep_seconds = 1.0
    result = training.run(CheckpointFolder(tmp_path), pause=Pause(time=time.monotonic() + 3.5))
    assert (result.ended, result.state.step) == ("paused", 4)


def test_a_pause_at_the_end_is_the_end(tmp_path):
    assert Training(recipe()).run(CheckpointFolder(tmp_path), pause=Pause(40)).ended == "finished"
    assert Training(recipe()).run(pause=Pause(41)).ended == "finished"


def test_asked_to_stop_while_it_validates_at_a_pause_the_state_is_safe(tmp_path):
    class Hasty(Training):
        def check(self):
            raise StopRequested

    whole = Training(recipe())
    whole.run()
    checkpoints = CheckpointFolder(tmp_path)
    assert Hasty(recipe()).run(checkpoints, pause=Pause(3)).ended == "interrupted"
    assert checkpoints.newest_step() == 3
    last = Training(recipe(), init_seed=8)
    last.run(checkpoints)
    assert last.digest() == whole.digest()


def test_weights_that_are_worth_nothing_yet_do_not_end_a_pause(tmp_path):
    class Hopeless(Training):
        def check(self):
            found = super().check()
            return type(found)(float("nan"), float("nan"), 0.0)

    result = Hopeless(recipe()).run(CheckpointFolder(tmp_path), pause=Pause(3))
    assert result.ended == "paused"
    assert np.isnan(result.found.loss)
