"""The figures of several targets, and the words in which a report speaks of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from headstart.cells import written_out
from headstart.errors import OptionError
from headstart.tasks.part import TargetPart
from headstart.tasks.words import Pairing, TaskWords
from headstart.types import Measure, Schema

MEAN, ERROR = "mean_score", "mean_error"
# The figures over all targets; those of each come behind them.
OVER_ALL: dict[str, Measure] = {
    MEAN: Measure("mean score", "higher is better; mean of accuracy and R² over the targets"),
    ERROR: Measure(
        "mean error",
        "lower is better; wrong classes, and errors of numbers by their spread",
        False,
    ),
}


def figures_of(parts: Sequence[TargetPart]) -> dict[str, Measure]:
    """Return the figures over all targets, then those of each under its label."""
    figures = dict(OVER_ALL)
    for part in parts:
        for name, measure in part.task.figures.items():
            figures[f"{part.label}.{name}"] = replace(measure, name=f"{part.label}: {measure.name}")
    return figures


def told_rows(
    parts: Sequence[TargetPart], rows: np.ndarray, schema: Schema
) -> list[dict[str, object]]:
    """Return the class or number of each part, by its label, of each row; None where none is.

    Args:
        parts: T parts.
        rows: Shape (N, T).
        schema: Gives the classes of each.
    """
    told = []
    for row in rows.tolist():
        cells: dict[str, object] = {}
        for part, own, value in zip(parts, schema.parts, row, strict=True):
            known = own.classes[int(value)] if part.num_classes and value == value else value
            cells[part.label] = known if value == value else None
        told.append(cells)
    return told


def read_rows(parts: Sequence[TargetPart], texts: Sequence[str], schema: Schema) -> np.ndarray:
    """Return rows, shape (N, T), of what ``told_rows`` has told, as JSON.

    Raises:
        OptionError: They tell of other parts or classes.
    """
    places = [{name: float(k) for k, name in enumerate(own.classes)} for own in schema.parts]
    rows = np.full((len(texts), len(parts)), np.nan)
    try:
        for number, text in enumerate(texts):
            row = json.loads(text)
            for place, part in enumerate(parts):
                value = row[part.label]
                if value is not None:
                    rows[number, place] = places[place][value] if part.num_classes else value
    except (ValueError, KeyError, TypeError) as error:
        raise OptionError(
            f"predictions.parquet holds what this run's targets are not ({error}). Run the "
            "training again with --overwrite."
        ) from None
    return rows


def worded(row: Mapping[str, object]) -> str:
    """Return the targets of a sample in a line: ``topic: food; stars: 4.1``, in five digits."""
    said = []
    for label, value in row.items():
        shown = written_out(float(f"{value:.5g}")) if isinstance(value, float) else value
        said.append(f"{label}: {'–' if value is None else shown}")
    return "; ".join(said)


SEVERAL_WORDS = TaskWords(
    mistakes="Largest errors",
    mistakes_lead="Test items with most targets wrong. Look for wrong targets among them.",
    loss_note="Loss: the mean over the targets; of numbers squared error in units of their spread.",
    pairing=Pairing(
        "Nearer: items whose targets the second tells better in the mean (a wrong class counts 1, "
        "an error of a number by its spread); p: Wilcoxon's signed ranks of these errors.",
        counts="better on {gained}, worse on {lost}",
        brief="better on {gained}, worse on {lost}",
        difference="difference in mean error",
        figure=ERROR,
        needs_mean=True,
    ),
)
