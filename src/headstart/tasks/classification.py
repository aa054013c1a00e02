"""One class a sample: class names or whole numbers in a column, a softmax over them.

Split by class, scored by accuracy, compared by which items each predictor has right (McNemar).
Left out: an order among the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.cells import is_missing
from headstart.columnar import array_from, kinds_of, mapped
from headstart.errors import DataError, OptionError
from headstart.evaluation import (
    NUM_RESAMPLES,
    ItemSums,
    Scores,
    accuracy,
    accuracy_and_error,
    class_sums,
    compare_classes,
    expected_costs,
    fit_temperature,
    majority_baseline,
    score_classes,
    softmax,
)
from headstart.tasks.certain import Question
from headstart.tasks.classes import ClassTask
from headstart.tasks.plain import PlainProblem, TextColumn, array_of, texts_of
from headstart.tasks.reading import Place, TargetColumn, Targets, encode_targets, tidy_labels
from headstart.tasks.words import Pairing, TaskWords
from headstart.types import Comparison, Figure, Measure, Rows, Schema


@dataclass(frozen=True, eq=False, kw_only=True)
class Classification(ClassTask):
    """One class a sample: targets int64, shape (N,), outputs probabilities that sum to 1."""

    def read(self, column: TargetColumn) -> Targets:
        """Return class indices."""
        labels = class_labels(column.values, column.what, column.place)
        labels, merged = tidy_labels(labels, column.what)
        named, classes, findings = column.named(labels)
        return Targets(self.name, encode_targets(named, classes), classes, [*merged, *findings])

    def strata(self, targets: Rows) -> np.ndarray:
        """Return the class of each sample."""
        return array_of(targets)

    def class_counts(self, targets: Rows, num_classes: int) -> np.ndarray:
        """Return how many samples each class has."""
        return np.bincount(array_of(targets), minlength=num_classes)

    def align(self, targets: Rows, places: np.ndarray, num_classes: int) -> Rows:
        """Return the indices of the same classes among the model's own."""
        return np.asarray(places[array_of(targets)])

    def plain_problems(self, targets: Rows, num_classes: int) -> Sequence[PlainProblem]:
        """Return the task itself."""
        return (PlainProblem(array_of(targets), num_classes),)

    def class_weights(self, targets: Rows, num_classes: int) -> np.ndarray:
        """Return weights inverse to the classes' frequency, mean 1 over the samples.

        A class without samples has 0.
        """
        counts = self.class_counts(targets, num_classes).astype(np.float64)
        num_seen = (counts > 0).sum()
        weights: np.ndarray = np.divide(
            len(targets), counts * num_seen, out=np.zeros(num_classes), where=counts > 0
        )
        return weights.astype(np.float32)

    def validation_score(self, logits: Rows, targets: Rows) -> tuple[float, float]:
        """Return the accuracy of float32 logits, shape (N, K)."""
        return accuracy_and_error(array_of(logits).argmax(axis=1), array_of(targets))

    def fit_temperature(self, logits: Rows, targets: Rows) -> float:
        """Return the temperature with the smallest log loss."""
        return fit_temperature(array_of(logits), array_of(targets))

    def logits_of(self, outputs: Rows, *, mean: float = 0.0, scale: float = 1.0) -> np.ndarray:
        """Return the logarithms of probabilities."""
        logits: np.ndarray = np.log(np.maximum(array_of(outputs), 1e-30))
        return logits

    def _calibrated(
        self, logits: np.ndarray, temperature: float, mean: float, scale: float
    ) -> np.ndarray:
        return softmax(logits, temperature)

    def decisions(self, outputs: Rows) -> np.ndarray:
        """Return the most probable class, or what a threshold or costs say, int64, shape (N,)."""
        probabilities, positive = array_of(outputs), self.deciding.positive
        if self.deciding.costs:
            costs = expected_costs(probabilities, np.array(self.deciding.costs))
            return np.asarray(costs.argmin(axis=1).astype(np.int64))
        if positive is None:
            return np.asarray(probabilities.argmax(axis=1).astype(np.int64))
        says_yes = probabilities[:, positive] >= self.deciding.thresholds[0]
        return np.where(says_yes, positive, 1 - positive).astype(np.int64)

    def told_probability(self, outputs: Rows) -> np.ndarray:
        """Return the probability of the class that is decided for, float64, shape (N,)."""
        return _of_decided(array_of(outputs), self.decisions(outputs)).astype(np.float64)

    def confidence(self, outputs: Rows) -> np.ndarray:
        """Return the same."""
        return self.told_probability(outputs)

    def questions(self, outputs: Rows, targets: Rows, schema: Schema) -> Sequence[Question]:
        """Return that of each class against the rest; of two classes that of the positive one."""
        probabilities, wanted = array_of(outputs).astype(np.float64), array_of(targets)
        positive = 1 if self.deciding.positive is None else self.deciding.positive
        asked = [positive] if len(schema.classes) == 2 else range(len(schema.classes))
        return [Question(schema.classes[k], probabilities[:, k], wanted == k) for k in asked]

    def certainty(self, outputs: Rows, targets: Rows) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the probability of the most probable class, and whether it is right."""
        probabilities = array_of(outputs).astype(np.float64)
        return probabilities.max(axis=1), probabilities.argmax(axis=1) == array_of(targets)

    def leads(self, outputs: Rows) -> np.ndarray | None:
        """Return the lead over the second class; with a threshold the way to that.

        Where answers cost differently, by how much the second cheapest is dearer.
        """
        probabilities, positive = array_of(outputs).astype(np.float64), self.deciding.positive
        if self.deciding.costs:
            costs = expected_costs(probabilities, np.array(self.deciding.costs))
            lowest = np.partition(costs, 1, axis=1)
            return np.asarray(lowest[:, 1] - lowest[:, 0])
        if positive is not None:
            return np.abs(probabilities[:, positive] - self.deciding.thresholds[0])
        highest = np.partition(probabilities, -2, axis=1)
        return np.asarray(highest[:, -1] - highest[:, -2])

    def misfits(self, outputs: Rows, targets: Rows) -> np.ndarray | None:
        """Return 1 - p of the target; 0 where that is the most probable class, or is answered."""
        return _of_decided(self.class_misfits(outputs), array_of(targets))

    def decided(self, outputs: Rows) -> np.ndarray:
        """Return the one class that is."""
        num_classes = array_of(outputs).shape[1]
        return np.asarray(self.decisions(outputs)[:, None] == np.arange(num_classes))

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
        """Measure as ``score_classes``."""
        return score_classes(
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
        """Return the accuracy."""
        return accuracy(array_of(decisions), array_of(targets), groups=groups)

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
        """Compare as ``compare_classes``."""
        first, second, wanted = map(array_of, (before_decisions, after_decisions, targets))
        return compare_classes(before, first, after, second, wanted, seed=seed, groups=groups)

    def baseline(
        self, train_targets: Rows, targets: Rows, schema: Schema
    ) -> tuple[str, np.ndarray]:
        """Predict train's most frequent class."""
        found = majority_baseline(
            array_of(train_targets), num_items=len(targets), num_classes=len(schema.classes)
        )
        return "majority class", found

    def class_names(self, rows: Rows, schema: Schema) -> list[str]:
        """Return the name of each class index."""
        return [schema.classes[int(row)] for row in array_of(rows)]

    def read_item_column(self, column: TextColumn | np.ndarray, schema: Schema) -> Rows:
        """Return the class index of each name."""
        found = texts_of(column)
        index = {name: place for place, name in enumerate(schema.classes)}
        places = np.array([index.get(name, -1) for name in found.different], np.int64)
        if (places < 0).any():
            raise OptionError(
                f"predictions.parquet names a class '{found.different[int(places.argmin())]}' that "
                "model.json does not know. Run the training again with --overwrite."
            )
        return np.asarray(places[found.codes])

    def item_sums(
        self, decisions: Rows, targets: Rows, schema: Schema, losses: np.ndarray
    ) -> ItemSums:
        """Sum up as ``class_sums``."""
        first, wanted = array_of(decisions), array_of(targets)
        return class_sums(first, wanted, len(schema.classes), losses)

    def badness(self, targets: Rows, outputs: Rows) -> np.ndarray:
        """Return how sure the model was of a wrong class."""
        decided = self.decisions(outputs)
        wrong = decided != array_of(targets)
        return np.where(wrong, _of_decided(array_of(outputs), decided), 0.0)


