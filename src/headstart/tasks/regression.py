"""A number a sample: learned in standard units, answered in those of the data.

Split by the target cut into ten parts, scored by the root mean squared error, compared by the
absolute errors item by item (Wilcoxon). Intervals of single predictions are conformal, and as wide
everywhere. Left out: intervals that are wider where errors are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.cells import as_number, written_out
from headstart.columnar import array_from, numbers_of
from headstart.errors import DataError, OptionError
from headstart.evaluation import (
    NUM_RESAMPLES,
    ItemSums,
    Scores,
    compare_values,
    mean_baseline,
    r2_and_error,
    rmse,
    score_values,
    value_sums,
)
from headstart.tasks.plain import PlainProblem, TextColumn, array_of
from headstart.tasks.reading import TargetColumn, Targets
from headstart.tasks.task import Task
from headstart.tasks.words import Pairing, TaskWords
from headstart.types import Comparison, Figure, Measure, Prediction, Rows, Schema

NUM_QUANTILES = 10


MOST = 1e150  # of a target: sums of squares of them are still finite


@dataclass(frozen=True, eq=False, kw_only=True)
class Regression(Task):
    """A number a sample: targets float64, shape (N,), outputs values in the same units."""

    def read(self, column: TargetColumn) -> Targets:
        """Return finite numbers."""
        numbers = numbers_of(column.values)
        if numbers is None:
            numbers = array_from(column.values, _as_target, np.float64)
        strange = np.flatnonzero(~np.isfinite(numbers))
        if len(strange):
            place = int(strange[0])
            _refuse_number(column.values[place], column, place)
        if len(huge := np.flatnonzero(np.abs(numbers) > MOST)):
            place = int(huge[0])
            raise DataError(
                f"{column.what} holds {numbers[place]:g} in {column.place(place)}, whose square is "
                f"beyond all numbers; expected at most {MOST:g}. Divide the column by a power of "
                "ten, or remove the sample."
            )
        return Targets(self.name, numbers, ())

    def check_learnable(self, name: str, targets: Rows, classes: Sequence[str]) -> None:
        """Refuse targets that are all equal."""
        values = array_of(targets)
        if len(np.unique(values)) < 2:
            raise DataError(
                f"{name} has the target {written_out(values[0])} in every sample; there is nothing "
                "to learn. Name another column with --label."
            )

    def strata(self, targets: Rows) -> np.ndarray:
        """Return which tenth of the targets each sample is in."""
        values = array_of(targets)
        number = min(NUM_QUANTILES, len(values) // NUM_QUANTILES)
        cuts = np.arange(1, number) * len(values) // max(1, number)
        # Equal targets fall into one part, whatever their order.
        return np.searchsorted(np.sort(values)[cuts], values, side="right")

    def plain_problems(self, targets: Rows, num_classes: int) -> Sequence[PlainProblem]:
        """Return the task itself."""
        return (PlainProblem(array_of(targets), 0),)

    def num_outputs(self, schema: Schema) -> int:
        """Return 1."""
        return 1

    def scaling(self, train_targets: Rows) -> tuple[float, float]:
        """Return mean and standard deviation, so that one learning rate fits all quantities."""
        values = array_of(train_targets)
        return float(values.mean()), float(values.std()) or 1.0

    def standard(self, targets: Rows, mean: float, scale: float) -> Rows:
        """Return float32 targets in standard units."""
        standard: np.ndarray = (array_of(targets) - mean) / scale
        return standard.astype(np.float32)

    def validation_score(self, logits: Rows, targets: Rows) -> tuple[float, float]:
        """Return R² of float32 logits, shape (N, 1), against *standardised* targets."""
        values = array_of(logits)[:, 0].astype(np.float64)
        return r2_and_error(values, array_of(targets).astype(np.float64))

    def logits_of(self, outputs: Rows, *, mean: float = 0.0, scale: float = 1.0) -> np.ndarray:
        """Return values in standard units."""
        logits: np.ndarray = ((array_of(outputs) - mean) / scale)[:, None]
        return logits

    def _calibrated(
        self, logits: np.ndarray, temperature: float, mean: float, scale: float
    ) -> np.ndarray:
        values: np.ndarray = logits[:, 0].astype(np.float64) * scale + mean
        return values

    def decisions(self, outputs: Rows) -> Rows:
        """Return the values themselves."""
        return array_of(outputs)

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
        """Measure as ``score_values``."""
        return score_values(
            array_of(outputs),
            array_of(targets),
            seed=seed,
            num_resamples=num_resamples,
            groups=groups,
        )

    def headline_figure(
        self,
        decisions: Rows,
        targets: Rows,
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> Figure:
        """Return the root mean squared error."""
        return rmse(array_of(decisions), array_of(targets), seed=seed, groups=groups)

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
        """Compare as ``compare_values``."""
        first, second, wanted = map(array_of, (before_decisions, after_decisions, targets))
        return compare_values(before, first, after, second, wanted, seed=seed, groups=groups)

    def baseline(
        self, train_targets: Rows, targets: Rows, schema: Schema
    ) -> tuple[str, np.ndarray]:
        """Predict train's mean."""
        return "mean of train", mean_baseline(array_of(train_targets), num_items=len(targets))

    def predictions(self, names: Sequence[str], outputs: Rows, schema: Schema) -> list[Prediction]:
        """Return one record a sample, with its value, and the interval where there is one."""
        reach, found = self.deciding.bound, []
        for name, value in zip(names, array_of(outputs).tolist(), strict=True):
            low, high = (None, None) if reach is None else (value - reach, value + reach)
            label = written_out(value)
            found.append(Prediction(name, label, math.nan, (), value, low=low, high=high))
        return found

    def misfits(self, outputs: Rows, targets: Rows) -> np.ndarray | None:
        """Return by how much each value is off."""
        return self.badness(targets, outputs)

    def item_columns(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, Any]:
        """Return target and prediction as numbers."""
        return {"target": array_of(targets), "prediction": array_of(self.decisions(outputs))}

    def read_item_column(self, column: TextColumn | np.ndarray, schema: Schema) -> Rows:
        """Return the numbers."""
        if isinstance(column, TextColumn):
            raise OptionError(
                "predictions.parquet holds texts where numbers were expected. Run the training "
                "again with --overwrite."
            )
        return column.astype(np.float64)

    def item_sums(
        self, decisions: Rows, targets: Rows, schema: Schema, losses: np.ndarray
    ) -> ItemSums:
        """Sum up as ``value_sums``; losses are in units of each run's own train, and left out."""
        return value_sums(array_of(decisions), array_of(targets))

    def item_errors(self, decisions: Rows, targets: Rows) -> np.ndarray:
        """Return by how far each item is off."""
        errors: np.ndarray = np.abs(array_of(decisions) - array_of(targets))
        return errors

    def badness(self, targets: Rows, outputs: Rows) -> np.ndarray:
        """Return by how much each item is off."""
        badness: np.ndarray = np.abs(array_of(self.decisions(outputs)) - array_of(targets))
        return badness

    def mistake(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, object]:
        """Return target and prediction as numbers."""
        prediction = array_of(self.decisions(outputs))
        return {"target": float(array_of(targets)[0]), "prediction": float(prediction[0])}


