"""What both reports say of the data: columns, what was left out, findings.

It reads ``data.json`` and computes nothing that is not already in it.
"""

from __future__ import annotations

from headstart.reporting.language import say
from headstart.reporting.measures import Json


def describe_columns(data: Json) -> str:
    """Return how many columns of each kind a table has, as a sentence; empty if it is none."""
    kinds = list((data.get("column_kinds") or {}).values())
    if not kinds:
        return ""
    counts = ", ".join(f"{kinds.count(kind):,} {kind}" for kind in dict.fromkeys(kinds))
    one, several = say("{number} input column: {counts}"), say("{number} input columns: {counts}")
    return (one if len(kinds) == 1 else several).format(number=f"{len(kinds):,}", counts=counts)


def describe_bad_samples(data: Json) -> str:
    """Return how many samples were left out, as a sentence; empty if none."""
    number = len(data.get("bad_samples") or [])
    if not number:
        return ""
    one = say("{number} sample could not be used and took no part")
    several = say("{number} samples could not be used and took no part")
    return (one if number == 1 else several).format(number=f"{number:,}")


def notes_of(data: Json) -> list[str]:
    """Return the sentences of the findings of ``data.json``, in order.

    How many columns of each kind there are is left out: ``describe_columns`` says it.
    """
    findings = data.get("findings") or []
    return [str(found["sentence"]) for found in findings if found.get("kind") != "columns"]
