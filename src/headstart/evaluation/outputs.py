"""From logits to what a person understands, for each task, and the one figure that leads.

Classification gives probabilities that sum to 1, multi-label one probability a label, regression
numbers in the units of the data. Deliberately left out: thresholds other than 0.5.
"""

from __future__ import annotations

import numpy as np

from headstart.errors import OptionError, did_you_mean
from headstart.evaluation.calibration import sigmoid, softmax
from headstart.evaluation.class_scores import FIGURES as CLASS_FIGURES
from headstart.evaluation.class_scores import accuracy
from headstart.evaluation.label_scores import FIGURES as LABEL_FIGURES
from headstart.evaluation.label_scores import checked_labels, f1_micro
from headstart.evaluation.resampling import bootstrap_weights, divide
from headstart.evaluation.scores import NUM_RESAMPLES
from headstart.evaluation.value_scores import FIGURES as VALUE_FIGURES
from headstart.evaluation.value_scores import rmse
from headstart.types import Figure, Schema, Task

_HEADLINES: dict[Task, str] = {
    "classification": "accuracy",
    "multi-label": "f1_micro",
    "regression": "rmse",
}
# bias is best at zero: neither more nor less of it is better, so it does not count as higher
_LOWER = {"log_loss", "brier", "ece", "hamming_loss", *VALUE_FIGURES} - {"r2"}
_HIGHER = {*CLASS_FIGURES, *LABEL_FIGURES, *VALUE_FIGURES} - _LOWER


def outputs_of(
    schema: Schema,
    logits: np.ndarray,
    *,
    temperature: float = 1.0,
    target_mean: float = 0.0,
    target_scale: float = 1.0,
) -> np.ndarray:
    """Return what a model says: probabilities, or values under regression.

    Args:
        schema: Task and classes.
        logits: Shape (N, K); (N, 1) under regression.
        temperature: Divides the logits of a classification or multi-label model; positive.
        target_mean: Mean of the targets a regression was trained on.
        target_scale: Their standard deviation; predictions are logit * scale + mean.

    Returns:
        float64: softmax probabilities (N, K), sigmoid probabilities (N, K), or values (N,).

    Raises:
        OptionError: The logits have another number of columns than the schema has outputs, or the
            temperature is not a positive number.

    Example:
        >>> import numpy as np
        >>> from headstart.types import Schema
        >>> price = Schema("table", "regression", (), label="price")
        >>> outputs_of(price, np.array([[0.0], [1.0]]), target_mean=5.0, target_scale=2.0).tolist()
        [5.0, 7.0]
    """
    array = np.asarray(logits)
    if array.ndim != 2 or array.shape[1] != schema.num_outputs:
        raise OptionError(
            f"logits have shape {array.shape}, expected (N, {schema.num_outputs}) for a "
            f"{schema.task} with {schema.num_outputs} outputs. Pass the model's own logits."
        )
    if schema.task == "regression":
        values: np.ndarray = array[:, 0].astype(np.float64) * target_scale + target_mean
        return values
    return (sigmoid if schema.task == "multi-label" else softmax)(array, temperature)


def predictions_of(schema: Schema, outputs: np.ndarray) -> np.ndarray:
    """Return the decisions that outputs imply.

    Args:
        schema: Task and classes.
        outputs: As ``outputs_of`` returns them.

    Returns:
        Classification: int64 (N,), the most probable class. Multi-label: uint8 (N, K), 1 where
        p >= 0.5. Regression: the values themselves.
    """
    array = np.asarray(outputs)
    if schema.task == "classification":
        array = array.argmax(axis=1).astype(np.int64)
    elif schema.task == "multi-label":
        array = (array >= 0.5).astype(np.uint8)
    return array


def headline(schema: Schema) -> str:
    """Return the figure that leads: ``accuracy``, ``f1_micro`` or ``rmse``."""
    return _HEADLINES[schema.task]


def headline_figure(
    schema: Schema, predictions: np.ndarray, targets: np.ndarray, *, seed: int = 0
) -> Figure:
    """Return the leading figure of predictions, the same as ``score`` gives of their outputs.

    Args:
        schema: Task and classes.
        predictions: As ``predictions_of`` returns them.
        targets: As in ``Split``.
        seed: Seed of the bootstrap.

    Raises:
        OptionError: The shapes differ, or there are no items.
    """
    if schema.task == "classification":
        return accuracy(predictions, targets)
    if schema.task == "regression":
        return rmse(predictions, targets, seed=seed, num_resamples=NUM_RESAMPLES)
    wanted = checked_labels("targets", targets, (len(targets), schema.num_outputs))
    predicted = checked_labels("predictions", predictions, wanted.shape)
    if not len(wanted):
        raise OptionError("targets are empty, expected at least one item.")
    hits = (predicted & wanted).sum(axis=1)
    decided = predicted.sum(axis=1) + wanted.sum(axis=1)
    resampled = [
        divide(2.0 * (hits @ weights), decided @ weights)
        for weights in bootstrap_weights(len(wanted), NUM_RESAMPLES, seed)
    ]
    return f1_micro(predicted, wanted, np.concatenate(resampled))


def is_higher_better(metric: str) -> bool:
    """Return whether more of a figure is better.

    False for ``bias`` too: it is best at zero.

    Args:
        metric: Name of a figure of ``metrics.json``.

    Raises:
        OptionError: No figure of that name.
    """
    if metric not in _HIGHER | _LOWER:
        raise OptionError(
            f"Unknown figure '{metric}'.{did_you_mean(metric, _HIGHER | _LOWER)} Known: "
            f"{', '.join(sorted(_HIGHER | _LOWER))}."
        )
    return metric in _HIGHER
