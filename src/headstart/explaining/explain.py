"""The table of explanations by how samples are read, and the two ways to ask for one.

``explain_run`` checks a model's explanations on val and explains a few test items; what it returns
is ``explanations.json``. ``explain_samples`` explains what a user gives, by what was checked there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from headstart.explaining.answers import Answerer
from headstart.explaining.column_effects import (
    PERMUTED,
    REPLACED,
    TargetRows,
    check_columns,
    check_rows,
    columns_of,
    dependence,
    importance,
    row_effects,
)
from headstart.explaining.faithfulness import Faithfulness
from headstart.explaining.passages import check_texts, explain_texts, method_of_texts
from headstart.explaining.regions import check_images, explain_images, method_of_images
from headstart.model import Ensemble
from headstart.model.heads import find_head
from headstart.preprocessing import TablePreprocess
from headstart.preprocessing.rows import TableSamples
from headstart.types import Dataset, Prediction, SplitName

NUM_SHOWN = 12  # test items
MOST_SAMPLES = 100  # that a user gives
_NUM_CHECKED = 64  # val items
_NUM_TEXTS = 24  # of texts, which take more
_NUM_ROWS = 300  # of rows, which take less
_NUM_BACKGROUND = 20
# What columns are worth is found on one split and checked on the other, which chooses nothing.
_ROWS_OF: tuple[SplitName, SplitName] = ("val", "test")


@dataclass(frozen=True, eq=False)
class Explaining:
    """What is to be explained.

    Attributes:
        answerer: Whoever answers.
        dataset: Val is for the check; of test some items are shown.
        shown: Ids of the test items that are explained.
        draw: Of items and of random deletions.
    """

    answerer: Answerer
    dataset: Dataset
    shown: Sequence[int]
    draw: np.random.Generator

    def places(self, name: SplitName, most: int) -> np.ndarray:
        """Return places of some items of a split that can be read, rising."""
        number = len(self.dataset.split(name))
        return np.sort(self.draw.permutation(number)[:most])

    @property
    def shown_places(self) -> np.ndarray:
        """Where the shown items stand in test."""
        ids = self.dataset.test.ids
        found: np.ndarray = np.flatnonzero(np.isin(ids, np.array(self.shown, ids.dtype)))
        return found


@dataclass(frozen=True)
class Explained:
    """A sample that was explained.

    Attributes:
        name: What a person calls it.
        prediction: What the model says of it.
        parts: ``plain`` and ``picture``, or ``words``, as ``explanations.json`` has them.
    """

    name: str
    prediction: Prediction
    parts: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return it as ``explanations.json`` has it."""
        known = self.prediction.probability == self.prediction.probability
        return {
            "name": self.name,
            "prediction": self.prediction.label,
            "probability": self.prediction.probability if known else None,
            **self.parts,
        }


@dataclass(frozen=True)
class Way:
    """How samples of one kind are explained.

    Attributes:
        part: What is deleted, in words.
        num_passes: Passes of a sample that ``run`` takes about, a step back counting two.
        run: Returns what differs in ``explanations.json``; None where nothing can be explained.
        samples: Returns the parts of samples that a user gives, with what is said of them.
    """

    part: str
    num_passes: Callable[[Ensemble], int]
    run: Callable[[Explaining], dict[str, object] | None]
    samples: Callable[[Answerer, Any, Sequence[str], Mapping[str, Any]], list[Explained]]


def explain_run(
    ensemble: Ensemble, dataset: Dataset, shown: Sequence[int], *, seed: int = 0
) -> dict[str, object]:
    """Check a model's explanations on val, and explain some test items.

    Args:
        ensemble: Whoever answers.
        dataset: What it was made with.
        shown: Ids of the test items; twelve are taken at the most.
        seed: Of the draws.

    Returns:
        The content of ``explanations.json``: ``method``, ``part`` and ``effect`` in words;
        ``faithfulness``; ``items`` with what each was explained by; of rows also ``importance``,
        ``dependence``, ``single`` (the check of single rows) and ``background``. Empty where
        nothing is known to explain the model by.
    """
    way = way_of(ensemble)
    if way is None:
        return {}
    draw = np.random.default_rng((seed, 20))
    job = Explaining(Answerer(ensemble), dataset, list(shown)[:NUM_SHOWN], draw)
    found = way.run(job)
    if found is None:
        return {}
    has_classes = ensemble.task.has_classes
    record = {"part": way.part, "effect": job.answerer.effect, "is_share": has_classes}
    return {**record, **found}


