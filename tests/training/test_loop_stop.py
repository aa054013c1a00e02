"""Asked to stop, the loop saves within a step, in the middle of a check too; errors surface."""

import os
import threading
import time

import pytest
import torch
from tiny_training import Training, short_recipe

from headstart.errors import RunFolderError
from headstart.events import listen
from headstart.training.loop import StopRequested
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.training.state.writer import CheckpointWriter


class Hasty(Training):
    """A training that is asked to stop in the middle of a given check."""

    def __init__(self, recipe, stop_in_check, **options):
        super().__init__(recipe, **options)
        self.stop_in_check = stop_in_check
        self.num_asked = 0

    def check(self):
        self.num_asked += 1
        if self.num_asked == self.stop_in_check:
            raise StopRequested
        return super().check()


def recipe():
    return short_recipe(ema_half_life=0.1, patience=0, num_steps=40, augment="light")


@pytest.mark.parametrize("stop_in_check", [1, 2, 4, 9])
def test_stopped_in_the_middle_of_a_check_it_checks_again_and_ends_in_the_same_bits(
    tmp_path, stop_in_check
):
    whole = Training(recipe(), dropout=0.2)
    finished = whole.run(check_first=True)
    checkpoints = CheckpointFolder(tmp_path)
    first = Hasty(recipe(), stop_in_check, dropout=0.2)
    result = first.run(checkpoints, check_first=True)
    assert result.ended == "interrupted"
    assert result.state.step == (stop_in_check - 1) * 5
    assert checkpoints.newest().step == result.state.step
    last = Training(recipe(), dropout=0.2, init_seed=8)
    resumed = last.run(checkpoints, check_first=True)
    assert resumed.ended == finished.ended
    assert resumed.state.step == finished.state.step
    assert last.digest() == whole.digest()


def test_stopped_twice_in_the_same_check_nothing_is_saved_twice(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    for _ in range(2):
        life = Hasty(recipe(), 1)
        assert life.run(checkpoints).ended == "interrupted"
    assert os.listdir(tmp_path) == ["step_00000005"]


def test_an_interrupted_training_holds_the_best_weights_seen_and_has_saved_the_last(tmp_path):
    training = Training(short_recipe())
    training.stop_at = 13
    seen = {}
    check = training.check

    def watched():
        found = check()
        seen[len(seen)] = {n: t.clone() for n, t in training.module.state_dict().items()}
        return found

    training.check = watched
    result = training.run(CheckpointFolder(tmp_path))
    assert result.ended == "interrupted"
    best = seen[result.state.best_step // 5 - 1]
    now = training.module.state_dict()
    assert all(torch.equal(best[n], now[n]) for n in best)
    saved = CheckpointFolder(tmp_path).newest()
    assert saved.step == 13
    assert not torch.equal(saved.tensors["model.head.weight"], now["head.weight"])


def test_a_stop_waits_until_the_state_is_on_the_disk(tmp_path, monkeypatch):
    fsync = os.fsync

    def slow(descriptor):
        time.sleep(0.05)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    training = Training(short_recipe())
    training.stop_at = 4
    saved = []
    with listen(lambda kind, fields: saved.append(fields) if kind == "checkpoint" else None):
        training.run(CheckpointFolder(tmp_path))
    assert os.listdir(tmp_path) == ["step_00000004"]
    assert saved == [{"step": 4}]


def test_a_save_that_fails_ends_the_training_at_the_next_step(tmp_path, monkeypatch):
    checkpoints = CheckpointFolder(tmp_path)
    first = Training(short_recipe())
    first.stop_at = 2
    first.run(checkpoints)

    def refuse(descriptor):
        raise OSError(28, os.strerror(28))

    writers = []

    class Watchful(Training):
        def compute_loss(self, batch):
            # after the first save the next step waits until it has failed
            for writer in writers:
                writer.settle()
            return super().compute_loss(batch)

    save = CheckpointWriter.save

    def told(writer, *args):
        writers.append(writer)
        save(writer, *args)

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(CheckpointWriter, "save", told)
    training = Watchful(short_recipe(), init_seed=1)
    with pytest.raises(RunFolderError, match=r"step 3 cannot be written.*No space left.*needed"):
        training.run(checkpoints, checkpoint_seconds=0.0)
    assert len(training.losses) <= 2
    assert os.listdir(tmp_path) == ["step_00000002"]
    assert checkpoints.newest().step == 2  # intact


def test_a_second_request_leaves_at_once_without_waiting_for_the_disk(tmp_path, monkeypatch):
    stuck, fsync = threading.Event(), os.fsync

    def slow(descriptor):
        assert stuck.wait(200)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    training = Training(short_recipe())
    asked = []

    def ask_again():
        asked.append(time.monotonic())
        if len(asked) == 5:
            raise KeyboardInterrupt
        return False

    training.stop_requested = ask_again
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        training.run(CheckpointFolder(tmp_path), checkpoint_seconds=0.0)
    assert time.monotonic() - began < 100  # a save ends when it is let go, and not before
    stuck.set()


def test_under_a_deadline_nothing_is_saved_that_comes_too_late(tmp_path, monkeypatch, still_clock):
    write, saved = CheckpointWriter._write, []

    def slow(writer, step, *args):
        write(writer, step, *args)
        writer.seconds = 0.3  # by a clock that stands still while files are written

    def told(writer, step, *args):
        saved.append(time.monotonic())
        save(writer, step, *args)
        writer.settle()  # the clock stands still: a slow disk must not keep the loop from saving

    save = CheckpointWriter.save
    monkeypatch.setattr(CheckpointWriter, "_write", slow)
    monkeypatch.setattr(CheckpointWriter, "save", told)
    training = Training(short_recipe(num_steps=10_000))
    training.sleep_seconds = 0.01
    began = time.monotonic()
    training.run(CheckpointFolder(tmp_path), deadline=began + 1.5, checkpoint_seconds=0.0)
    assert 1.4 < time.monotonic() - began <= 1.5 + 1e-6
    assert os.listdir(tmp_path)
    # twice what a save takes must be left, and was made use of
    assert began + 0.8 < saved[-1] <= began + 1.5 - 2 * 0.3 + 1e-6


def test_dropout_is_a_function_of_the_rank_too():
    def losses(rank):
        training = Training(short_recipe(num_steps=5), dropout=0.5)
        training.run(rank=rank)
        return training.losses

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)


def test_memory_for_the_first_save_is_made_ready_before_it_is_due(
    tmp_path, monkeypatch, still_clock
):
    calls = []
    for name in ("prepare", "save"):
        function = getattr(CheckpointWriter, name)

        def told(writer, *args, name=name, function=function):
            names = sorted(args[-1 if name == "prepare" else 1])
            calls.append((name, names))
            function(writer, *args)
            writer.settle()  # the clock stands still meanwhile

        monkeypatch.setattr(CheckpointWriter, name, told)
    training = Training(short_recipe(num_steps=60, optimizer="adamw", ema_half_life=0.1))
    training.sleep_seconds = 0.01
    training.run(CheckpointFolder(tmp_path), checkpoint_seconds=0.2)
    assert [name for name, _ in calls[:2]] == ["prepare", "save"]
    assert [name for name, _ in calls].count("prepare") == 1
    assert calls[0][1] == calls[1][1]  # the same tensors, so the same memory
