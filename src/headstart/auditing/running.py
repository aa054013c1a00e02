"""Run audits one after the other, each in its share of the time, and put together what they found.

What ``load`` has found comes first; where an audit tells the same again, with every suspect, it is
shown once. An audit that cannot be run (a package is missing, it means nothing for these data) says
why. Left out: what becomes of the findings, which is the business of who asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from headstart.auditing.audit import Audit, Audited, AuditTools
from headstart.auditing.audits import AUDITS
from headstart.errors import HeadstartError, OptionError, did_you_mean, quoted
from headstart.events import emit
from headstart.types import Dataset, Finding

GRAVITY = {"error": 0, "warning": 1, "note": 2}
MOST = 0.5  # of the time that is left: what one audit may take, but for the last


@dataclass(frozen=True)
class Ran:
    """One audit, as it was run or not.

    Attributes:
        audit: The audit.
        seconds: What it took.
        why_not: Why it was not run; empty where it was.
        stopped: Whether the time was up before it came to its end.
    """

    audit: Audit
    seconds: float = 0.0
    why_not: str = ""
    stopped: bool = False


@dataclass
class Results:
    """What was found so far.

    Attributes:
        found: For each finding the name of its audit, ``load`` for those of reading, with what it
            rests on.
        ran: Every audit.
        interruption: What ended it early, Ctrl-C, or None.
    """

    found: list[tuple[str, Audited]] = field(default_factory=list)
    ran: list[Ran] = field(default_factory=list)
    interruption: KeyboardInterrupt | None = None

    @property
    def by_gravity(self) -> list[tuple[str, Audited]]:
        """The gravest first, else in the order of the audits."""
        return sorted(self.found, key=lambda pair: GRAVITY[pair[1].finding.severity])


def audit_names(said: Sequence[str]) -> list[str]:
    """Return the names of audits that were said, where a blank may be a hyphen.

    Raises:
        OptionError: With the nearest name.
    """
    names = [name if name in AUDITS else name.replace("-", " ") for name in said]
    for name in names:
        if name not in AUDITS:
            raise OptionError(
                f"skip names '{name}', which is no audit; expected some of {quoted(list(AUDITS))}."
                f"{did_you_mean(name, AUDITS)}"
            )
    return names


def run_audits(
    dataset: Dataset,
    tools: AuditTools,
    *,
    seconds: float,
    why_not: Mapping[str, str],
    known: Sequence[Finding] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Results:
    """Run every audit that applies.

    Args:
        dataset: The data.
        tools: What audits may use; its ``is_over`` is asked too.
        seconds: What all together may take.
        why_not: Audits that are not to be run, each with the reason.
        known: Findings of loading, to be shown with them.
        clock: Returns seconds.
    """
    results = Results()
    wanted = [audit for audit in AUDITS.values() if audit.name not in why_not]
    wanted = [audit for audit in wanted if audit.asks_of(dataset)]
    end, found = clock() + seconds, list[tuple[str, Audited]]()
    try:
        for audit in AUDITS.values():
            if audit not in wanted:
                why = why_not.get(audit.name, "it means nothing for these data")
                results.ran.append(Ran(audit, why_not=why))
                continue
            number = len(wanted) - wanted.index(audit)
            emit("task", name="check", done=len(wanted) - number, total=len(wanted), at=audit.name)
            left = max(0.0, end - clock())
            known_copies = [piece.together for name, piece in found if AUDITS[name].finds_copies]
            tools = replace(tools, near_copies=[copies for copies in known_copies if copies])
            ran, pieces = _run(audit, dataset, tools, left if number == 1 else MOST * left, clock)
            results.ran.append(ran)
            found += [(audit.name, piece) for piece in pieces]
        emit("task", name="check", done=len(wanted), total=len(wanted))
    except KeyboardInterrupt as error:
        done = {ran.audit.name for ran in results.ran}
        rest = [audit for audit in AUDITS.values() if audit.name not in done]
        results.ran += [Ran(audit, why_not="interrupted") for audit in rest]
        results.interruption = error
    restated = {kind for ran in results.ran if not ran.why_not for kind in ran.audit.restates}
    results.found = [
        ("load", Audited(finding))
        for finding in known
        if finding.kind not in restated or (finding.kind == "leak" and not finding.items)
    ]
    results.found += found
    return results


def _run(
    audit: Audit,
    dataset: Dataset,
    tools: AuditTools,
    seconds: float,
    clock: Callable[[], float],
) -> tuple[Ran, list[Audited]]:
    """Run one audit in the time it has."""
    began, was_over = clock(), audit.least_seconds(dataset) > seconds

    def is_over() -> bool:
        nonlocal was_over
        was_over = was_over or clock() - began > seconds or tools.is_over()
        return was_over

    if audit.has_features and tools.features is None:
        return Ran(audit, why_not="no start is at hand that gives features of these data"), []
    try:
        found = audit.run(dataset, replace(tools, is_over=is_over))
    except HeadstartError as error:  # a package that is missing, say
        return Ran(audit, clock() - began, why_not=str(error)), []
    return Ran(audit, clock() - began, stopped=was_over), found