def explain_samples(
    ensemble: Ensemble, samples: Any, names: Sequence[str], record: Mapping[str, Any]
) -> list[Explained]:
    """Explain what a user gives.

    Args:
        ensemble: Whoever answers.
        samples: As ``Ensemble.incoming`` takes them; at most 100 are explained.
        names: What to call each.
        record: ``explanations.json`` of the run, whose check has shown that they may be believed.

    Returns:
        One a sample that could be read, in order.
    """
    way = way_of(ensemble)
    return [] if way is None else way.samples(Answerer(ensemble), samples, names, record)


def way_of(ensemble: Ensemble) -> Way | None:
    """Return how a model's samples are explained; None where its answers are not one a sample.

    Several targets are several answers, and words of pairs are of two texts: neither is, yet.
    """
    if ensemble.task.parts:
        return None
    if any(find_head(one.model.head_name).reads_tokens for one in ensemble.members):
        return None
    return EXPLANATIONS.get(ensemble.preprocess.kind)


# Images -------------------------------------------------------------------------------------------


def _run_images(job: Explaining) -> dict[str, object] | None:
    ensemble = job.answerer.ensemble
    inputs = ensemble.prepare(job.dataset, "val", job.places("val", _NUM_CHECKED))
    if not len(inputs[0]) or not (method := method_of_images(job.answerer, inputs)):
        return None
    check = check_images(job.answerer, inputs, job.draw)
    items: list[Explained] = []
    places = job.shown_places
    if check.is_faithful and len(places):
        shown = ensemble.prepare(job.dataset, "test", places)
        outputs = job.answerer.outputs(shown)
        parts = explain_images(job.answerer, shown, outputs)
        items = _told(job.answerer, shown[0].names, outputs, parts)
    return _record(method, check, items)


def _image_samples(
    answerer: Answerer, samples: Any, names: Sequence[str], record: Mapping[str, Any]
) -> list[Explained]:
    found = []
    for inputs in answerer.ensemble.incoming(samples[:MOST_SAMPLES], names[:MOST_SAMPLES]):
        if len(inputs[0]):
            outputs = answerer.outputs(inputs)
            parts = explain_images(answerer, inputs, outputs)
            found += _told(answerer, inputs[0].names, outputs, parts)
    return found


# Texts --------------------------------------------------------------------------------------------


def _run_texts(job: Explaining) -> dict[str, object]:
    texts, _ = _readable(job, "val", job.places("val", _NUM_TEXTS))
    check = check_texts(job.answerer, texts, job.draw)
    items: list[Explained] = []
    shown, names = _readable(job, "test", job.shown_places)
    if check.is_faithful and shown:
        outputs = job.answerer.told(shown)
        items = _told(job.answerer, names, outputs, explain_texts(job.answerer, shown))
    return _record(method_of_texts(job.answerer), check, items)


def _readable(job: Explaining, name: SplitName, places: np.ndarray) -> tuple[list[str], list[str]]:
    """Return those of some texts that every member can read, and their names."""
    if not len(places):
        return [], []
    split = job.dataset.split(name)
    each = job.answerer.ensemble.prepare(job.dataset, name, places)
    ids = set.intersection(*({int(one) for one in inputs.ids} for inputs in each))
    good = [place for place in places.tolist() if int(split.ids[place]) in ids]
    return [str(split.samples.read(k)) for k in good], [split.samples.name(k) for k in good]


def _text_samples(
    answerer: Answerer, samples: Any, names: Sequence[str], record: Mapping[str, Any]
) -> list[Explained]:
    listed = answerer.ensemble.preprocess.listed(samples)[:MOST_SAMPLES]
    read = answerer.ensemble.preprocess.read(listed, list(names)[:MOST_SAMPLES])
    texts = [str(listed[int(place)]) for place in read.ids]
    if not texts:
        return []
    parts = explain_texts(answerer, texts)
    return _told(answerer, read.names, answerer.told(texts), parts)


# Rows ---------------------------------------------------------------------------------------------


