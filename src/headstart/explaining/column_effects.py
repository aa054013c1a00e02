"""Rows: what each column is worth, how the answer follows it, and what moved a single answer.

What a column is worth is its permutation importance: by how much the loss rises when its cells are
dealt out anew among the items. How the answer follows it is its partial dependence: the mean answer
when all rows have one value there. A single answer is compared with those to the same row with a
cell of other rows in place of its own.

Sources:
    L. Breiman, 2001, Machine Learning 45, section 10 (permutation importance).
    J. Friedman, 2001, Annals of Statistics 29, section 8.2 (partial dependence).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluation import figure_to_json
from headstart.explaining.answers import Answerer, Changed
from headstart.explaining.faithfulness import (
    NUM_RANDOM,
    Faithfulness,
    judge,
    mean_figure,
    num_deleted,
)
from headstart.model import Ensemble, run_batches
from headstart.objectives import item_losses
from headstart.preprocessing import TablePreprocess
from headstart.preprocessing.columns import to_cells
from headstart.types import Column

PERMUTED = "Permutation importance"
REPLACED = "Replacing each cell"
_NUM_REPEATS = 3
_NUM_SHOWN = 4  # columns whose partial dependence is drawn
_NUM_PLACES = 12  # values of such a column
_MAX_VALUES = 8  # of one without an order


@dataclass(frozen=True, eq=False)
class TargetRows:
    """Rows with their targets.

    Attributes:
        rows: A pyarrow Table whose columns have the types of training.
        targets: Of each row.
    """

    rows: Any
    targets: np.ndarray


def columns_of(ensemble: Ensemble) -> list[Column]:
    """Return the columns that one of the models reads, each once."""
    found: dict[str, Column] = {}
    for one in ensemble.members:
        read = one.model.encoder.preprocess
        if isinstance(read, TablePreprocess):
            found |= {column.name: column for column in read.spec.columns}
    return list(found.values())


def _inputs(ensemble: Ensemble, rows: Any) -> list[Changed]:
    """Return rows as each model takes them."""
    found = []
    for one in ensemble.members:
        read = one.model.encoder.preprocess
        assert isinstance(read, TablePreprocess)
        found.append(Changed(to_cells(read.spec, rows)))
    return found


def _losses(answerer: Answerer, table: TargetRows) -> np.ndarray:
    """Return the loss of each row."""
    ensemble = answerer.ensemble
    each = zip(ensemble.members, _inputs(ensemble, table.rows), strict=True)
    logits = ensemble.combine([run_batches(m.model, own, m.model, phase=None) for m, own in each])
    wanted = ensemble.standard_targets(table.targets)
    return item_losses(ensemble.task.name, logits, wanted, temperature=ensemble.temperature)


def shuffled(rows: Any, names: Sequence[str], order: np.ndarray) -> Any:
    """Return rows some of whose columns are dealt out anew.

    Args:
        rows: A pyarrow Table.
        names: The columns.
        order: From which row each cell comes, int64, shape (N,).
    """
    for name in names:
        place = rows.column_names.index(name)
        rows = rows.set_column(place, rows.schema.field(name), rows.column(name).take(order))
    return rows


def importance(
    answerer: Answerer, table: TargetRows, draw: np.random.Generator
) -> list[dict[str, Any]]:
    """Return ``column`` and ``loss`` (by how much it rises) of each column, the largest first."""
    plain = _losses(answerer, table)
    found = []
    for column in columns_of(answerer.ensemble):
        orders = (draw.permutation(len(plain)) for _ in range(_NUM_REPEATS))
        rises = [
            _losses(answerer, TargetRows(shuffled(table.rows, [column.name], order), table.targets))
            for order in orders
        ]
        rise = np.mean(rises, axis=0) - plain
        found.append({"column": column.name, "loss": mean_figure(rise)})
    found.sort(key=lambda one: -one["loss"].value)  # type: ignore[attr-defined]
    return [{**one, "loss": figure_to_json(one["loss"])} for one in found]  # type: ignore[arg-type]


def check_columns(
    answerer: Answerer, table: TargetRows, ranked: Sequence[str], draw: np.random.Generator
) -> Faithfulness:
    """Deal out the fifth of the columns that are worth most, and as many at random.

    Args:
        answerer: Whoever answers.
        table: Rows on which the order was not found.
        ranked: The columns, the most important first.
        draw: Of orders and random columns.
    """
    plain, number = _losses(answerer, table), num_deleted(len(ranked))

    def rise(names: Sequence[str]) -> np.ndarray:
        changed = shuffled(table.rows, names, draw.permutation(len(plain)))
        found: np.ndarray = _losses(answerer, TargetRows(changed, table.targets)) - plain
        return found

    deleted = np.mean([rise(ranked[:number]) for _ in range(NUM_RANDOM)], axis=0)
    chosen = (draw.permutation(len(ranked))[:number] for _ in range(2 * NUM_RANDOM))
    random = [rise([ranked[k] for k in places]) for places in chosen]
    return judge(deleted, np.mean(random, axis=0))


def dependence(
    answerer: Answerer, table: TargetRows, ranked: Sequence[str]
) -> list[dict[str, object]]:
    """Return how the mean answer follows each of the first columns.

    Args:
        answerer: Whoever answers.
        table: The rows.
        ranked: The columns, the most important first.

    Returns:
        ``column``, ``is_number``, ``answer`` (the class that changes most, or the target) and
        ``points``: value and mean answer.
    """
    import pyarrow as pa

    schema = answerer.ensemble.schema
    columns = {column.name: column for column in columns_of(answerer.ensemble)}
    found = []
    for name in ranked[:_NUM_SHOWN]:
        values, is_number = _places(table.rows.column(name), columns[name])
        means = []
        for value in values:
            place = table.rows.column_names.index(name)
            constant = pa.repeat(value, table.rows.num_rows)
            rows = table.rows.set_column(place, table.rows.schema.field(name), constant)
            means.append(answerer.outputs(_inputs(answerer.ensemble, rows)).mean(axis=0))
        if len(means) < 2:
            continue
        answers = np.stack(means).reshape(len(means), -1)
        k = int(np.ptp(answers, axis=0).argmax())
        found.append(
            {
                "column": name,
                "is_number": is_number,
                "answer": schema.classes[k] if schema.classes else schema.label or "target",
                "points": [
                    [float(value.as_py()) if is_number else str(value.as_py()), float(answer)]
                    for value, answer in zip(values, answers[:, k], strict=True)
                ],
            }
        )
    return found


def _places(cells: Any, column: Column) -> tuple[list[Any], bool]:
    """Return values of a column at which the answer is asked, and whether they are numbers."""
    import pyarrow.compute as pc

    known = cells.drop_null().combine_chunks() if cells.num_chunks else cells.drop_null()
    if len(known) == 0:
        return [], False
    if column.kind == "categorical" or column.kind == "boolean":
        counted = sorted(
            pc.value_counts(known).to_pylist(), key=lambda one: (-one["counts"], str(one["values"]))
        )
        import pyarrow as pa

        return [pa.scalar(one["values"], known.type) for one in counted[:_MAX_VALUES]], False
    order = pc.array_sort_indices(known)
    places = np.linspace(0.05, 0.95, _NUM_PLACES) * (len(known) - 1)
    chosen = known.take(order.take(np.unique(places.astype(int))))
    return list(chosen.unique()), column.kind == "numeric"


def row_effects(
    answerer: Answerer, rows: Any, background: Any
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return by how much each cell of rows speaks for the answer.

    Args:
        answerer: Whoever answers.
        rows: A pyarrow Table of N rows.
        background: Of B other rows, of the same types, whose cells take the place of each.

    Returns:
        Mean falls of the answer, shape (N, number of columns); the names of the columns; and what
        is answered to the rows as they are.
    """
    before = answerer.outputs(_inputs(answerer.ensemble, rows))
    names = [column.name for column in columns_of(answerer.ensemble)]
    number, num_others = rows.num_rows, background.num_rows
    own = np.repeat(np.arange(number), num_others)
    repeated, expected = rows.take(own), np.repeat(before, num_others, axis=0)
    effects = []
    for name in names:
        place = rows.column_names.index(name)
        cells = background.column(name).take(np.tile(np.arange(num_others), number))
        changed = repeated.set_column(place, rows.schema.field(name), cells)
        after = answerer.outputs(_inputs(answerer.ensemble, changed))
        effects.append(answerer.fall(expected, after).reshape(number, num_others).mean(axis=1))
    return np.stack(effects, axis=1), names, before


