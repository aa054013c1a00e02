"""From events to figures at steps: what every tracker of a run is handed.

A training tells its loss hundreds of times a second; a curve of 200 points shows as much. Each look
at the validation split is passed on. A tracker that fails while the run goes on is told of and
taken off: a full disk of somebody else's service must not end an hour of training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from headstart.events import emit, listen
from headstart.tracking.table import open_tracker
from headstart.tracking.tracker import TrackedRun, Tracker

MAX_POINTS = 200  # of one training's loss
_NO_FIGURES = frozenset(("name", "done", "total", "eta_seconds", "step", "num_steps", "epoch"))


class FigureFeed:
    """A listener that hands figures to trackers.

    Args:
        trackers: By name.
    """

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = dict(trackers)
        self._stage = ""
        self._written = -1

    def __call__(self, kind: str, fields: dict[str, object]) -> None:
        """Take an event; those without figures are left alone."""
        if kind == "task" and _is_number(fields.get("loss")):
            self._task(fields)
        elif kind == "check":
            self._hand_over(self._stage or "val", _count(fields.get("step")), _checked(fields))
        elif kind == "spent" and _is_number(fields.get("seconds")):
            figures = {str(fields.get("stage")): float(fields["seconds"])}  # type: ignore[arg-type]
            self._hand_over("seconds", 0, figures)

    def _task(self, fields: Mapping[str, object]) -> None:
        stage, done, total = str(fields["name"]), _count(fields["done"]), _count(fields["total"])
        if stage != self._stage or done < self._written:
            self._stage, self._written = stage, -1  # another training, or one that was resumed
        is_due = self._written < 0 or done - self._written >= max(1, total / MAX_POINTS)
        if is_due or done == total != self._written:
            self._written = done
            self._hand_over(stage, done, _numbers(fields))

    def conclude(self, metrics: Mapping[str, object]) -> None:
        """Hand over the figures of the test split, with their intervals.

        Args:
            metrics: ``metrics.json``.
        """
        test = metrics.get("test")
        figures = test.get("figures") if isinstance(test, dict) else None
        told: dict[str, object] = {}
        for name, found in (figures or {}).items():
            ends = {"": "value", "_low": "low", "_high": "high"}
            told |= {f"{name}{end}": found.get(key) for end, key in ends.items()}
        self._hand_over("test", 0, _numbers(told))

    def close(self, *, is_finished: bool) -> None:
        """Close every tracker."""
        for name in list(self._trackers):
            tracker = self._trackers.pop(name)
            with self._surviving(name):
                tracker.close(is_finished=is_finished)

    def _hand_over(self, stage: str, step: int, figures: Mapping[str, float]) -> None:
        for name, tracker in list(self._trackers.items()) if figures else ():
            with self._surviving(name):
                tracker.write(stage, step, figures)

    @contextmanager
    def _surviving(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of another library, or a disk: the run goes on
            self._trackers.pop(name, None)
            emit(
                "note",
                text=f"{name} gets no more of this run ({type(error).__name__}: {error}); the run "
                "goes on, and its own log.jsonl holds everything.",
            )


@contextmanager
def tracked(names: Sequence[str], run: TrackedRun) -> Iterator[None]:
    """Hand the figures of a run to trackers inside the block.

    Args:
        names: Of trackers, as ``require_trackers`` returns them.
        run: The run.

    Raises:
        OptionError: If one cannot begin.
    """
    if not names:
        yield
        return
    opened: dict[str, Tracker] = {}
    feed, is_finished = None, False
    try:
        for name in names:
            opened[name] = open_tracker(name, run)
        feed = FigureFeed(opened)
        with listen(feed):
            yield
            is_finished = True
        with suppress(OSError, ValueError):  # a start of one's own has no test split
            feed.conclude(json.loads((run.folder / "metrics.json").read_text("utf-8")))
    finally:
        (feed or FigureFeed(opened)).close(is_finished=is_finished)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else 0


def _numbers(fields: Mapping[str, object]) -> dict[str, float]:
    """Return the fields that are figures: finite numbers that count nothing."""
    return {
        name: float(value)  # type: ignore[arg-type]
        for name, value in fields.items()
        if name not in _NO_FIGURES and _is_number(value)
    }


def _checked(fields: Mapping[str, object]) -> dict[str, float]:
    """Return a check's figures; ``val_score`` is called by its ``metric``."""
    metric = fields.get("metric")
    return {
        f"val_{metric}" if name == "val_score" and metric else name: value
        for name, value in _numbers(fields).items()
    }