def _run_rows(job: Explaining) -> dict[str, object] | None:
    answerer, dataset = job.answerer, job.dataset
    if len(columns_of(answerer.ensemble)) < 2:
        return None  # one column is all that there is to go by
    first, second = (_table(dataset, name, job.places(name, _NUM_ROWS)) for name in _ROWS_OF)
    worth = importance(answerer, first, job.draw)
    ranked = [str(one["column"]) for one in worth]
    check = check_columns(answerer, second, ranked, job.draw)
    background = _table(dataset, "train", job.places("train", _NUM_BACKGROUND)).rows
    single = check_rows(answerer, second.rows.slice(0, _NUM_CHECKED), background, job.draw)
    found = _record(PERMUTED, check, [])
    found["effect"] = "the loss rises by"
    if check.is_faithful:
        found["importance"] = worth
        found["dependence"] = dependence(answerer, first, ranked)
    found["single"] = {"method": REPLACED, "faithfulness": single.to_json()}
    if single.is_faithful:
        found["background"] = _to_json(background)
    return found


def _table(dataset: Dataset, name: SplitName, places: np.ndarray) -> TargetRows:
    """Return some rows of a split."""
    split = dataset.split(name)
    assert isinstance(split.samples, TableSamples)
    assert isinstance(split.targets, np.ndarray)
    return TargetRows(split.samples.columns(places), split.targets[places])


def _row_samples(
    answerer: Answerer, samples: Any, names: Sequence[str], record: Mapping[str, Any]
) -> list[Explained]:
    rows = _typed(answerer.ensemble, samples).slice(0, MOST_SAMPLES)
    background = _typed(answerer.ensemble, _from_json(answerer.ensemble, record["background"]))
    effects, columns, before = row_effects(answerer, rows, background)
    parts = []
    for k, row in enumerate(rows.to_pylist()):
        order = np.argsort(-np.abs(effects[k]), kind="stable")
        told = [(f"{columns[j]}: {row[columns[j]]}", float(effects[k, j])) for j in order.tolist()]
        parts.append({"words": [piece for one in told for piece in (one, (" · ", 0.0))][:-1]})
    return _told(answerer, names[:MOST_SAMPLES], before, parts)


def _to_json(rows: Any) -> list[dict[str, object]]:
    """Return rows of a pyarrow Table for JSON, which knows no dates."""
    return [
        {
            name: cell.isoformat() if isinstance(cell, datetime) else cell
            for name, cell in row.items()
        }
        for row in rows.to_pylist()
    ]


def _from_json(ensemble: Ensemble, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Return the rows again, their dates as dates, whatever form the data writes them in."""
    dates = {column.name for column in columns_of(ensemble) if column.kind == "date"}
    return [
        {
            name: datetime.fromisoformat(cell) if name in dates and cell is not None else cell
            for name, cell in row.items()
        }
        for row in rows
    ]


def _typed(ensemble: Ensemble, samples: Any) -> Any:
    """Return rows that a user gives as a pyarrow Table of the types of training."""
    read = ensemble.preprocess
    assert isinstance(read, TablePreprocess)
    return read.typed(read.listed(samples))


def _told(
    answerer: Answerer,
    names: Sequence[str],
    outputs: np.ndarray,
    parts: Sequence[Mapping[str, object]],
) -> list[Explained]:
    """Return samples with what is said of them and what they were explained by."""
    ensemble = answerer.ensemble
    said = ensemble.task.predictions(list(names), outputs, ensemble.schema)
    return [Explained(one.name, one, part) for one, part in zip(said, parts, strict=True)]


def _record(method: str, check: Faithfulness, items: Sequence[Explained]) -> dict[str, object]:
    listed = [one.to_json() for one in items]
    return {"method": method, "faithfulness": check.to_json(), "items": listed}


def _image_passes(ensemble: Ensemble) -> int:
    return _NUM_CHECKED * 8 + NUM_SHOWN * 4


def _text_passes(ensemble: Ensemble) -> int:
    return (_NUM_TEXTS + NUM_SHOWN) * 32


def _row_passes(ensemble: Ensemble) -> int:
    number = len(columns_of(ensemble))
    return _NUM_ROWS * (2 * number + 60) + _NUM_CHECKED * _NUM_BACKGROUND * number


EXPLANATIONS: dict[str, Way] = {
    "image": Way("image", _image_passes, _run_images, _image_samples),
    "tokens": Way("words", _text_passes, _run_texts, _text_samples),
    "terms": Way("words", _text_passes, _run_texts, _text_samples),
    "table": Way("columns", _row_passes, _run_rows, _row_samples),
}
