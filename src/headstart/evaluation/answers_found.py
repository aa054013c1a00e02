"""Answers to questions held against those of people: exact match and F1 of words, as in SQuAD.

Both texts are brought to one form: small letters, without ASCII punctuation, without the English
articles, blanks made one. Exact match asks whether they are the same then, F1 how many words they
share; of several answers of people the best counts. "No answer" is right where nobody gave one, and
wrong everywhere else. Texts without CJK characters are counted as the official script counts them;
of CJK each character is a word, as in CMRC 2018, and its punctuation goes, too.

Questions of one context share what is hard about it: intervals resample contexts (or articles).

Source:
    P. Rajpurkar et al., "SQuAD: 100,000+ Questions", EMNLP 2016, and "Know What You Don't Know",
    ACL 2018, with its evaluate-v2.0.py; Y. Cui et al., "A Span-Extraction Dataset for Chinese
    Machine Reading Comprehension", EMNLP 2019.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.clusters import as_groups
from headstart.evaluation.intervals import NUM_RESAMPLES
from headstart.evaluation.means import plain_mean, studentised_interval, unit_sums, within
from headstart.evaluation.records import Scores
from headstart.evaluation.shares import share_of
from headstart.types import Figure

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII_SIGNS = str.maketrans("", "", string.punctuation)
_CJK_SIGNS = str.maketrans("", "", "，。、；：？！“”‘’（）《》〈〉【】「」『』…—～·")
_CJK = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
ANSWERED, UNANSWERED = "answered", "unanswered"


@cache
def plain_answer(text: str) -> str:
    """Return an answer in the form in which answers are compared.

    Example:
        >>> plain_answer("The  Broncos!"), plain_answer("《红楼梦》")
        ('broncos', '红 楼 梦')
    """
    low = text.lower().translate(_ASCII_SIGNS)
    if _CJK.search(low):
        low = _CJK.sub(r" \1 ", low.translate(_CJK_SIGNS))
    return " ".join(_ARTICLES.sub(" ", low).split())


def shared_words(said: str, wanted: str) -> float:
    """Return the F1 of the words of two answers."""
    first, second = plain_answer(said).split(), plain_answer(wanted).split()
    if not first or not second:
        return float(first == second)
    shared = sum((Counter(first) & Counter(second)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(first), shared / len(second)
    return 2 * precision * recall / (precision + recall)


def judged_answers(
    said: Sequence[str], wanted: Sequence[Sequence[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return exact match and F1 of each answer, float64, shape (N,) each.

    Args:
        said: N answers; an empty one says that there is none.
        wanted: Of each question all answers that count; none where nothing answers it.

    Raises:
        OptionError: There are not as many of both, or none.

    Example:
        >>> [each.tolist() for each in judged_answers(["the Broncos"], [["Denver Broncos"]])]
        [[0.0], [0.6666666666666666]]
    """
    if len(said) != len(wanted) or not len(said):
        raise OptionError(
            f"There are {len(said):,} answers to {len(wanted):,} questions; expected one for each, "
            "and at least one. Give as many."
        )
    exact, shared = np.zeros(len(said)), np.zeros(len(said))
    for place, (one, several) in enumerate(zip(said, wanted, strict=True)):
        # an answer of which nothing is left in the one form is no answer of people
        usable = [each for each in several if plain_answer(each)] or [""]
        exact[place] = max(plain_answer(one) == plain_answer(each) for each in usable)
        shared[place] = max(shared_words(one, each) for each in usable)
    return exact, shared


def score_answers(
    said: Sequence[str],
    wanted: Sequence[Sequence[str]],
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    groups: np.ndarray | None = None,
) -> Scores:
    """Measure answers, every figure with its 95 % interval.

    Args:
        said: As for ``judged_answers``.
        wanted: The same.
        seed: Of the bootstrap.
        num_resamples: At least 40, or 0 for no bootstrap.
        groups: Which questions are of one context, shape (N,), or None.

    Returns:
        ``f1`` and ``exact_match``; where some questions have no answer also both of those that
        have one, and the share of the others of which that was said.

    Raises:
        OptionError: As ``judged_answers``.
    """
    exact, shared = judged_answers(said, wanted)
    has_answer = np.array([bool(several) for several in wanted])
    whole = np.ones(len(said), bool)
    figures = {
        "f1": _mean(shared, whole, groups, seed, num_resamples),
        "exact_match": _mean(exact, whole, groups, seed, num_resamples),
    }
    if has_answer.any() and not has_answer.all():
        figures |= {
            f"f1_{ANSWERED}": _mean(shared, has_answer, groups, seed, num_resamples),
            f"exact_match_{ANSWERED}": _mean(exact, has_answer, groups, seed, num_resamples),
            f"exact_match_{UNANSWERED}": _mean(exact, ~has_answer, groups, seed, num_resamples),
        }
    told = as_groups(groups, len(said))
    return Scores(len(said), figures, num_groups=told.num if told else None)


def _mean(
    values: np.ndarray, chosen: np.ndarray, groups: np.ndarray | None, seed: int, num: int
) -> Figure:
    """Return the mean of some values; of zeros and ones, each alone, as the share that it is."""
    some = values[chosen]
    of_some = None if groups is None else groups[chosen]
    told = as_groups(of_some, len(some))
    if np.isin(some, (0.0, 1.0)).all():
        return share_of(some.astype(np.int64), told)
    found = studentised_interval(
        unit_sums(some[None], told, seed), plain_mean, num_resamples=num, seed=seed
    )
    return within(found, 0.0, 1.0)


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Return the mean of values, shape (N,), and its standard error."""
    if not len(values):
        return math.nan, math.nan
    error = float(values.std()) / math.sqrt(max(1, len(values) - 1))
    return float(values.mean()), error


def tune_silence(leads: np.ndarray, shared: np.ndarray, has_answer: np.ndarray) -> float:
    """Return the lead below which "no answer" is said so that the mean F1 is largest.

    Args:
        leads: By how much the best span of each question leads "no answer", float64, shape (N,).
        shared: F1 of that span, where it is said, shape (N,).
        has_answer: Whether the question has one, bool, shape (N,).

    Returns:
        Halfway between two leads, so that neither lies on the edge; of equally good ones that
        nearest to 0, where both are equally likely.

    Source:
        ``find_best_thresh`` of SQuAD's evaluate-v2.0.py, which takes the edge itself.
    """
    order = np.argsort(leads, kind="stable")
    ordered = leads[order]
    gains = np.where(has_answer, -shared, 1.0)[order]  # of saying nothing in place of the span
    sums = np.concatenate([[0.0], np.cumsum(gains)])
    cuts = np.concatenate([[ordered[0] - 1], (ordered[:-1] + ordered[1:]) / 2, [ordered[-1] + 1]])
    is_cut = np.concatenate([[True], ordered[1:] > ordered[:-1], [True]])
    best = np.flatnonzero(is_cut & (sums >= sums[is_cut].max() - 1e-12))
    return float(cuts[best[np.abs(cuts[best]).argmin()]])
