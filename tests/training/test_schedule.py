"""The learning rate over the run: warm, then peak, then down, without jumps."""

import numpy as np
import pytest

from headstart.training.options.schedule import learning_rate_factor

NAMES = ("constant", "cosine", "linear", "one-cycle")


def curve(name, warmup=0.1, cooldown=0.2, num=2001):
    progress = np.linspace(0, 1, num)
    return progress, np.array(
        [
            learning_rate_factor(name, p, warmup_fraction=warmup, cooldown_fraction=cooldown)
            for p in progress
        ]
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_factor_stays_in_bounds_starts_above_zero_and_ends_near_zero(name, warmup):
    _, factors = curve(name, warmup)
    assert factors.min() >= 0
    assert factors.max() == pytest.approx(1.0, abs=1e-3)
    assert factors[0] > 0
    assert factors[-1] <= 0.0101


@pytest.mark.parametrize("name", NAMES)
def test_factor_rises_while_warming_up_and_never_after(name):
    progress, factors = curve(name)
    warming, rest = factors[progress < 0.1], factors[progress >= 0.1]
    assert (np.diff(warming) >= 0).all()
    assert (np.diff(rest) <= 1e-12).all()


@pytest.mark.parametrize("name", NAMES)
def test_factor_has_no_jumps(name):
    _, factors = curve(name, num=200_001)
    # the (1 - sqrt) cooldown is the steepest: sqrt(1 / 200,000 / 0.2) at its first step
    assert np.abs(np.diff(factors)).max() < 0.006


def test_constant_holds_the_peak_between_warm_up_and_cooldown():
    progress, factors = curve("constant", warmup=0.1, cooldown=0.3)
    assert (factors[(progress >= 0.1) & (progress <= 0.7)] == 1).all()
    assert factors[progress > 0.71].max() < 0.9
    _, without = curve("constant", warmup=0.1, cooldown=0.0)
    assert without[-1] == 1


def test_one_cycle_goes_by_straight_lines():
    def at(progress):
        return learning_rate_factor(
            "one-cycle", progress, warmup_fraction=0.2, cooldown_fraction=0.0
        )

    assert [at(p) for p in (0, 0.1, 0.2, 0.6, 1)] == pytest.approx([0.2, 0.6, 1.0, 0.505, 0.01])
