"""Rows that belong together and stand on both sides of the split: one patient, one user.

A column is looked at where it names things rather than properties: its name says so, or it has
very many values, each on several rows, and test has values that train has too. Whether that
matters is measured: a small model is asked for the target once with folds drawn at random, and
once with folds that keep equal values of the column together. Where the first is better beyond
noise, counted by groups and not by rows, the figures tell how well *known* patients are told.
Left out: groups that no column names (``guessed_groups`` looks at names of files); images and
texts, whose columns are not kept (what they repeat is said when they are read).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools, Spot
from headstart.auditing.out_of_fold import NUM_FOLDS, assign_folds, boosted_voice
from headstart.auditing.pool import Pool, pooled
from headstart.auditing.table_columns import codes_of, column_parts, numbers_of
from headstart.auditing.together import is_one, together_of, variance_of_sum
from headstart.data.copies import connected
from headstart.data.groups import names_groups
from headstart.evaluation.intervals import normal_interval
from headstart.tasks import PlainProblem, find_task
from headstart.types import Dataset, Finding, SplitName

LEAST_GROUPS, LEAST_ROWS_A_GROUP = 10, 1.5
STRADDLING = 0.2  # of the rows of test
LEAST_GAIN = 0.03
MOST_ROWS, MOST_COLUMNS, MOST_CANDIDATES = 8_000, 60, 3
MOST_TOGETHER = 200_000  # rows whose groups are listed one by one
MIN_ROWS = 100


@dataclass(frozen=True)
class _Candidate:
    """A column that may name groups: which each row is of, -1 for none, and how it straddles."""

    column: str
    codes: np.ndarray
    num_groups: int
    num_straddling: int
    share: float


def _applies(dataset: Dataset) -> bool:
    if dataset.column_kinds is None or len(dataset.column_kinds) < 2:
        return False
    task = find_task(dataset.schema.task)
    return len(task.plain_problems(dataset.train.targets[:1], len(dataset.schema.classes))) == 1


def group_leaks(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Return the columns whose values stand on both sides and make test too easy.

    Args:
        dataset: Rows of a table.
        tools: Gives seed and time.
    """
    pool = pooled(dataset)
    if len(pool) < MIN_ROWS:
        return []
    found = []
    for candidate in _candidates(dataset, pool)[:MOST_CANDIDATES]:
        if tools.is_over():
            sentence = (
                f"Whether rows of one '{candidate.column}' on both sides make test too easy was "
                "not measured: the time for audits was up."
            )
            found.append(Audited(Finding("group", "note", (), sentence)))
            break
        found += _measured(dataset, pool, candidate, tools)
    return found


def _candidates(dataset: Dataset, pool: Pool) -> list[_Candidate]:
    """Return the columns that may name groups, the fewest groups first."""
    assert dataset.column_kinds is not None
    where: dict[SplitName, np.ndarray] = {
        name: pool.places[pool.splits == number] for number, name in enumerate(pool.names)
    }
    is_test, found = pool.splits == 2, []
    for column, kind in dataset.column_kinds.items():
        is_named = names_groups(column)
        if kind not in ("categorical", "numeric") or (kind == "numeric" and not is_named):
            continue
        codes, values = codes_of(column_parts(dataset, where, column))
        is_there = codes >= 0
        num_groups, num_rows = len(values), int(is_there.sum())
        if num_groups < LEAST_GROUPS or num_rows < LEAST_ROWS_A_GROUP * num_groups:
            continue
        if not is_named and num_groups < num_rows**0.5:
            continue  # a property that many share
        on_both = np.intersect1d(codes[is_test & is_there], codes[~is_test & is_there])
        share = float(np.isin(codes[is_test], on_both).mean())
        if share >= STRADDLING:
            found.append(_Candidate(column, codes, num_groups, len(on_both), share))
    return sorted(found, key=lambda candidate: candidate.num_groups)