def check_rows(
    answerer: Answerer, rows: Any, background: Any, draw: np.random.Generator
) -> Faithfulness:
    """Replace the fifth of a row's cells that speak most for the answer, and as many at random.

    Args:
        answerer: Whoever answers.
        rows: A pyarrow Table.
        background: Of other rows, whose cells take the places; one of them a row, at random.
        draw: Of these, and of random cells.
    """
    effects, names, before = row_effects(answerer, rows, background)
    number = num_deleted(len(names))
    others = background.take(draw.integers(background.num_rows, size=rows.num_rows))

    def fall(is_replaced: np.ndarray) -> np.ndarray:
        changed = rows
        for k, name in enumerate(names):
            place = changed.column_names.index(name)
            cells = _either(is_replaced[:, k], others.column(name), rows.column(name))
            changed = changed.set_column(place, rows.schema.field(name), cells)
        return answerer.fall(before, answerer.outputs(_inputs(answerer.ensemble, changed)))

    def first(order: np.ndarray) -> np.ndarray:
        mask = np.zeros(effects.shape, bool)
        np.put_along_axis(mask, order[:, :number], values=True, axis=1)
        return mask

    strongest = first(np.argsort(-effects, axis=1, kind="stable"))
    random = [first(draw.random(effects.shape).argsort(axis=1)) for _ in range(NUM_RANDOM)]
    return judge(fall(strongest), np.mean([fall(mask) for mask in random], axis=0))


def _either(mask: np.ndarray, yes: Any, no: Any) -> Any:
    """Return cells of one column where a mask says so, else of another."""
    import pyarrow as pa

    both = pa.concat_arrays([_whole(yes), _whole(no)])
    return both.take(np.where(mask, 0, len(mask)) + np.arange(len(mask)))


def _whole(cells: Any) -> Any:
    """Return a column as one array."""
    return cells.combine_chunks() if hasattr(cells, "combine_chunks") else cells
