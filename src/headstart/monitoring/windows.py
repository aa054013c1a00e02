"""Windows of answers: judged one by one against the reference, and an alarm after two of three.

A window has drifted where a detector finds what is rarer than one in a hundred without drift, by
its own test (corrected for there being several) and by what was natural among held-out samples. A
single one may be chance; two of three are told as an alarm. Below ``LEAST_SAMPLES`` nothing is
judged.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from headstart.evaluation import holm
from headstart.monitoring.columns import ColumnDifference
from headstart.monitoring.detectors import SeenSamples, column_differences, differences
from headstart.monitoring.estimates import class_shares, likely_accuracy
from headstart.monitoring.reference import DriftReference
from headstart.monitoring.two_samples import SampleDifference
from headstart.types import Figure

Json = dict[str, Any]
WINDOW = 500  # samples
LEAST_SAMPLES = 200
RARE = 0.01
ALARM_OF, ALARM_AFTER = 3, 2  # windows
MOST_COLUMNS = 50  # that a record holds: those that differ most
MOST_CLASSES = 100
NOT_ENOUGH = "not enough data"


def judge(reference: DriftReference, window: SeenSamples, classes: Sequence[str]) -> Json:
    """Return what is found of a window, JSON-able.

    Args:
        reference: Of the bundle.
        window: At least one sample.
        classes: What is counted, in words; empty where a number is told.
    """
    record: Json = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "samples": len(window),
        "state": NOT_ENOUGH,
        "detectors": {},
    }
    if len(window) < LEAST_SAMPLES:
        return record
    columns = column_differences(reference.bins, reference.seen, window)
    if window.columns is not None and window.columns.num < LEAST_SAMPLES:
        columns = []
    found = differences(reference.seen, window, reference.median, columns)
    corrected = holm([one.p for one in found.values()])
    detectors = {
        name: _verdict(replace(one, p=p), reference.limits.get(name))
        for (name, one), p in zip(found.items(), corrected, strict=True)
    }
    has_drifted = any(one["is_drift"] for one in detectors.values())
    record |= {"state": "drift" if has_drifted else "no drift", "detectors": detectors}
    record |= _of_classes(reference, window, classes)
    if columns:
        record["columns"] = [_column(one) for one in _widest(columns)]
        record["num_columns"] = len(columns)
    return record


def _verdict(found: SampleDifference, limit: float | None) -> Json:
    """Return what one detector says; both its test and what was natural must agree on drift."""
    is_drift = found.p <= RARE and (limit is None or found.score > limit)
    return {**asdict(found), "limit": limit, "is_drift": is_drift}


def _of_classes(reference: DriftReference, window: SeenSamples, classes: Sequence[str]) -> Json:
    """Return the shares of classes, and what can be estimated without labels."""
    if not len(window.counts):
        return {}
    former, now = (one.counts / max(len(one), 1) for one in (reference.seen, window))
    record: Json = {}
    if len(classes) <= MOST_CLASSES:
        rows = zip(classes, former.tolist(), now.tolist(), strict=True)
        record["classes"] = [
            {"name": name, "reference": before, "share": after} for name, before, after in rows
        ]
        if len(reference.confusion) and (
            shares := class_shares(reference.confusion, window.counts)
        ):
            for row, share in zip(record["classes"], shares, strict=True):
                row["estimate"] = _figure(share)
    if len(reference.right):
        likely = likely_accuracy(reference.edges, reference.right, window.numbers)
        record["accuracy"] = {"estimate": _figure(likely), "reference": reference.accuracy}
    return record


def _figure(figure: Figure) -> Json:
    return {"value": figure.value, "low": figure.low, "high": figure.high}


def _widest(columns: Sequence[ColumnDifference]) -> list[ColumnDifference]:
    return sorted(columns, key=lambda one: (one.p, -one.size))[:MOST_COLUMNS]


def _column(found: ColumnDifference) -> Json:
    return {**asdict(found), "is_drift": found.p <= RARE}


def is_alarm(states: Sequence[str]) -> bool:
    """Return whether the latest windows, by their states, are an alarm."""
    return sum(state == "drift" for state in states[-ALARM_OF:]) >= ALARM_AFTER