CLASSIFICATION = Classification(
    name="classification",
    figures={
        "accuracy": Measure("accuracy", "share of right predictions", unit="percent"),
        "precision_macro": Measure(
            "precision (macro)", "share of a class's predictions that are right"
        ),
        "recall_macro": Measure("recall (macro)", "share of a class's items that are found"),
        "f1_macro": Measure("F1 (macro)", "balance of precision and recall"),
        "roc_auc": Measure("ROC-AUC", "how well a class's items rank above the rest"),
        "log_loss": Measure("log loss", "lower is better; punishes confident mistakes", False),
        "brier": Measure("Brier score", "lower is better; squared error, 0 to 2", False),
        "ece": Measure(
            "calibration error (ECE)", "lower is better; stated against real certainty", False
        ),
    },
    headline="accuracy",
    validation_metric="accuracy",
    item_loss="log loss",
    probe="logistic",
    stratified="stratified",
    is_exclusive=True,
    is_smoothed=True,
    can_be_part=True,
    transformers_problem="single_label_classification",
    words=TaskWords(
        one="class",
        several="classes",
        pairing=Pairing(
            "Gained: items that only the second has right; lost: items that only the first has "
            "right; p: McNemar, exact."
        ),
    ),
)


def _of_decided(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return of each row, shape (N, K), what stands at its class."""
    return np.asarray(rows[np.arange(len(rows)), classes])


def class_labels(values: Sequence[object], what: str, place: Place) -> Sequence[str]:
    """Return one class name for each value of a target column.

    Args:
        values: Strings, integers, booleans, or floats.
        what: What the column is called in messages, for example ``"Column 'label'"``.
        place: Says where the value of an index stands, for example ``row 3 of reviews.csv``.

    Raises:
        DataError: A value is missing, or the values are no scalars.
    """
    absent = np.flatnonzero(array_from(values, is_missing, bool))
    if len(absent):
        first = place(int(absent[0]))
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise DataError(
            f"{what} is empty or NaN in {first}{more}. Every sample needs a class; "
            "fill it in or remove the sample."
        )
    kinds = kinds_of(values)
    strange = [k for k in kinds if not issubclass(k, (str, bool, int, float, np.generic))]
    if strange:
        i, value = next((i, v) for i, v in enumerate(values) if type(v) in strange)
        raise DataError(
            f"{what} holds a {type(value).__name__} in {place(i)}; "
            "expected a class name or a whole number. Name another column with --label."
        )
    are_floats = all(issubclass(kind, (float, np.floating)) for kind in kinds)
    return mapped(values, _name_of_float if are_floats else _name_of)


def _name_of(value: object) -> str:
    return str(value.item() if isinstance(value, np.generic) else value)


def _name_of_float(value: object) -> str:
    return _name_of(value).removesuffix(".0")
