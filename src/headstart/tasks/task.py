"""What is to be told of a sample: the one interface that every room asks about it.

A task is a frozen object, one file in this room and one row of ``TASKS``. It is asked how a target
column is read, how a split is stratified, what a model's logits say, how good that is, and in which
words; nobody else compares the names of tasks. The loss is a row of ``objectives.supervised``.

N is the number of samples, K that of classes or outputs. Targets and outputs have one row a sample;
a task whose rows differ in length takes and gives ``Ragged``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation import NUM_RESAMPLES, Scores
from headstart.tasks.certain import Certain
from headstart.tasks.comparable import Comparable
from headstart.tasks.facts import TaskFacts
from headstart.tasks.plain import PlainProblem, array_of
from headstart.tasks.reading import TargetColumn, Targets
from headstart.types import Figure, Inputs, Prediction, Rows, Schema


@dataclass(frozen=True, eq=False, kw_only=True)
class Task(TaskFacts, Certain, Comparable):
    """What is to be told: its facts, and what every room asks of it."""

    # Data ---------------------------------------------------------------------------------------

    @abstractmethod
    def read(self, column: TargetColumn) -> Targets:
        """Return the targets in a column.

        Raises:
            DataError: A value is missing, or none that the task can use.
            OptionError: What is needed to read the column was not said.
        """

    @abstractmethod
    def check_learnable(self, name: str, targets: Rows, classes: Sequence[str]) -> None:
        """Refuse targets from which nothing can be learned.

        Args:
            name: Of the data set, for the message.
            targets: Of all samples.
            classes: All classes.

        Raises:
            DataError: If so.
        """

    @abstractmethod
    def strata(self, targets: Rows) -> np.ndarray:
        """Return which stratum of a draw each sample is in, int64, shape (N,)."""

    def class_counts(self, targets: Rows, num_classes: int) -> np.ndarray:
        """Return how many samples have each class, int64, shape (K,); empty without classes."""
        return np.zeros(0, np.int64)

    def asked_classes(self, classes: Sequence[str]) -> Sequence[int]:
        """Return the places of the classes that each split should have samples of."""
        return range(len(classes))

    def align(self, targets: Rows, places: np.ndarray, num_classes: int) -> Rows:
        """Return targets of another data set in the order of a model's own classes.

        Args:
            targets: By the other set's classes.
            places: Where each of these stands among the model's own, int64.
            num_classes: Of the model.
        """
        return targets

    def plain_problems(self, targets: Rows, num_classes: int) -> Sequence[PlainProblem]:
        """Return the task as problems of one column each; none where it cannot be said so."""
        return ()

    def joined_answers(self, answers: Sequence[np.ndarray]) -> Rows:
        """Return outputs, as ``outputs`` gives them, from the answers to ``plain_problems``.

        Args:
            answers: One a problem: probabilities (N, K) by class, or values (N,).
        """
        return answers[0]

    # Learning -----------------------------------------------------------------------------------

    def settled(self, train_targets: Rows) -> Task:
        """Return the task once train is known: of several targets with their units."""
        return self

    def part_weights(self, targets: Rows, said: Sequence[float] | None) -> np.ndarray | None:
        """Return what the loss of each of several targets counts; None where there is one.

        Args:
            targets: Train's.
            said: What the user said of it.
        """
        return None

    def num_outputs(self, schema: Schema) -> int:
        """Return how many numbers a model gives for a sample (or an element of a ragged one)."""
        return len(schema.classes)

    def scaling(self, train_targets: Rows) -> tuple[float, float]:
        """Return mean and scale of the targets, by which a loss sees them standardised."""
        return 0.0, 1.0

    def standard(self, targets: Rows, mean: float, scale: float) -> Rows:
        """Return targets as a loss takes them.

        Args:
            targets: As in ``Split``.
            mean: As ``scaling`` gave it.
            scale: The same.
        """
        return targets

    def class_weights(self, targets: Rows, num_classes: int) -> np.ndarray | None:
        """Return a loss weight for each class, float32, shape (K,); None without classes."""
        return None

    def option_problems(self, said: Mapping[str, object]) -> list[str]:
        """Return in words which of the training options mean nothing here.

        Args:
            said: Options by name.
        """
        wrong, imbalance = [], said.get("imbalance")
        if imbalance == "oversample" and not self.is_exclusive:
            wrong.append(
                f"imbalance 'oversample' needs one class a sample, and this is {self.name}; "
                f"expected 'weights' or 'none'"
            )
        if imbalance == "weights" and not self.has_classes:
            wrong.append(
                f"imbalance 'weights' needs classes, and this is {self.name}; expected 'none'"
            )
        if said.get("label_smoothing") and not self.is_smoothed:
            wrong.append(f"label_smoothing needs one class a sample, and this is {self.name}")
        if said.get("loss_weights") and not self.parts:
            wrong.append(f"loss_weights needs several targets, and this is {self.name}")
        return wrong

    @abstractmethod
    def validation_score(self, logits: Rows, targets: Rows) -> tuple[float, float]:
        """Return the score that a training is chosen by, and its standard error.

        Args:
            logits: Of a model.
            targets: As ``standard`` gives them.

        Returns:
            ``validation_metric``, and what patience takes for noise. Not finite where a logit is
            not.
        """

    # What logits say ----------------------------------------------------------------------------

    def fit_temperature(self, logits: Rows, targets: Rows) -> float:
        """Return what the logits of val are to be divided by, so that probabilities mean it.

        Args:
            logits: Of val.
            targets: As in ``Split``; not test's.
        """
        return 1.0

    def outputs(
        self,
        logits: Rows,
        schema: Schema,
        *,
        temperature: float = 1.0,
        target_mean: float = 0.0,
        target_scale: float = 1.0,
    ) -> Rows:
        """Return what a model says: probabilities, or values in the units of the data.

        Args:
            logits: Shape (N, K).
            schema: Gives the classes.
            temperature: Divides the logits of classes; positive.
            target_mean: Mean of the targets that a model of numbers was trained on.
            target_scale: Their standard deviation: predictions are logit * scale + mean.

        Raises:
            OptionError: The logits have another number of columns than there are outputs, or the
                temperature is not a positive number.
        """
        found, expected = array_of(logits), self.num_outputs(schema)
        if found.ndim != 2 or found.shape[1] != expected:
            raise OptionError(
                f"logits have shape {found.shape}, expected (N, {expected}) for a {self.name} with "
                f"{expected} outputs. Pass the model's own logits."
            )
        return self._calibrated(found, temperature, target_mean, target_scale)

    def logits_of(self, outputs: Rows, *, mean: float = 0.0, scale: float = 1.0) -> np.ndarray:
        """Return logits (N, K) of which ``outputs`` makes these, at temperature 1; else refuse."""
        raise OptionError(f"A {self.name} has no mean of several models' answers. Serve one model.")

    @abstractmethod
    def _calibrated(
        self, logits: np.ndarray, temperature: float, mean: float, scale: float
    ) -> Rows:
        """Return outputs of logits of the right shape."""

    @abstractmethod
    def decisions(self, outputs: Rows) -> Rows:
        """Return what outputs decide, in the form of targets: classes, labels or numbers."""

    # How good that is ---------------------------------------------------------------------------

    @abstractmethod
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
        """Measure outputs against targets, every figure with its 95 % interval.

        Args:
            outputs: As ``outputs`` gives them, N at least 1.
            targets: As in ``Split``.
            schema: Gives the class names, which must all differ.
            seed: Seed of the bootstrap.
            num_resamples: At least 40, or 0 for no bootstrap.
            groups: Whole numbers, shape (N,), the same for items that belong together: intervals
                then count groups. None: each item stands alone.
            decisions: What was decided of each, where that is not what ``decisions`` says of the
                outputs: by models of which each has thresholds of its own.

        Raises:
            OptionError: Something is not as described.
        """

    @abstractmethod
    def headline_figure(
        self,
        decisions: Rows,
        targets: Rows,
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> Figure:
        """Return the leading figure of decisions, as ``scores`` gives it of their outputs.

        Args:
            decisions: As ``decisions`` gives them, N at least 1.
            targets: As in ``Split``.
            seed: Seed of the bootstrap.
            groups: As for ``scores``.

        Raises:
            OptionError: The shapes differ, or there are no items.
        """

    @abstractmethod
    def baseline(self, train_targets: Rows, targets: Rows, schema: Schema) -> tuple[str, Rows]:
        """Predict the same for every item, or every element of one, as well as train allows.

        Args:
            train_targets: As in ``Split``, at least one. Never test's.
            targets: Of the items to predict; how many there are, and how long they are, is all
                that is looked at.
            schema: Gives the classes.

        Returns:
            The baseline's name, and its decisions.

        Raises:
            OptionError: ``train_targets`` is empty or does not fit the schema.
        """

    # What a person reads ------------------------------------------------------------------------

    def predictions_of(self, inputs: Inputs, outputs: Rows, schema: Schema) -> list[Prediction]:
        """Return what ``predict`` gives, one record a sample.

        Args:
            inputs: The samples.
            outputs: As ``outputs`` gives them.
            schema: Gives the classes.
        """
        return self.predictions(inputs.names, outputs, schema)

    @abstractmethod
    def predictions(self, names: Sequence[str], outputs: Rows, schema: Schema) -> list[Prediction]:
        """Return what ``predict`` gives, one record a sample.

        Args:
            names: What a person calls each sample.
            outputs: As ``outputs`` gives them.
            schema: Gives the classes.
        """

    @abstractmethod
    def item_columns(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, Any]:
        """Return the columns of ``predictions.parquet`` beside id and name, by their names."""

    @abstractmethod
    def badness(self, targets: Rows, outputs: Rows) -> np.ndarray:
        """Return how wrong each item is, float64, shape (N,); 0 where it is right."""

    @abstractmethod
    def mistake(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, object]:
        """Return target and prediction of one wrong item, as a report shows them.

        Args:
            targets: One row.
            outputs: One row.
            schema: Gives the classes.

        Returns:
            ``target`` and ``prediction``, both texts or both numbers, and with texts
            ``probability``; JSON-able.
        """

    def asked(self, label: str | None, num_classes: int) -> str:
        """Return what is predicted, in words: ``3 classes``, ``target 'price'``.

        Args:
            label: Name of the target column, where there is one.
            num_classes: Number of classes.
        """
        if self.has_classes:
            return f"{num_classes} {self.words.one if num_classes == 1 else self.words.several}"
        return f"target '{label}'" if label else ""
