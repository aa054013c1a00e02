"""Whether test is gathered like train: where it is not, its figure speaks of another kind of data.

Three looks. A probe of frozen features is asked, out of fold, which of the two a sample is of; the
area under its ROC curve is 0.5 where it cannot tell, and is reported where the lower end of its
interval passes 0.6 (``D. Lopez-Paz and M. Oquab, 2017, Revisiting Classifier Two-Sample Tests``).
Each column of a table, or each plain measure of images and texts, is compared by a test, corrected
for their number, and named where the difference is large besides. So are the shares of the classes,
or the target. What belongs together counts once. Val counts as train. Left out: which samples they
are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools
from headstart.auditing.out_of_fold import FoldSums, assign_folds, judge, standardised
from headstart.auditing.plain_measures import FORMATS, MODES, measured
from headstart.auditing.pool import pooled, with_features
from headstart.auditing.together import is_one, one_of_each, together_in, together_of
from headstart.auditing.two_samples import (
    Difference,
    area_and_error,
    compare_counts,
    compare_numbers,
    compare_shares,
    significant,
)
from headstart.evaluation.intervals import normal_interval
from headstart.tasks import find_task
from headstart.types import Dataset, Finding, SplitName

LEVEL = 0.001  # chance of a false alarm of one look
LEAST_SIZE = 0.1  # share of values that differ, from which it is said
GRAVE_SIZE = 0.3
LEAST_AREA, GRAVE_AREA = 0.6, 0.8
ERRORS = 3.3  # standard errors: one false alarm in a thousand
MOST_ROWS = 50_000  # of a split and a column
MOST_JUDGED = 20_000
LEAST_ROWS = 40
SHOWN = 4
ASKED: tuple[SplitName, ...] = ("train", "test")


def drift(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Return by what test differs from train.

    Args:
        dataset: The data.
        tools: With features.
    """
    looks = (_of_targets, _of_columns, _of_measures, _of_features)
    findings: list[Finding] = []
    for number, look in enumerate(looks):
        if number and tools.is_over():
            sentence = "Drift between train and test was looked for in part: the time was up."
            findings.append(Finding("drift", "note", (), sentence))
            break
        findings += look(dataset, tools)
    return [Audited(found) for found in findings]


def _applies(dataset: Dataset) -> bool:
    return min(len(dataset.train), len(dataset.test)) >= LEAST_ROWS


