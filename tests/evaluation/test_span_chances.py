"""The probability of an entity: against every row of tags there is, and against what comes true."""

from __future__ import annotations

import itertools
from importlib import import_module

import numpy as np
import pytest

from headstart.evaluation import TagSet, decode, entities_of, span_chances, tune_power
from headstart.evaluation.entities import Entities
from headstart.tasks import find_task
from headstart.types import Deciding
from headstart.types.ragged import Ragged


def _by_enumeration(probabilities: np.ndarray, meaning: TagSet) -> dict[tuple[int, ...], float]:
    """Return the share of each entity in the mass of all rows that are allowed."""
    num_words, num_tags = probabilities.shape
    allowed, shares, total = meaning.allowed(), dict[tuple[int, ...], float](), 0.0
    for tags in itertools.product(range(num_tags), repeat=num_words):
        if not all(allowed[a, b] for a, b in zip((num_tags, *tags), tags, strict=False)):
            continue
        mass = float(np.prod(probabilities[np.arange(num_words), tags]))
        total += mass
        found = entities_of(Ragged.of([np.array(tags)]), meaning)
        for one in zip(found.start, found.end, found.type, strict=True):
            shares[tuple(map(int, one))] = shares.get(tuple(map(int, one)), 0.0) + mass
    return {one: mass / total for one, mass in shares.items()}


@pytest.mark.parametrize(("num_tags", "sharpness"), [(3, 1.0), (5, 0.3), (7, 2.0)])
def test_it_is_the_share_of_all_allowed_rows_that_hold_exactly_it(num_tags, sharpness):
    draw, meaning = np.random.default_rng(num_tags), TagSet.of_entities(num_tags)
    rows = [draw.dirichlet(np.full(num_tags, sharpness), size=n) for n in (4, 1, 5, 2)]
    rows[2][1, 0] = 0.0  # a word that is surely inside
    rows[2] /= rows[2].sum(axis=1, keepdims=True)
    every = [(row, one, share) for row, p in enumerate(rows)
             for one, share in sorted(_by_enumeration(p, meaning).items())]  # fmt: skip
    columns = np.array([(row, *one) for row, one, _ in every], np.int64).T
    found = span_chances(Ragged.of(rows), Entities(*columns), meaning)
    np.testing.assert_allclose(found, [share for *_, share in every], atol=1e-12)


def test_of_tags_of_single_words_it_is_what_the_word_says():
    draw, meaning = np.random.default_rng(0), TagSet.of_words(4)
    rows = Ragged.of([draw.dirichlet(np.ones(4), size=n) for n in (3, 1, 6)])
    decided = decode(rows, meaning)
    found = span_chances(rows, entities_of(decided, meaning), meaning)
    np.testing.assert_allclose(found, rows.whole.max(axis=1), atol=1e-12)


def test_an_entity_comes_true_as_often_as_it_says():
    """Rows drawn from the distribution itself: of those said with 0.7, seven of ten are there."""
    draw, meaning, num = np.random.default_rng(1), TagSet.of_entities(5), 4_000
    wide = draw.dirichlet(np.full(5, 0.4), size=(num, 6))
    told, allowed = Ragged.of(list(wide)), meaning.allowed()
    rows, open_ = np.zeros((num, 6), np.int64), np.arange(num)
    while len(open_):  # words are drawn again until all of them are allowed
        tags = (draw.uniform(size=(len(open_), 6, 1)) > wide[open_].cumsum(axis=2)).sum(axis=2)
        tags = np.minimum(tags, 4)
        before = np.concatenate((np.full((len(open_), 1), 5), tags[:, :-1]), axis=1)
        fits = allowed[before, tags].all(axis=1)
        rows[open_[fits]] = tags[fits]
        open_ = open_[~fits]
    found = entities_of(decode(Ragged(np.log(told.flat + 1e-30), told.offsets), meaning), meaning)
    chances = span_chances(told, found, meaning)
    is_right = found.among(entities_of(Ragged.of(list(rows)), meaning))
    for low in (0.2, 0.4, 0.6, 0.8):
        some = (chances >= low) & (chances < low + 0.2)
        error = np.sqrt(0.25 / some.sum())
        assert abs(is_right[some].mean() - chances[some].mean()) < 4 * error
    power = tune_power(chances, is_right)
    assert power == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("power", [0.5, 3.0])
def test_the_power_that_val_asks_for_is_found_and_nothing_is_ever_sure(power):
    draw = np.random.default_rng(2)
    chances = draw.uniform(0.05, 1.0, 5_000)
    is_right = draw.uniform(size=5_000) < chances**power
    assert tune_power(chances, is_right) == pytest.approx(power, rel=0.1)
    sure = np.full(40, 0.9)
    found = tune_power(sure, np.ones(40, bool))
    assert 0.9**found == pytest.approx(41 / 42, abs=1e-3)  # as Platt's targets
    assert tune_power(sure[:9], np.ones(9, bool)) is None


def test_a_task_tells_spans_by_the_power_that_is_kept_with_the_model():
    task = find_task("token-classification")
    outputs = Ragged.of([np.array([[0.1, 0.9, 0.0], [0.3, 0.1, 0.6], [0.8, 0.1, 0.1]])])
    assert task.entities(outputs)[1] == pytest.approx([0.9 * 0.6 / 0.99 * (0.9 / 1.0)], rel=0.2)
    plain = task.entities(outputs)[1]
    kept = Deciding.from_json(Deciding(span_power=0.5).to_json(), 3)
    assert task.deciding_by(kept).entities(outputs)[1] == pytest.approx(plain**0.5)
    with pytest.raises(ValueError, match="deciding"):
        Deciding.from_json({"span_power": -1.0}, 3)


def test_few_long_texts_among_many_short_ones_are_told_alike(monkeypatch):
    draw, meaning = np.random.default_rng(3), TagSet.of_entities(5)
    lengths = [*draw.integers(1, 9, 60).tolist(), 300, 3, 120, 7]
    rows = Ragged.of([draw.dirichlet(np.full(5, 0.3), size=n) for n in lengths])
    found = entities_of(decode(Ragged(np.log(rows.flat + 1e-30), rows.offsets), meaning), meaning)
    whole = span_chances(rows, found, meaning)
    monkeypatch.setattr(import_module("headstart.evaluation.span_chances"), "_AT_ONCE", 200)
    np.testing.assert_allclose(span_chances(rows, found, meaning), whole, atol=1e-12)
    assert len(whole) == len(found.row) > 100
    none = entities_of(Ragged.of([np.zeros(2, np.int64)]), meaning)
    assert span_chances(rows, none, meaning).shape == (0,)
