"""The audits that a run makes of its data: those without features, in a share of the budget.

What frozen features would be needed for (doubtful labels, drift) is left to ``headstart check``:
computing them for every sample costs what a training does better with. What was found is settled
once, so that a run that goes on does not look again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headstart.events import emit
from headstart.recipes.findings import tell_findings
from headstart.types import Dataset, Finding

if TYPE_CHECKING:
    from headstart.recipes.session import Session
    from headstart.tuning.budget import Budget
    from headstart.tuning.decisions import Decided

LEAST_SECONDS = 0.2  # with less nothing would come to its end


def with_audits(current: Session, dataset: Dataset, budget: Budget, seed: int) -> Dataset:
    """Return the data with what audits found of it, which is told.

    Args:
        current: The session.
        dataset: As it was loaded.
        budget: The budget, of which the audits take their share.
        seed: Of what is drawn.
    """
    from headstart.tuning.decisions import Decided

    def decide() -> Decided[list[dict[str, Any]]]:
        return Decided([found.to_json() for found in _audit(dataset, budget, seed)])

    settled = current.decisions.settle("audits", decide)
    found = [Finding(**record) for record in settled]
    tell_findings(found)
    return replace(dataset, findings=(*dataset.findings, *found))


def _audit(dataset: Dataset, budget: Budget, seed: int) -> list[Finding]:
    """Run the audits of a run, each in its share."""
    from headstart.auditing.audit import AuditTools
    from headstart.auditing.audits import AUDITS
    from headstart.auditing.running import run_audits

    seconds = min(budget.may_take("audits"), max(0.0, budget.left))
    if seconds < LEAST_SECONDS:
        return []
    emit("stage", text="Checking the data")
    began = budget.spent
    left_to_check = {
        audit.name: "left to headstart check"
        for audit in AUDITS.values()
        if audit.has_features or not audit.in_runs
    }
    results = run_audits(dataset, AuditTools(seed=seed), seconds=seconds, why_not=left_to_check)
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
        if ran.why_not and ran.audit.name not in left_to_check and ran.audit.applies(dataset):
            emit("note", text=f"The audit '{ran.audit.name}' was not run: {ran.why_not}")
    return [found.finding for _, found in results.by_gravity]
