"""Any number of classes a sample: lists or separated words in a column, a sigmoid for each label.

Split by the rarest label of a sample, scored by F1 over all decisions, compared by which items each
predictor has right in every label. A label is said where its probability is 0.5 or more, or its own
threshold where these were tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.cells import is_missing
from headstart.errors import DataError, OptionError
from headstart.evaluation import (
    NUM_RESAMPLES,
    ItemSums,
    Scores,
    compare_labels,
    f1_micro,
    f1_micro_and_error,
    fit_label_temperature,
    frequent_labels_baseline,
    label_set_misfits,
    label_sums,
    score_labels,
    sigmoid,
)
from headstart.tasks.certain import Question
from headstart.tasks.classes import ClassTask
from headstart.tasks.plain import PlainProblem, TextColumn, array_of, texts_of
from headstart.tasks.reading import SEPARATORS, TargetColumn, Targets, tidy_labels
from headstart.tasks.words import Pairing, TaskWords
from headstart.types import Comparison, Figure, Finding, Measure, Rows, Schema

_LISTS = (list, tuple, set, np.ndarray)


@dataclass(frozen=True, eq=False, kw_only=True)
class MultiLabel(ClassTask):
    """Several labels a sample: targets uint8, shape (N, K), outputs one probability a label."""

    def read(self, column: TargetColumn) -> Targets:
        """Return 0 or 1 for each label."""
        values, what, separator = column.values, column.what, column.separator
        are_texts = any(isinstance(value, str) for value in values)
        if not separator and are_texts and not any(isinstance(value, _LISTS) for value in values):
            shown = next(str(value) for value in values if isinstance(value, str))
            used = [s for s in SEPARATORS if any(s in str(value) for value in values)]
            example = used[0] if used else SEPARATORS[0]
            raise OptionError(
                f"{what} holds texts such as '{shown[:60]}', and task is multi-label; what stands "
                f"between the labels is not known. Say it, for example --separator '{example}'."
            )
        sets = [_label_set(value, column, i) for i, value in enumerate(values)]
        flat, merged = tidy_labels([label for labels in sets for label in labels], what)
        if len(set(flat)) < 2:
            found = f"all of them hold '{flat[0]}' alone" if flat else "all of them are empty"
            kind = type(values[0]).__name__ if separator is None else "text of labels"
            raise DataError(
                f"{what} holds a {kind} in {column.place(0)}, so the task is multi-label, but "
                f"{found}; expected at least two classes. Name another column with --label."
            )
        named, classes, findings = column.named(flat)
        index = {name: position for position, name in enumerate(classes)}
        targets = np.zeros((len(values), len(classes)), np.uint8)
        rows = np.repeat(np.arange(len(sets)), [len(labels) for labels in sets])
        targets[rows, [index[name] for name in named]] = 1
        if num_bare := int((targets.sum(axis=1) == 0).sum()):
            sentence = f"{num_bare:,} of {len(values):,} samples have no label: none applies."
            findings.append(Finding("unlabelled", "note", (), sentence))
        return Targets(self.name, targets, classes, [*merged, *findings])

    def strata(self, targets: Rows) -> np.ndarray:
        """Return the rarest label of each sample; those without one are a stratum of their own."""
        labels = array_of(targets)
        counts = labels.sum(axis=0, dtype=np.int64)
        rarest_first = np.argsort(counts, kind="stable")
        rarest = rarest_first[labels[:, rarest_first].argmax(axis=1)]
        return np.where(labels.any(axis=1), rarest, len(counts)).astype(np.int64)

    def class_counts(self, targets: Rows, num_classes: int) -> np.ndarray:
        """Return how many samples have each label."""
        return np.asarray(array_of(targets).sum(axis=0, dtype=np.int64))

    def align(self, targets: Rows, places: np.ndarray, num_classes: int) -> Rows:
        """Return the columns of the model's own labels; those that the data lacks apply nowhere."""
        labels = array_of(targets)
        wide = np.zeros((len(labels), num_classes), dtype=labels.dtype)
        wide[:, places] = labels
        return wide

    def plain_problems(self, targets: Rows, num_classes: int) -> Sequence[PlainProblem]:
        """Return each label as a problem of two classes."""
        return [PlainProblem(array_of(targets)[:, k], 2) for k in range(num_classes)]

    def joined_answers(self, answers: Sequence[np.ndarray]) -> Rows:
        """Return the probability of each label from those of having and lacking it."""
        return np.stack([found[:, 1] for found in answers], axis=1)

    def class_weights(self, targets: Rows, num_classes: int) -> np.ndarray:
        """Return how much more a positive weighs than a negative: negatives over positives.

        1 for a label that all have, or none.
        """
        labels = array_of(targets)
        positives = labels.sum(axis=0, dtype=np.float64)
        negatives = len(labels) - positives
        has_both = (positives > 0) & (negatives > 0)
        ratio: np.ndarray = np.divide(
            negatives, positives, out=np.ones(num_classes), where=has_both
        )
        return ratio.astype(np.float32)

    def validation_score(self, logits: Rows, targets: Rows) -> tuple[float, float]:
        """Return micro F1 at p >= 0.5 of float32 logits, shape (N, K)."""
        return f1_micro_and_error(array_of(logits) >= 0, array_of(targets) != 0)

    def fit_temperature(self, logits: Rows, targets: Rows) -> float:
        """Return the one temperature of all labels with the smallest binary log loss."""
        return fit_label_temperature(array_of(logits), array_of(targets))

    def logits_of(self, outputs: Rows, *, mean: float = 0.0, scale: float = 1.0) -> np.ndarray:
        """Return the log odds of probabilities."""
        found = np.clip(array_of(outputs).astype(np.float64), 1e-15, 1 - 1e-15)
        logits: np.ndarray = np.log(found) - np.log1p(-found)
        return logits

    def _calibrated(
        self, logits: np.ndarray, temperature: float, mean: float, scale: float
    ) -> np.ndarray:
        return sigmoid(logits, temperature)

    def decisions(self, outputs: Rows) -> np.ndarray:
        """Return 1 where p is at least the label's threshold, 0.5, uint8, shape (N, K)."""
        return (array_of(outputs) >= self._thresholds).astype(np.uint8)

    @property
    def _thresholds(self) -> np.ndarray:
        """From which probability on a label is said, float64, shape (K,) or (1,)."""
        return np.asarray(self.deciding.thresholds or (0.5,), np.float64)

    def questions(self, outputs: Rows, targets: Rows, schema: Schema) -> Sequence[Question]:
        """Return that of each label."""
        probabilities, wanted = array_of(outputs).astype(np.float64), array_of(targets) != 0
        named = enumerate(schema.classes)
        return [Question(name, probabilities[:, k], wanted[:, k]) for k, name in named]

    def certainty(self, outputs: Rows, targets: Rows) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the probability of every label, item by item, and whether it applies."""
        return array_of(outputs).astype(np.float64).ravel(), (array_of(targets) != 0).ravel()

    def confidence(self, outputs: Rows) -> np.ndarray:
        """Return the probability of the label that is decided with the least, (N,)."""
        probabilities = array_of(outputs).astype(np.float64)
        is_said = self.decisions(outputs) != 0
        return np.asarray(np.where(is_said, probabilities, 1.0 - probabilities).min(axis=1))

    def leads(self, outputs: Rows) -> np.ndarray | None:
        """Return how far the label that is nearest to its threshold is from it."""
        return np.asarray(np.abs(array_of(outputs) - self._thresholds).min(axis=1))

    def misfits(self, outputs: Rows, targets: Rows) -> np.ndarray | None:
        """Return how ill the worst of an item's labels fits."""
        return label_set_misfits(array_of(outputs), array_of(targets), self.decided(outputs))

    def decided(self, outputs: Rows) -> np.ndarray:
        """Return the labels that are."""
        return self.decisions(outputs).astype(bool)

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
        """Measure as ``score_labels``."""
        return score_labels(
            array_of(outputs),
            array_of(targets),
            schema.classes,
            seed=seed,
            num_resamples=num_resamples,
            groups=groups,
            predictions=array_of(self.decisions(outputs) if decisions is None else decisions),
        )

    def headline_figure(
        self,
        decisions: Rows,
        targets: Rows,
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> Figure:
        """Return micro F1."""
        return f1_micro(array_of(decisions), array_of(targets), seed=seed, groups=groups)

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
        """Compare as ``compare_labels``."""
        first, second, wanted = map(array_of, (before_decisions, after_decisions, targets))
        return compare_labels(before, first, after, second, wanted, seed=seed, groups=groups)

    def baseline(
        self, train_targets: Rows, targets: Rows, schema: Schema
    ) -> tuple[str, np.ndarray]:
        """Predict the most frequent labels, as many as give the best micro F1 on train."""
        found = frequent_labels_baseline(
            array_of(train_targets), num_items=len(targets), num_labels=len(schema.classes)
        )
        return "most frequent labels", found

    def class_names(self, rows: Rows, schema: Schema) -> list[str]:
        """Return the names of the labels that apply, joined by ``", "``."""
        return [", ".join(schema.classes[k] for k in np.flatnonzero(row)) for row in rows]

    def read_item_column(self, column: TextColumn | np.ndarray, schema: Schema) -> Rows:
        """Return the labels of each text of them, as ``class_names`` has joined them."""
        found = texts_of(column)
        rows = np.zeros((len(found.different), len(schema.classes)), np.uint8)
        for place, text in enumerate(found.different):
            rows[place, labels_in(text, schema.classes)] = 1
        return np.asarray(rows[found.codes])

    def item_sums(
        self, decisions: Rows, targets: Rows, schema: Schema, losses: np.ndarray
    ) -> ItemSums:
        """Sum up as ``label_sums``."""
        return label_sums(array_of(decisions), array_of(targets), losses)

    def badness(self, targets: Rows, outputs: Rows) -> np.ndarray:
        """Return how sure the model was of the label it is most wrong about."""
        wanted, probabilities = array_of(targets), array_of(outputs)
        badness: np.ndarray = np.abs(probabilities - wanted).max(axis=1)
        badness[(self.decisions(probabilities) == wanted).all(axis=1)] = 0.0
        return badness


MULTI_LABEL = MultiLabel(
    name="multi-label",
    figures={
        "f1_micro": Measure("F1 (micro)", "balance of precision and recall over all labels given"),
        "precision_micro": Measure("precision (micro)", "share of the labels given that are right"),
        "recall_micro": Measure("recall (micro)", "share of the true labels that are given"),
        "f1_macro": Measure("F1 (macro)", "mean F1 of the labels, rare ones counting the same"),
        "precision_macro": Measure("precision (macro)", "mean precision of the labels"),
        "recall_macro": Measure("recall (macro)", "mean recall of the labels"),
        "exact_match": Measure("exact match", "share of items with every label right"),
        "hamming_loss": Measure(
            "Hamming loss", "lower is better; share of wrong yes-or-no decisions", False
        ),
        "roc_auc": Measure("ROC-AUC (macro)", "how well a label's items rank above the rest"),
        "average_precision": Measure(
            "average precision (macro)", "precision along that ranking, mean of the labels"
        ),
        "log_loss": Measure("log loss", "lower is better; punishes confident mistakes", False),
        "brier": Measure("Brier score", "lower is better; squared error, 0 to 1", False),
    },
    headline="f1_micro",
    validation_metric="f1_micro",
    item_loss="log loss",
    probe="logistic-labels",
    stratified="stratified by the rarest label",
    has_label_sets=True,
    transformers_problem="multi_label_classification",
    words=TaskWords(
        one="label",
        several="labels",
        pairing=Pairing(
            "Gained: items that only the second has right in every label; lost: items that only "
            "the first has; p: McNemar, exact, on whole items.",
            difference="difference in exact match",
            figure="exact_match",
        ),
    ),
)


def labels_in(text: str, classes: Sequence[str]) -> list[int]:
    """Return which labels a text joins by ``", "``, in their order; a name may hold a comma.

    Args:
        text: As ``class_names`` has joined them.
        classes: All labels.

    Raises:
        OptionError: It joins none that are known, or may join different ones.
    """
    if not text:
        return []
    open_ways: list[tuple[str, list[int]]] = [(text, [])]
    ways: list[list[int]] = []
    while open_ways:
        rest, found = open_ways.pop()
        for place in range(found[-1] + 1 if found else 0, len(classes)):
            if rest == classes[place]:
                ways.append([*found, place])
            elif rest.startswith(f"{classes[place]}, "):
                open_ways.append((rest[len(classes[place]) + 2 :], [*found, place]))
    if len(ways) == 1:
        return ways[0]
    what = "may join different labels" if ways else "joins no labels that model.json knows"
    raise OptionError(
        f"predictions.parquet holds '{text}', which {what}; expected labels without commas in "
        "their names. Rename them, and run the training again."
    )


def _label_set(value: object, column: TargetColumn, place: int) -> list[str]:
    """Return the labels of one cell; an empty cell has none."""
    separator = column.separator
    if isinstance(value, _LISTS):
        items = sorted(value) if isinstance(value, set) else list(value)
        if any(isinstance(item, (list, tuple, set, dict, np.ndarray)) for item in items):
            raise DataError(
                f"{column.what} holds lists inside a list in {column.place(place)}; expected a "
                "list of class names. "
                "Name another column with --label."
            )
        return [str(item).strip() for item in items if not is_missing(item)]
    if is_missing(value):
        return []
    if separator is None:
        raise DataError(
            f"{column.what} holds '{value}' in {column.place(place)}, where other rows hold lists "
            "of labels. Make it a list too."
        )
    return [label.strip() for label in str(value).split(separator) if label.strip()]
