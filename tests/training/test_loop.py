"""THE loop: it learns, it repeats itself exactly, it survives interruption, it ends in time."""

import math
import os
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_training import Training, short_recipe

from headstart.errors import DivergenceError, RunFolderError
from headstart.events import listen
from headstart.training.loop import Check
from headstart.training.state.checkpoint import CheckpointFolder

# Losses of 20 steps on the CPU: a refactoring keeps them; a numeric change replaces them, and says
# so.
GOLDEN = [
    1.0494034,
    1.3064636,
    1.0753291,
    1.1559538,
    1.0286614,
    1.0425279,
    1.0268315,
    0.95392102,
    0.94828355,
    0.86134744,
    0.85311216,
    0.71968091,
    0.75764102,
    0.73540252,
    0.74245393,
    0.54027694,
    0.70161778,
    0.67255789,
    0.49626198,
    0.61295569,
]


def everything():
    """Return a recipe with all that has a state or draws random numbers."""
    return short_recipe(
        augment="light",
        label_smoothing=0.1,
        ema_half_life=0.1,
        batch_size=16,
        micro_batch_size=6,
        mixup=0.2,
        cutmix=0.5,
        patience=30,
        num_steps=40,
    )


def test_it_learns_a_small_separable_problem():
    training = Training(short_recipe(num_steps=150))
    result = training.run(steps_per_check=25)
    assert result.ended == "finished"
    assert result.state.step == 150
    assert training.check().score >= 0.95
    assert np.mean(training.losses[-10:]) < 0.3 * np.mean(training.losses[:10])


def test_the_first_twenty_losses_are_the_recorded_ones():
    training = Training(short_recipe(augment="digits", label_smoothing=0.1), dropout=0.2)
    training.run()
    assert training.losses == pytest.approx(GOLDEN, rel=1e-5)


def test_equal_seeds_give_equal_bits_and_two_seeds_differ():
    def digest(seed):
        training = Training(replace(everything(), seed=seed), dropout=0.3)
        training.run()
        return training.digest()

    assert digest(0) == digest(0)
    assert digest(0) != digest(1)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_interrupted_and_resumed_it_ends_in_the_same_bits(tmp_path, optimizer):
    recipe = replace(everything(), optimizer=optimizer)
    whole = Training(recipe, dropout=0.3)
    finished = whole.run()
    for number, stops in enumerate([(1,), (5,), (3, 1, 9), (39,), (40,), (11, 2, 2, 2)]):
        checkpoints = CheckpointFolder(tmp_path / str(number))
        for life, stop in enumerate(stops):
            # later attempts begin with other weights: all must come from the checkpoint
            part = Training(recipe, dropout=0.3, init_seed=life)
            part.stop_at = stop
            assert part.run(checkpoints).ended == "interrupted"
        last = Training(recipe, dropout=0.3, init_seed=77)
        result = last.run(checkpoints)
        assert result.ended == "finished"
        assert last.digest() == whole.digest(), stops
        first, second = finished.state, result.state
        assert replace(first, seconds=0) == replace(second, seconds=0)


def test_interrupted_while_patience_counts_it_stops_at_the_same_check(tmp_path):
    recipe = replace(everything(), patience=2, num_steps=200)
    whole = Training(recipe)
    finished = whole.run()
    assert finished.ended == "early"
    checkpoints = CheckpointFolder(tmp_path)
    part = Training(recipe)
    part.stop_at = finished.state.step - 3
    part.run(checkpoints)
    last = Training(recipe, init_seed=5)
    result = last.run(checkpoints)
    assert result.ended == "early"
    assert result.state.step == finished.state.step
    assert last.digest() == whole.digest()


def test_micro_batches_add_up_to_the_whole_batch():
    whole = Training(short_recipe(), norm=False)
    parts = Training(short_recipe(micro_batch_size=5), norm=False)  # 5 + 5 + 5 + 1
    whole.run()
    parts.run()
    assert len(parts.losses) == 4 * len(whole.losses)
    for name, value in whole.module.state_dict().items():
        assert torch.allclose(value, parts.module.state_dict()[name], atol=1e-5), name


class Scripted(Training):
    """A training whose checks find what a script says."""

    def __init__(self, recipe, scores, losses=None):
        super().__init__(recipe)
        self.script = list(zip(scores, losses or [1.0] * len(scores), strict=True))
        self.seen = []

    def check(self):
        score, loss = self.script[len(self.seen)]
        self.seen.append({n: t.clone() for n, t in self.module.state_dict().items()})
        return Check(score, loss, 0.04)


