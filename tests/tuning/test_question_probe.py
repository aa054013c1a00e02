"""The probe of answers keeps to its time in the midst of a fit, and is the same with enough."""

import itertools

import numpy as np
import pytest
from clocks import set_clock

from headstart.tuning.question_probe import _fitted

WINDOWS, LENGTH, WIDTH = 40, 12, 6


class CountingClock:
    """A clock that is a second later whenever it is looked at."""

    def __init__(self):
        self.looks = itertools.count(1)

    def __call__(self):
        return float(next(self.looks))

    def sleep(self, seconds):
        raise AssertionError("nobody waits here")


def problem():
    """Return tokens that tell where answers begin and end, their windows, and the answers."""
    draw = np.random.default_rng(0)
    tokens = draw.normal(size=(WINDOWS * LENGTH, WIDTH)).astype(np.float32)
    inside = draw.integers(0, LENGTH, (WINDOWS, 2))
    gold = np.arange(WINDOWS)[:, None] * LENGTH + np.sort(inside, axis=1)
    tokens[gold[:, 0], 0] += 2
    tokens[gold[:, 1], 1] += 2
    return tokens, np.repeat(np.arange(WINDOWS), LENGTH), gold


def loss_of(weights, tokens, window, gold):
    numbers = tokens @ weights[:, :-1].T + weights[:, -1]
    each = [
        np.log(np.exp(numbers[window == w, side]).sum()) - numbers[gold[w, side], side]
        for w in range(WINDOWS)
        for side in (0, 1)
    ]
    return float(np.mean(each))


def fit(deadline):
    tokens, window, gold = problem()
    beginning = np.zeros((2, WIDTH + 1), np.float32)
    found = _fitted(tokens, window, gold, 0.001, beginning, deadline)
    return found, loss_of(found, tokens, window, gold)


def test_a_fit_is_the_same_with_time_enough_as_without_a_limit(monkeypatch):
    found, _ = fit(None)
    set_clock(monkeypatch, CountingClock())
    np.testing.assert_array_equal(fit(1e6)[0], found)


@pytest.mark.parametrize("num", [1, 4, 9])
def test_a_fit_ends_with_the_pass_in_which_its_time_is_up(monkeypatch, num):
    _, best = fit(None)
    clock = set_clock(monkeypatch, CountingClock())
    found, loss = fit(num - 0.5)
    assert next(clock.looks) == num + 1  # the pass that would have followed was not begun
    chance = float(np.log(LENGTH))
    assert loss == pytest.approx(chance) if num == 1 else best - 0.01 < loss < chance
    assert np.isfinite(found).all()


def test_more_time_gives_no_worse_a_fit(monkeypatch):
    losses = []
    for num in (1, 2, 4, 8, 16):
        with monkeypatch.context() as patch:
            set_clock(patch, CountingClock())
            losses.append(fit(num - 0.5)[1])
    assert losses == sorted(losses, reverse=True)
