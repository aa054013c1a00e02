"""A closer look at what a model says of some items: what pages draw, and which items to look at.

Curves of its rankings, reliability before and after calibration, what is mistaken for what with the
items behind it, and the items that are hardest and most doubtful. Records alone: who shows them and
how is a page's business (docs/design.md names every key).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from headstart.evaluation import (
    as_groups,
    lift_points,
    precision_recall_points,
    rank_items,
    reliability,
    roc_points,
    thinned,
)
from headstart.model import Calibrated
from headstart.tasks import Task, array_of
from headstart.types import Inputs, Ragged, Rows, Schema

_MOST_CURVES = 20  # classes
_MOST_CELLS = 50
_MOST_ITEMS = 20  # of a cell, and of a list


@dataclass(frozen=True, eq=False)
class Looked:
    """Items with what a model says of them.

    Attributes:
        model: Gives task, classes and temperature.
        logits: float32, shape (N, K).
        outputs: N rows.
        targets: As in ``Split``.
        inputs: Gives id and name of each.
        losses: Of each, shape (N,).
        groups: Which belong together, shape (N,), or None.
    """

    model: Calibrated
    logits: Rows
    outputs: Rows
    targets: Rows
    inputs: Inputs
    losses: np.ndarray
    groups: np.ndarray | None = None

    @property
    def task(self) -> Task:
        """What is predicted."""
        return self.model.task

    @property
    def schema(self) -> Schema:
        """The classes."""
        return self.model.schema

    @cached_property
    def leads(self) -> np.ndarray | None:
        """By how much each answer leads the next one, shape (N,); None where none does."""
        return self.task.leads(self.outputs)

    @cached_property
    def hardest(self) -> np.ndarray:
        """Places of all items, int64, shape (N,), that of the largest loss first."""
        return np.argsort(-np.asarray(self.losses, np.float64), kind="stable")

    @cached_property
    def doubtful(self) -> np.ndarray:
        """Places of all items, int64, the least decided first; empty where no answer leads."""
        none = np.zeros(0, np.int64)
        return none if self.leads is None else np.argsort(self.leads, kind="stable")

    @cached_property
    def mistaken(self) -> np.ndarray:
        """Places of the items that are wrong, int64, the worst first."""
        badness = self.task.badness(self.targets, self.outputs)
        order = np.argsort(-badness, kind="stable")
        return order[badness[order] > 0]


def look_closer(looked: Looked) -> dict[str, Any]:
    """Return ``curves``, ``reliability``, ``confusions`` and ``items``, where they say something.

    Args:
        looked: The items.
    """
    if isinstance(looked.outputs, Ragged):
        return {}
    found = {
        "curves": _curves(looked),
        "reliability": _reliability(looked),
        "confusions": _confusions(looked),
        "items": _items(looked),
    }
    return {name: record for name, record in found.items() if record}


def _curves(looked: Looked) -> dict[str, Any]:
    asked = looked.task.questions(looked.outputs, looked.targets, looked.schema)
    useful = [one for one in asked if one.is_positive.any() and not one.is_positive.all()]
    most = sorted(useful, key=lambda one: -int(one.is_positive.sum()))[:_MOST_CURVES]
    kept = {one.name for one in most}
    record: dict[str, Any] = {"roc": {}, "precision_recall": {}, "lift": {}, "num_positive": {}}
    for one in useful:
        if one.name not in kept:
            continue
        ranking = rank_items(one.scores, one.is_positive)
        record["roc"][one.name] = thinned(roc_points(ranking))
        record["precision_recall"][one.name] = thinned(precision_recall_points(ranking))
        record["lift"][one.name] = thinned(lift_points(ranking))
        record["num_positive"][one.name] = int(ranking.num_positive)
    return record if kept else {}


def _reliability(looked: Looked) -> dict[str, Any]:
    """Return the bins at temperature 1 and at the model's own."""
    model, task = looked.model, looked.task
    if not isinstance(looked.logits, np.ndarray):
        return {}
    plain = task.outputs(
        looked.logits,
        looked.schema,
        target_mean=model.target_mean,
        target_scale=model.target_scale,
    )
    record: dict[str, Any] = {"temperature": model.temperature}
    for name, outputs in (("before", plain), ("after", looked.outputs)):
        told = task.certainty(outputs, looked.targets)
        if told is None:
            return {}
        sure, hits = told
        owner = np.repeat(np.arange(len(looked.losses)), len(sure) // len(looked.losses))
        together = owner if looked.groups is None else np.asarray(looked.groups)[owner]
        record[name] = reliability(sure, hits, as_groups(together, len(sure)))
    return record


def _confusions(looked: Looked) -> dict[str, Any]:
    """Return the cells of what is mistaken for what, the largest first, with their items."""
    task, classes = looked.task, looked.schema.classes
    if not task.has_classes:
        return {}
    wanted, decided = array_of(looked.targets), array_of(task.decisions(looked.outputs))
    probabilities = array_of(looked.outputs)
    if task.is_exclusive:
        places = np.flatnonzero(wanted != decided)
        pairs = np.stack((wanted[places], decided[places]), axis=1)
        sure = probabilities[places, decided[places]]
        support = np.bincount(wanted, minlength=len(classes))
    else:  # -1 is no label: one that was missed, or that nothing asked for
        places, labels = np.nonzero(wanted != decided)
        is_missed = wanted[places, labels] != 0
        nothing = np.full(len(labels), -1)
        pairs = np.where(
            is_missed[:, None],
            np.stack((labels, nothing), axis=1),
            np.stack((nothing, labels), axis=1),
        )
        told = probabilities[places, labels]
        sure = np.where(is_missed, 1.0 - told, told)
        support = (wanted != 0).sum(axis=0)
    if not len(places):
        return {}
    different, cell_of, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    cells = []
    for cell in np.argsort(-counts, kind="stable")[:_MOST_CELLS].tolist():
        inside = np.flatnonzero(cell_of.reshape(-1) == cell)
        surest = places[inside[np.argsort(-sure[inside], kind="stable")][:_MOST_ITEMS]]
        target, prediction = different[cell].tolist()
        whole = len(wanted) - support[prediction] if target < 0 else support[target]
        cells.append(
            {
                "target": None if target < 0 else classes[target],
                "prediction": None if prediction < 0 else classes[prediction],
                "count": int(counts[cell]),
                "share": float(counts[cell] / max(1, whole)),
                "items": [int(i) for i in looked.inputs.ids[surest]],
            }
        )
    return {"cells": cells}


def _items(looked: Looked) -> dict[str, Any]:
    record = {"hardest": _listed(looked, looked.hardest[:_MOST_ITEMS])}
    if looked.leads is not None:
        record["doubtful"] = _listed(looked, looked.doubtful[:_MOST_ITEMS])
    return record


def _listed(looked: Looked, chosen: np.ndarray) -> list[dict[str, Any]]:
    """Return the items at some places."""
    columns: Mapping[str, Any] = looked.task.item_columns(
        looked.targets[chosen], looked.outputs[chosen], looked.schema
    )
    told = [name for name in ("target", "prediction", "probability") if name in columns]
    rows = []
    for row, place in enumerate(chosen.tolist()):
        record = {"id": int(looked.inputs.ids[place]), "name": looked.inputs.names[place]}
        record |= {name: _plain(columns[name][row]) for name in told}
        loss = float(looked.losses[place])
        record["loss"] = loss if math.isfinite(loss) else None
        if looked.leads is not None:
            record["lead"] = float(looked.leads[place])
        rows.append(record)
    return rows


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
