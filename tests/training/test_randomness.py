"""Every random number is a function of a seed and counters, never of what came before."""

import numpy as np
import torch

from headstart.training.randomness import (
    MIX,
    ORDER,
    generator,
    hash_counters,
    permutation,
    seed_step,
    uniform,
)


def test_uniform_does_not_depend_on_the_batch_a_sample_stands_in():
    ids = np.array([5, 2**62, 0, 17, -3], dtype=np.int64)
    together = uniform(7, 3, ids, 12)
    for place, one in enumerate(ids):
        alone = uniform(7, 3, np.array([one]), 12)
        assert np.array_equal(together[place], alone[0])
    assert np.array_equal(uniform(7, 3, ids[::-1], 12), together[::-1])


def test_uniform_depends_on_seed_epoch_and_id():
    ids = np.arange(50)
    draws = uniform(0, 0, ids, 4)
    assert not np.array_equal(draws, uniform(1, 0, ids, 4))
    assert not np.array_equal(draws, uniform(0, 1, ids, 4))
    assert len(np.unique(draws[:, 0])) == len(ids)


def test_uniform_is_uniform_and_independent_between_slots_ids_and_epochs():
    num = 20_000
    draws = uniform(3, 0, np.arange(num), 4)
    assert draws.min() >= 0
    assert draws.max() < 1
    # six standard errors of the mean and of the variance of a uniform number
    assert np.allclose(draws.mean(axis=0), 0.5, atol=6 * (1 / 12 / num) ** 0.5)
    assert np.allclose(draws.var(axis=0), 1 / 12, atol=6 * (1 / 180 / num) ** 0.5)
    limit = 6 / num**0.5
    assert np.abs(np.corrcoef(draws.T) - np.eye(4)).max() < limit
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < limit  # neighbouring ids
    later = uniform(3, 1, np.arange(num), 4)
    assert abs(np.corrcoef(draws[:, 0], later[:, 0])[0, 1]) < limit


def test_permutation_holds_each_sample_once_and_differs_by_epoch_and_seed():
    first = permutation(0, 0, 100)
    assert np.array_equal(np.sort(first), np.arange(100))
    assert np.array_equal(first, permutation(0, 0, 100))
    assert not np.array_equal(first, permutation(0, 1, 100))
    assert not np.array_equal(first, permutation(1, 0, 100))


def test_hash_counters_depends_on_every_counter_and_their_order():
    assert hash_counters(1, 2) != hash_counters(2, 1)
    assert hash_counters(1, 2) != hash_counters(1, 2, 0)
    assert hash_counters(0) != hash_counters(0, 0)
    assert hash_counters(-1) != hash_counters(1)
    many = {hash_counters(a, b) for a in range(100) for b in range(100)}
    assert len(many) == 10_000
    assert all(0 <= value < 2**63 for value in many)


def test_generators_of_two_purposes_share_no_numbers():
    assert generator(ORDER, 1, 1).random() != generator(MIX, 1, 1).random()
    assert generator(ORDER, 1, 1).random() == generator(ORDER, 1, 1).random()


def test_seed_step_makes_dropout_a_function_of_seed_and_step():
    def drop(seed: int, step: int, rank: int = 0) -> torch.Tensor:
        seed_step(seed, step, rank)
        return torch.nn.functional.dropout(torch.ones(200), 0.5)

    first = drop(0, 10)
    torch.rand(7)  # whatever was drawn in between
    assert torch.equal(drop(0, 10), first)
    for other in (drop(0, 11), drop(1, 10), drop(0, 10, rank=1)):
        assert not torch.equal(other, first)
