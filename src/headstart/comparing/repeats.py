"""What several runs of one kind say together: folds, seeds, and parts of the training data.

Made of the JSON and Parquet of their folders, so that nothing is computed again where a command
was cut short. Each function returns what ``metrics.json`` then holds (docs/design.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.comparing.finished import FinishedRun, read_finished
from headstart.comparing.items import FILE, common_items
from headstart.evaluation import figure_to_json, over_folds, over_seeds
from headstart.evaluation.intervals import Z95
from headstart.evaluation.learning_curve import extrapolate
from headstart.tasks import Task
from headstart.types import Figure, Rows

_NUM_DIGITS = 12


@dataclass(frozen=True, eq=False)
class FoldItems:
    """The test items of all folds, each predicted by a model that has not seen it.

    Attributes:
        outputs: Calibrated by the fold's own temperature, N rows.
        targets: The same.
        decisions: As the models of the folds have made them.
        groups: Which belong together, shape (N,); None where each stands alone.
    """

    outputs: np.ndarray
    targets: np.ndarray
    decisions: np.ndarray
    groups: np.ndarray | None


def fold_items(folders: Sequence[Path]) -> FoldItems:
    """Return the test items of all folds.

    Args:
        folders: The finished run of each fold.

    Raises:
        RunFolderError: One is unfinished or damaged.
    """
    return _joined([read_finished(folder) for folder in folders])


def _joined(runs: Sequence[FinishedRun]) -> FoldItems:
    each = [_items(run) for run in runs]
    outputs, targets, decisions = (
        np.concatenate([np.asarray(part[place]) for part in each]) for place in range(3)
    )
    parts = [part[3] for part in each]
    known = [part for part in parts if part is not None]
    groups = np.concatenate(known) if len(known) == len(parts) else None
    return FoldItems(outputs, targets, decisions, groups)


def fold_record(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the figures over all items, each predicted by a model that has not seen it.

    Args:
        folders: The finished run of each fold.

    Raises:
        RunFolderError: One is unfinished or damaged.
    """
    runs = [read_finished(folder) for folder in folders]
    first, items = runs[0], _joined(runs)
    task, schema = first.task, first.schema
    said: dict[str, Any] = {"decisions": items.decisions} if task.has_classes else {}
    scores = task.scores(items.outputs, items.targets, schema, groups=items.groups, **said)
    values, known = [_values(run) for run in runs], [_figures(run) for run in runs]
    tested = np.mean([run.data["counts"]["test"] for run in runs])
    learned = np.mean([run.data["counts"]["train"] for run in runs])
    share, figures = float(tested / learned), dict[str, Figure]()
    for name, figure in scores.figures.items():
        own = [one[name] for one in known if name in one]
        lowest, highest = bounds_of(name)
        figures[name] = over_folds(figure, own, share, lowest=lowest, highest=highest)
    record = {
        "num_folds": len(runs),
        "num_items": scores.num_items,
        "num_groups": scores.num_groups,
        "metric": task.headline,
        "figures": {name: figure_to_json(figure) for name, figure in figures.items()},
        "per_class": scores.to_json().get("per_class"),
        "each": [
            {"fold": place + 1, "num_items": run.metrics["test"]["num_items"], "figures": value}
            for place, (run, value) in enumerate(zip(runs, values, strict=True))
        ],
    }
    return {name: value for name, value in record.items() if value is not None}


def _items(run: FinishedRun) -> tuple[Rows, Rows, Rows, np.ndarray | None]:
    """Return outputs, targets, decisions and groups of the test items of a run."""
    import pyarrow.parquet as pq

    items = common_items([run])
    decisions = items.answers[0].decisions
    if not run.task.has_classes:
        return np.asarray(decisions), items.targets, decisions, items.groups
    column = pq.read_table(run.path / FILE, columns=["probabilities"])["probabilities"]
    outputs = np.stack(column.to_numpy()).astype(np.float64)
    if run.task.is_exclusive:  # what single precision has rounded sums to 1 again
        outputs /= outputs.sum(axis=1, keepdims=True)
    return outputs, items.targets, decisions, items.groups


