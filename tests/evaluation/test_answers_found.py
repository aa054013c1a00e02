"""Answers against those of people: SQuAD's rules, written down again, and what they leave open."""

from __future__ import annotations

import collections
import re
import string

import numpy as np
import pytest

from headstart.errors import OptionError
from headstart.evaluation.answers_found import (
    judged_answers,
    plain_answer,
    score_answers,
    tune_silence,
)


# The published definition (evaluate-v2.0.py of SQuAD), as it stands there.
def normalize_answer(text):
    text = "".join(sign for sign in text.lower() if sign not in set(string.punctuation))
    return " ".join(re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text).split())


def compute_f1(gold, said):
    gold_words = normalize_answer(gold).split() if gold else []
    said_words = normalize_answer(said).split() if said else []
    num_same = sum((collections.Counter(gold_words) & collections.Counter(said_words)).values())
    if len(gold_words) == 0 or len(said_words) == 0:
        return int(gold_words == said_words)
    if num_same == 0:
        return 0
    precision, recall = num_same / len(said_words), num_same / len(gold_words)
    return 2 * precision * recall / (precision + recall)


def raw_scores(said, wanted):
    exact, shared = [], []
    for one, several in zip(said, wanted, strict=True):
        gold = [text for text in several if normalize_answer(text)] or [""]
        exact.append(max(int(normalize_answer(text) == normalize_answer(one)) for text in gold))
        shared.append(max(compute_f1(text, one) for text in gold))
    return exact, shared


def find_best_thresh(leads, shared, has_answer):
    """Return the best mean F1 that any threshold on the lead reaches, by trying all of them."""
    best = -1.0
    for cut in [*leads, max(leads) + 1]:
        spoken = leads >= cut
        each = np.where(spoken, np.where(has_answer, shared, 0.0), ~has_answer)
        best = max(best, each.mean())
    return best


WORDS = [
    "the",
    "a",
    "an",
    "Ada",
    "lives",
    "in",
    "New",
    "York",
    ",",
    "co-operative",
    "isn't",
    "1,000",
    "$5",
    "The",
    "U.S.",
    "naïve",
    "Zürich",
]


def test_figures_are_those_of_squads_script():
    draw = np.random.default_rng(0)
    said, wanted = [], []
    for _ in range(400):
        said.append(" ".join(draw.choice(WORDS, draw.integers(0, 6))))
        wanted.append(
            [" ".join(draw.choice(WORDS, draw.integers(1, 5))) for _ in range(draw.integers(0, 4))]
        )
    exact, shared = judged_answers(said, wanted)
    reference = raw_scores(said, wanted)
    np.testing.assert_allclose(exact, reference[0], atol=1e-9)
    np.testing.assert_allclose(shared, reference[1], atol=1e-9)
    assert 0 < exact.mean() < shared.mean() < 1


def test_chinese_is_counted_by_characters():
    assert plain_answer("《红楼梦》，曹雪芹") == "红 楼 梦 曹 雪 芹"
    exact, shared = judged_answers(["曹雪芹先生", "北京。"], [["曹雪芹"], ["北京"]])
    assert exact.tolist() == [0.0, 1.0]
    assert shared[0] == pytest.approx(2 * 0.6 / 1.6)


def test_no_answer_is_right_only_where_there_is_none(heard):
    exact, shared = judged_answers(["", "", "Ada"], [[], ["Ada"], []])
    assert exact.tolist() == shared.tolist() == [1.0, 0.0, 0.0]
    found = score_answers(["", "", "Ada"], [[], ["Ada"], []])
    assert found.figures["f1"].value == pytest.approx(1 / 3)
    assert found.figures["f1_answered"].value == 0.0
    assert found.figures["exact_match_unanswered"].value == 0.5
    assert set(score_answers(["Ada"], [["Ada"]]).figures) == {"f1", "exact_match"}
    with pytest.raises(OptionError, match="expected one for each") as told:
        judged_answers(["Ada"], [])
    heard(told.value)


def test_intervals_count_contexts_and_not_questions():
    draw = np.random.default_rng(1)
    groups = np.repeat(np.arange(20), 10)
    right = draw.random(20) < 0.6  # all questions of a context are right, or none
    said = ["Ada" if right[group] else "Bob" for group in groups]
    wanted = [["Ada"]] * len(said)
    alone = score_answers(said, wanted).figures["f1"]
    together = score_answers(said, wanted, groups=groups).figures["f1"]
    assert alone.value == together.value
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_the_lead_of_an_answer_reaches_what_the_best_threshold_does():
    draw = np.random.default_rng(2)
    for _ in range(30):
        num = int(draw.integers(2, 60))
        has_answer = draw.random(num) < 0.6
        leads = np.round(draw.normal(has_answer, 1.0), 1)  # with some that are the same
        shared = np.where(has_answer, draw.random(num), 0.0)
        cut = tune_silence(leads, shared, has_answer)
        assert cut not in leads
        reached = np.where(leads >= cut, np.where(has_answer, shared, 0.0), ~has_answer).mean()
        assert reached == pytest.approx(find_best_thresh(leads, shared, has_answer))
