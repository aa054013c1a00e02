"""Recall at k in both directions, against a plain count, and what is the same text."""

import numpy as np
import pytest

from headstart.errors import OptionError
from headstart.evaluation.retrieval import (
    DEPTHS,
    MEAN_RECALL,
    TO_IMAGE,
    TO_TEXT,
    Ranks,
    mean_and_error,
    rank_pairs,
    recall_name,
    recalls,
    score_retrieval,
)


def drawn(num=40, counts=(1, 2, 3), width=5, seed=0):
    draw = np.random.default_rng(seed)
    owners = np.repeat(np.arange(num), draw.choice(counts, num))
    images = draw.normal(size=(num, width)).astype(np.float32)
    texts = images[owners] + draw.normal(size=(len(owners), width)).astype(np.float32)
    return images, texts, owners


def plain(images, texts, owners, depth):
    """Count one by one."""
    alike = images @ texts.T
    to_text = [
        any(owners[j] == i for j in np.argsort(-alike[i], kind="stable")[:depth])
        for i in range(len(images))
    ]
    to_image = [
        owners[j] in np.argsort(-alike[:, j], kind="stable")[:depth] for j in range(len(texts))
    ]
    return np.mean(to_text), np.mean(to_image)


def test_figures_of_200_random_searches_are_what_counting_gives():
    draw = np.random.default_rng(9)
    for case in range(200):
        num = int(draw.integers(1, 14))
        images, texts, owners = drawn(num, counts=(1, 2), width=3, seed=case)
        if case % 3 == 0:  # ties: what is wrong stands in front of what is right
            images, texts = np.round(images), np.round(texts)
        alike = images @ texts.T
        own = owners[None, :] == np.arange(num)[:, None]
        best = np.where(own, alike, -np.inf)
        of_images = 1 + ((alike >= best.max(axis=1)[:, None]) & ~own).sum(axis=1)
        of_texts = 1 + ((alike >= best.max(axis=0)) & ~own).sum(axis=0)
        scores = score_retrieval(
            rank_pairs(images, texts, owners, np.arange(len(texts))), num_resamples=0
        )
        expected = {recall_name(TO_TEXT, k): np.mean(of_images <= k) for k in DEPTHS}
        expected |= {recall_name(TO_IMAGE, k): np.mean(of_texts <= k) for k in DEPTHS}
        expected[MEAN_RECALL] = np.mean(list(expected.values()))
        assert set(expected) == set(scores.figures)
        for name, value in expected.items():
            assert scores.figures[name].value == pytest.approx(value, abs=1e-9), (name, case)


def test_recall_is_what_counting_one_by_one_gives():
    images, texts, owners = drawn()
    found = score_retrieval(rank_pairs(images, texts, owners, np.arange(len(texts))))
    for depth in DEPTHS:
        to_text, to_image = plain(images, texts, owners, depth)
        assert found.figures[recall_name(TO_TEXT, depth)].value == pytest.approx(to_text)
        assert found.figures[recall_name(TO_IMAGE, depth)].value == pytest.approx(to_image)
    others = [figure.value for name, figure in found.figures.items() if name != MEAN_RECALL]
    whole = found.figures[MEAN_RECALL]
    assert whole.value == pytest.approx(np.mean(others))
    assert whole.low < whole.value < whole.high
    assert found.num_items == len(images)


def test_ranks_do_not_depend_on_how_many_are_compared_at_once(monkeypatch):
    images, texts, owners = drawn()
    whole = rank_pairs(images, texts, owners, np.arange(len(texts)))
    monkeypatch.setattr("headstart.evaluation.retrieval._AT_ONCE", 3 * len(texts))
    parts = rank_pairs(images, texts, owners, np.arange(len(texts)))
    assert np.array_equal(whole.of_images, parts.of_images)
    assert np.array_equal(whole.of_texts, parts.of_texts)


