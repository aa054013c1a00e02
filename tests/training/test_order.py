"""Which samples a step sees is a function of the step number."""

import numpy as np

from headstart.training.batches.order import Order


def test_each_epoch_visits_each_sample_at_most_once_and_leaves_out_less_than_a_batch():
    order = Order(np.zeros(103, np.int64), batch_size=10, imbalance="none", seed=0)
    assert order.steps_per_epoch == 10
    left_out = []
    for epoch in range(3):
        steps = range(epoch * 10, epoch * 10 + 10)
        seen = np.concatenate([order.indices(step) for step in steps])
        assert all(order.epoch(step) == epoch for step in steps)
        assert len(np.unique(seen)) == len(seen) == 100
        left_out.append(tuple(np.setdiff1d(np.arange(103), seen)))
    assert len(set(left_out)) == 3


def test_steps_may_be_asked_for_in_any_order():
    targets = np.zeros(40, np.int64)
    forward = Order(targets, batch_size=8, imbalance="none", seed=3)
    asked = {step: forward.indices(step).copy() for step in range(15)}
    for step in (14, 0, 7, 3):
        fresh = Order(targets, batch_size=8, imbalance="none", seed=3)
        assert np.array_equal(fresh.indices(step), asked[step])


def test_fewer_samples_than_a_batch_make_one_smaller_batch_an_epoch():
    order = Order(np.array([0, 1, 0]), batch_size=64, imbalance="none", seed=0)
    assert order.batch_size == 3
    assert order.steps_per_epoch == 1
    assert sorted(order.indices(0)) == sorted(order.indices(5)) == [0, 1, 2]


def test_oversample_draws_every_class_equally_often():
    targets = np.repeat([0, 1, 2], [900, 90, 10])
    order = Order(targets, batch_size=100, imbalance="oversample", seed=0)
    drawn = np.concatenate([targets[order.indices(step)] for step in range(100)])
    shares = np.bincount(drawn) / len(drawn)
    assert np.allclose(shares, 1 / 3, atol=6 * (2 / 9 / len(drawn)) ** 0.5)


def test_samples_of_like_length_share_a_batch_and_none_is_lost():
    lengths = np.random.default_rng(0).integers(5, 200, size=1_003)
    targets = np.zeros(1_003, np.int64)
    plain = Order(targets, batch_size=10, imbalance="none", seed=0)
    order = Order(targets, batch_size=10, imbalance="none", seed=0, lengths=lengths)
    waste = []
    for either in (plain, order):
        batches = [either.indices(step) for step in range(100)]
        assert len(np.unique(np.concatenate(batches))) == 1_000
        padded = sum(10 * lengths[batch].max() for batch in batches)
        waste.append(padded / sum(lengths[batch].sum() for batch in batches) - 1)
    assert waste[1] < 0.1 < 0.5 < waste[0]


def test_batches_of_like_length_differ_between_epochs_and_come_in_random_order():
    lengths = np.random.default_rng(0).integers(5, 200, size=400)
    order = Order(np.zeros(400, np.int64), batch_size=10, imbalance="none", seed=0, lengths=lengths)
    longest = [int(lengths[order.indices(step)].max()) for step in range(40)]
    assert longest != sorted(longest)
    first = {frozenset(order.indices(step).tolist()) for step in range(40)}
    second = {frozenset(order.indices(step).tolist()) for step in range(40, 80)}
    assert first != second
    again = Order(np.zeros(400, np.int64), batch_size=10, imbalance="none", seed=0, lengths=lengths)
    assert np.array_equal(again.indices(57), order.indices(57))


def test_steps_of_two_epochs_in_turn_draw_each_epoch_once():
    class Counted(Order):
        drawn = 0

        def _draw(self, epoch):
            self.drawn += 1
            return super()._draw(epoch)

    order = Counted(np.arange(32) % 2, batch_size=8, imbalance="none", seed=0)
    seen = [order.indices(step) for step in (3, 4, 3, 5, 2, 4)]
    assert order.drawn == 2
    assert (seen[0] == seen[2]).all()
    assert (order.indices(0) != order.indices(8)).any()
    assert (order.indices(3) == seen[0]).all()
