"""``--log csv``: ``scalars.csv`` in the run folder, a line a figure, for any program."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from headstart.tracking.tracker import TrackedRun

NAME = "scalars.csv"
COLUMNS = ("time", "stage", "step", "figure", "value")


class CsvTracker:
    """Writes lines of ``COLUMNS``; a run that is resumed adds to them.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        is_new = not path.exists()
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        if is_new:
            self._writer.writerow(COLUMNS)

    def write(self, stage: str, step: int, figures: Mapping[str, float]) -> None:
        """Take figures of one moment."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._writer.writerows([now, stage, step, name, value] for name, value in figures.items())
        self._file.flush()

    def close(self, *, is_finished: bool) -> None:
        """Close the file."""
        self._file.close()


def open_tracker(run: TrackedRun) -> CsvTracker:
    """Return what writes into the run folder.

    Args:
        run: The run.
    """
    return CsvTracker(run.folder / NAME)
