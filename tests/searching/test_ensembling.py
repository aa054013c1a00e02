"""Who answers together is chosen on val: greedily, at most three, and not by chance."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import OptionError
from headstart.searching.ensembling import LEAST_PAIR, choose_ensemble
from headstart.tasks import find_task

CLASSES = find_task("classification")


def _noisy(num: int, num_models: int, seed: int, *, shared: float) -> tuple[list, np.ndarray]:
    """Return calibrated-looking models whose mistakes are their own, or the same in all."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, num)
    truth = np.eye(3)[targets] * 1.5
    same = rng.normal(size=(num, 3))
    found = []
    for _ in range(num_models):
        logits = truth + shared * same + (1 - shared) * rng.normal(size=(num, 3))
        found.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    return found, targets


def _loss(outputs: np.ndarray, targets: np.ndarray) -> float:
    return float(-np.log(outputs[np.arange(len(targets)), targets]).mean())


def test_models_with_mistakes_of_their_own_answer_together_and_are_better_on_others():
    outputs, targets = _noisy(800, 3, seed=0, shared=0.0)
    chosen = choose_ensemble(outputs, targets, [1, 0.5, 0.5], task=CLASSES, single=0)
    assert chosen.places[0] == 0
    assert set(chosen.places) == {0, 1, 2}
    assert sum(chosen.weights) == pytest.approx(1)
    assert chosen.gain > 2 * chosen.standard_error > 0
    unseen, wanted = _noisy(5_000, 3, seed=1, shared=0.0)
    mean = sum(w * unseen[p] for p, w in zip(chosen.places, chosen.weights, strict=True))
    assert _loss(mean, wanted) < _loss(unseen[0], wanted) - 0.02


def test_the_greedy_weights_are_those_of_a_search_by_hand():
    outputs, targets = _noisy(600, 2, seed=3, shared=0.2)
    chosen = choose_ensemble(outputs, targets, [1, 1], task=CLASSES, single=1)
    counts, best = [0, 1], _loss(outputs[1], targets)
    for _ in range(12):
        tried = []
        for place in range(2):
            grown = [n + (i == place) for i, n in enumerate(counts)]
            mean = sum(n * one for n, one in zip(grown, outputs, strict=True)) / sum(grown)
            tried.append((_loss(mean, targets), place))
        if min(tried)[0] >= best:
            break
        best, place = min(tried)
        counts[place] += 1
    expected = {place: number / sum(counts) for place, number in enumerate(counts)}
    assert dict(zip(chosen.places, chosen.weights, strict=True)) == pytest.approx(expected)


def test_copies_and_models_that_share_their_mistakes_are_not_worth_a_second_pass():
    taken = 0
    for seed in range(20):
        outputs, targets = _noisy(300, 3, seed=seed, shared=1.0)
        rng = np.random.default_rng(seed)
        noise = [np.clip(one + 1e-3 * rng.normal(size=one.shape), 1e-6, None) for one in outputs]
        outputs = [one / one.sum(axis=1, keepdims=True) for one in noise]
        chosen = choose_ensemble(outputs, targets, [1, 0.5, 0.5], task=CLASSES, single=0)
        taken += len(chosen.places) > 1
    assert taken <= 2


def test_cost_and_number_are_bounded():
    outputs, targets = _noisy(800, 6, seed=0, shared=0.0)
    dear = choose_ensemble(outputs, targets, [1, 1.5, 1.5, 3, 3, 3], task=CLASSES, single=0)
    assert dear.places == (0,)
    assert "twice the cost" in dear.why
    cheap = choose_ensemble(outputs, targets, [1] + [0.2] * 5, task=CLASSES, single=0)
    assert 2 <= len(cheap.places) <= 3
    one = choose_ensemble(outputs, targets, [1, 1, 0.2, 0.2, 0.2, 0.2], task=CLASSES, single=0)
    assert sum([1, 1, 0.2, 0.2, 0.2, 0.2][p] for p in one.places) <= 2


def test_few_items_decide_nothing_and_it_is_said():
    outputs, targets = _noisy(LEAST_PAIR - 1, 3, seed=0, shared=0.0)
    chosen = choose_ensemble(outputs, targets, [1, 0.5, 0.5], task=CLASSES, single=2)
    assert (chosen.places, chosen.weights) == ((2,), (1.0,))
    assert f"{LEAST_PAIR - 1} val items are too few" in chosen.why


