"""Rows that are nearly the same: equal in every column but one, or but for the last digits.

Columns are hashed, not rows: what a row is without one of its columns is its number less what that
column adds to it (``data.identity``). Rows that are equal but for columns that number them are
copies, which ``data.copies`` counts. Rows of few different cells are alike by chance; how many is
estimated as for copies, and only what is alike much more often is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools
from headstart.auditing.near_pairs import Everyone, NearPairs, describe_pairs
from headstart.data.chance import MUCH_MORE, chance_of_likeness, num_pairs
from headstart.data.identity import column_identity
from headstart.types import Dataset, Finding

LESS_CERTAIN = 0.95  # of rows that differ in a column: that one may be what tells them apart
FEWEST_COLUMNS = 4  # rows of fewer say nothing once one of them is left out
SIGNIFICANT = 5  # digits that a number with noise has in common with its original
ROWS_OF_CHANCE = 20_000  # of which chance is estimated
MOST_COLUMNS = 40  # of which each pair is looked at when it is; of more, columns one by one


@dataclass(frozen=True)
class _Way:
    """One way in which rows may be nearly the same.

    Attributes:
        pairs: int64, shape (P, 2), of rows.
        column: The column that differs; None for the last digits.
    """

    pairs: np.ndarray
    column: str | None


def near_rows(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Return rows that are nearly the same, across splits first.

    Args:
        dataset: Of rows.
        tools: Its clock is looked at.
    """
    import pyarrow as pa

    everyone = Everyone(dataset)
    if dataset.alike_by_chance:
        return [_told("Rows are alike by chance, having so few different cells")]
    first, node_of = everyone.nodes()
    tables = [split.samples.table for split in everyone.splits if len(split)]  # type: ignore[attr-defined]
    table = pa.concat_tables(tables).take(first)
    if len(table.column_names) < FEWEST_COLUMNS:
        return [_told(f"The table has fewer than {FEWEST_COLUMNS} columns")]
    names = table.column_names
    terms = [column_identity(table.column(name), name).content for name in names]
    total = _sum(terms)
    ways, chance = [_all_but_digits(table, terms)], list[str]()
    for place, name in enumerate(names):
        if tools.is_over():
            return [_told("The time was up")]
        way = _all_but(terms, total, place, name)
        if way is None:
            chance.append(name)
        else:
            ways.append(way)
    found = describe_pairs(dataset, everyone, node_of, _joined(ways, len(names)))
    if chance:
        shown = ", ".join(f"'{name}'" for name in chance[:3])
        more = f" and {len(chance) - 3:,} others" if len(chance) > 3 else ""
        sentence = (
            f"Rows that differ in one column alone ({shown}{more}) are about as many as chance "
            "makes of so few different cells: they count as rows of their own."
        )
        found.append(Audited(Finding("near copies", "note", (), sentence)))
    return found


def _told(why: str) -> Audited:
    sentence = f"{why}: rows that are nearly the same were not looked for."
    return Audited(Finding("near copies", "note", (), sentence))


def _all_but(terms: Sequence[np.ndarray], total: np.ndarray, place: int, name: str) -> _Way | None:
    """Return rows that are equal but for one column; None where chance makes as many.

    Args:
        terms: Of each column what it adds to the rows' numbers, uint64 (N,).
        total: Their sum: without one of them it is what the others add up to.
        place: Of the column among them.
        name: Its name.
    """
    contents = total - terms[place]
    pairs = _linked(contents)
    if len(pairs) and _is_chance([*terms[:place], *terms[place + 1 :]], contents):
        return None
    return _Way(pairs, name)


def _all_but_digits(table: Any, terms: Sequence[np.ndarray]) -> _Way:
    """Return rows that are equal but for the last digits of their numbers.

    Numbers are rounded in two ways, so that two that lie on both sides of a step of the one lie on
    one side in the other.
    """
    import pyarrow as pa

    fractional = {}
    for place, name in enumerate(table.column_names):
        column = table.column(name)
        if pa.types.is_floating(column.type):
            values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
            known = values[np.isfinite(values)]
            if (known != np.floor(known)).any():
                fractional[place] = values
    found = [np.zeros((0, 2), np.int64)]
    for shift in (0.0, 0.5) if fractional else ():
        rounded = [
            column_identity(pa.array(_rounded(fractional[i], shift)), name).content
            if i in fractional
            else terms[i]
            for i, name in enumerate(table.column_names)
        ]
        contents = _sum(rounded)
        pairs = _linked(contents)
        if len(pairs) and not _is_chance(rounded, contents):
            found.append(pairs)
    return _Way(np.unique(np.concatenate(found), axis=0), None)


def _rounded(values: np.ndarray, shift: float) -> np.ndarray:
    """Return numbers as so many significant digits; steps begin at a share of a step."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.floor(np.log10(np.abs(values)))
        step = 10.0 ** (size - SIGNIFICANT + 1)
        steps = np.floor(values / step + shift)
    usual = np.isfinite(steps)
    return np.where(
        usual, steps * 1000 + np.where(usual, size, 0), np.where(values == 0, 0, np.nan)
    )


def _sum(terms: Sequence[np.ndarray]) -> np.ndarray:
    total = np.zeros(len(terms[0]), np.uint64)
    for term in terms:
        total += term
    return total


def _linked(contents: np.ndarray) -> np.ndarray:
    """Return each row of one number with the first and with the one before, int64 (P, 2)."""
    order = np.argsort(contents, kind="stable")
    ordered = contents[order]
    same = np.concatenate([[False], ordered[1:] == ordered[:-1]])[: len(order)]
    places = np.flatnonzero(same)
    first = order[np.maximum.accumulate(np.where(same, 0, np.arange(len(same))))][places]
    pairs = np.concatenate(
        [
            np.column_stack([first, order[places]]),
            np.column_stack([order[places - 1], order[places]]),
        ]
    )
    return np.asarray(np.unique(pairs, axis=0), np.int64)


def _is_chance(terms: Sequence[np.ndarray], contents: np.ndarray) -> bool:
    """Return whether rows agree in these columns about as often as chance makes them."""
    pairs = num_pairs(contents)
    number = len(contents)
    some = np.linspace(0, number - 1, min(number, ROWS_OF_CHANCE)).astype(np.int64)
    chance = chance_of_likeness(
        [term[some] for term in terms], contents[some], by_each=len(terms) <= MOST_COLUMNS
    )
    return pairs <= MUCH_MORE * chance * number * (number - 1) / 2


def _joined(ways: Sequence[_Way], num_columns: int) -> NearPairs:
    """Return all pairs, each once: of the last digits before others."""
    pairs = np.concatenate([way.pairs for way in ways])
    which = np.repeat(np.arange(len(ways)), [len(way.pairs) for way in ways])
    _, first = np.unique(pairs, axis=0, return_index=True)
    first.sort()
    pairs, which = pairs[first], which[first]
    is_noise = np.array([way.column is None for way in ways])[which]

    def how(number: int) -> str:
        column = ways[which[number]].column
        return "the same but for the last digits" if column is None else f"but for '{column}'"

    certainty = np.where(is_noise, 0.999, min(LESS_CERTAIN, 1 - 1 / num_columns))
    means = "the same but for one column, or for the last digits"
    return NearPairs(pairs[:, 0], pairs[:, 1], certainty, how, means, one_label=is_noise)


NEAR_ROWS = Audit(
    name="near rows",
    question="Do nearly the same rows stand twice, or on both sides of the split?",
    applies=lambda dataset: dataset.schema.facts.is_plain_column,
    run=near_rows,
    finds_copies=True,
)
