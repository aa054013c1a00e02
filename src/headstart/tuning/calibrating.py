"""The temperature of what is served, and val figures that were not fitted to their own items.

A temperature is fitted on val, shrunk by its own uncertainty (``evaluation.calibration``). Before
it is kept it is put to the test: each part of val is judged by the one that the other parts give,
and where that is no better than none at all, there is none. What stays in any case is the bound: no
model is left surer than so many items can show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.evaluation import fold_temperatures, no_surer
from headstart.model import Calibrated, Model, model_outputs
from headstart.objectives import item_losses
from headstart.tasks import Task, array_of
from headstart.types import Inputs, Ragged, Rows

_MOST_FITTED = 5_000  # items of a fold's temperature: its error is a hundredth then
_MOST_NUMBERS = 2_000_000  # logits of these


def calibrate(model: Model, val_logits: Rows, val_targets: Rows) -> None:
    """Set the model's temperature so that its validation probabilities mean what they say."""
    model.temperature = temperature_of(model.task, val_logits, val_targets)


def temperature_of(task: Task, logits: Rows, targets: Rows) -> float:
    """Return the temperature of what a model says of val: fitted, and no surer than val can show.

    Args:
        task: What is told.
        logits: M rows.
        targets: M rows.
    """
    return _bounded(task, logits, targets, task.fit_temperature(logits, targets))


def _bounded(task: Task, logits: Rows, targets: Rows, temperature: float) -> float:
    """Return the temperature, raised where a model would be surer than val can show."""
    if len(targets) == 0:
        return temperature
    if task.tells_words and isinstance(logits, Ragged) and isinstance(targets, Ragged):
        return no_surer(logits.whole, targets.whole, temperature)  # each word is an item
    is_one_of = task.is_exclusive and not isinstance(logits, Ragged) and logits.ndim == 2
    if not is_one_of:
        return temperature
    return no_surer(array_of(logits), array_of(targets), temperature)


@dataclass(frozen=True, eq=False)
class UnseenVal:
    """What a model says of val, by temperatures that have not seen the item.

    Attributes:
        outputs: M rows.
        how: ``cross-fitted``; None where a task has no temperature.
        is_better: Whether such temperatures make val's mean loss smaller than none does.
    """

    outputs: Rows
    how: str | None = None
    is_better: bool = True


def unseen_val(
    model: Calibrated, logits: Rows, val: Inputs, groups: np.ndarray | None
) -> UnseenVal:
    """Return what a model says of val, each item calibrated by a temperature fitted without it.

    A temperature that was fitted on the very items that it is judged on flatters itself.

    Args:
        model: Calibrated.
        logits: M rows, of val.
        val: Its items.
        groups: Which of them belong together, shape (M,), or None.
    """
    task = model.task
    if not isinstance(logits, np.ndarray) or len(val) < 2 or not task.has_classes:
        return UnseenVal(model_outputs(model, logits))
    alone = np.arange(len(val)) if groups is None else groups
    most = max(500, min(_MOST_FITTED, _MOST_NUMBERS // max(1, logits.shape[1])))

    def fit(places: np.ndarray) -> float:
        some = places[np.linspace(0, len(places) - 1, min(most, len(places))).astype(np.int64)]
        return temperature_of(task, logits[some], array_of(val.targets)[some])

    found = fold_temperatures(fit, alone)
    if (found == 1.0).all() and model.temperature == 1.0:
        return UnseenVal(model_outputs(model, logits), "cross-fitted")
    wanted = model.standard_targets(val.targets)
    unseen = (logits / found[:, None]).astype(np.float32)
    after = item_losses(task.name, unseen, wanted, temperature=1.0).mean()
    before = item_losses(task.name, logits, wanted, temperature=1.0).mean()
    ratio = (model.temperature / found).astype(np.float32)
    outputs = model_outputs(model, logits * ratio[:, None])
    return UnseenVal(outputs, "cross-fitted", bool(after < before))


def unseen_val_outputs(
    model: Calibrated, logits: Rows, val: Inputs, groups: np.ndarray | None
) -> tuple[Rows, str | None]:
    """Return the outputs of ``unseen_val``, and how they were calibrated."""
    found = unseen_val(model, logits, val, groups)
    return found.outputs, found.how


def keep_if_better(
    model: Calibrated, logits: Rows, val: Inputs, groups: np.ndarray | None
) -> UnseenVal:
    """Take the temperature away where one that is fitted on parts of val is no help on the rest.

    Args:
        model: Calibrated; its temperature becomes 1 then.
        logits: M rows, of val.
        val: Its items.
        groups: Which of them belong together, shape (M,), or None.

    Returns:
        What it then says of val.
    """
    found = unseen_val(model, logits, val, groups)
    if found.is_better or model.temperature == 1.0:
        return found
    model.temperature = _bounded(model.task, logits, val.targets, 1.0)
    return UnseenVal(model_outputs(model, logits), "left alone", is_better=False)
