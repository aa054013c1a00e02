"""What is told of labels that are doubted: a finding with its suspects, and what was not asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.auditing.audit import Audited, Suspect
from headstart.auditing.out_of_fold import NUM_FOLDS
from headstart.auditing.pool import Pool
from headstart.cells import written_out
from headstart.errors import quoted
from headstart.tasks import PlainProblem, find_task
from headstart.types import Dataset, Finding, Severity

# From here on a label is named: where a tenth of the labels of flowers5 and SST-2 was made wrong,
# 0.8 and more of those named were planted, on the average over seeds (docs/benchmarks.md).
MIN_CERTAINTY = 0.9
MOST_TOLD = (
    0.85  # certainty that is told of all named: where it was measured they were 0.83 to 0.94
)
GRAVE_SHARE = 0.005  # of all samples: from here on it is a warning
MAX_SUSPECTS = 1_000
MOST_DOUBTFUL = 40  # shown where nothing is certain


@dataclass(frozen=True)
class Doubt:
    """A label that is doubted: of the sample ``index`` in the pool.

    Attributes:
        problem: Which of the task's problems.
        given: As the data has it.
        suggested: What the probe says.
        chance: Its probability; of numbers how many spreads it is off.
        certainty: In [0, 1].
    """

    index: int
    problem: int
    given: float
    suggested: float
    chance: float
    certainty: float


@dataclass(frozen=True)
class Extent:
    """How much was looked at: samples, and how many of the labels of each."""

    num_samples: int
    num_done: int
    num_problems: int


def too_small(
    dataset: Dataset,
    problem: PlainProblem,
    number: int,
    num_problems: int,
    judgeable: np.ndarray,
) -> list[str]:
    """Return the classes, or the label, of too few samples that stand apart to be judged."""
    classes = dataset.schema.classes
    if num_problems > 1:
        return [classes[number]]
    return [classes[k] for k in np.unique(problem.targets[~judgeable]).tolist()]


def doubts_told(
    dataset: Dataset,
    pool: Pool,
    doubts: list[Doubt],
    untold: list[str],
    extent: Extent,
    *,
    is_quiet: bool = False,
) -> list[Audited]:
    """Return the finding with its suspects, and one on what was not looked at.

    Args:
        dataset: The data.
        pool: The samples that were judged.
        doubts: Those that are doubted, as cleanlab ranks them.
        untold: Names of the classes that were not judged.
        extent: How much was looked at.
        is_quiet: Whether nothing is said where nothing is certain.
    """
    doubts = sorted(doubts, key=lambda doubt: -doubt.certainty)  # stable: as cleanlab ranks them
    certain = [doubt for doubt in doubts if doubt.certainty >= MIN_CERTAINTY]
    task = find_task(dataset.schema.task)
    shown = doubts[: min(MAX_SUSPECTS, max(len(certain), MOST_DOUBTFUL))]
    suspects = [
        Suspect(pool.spot(d.index), _reason(dataset, d), round(d.certainty, 4)) for d in shown
    ]
    names = [dataset.split(s.spot.split).samples.name(s.spot.index) for s in suspects[:100]]
    what = "labels" if task.has_classes else "targets"
    if certain:
        spots = [pool.names[int(pool.splits[d.index])] for d in certain]
        where = ", ".join(f"{spots.count(m):,} in {m}" for m in pool.names if m in spots)
        right = sum(1 - min(MOST_TOLD, d.certainty) for d in certain)
        most = f"; the first {MAX_SUSPECTS:,} are listed" if len(certain) > MAX_SUSPECTS else ""
        sentence = (
            f"{len(certain):,} of {extent.num_samples:,} {what} look wrong ({where}){most}, by "
            f"what a probe says that learned from other samples; about {right:.0f} of them may be "
            f"right all the same. Look at them: {quoted(names[:3])}. Correct what is wrong where "
            "your labels are kept; leaving hard samples out of test would flatter."
        )
        grave: Severity = "note" if len(certain) < GRAVE_SHARE * extent.num_samples else "warning"
        items = names[: len(certain)]
        found = [Audited(Finding("doubtful label", grave, items, sentence), suspects)]
    elif suspects and not is_quiet:
        sentence = (
            f"None of {extent.num_samples:,} {what} stands out as wrong; the {len(suspects)} most "
            f"doubtful are listed, {quoted(names[:3])} first."
        )
        found = [Audited(Finding("doubtful label", "note", names, sentence), suspects)]
    else:
        found = []
    if is_quiet and not found:
        return []
    return found + _not_looked_at(dataset, pool, untold, extent)


def _not_looked_at(
    dataset: Dataset, pool: Pool, untold: list[str], extent: Extent
) -> list[Audited]:
    """Return what to know of samples and classes that were not judged."""
    total = sum(len(dataset.split(name)) for name in pool.names)
    parts = []
    if extent.num_samples < total:
        parts.append(f"{total - extent.num_samples:,} of {total:,} samples")
    if extent.num_done < extent.num_problems:
        parts.append(f"{extent.num_problems - extent.num_done} of {extent.num_problems} labels")
    if untold:
        names = quoted(list(dict.fromkeys(untold)))
        parts.append(f"samples of {names}, of which fewer than {NUM_FOLDS} stand apart")
    if not parts:
        return []
    sentence = f"Not looked at for doubtful labels: {'; '.join(parts)}."
    if extent.num_samples < total or extent.num_done < extent.num_problems:
        sentence += " The rest did not fit the time or memory for audits, or cannot be read."
    return [Audited(Finding("doubtful label", "note", (), sentence))]


def _reason(dataset: Dataset, doubt: Doubt) -> str:
    """Return what a person reads beside a sample."""
    task, classes = find_task(dataset.schema.task), dataset.schema.classes
    if not task.has_classes:
        like = float(f"{doubt.suggested:.4g}")
        return f"given {written_out(doubt.given)}, like samples have {written_out(like)}"
    if task.is_exclusive:
        given, suggested = classes[int(doubt.given)], classes[int(doubt.suggested)]
        return f"given '{given}', looks like '{suggested}' ({doubt.chance:.2f})"
    name = classes[doubt.problem]
    if doubt.given:
        return f"given '{name}', looks as if it had it not ({doubt.chance:.2f})"
    return f"given without '{name}', looks as if it had it ({doubt.chance:.2f})"
