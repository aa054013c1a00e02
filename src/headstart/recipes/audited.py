"""The audits that a run makes of its data, each part of them in its share of the budget.

What reads features, or measures samples by the thousand (doubtful labels, drift, shortcuts), comes
last: the features that heads were fitted to lie in the cache then, and cost nothing again. What had
no time before the training is looked for after it, from what the training has left. What is found
before the training is settled once, so that a run that goes on does not look again; it knows of
near copies only what this attempt has found.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from headstart.errors import PackageMissing
from headstart.events import emit
from headstart.recipes.findings import tell_findings
from headstart.types import Dataset, Finding

if TYPE_CHECKING:
    from headstart.auditing.audit import Audit, AuditTools
    from headstart.auditing.probe_features import Look, ProbeFeatures
    from headstart.pretraining.objective import Corpus
    from headstart.recipes.session import Session
    from headstart.tuning.budget import Budget, BudgetPlan
    from headstart.tuning.decisions import Decided

LEAST_SECONDS = 0.2  # with less nothing would come to its end
AT_ONCE_SECONDS = 1.0  # what one audit may take before anything is trained
_OF_FREE = 0.7  # of what the conclusion leaves: what is begun takes its time
MOST_SHARES = 3  # that estimates take of a budget where the training has left them
SECONDS_A_JUDGED = 5e-4  # at the most what estimates take of one more sample
Part = Literal["all", "quick", "slow"]


def with_audits(
    current: Session, dataset: Dataset, budget: Budget, seed: int, part: Part = "all"
) -> Dataset:
    """Return the data with what audits found of it, which is told.

    Args:
        current: The session.
        dataset: As it was loaded.
        budget: The budget, of which the audits take their share.
        seed: Of what is drawn.
        part: Which of them: a search makes those that take long when the start is chosen, so that
            nobody waits for them before the first step.
    """
    from headstart.tuning.decisions import Decided

    slow = _slow_audits(dataset)
    if dataset.is_repeated or (part == "slow" and not slow):
        return dataset
    if part != "slow":
        _tell_missing(dataset)
    late = LateAudits()

    def decide() -> Decided[list[dict[str, Any]]]:
        found = _audit(current, dataset, budget, seed, part, slow, late)
        return Decided([one.to_json() for one in found])

    name = "slow audits" if part == "slow" else "audits"
    settled = current.decisions.settle(name, decide)

    def untold() -> Decided[list[dict[str, Any]]]:
        return Decided([one.to_json() for one in late.findings])

    waiting = current.decisions.settle(f"{name} without time", untold)
    current.late_audits += current.decisions.settle(
        f"{name} to make later", lambda: Decided(late.names)
    )
    current.untold += [Finding(**record) for record in waiting]
    found = [Finding(**record) for record in settled]
    tell_findings(found)
    return replace(dataset, findings=(*dataset.findings, *found))


@dataclass
class LateAudits:
    """Audits that had no time.

    Attributes:
        names: Of them.
        findings: What they said of it: told when they have none at the end either.
    """

    names: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def apart_from_test(current: Session, corpus: Corpus, budget: Budget, seed: int) -> Corpus:
    """Return what is pretrained on without near copies of test, which is told.

    Args:
        current: The session.
        corpus: As it was read.
        budget: The budget, of which looking for them takes the share of audits.
        seed: Of what is drawn.

    Raises:
        DataError: If no sample would be left.
    """
    from headstart.pretraining import apart
    from headstart.tuning.decisions import Decided

    dataset = corpus.labelled
    if dataset is None or not len(dataset.test):
        return corpus
    seconds = min(budget.may_take("audits"), max(0.0, budget.left))
    near = current.decisions.settle(
        apart.NEAR_TEST, lambda: Decided(_near_test(current, dataset, seconds, seed))
    )
    if not near:
        return corpus
    kept = apart.apart_from_test(corpus, current.decisions).labelled or dataset
    found = _told_near(dataset, near)
    tell_findings([found])
    return corpus.of(replace(kept, findings=(*kept.findings, found)))


def _near_test(current: Session, dataset: Dataset, seconds: float, seed: int) -> list[int]:
    """Return the ids of training samples that are test samples, or nearly."""
    from headstart.auditing.audit import AuditTools
    from headstart.auditing.audits import AUDITS

    same = _same_as_test(dataset)
    asked = [a for a in AUDITS.values() if a.finds_copies and a.asks_of(dataset)]
    if not asked:
        return sorted(same)
    emit("stage", text="Looking for near copies of the test split")
    missing = _missing(asked)
    for why in missing.values():
        emit("note", text=why)
    others = [name for name in AUDITS if name not in {audit.name for audit in asked}]
    why_not = {**dict.fromkeys(others, "of a run that learns from labels"), **missing}
    found = found_by(current, dataset, AuditTools(seed=seed), why_not, seconds)
    tell_findings(one for one in found if not one.items)  # that there was no time, say
    near = {
        int(dataset.train.ids[spot.index])
        for copies in current.near_copies
        for group in copies
        if any(spot.split == "test" for spot in group)
        for spot in group
        if spot.split == "train"
    }
    return sorted(near | same)


def _same_as_test(dataset: Dataset) -> set[int]:
    """Return the ids of training samples that test holds to the bit, as given splits may have."""
    import numpy as np

    train, test = dataset.train, dataset.test
    if train.contents is None or test.contents is None:
        return set()
    return set(train.ids[np.isin(train.contents, test.contents)].tolist())


def _told_near(dataset: Dataset, near: Sequence[int]) -> Finding:
    """Return that copies of test, and near ones, are not learned from."""
    import numpy as np

    places = np.flatnonzero(np.isin(dataset.train.ids, np.array(near, np.int64)))
    names = [dataset.train.samples.name(int(place)) for place in places[:100]]
    facts = dataset.schema.facts
    sentence = (
        f"{len(near):,} of {len(dataset.train):,} training {facts.nouns} "
        f"{'is a test one' if len(near) == 1 else 'are test ones'}, or nearly, such as "
        f"{names[0]}: {'it is' if len(near) == 1 else 'they are'} not learned from. "
        "headstart check shows the pairs."
    )
    return Finding("near copies", "warning", names, sentence)


def with_estimates(
    current: Session,
    dataset: Dataset,
    plan: BudgetPlan,
    budget: Budget,
    seed: int,
    look: Look,
    reserve: float,
) -> Dataset:
    """Return the data with what audits that estimate found of it, which is told.

    Args:
        current: The session.
        dataset: The data.
        plan: Says what they may take.
        budget: The budget.
        seed: Of what is drawn.
        look: Whose features are read.
        reserve: Seconds that have to be left after them, all of what the conclusion may take: a
            training that ended late has taken of these.
    """
    from headstart.auditing.audits import AUDITS
    from headstart.tuning.in_time import in_time

    asked = [a for a in AUDITS.values() if a.estimates and a.in_runs and a.asks_of(dataset)]
    free = budget.left - reserve
    share = budget.may_take("estimates")
    unused = min(plan.end("estimates") - budget.spent, MOST_SHARES * share)
    seconds = min(_OF_FREE * free, share if budget.limit_seconds is None else max(share, unused))
    if seconds < LEAST_SECONDS or not asked or dataset.is_repeated:
        return dataset
    emit("stage", text="Checking the data by what a probe says")
    estimate = partial(
        _estimate, current, dataset, asked, seconds, seed, replace(look, budget=budget)
    )
    with plan.stage("estimates", budget):
        # one look of an audit has no pieces: on a machine with load 16 it took 67 s of its 5
        what = "What a probe says of the data"
        found = in_time(budget, reserve, what, estimate, library="sklearn")
    if found is None:
        return dataset
    tell_findings(found)
    return replace(dataset, findings=(*dataset.findings, *found))


def _slow_audits(dataset: Dataset) -> set[str]:
    """Return the names of those that take long for so many samples."""
    from headstart.auditing.audits import AUDITS

    return {
        audit.name
        for audit in AUDITS.values()
        if audit.asks_of(dataset)
        and not audit.estimates
        and audit.least_seconds(dataset) > AT_ONCE_SECONDS
    }


def _audit(
    current: Session,
    dataset: Dataset,
    budget: Budget,
    seed: int,
    part: Part,
    slow: set[str],
    late: LateAudits,
) -> list[Finding]:
    """Run the audits of a run that estimate nothing, each in its share.

    Args:
        current: The session.
        dataset: The data.
        budget: The budget.
        seed: Of what is drawn.
        part: Which of them.
        slow: Names of those that take long.
        late: Gets those that have no time.
    """
    from headstart.auditing.audit import AuditTools
    from headstart.auditing.audits import AUDITS

    seconds = min(budget.may_take("audits"), max(0.0, budget.left))
    if slow and part != "all":
        seconds /= 2  # the other half is the other part's
    if seconds < LEAST_SECONDS:
        return []
    emit("stage", text="Checking the data")
    began = budget.spent
    why_not = {
        audit.name: "at another time, or on the way of the run"
        for audit in AUDITS.values()
        if audit.estimates
        or not audit.in_runs
        or (part != "all" and (audit.name in slow) != (part == "slow"))
    }
    found = found_by(current, dataset, AuditTools(seed=seed), why_not, seconds, late)
    emit(
        "spent",
        stage="audits",
        seconds=round(budget.spent - began, 3),
        at=round(budget.spent, 3),
        by=round(began + seconds, 3),
    )
    return found


def _estimate(
    current: Session,
    dataset: Dataset,
    asked: Sequence[Audit],
    seconds: float,
    seed: int,
    look: Look,
) -> list[Finding]:
    """Run the audits that estimate, after the features that they read."""
    from headstart.auditing.audit import AuditTools
    from headstart.auditing.audits import AUDITS

    ends = time.monotonic() + seconds
    missing = _missing(asked)
    others = [name for name in AUDITS if name not in {audit.name for audit in asked}]
    why_not = {**dict.fromkeys(others, "at another time"), **missing}
    features, said = None, list[Finding]()
    if any(audit.has_features and audit.name not in missing for audit in asked):
        features, said = _features(dataset, seconds, seed, look)
    left = max(0.0, ends - time.monotonic())
    tools = AuditTools(
        seed=seed,
        features=features,
        start=features.start if features else None,
        near_copies=current.near_copies,
        most_samples=int(left / SECONDS_A_JUDGED),
        is_quiet=True,
    )
    found = found_by(current, dataset, tools, why_not, left)
    return [*found, *said] if found else []


def found_by(
    current: Session,
    dataset: Dataset,
    tools: AuditTools,
    why_not: Mapping[str, str],
    seconds: float,
    late: LateAudits | None = None,
) -> list[Finding]:
    """Run what is left; tell what could not be run.

    Args:
        current: The session; it keeps which samples are nearly the same.
        dataset: The data.
        tools: What audits may use.
        why_not: Audits that are not run, each with the reason.
        seconds: What all may take.
        late: Gets those that the time has stopped before they found anything, and what they say of
            that; None where they are not made another time.
    """
    from headstart.auditing.audits import AUDITS
    from headstart.auditing.running import run_audits

    results = run_audits(dataset, tools, seconds=seconds, why_not=why_not)
    if results.interruption is not None:
        raise results.interruption
    current.near_copies += [
        piece.together
        for name, piece in results.found
        if AUDITS[name].finds_copies and piece.together
    ]
    for ran in results.ran:
        if ran.why_not and ran.audit.name not in why_not and ran.audit.asks_of(dataset):
            emit("note", text=f"The audit '{ran.audit.name}' was not run: {ran.why_not}")
    waits = set[str]()
    if late is not None:
        has_found = {name for name, piece in results.found if piece.suspects}
        waits = {ran.audit.name for ran in results.ran if ran.stopped} - has_found
        late.names += [ran.audit.name for ran in results.ran if ran.audit.name in waits]
        late.findings += [found.finding for name, found in results.by_gravity if name in waits]
    return [found.finding for name, found in results.by_gravity if name not in waits]


def _tell_missing(dataset: Dataset) -> None:
    """Say which audits of a run cannot be made for want of a package, before the work begins."""
    from headstart.auditing.audits import AUDITS

    asked = [audit for audit in AUDITS.values() if audit.in_runs and audit.applies(dataset)]
    for why in _missing(asked).values():
        emit("note", text=why)


def _missing(asked: Sequence[Audit]) -> dict[str, str]:
    """Return the audits whose packages are missing, each with the way to them."""
    found = {}
    for audit in asked:
        try:
            audit.require()
        except PackageMissing as error:
            found[audit.name] = str(error)
    return found


def _features(
    dataset: Dataset, seconds: float, seed: int, look: Look
) -> tuple[ProbeFeatures | None, list[Finding]]:
    """Compute features of all splits; return them with what is to be said, None where none fit."""
    import numpy as np

    from headstart.auditing.pool import SPLITS
    from headstart.auditing.probe_features import ProbeFeatures
    from headstart.tuning.budget import SHARES

    ends = time.monotonic() + seconds
    features = ProbeFeatures(
        dataset,
        seconds=SHARES["audited features"].share * seconds,
        seed=seed,
        stop_requested=lambda: time.monotonic() > ends,
        look=look,
    )
    is_there = [bool(np.isfinite(features(name)).any()) for name in SPLITS]
    return (features if is_there[0] else None), features.findings