def _values(run: FinishedRun) -> dict[str, float]:
    found = run.metrics["test"]["figures"]
    return {name: one["value"] for name, one in found.items() if one["value"] is not None}


def _figures(run: FinishedRun) -> dict[str, Figure]:
    """Return the figures of the test split; NaN where one is not known."""
    return {name: _figure(one) for name, one in run.metrics["test"]["figures"].items()}


def _figure(record: Mapping[str, float | None]) -> Figure:
    ends = (record.get(name) for name in ("value", "low", "high"))
    return Figure(*(math.nan if end is None else end for end in ends))


def seed_record(folders: Mapping[int, Path]) -> dict[str, Any]:
    """Return each figure in the mean over seeds, with the interval of seeds and items together.

    Args:
        folders: The finished run of each seed, on the same test items.

    Raises:
        RunFolderError: One is unfinished or damaged.
        DataError: They were tested on other items.
    """
    runs = [read_finished(folder) for folder in folders.values()]
    common_items(runs)  # refuses others
    each = [_figures(run) for run in runs]
    found = {}
    for name in each[0]:
        figures = [one[name] for one in each if name in one]
        values = np.array([one.value for one in figures])
        if len(figures) < len(each) or not np.isfinite(values).all():
            continue
        lowest, highest = bounds_of(name)
        mean = over_seeds(figures, lowest=lowest, highest=highest)
        found[name] = {
            **figure_to_json(mean),
            "spread": float(values.std(ddof=1)) if len(values) > 1 else None,
            "lowest": float(values.min()),
            "highest": float(values.max()),
            "each": values.tolist(),
        }
    return {"seeds": list(folders), "metric": runs[0].task.headline, "figures": found}


def bounds_of(name: str) -> tuple[float, float]:
    """Return between which numbers a figure of that name lies."""
    open_above = ("log_loss", "rmse", "mae", "mse", "median_absolute_error")
    shares = ("precision_", "recall_", "f1_")
    if name in open_above:
        return 0.0, math.inf
    if name in ("accuracy", "roc_auc", "ece", "exact_match", "hamming_loss", "average_precision"):
        return 0.0, 1.0
    if name == "brier":
        return 0.0, 2.0
    if name == "r2":
        return -math.inf, 1.0
    return (0.0, 1.0) if name.startswith(shares) else (-math.inf, math.inf)


def curve_record(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the errors of trainings on parts of the data, and what twice as much would bring.

    Args:
        folders: The finished runs, the smallest part first and the run on all of train last.

    Raises:
        RunFolderError: One is unfinished or damaged.
        DataError: They were tested on other items.
        OptionError: They are too few, or as large as one another.
    """
    runs = [read_finished(folder) for folder in folders]
    common_items(runs)
    task = runs[0].task
    errors = [error_of(task, _figures(run)[task.headline]) for run in runs]
    numbers = [int(run.data["counts"]["train"]) for run in runs]
    deviations = [(one.high - one.low) / (2 * Z95) for one in errors]
    found = extrapolate(numbers, [one.value for one in errors], deviations, 2 * numbers[-1])
    points = zip(numbers, errors, strict=True)
    return {
        "metric": task.headline,
        "points": [{"num_train": num, "error": figure_to_json(one)} for num, one in points],
        "twice": {"num_train": 2 * numbers[-1], "error": figure_to_json(found.error)},
        "law": {
            "scale": round(found.scale, _NUM_DIGITS),
            "exponent": found.exponent,
            "floor": found.floor,
        },
    }


def error_of(task: Task, figure: Figure) -> Figure:
    """Return a headline figure as an error: what is missing to 1 where higher is better."""
    if not task.figures[task.headline].is_higher_better:
        return figure
    return Figure(1.0 - figure.value, 1.0 - figure.high, 1.0 - figure.low)