REGRESSION = Regression(
    name="regression",
    figures={
        "rmse": Measure("RMSE", "lower is better; root of the mean squared error", False, "target"),
        "mae": Measure("MAE", "lower is better; mean absolute error", False, "target"),
        "median_absolute_error": Measure(
            "median absolute error",
            "lower is better; half of the items are off by less",
            False,
            "target",
        ),
        "r2": Measure("R²", "share of the variance explained; 0 is as good as the mean"),
        "pearson": Measure(
            "Pearson's r", "higher is better; correlation of predictions with targets"
        ),
        "spearman": Measure("Spearman's ρ", "higher is better; correlation of the ranks of both"),
        "bias": Measure("bias", "best at zero; mean of prediction minus target", False, "target"),
        "mse": Measure(
            "MSE", "lower is better; mean squared error, in squared units", False, "target"
        ),
    },
    headline="rmse",
    validation_metric="r2",
    item_loss="squared error",
    probe="ridge",
    stratified="stratified by the target",
    is_linear=True,
    can_be_part=True,
    transformers_problem="regression",
    words=TaskWords(
        mistakes="Largest errors",
        mistakes_lead=(
            "Test items whose prediction is farthest off. Look for wrong targets among them."
        ),
        loss_note="Loss: squared error of standardised targets, 1 being that of their mean.",
        pairing=Pairing(
            "Nearer: items to which the second's prediction is nearer; the difference is that of "
            "the mean absolute errors; p: Wilcoxon's signed ranks of the absolute errors.",
            counts="nearer on {gained}, farther on {lost}",
            brief="nearer on {gained}, farther on {lost}",
            difference="difference in MAE",
            figure="mae",
            has_unit=True,
            needs_mean=True,
        ),
    ),
)


def _as_target(value: object) -> float:
    """Return the number in a cell of a target column, NaN where there is none."""
    number = float(value) if isinstance(value, (bool, np.bool_)) else as_number(value)
    return math.nan if number is None else number


def _refuse_number(value: object, column: TargetColumn, place: int) -> None:
    """Say what is wrong with a cell of a target column."""
    number = as_number(value)
    if number is None:
        raise DataError(
            f"{column.what} holds '{value}' in {column.place(place)}; regression expects a number. "
            "Correct it, name another column with --label, or say --task classification."
        )
    found = "is empty or NaN" if math.isnan(number) else f"holds {number}"
    raise DataError(
        f"{column.what} {found} in {column.place(place)}; regression expects a finite number "
        "for every sample. Fill it in or remove the sample."
    )
