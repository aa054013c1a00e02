"""The audits that a run makes of its data: those without features, in a share of the budget.

What frozen features would be needed for (doubtful labels, drift) is left to ``headstart check``:
computing them for every sample costs what a training does better with. What was found is settled
once, so that a run that goes on does not look again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from headstart.events import emit
from headstart.recipes.findings import tell_findings
from headstart.types import Dataset, Finding

if TYPE_CHECKING:
    from headstart.recipes.session import Session
    from headstart.tuning.budget import Budget
    from headstart.tuning.decisions import Decided

LEAST_SECONDS = 0.2  # with less nothing would come to its end
AT_ONCE_SECONDS = 1.0  # what one audit may take before anything is trained
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
    if part == "slow" and not slow:
        return dataset

    def decide() -> Decided[list[dict[str, Any]]]:
        return Decided([found.to_json() for found in _audit(dataset, budget, seed, part, slow)])

    name = "slow audits" if part == "slow" else "audits"
    settled = current.decisions.settle(name, decide)
    found = [Finding(**record) for record in settled]
    tell_findings(found)
    return replace(dataset, findings=(*dataset.findings, *found))


def _slow_audits(dataset: Dataset) -> set[str]:
    """Return the names of those that take long for so many samples."""
    from headstart.auditing.audits import AUDITS

    return {
        audit.name
        for audit in AUDITS.values()
        if audit.applies(dataset) and audit.least_seconds(dataset) > AT_ONCE_SECONDS
    }


def _audit(
    dataset: Dataset, budget: Budget, seed: int, part: Part, slow: set[str]
) -> list[Finding]:
    """Run the audits of a run, each in its share."""
    from headstart.auditing.audit import AuditTools
    from headstart.auditing.audits import AUDITS
    from headstart.auditing.running import run_audits

    seconds = min(budget.may_take("audits"), max(0.0, budget.left))
    if slow and part != "all":
        seconds /= 2  # the other half is the other part's
    if seconds < LEAST_SECONDS:
        return []
    emit("stage", text="Checking the data")
    began = budget.spent
    left_to_check = {
        audit.name: "left to headstart check"
        for audit in AUDITS.values()
        if audit.has_features or not audit.in_runs
    }
    another_time = {
        name: "at another time"
        for name in AUDITS
        if part != "all" and (name in slow) != (part == "slow")
    }
    why_not = another_time | left_to_check
    results = run_audits(dataset, AuditTools(seed=seed), seconds=seconds, why_not=why_not)
    if results.interruption is not None:
        raise results.interruption
    emit(
        "spent",
        stage="audits",
        seconds=round(budget.spent - began, 3),
        at=round(budget.spent, 3),
        by=round(began + seconds, 3),
    )
    for ran in results.ran:
        if ran.why_not and ran.audit.name not in why_not and ran.audit.applies(dataset):
            emit("note", text=f"The audit '{ran.audit.name}' was not run: {ran.why_not}")
    return [found.finding for _, found in results.by_gravity]
