"""What an audit is given, and what it finds.

An audit is a function from a loaded data set to findings, and one row of ``AUDITS`` in
``auditing/audits.py``. It touches no file of the user, prints nothing, and its cost grows with the
number of samples, not with its square.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.tasks import find_task
from headstart.types import Dataset, Finding, FindingKind, SplitName

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Spot:
    """Where a sample stands: its split, and its index there."""

    split: SplitName
    index: int


@dataclass(frozen=True)
class Suspect:
    """One sample that an audit doubts.

    Attributes:
        spot: The sample.
        reason: What a person reads beside it, e.g. ``given 'rose', looks like 'tulip' (0.93)``.
        certainty: In [0, 1]; 1 where nothing was estimated.
        beside: The sample that it is shown beside, e.g. the one that it copies; None if alone.
    """

    spot: Spot
    reason: str
    certainty: float = 1.0
    beside: Spot | None = None


@dataclass(frozen=True)
class Audited:
    """One finding with what it rests on.

    Attributes:
        finding: What a person and ``data.json`` read.
        suspects: Every sample concerned, the most certain first; empty if it is about none.
        leave_out: Whether a list of repairs leaves the suspects out.
        together: Samples that belong on one side of the split, one tuple a group.
    """

    finding: Finding
    suspects: Sequence[Suspect] = ()
    leave_out: bool = False
    together: Sequence[tuple[Spot, ...]] = ()


@dataclass(frozen=True)
class AuditTools:
    """What an audit may use besides the data.

    Attributes:
        seed: Of what is drawn.
        features: Features that a frozen start gives the samples of a split, float32 (N, D), each
            computed once and kept in the cache; None where no start is at hand.
        start: Address of that start, or None.
        near_copies: What audits before have found to be nearly the same, each as
            ``Audited.together``.
        most_samples: How many an audit that estimates may judge in its time; None for all.
        is_quiet: Whether only what was found is told, and not that nothing was.
        is_over: Whether the time for audits is up; an audit that stops by it says so in a finding.
    """

    seed: int = 0
    features: Callable[[SplitName], np.ndarray] | None = None
    start: str | None = None
    near_copies: Sequence[Sequence[tuple[Spot, ...]]] = ()
    most_samples: int | None = None
    is_quiet: bool = False
    is_over: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Audit:
    """A kind of audit: a row of ``AUDITS``.

    Attributes:
        name: As ``check.json`` and ``--skip`` write it.
        question: What it answers, e.g. ``Does train hold what test asks?``.
        applies: Whether it means anything for these data.
        run: What it finds.
        has_features: Whether it needs ``AuditTools.features``.
        restates: Kinds of findings about single samples that ``load`` has told, and that this one
            tells again with every suspect; where it is run they are shown once.
        in_runs: Whether fit and finetune run it; not where they find the same on their way.
        measures: Whether it measures samples by the thousand.
        finds_copies: Whether what it finds together is one sample changed, so that later audits
            let neither vouch for the other.
        require: Raises what a package that is missing asks for, before anything is begun.
        seconds_per_sample: What it takes at the least, on a fast machine; 0 where nobody need ask.
            Where that alone is more than the time at hand, it is not begun, but says so.
    """

    name: str
    question: str
    applies: Callable[[Dataset], bool]
    run: Callable[[Dataset, AuditTools], list[Audited]]
    has_features: bool = False
    restates: tuple[FindingKind, ...] = ()
    in_runs: bool = True
    measures: bool = False
    finds_copies: bool = False
    require: Callable[[], None] = lambda: None
    seconds_per_sample: float = 0.0

    @property
    def estimates(self) -> bool:
        """Whether a run makes it when the start is known, in a share of its own."""
        return self.has_features or self.measures

    def asks_of(self, dataset: Dataset) -> bool:
        """Return whether it has something to ask of these data.

        What estimates reads one label a sample; of texts whose words have tags there is none.
        """
        task = find_task(dataset.schema.task)
        return self.applies(dataset) and (task.is_answered_whole or not self.estimates)

    def least_seconds(self, dataset: Dataset) -> float:
        """Return what it takes at the least for all samples of some data."""
        num_samples = len(dataset.train) + len(dataset.val) + len(dataset.test)
        return self.seconds_per_sample * num_samples
