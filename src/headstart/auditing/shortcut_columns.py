"""Columns that tell the answer without knowing the case, beyond what loading has warned of.

Loading leaves out constants and identifiers and warns of a column that alone predicts the target
almost perfectly (``data/survey.py``). Here: a column that comes near that; one that has a cell
just where the target has a certain value, as what is noted after the event has; and numbers whose
sum, with some weights, is the target, as parts of a total are. Each is judged on rows that nothing
was learned from. Whether such a column will be known when the model is used, the user must say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools
from headstart.auditing.out_of_fold import assign_folds
from headstart.auditing.shortcuts import Skill, large_classes, part_of, skill_of, tree_skill
from headstart.auditing.table_columns import codes_of, column_parts, numbers_of
from headstart.auditing.together import is_one, together_in
from headstart.data.binned import HOPELESS, binned_fit
from headstart.tasks import PlainProblem, find_task
from headstart.types import Dataset, Finding, SplitName

NEAR = 0.9  # of the way from guessing to certainty, of a column alone
SAME = 0.95  # what is told so well may be the answer in another form, a threshold of it, say
BY_GAPS = 0.8
EXACT = 1e-4  # of the target's variance is left, at most, by a sum of columns
MOST_ROWS = 10_000
LEAST_ROWS = 50
MOST_SUMMED = 200  # columns
NO_SKILL = Skill(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Folds:
    """Which fold each row is asked in, and which rows belong together; None where none do."""

    of: np.ndarray
    together: np.ndarray | None

    def skill(self, values: np.ndarray, asked: PlainProblem) -> Skill:
        """Return the out-of-fold skill of a small tree on some numbers, shape (N, M)."""
        return tree_skill(values, asked, self.of, self.together)


def _applies(dataset: Dataset) -> bool:
    if dataset.column_kinds is None or len(dataset.column_kinds) < 2:
        return False  # a lone column is what there is to learn from
    return len(dataset.train) >= LEAST_ROWS and len(_problems(dataset)) == 1


def _problems(dataset: Dataset) -> Sequence[PlainProblem]:
    task = find_task(dataset.schema.task)
    return task.plain_problems(dataset.train.targets, len(dataset.schema.classes))


def shortcut_columns(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Return the columns that tell the target by themselves, by their gaps, or summed.

    Args:
        dataset: Rows of a table; train is looked at.
        tools: Gives seed and time.
    """
    problem = _problems(dataset)[0]
    places = np.flatnonzero(large_classes(problem))
    places = np.sort(np.random.default_rng(tools.seed).permutation(places)[:MOST_ROWS])
    asked = part_of(problem, places)
    if len(places) < LEAST_ROWS or len(np.unique(asked.targets)) < 2:
        return []
    together = together_in(dataset, "train", places, tools)
    if is_one(together):
        return []
    strata = asked.targets if asked.num_classes else np.zeros(len(places), np.int64)
    folds = Folds(assign_folds(strata, together, seed=tools.seed), together)
    assert dataset.column_kinds is not None
    said_before = " ".join(f.sentence for f in dataset.findings if f.kind == "leak")
    findings: list[Finding] = []
    numbers: dict[str, np.ndarray] = {}
    for done, (column, kind) in enumerate(dataset.column_kinds.items()):
        if done and tools.is_over():
            left = len(dataset.column_kinds) - done
            sentence = f"Shortcuts were not looked for in the last {left:,} columns: time was up."
            findings.append(Finding("shortcut", "note", (), sentence))
            break
        where: dict[SplitName, np.ndarray] = {"train": places}
        parts = column_parts(dataset, where, column)
        if kind == "categorical":
            skill = _by_codes(codes_of(parts)[0], asked, folds)
            is_gap = codes_of(parts)[0] < 0
        else:
            values = numbers_of(parts)
            is_gap = np.isnan(values)
            numbers[column] = values
            fit = binned_fit(values, asked.targets, asked.num_classes, folds.of > 0)
            is_hopeless = fit < HOPELESS
            skill = NO_SKILL if is_hopeless else folds.skill(_column(values), asked)
        if f"'{column}'" in said_before:
            continue
        findings += _of_column(dataset, column, skill, is_gap, asked, folds)
    findings += _sums(dataset, numbers, asked, folds)
    return [Audited(found) for found in findings]


