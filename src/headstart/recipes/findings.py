"""Say what was found of the data while a verb works: each finding is a note."""

from __future__ import annotations

from collections.abc import Iterable

from headstart.events import emit
from headstart.types import Finding


def tell_findings(findings: Iterable[Finding]) -> None:
    """Emit each finding as a note, with its kind (as ``about``), its severity and its items."""
    for found in findings:
        emit(
            "note",
            text=found.sentence,
            about=found.kind,
            severity=found.severity,
            items=list(found.items),
        )
