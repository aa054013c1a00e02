"""Audits that had no time before the training, made from what it has left.

Left out: those that estimate, which come at the end in any case (``audited``).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from headstart.events import emit
from headstart.recipes.audited import LEAST_SECONDS, LateAudits, found_by
from headstart.recipes.findings import tell_findings

if TYPE_CHECKING:
    from headstart.auditing.audit import Audit
    from headstart.recipes.session import Session
    from headstart.tuning.budget import Budget
    from headstart.types import Dataset


def with_late_audits(
    current: Session, dataset: Dataset, budget: Budget, seed: int, reserve: float
) -> Dataset:
    """Return the data with what audits found that had no time before the training.

    Near copies among 5,000 images take eleven seconds, of which two minutes give them two; the
    training has left twenty.

    Args:
        current: The session: it knows which they are, and what they have said.
        dataset: The data.
        budget: The budget. Nobody waits for them where there is none.
        seed: Of what is drawn.
        reserve: Seconds that have to be left after them. What estimates may take is not among
            these: a leak is graver than a doubtful label.
    """
    from headstart.auditing.audit import AuditTools
    from headstart.auditing.audits import AUDITS
    from headstart.tuning.in_time import in_time

    asked = [AUDITS[name] for name in current.late_audits if name in AUDITS]
    found, untold = None, current.untold
    if asked and budget.limit_seconds is not None:
        seconds = min(budget.may_take("late audits"), budget.left - reserve)
        expected = sum(_expected_seconds(audit, dataset, budget) for audit in asked)
        if seconds > max(LEAST_SECONDS, expected):
            emit("stage", text="Checking the data by what had no time before")
            others = dict.fromkeys(AUDITS, "at another time")
            why_not = {name: why for name, why in others.items() if name not in current.late_audits}
            late, tools = LateAudits(), AuditTools(seed=seed)
            look = partial(found_by, current, dataset, tools, why_not, seconds, late)
            what = "What was to be looked for in the data once there was time"
            found = in_time(budget, max(reserve, budget.left - seconds), what, look)
            untold = late.findings if found is not None else untold
    found = [*(found or []), *untold]
    current.late_audits, current.untold = [], []
    tell_findings(found)
    return replace(dataset, findings=(*dataset.findings, *found))


def _expected_seconds(audit: Audit, dataset: Dataset, budget: Budget) -> float:
    """Return what an audit takes here: at the least is what it takes two idle cores."""
    from headstart.cores import usable_cores

    return budget.load * audit.least_seconds(dataset) * 2 / min(2, usable_cores())
