"""What answers questions without a model: the first sentence, and the sentence most like them.

The first sentence of a context says what it is about. The other one is that whose words, weighed by
how rare they are among contexts (TF-IDF), are most like the question's; of it the words that the
question does not have are the answer. Both find something everywhere, and say of no question that
nothing answers it.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from headstart.preprocessing import QuestionTokens
from headstart.tuning.baselines.baseline import Baseline, Items, Rival
from headstart.tuning.budget import Budget
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.slowness import slowness
from headstart.types import Dataset
from headstart.types.texts import text_array

FIRST, NEAREST = "first sentence of the context", "words beside the question's (TF-IDF)"
_EACH_SECONDS = 2e-3  # a question with its figures, on one idle core
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")


def _finds(dataset: Dataset, setup: TrainingSetup) -> bool:
    return setup.model.task.finds_texts


def _seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    return _EACH_SECONDS * len(dataset.test) * slowness()


def sentences_of(context: str) -> list[str]:
    """Return the sentences of a context, without blanks around them; at least one."""
    found = [match.group().strip() for match in _SENTENCE.finditer(context)]
    return [sentence for sentence in found if sentence] or [context.strip()]


def words_beside(question: str, sentence: str) -> str:
    """Return the longest stretch of a sentence whose words the question does not have.

    Example:
        >>> words_beside("Where does Ada live?", "Ada lives in New York.")
        'lives in New York'
    """
    asked = {match.group().lower() for match in _WORD.finditer(question)}
    best, run = (0, 0, 0), (0, 0, 0)  # words, first and last character
    for match in _WORD.finditer(sentence):
        if match.group().lower() in asked:
            run = (0, 0, 0)
            continue
        run = (run[0] + 1, run[1] if run[0] else match.start(), match.end())
        best = max(best, run, key=lambda one: one[0])
    return sentence[best[1] : best[2]]


def nearest_words(contexts: list[str], questions: list[str], known: list[str]) -> list[str]:
    """Return for each question the words beside its own in the sentence most like it.

    Args:
        contexts: Of N questions.
        questions: N of them.
        known: Contexts by which words are weighed.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=_WORD.pattern, sublinear_tf=True)
    try:
        vectorizer.fit(known)
    except ValueError:  # no context has a word
        return [""] * len(questions)
    asked = vectorizer.transform(questions)
    split: dict[str, tuple[list[str], Any]] = {}
    said = []
    for place, (context, question) in enumerate(zip(contexts, questions, strict=True)):
        if context not in split:
            sentences = sentences_of(context)
            split[context] = (sentences, vectorizer.transform(sentences))
        sentences, weights = split[context]
        likeness = np.asarray((weights @ asked[place].T).todense()).reshape(-1)
        said.append(words_beside(question, sentences[int(likeness.argmax())]))
    return said


def _asked(items: Items) -> tuple[list[str], list[str]]:
    """Return contexts and questions of the test items."""
    test = items.test
    assert isinstance(test, QuestionTokens)
    return [str(pair.second) for pair in test.texts], [str(pair.first) for pair in test.texts]


def _run_first(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    del setup, budget
    return Rival(FIRST, text_array(sentences_of(text)[0] for text in _asked(items)[0]))


def _run_nearest(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    del setup, budget
    train = items.train
    assert isinstance(train, QuestionTokens)
    known = list(dict.fromkeys(str(pair.second) for pair in train.texts))
    return Rival(NEAREST, text_array(nearest_words(*_asked(items), known)))


FIRST_BASELINE = Baseline(modality="text", says_more=_finds, seconds=_seconds, run=_run_first)
NEAREST_BASELINE = Baseline(modality="text", says_more=_finds, seconds=_seconds, run=_run_nearest)
