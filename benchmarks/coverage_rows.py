"""Populations of rows of tags, questions, captions, texts and rows with several targets.

What ``coverage_cases.py`` is for classes, labels and numbers: each is scored by the function that
scores a test split of its task, so that its own figures are the truth that intervals have to hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluation import TagSet, score_entities
from headstart.evaluation.answers_found import score_answers as score_found
from headstart.evaluation.answers_written import ToldTokens
from headstart.evaluation.answers_written import score_answers as score_written
from headstart.evaluation.records import Scores
from headstart.evaluation.retrieval import Ranks, score_retrieval
from headstart.evaluation.translations import TextCounts, count_texts, score_texts
from headstart.tasks import CLASSIFICATION, REGRESSION
from headstart.tasks.multi_task import made_of
from headstart.tasks.part import TargetPart
from headstart.types import Ragged, Schema

NUM = 20_000
WORDS = np.array([f"w{k}" for k in range(400)])


@dataclass(frozen=True)
class Rows:
    """Items that one function scores by their places.

    Attributes:
        num: How many there are.
        score: Scores those at some places, with the groups of these.
        each: Items of a group; 1 where each stands alone.
    """

    num: int
    score: Callable[..., Scores]
    each: int = 1

    def scored(self, places: np.ndarray, groups: np.ndarray | None, **said: int) -> Scores:
        """Score some of the items."""
        return self.score(places, groups=groups, **said)

    def truth(self) -> dict[str, float]:
        """Return every figure of the whole population."""
        found = self.scored(np.arange(self.num), None, num_resamples=0).figures
        return {name: figure.value for name, figure in found.items()}

    def drawn(
        self, num_items: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the places of a sample, and which of its items belong together."""
        if self.each == 1:
            return rng.integers(0, self.num, num_items), None
        chosen = rng.integers(0, self.num // self.each, max(2, num_items // self.each))
        places = (chosen[:, None] * self.each + np.arange(self.each)).ravel()
        return places, np.repeat(np.arange(len(chosen)), self.each)


def tags(shares: tuple[float, ...], skill: float, each: int = 1, seed: int = 0) -> Rows:
    """Return sentences with entities, of which a model finds some whole, some cut, some not.

    Args:
        shares: Of the types of entities.
        skill: How often an entity is found whole, in the mean; sentences of a group are alike.
        each: Sentences of a group.
        seed: Of the population.
    """
    rng, K, num = np.random.default_rng(seed), len(shares), NUM // 2
    types = np.array(shares) / sum(shares)
    ease = np.repeat(rng.beta(6 * skill, 6 * (1 - skill), num // each), each)
    wanted, said = [], []
    for place in range(num):
        length = int(rng.integers(4, 36))
        target, told = np.zeros(length, np.int64), np.zeros(length, np.int64)
        at = int(rng.integers(0, 8))
        while at < length:
            end, kind = min(length, at + int(rng.integers(1, 4))), int(rng.choice(K, p=types))
            target[at], target[at + 1 : end] = 2 * kind + 1, 2 * kind + 2
            luck = rng.random()
            if luck < ease[place]:
                told[at:end] = target[at:end]
            elif luck < ease[place] + 0.1:  # of another type
                kind = int(rng.choice(K, p=types))
                told[at], told[at + 1 : end] = 2 * kind + 1, 2 * kind + 2
            elif luck < ease[place] + 0.2 and end - at > 1:  # cut
                told[at : end - 1] = target[at : end - 1]
            at = end + int(rng.integers(1, 14))
        if rng.random() < 0.15:  # one where there is none
            at, kind = int(rng.integers(0, length)), int(rng.choice(K, p=types))
            told[at] = told[at] if told[at] or target[at] else 2 * kind + 1
        wanted.append(target)
        said.append(told)
    targets, decisions = Ragged.of(wanted), Ragged.of(said)
    sure = rng.beta(8, 2, len(targets.whole))
    given = np.repeat(((1 - sure) / (2 * K))[:, None], 2 * K + 1, axis=1).astype(np.float32)
    given[np.arange(len(sure)), decisions.whole] = sure
    outputs, meaning = Ragged(given, targets.offsets), TagSet.of_entities(2 * K + 1)
    names = [f"t{k}" for k in range(K)]

    def score(places: np.ndarray, **said: Any) -> Scores:
        some = (outputs[places], decisions[places], targets[places])
        return score_entities(*some, meaning, names, **said)

    return Rows(num, score, each)


def questions(skill: float, each: int = 1, silent: float = 0.3, seed: int = 0) -> Rows:
    """Return answers of a few words, of which some are right, some share words, some are silent.

    Args:
        skill: How often an answer is right, in the mean.
        each: Questions of a context, which are alike.
        silent: Share of the questions that nothing answers.
        seed: Of the population.
    """
    rng = np.random.default_rng(seed)
    ease = np.repeat(rng.beta(3 * skill, 3 * (1 - skill), NUM // each), each)
    wanted: list[list[str]] = []
    said: list[str] = []
    for place in range(NUM):
        words = list(rng.choice(WORDS, int(rng.integers(1, 5))))
        wanted.append([] if rng.random() < silent else [" ".join(words)])
        luck = rng.random()
        if luck < ease[place]:
            said.append(" ".join(words) if wanted[-1] else "")
        elif luck < ease[place] + 0.25:
            said.append(" ".join([*words[:-1], *rng.choice(WORDS, 1)]))
        else:
            said.append("" if rng.random() < 0.3 else " ".join(rng.choice(WORDS, 2)))

    def score(places: np.ndarray, **how: Any) -> Scores:
        return score_found([said[k] for k in places], [wanted[k] for k in places], **how)

    return Rows(NUM, score, each)


def captions(found: float, least: int, most: int, each: int = 1, seed: int = 0) -> Rows:
    """Return images with texts, and at which place each finds the other.

    Args:
        found: How often it is the first place, in the mean.
        least: Texts of an image.
        most: The same; from one to the other by chance.
        each: Images of a group.
        seed: Of the population.
    """
    rng = np.random.default_rng(seed)
    ease = np.repeat(rng.beta(2 * found, 2 * (1 - found), NUM // each), each)
    counts = rng.integers(least, most + 1, NUM)
    starts = np.cumsum(counts) - counts
    of_images = rng.geometric(np.clip(ease, 0.02, 0.98))
    of_texts = rng.geometric(np.clip(np.repeat(ease, counts), 0.02, 0.98))

    def score(places: np.ndarray, **said: Any) -> Scores:
        own = counts[places]
        inside = np.arange(own.sum()) - np.repeat(np.cumsum(own) - own, own)
        texts = of_texts[np.repeat(starts[places], own) + inside]
        owners = np.repeat(np.arange(len(places)), own)
        return score_retrieval(Ranks(of_images[places], texts, owners), **said)

    return Rows(NUM, score, each)


def translations(skill: float, each: int = 1, seed: int = 0) -> Rows:
    """Return texts of which some words are those of the reference, and others are not.

    Args:
        skill: Share of words that are right, in the mean; it differs from text to text.
        each: Texts of a document, which are alike.
        seed: Of the population.
    """
    rng = np.random.default_rng(seed)
    num = NUM // 8  # counting n-grams takes a second
    ease = np.repeat(rng.beta(3 * skill, 3 * (1 - skill), num // each), each)
    wanted, said = [], []
    for place in range(num):
        words = rng.choice(WORDS, int(3 + rng.gamma(2.0, 6.0)))
        kept = rng.random(len(words)) < ease[place]
        told = np.where(kept, words, rng.choice(WORDS, len(words)))
        told = told[rng.random(len(words)) < 0.95]
        wanted.append(" ".join(words))
        said.append(" ".join(told))
    counts = count_texts(said, wanted)
    losses = rng.gamma(2.0, 0.8, num) * counts.bleu[1]
    tokens = {"loss": losses, "num_tokens": counts.bleu[1], "num_right": counts.bleu[2]}
    tokens["num_right"] = np.minimum(tokens["num_right"], tokens["num_tokens"])

    def score(places: np.ndarray, **how: Any) -> Scores:
        some = TextCounts(
            counts.bleu[:, places],
            counts.chrf[:, places],
            counts.exact[places],
            counts.tokenizer,
            counts.num_orders,
        )
        return score_texts(some, {name: each[places] for name, each in tokens.items()}, **how)

    return Rows(num, score, each)


def told(spread: float, each: int = 1, seed: int = 0) -> Rows:
    """Return texts that were told token by token, and short answers to some.

    Args:
        spread: Of the logarithm of texts' lengths.
        each: Texts of a document, which are alike.
        seed: Of the population.
    """
    rng = np.random.default_rng(seed)
    hard = np.repeat(rng.gamma(4.0, 0.6, NUM // each), each)
    tokens = np.ceil(np.exp(rng.normal(3.0, spread, NUM)))
    losses = tokens * hard * rng.gamma(5.0, 0.2, NUM)
    right = rng.binomial(tokens.astype(np.int64), np.exp(-hard / 2.0)).astype(np.float64)
    num_bytes = tokens * rng.uniform(3.0, 5.5, NUM)
    wanted = [" ".join(rng.choice(WORDS[:40], 4)) for _ in range(NUM)]
    kept = rng.random((NUM, 4)) < np.exp(-hard / 4.0)[:, None]
    said = [
        " ".join(np.where(keep, text.split(), rng.choice(WORDS[:40], 4)))
        for keep, text in zip(kept, wanted, strict=True)
    ]

    def score(places: np.ndarray, **how: Any) -> Scores:
        some = ToldTokens(losses[places], tokens[places], right[places], num_bytes[places])
        texts = ([said[k] for k in places], [wanted[k] for k in places])
        return score_written(some, *texts, np.arange(len(places)), **how)

    return Rows(NUM, score, each)


def several(lacking: float, each: int = 1, seed: int = 0) -> Rows:
    """Return rows with two classes and a number to be told, some of which they lack.

    Args:
        lacking: Share of targets that are not there.
        each: Rows of a group, which are alike.
        seed: Of the population.
    """
    rng = np.random.default_rng(seed)
    common = np.repeat(rng.normal(size=NUM // each), each)
    kind = ((common + rng.normal(size=NUM)) > 1.0).astype(np.float64)
    value = 2.0 * common + rng.normal(size=NUM)
    odds = 2.5 * (kind - 0.5) + common + rng.normal(size=NUM)
    likely = 1 / (1 + np.exp(-odds))
    outputs = np.stack([1 - likely, likely, value + rng.standard_t(5, NUM)], axis=1)
    targets = np.where(rng.random((NUM, 2)) < lacking, np.nan, np.stack([kind, value], axis=1))
    parts = [TargetPart("kind", CLASSIFICATION, 2), TargetPart("value", REGRESSION, 0)]
    own = (
        Schema("table", "classification", ("no", "yes"), "kind"),
        Schema("table", "regression", (), "value"),
    )
    task = made_of(parts)
    schema = Schema("table", task.name, (), "kind,value", parts=own)

    def score(places: np.ndarray, **said: Any) -> Scores:
        return task.scores(outputs[places], targets[places], schema, **said)

    return Rows(NUM, score, each)


CASES: dict[str, Callable[[], Rows]] = {
    "tags": lambda: tags((5, 3, 2), 0.7),
    "tags, good": lambda: tags((50, 30, 18, 2), 0.92),
    "tags in documents": lambda: tags((5, 3, 2), 0.7, each=5),
    "questions": lambda: questions(0.6),
    "questions of contexts": lambda: questions(0.7, each=4, silent=0.0),
    "captions": lambda: captions(0.4, 1, 1),
    "captions, five": lambda: captions(0.6, 3, 5),
    "captions in groups": lambda: captions(0.4, 1, 3, each=4),
    "translations": lambda: translations(0.6),
    "translations, good": lambda: translations(0.9),
    "translations in documents": lambda: translations(0.6, each=5),
    "told": lambda: told(0.8),
    "told in documents": lambda: told(0.5, each=4),
    "several": lambda: several(0.2),
    "several in groups": lambda: several(0.2, each=4),
}
