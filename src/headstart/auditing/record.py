"""What ``check.json`` holds: every finding with every sample that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headstart.auditing.audit import Audited, Spot
from headstart.auditing.counts import class_counts, has_classes
from headstart.auditing.running import Ran, Results
from headstart.auditing.spots import label_of, name_of
from headstart.auditing.views import view_of
from headstart.data.records import NOUNS
from headstart.types import Dataset, FindingKind

FORMAT = 1
# Kinds that say what a training would refuse, where they are errors.
REFUSED: tuple[FindingKind, ...] = ("classes", "constant", "unreadable")


def check_record(dataset: Dataset, results: Results, seconds: float) -> dict[str, Any]:
    """Return what was found, JSON-able.

    Args:
        dataset: The data.
        results: Of the audits.
        seconds: What loading and checking took.
    """
    schema = dataset.schema
    splits = (("train", dataset.train), ("val", dataset.val), ("test", dataset.test))
    counts = class_counts(dataset) if has_classes(dataset) else {}
    return {
        "format": FORMAT,
        "verdict": verdict([found for _, found in results.found]),
        "data": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "modality": schema.modality,
            "several": NOUNS[schema.modality][1],
            "task": schema.task,
            "classes": list(schema.classes),
            "counts": {name: len(split) for name, split in splits},
            "split_origin": dict(dataset.split_origin),
            "source": dict(dataset.source) if dataset.source else None,
        },
        "class_counts": {name: values.tolist() for name, values in counts.items()},
        "findings": [_found(dataset, name, found) for name, found in results.by_gravity],
        "bad_samples": [{"name": b.name, "reason": b.reason} for b in dataset.bad_samples],
        "audits": [_ran(ran) for ran in results.ran],
        "is_interrupted": results.interruption is not None,
        "seconds": round(seconds, 3),
    }


def verdict(found: Sequence[Audited]) -> str:
    """Return ``leak`` where test asks what train holds, ``refused`` where nothing can be learned.

    Returns:
        One of the two, or an empty text.
    """
    grave = [audited.finding for audited in found if audited.finding.severity == "error"]
    if any(finding.kind not in REFUSED for finding in grave):
        return "leak"
    return "refused" if grave else ""


def _found(dataset: Dataset, name: str, found: Audited) -> dict[str, Any]:
    return {
        "audit": name,
        **found.finding.to_json(),
        "leave_out": found.leave_out,
        "suspects": [
            {
                "sample": _sample(dataset, suspect.spot),
                "beside": None if suspect.beside is None else _sample(dataset, suspect.beside),
                "reason": suspect.reason,
                "certainty": round(suspect.certainty, 4),
            }
            for suspect in found.suspects
        ],
        "together": [[_sample(dataset, spot) for spot in group] for group in found.together],
    }


def _sample(dataset: Dataset, spot: Spot) -> dict[str, object]:
    return {
        "split": spot.split,
        "name": name_of(dataset, spot),
        "label": label_of(dataset, spot),
        "index": spot.index,
    }


def _ran(ran: Ran) -> dict[str, object]:
    return {
        "name": ran.audit.name,
        "question": ran.audit.question,
        "seconds": round(ran.seconds, 3),
        "why_not": ran.why_not,
        "stopped": ran.stopped,
    }


def check_views(
    dataset: Dataset, results: Results, limit: int
) -> dict[tuple[str, int], dict[str, object]]:
    """Return what a page shows of the samples, by split and index.

    Args:
        dataset: The data.
        results: Of the audits.
        limit: Suspects of each finding that are shown.
    """
    wanted = {
        spot
        for _, found in results.found
        for suspect in found.suspects[:limit]
        for spot in (suspect.spot, suspect.beside)
        if spot is not None
    }
    return {(spot.split, spot.index): view_of(dataset, spot) for spot in wanted}
