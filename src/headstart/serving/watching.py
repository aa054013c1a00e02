"""The watches of a server: one a model that has a drift reference, told to Prometheus and a log."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from headstart.bundles import Bundle
from headstart.bundles.kinds import AnyBundle
from headstart.monitoring import DriftReference, Watch, append_window, read_reference

MOST_COLUMNS = 50  # that have series of their own


@dataclass(frozen=True)
class WatchOptions:
    """How models are watched.

    Attributes:
        pause_seconds: From the end of a window to the beginning of the next.
        log: A file that gets a line a window; None writes none.
    """

    pause_seconds: float = 60.0
    log: Path | None = None


class Watches:
    """What watches the models of a server.

    Args:
        options: How.
        registry: Of the server's metrics.
    """

    def __init__(self, options: WatchOptions, registry: CollectorRegistry) -> None:
        self._options = options
        self._references: dict[tuple[str, str], DriftReference | None] = {}
        self._watches: dict[tuple[str, str], Watch] = {}
        self._alarmed: set[str] = set()
        self._columns: dict[str, list[str]] = {}  # those that have series, by model
        self._has_failed = False
        detector, column = ("model", "detector"), ("model", "column")

        def gauge(name: str, text: str, labels: Sequence[str]) -> Gauge:
            return Gauge(f"headstart_{name}", text, labels, registry=registry)

        self._score = gauge("drift_score", "How far the last window is from held-out.", detector)
        self._limit = gauge("drift_limit", "What windows without drift stay below.", detector)
        self._p = gauge("drift_pvalue", "How likely that is without drift.", detector)
        self._alarm = gauge("drift_alarm", "1 while two of three windows have drifted.", ("model",))
        self._accuracy = gauge("estimated_accuracy", "Of the last window, no labels.", ("model",))
        self._column_p = gauge("drift_column_pvalue", "Of a column, for all columns.", column)
        self._missing = gauge("column_missing_ratio", "Cells that were missing.", column)
        self._new = gauge("column_new_ratio", "Cells like none that were held out.", column)
        self._windows = Counter(
            "headstart_drift_windows",
            "Windows that were judged, by what was found.",
            ("model", "state"),
            registry=registry,
        )

    def open(self, bundle: Bundle) -> None:
        """Read what a bundle is compared with.

        Raises:
            ExportError: If the file is not what was exported.
        """
        self._references[bundle.record.name, bundle.version] = read_reference(bundle.path)

    def of(self, bundle: AnyBundle) -> Watch | None:
        """Return what watches a bundle: what did before where it is the same; None without one."""
        key = bundle.record.name, bundle.version
        reference = self._references.get(key)
        if reference is None or not isinstance(bundle, Bundle):
            return None
        if key not in self._watches:
            self._alarm.labels(bundle.record.name).set(0)
            self._watches[key] = Watch(
                bundle, reference, pause_seconds=self._options.pause_seconds, tell=self._told
            )
        return self._watches[key]

    def keep(self, bundles: Sequence[Bundle]) -> None:
        """End what watches others than these."""
        kept = {(one.record.name, one.version) for one in bundles}
        for key in [key for key in self._watches if key not in kept]:
            self._watches.pop(key).finish(is_waiting=False)

    def state(self, bundle: AnyBundle) -> dict[str, Any]:
        """Return what is known of a model."""
        watch = self.of(bundle)
        if watch is not None:
            return watch.state()
        about = {"model": bundle.record.name, "version": bundle.version}
        return {**about, "reference": None, "filled": 0, "alarm": False, "windows": []}

    def finish(self) -> None:
        """Judge what is left, and end."""
        for one in self._watches.values():
            one.finish()

    def _told(self, record: dict[str, Any]) -> None:
        """Tell a window, in the thread that has judged it."""
        model = record["model"]
        self._windows.labels(model, record["state"].replace(" ", "_")).inc()
        self._alarm.labels(model).set(float(record["alarm"]))
        for name, found in record["detectors"].items():
            self._score.labels(model, name).set(found["score"])
            self._p.labels(model, name).set(found["p"])
            if found["limit"] is not None:
                self._limit.labels(model, name).set(found["limit"])
        if "accuracy" in record:
            self._accuracy.labels(model).set(record["accuracy"]["estimate"]["value"])
        self._tell_columns(model, record.get("columns", [])[:MOST_COLUMNS])
        self._write(record)
        self._say(record)

    def _tell_columns(self, model: str, columns: Sequence[dict[str, Any]]) -> None:
        """Set the series of columns, and end those of columns that are not told any more."""
        names = [column["name"] for column in columns]
        for name in set(self._columns.get(model, ())) - set(names):
            for gauge in (self._column_p, self._missing, self._new):
                gauge.remove(model, name)
        self._columns[model] = names
        for column in columns:
            self._column_p.labels(model, column["name"]).set(column["p"])
            self._missing.labels(model, column["name"]).set(column["missing"])
            self._new.labels(model, column["name"]).set(column["new"])

    def _write(self, record: dict[str, Any]) -> None:
        if self._options.log is None:
            return
        try:
            append_window(self._options.log, record)
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:  # once until it can be written again
                _say(f"{self._options.log} cannot be written ({error.strerror or error}).")
            self._has_failed = True

    def _say(self, record: dict[str, Any]) -> None:
        """Say when an alarm begins and ends."""
        model, drifted = record["model"], record["detectors"].items()
        if record["alarm"] and model not in self._alarmed:
            self._alarmed.add(model)
            named = ", ".join(name for name, one in drifted if one["is_drift"]) or "an earlier one"
            _say(f"Drift: two of three windows of {model} are unlike held-out samples ({named}).")
        elif not record["alarm"] and model in self._alarmed:
            self._alarmed.discard(model)
            _say(f"No drift any more: {model}.")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
