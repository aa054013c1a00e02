"""What is written without a model: the text itself, and what train has for the text most like it.

Copying is hard to beat where little is to change (rewriting, correcting, names). A translation
memory takes the target of train's nearest text, by TF-IDF of its words: what it reaches is what
remembering is worth.
"""

from __future__ import annotations

from headstart.events import emit
from headstart.preprocessing import SequencePreprocess, SequenceTokens
from headstart.tuning.baselines.baseline import Baseline, Items, Rival
from headstart.tuning.budget import Budget
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.slowness import slowness
from headstart.types import Dataset
from headstart.types.texts import text_array

COPY, MEMORY = "the text itself", "translation memory (nearest text of train)"
_EACH_SECONDS, _PAIR_SECONDS = 4e-5, 4e-9  # a text, and a pair of them, on one idle core
_AT_ONCE = 256  # texts whose likeness to all of train is held


def _reads_pairs(dataset: Dataset, setup: TrainingSetup) -> bool:
    return setup.model.task.tells_texts and isinstance(setup.preprocess, SequencePreprocess)


def _copy_seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    return 2e-3 * len(dataset.test) * slowness()  # its figures


def _memory_seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    num, asked = len(dataset.train), len(dataset.test)
    each = _EACH_SECONDS * (num + asked) + _PAIR_SECONDS * 10 * num * asked
    return (1.0 + each) * slowness() + _copy_seconds(dataset, setup)


def _sides(items: Items) -> tuple[SequenceTokens, SequenceTokens]:
    train, test = items.train, items.test
    assert isinstance(train, SequenceTokens)
    assert isinstance(test, SequenceTokens)
    return train, test


def _run_copy(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    del setup, budget
    return Rival(COPY, text_array(_sides(items)[1].sources))


def _run_memory(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    if budget.left < _memory_seconds(items.dataset, setup) + 2.0:
        emit("note", text=f"The baseline ({MEMORY}) was left out: the budget is nearly spent.")
        return None
    from sklearn.feature_extraction.text import TfidfVectorizer

    train, test = _sides(items)
    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", sublinear_tf=True)
    try:
        known = vectorizer.fit_transform(train.sources).T.tocsr()
    except ValueError:  # no text of train has a word
        return None
    nearest: list[int] = []
    for start in range(0, len(test), _AT_ONCE):
        asked = vectorizer.transform(test.sources[start : start + _AT_ONCE])
        nearest += (asked @ known).toarray().argmax(axis=1).tolist()
        emit("task", name="translation memory", done=len(nearest), total=len(test))
    wanted = train.targets[nearest]
    return Rival(MEMORY, text_array(str(text) for text in wanted))


COPY_BASELINE = Baseline(
    modality="text", says_more=_reads_pairs, seconds=_copy_seconds, run=_run_copy
)
MEMORY_BASELINE = Baseline(
    modality="text", says_more=_reads_pairs, seconds=_memory_seconds, run=_run_memory
)