def test_patience_stops_early_and_keeps_the_best_weights():
    scores = [0.5, 0.7, 0.71, 0.705, 0.70, 0.6]  # gains of less than 0.02 do not count
    training = Scripted(short_recipe(patience=3, num_steps=500), scores)
    result = training.run()
    assert result.ended == "early"
    assert result.state.step == 25
    assert (result.state.best_step, result.state.best_score) == (15, 0.71)
    for name, value in training.module.state_dict().items():
        assert torch.equal(value, training.seen[2][name]), name


def test_patience_zero_never_stops():
    training = Scripted(short_recipe(num_steps=50), [0.5] * 10)
    assert training.run().ended == "finished"


def test_of_equal_scores_the_lower_loss_wins():
    training = Scripted(short_recipe(num_steps=15), [0.8, 0.8, 0.8], [0.5, 0.3, 0.4])
    assert training.run().state.best_step == 10


def test_check_first_lets_the_start_win():
    training = Scripted(short_recipe(num_steps=10), [0.9, 0.5, 0.5])
    before = {n: t.clone() for n, t in training.module.state_dict().items()}
    result = training.run(check_first=True)
    assert result.state.best_step == 0
    assert all(torch.equal(t, before[n]) for n, t in training.module.state_dict().items())


def run_with_deadline(seconds, sleep_seconds, **options):
    training = Training(short_recipe(num_steps=10_000))
    training.sleep_seconds = sleep_seconds
    began = time.monotonic()
    result = training.run(deadline=began + seconds, **options)
    return training, result, time.monotonic() - began


def test_under_a_deadline_it_ends_in_time_with_the_schedule_completed(still_clock):
    training, result, seconds = run_with_deadline(2.0, 0.02, steps_per_check=20)
    assert result.ended == "finished"
    assert 1.9 < seconds <= 2.0 + 1e-6
    assert result.state.progress > 0.95
    assert result.state.step <= 100
    assert training.checks
    assert training.optimizer.param_groups[0]["lr"] < 0.2 * 0.05  # it has cooled down


def test_steps_so_slow_that_few_fit_still_end_in_time(still_clock):
    training, result, seconds = run_with_deadline(1.0, 0.3)
    assert seconds <= 1.0 + 1e-6
    assert 1 <= result.state.step <= 3
    assert len(training.checks) == 1  # a usable model was looked at


def test_the_deadline_leaves_room_for_a_slow_first_check(still_clock):
    class SlowCheck(Training):
        def check(self):
            time.sleep(0.5)
            return super().check()

    training = SlowCheck(short_recipe(num_steps=10_000))
    training.sleep_seconds = 0.01
    began = time.monotonic()
    training.run(deadline=began + 1.5, steps_per_check=5_000, check_seconds=0.5)
    assert 1.3 < time.monotonic() - began <= 1.5 + 1e-6


@pytest.mark.parametrize("moved", [2.0, 1.2])
def test_a_deadline_that_a_validation_moves_is_the_one_that_holds(still_clock, moved):
    class SlowCheck(Training):
        def check(self):
            time.sleep(0.1)
            return super().check()

    training, told = SlowCheck(short_recipe(num_steps=10_000)), []
    training.sleep_seconds, began = 0.02, time.monotonic()
    training.move_deadline = lambda took: told.append(took) or began + moved
    training.run(deadline=began + 1.5, steps_per_check=10, check_seconds=0.1)
    assert moved - 0.15 < time.monotonic() - began <= moved + 1e-6
    assert told == pytest.approx([0.1] * len(training.checks))


# quick steps ask the clock at a check or at every eighth step
@pytest.mark.parametrize(("step_seconds", "num_steps"), [(0.06, 1), (0.01, 5)])
def test_a_deadline_that_has_passed_gives_one_step_and_one_check(
    still_clock, step_seconds, num_steps
):
    training, result, _ = run_with_deadline(-1.0, step_seconds)
    assert result.state.step == num_steps
    assert len(training.checks) == 1


class Poisoned(Training):
    """A training whose loss is NaN at some steps."""

    def __init__(self, recipe, steps):
        super().__init__(recipe)
        self.steps = steps

    def compute_loss(self, batch):
        step = len(self.losses)
        loss = super().compute_loss(batch)
        return loss * math.nan if step in self.steps else loss