def test_where_few_items_cannot_say_which_is_better_two_answer_half_each_and_are_better():
    gains = []
    for seed in range(20):
        outputs, targets = _noisy(42, 3, seed=seed, shared=0.2)
        chosen = choose_ensemble(outputs, targets, [1, 1, 1], task=CLASSES, single=0)
        assert len(chosen.places) < 3
        if len(chosen.places) == 2:
            assert chosen.weights == (0.5, 0.5)
            assert "42 val items cannot say which of two is better" in chosen.why
        unseen, wanted = _noisy(2_000, 3, seed=100 + seed, shared=0.2)
        mean = sum(w * unseen[p] for p, w in zip(chosen.places, chosen.weights, strict=True))
        gains.append(_loss(unseen[0], wanted) - _loss(mean, wanted))
    assert np.mean(gains) > 0.02
    assert min(gains) >= 0


def test_few_items_pair_no_model_that_is_surely_worse_or_costs_too_much():
    outputs, targets = _noisy(60, 2, seed=0, shared=0.0)
    worse = np.full_like(outputs[0], 1 / 3) - 0.3 * np.eye(3)[targets] * outputs[0]
    worse /= worse.sum(axis=1, keepdims=True)
    alone = choose_ensemble([outputs[0], worse], targets, [1, 1], task=CLASSES, single=0)
    assert alone.places == (0,)
    assert "no other model" in alone.why
    dear = choose_ensemble(outputs, targets, [1, 1.1], task=CLASSES, single=0)
    assert dear.places == (0,)


def test_more_log_loss_is_not_bought_with_fewer_right_answers():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 2_000)
    is_right = rng.random(2_000) < 0.8
    said = np.where(is_right, targets, 1 - targets)
    sure = np.where(said[:, None] == np.arange(2), 0.51, 0.49)  # mostly right, never sure
    other_right = rng.random(2_000) < 0.7
    other = np.where(other_right, targets, 1 - targets)
    outputs = [sure, np.where(other[:, None] == np.arange(2), 0.7, 0.3)]
    chosen = choose_ensemble(outputs, targets, [1, 1], task=CLASSES, single=0)
    assert chosen.places == (0,)
    assert "accuracy falls" in chosen.why


def test_items_that_belong_together_count_once():
    outputs, targets = _noisy(120, 2, seed=5, shared=0.3)
    groups = np.repeat(np.arange(120), 30)
    copies = [np.repeat(one, 30, axis=0) for one in outputs], np.repeat(targets, 30)
    known = choose_ensemble(*copies, [1, 1], task=CLASSES, single=0, groups=groups)
    alone = choose_ensemble(outputs, targets, [1, 1], task=CLASSES, single=0)
    blind = choose_ensemble(*copies, [1, 1], task=CLASSES, single=0)
    assert known.standard_error == pytest.approx(alone.standard_error, rel=0.2)
    assert blind.standard_error < known.standard_error / 3


@pytest.mark.parametrize("name", ["regression", "multi-label"])
def test_numbers_and_labels_are_chosen_alike(name):
    rng = np.random.default_rng(0)
    if name == "regression":
        targets = rng.normal(loc=500, scale=80, size=600)
        outputs = [targets + rng.normal(scale=40, size=600) for _ in range(2)]
    else:
        odds = 2 * rng.normal(size=(600, 3))
        targets = (rng.random((600, 3)) < 1 / (1 + np.exp(-odds))).astype(np.uint8)
        noisy = [odds / 1.5 + rng.normal(scale=0.8, size=odds.shape) for _ in range(2)]
        outputs = [1 / (1 + np.exp(-one)) for one in noisy]
    chosen = choose_ensemble(outputs, targets, [1, 1], task=find_task(name), single=0)
    assert len(chosen.places) == 2
    assert chosen.weights == pytest.approx([0.5, 0.5], abs=0.15)


def test_what_does_not_go_together_is_refused():
    outputs, targets = _noisy(200, 2, seed=0, shared=0.0)
    for given in (
        (outputs, targets, [1]),
        (outputs, targets, [1, -1]),
        (outputs, targets[:-1], [1, 1]),
        ([outputs[0], outputs[1][:, :2]], targets, [1, 1]),
    ):
        with pytest.raises(OptionError, match="expected"):
            choose_ensemble(*given, task=CLASSES, single=0)
