"""A tag for each word of a text: entities, parts of speech.

Targets are rows of tags, one row a text and one tag a word; outputs are probabilities of each word.
What counts is entities: IOB1, IOB2, BIOES and BILOU are read, and kept as IOB2. Decided is the
likeliest row of tags in which no entity goes on with nothing. Left out: entities that overlap, or
that are not in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.errors import DataError, OptionError, UnlabelledError
from headstart.evaluation import (
    NUM_RESAMPLES,
    Scores,
    TagSet,
    compare_classes,
    decode,
    entities_of,
    entity_f1,
    fit_temperature,
    majority_baseline,
    over_all_entities,
    score_entities,
    softmax,
    span_chances,
    tune_power,
)
from headstart.evaluation.clusters import as_groups
from headstart.evaluation.entities import Entities
from headstart.tasks.plain import TextColumn, texts_of
from headstart.tasks.reading import TargetColumn, Targets
from headstart.tasks.schemes import OUTSIDE, read_entities
from headstart.tasks.tag_figures import OF_ENTITIES, OF_TAGS, WORDS
from headstart.tasks.task import Task
from headstart.tasks.word_answers import spans_of, told_places, told_spans
from headstart.types import (
    Comparison,
    Deciding,
    Figure,
    Inputs,
    Prediction,
    Rows,
    Schema,
    Sentence,
)
from headstart.types.ragged import Ragged


def ragged_of(rows: Rows) -> Ragged:
    """Return rows of different lengths as what they are.

    Raises:
        OptionError: All have one length, as an array: then they are of another task.
    """
    if isinstance(rows, Ragged):
        return rows
    raise OptionError(
        f"There is an array of shape {np.shape(rows)}, expected a row of tags for each text. Give "
        "what this task's model gives."
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class WordTask(Task):
    """What is told of each word of a text: targets ragged int64, logits and outputs ragged (T, K).

    Attributes:
        is_of_entities: Whether several words may be one entity.
    """

    is_of_entities: bool
    has_classes: bool = True
    tells_words: bool = True

    def read(self, column: TargetColumn) -> Targets:
        """Return rows of numbers of tags; of entities ``O`` first, then two tags a type."""
        rows = [self._row(column, number) for number in range(len(column.values))]
        if not self.is_of_entities:
            names = tuple(sorted({tag for row in rows for tag in row}))
            return Targets(self.name, _numbered(rows, names), names, [])
        tags, findings = read_entities(rows, column.what, column.place)
        types = sorted({tag[2:] for row in tags for tag in row} - {""})
        classes = (OUTSIDE, *(f"{where}-{kind}" for kind in types for where in "BI"))
        return Targets(self.name, _numbered(tags, classes), classes, findings)

    def _row(self, column: TargetColumn, number: int) -> list[str]:
        row: Any = column.values[number]
        if isinstance(row, str) or not isinstance(row, (list, tuple, np.ndarray)):
            raise DataError(
                f"{column.what} holds {str(row)[:40]!r} in {column.place(number)}; expected a list "
                "of tags, one for each word of the text. Give CoNLL lines, lists of words with "
                "lists of tags, or texts with spans."
            )
        return [str(tag) for tag in row]

    def meaning(self, num_tags: int) -> TagSet:
        """Return what the tags mean, by how many there are."""
        return TagSet.of_entities(num_tags) if self.is_of_entities else TagSet.of_words(num_tags)

    def types(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the types of entities, or of the tags themselves."""
        return tuple(tag[2:] for tag in classes[1::2]) if self.is_of_entities else tuple(classes)

    def check_learnable(self, name: str, targets: Rows, classes: Sequence[str]) -> None:
        """Refuse fewer than two tags."""
        if len(classes) < 2:
            found = f"one tag only ('{classes[0]}')" if classes else "no tag"
            raise UnlabelledError(
                f"{name} has {found}; at least two are needed to tell words apart. Check that the "
                "tags stand in the last column, or say which with --label."
            )

    def strata(self, targets: Rows) -> np.ndarray:
        """Return the rarest tag of each row; tags but the most frequent one, which most have."""
        rows = ragged_of(targets)
        num = int(rows.whole.max(initial=0)) + 1
        counts = np.bincount(rows.whole, minlength=num)
        rank = np.empty(num, np.int64)
        rank[np.argsort(counts, kind="stable")] = np.arange(num)
        starts = rows.offsets[:-1] - rows.offsets[0]
        if not len(rows.whole):
            return np.zeros(len(rows), np.int64)
        rarest: np.ndarray = np.minimum.reduceat(rank[rows.whole], starts)
        return rarest

    def class_counts(self, targets: Rows, num_classes: int) -> np.ndarray:
        """Return how many words have each tag."""
        return np.bincount(ragged_of(targets).whole, minlength=num_classes)

    def asked_classes(self, classes: Sequence[str]) -> Sequence[int]:
        """Return the tags with which an entity begins."""
        return range(1, len(classes), 2) if self.is_of_entities else range(len(classes))

    def align(self, targets: Rows, places: np.ndarray, num_classes: int) -> Rows:
        """Return the numbers of the same tags among the model's own."""
        rows = ragged_of(targets)
        return Ragged(places[rows.whole], rows.offsets - rows.offsets[0])

    def option_problems(self, said: Any) -> list[str]:
        """Refuse weights of classes: a text has words of many."""
        wrong = super().option_problems(said)
        if said.get("imbalance") == "weights":
            wrong.append(f"imbalance 'weights' needs one class a sample, and this is {self.name}")
        return wrong

    def validation_score(self, logits: Rows, targets: Rows) -> tuple[float, float]:
        """Return F1 over entities, of words their accuracy, and its error over texts."""
        rows, wanted = ragged_of(logits), ragged_of(targets)
        if not np.isfinite(rows.whole).all():
            return float("nan"), float("nan")
        meaning = self.meaning(rows.flat.shape[1])
        return entity_f1(decode(rows, meaning), wanted, meaning)

    def fit_temperature(self, logits: Rows, targets: Rows) -> float:
        """Return the temperature with the smallest log loss a word."""
        return fit_temperature(ragged_of(logits).whole, ragged_of(targets).whole)

    def outputs(
        self,
        logits: Rows,
        schema: Schema,
        *,
        temperature: float = 1.0,
        target_mean: float = 0.0,
        target_scale: float = 1.0,
    ) -> Rows:
        """Return probabilities of each word's tags."""
        rows = ragged_of(logits)
        super().outputs(rows.whole, schema, temperature=temperature)
        return Ragged(softmax(rows.whole, temperature), rows.offsets - rows.offsets[0])

    def _calibrated(
        self, logits: np.ndarray, temperature: float, mean: float, scale: float
    ) -> Rows:
        return softmax(logits, temperature)

    def decisions(self, outputs: Rows) -> Rows:
        """Return the likeliest tags of each text in which no entity goes on with nothing."""
        rows = ragged_of(outputs)
        scores = Ragged(np.log(np.maximum(rows.flat, 1e-30)), rows.offsets)
        return decode(scores, self.meaning(rows.flat.shape[1]))

    def scores(
        self,
        outputs: Rows,
        targets: Rows,
        schema: Schema,
        *,
        seed: int = 0,
        num_resamples: int = NUM_RESAMPLES,
        groups: np.ndarray | None = None,
        decisions: Rows | None = None,
    ) -> Scores:
        """Measure as ``score_entities``."""
        found = score_entities(
            ragged_of(outputs),
            ragged_of(self.decisions(outputs) if decisions is None else decisions),
            ragged_of(targets),
            self.meaning(len(schema.classes)),
            self.types(schema.classes),
            seed=seed,
            num_resamples=num_resamples,
            groups=groups,
        )
        return replace(found, figures={name: found.figures[name] for name in self.figures})

    def headline_figure(
        self,
        decisions: Rows,
        targets: Rows,
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> Figure:
        """Return F1 over all entities, of words their accuracy."""
        said, wanted = ragged_of(decisions), ragged_of(targets)
        told = as_groups(groups, len(wanted))
        meaning = self.meaning(max(_width(said), _width(wanted)))
        return over_all_entities(said, wanted, meaning, told)["f1_entities"]

    def compare(
        self,
        before: str,
        before_decisions: Rows,
        after: str,
        after_decisions: Rows,
        targets: Rows,
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> Comparison:
        """Compare which texts each has right in every tag."""
        first, second = (
            (self.item_errors(rows, targets) == 0).astype(np.int64)
            for rows in (before_decisions, after_decisions)
        )
        wanted = np.ones(len(first), np.int64)
        found = compare_classes(before, first, after, second, wanted, seed=seed, groups=groups)
        return replace(found, metric="exact_match")

    def item_errors(self, decisions: Rows, targets: Rows) -> np.ndarray:
        """Return 1 for each text that is not right in every tag."""
        said, wanted = ragged_of(decisions), ragged_of(targets)
        wrong = said.whole != wanted.whole
        rows = np.repeat(np.arange(len(wanted)), wanted.lengths)
        found: np.ndarray = np.bincount(rows[wrong], minlength=len(wanted)) > 0
        return found.astype(np.float64)

    def baseline(self, train_targets: Rows, targets: Rows, schema: Schema) -> tuple[str, Rows]:
        """Predict train's most frequent tag for every word."""
        known, rows = ragged_of(train_targets).whole, ragged_of(targets)
        same = majority_baseline(known, num_items=len(rows.whole), num_classes=len(schema.classes))
        return "most frequent tag", Ragged(same, rows.offsets - rows.offsets[0])

    # What a person reads ------------------------------------------------------------------------

    def entities(self, outputs: Rows) -> tuple[Entities, np.ndarray]:
        """Return what is told of the words, and how probable each of it is, float64, shape (M,)."""
        rows = ragged_of(outputs)
        meaning = self.meaning(rows.flat.shape[1])
        found = entities_of(ragged_of(self.decisions(rows)), meaning)
        chances = span_chances(rows, found, meaning)
        power = self.deciding.span_power
        return found, chances if power is None else chances**power

    def tuned(self, outputs: Rows, targets: Rows) -> Deciding:
        """Return how answers are made, with the power that val's entities ask for.

        Args:
            outputs: Of val.
            targets: The same.
        """
        if not self.is_of_entities:  # a tag of one word is as sure as its temperature makes it
            return self.deciding
        plain = self.deciding_by(replace(self.deciding, span_power=None))
        found, chances = plain.entities(outputs)
        wanted = entities_of(ragged_of(targets), self.meaning(ragged_of(outputs).flat.shape[1]))
        return replace(self.deciding, span_power=tune_power(chances, found.among(wanted)))

    def predictions(self, names: Sequence[str], outputs: Rows, schema: Schema) -> list[Prediction]:
        """Return the tags of each text, one word after the other."""
        rows = ragged_of(self.decisions(outputs))
        tags = [" ".join(schema.classes[k] for k in row) for row in rows]
        return [
            Prediction(name, label, math.nan, ()) for name, label in zip(names, tags, strict=True)
        ]

    def predictions_of(self, inputs: Inputs, outputs: Rows, schema: Schema) -> list[Prediction]:
        """Return what is told of each text, with its places in the user's own text."""
        found, chances = self.entities(outputs)
        sentences: Sequence[Sentence] = getattr(inputs, "sentences", ())
        spans = spans_of(found, chances, self.types(schema.classes), sentences)
        return [told_spans(name, of) for name, of in zip(inputs.names, spans, strict=True)]

    def item_columns(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, Any]:
        """Return target and prediction of each text, its tags joined by blanks."""
        return {
            "target": self._joined(targets, schema),
            "prediction": self._joined(self.decisions(outputs), schema),
        }

    def read_item_column(self, column: TextColumn | np.ndarray, schema: Schema) -> Rows:
        """Return the tags that each text of them joins."""
        found = texts_of(column)
        place = {name: number for number, name in enumerate(schema.classes)}
        try:
            rows = [np.array([place[tag] for tag in text.split(" ")]) for text in found.different]
        except KeyError as unknown:
            raise OptionError(
                f"predictions.parquet names a tag {unknown} that model.json does not know. Run the "
                "training again with --overwrite."
            ) from None
        return Ragged.of(rows)[found.codes]

    def _joined(self, rows: Rows, schema: Schema) -> list[str]:
        return [" ".join(schema.classes[int(k)] for k in row) for row in ragged_of(rows)]

    def badness(self, targets: Rows, outputs: Rows) -> np.ndarray:
        """Return how many words are wrong."""
        said, wanted = ragged_of(self.decisions(outputs)), ragged_of(targets)
        wrong = said.whole != wanted.whole
        rows = np.repeat(np.arange(len(wanted)), wanted.lengths)
        return np.bincount(rows[wrong], minlength=len(wanted)).astype(np.float64)

    def mistake(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, object]:
        """Return what was to be told of one text and what was, by the numbers of its words."""
        said, wanted = ragged_of(self.decisions(outputs)), ragged_of(targets)
        sure = ragged_of(outputs).whole[np.arange(len(said.whole)), said.whole]
        meaning, types = self.meaning(len(schema.classes)), self.types(schema.classes)
        return {
            "target": told_places(entities_of(wanted, meaning), types),
            "prediction": told_places(entities_of(said, meaning), types),
            "probability": float(sure.min(initial=1.0)),
        }


def _numbered(rows: Sequence[Sequence[str]], classes: Sequence[str]) -> Ragged:
    place = {name: number for number, name in enumerate(classes)}
    return Ragged.of([np.array([place[tag] for tag in row], np.int64) for row in rows])


def _width(rows: Ragged) -> int:
    """Return how many tags there are at least, by the largest number."""
    largest = int(rows.whole.max(initial=0))
    return largest + 1 + largest % 2  # of entities a type has two tags, and there is one outside


TOKEN_CLASSIFICATION = WordTask(
    name="token-classification",
    is_of_entities=True,
    figures=OF_ENTITIES,
    headline="f1_entities",
    validation_metric="f1_entities",
    item_loss="log loss",
    probe="logistic",
    head="token",
    hub_task="token-classification",
    stratified="stratified by the rarest tag",
    is_smoothed=True,
    words=WORDS,
)
TAGGING = WordTask(
    name="tagging",
    is_of_entities=False,
    figures=OF_TAGS,
    headline="accuracy",
    validation_metric="accuracy",
    item_loss="log loss",
    probe="logistic",
    head="token",
    hub_task="token-classification",
    stratified="stratified by the rarest tag",
    is_smoothed=True,
    words=WORDS,
)
