"""Several targets of one sample: classes and numbers side by side, each of them a task of its own.

Targets are an array with a column a target: places of classes, or numbers, NaN where a sample lacks
one. Outputs and logits have as many columns as all parts together, in their order. Such a task has
no row in ``TASKS``: its name says what its parts are, and ``find_task`` makes it of that.

    multi-task: topic (3 classes), stars (number around 3.6 within 1.2)

A part's figures are counted over the samples that have its target; the mean over the parts, of
accuracy and R², leads. Left out: label sets and tags of words among the parts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from headstart.errors import DataError, OptionError, quoted
from headstart.evaluation import NUM_RESAMPLES, Scores, as_groups, compare_values, softmax
from headstart.evaluation.means import plain_mean, studentised_interval, unit_sums
from headstart.tasks.part import TargetPart
from headstart.tasks.plain import TextColumn, array_of, texts_of
from headstart.tasks.reading import TargetColumn, Targets
from headstart.tasks.several_figures import joint_temperature, part_quantities
from headstart.tasks.several_names import name_of, parts_of
from headstart.tasks.several_words import (
    ERROR,
    MEAN,
    SEVERAL_WORDS,
    figures_of,
    read_rows,
    told_rows,
    worded,
)
from headstart.tasks.task import Task
from headstart.types import Comparison, Figure, Prediction, Rows, Schema


@dataclass(frozen=True, eq=False, kw_only=True)
class MultiTask(Task):
    """Several targets a sample: float64, shape (N, T), NaN for what a sample lacks."""

    def read(self, column: TargetColumn) -> Targets:
        """Refuse: several columns are read one by one, each by its own task."""
        names = [part.label for part in self.parts]
        raise OptionError(
            f"{column.what} is one column, and the model tells {quoted(names)}. Expected a column "
            "for each. Give a table with these columns."
        )

    def check_learnable(self, name: str, targets: Rows, classes: Sequence[str]) -> None:
        """Refuse parts of which nothing can be learned."""
        rows = array_of(targets)
        for place, part in enumerate(self.parts):
            own = part.present(rows[:, place])
            if not len(own):
                raise DataError(f"{name} has no value of the target '{part.label}'. Leave it out.")
            if part.num_classes == 1:
                raise DataError(
                    f"The target '{part.label}' of {name} has one class only; expected two or "
                    "more. Leave it out of --label."
                )
            names = [str(k) for k in range(part.num_classes)]
            part.task.check_learnable(f"'{part.label}' of {name}", own, names)

    def strata(self, targets: Rows) -> np.ndarray:
        """Return the stratum of the first part, of what lacks it the last one."""
        own = array_of(targets)[:, 0]
        part, has = self.parts[0], np.isfinite(own)
        strata = np.zeros(len(own), np.int64)
        if has.any():
            strata[has] = part.task.strata(part.present(own))
        strata[~has] = strata.max(initial=0) + 1
        return strata

    # Learning -----------------------------------------------------------------------------------

    def settled(self, train_targets: Rows) -> Task:
        """Return the same with the mean and spread of train's numbers in its name."""
        rows, parts = array_of(train_targets), []
        for place, part in enumerate(self.parts):
            own = part.present(rows[:, place])
            mean, scale = part.task.scaling(own) if len(own) else (0.0, 1.0)
            is_number = not part.num_classes
            # six digits: it is a unit, and stands in a name that people read
            told = (float(f"{mean:.6g}"), float(f"{scale:.6g}") or 1.0)
            parts.append(replace(part, mean=told[0], scale=told[1]) if is_number else part)
        return named(name_of(parts))

    def num_outputs(self, schema: Schema) -> int:
        """Return those of all parts."""
        return sum(part.width for part in self.parts)

    def standard(self, targets: Rows, mean: float, scale: float) -> Rows:
        """Return float32 targets, numbers in standard units."""
        rows = array_of(targets).astype(np.float64)
        shift = np.array([part.mean for part in self.parts])
        units = np.array([part.scale for part in self.parts])
        standard: np.ndarray = ((rows - shift) / units).astype(np.float32)
        return standard

    def part_weights(self, targets: Rows, said: Sequence[float] | None) -> np.ndarray:
        """Return what a sample's loss of each part counts, float32, shape (T,).

        A part that few samples have counts as much as the others: each is divided by the share of
        samples that have it, so that the loss of a step stays a mean over samples.

        Args:
            targets: Train's.
            said: The user's weights; None weighs all alike.
        """
        shares = np.isfinite(array_of(targets)).mean(axis=0)
        wanted = np.ones(len(self.parts)) if said is None else np.asarray(said, np.float64)
        weights: np.ndarray = wanted / wanted.sum() / np.maximum(shares, 1e-12)
        return weights.astype(np.float32)

    def option_problems(self, said: Mapping[str, object]) -> list[str]:
        """Refuse weights of classes, and weights of parts that are not as many as these."""
        wrong = super().option_problems(said)
        weights = said.get("loss_weights")
        if isinstance(weights, Sequence) and len(weights) != len(self.parts):
            labels = ", ".join(part.label for part in self.parts)
            wrong = [one for one in wrong if "loss_weights" not in one]
            wrong.append(
                f"loss_weights has {len(weights)} numbers for {len(self.parts)} targets "
                f"({labels}); expected one for each"
            )
        return wrong

    def validation_score(self, logits: Rows, targets: Rows) -> tuple[float, float]:
        """Return the mean of accuracies and R², and the mean of their errors.

        Parts share the items, so that their errors go together.
        """
        rows, wanted = array_of(logits), array_of(targets)
        if not np.isfinite(rows).all():
            return math.nan, math.nan
        found = [
            part.task.validation_score(rows[has, columns], part.present(wanted[:, place]))
            for place, (part, columns) in enumerate(self.columns)
            if (has := np.isfinite(wanted[:, place])).any()
        ]
        scores, errors = zip(*found, strict=True) if found else ((math.nan,), (math.nan,))
        return float(np.mean(scores)), float(np.mean(errors))

    @property
    def columns(self) -> list[tuple[TargetPart, slice]]:
        """Each part with its columns among the logits."""
        ends = np.cumsum([part.width for part in self.parts]).tolist()
        return [
            (part, slice(end - part.width, end)) for part, end in zip(self.parts, ends, strict=True)
        ]

    # What logits say ----------------------------------------------------------------------------

    def fit_temperature(self, logits: Rows, targets: Rows) -> float:
        """Return the temperature with the smallest log loss, summed over the parts with classes."""
        return joint_temperature(self.columns, array_of(logits), array_of(targets))

    def logits_of(self, outputs: Rows, *, mean: float = 0.0, scale: float = 1.0) -> np.ndarray:
        """Return logarithms of probabilities, and values in standard units."""
        rows = array_of(outputs)
        parts = [
            part.task.logits_of(
                rows[:, columns] if part.num_classes else rows[:, columns][:, 0],
                mean=part.mean,
                scale=part.scale,
            )
            for part, columns in self.columns
        ]
        return np.concatenate(parts, axis=1)

    def _calibrated(
        self, logits: np.ndarray, temperature: float, mean: float, scale: float
    ) -> np.ndarray:
        parts = [
            softmax(logits[:, columns], temperature)
            if part.num_classes
            else logits[:, columns].astype(np.float64) * part.scale + part.mean
            for part, columns in self.columns
        ]
        return np.concatenate(parts, axis=1)

    def decisions(self, outputs: Rows) -> Rows:
        """Return places of classes and numbers, float64, shape (N, T)."""
        rows = array_of(outputs)
        told = [
            rows[:, columns].argmax(axis=1) if part.num_classes else rows[:, columns.start]
            for part, columns in self.columns
        ]
        return np.stack(told, axis=1).astype(np.float64)

    # How good that is ---------------------------------------------------------------------------

    def part_outputs(self, outputs: Rows, place: int) -> Rows:
        """Return the outputs of one part, as its own task has them."""
        part, columns = self.columns[place]
        rows = array_of(outputs)[:, columns]
        return rows if part.num_classes else rows[:, 0]

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
        """Measure each part as its own task does, over the samples that have it, and the mean."""
        wanted = array_of(targets)
        decided = array_of(self.decisions(outputs) if decisions is None else decisions)
        figures = self._over_all(decided, wanted, groups, seed, num_resamples)
        for place, (part, own) in enumerate(zip(self.parts, schema.parts, strict=True)):
            has = np.isfinite(wanted[:, place])
            if not has.any():
                continue
            found = part.task.scores(
                array_of(self.part_outputs(outputs, place))[has],
                part.present(wanted[:, place]),
                own,
                seed=seed,
                num_resamples=num_resamples,
                groups=None if groups is None else groups[has],
                decisions=part.present(decided[has, place]) if part.num_classes else None,
            )
            figures |= {f"{part.label}.{name}": each for name, each in found.figures.items()}
        told = as_groups(groups, len(wanted))
        return Scores(len(wanted), figures, num_groups=told.num if told else None)

    def _over_all(
        self,
        decided: np.ndarray,
        wanted: np.ndarray,
        groups: np.ndarray | None,
        seed: int,
        num_resamples: int = NUM_RESAMPLES,
    ) -> dict[str, Figure]:
        told = as_groups(groups, len(wanted))
        quantities, smooth = part_quantities(self.parts, decided, wanted)
        units = unit_sums(quantities, told, seed)
        errors = self.item_errors(decided, wanted)
        error_units = unit_sums(errors[None], told, seed)
        how = {"num_resamples": num_resamples, "seed": seed}
        return {
            MEAN: studentised_interval(units, smooth, **how),
            ERROR: studentised_interval(error_units, plain_mean, **how),
        }

    def headline_figure(
        self,
        decisions: Rows,
        targets: Rows,
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> Figure:
        """Return the mean over the parts."""
        return self._over_all(array_of(decisions), array_of(targets), groups, seed)[MEAN]

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
        """Compare by the mean error of each item over its parts, as ``compare_values``."""
        first, second = (
            self.item_errors(rows, targets) for rows in (before_decisions, after_decisions)
        )
        zeros = np.zeros(len(first))
        found = compare_values(before, first, after, second, zeros, seed=seed, groups=groups)
        return replace(found, metric=ERROR)

    def item_errors(self, decisions: Rows, targets: Rows) -> np.ndarray:
        """Return the mean over an item's parts of: 1 for a wrong class, |error| / spread."""
        said, wanted = array_of(decisions), array_of(targets)
        each = np.zeros(wanted.shape)
        for place, part in enumerate(self.parts):
            off = np.abs(said[:, place] - wanted[:, place])
            each[:, place] = (off > 0) if part.num_classes else off / part.scale
        has = np.isfinite(wanted)
        errors: np.ndarray = np.where(has, each, 0.0).sum(axis=1) / np.maximum(has.sum(axis=1), 1)
        return errors

    def baseline(self, train_targets: Rows, targets: Rows, schema: Schema) -> tuple[str, Rows]:
        """Predict train's most frequent class of each part, or its mean."""
        rows, wanted, told = array_of(train_targets), array_of(targets), []
        for place, (part, own) in enumerate(zip(self.parts, schema.parts, strict=True)):
            known, every = part.present(rows[:, place]), np.zeros(len(wanted))
            told.append(array_of(part.task.baseline(known, every, own)[1]))
        return "majority class, mean of train", np.stack(told, axis=1).astype(np.float64)

    # What a person reads ------------------------------------------------------------------------

    def predictions(self, names: Sequence[str], outputs: Rows, schema: Schema) -> list[Prediction]:
        """Return one record a sample, with that of each part in ``parts``."""
        each = [
            part.task.predictions(names, self.part_outputs(outputs, place), schema.parts[place])
            for place, part in enumerate(self.parts)
        ]
        labels = [part.label for part in self.parts]
        return [
            Prediction(
                name,
                ", ".join(one.label for one in told),
                math.nan,
                (),
                parts=dict(zip(labels, told, strict=True)),
            )
            for name, told in zip(names, zip(*each, strict=True), strict=True)
        ]

    def item_columns(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, Any]:
        """Return target and prediction as JSON objects, and each part of them on its own."""
        found: dict[str, Any] = {}
        for name, rows in (("target", targets), ("prediction", self.decisions(outputs))):
            told = told_rows(self.parts, array_of(rows), schema)
            found[name] = [json.dumps(row, ensure_ascii=False) for row in told]
            for part in self.parts:
                found[f"{name} {part.label}"] = [row[part.label] for row in told]
        return found

    def read_item_column(self, column: TextColumn | np.ndarray, schema: Schema) -> Rows:
        """Return the rows that the JSON objects say."""
        found = texts_of(column)
        return np.asarray(read_rows(self.parts, found.different, schema)[found.codes])

    def item_words(self, value: str | float) -> str | float:
        """Return the targets of an item in a line: ``topic: food; stars: 4.1``."""
        return worded(json.loads(str(value)))

    def badness(self, targets: Rows, outputs: Rows) -> np.ndarray:
        """Return the mean error of each item."""
        return self.item_errors(self.decisions(outputs), targets)

    def mistake(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, object]:
        """Return target and prediction in words, and how sure the least sure class was."""
        both = (array_of(targets), array_of(self.decisions(outputs)))
        target, prediction = (told_rows(self.parts, rows, schema)[0] for rows in both)
        rows = array_of(outputs)[0]
        sure = [float(rows[columns].max()) for part, columns in self.columns if part.num_classes]
        return {
            "target": worded(target),
            "prediction": worded(prediction),
            "probability": min(sure, default=math.nan),
        }

    def asked(self, label: str | None, num_classes: int) -> str:
        """Return how many targets there are."""
        return f"{len(self.parts)} targets"


def made_of(parts: Sequence[TargetPart]) -> MultiTask:
    """Return the task of parts, whose name says them."""
    return named(name_of(parts))


@lru_cache(maxsize=64)
def named(name: str) -> MultiTask:
    """Return the task that a name says.

    Raises:
        OptionError: The name says none.
    """
    parts = parts_of(name)
    return MultiTask(
        name=name,
        parts=tuple(parts),
        figures=figures_of(parts),
        is_smoothed=any(part.num_classes for part in parts),
        headline=MEAN,
        validation_metric=MEAN,
        item_loss="mean loss",
        probe="ridge",
        stratified=f"stratified by '{parts[0].label}'",
        words=SEVERAL_WORDS,
    )
