"""What answers cost: the matrix, the cheapest answer, and the interval of the mean."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import OptionError
from headstart.evaluation import (
    as_groups,
    cost_difference,
    expected_costs,
    mean_cost,
    parse_costs,
)
from headstart.types import Deciding

TEXT = "truth,cat,dog,eel\ncat,0,1,2\ndog,5,0,1\n\neel,10,10,0\n"


def test_a_matrix_is_read_by_its_names_in_any_order():
    found = parse_costs("t, dog ,cat,eel\neel,10,10,0\ncat,1,0,2\ndog,0,5,1\n")
    np.testing.assert_array_equal(
        found.of(["cat", "dog", "eel"]), parse_costs(TEXT).of(["cat", "dog", "eel"])
    )
    assert parse_costs(TEXT).of(["eel", "cat", "dog"])[0].tolist() == [0, 10, 10]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 columns and 0 rows"),
        ("t,cat\ncat,0", "expected two classes or more"),
        ("t,cat,cat\ncat,0,1", "each once"),
        ("t,cat,dog\ncat,0,1\ncat,0,1", "each once"),
        ("t,cat,dog\ncat,0,1\neel,0,1", "'dog', 'eel' as a row or as a column alone"),
        ("t,cat,dog\ncat,0,1\ndog,0", "row 'dog' of the matrix of costs is 0; expected 2 numbers"),
        ("t,cat,dog\ncat,0,-1\ndog,1,0", "row 'cat'"),
        ("t,cat,dog\ncat,0,nan\ndog,1,0", "row 'cat'"),
        ("t,cat,dog\ncat,0,x\ndog,1,0", "row 'cat'"),
    ],
)
def test_what_is_no_matrix_is_refused_and_one_written_as_it_says_is_not(text, said, heard):
    with pytest.raises(OptionError, match=said.replace("(", r"\(")) as refused:
        parse_costs(text)
    assert parse_costs("truth,cat,dog\ncat,0,1\ndog,5,0").classes == ("cat", "dog")
    heard(refused.value)


def test_a_matrix_of_other_classes_is_refused(heard):
    with pytest.raises(OptionError, match="has no 'fox' and names 'eel'") as refused:
        parse_costs(TEXT).of(["cat", "dog", "fox"])
    parse_costs(TEXT.replace("eel", "fox")).of(["cat", "dog", "fox"])
    heard(refused.value)


def test_no_answer_is_expected_to_cost_less_than_the_one_with_the_smallest_expected_cost():
    rng = np.random.default_rng(0)
    matrix = parse_costs(TEXT).of(["cat", "dog", "eel"])
    probabilities = rng.dirichlet([1, 1, 1], 200_000)
    truth = (probabilities.cumsum(axis=1) > rng.random((200_000, 1))).argmax(axis=1)
    cheapest = expected_costs(probabilities, matrix).argmin(axis=1)
    costs = [matrix[truth, each].mean() for each in (cheapest, probabilities.argmax(axis=1))]
    assert costs[0] < costs[1]
    for answer in range(3):
        assert costs[0] < matrix[truth, answer].mean()
    # of two classes it is the threshold alarm / (alarm + miss)
    two = np.array([[0.0, 1.0], [4.0, 0.0]])
    p = np.linspace(0.01, 0.99, 99)
    says_yes = expected_costs(np.stack([1 - p, p], axis=1), two).argmin(axis=1)
    np.testing.assert_array_equal(says_yes, (p > 0.2 + 1e-9).astype(int))


@pytest.mark.parametrize(("num", "dear"), [(50, 10.0), (50, 100.0), (300, 100.0), (1_000, 30.0)])
def test_the_interval_of_a_mean_cost_holds_it(num, dear):
    rng = np.random.default_rng(num)
    matrix = np.array([[0.0, 1.0, 3.0], [dear, 0.0, 1.0], [1.0, dear, 0.0]])
    shares = np.array([[0.55, 0.04, 0.02], [0.005, 0.2, 0.03], [0.02, 0.003, 0.132]])
    truth, held = float((shares * matrix).sum()), []
    for _ in range(400):
        cells = rng.choice(9, num, p=shares.ravel())
        found = mean_cost(cells % 3, cells // 3, matrix)
        assert found.value == pytest.approx(matrix[cells // 3, cells % 3].mean())
        held.append(found.low <= truth <= found.high)
    assert np.mean(held) >= 0.94


def test_groups_count_as_many_items_as_they_tell_of():
    rng = np.random.default_rng(0)
    matrix = np.array([[0.0, 1.0], [8.0, 0.0]])
    targets = np.repeat(rng.integers(0, 2, 30), 10)
    decisions = np.where(np.repeat(rng.random(30) < 0.2, 10), 1 - targets, targets)
    alone = mean_cost(decisions, targets, matrix)
    together = mean_cost(decisions, targets, matrix, as_groups(np.repeat(np.arange(30), 10), 300))
    assert together.value == alone.value
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_a_difference_is_paired():
    rng = np.random.default_rng(0)
    before = rng.choice([0.0, 1.0, 20.0], 400, p=[0.7, 0.25, 0.05])
    found = cost_difference(before, before - 0.25 * (before > 0) * rng.random(400))
    assert found.low < found.value < found.high < 0
    assert found.high - found.low < 0.1
    assert np.isnan(cost_difference(before, before).low)


def test_what_is_stored_is_what_decides():
    deciding = Deciding(costs=((0.0, 1.0), (5.0, 0.0)))
    assert Deciding.from_json(deciding.to_json(), 2) == deciding
    for wrong in ([[0, 1]], [[0, 1], [2]], [[0, -1], [1, 0]]):
        with pytest.raises((ValueError, TypeError)):
            Deciding.from_json({"costs": wrong}, 2)
    with pytest.raises(ValueError, match="costs"):
        Deciding.from_json(deciding.to_json(), 3)
