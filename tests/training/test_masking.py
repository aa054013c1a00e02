"""What is hidden of a text: a function of seed, step and sample, and of nothing beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.training.batches.masking import Masking, hidden, replaced

PLAIN = Masking(share=0.15, replacement="mask", mask_id=4, num_ids=50, first_id=5)
RNG = np.random.default_rng(0)


def tokens_of(lengths: np.ndarray) -> list[np.ndarray]:
    return [np.arange(length) for length in lengths.tolist()]


def hidden_of(units: list[np.ndarray], *, seed=0, step=3, share=0.15, ids=None):
    """Return the places that each sample hides, of the units that its tokens belong to."""
    lengths = np.array([len(unit) for unit in units])
    begins = [np.diff(unit, prepend=-1) > 0 for unit in units]
    is_each_one = all(map(np.all, begins))
    found = hidden(
        replace(PLAIN, share=share),
        seed,
        step,
        np.arange(len(units)) if ids is None else np.array(ids),
        lengths,
        None if is_each_one else np.concatenate(begins),
    )
    return [np.flatnonzero(part) for part in np.split(found, np.cumsum(lengths)[:-1])]


def test_a_text_hides_the_same_in_any_batch():
    units = tokens_of(RNG.integers(1, 60, 40))
    whole = hidden_of(units)
    for place in (0, 17, 39):
        alone = hidden_of([units[place]], ids=[place])
        assert alone[0].tolist() == whole[place].tolist()


def test_another_step_seed_or_sample_hides_something_else():
    units = tokens_of(np.full(40, 50))
    first, again = hidden_of(units), hidden_of(units)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (hidden_of(units, step=4), hidden_of(units, seed=1), hidden_of(units)[1:]):
        same = [np.array_equal(a, b) for a, b in zip(first, other, strict=False)]
        assert np.mean(same) < 0.1


@pytest.mark.parametrize("share", [0.15, 0.25])
def test_the_share_holds_on_the_mean_for_short_texts_too(share):
    lengths = RNG.integers(7, 60, 4_000)
    found = hidden_of(tokens_of(lengths), share=share)
    assert sum(map(len, found)) / lengths.sum() == pytest.approx(share, abs=0.004)


def test_every_text_hides_a_token_and_never_one_that_it_lacks():
    lengths = np.array([1, 2, 3, 1, 500])
    for places, length in zip(hidden_of(tokens_of(lengths)), lengths, strict=True):
        assert len(places) >= 1
        assert places.max() < length
        assert np.array_equal(places, np.unique(places))
    assert hidden_of([np.empty(0, np.int64)])[0].tolist() == []


def test_whole_words_are_hidden_or_seen():
    words = [np.repeat(np.arange(30), RNG.integers(1, 5, 30)) for _ in range(200)]
    found = hidden_of(words)
    for unit, places in zip(words, found, strict=True):
        assert np.array_equal(np.flatnonzero(np.isin(unit, unit[places])), places)
    num_tokens = sum(map(len, words))
    assert sum(map(len, found)) / num_tokens == pytest.approx(0.15, abs=0.01)


def test_words_of_one_token_are_hidden_as_tokens_are():
    units = tokens_of(RNG.integers(0, 40, 50))
    begins = np.ones(sum(map(len, units)), bool)
    given = np.arange(50), np.array([len(unit) for unit in units])
    found = [hidden(PLAIN, 0, 3, *given, each) for each in (None, begins)]
    assert np.array_equal(*found)


def test_the_mask_stands_in_place_of_what_is_hidden():
    seen = replaced(PLAIN, 0, 3, np.array([7, 7]), np.array([2, 9]), np.array([40, 41]))
    assert seen.tolist() == [4, 4]


def test_bert_masks_most_and_keeps_or_changes_the_rest():
    bert = replace(PLAIN, replacement="bert", num_ids=5_000)
    told, ids, places = np.full(20_000, 4_999), np.full(20_000, 7), np.arange(20_000)
    seen = replaced(bert, 0, 3, ids, places, told)
    assert np.mean(seen == 4) == pytest.approx(0.8, abs=0.01)
    assert np.mean(seen == 4_999) == pytest.approx(0.1, abs=0.01)
    changed = seen[(seen != 4) & (seen != 4_999)]
    assert changed.min() >= 5
    assert len(np.unique(changed)) > 1_000
    order = np.random.default_rng(0).permutation(20_000)  # alike in any batch
    assert np.array_equal(seen[order], replaced(bert, 0, 3, ids, places[order], told))