def _of_features(dataset: Dataset, tools: AuditTools) -> list[Finding]:
    """Return the finding where a probe tells test from train."""
    if tools.features is None:
        return []
    pool, features = with_features(pooled(dataset), tools)
    is_test = pool.splits == 2
    if min(is_test.sum(), (~is_test).sum()) < LEAST_ROWS:
        return []
    draw = np.random.default_rng(tools.seed)
    # alike many of both, so that the area is no matter of a few samples
    chosen = np.concatenate(
        [draw.permutation(np.flatnonzero(s))[: MOST_JUDGED // 2] for s in (is_test, ~is_test)]
    )
    pool, rows, is_test = pool.take(chosen), features[chosen], is_test[chosen]
    together = together_of(dataset, pool, tools)
    if is_one(together):
        return []
    folds = assign_folds(is_test.astype(np.int64), together, seed=tools.seed)
    sums = FoldSums(standardised(rows, seed=tools.seed), folds)

    sides = is_test.astype(np.int64)
    shrinkage = sums.best_shrinkage(sides, 2)

    def voices(fold: int) -> list[np.ndarray]:
        return [sums.logits(sides, 2, fold, shrinkage)]

    judged = judge(voices, folds, 2, tools.is_over)
    done = judged.is_done
    if not (is_test[done].any() and (~is_test[done]).any()):
        return []
    scores = judged.logits[0, done, 1] - judged.logits[0, done, 0]
    area, error = area_and_error(scores, is_test[done], _part(together, done))
    if area - ERRORS * error < LEAST_AREA:
        return []
    told = normal_interval(area, error, highest=1.0)
    # what was settled on when features were computed may not be what was asked for
    start = getattr(tools.features, "start", tools.start) or "a start"
    sentence = (
        f"Test is unlike train: a probe of features of {start} tells which of the two a sample is "
        f"of, with an area under the ROC curve of {area:.2f} [{told.low:.2f}, {told.high:.2f}], "
        "where 0.5 is guessing. The figures speak of data as test has it. If test is what the "
        "model will meet, gather train like it; otherwise draw test from the same source (leave "
        "the split out and headstart draws one)."
    )
    return [Finding("drift", "warning" if area >= GRAVE_AREA else "note", (), sentence)]


def _part(groups: np.ndarray | None, places: np.ndarray) -> np.ndarray | None:
    return None if groups is None else groups[places]


def _counted(
    dataset: Dataset, name: SplitName, tools: AuditTools, places: np.ndarray
) -> np.ndarray:
    """Return which of some places of a split count: one of each group."""
    groups = together_in(dataset, name, places, tools)
    return one_of_each(groups, len(places), tools.seed)


def _told(differences: list[Difference], what: str) -> list[Finding]:
    """Return the finding of the differences that matter."""
    found = significant(differences, level=LEVEL, least=LEAST_SIZE)
    if not found:
        return []
    shown = "; ".join(f"{d.what}: {d.words} (distance {d.size:.2f})" for d in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    sentence = (
        f"Test differs from train in {len(found)} of {len(differences)} {what}: {shown}{more}. The "
        "figures speak of data as test has it."
    )
    grave = found[0].size >= GRAVE_SIZE
    return [Finding("drift", "warning" if grave else "note", (), sentence)]


def _of_targets(dataset: Dataset, tools: AuditTools) -> list[Finding]:
    """Return the finding where classes have other shares, or numbers other values."""
    task, classes = find_task(dataset.schema.task), dataset.schema.classes
    sides = ((name, dataset.split(name)) for name in ASKED)
    problems, others = (
        task.plain_problems(
            split.targets[_counted(dataset, name, tools, np.arange(len(split)))], len(classes)
        )
        for name, split in sides
    )
    found = []
    for number, (train, test) in enumerate(zip(problems, others, strict=True)):
        if train.num_classes == 0:
            one = compare_numbers("the target", train.targets, test.targets)
        elif len(problems) == 1:
            counts = [np.bincount(p.targets, minlength=train.num_classes) for p in (train, test)]
            one = compare_counts("the shares of the classes", classes, *counts)
        else:
            one = compare_shares(f"label '{classes[number]}'", train.targets > 0, test.targets > 0)
        found += [one] if one is not None else []
    kept = significant(found, level=LEVEL, least=LEAST_SIZE)
    if not kept:
        return []
    shown = "; ".join(f"{d.what}: {d.words} (distance {d.size:.2f})" for d in kept[:SHOWN])
    sentence = (
        f"What is to be told is spread otherwise in test than in train: {shown}. Probabilities "
        "that train teaches are off there; accuracy says little across such a shift, so compare "
        "figures of each class."
    )
    grave = kept[0].size >= GRAVE_SIZE
    return [Finding("drift", "warning" if grave else "note", (), sentence)]


def _of_columns(dataset: Dataset, tools: AuditTools) -> list[Finding]:
    """Return the finding where columns of a table have other values."""
    if dataset.column_kinds is None:
        return []
    from headstart.preprocessing.rows import TableSamples

    parts = []
    for name in ASKED:
        samples = dataset.split(name).samples
        assert isinstance(samples, TableSamples)
        some = np.random.default_rng(tools.seed).permutation(len(samples))[:MOST_ROWS]
        some = some[_counted(dataset, name, tools, some)]
        parts.append(samples.columns(np.sort(some)))
    found: list[Difference | None] = []
    for column, kind in dataset.column_kinds.items():
        if tools.is_over():
            break
        first, second = (part.column(column) for part in parts)
        gaps = [np.asarray(each.is_null()) for each in (first, second)]
        if any(gap.any() for gap in gaps):
            found.append(compare_shares(f"gaps of '{column}'", *gaps))
        if kind in ("numeric", "date"):
            found.append(_of_number_column(column, kind, first, second))
        else:
            found.append(_of_categories(column, first, second))
    return _told([each for each in found if each is not None], "columns and their gaps")


def _of_number_column(column: str, kind: str, first: object, second: object) -> Difference | None:
    import pyarrow as pa

    if kind == "date":
        days = [
            part.drop_null().cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() / 86_400e6  # type: ignore[attr-defined]
            for part in (first, second)
        ]
        one = compare_numbers(f"'{column}'", *days)
        if one is None:
            return None
        shown = [np.datetime64(int(np.median(part)), "D") for part in days]
        words = f"median {shown[0]} in train, {shown[1]} in test"
        return Difference(one.what, one.size, one.p_value, words)
    numbers = [part.drop_null().to_numpy().astype(np.float64) for part in (first, second)]  # type: ignore[attr-defined]
    return compare_numbers(f"'{column}'", *numbers)


def _of_categories(column: str, first: object, second: object) -> Difference | None:
    import pyarrow.compute as pc

    counts: list[dict[str, int]] = []
    for part in (first, second):
        pairs = pc.value_counts(part.drop_null()).to_pylist()  # type: ignore[attr-defined]
        counts.append({str(pair["values"]): int(pair["counts"]) for pair in pairs})
    names = list(dict.fromkeys([*counts[0], *counts[1]]))
    if not names:
        return None
    rows = [np.array([each.get(name, 0) for name in names]) for each in counts]
    return compare_counts(f"'{column}'", names, *rows)


def _of_measures(dataset: Dataset, tools: AuditTools) -> list[Finding]:
    """Return the finding where images or texts are made otherwise."""
    if dataset.column_kinds is not None:
        return []
    train, test = (
        measured(dataset, name, seed=tools.seed, is_over=_sometimes(tools.is_over))
        for name in ASKED
    )
    counted = [
        _counted(dataset, name, tools, part.places)
        for name, part in zip(ASKED, (train, test), strict=True)
    ]
    found: list[Difference | None] = []
    for number, column in enumerate(train.columns):
        first, second = train.values[counted[0], number], test.values[counted[1], number]
        first, second = first[~np.isnan(first)], second[~np.isnan(second)]
        if min(len(first), len(second)) < LEAST_ROWS:
            continue
        if column in ("format", "colour mode"):
            found.append(_of_codes(column, first, second))
        elif len(np.unique(np.concatenate([first[:500], second[:500]]))) > 1:
            found.append(compare_numbers(column, first, second))
    return _told(
        [each for each in found if each is not None],
        f"measures of its {dataset.schema.facts.nouns}",
    )


def _of_codes(column: str, first: np.ndarray, second: np.ndarray) -> Difference | None:
    values = np.unique(np.concatenate([first, second]))
    counts = [(part[:, None] == values).sum(axis=0) for part in (first, second)]
    known = FORMATS if column == "format" else MODES
    names = [known[int(value)] if value >= 0 else "another" for value in values]
    return compare_counts(column, names, *counts)


def _sometimes(is_over: Callable[[], bool]) -> Callable[[], bool]:
    """Return the same question, which lets the first samples pass: a few must be measured."""
    asked = iter(range(2**62))
    return lambda: next(asked) >= 2 * LEAST_ROWS and is_over()


DRIFT = Audit(
    name="drift",
    question="Is test like train?",
    applies=_applies,
    run=drift,
    has_features=True,
)
