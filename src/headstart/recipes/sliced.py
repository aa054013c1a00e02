"""The slices of an evaluation: by which columns the test items can be told apart, and how well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import OptionError, did_you_mean, quoted
from headstart.evaluation import figure_to_json
from headstart.evaluation.clusters import as_groups
from headstart.evaluation.slices import judge_slices, parts_of
from headstart.events import emit
from headstart.preprocessing.rows import TableSamples, TextSamples
from headstart.types import Dataset, Rows

if TYPE_CHECKING:
    from headstart.tasks import Task

LENGTH = "length in characters"
_MAX_CELLS = 5_000_000  # of all columns: some ten seconds
Json = dict[str, Any]


def check_slices(dataset: Dataset, wanted: Sequence[str] | None) -> None:
    """Refuse columns that the data has not, before anything is computed.

    Raises:
        OptionError: Naming the nearest.
    """
    known = _known(dataset)
    for name in wanted or ():
        if name == dataset.schema.label and name not in known:
            raise OptionError(
                f"slice '{name}' is what is told of {dataset.name}; expected a column that it is "
                f"told by. Leave it out: the report has figures of each class without it."
            )
        if name not in known:
            there = f"expected one of {quoted(known)}" if known else "it has no columns"
            raise OptionError(
                f"slice '{name}' is no column of {dataset.name}; {there}."
                f"{did_you_mean(name, known)} Name a column of a table, or leave --slice out."
            )


def sliced(
    dataset: Dataset,
    ids: np.ndarray,
    task: Task,
    decisions: Rows,
    targets: Rows,
    *,
    wanted: Sequence[str] | None,
    seed: int,
) -> Json | None:
    """Return what ``evaluation.json`` says of slices; None where there is nothing to tell by.

    Args:
        dataset: Its test split is sliced.
        ids: Of the items that were scored, int64, shape (N,).
        task: Says how wrong an item is.
        decisions: Of the model.
        targets: Of the items.
        wanted: Columns; all that there are when None.
        seed: Of the draws.
    """
    known = _known(dataset)
    if wanted is None and len(known) * len(ids) > _MAX_CELLS:
        text = f"Parts of {len(ids):,} items by {len(known):,} columns are not looked for. Name"
        emit("note", text=f"{text} some with --slice.")
        return None
    places = _places(dataset, ids)
    parts = {name: parts_of(_column(dataset, name, places)) for name in wanted or known}
    num_parts = sum(len(each) for each in parts.values())
    if not parts:
        return None
    measure = task.figures[task.words.pairing.figure]
    is_share = measure.unit != "target"
    groups = dataset.test.groups_of(ids)
    errors = task.item_errors(decisions, targets)
    found = judge_slices(
        errors, parts, is_share=is_share, groups=as_groups(groups, len(ids)), seed=seed
    )
    return {
        "figure": task.words.pairing.figure,
        "columns": list(parts),
        "num_looks": num_parts,
        "slices": [asdict(each) | {"figure": figure_to_json(each.figure)} for each in found],
    }


def _known(dataset: Dataset) -> list[str]:
    """Return the columns by which samples can be told apart."""
    samples = dataset.test.samples
    if isinstance(samples, TableSamples):
        return list(samples.column_names)
    return [LENGTH] if isinstance(samples, TextSamples) else []


def _column(dataset: Dataset, name: str, places: np.ndarray) -> Sequence[object]:
    samples = dataset.test.samples
    if isinstance(samples, TableSamples):
        column: Sequence[object] = samples.table[name].take(places).to_pylist()
        return column
    assert isinstance(samples, TextSamples)
    return [len(samples.texts[place]) for place in places.tolist()]


def _places(dataset: Dataset, ids: np.ndarray) -> np.ndarray:
    """Return where items stand in the test split."""
    own = dataset.test.ids
    order = own.argsort()
    return np.asarray(order[own.searchsorted(ids, sorter=order)])