def test_up_to_two_bad_losses_in_a_row_are_skipped_and_told():
    training = Poisoned(short_recipe(), {4, 5, 9, 12, 13})
    notes = []
    with listen(lambda kind, fields: notes.append(fields["text"]) if kind == "note" else None):
        result = training.run()
    assert result.ended == "finished"
    assert [note.split()[1] for note in notes] == ["4", "5", "9", "12", "13"]
    assert all(torch.isfinite(t).all() for t in training.module.state_dict().values())


def test_three_bad_losses_in_a_row_end_the_run_naming_step_and_samples(heard):
    training = Poisoned(short_recipe(), {6, 7, 8})
    with pytest.raises(DivergenceError) as caught:
        training.run()
    ids = training.feed.step_ids(8)
    assert "step 8" in str(caught.value)
    assert str(ids[:8].tolist()) in str(caught.value)
    assert "Lower --learning-rate, or look at the samples" in str(caught.value)
    mended = Poisoned(short_recipe(), set())  # without what was found in these samples
    assert mended.run().ended == "finished"
    heard(caught.value)


def test_weights_that_are_not_finite_are_never_the_best(heard):
    scores, losses = [0.6, 0.9, 0.5], [1.0, math.nan, 1.0]
    training = Scripted(short_recipe(num_steps=15), scores, losses)
    assert training.run().state.best_step == 5
    nothing = Scripted(short_recipe(num_steps=15), [0.6] * 3, [math.nan, math.inf, math.nan])
    with pytest.raises(DivergenceError, match="never a finite number in 15 steps") as refused:
        nothing.run()
    lower = Training(replace(short_recipe(num_steps=15), learning_rate=0.01))  # as advised
    assert lower.run().ended == "finished"
    heard(refused.value)


def test_a_checkpoint_of_another_model_is_refused_in_a_sentence(tmp_path, heard):
    checkpoints = CheckpointFolder(tmp_path)
    first = Training(short_recipe())
    first.stop_at = 3
    first.run(checkpoints)
    other = Training(short_recipe(), norm=False)
    other.module.head = torch.nn.Linear(6, 5)
    with pytest.raises(
        RunFolderError, match=r"step 3 does not fit this model.*--overwrite"
    ) as told:
        other.run(checkpoints)
    anew = Training(short_recipe(), norm=False)  # as --overwrite does: without the old checkpoint
    assert anew.run(CheckpointFolder(tmp_path / "anew")).ended == "finished"
    heard(told.value)


def test_progress_checks_and_checkpoints_are_told(tmp_path):
    kinds = []
    training = Training(short_recipe())
    with listen(lambda kind, fields: kinds.append((kind, fields))):
        training.run(CheckpointFolder(tmp_path), checkpoint_seconds=0.0)
    checks = [fields for kind, fields in kinds if kind == "check"]
    assert [fields["step"] for fields in checks] == [5, 10, 15, 20]
    assert [fields["val_score"] for fields in checks] == [c.score for c in training.checks]
    assert {fields["metric"] for fields in checks} == {"accuracy"}
    saved = [fields["step"] for kind, fields in kinds if kind == "checkpoint"]
    assert saved[0] == 1
    assert saved == sorted(set(saved))
    # what is told to be saved is on the disk when the training has ended
    kept = sorted(int(name.removeprefix("step_")) for name in os.listdir(tmp_path))
    assert kept == saved[-2:]
    task = [fields for kind, fields in kinds if kind == "task"][-1]
    assert (task["done"], task["total"]) == (20, 20)
    assert task["samples_per_second"] > 0


def test_a_shortened_run_averages_its_own_last_steps_only(still_clock):
    """The half-life is a share of the run as it became, not of the run that was planned."""

    class Watched(Training):
        def compute_loss(self, batch):
            self.live.append(self.module.head.weight.detach().clone())
            return super().compute_loss(batch)

        def check(self):
            self.averaged = self.module.head.weight.detach().clone()
            return super().check()

    training = Watched(short_recipe(num_steps=10_000, ema_half_life=0.05))
    training.live, training.sleep_seconds = [], 0.01
    training.run(deadline=time.monotonic() + 1.5, steps_per_check=10)
    middle, last = training.live[len(training.live) // 2], training.live[-1]
    to_middle = float((training.averaged - middle).norm())
    assert float((training.averaged - last).norm()) < 0.3 * to_middle
