"""A temperature is kept where it helps on items it has not seen, and val is never flattered."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import log_softmax

from headstart.evaluation import fit_temperature, no_surer, softmax
from headstart.tasks import CLASSIFICATION, find_task
from headstart.tuning.calibrating import calibrate, keep_if_better, temperature_of, unseen_val
from headstart.types import Ragged, Schema


@dataclass
class Spoken:
    """A model that has said all it will."""

    schema: Schema
    task: object = CLASSIFICATION
    temperature: float = 1.0
    target_mean: float = 0.0
    target_scale: float = 1.0

    def standard_targets(self, targets):
        return targets


class Val(SimpleNamespace):
    """Items of val, by their targets."""

    def __len__(self):
        return len(self.targets)


def _model():
    return Spoken(Schema("table", "classification", tuple("abcd")))


def _drawn(number, scale, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(number, 4)) * 2
    chances = softmax(logits)
    targets = (chances.cumsum(axis=1) > rng.random((number, 1))).argmax(axis=1)
    return (logits * scale).astype(np.float32), targets


def _loss(logits, targets, temperature):
    return -log_softmax(logits / temperature, axis=1)[np.arange(len(targets)), targets].mean()


def test_thirty_items_of_calibrated_logits_change_little_and_seldom_for_the_worse():
    test_logits, test_targets = _drawn(3_000, 1.0, seed=10_000)
    worse, costs = 0, []
    for draw in range(60):
        logits, targets = _drawn(30, 1.0, seed=draw)
        model = _model()
        calibrate(model, logits, targets)
        keep_if_better(model, logits, Val(targets=targets), None)
        found = [_loss(test_logits, test_targets, t) for t in (1.0, model.temperature)]
        costs.append(found[1] - found[0])
        worse += costs[-1] > 0.001
    assert worse <= 12  # a bare fit makes it worse nearly always
    assert np.mean(costs) < 0.004


def test_logits_three_times_too_large_keep_their_temperature():
    logits, targets = _drawn(300, 3.0)
    model = _model()
    calibrate(model, logits, targets)
    fitted = model.temperature
    found = keep_if_better(model, logits, Val(targets=targets), None)
    assert (found.how, found.is_better, model.temperature) == ("cross-fitted", True, fitted)
    assert fitted == pytest.approx(3.0, rel=0.25)


def test_a_temperature_that_is_no_help_on_unseen_items_is_taken_away():
    logits, targets = _drawn(20, 1.3, seed=16)
    model, val = _model(), Val(targets=targets)
    calibrate(model, logits, targets)
    assert model.temperature > 1.3
    assert not unseen_val(model, logits, val, None).is_better
    kept = keep_if_better(model, logits, val, None)
    least = no_surer(logits, targets, 1.0)  # what so few items can show holds all the same
    assert (model.temperature, kept.how) == (least, "left alone")
    assert kept.outputs == pytest.approx(softmax(logits, least), abs=1e-6)


@pytest.mark.parametrize("name", ["token-classification", "tagging"])
@pytest.mark.parametrize("num_wrong", [0, 2, 60])
def test_words_are_told_no_surer_than_val_can_show(name, num_wrong):
    rng = np.random.default_rng(0)
    tags = rng.integers(0, 3, 200)
    logits = np.full((200, 3), -40.0, np.float32)
    logits[np.arange(200), tags] = 40.0
    tags[:num_wrong] = (tags[:num_wrong] + 1) % 3
    offsets = np.arange(0, 201, 5)
    task = find_task(name)
    rows, targets = Ragged(logits, offsets), Ragged(tags, offsets)
    temperature = temperature_of(task, rows, targets)
    sure = softmax(logits, temperature).max(axis=1).mean()
    fitted = task.fit_temperature(rows, targets)
    if num_wrong > 5:  # the likelihood says enough
        assert temperature == fitted
    else:
        most = 1 - max(0.5, num_wrong + 0.5 - np.sqrt(num_wrong * (1 - num_wrong / 200))) / 201
        assert temperature >= fitted
        assert sure <= most + 1e-6


@pytest.mark.parametrize("number", [40, 2_500])
def test_no_item_of_val_is_calibrated_by_a_temperature_that_has_seen_it(number):
    logits, targets = _drawn(number, 2.0)
    model = _model()
    calibrate(model, logits, targets)
    groups = np.arange(number) // 4
    found = unseen_val(model, logits, Val(targets=targets), groups)
    folds = groups % 5
    for fold in range(5):
        inner, outer = folds != fold, folds == fold
        temperature = fit_temperature(logits[inner], targets[inner])
        assert found.outputs[outer] == pytest.approx(softmax(logits[outer], temperature), abs=1e-4)
