"""What simple taggers say beside a model that tells of words: a dictionary, and a linear tagger.

The dictionary knows each entity of train as it is written, with the type that it has most often,
and finds the longest of them from left to right; where each word has a tag of its own, it knows the
words. The linear tagger is logistic regression on what a word looks like and on its neighbours
(hashed; averaged stochastic gradient descent); neither is tuned. Both decide as the model does: no
entity goes on with nothing.

Source:
    The features are those of L. Ratinov and D. Roth, 2009, CoNLL, without gazetteers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from headstart.evaluation import decode, entities_of
from headstart.events import emit
from headstart.preprocessing import WordTokens
from headstart.tasks import find_task
from headstart.tasks.token_classification import WordTask
from headstart.tuning.baselines.baseline import Baseline, Items, Rival
from headstart.tuning.budget import Budget
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.slowness import slowness
from headstart.types import Dataset, Sentence
from headstart.types.ragged import Ragged

DICTIONARY, LINEAR = "dictionary of train", "linear tagger on word features"
_HASHED = 2**18
_MOST_WORDS = 200_000  # that the linear tagger learns from
_LONGEST = 12  # words of an entity that the dictionary looks for
_DICTIONARY_SECONDS, _LINEAR_SECONDS = 4e-6, 1.2e-4  # a word, on one idle core
_AHEAD = 2  # neighbours on each side


def _tells_words(dataset: Dataset, setup: TrainingSetup) -> bool:
    return setup.model.task.tells_words


def _num_words(dataset: Dataset) -> int:
    """Return how many words train and test have."""
    rows = [split.targets for split in (dataset.train, dataset.test)]
    return sum(len(each.whole) for each in rows if isinstance(each, Ragged))


def _dictionary_seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    return (0.2 + _DICTIONARY_SECONDS * _num_words(dataset)) * slowness()


def _linear_seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    learned = min(_MOST_WORDS, _num_words(dataset))
    each = _LINEAR_SECONDS * (1.0 + 0.05 * setup.model.num_outputs)
    return (1.0 + each * learned + 5e-5 * _num_words(dataset)) * slowness()


def _known(items: Items) -> tuple[WordTokens, WordTokens, WordTask]:
    """Return train and test, and the task."""
    train, test = items.train, items.test
    task = find_task(items.dataset.schema.task)
    assert isinstance(task, WordTask)
    assert isinstance(train, WordTokens)
    assert isinstance(test, WordTokens)
    return train, test, task


# A dictionary -----------------------------------------------------------------------------------


def look_up(
    train: Sequence[Sentence], targets: Ragged, test: Sequence[Sentence], task: WordTask, num: int
) -> Ragged:
    """Return what a dictionary of train's entities, or words, says of test's words.

    Args:
        train: Texts with their words.
        targets: int64, their tags.
        test: Texts to answer for.
        task: Says what the tags mean.
        num: K, how many tags there are.
    """
    if not task.is_of_entities:
        return _by_word(train, targets, test, num)
    found = entities_of(targets, task.meaning(num))
    types: defaultdict[tuple[str, ...], Counter[int]] = defaultdict(Counter)
    words = [sentence.words for sentence in train]
    columns = (found.row, found.start, found.end, found.type)
    for row, start, end, kind in zip(*(c.tolist() for c in columns), strict=True):
        if end - start <= _LONGEST:
            types[tuple(words[row][start:end])][kind] += 1
    known = {name: counts.most_common(1)[0][0] for name, counts in types.items()}
    longest = max(map(len, known), default=0)
    return Ragged.of([_matched(sentence.words, known, longest) for sentence in test])


def _matched(words: list[str], known: dict[tuple[str, ...], int], longest: int) -> np.ndarray:
    """Return the tags of one text, the longest entity first, from left to right."""
    tags, at = np.zeros(len(words), np.int64), 0
    while at < len(words):
        for length in range(min(longest, len(words) - at), 0, -1):
            kind = known.get(tuple(words[at : at + length]))
            if kind is not None:
                tags[at] = 2 * kind + 1
                tags[at + 1 : at + length] = 2 * kind + 2
                at += length
                break
        else:
            at += 1
    return tags


def _by_word(
    train: Sequence[Sentence], targets: Ragged, test: Sequence[Sentence], num: int
) -> Ragged:
    counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for sentence, row in zip(train, targets, strict=True):
        for word, tag in zip(sentence.words, row.tolist(), strict=True):
            counts[word][tag] += 1
    usual = int(np.bincount(targets.whole, minlength=num).argmax())
    known = {word: each.most_common(1)[0][0] for word, each in counts.items()}
    return Ragged.of(
        [
            np.array([known.get(word, usual) for word in sentence.words], np.int64)
            for sentence in test
        ]
    )


def _run_dictionary(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    if _is_short(DICTIONARY, budget, _dictionary_seconds(items.dataset, setup)):
        return None
    train, test, task = _known(items)
    assert isinstance(train.targets, Ragged)
    num = setup.model.num_outputs
    said = look_up(train.sentences, train.targets, test.sentences, task, num)
    return Rival(DICTIONARY, said)


# A linear tagger --------------------------------------------------------------------------------


def word_features(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield what each word of a text looks like, and its neighbours."""
    low = [word.lower() for word in words]
    shapes = [_shape(word) for word in words]
    for place, word in enumerate(words):
        found = ["1", f"w={low[place]}", f"s={shapes[place]}", f"W={word}"]
        found += [f"p{n}={low[place][:n]}" for n in (1, 2, 3) if len(word) > n]
        found += [f"e{n}={low[place][-n:]}" for n in (1, 2, 3) if len(word) > n]
        for step in range(-_AHEAD, _AHEAD + 1):
            other = place + step
            if step and 0 <= other < len(words):
                found += [f"{step}w={low[other]}", f"{step}s={shapes[other]}"]
            elif step:
                found.append(f"{step}none")
        yield found


