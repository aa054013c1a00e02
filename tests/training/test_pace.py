"""How many steps fit before a deadline."""

from headstart.training.machine.pace import Pace


def pace_of(*steps, check_seconds=0.0):
    pace = Pace(check_seconds)
    for seconds in steps:
        pace.took_step(seconds)
    return pace


def test_the_first_slow_steps_are_forgotten():
    pace = pace_of(60.0, 5.0, 1.0, *[0.1] * 20)
    assert abs(pace.step_seconds - 0.1) < 1e-6
    assert pace.affordable(10.0, 1_000, 50) in (99, 100)


def test_checks_are_paid_for():
    pace = pace_of(*[0.1] * 20)
    pace.took_check(2.0)
    # 10 s: 2 for the last check, the rest at 0.1 a step and 2 every 20 steps
    assert pace.affordable(10.0, 1_000, 20) in (39, 40)


def test_an_expected_check_counts_until_one_was_measured():
    assert pace_of(*[0.1] * 20, check_seconds=9.0).affordable(10.0, 1_000, 1_000_000) in (9, 10)


def test_early_it_trusts_the_plan_unless_another_step_does_not_fit():
    pace = pace_of(30.0)
    assert pace.affordable(100.0, 500, 50) == 500
    assert pace.affordable(20.0, 500, 50) == 0
    assert pace.is_slow
    assert not pace_of(0.001).is_slow


def test_no_time_left_means_no_steps():
    assert pace_of(*[0.1] * 20).affordable(-1.0, 100, 10) <= 0