def _measured(
    dataset: Dataset, pool: Pool, candidate: _Candidate, tools: AuditTools
) -> list[Audited]:
    chosen = _whole_groups(candidate.codes, tools.seed)
    part, codes = pool.take(chosen), candidate.codes[chosen]
    task = find_task(dataset.schema.task)
    problem = task.plain_problems(part.targets(dataset), len(dataset.schema.classes))[0]
    matrix = _matrix(dataset, part, candidate.column)
    strata = problem.targets if problem.num_classes else np.zeros(len(part), np.int64)
    copies = together_of(dataset, part, tools)
    joined = codes if copies is None else connected(codes, copies)
    if is_one(joined):
        return []
    by_row = assign_folds(strata, copies, seed=tools.seed)
    by_group = assign_folds(strata, joined, seed=tools.seed)
    scores = [_scores(matrix, problem, folds) for folds in (by_row, by_group)]
    gain = scores[0] - scores[1]
    # rows of one group go together: the noise is that of groups
    error = variance_of_sum(gain - gain.mean(), joined) ** 0.5 / len(gain)
    low = normal_interval(float(gain.mean()), error).low
    if low < LEAST_GAIN:
        return []
    known, new = (float(each.mean()) for each in scores)
    what = "accuracy" if problem.num_classes else "share of the spread explained"
    sentence = (
        f"Rows of one '{candidate.column}' stand on both sides: {candidate.num_straddling:,} of "
        f"{candidate.num_groups:,} values, {candidate.share:.0%} of test. A small model reaches "
        f"{what} {known:.2f} where values are known from train, and {new:.2f} on values that are "
        f"new ({known - new:.2f} less, at least {low:.2f}): the figures speak of known ones. Where "
        f"the model will meet new ones, give --group {candidate.column}."
    )
    together = _together(pool, candidate) if len(pool) <= MOST_TOGETHER else ()
    return [Audited(Finding("group", "warning", (), sentence), together=together)]


def _whole_groups(codes: np.ndarray, seed: int) -> np.ndarray:
    """Return rows of whole groups, drawn at random, at most so many and of one group at least."""
    order = np.random.default_rng(seed).permutation(int(codes.max()) + 1)
    sizes = np.bincount(codes[codes >= 0], minlength=len(order))[order]
    num_kept = max(2 * NUM_FOLDS, int(np.searchsorted(np.cumsum(sizes), MOST_ROWS)))
    return np.flatnonzero(np.isin(codes, order[:num_kept]))


def _matrix(dataset: Dataset, part: Pool, column: str) -> np.ndarray:
    """Return the columns as numbers, float32, shape (N, C), the one that names groups first."""
    assert dataset.column_kinds is not None
    where: dict[SplitName, np.ndarray] = {
        name: part.places[part.splits == number] for number, name in enumerate(part.names)
    }
    names = [column, *(name for name in dataset.column_kinds if name != column)]
    found = []
    for name in names[:MOST_COLUMNS]:
        cells = column_parts(dataset, where, name)
        if dataset.column_kinds[name] == "categorical":
            found.append(codes_of(cells)[0].astype(np.float32))
        else:
            found.append(numbers_of(cells).astype(np.float32))
    return np.stack(found, axis=1)


def _scores(matrix: np.ndarray, problem: PlainProblem, folds: np.ndarray) -> np.ndarray:
    """Return how well each row is told by a model of the other folds: 1 is best, (N,)."""
    speak = boosted_voice(matrix, problem.targets, problem.num_classes)
    found = np.zeros(len(folds))
    targets = problem.targets
    usual = float(np.abs(targets - np.median(targets)).mean()) or 1.0
    for fold in np.unique(folds).tolist():
        learned, asked = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        said = speak(learned, asked)
        if problem.num_classes:
            found[asked] = said.argmax(axis=1) == targets[asked]
        else:
            found[asked] = 1 - np.abs(said[:, 0] - targets[asked]) / usual
    return found


def _together(pool: Pool, candidate: _Candidate) -> Sequence[tuple[Spot, ...]]:
    """Return the rows of each group that stands on more than one side."""
    order = np.argsort(candidate.codes, kind="stable")
    order = order[candidate.codes[order] >= 0]
    cuts = np.flatnonzero(np.diff(candidate.codes[order])) + 1
    return [
        tuple(pool.spot(int(index)) for index in group)
        for group in np.split(order, cuts)
        if len(np.unique(pool.splits[group])) > 1
    ]


GROUP_LEAKS = Audit(
    name="group leaks",
    question="Do rows that belong together stand on both sides?",
    applies=_applies,
    run=group_leaks,
)