def _shape(word: str) -> str:
    """Return capitals, small letters, digits and signs of a word, repeats left out."""
    kinds = [
        "X" if c.isupper() else "x" if c.isalpha() else "0" if c.isdigit() else c for c in word
    ]
    return "".join(c for place, c in enumerate(kinds) if not place or c != kinds[place - 1])


def _run_linear(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    if _is_short(LINEAR, budget, _linear_seconds(items.dataset, setup)):
        return None
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.linear_model import SGDClassifier

    train, test, task = _known(items)
    targets = train.targets
    assert isinstance(targets, Ragged)
    num = max(1, int(np.searchsorted(np.cumsum(targets.lengths), _MOST_WORDS)))
    emit("task", name=LINEAR, done=0, total=1)
    hasher = FeatureHasher(_HASHED, input_type="string")
    learner = SGDClassifier(
        loss="log_loss", alpha=1e-6, average=True, max_iter=8, tol=None, random_state=0
    )
    wanted = targets[:num].whole
    if len(np.unique(wanted)) < 2:
        return None
    learner.fit(hasher.transform(_featured(train.sentences[:num])), wanted)
    scores = np.full((len(test.firsts.whole), setup.model.num_outputs), -1e3, np.float32)
    found = learner.decision_function(hasher.transform(_featured(test.sentences)))
    if found.ndim == 1:  # of two tags it gives one number
        found = np.stack([-found, found], axis=1)
    scores[:, learner.classes_] = found
    emit("task", name=LINEAR, done=1, total=1)
    meaning = task.meaning(setup.model.num_outputs)
    return Rival(LINEAR, decode(Ragged(scores, test.firsts.offsets), meaning))


def _featured(sentences: Iterable[Sentence]) -> Iterator[list[str]]:
    return (features for sentence in sentences for features in word_features(sentence.words))


def _is_short(name: str, budget: Budget, seconds: float) -> bool:
    """Return whether the budget is nearly spent, which is then said."""
    if budget.left >= seconds + 2.0:
        return False
    emit("note", text=f"The baseline ({name}) was left out: the budget is nearly spent.")
    return True


DICTIONARY_BASELINE = Baseline(
    modality="text", says_more=_tells_words, seconds=_dictionary_seconds, run=_run_dictionary
)
LINEAR_BASELINE = Baseline(
    modality="text", says_more=_tells_words, seconds=_linear_seconds, run=_run_linear
)
