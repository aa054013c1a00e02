"""A learner goes through the one loop: parts of a step add up, and a stop changes no bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_learner import make_learner, weights

from headstart.errors import DivergenceError, OptionError
from headstart.events import listen
from headstart.pretraining import room
from headstart.pretraining.course import Laid, Length, follow, settle_length
from headstart.pretraining.objective import GAIN
from headstart.pretraining.room import settle_micro_batch
from headstart.training.batches.feed import Feed, Mixed
from headstart.training.batches.order import Share
from headstart.training.company import ALONE
from headstart.training.options.pretraining_defaults import pretraining_recipe
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decisions


def run(learner, **more):
    return follow(learner, Conditions(**more))


def gradients(learner, step=3):
    learner.module.zero_grad()
    total = 0.0
    for batch in learner.feed(Share()).batches(step):
        loss = learner.compute_loss(batch) * batch.part
        loss.backward()
        total += float(loss.detach())
    return total, torch.cat([p.grad.flatten() for p in learner.module.parameters()])


def test_a_step_in_parts_is_the_step_as_a_whole():
    whole, parts = make_learner(), make_learner(micro_batch_size=16)
    loss, gradient = gradients(whole)
    loss_in_parts, gradient_in_parts = gradients(parts)
    assert loss_in_parts == pytest.approx(loss, abs=1e-6)
    assert torch.allclose(gradient_in_parts, gradient, atol=1e-6)


def test_shares_of_two_processes_add_up_to_the_step():
    learner = make_learner()
    whole = list(learner.feed(Share()).batches(5))
    halves = [b for rank in (0, 1) for b in learner.feed(Share(rank, 2)).batches(5)]
    assert np.concatenate([b.ids for b in halves]).tolist() == whole[0].ids.tolist()
    assert torch.equal(torch.cat([b.inputs[1] for b in halves]), whole[0].inputs[1])
    with torch.no_grad():
        loss = sum(float(learner.compute_loss(b)) * b.part for b in halves)
        assert loss == pytest.approx(float(learner.compute_loss(whole[0])), abs=1e-6)


class CountedFeed(Feed):
    """Samples of which each counts as often as its place says."""

    def weights(self, step, places):
        return places.astype(float)

    def _made(self, piece):
        return Mixed(())


def test_a_feed_may_weigh_samples_and_parts_are_by_the_whole_step():
    learner = make_learner(micro_batch_size=16)
    nothing = np.zeros(len(learner.train), np.int64)
    make = lambda share: CountedFeed(  # noqa: E731
        learner.train, nothing, learner.recipe, torch.device("cpu"), share
    )
    feed = make(Share())
    places = feed.order.indices(2)
    parts = [batch.part for batch in feed.batches(2)]
    by_hand = [places[i : i + 16].sum() / places.sum() for i in (0, 16, 32)]
    assert parts == pytest.approx(by_hand)
    both = [b.part for rank in (0, 1) for b in make(Share(rank, 2)).batches(2)]
    assert sum(both) == pytest.approx(1)


def test_a_run_that_was_stopped_and_resumed_has_the_bits_of_one_that_was_not(tmp_path):
    through = make_learner()
    result = run(through)
    assert result.ended == "finished"
    asked = iter(range(10_000))
    decisions = Decisions()
    folder = CheckpointFolder(tmp_path)
    stopped = make_learner()
    first = run(
        stopped,
        checkpoints=folder,
        stop_requested=lambda: next(asked) > 7,
        decisions=decisions,
    )
    assert first.ended == "interrupted"
    assert 0 < first.state.step < 12
    resumed = make_learner()
    second = run(resumed, checkpoints=folder, decisions=decisions)
    assert second.ended == "finished"
    assert torch.equal(weights(resumed), weights(through))


def test_steps_without_a_finite_loss_are_left_out_and_three_in_a_row_end_it():
    learner = make_learner()
    compute, calls = learner.compute_loss, iter(range(1_000))

    def poisoned(batch, odd):
        loss = compute(batch)
        return loss * float("nan") if next(calls) in odd else loss

    learner.compute_loss = lambda batch: poisoned(batch, {4, 7})
    result = run(learner)
    assert result.ended == "finished"
    assert torch.isfinite(weights(learner)).all()
    learner, calls = make_learner(), iter(range(1_000))
    compute = learner.compute_loss
    learner.compute_loss = lambda batch: poisoned(batch, {4, 5, 6})
    with pytest.raises(DivergenceError):
        run(learner)


def test_it_learns_beyond_the_mean_patch_and_checks_every_tenth():
    learner = make_learner(
        num_steps=100, batch_size=64, learning_rate=3e-3, target="pixels", mask_fraction=0.5
    )
    before = learner.validate(lambda: False)
    told = []
    with listen(lambda kind, fields: told.append(fields) if kind == "check" else None):
        run(learner)
    after = learner.validate(lambda: False)
    assert before.metric == after.metric == GAIN
    assert before.score < 0 < 0.05 < after.score
    assert [check["step"] for check in told] == list(range(0, 101, 10))
    assert all(0 < check["probe_accuracy"] <= 1 for check in told)


def test_under_a_deadline_the_length_is_what_fits(still_clock):
    learner = make_learner(num_steps=None, num_epochs=1_000)
    length = settle_length(learner, Conditions(), None, is_batch_said=False)
    assert length == Length(1_000 * (len(learner.train) // 48), 48)
    # on a clock that stands a sample takes next to nothing; with no time left a step is taken
    now = still_clock.now
    assert settle_length(learner, Conditions(), now, is_batch_said=True) == Length(1, 48)
    assert settle_length(learner, Conditions(), now, is_batch_said=False) == Length(1, 24)
    most = settle_length(learner, Conditions(), now + 3_600, is_batch_said=False)
    assert most.num_steps == length.num_steps
    assert Length(5, 1).steps_per_check == 1


def test_where_few_steps_fit_they_are_smaller_ones(processor_clock):
    learner = make_learner(num_steps=None, num_epochs=1_000, batch_size=1_000)
    until = processor_clock() + 2
    length = settle_length(learner, Conditions(), until, is_batch_said=False)
    assert length.batch_size < 1_000
    assert length.num_steps > 2


def test_processes_that_find_no_sample_in_a_step_are_refused(heard):
    class Pair:
        rank, size, num_local, is_main = 0, 2, 2, True
        device = torch.device("cpu")

    learner = make_learner(batch_size=1)
    with pytest.raises(OptionError, match=r"batch_size is 1 and 2 processes share it") as refused:
        Laid(learner, Pair(), Length(1, 1), None)
    Laid(make_learner(batch_size=1), ALONE, Length(1, 1), None)
    heard(refused.value)


def test_the_recipe_is_the_row_of_the_objective():
    recipe = pretraining_recipe(PretrainingOptions(objective="mae"), 10_000)
    assert (recipe.beta1, recipe.beta2, recipe.weight_decay) == (0.9, 0.95, 0.05)
    assert recipe.batch_size == 256
    few = pretraining_recipe(PretrainingOptions(objective="mae"), 20)
    assert few.batch_size == 20
    assert few.learning_rate == recipe.learning_rate == 1e-3
    said = pretraining_recipe(PretrainingOptions(objective="mae", learning_rate=0.5), 20)
    assert said.learning_rate == 0.5


def test_a_step_that_would_take_too_much_is_taken_in_parts(monkeypatch):
    learner = make_learner()
    assert settle_micro_batch(learner, Conditions()) is None  # 48 digits fit anywhere
    before = weights(learner)
    monkeypatch.setattr(room, "ENOUGH_BYTES", 10**6)
    size = settle_micro_batch(learner, Conditions())
    assert 1 <= size < 48
    assert settle_micro_batch(learner, Conditions(is_micro_batch_said=True)) is None
    assert torch.equal(weights(learner), before)
    assert all(parameter.grad is None for parameter in learner.module.parameters())
    monkeypatch.setattr(room, "ENOUGH_BYTES", 10**12)
    monkeypatch.setattr(room.memory, "free_memory_bytes", lambda: 10**6)
    assert settle_micro_batch(learner, Conditions()) == 1
