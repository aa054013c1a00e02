"""Thresholds reach what is asked for, as a search through all of them says; unknown is said."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from headstart.errors import OptionError
from headstart.evaluation import parse_goal, parse_rejection, tune_rejection, tune_threshold

OWN = {"precision": precision_score, "recall": recall_score, "f1": f1_score}


def _cases(number=200):
    rng = np.random.default_rng(0)
    for case in range(number):
        num = int(rng.integers(3, 60))
        is_positive = rng.random(num) < rng.choice([0.1, 0.5, 0.8])
        scores = 1 / (1 + np.exp(-rng.normal(size=num) - 1.5 * is_positive))
        yield np.round(scores, 1) if case % 2 else scores, is_positive


def _every(scores, is_positive):
    """Return precision, recall, F1 and mistakes of every cut, counted one by one."""
    values = np.unique(scores)
    for cut in [0.0, *((values[:-1] + values[1:]) / 2), 2.0]:
        said = scores >= cut
        hits, alarms = int((said & is_positive).sum()), int((said & ~is_positive).sum())
        misses = int((~said & is_positive).sum())
        precision = hits / (hits + alarms) if hits + alarms else 0.0
        recall = hits / (hits + misses) if hits + misses else 0.0
        touched = 2 * hits + alarms + misses
        yield precision, recall, 2 * hits / touched if touched else 0.0, alarms, misses


def test_f1_is_the_highest_that_any_threshold_has():
    for case, (scores, is_positive) in enumerate(_cases()):
        found = tune_threshold(parse_goal("f1"), scores, is_positive)
        best = max(one[2] for one in _every(scores, is_positive))
        assert found.f1 == pytest.approx(best, abs=1e-9)
        said = scores >= found.value
        if case < 40:  # scikit-learn's own are slow
            for name, score in OWN.items():
                own = score(is_positive, said, zero_division=0.0)
                assert getattr(found, name) == pytest.approx(own, abs=1e-9)


def test_recall_at_a_precision_is_the_highest_there_is():
    for scores, is_positive in _cases():
        found = tune_threshold(parse_goal("recall@precision=0.75"), scores, is_positive)
        every = list(_every(scores, is_positive))
        there = [one[1] for one in every if one[0] >= 0.75]
        assert found.is_reached == bool(there)
        if there:
            assert found.recall == pytest.approx(max(there), abs=1e-9)
            assert found.precision >= 0.75
        else:
            assert found.precision == pytest.approx(max(one[0] for one in every), abs=1e-9)


def test_precision_at_a_recall_is_the_highest_there_is():
    for scores, is_positive in _cases(100):
        if not is_positive.any():
            continue
        found = tune_threshold(parse_goal("precision@recall=0.8"), scores, is_positive)
        there = [one[0] for one in _every(scores, is_positive) if one[1] >= 0.8]
        assert found.precision == pytest.approx(max(there), abs=1e-9)


def test_costs_are_the_lowest_there_are_and_misses_that_cost_more_are_fewer():
    for scores, is_positive in _cases():
        found = tune_threshold(parse_goal("cost=1:10"), scores, is_positive)
        said = scores >= found.value
        paid = (said & ~is_positive).sum() + 10 * (~said & is_positive).sum()
        assert paid == min(one[3] + 10 * one[4] for one in _every(scores, is_positive))
        even = tune_threshold(parse_goal("cost=1:1"), scores, is_positive)
        assert found.value <= even.value


def test_a_threshold_lies_between_two_scores_and_near_a_half_where_many_are_as_good():
    scores, is_positive = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    assert tune_threshold(parse_goal("f1"), scores, is_positive).value == pytest.approx(0.5)
    close = np.array([0.3, np.nextafter(0.3, 1)])
    found = tune_threshold(parse_goal("f1"), close, np.array([False, True]))
    assert (close >= found.value).tolist() == [False, True]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("recall", "expected f1, recall@precision"),
        ("recall@recall=0.9", "expected f1"),
        ("recall@precision=high", "expected f1"),
        ("recall@precision=1.2", "a precision above 0 and at most 1"),
        ("cost=0:1", "two positive costs"),
        ("cost=1", "expected f1"),
    ],
)
def test_what_no_threshold_can_be_tuned_for_is_refused(said, words):
    with pytest.raises(OptionError, match=words):
        parse_goal(said)


@pytest.mark.parametrize("said", ["risk", "risk=2", "confidence=0", "accuracy=0.9"])
def test_what_no_rejection_is_is_refused(said):
    with pytest.raises(OptionError, match="reject is"):
        parse_rejection(said)


def test_answers_that_are_given_are_wrong_as_seldom_as_asked_in_95_of_100_draws():
    rng = np.random.default_rng(3)
    everyone = rng.beta(4, 1, 20_000)
    all_right = rng.random(20_000) < everyone
    broken, answered = 0, []
    for _ in range(100):
        drawn = rng.integers(0, 20_000, 400)
        found = tune_rejection(parse_rejection("risk=0.1"), everyone[drawn], all_right[drawn])
        given = everyone >= found.least
        broken += found.is_reached and (~all_right[given]).mean() > 0.1
        answered.append(found.answered if found.is_reached else 0.0)
    assert broken / 100 <= 0.05
    assert np.mean(answered) > 0.2  # and it is not bought by answering nothing


def test_a_risk_that_cannot_be_shown_answers_only_the_surest_and_says_so():
    sure = np.linspace(0.5, 0.9, 20)
    found = tune_rejection(parse_rejection("risk=0.01"), sure, np.ones(20, bool))
    assert not found.is_reached
    assert found.least == pytest.approx(0.9)
    stated = tune_rejection(parse_rejection("confidence=0.7"), sure, np.ones(20, bool))
    assert (stated.least, stated.answered) == (0.7, np.mean(sure >= 0.7))