def _column(values: np.ndarray) -> np.ndarray:
    return values[:, None].astype(np.float32)


def _of_column(
    dataset: Dataset,
    column: str,
    skill: Skill,
    is_gap: np.ndarray,
    asked: PlainProblem,
    folds: Folds,
) -> list[Finding]:
    target = f"'{dataset.schema.label}'" if dataset.schema.label else "the target"
    if is_gap.any() and not is_gap.all():
        by_gaps = folds.skill(is_gap[:, None].astype(np.float32), asked)
        if by_gaps.low >= BY_GAPS:
            sentence = (
                f"Whether column '{column}' has a cell tells {target}: {by_gaps} of the way from "
                "guessing to certainty. What is noted only after the outcome is known looks like "
                f"this; if it will not be there when the model is used, --drop {column}."
            )
            return [Finding("shortcut", "warning", (), sentence)]
    if skill.low >= NEAR:
        sentence = (
            f"Column '{column}' alone tells {target} nearly: {skill} of the way from guessing to "
            "certainty, on rows not learned from. If it is another form of the answer, or not "
            f"known when the model is used, leave it out with --drop {column}."
        )
        is_same = skill.value >= SAME
        return [Finding("shortcut", "warning" if is_same else "note", (), sentence)]
    return []


def _by_codes(codes: np.ndarray, asked: PlainProblem, folds: Folds) -> Skill:
    """Return the out-of-fold skill of the usual target of each value."""
    said = np.full(len(codes), np.nan)
    known = codes + 1
    num_values = int(known.max(initial=0)) + 1
    for fold in range(int(folds.of.max(initial=0)) + 1):
        is_asked = folds.of == fold
        of, targets = known[~is_asked], asked.targets[~is_asked]
        if not len(of):
            continue
        if asked.num_classes == 0:
            sums = np.bincount(of, weights=targets, minlength=num_values)
            counts = np.bincount(of, minlength=num_values)
            usual = np.where(counts > 0, sums / np.maximum(counts, 1), targets.mean())
        else:
            shares = np.bincount(targets, minlength=asked.num_classes) + 1e-9
            table = np.zeros((num_values, asked.num_classes))
            np.add.at(table, (of, targets), 1)
            usual = np.where(table.sum(axis=1) > 0, (table / shares).argmax(axis=1), -1)
        said[is_asked] = usual[known[is_asked]]
    return skill_of(said, asked, folds.together)


def _sums(
    dataset: Dataset, numbers: dict[str, np.ndarray], asked: PlainProblem, folds: Folds
) -> list[Finding]:
    """Return the finding where the target is a weighted sum of columns."""
    names = [name for name, cells in numbers.items() if np.isfinite(cells).all()]
    if asked.num_classes or len(names) < 2 or len(names) > MOST_SUMMED:
        return []
    columns = np.stack([numbers[name] for name in names], axis=1)
    spread = columns.std(axis=0)
    columns = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    is_asked = folds.of == 0
    learned, wanted = columns[~is_asked], asked.targets[~is_asked].astype(np.float64)
    middle = wanted.mean()
    weights = np.linalg.lstsq(learned, wanted - middle, rcond=1e-10)[0]
    rest = asked.targets[is_asked] - middle - columns[is_asked] @ weights
    left = float(rest.var()) / max(float(asked.targets[is_asked].var()), 1e-300)
    if left > EXACT:
        return []
    order = np.argsort(-np.abs(weights))
    used = [names[i] for i in order if abs(weights[i]) > 0.01 * np.abs(weights).max()]
    if len(used) < 2:
        return []  # a lone column is told of as such
    target = f"'{dataset.schema.label}'" if dataset.schema.label else "the target"
    shown = ", ".join(f"'{name}'" for name in used[:6])
    sentence = (
        f"The target {target} is a weighted sum of columns {shown}: {left:.1g} of its variance "
        "is left. Parts of a total are not known before the total is; if these are not, leave one "
        f"of them or all out with --drop {used[0]}."
    )
    return [Finding("leak", "warning", (), sentence)]


SHORTCUT_COLUMNS = Audit(
    name="shortcut columns",
    question="Does a column tell the target without knowing the case?",
    applies=_applies,
    run=shortcut_columns,
)