def test_the_same_caption_of_another_image_is_right_too():
    images = np.eye(3, dtype=np.float32)
    texts = images[[0, 0, 2]]  # of images 0, 1 and 2; the first two are the same words
    owners = np.arange(3)
    told = rank_pairs(images, texts, owners, np.array([7, 7, 8]))
    assert told.of_texts.tolist() == [1, 1, 1]  # image 0 is right for both
    apart = rank_pairs(images, texts, owners, np.array([7, 9, 8]))
    assert apart.of_texts.tolist() == [1, 3, 1]  # image 2 is as unlike, and wrong: it is in front


def test_what_says_the_same_of_everything_finds_nothing_and_no_number_neither():
    flat = np.ones((20, 4), np.float32)
    told = rank_pairs(flat, flat, np.arange(20), np.arange(20))
    assert set(told.of_images) == {20}
    assert set(told.of_texts) == {20}
    odd = np.full((20, 4), np.nan, np.float32)
    assert set(rank_pairs(odd, flat, np.arange(20), np.arange(20)).of_images) == {20}


def test_a_random_order_finds_as_much_as_chance_and_its_interval_holds_it():
    draw = np.random.default_rng(3)
    images, texts = (draw.normal(size=(400, 8)).astype(np.float32) for _ in range(2))
    ranks = rank_pairs(images, texts, np.arange(400), np.arange(400))
    found = score_retrieval(ranks).figures[recall_name(TO_TEXT, 10)]
    assert found.low <= 10 / 400 <= found.high
    value, error = mean_and_error(ranks)
    assert value == pytest.approx(16 / 3 / 400, abs=5 * error)


def test_groups_widen_intervals():
    images, texts, _ = drawn(num=12, counts=(1,))
    copies = [np.repeat(each, 5, axis=0) for each in (images, texts)]
    numbers = np.arange(60)
    ranks = rank_pairs(copies[0], copies[1], numbers, np.repeat(np.arange(12), 5))
    alone = score_retrieval(ranks).figures[MEAN_RECALL]
    grouped = score_retrieval(ranks, groups=np.repeat(np.arange(12), 5)).figures[MEAN_RECALL]
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_sums_give_the_figures():
    images, texts, owners = drawn()
    ranks = rank_pairs(images, texts, owners, np.arange(len(texts)))
    sums = np.concatenate(([[len(images)]], ranks.quantities().sum(axis=1)[:, None]))
    figures = score_retrieval(ranks).figures
    for name, value in recalls(sums).items():
        assert value[0] == pytest.approx(figures[name].value)


def test_an_image_without_a_text_is_refused(heard):
    images, texts, owners = drawn(counts=(1,))
    with pytest.raises(
        OptionError, match=r"expected one at least for each\. Leave out images"
    ) as caught:
        rank_pairs(images, texts[1:], owners[1:], np.arange(len(texts) - 1))
    heard(caught.value)
    with pytest.raises(OptionError, match="expected embeddings of one width") as caught:
        rank_pairs(images, texts[:, 1:], owners, np.arange(len(texts)))
    assert len(rank_pairs(images, texts, owners, np.arange(len(texts))).of_images) == len(images)
    heard(caught.value)


def test_of_few_texts_that_find_their_image_the_interval_is_still_one():
    draw, held, widths = np.random.default_rng(0), 0, []
    for _ in range(200):
        counts = draw.integers(1, 3, 24)
        found = [draw.random(num) < 0.1 for num in counts]
        owners = np.repeat(np.arange(24), counts)
        ranks = Ranks(np.ones(24, np.int64), np.where(np.concatenate(found), 1, 9), owners)
        figure = score_retrieval(ranks, num_resamples=0).figures["text_to_image_r1"]
        assert figure.value == np.concatenate(found).mean()
        held += figure.low <= 0.1 <= figure.high
        widths.append(figure.high - figure.low)
    assert held >= 188
    assert np.mean(widths) < 0.3  # a bootstrap of so few had 0.76
