"""A model that is watched while it answers: a window is filled, judged beside it, and told.

What is kept of an answer is its confidence, its classes and its embedding, until its window is
judged; of a table's cells counts alone. Inputs are not kept. Judging takes a tenth of a
second, in a thread of its own, and not more often than once in ``pause_seconds``: between two
windows nothing is looked at, so that a busy server answers as quickly as one that nobody watches.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np

from headstart.bundles import Bundle
from headstart.monitoring.answers import KeptAnswers, answers_of, names_of
from headstart.monitoring.columns import ColumnCounts
from headstart.monitoring.detectors import SeenSamples
from headstart.monitoring.embeddings import embedded
from headstart.monitoring.reference import DriftReference
from headstart.monitoring.windows import LEAST_SAMPLES, WINDOW, Json, is_alarm, judge
from headstart.preprocessing import Cells
from headstart.types import Inputs, Rows

MOST_WINDOWS = 60  # that a state tells of
Tell = Callable[[Json], None]


@dataclass(eq=False)
class Filling:
    """A window that is being filled."""

    numbers: list[np.ndarray]
    points: list[np.ndarray]
    counts: np.ndarray
    columns: ColumnCounts | None = None
    num: int = 0

    def add(self, answers: KeptAnswers, points: np.ndarray | None) -> None:
        """Take answers, and their embeddings where there are any."""
        self.numbers.append(answers.numbers)
        self.counts = self.counts + answers.counts
        self.num += len(answers.numbers)
        if points is not None:
            self.points.append(points)

    def seen(self, is_exclusive: bool) -> SeenSamples:
        """Return what it holds."""
        numbers = np.concatenate(self.numbers) if self.numbers else np.empty(0, np.float32)
        points = np.concatenate(self.points) if self.points else None
        if points is not None and len(points) != len(numbers):
            points = None
        return SeenSamples(numbers, self.counts, is_exclusive, points, self.columns)


class Watch:
    """What watches one model.

    Args:
        bundle: That answers.
        reference: Of it.
        pause_seconds: From the end of a window to the beginning of the next.
        tell: Called with each window's record, in the thread that judges.
    """

    def __init__(
        self,
        bundle: Bundle,
        reference: DriftReference,
        *,
        pause_seconds: float = 0.0,
        tell: Tell | None = None,
    ) -> None:
        self._bundle, self._reference = bundle, reference
        self._names = names_of(bundle.schema, bundle.task)
        self._pause, self._tell = pause_seconds, tell
        self._opens = 0.0
        self._lock = Lock()
        self._filling = self._empty()
        self._num_windows = 0
        self._windows: deque[Json] = deque(maxlen=MOST_WINDOWS)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"watch-{bundle.record.name}")

    @property
    def is_open(self) -> bool:
        """Whether answers are looked at now, and are not between two windows."""
        return time.monotonic() >= self._opens

    def add(
        self,
        outputs: Rows,
        arrays: Mapping[str, np.ndarray],
        features: np.ndarray | None,
    ) -> None:
        """Take the answers to a batch.

        Args:
            outputs: Of the bundle, shape (B, K), or ragged of words.
            arrays: Of its first member.
            features: Of the same; None where its network gives none.
        """
        answers = answers_of(self._bundle.task, outputs)
        has_points = self._reference.seen.embeddings is not None
        points = embedded(self._bundle, arrays, features) if has_points else None
        with self._lock:
            self._filling.add(answers, points)
            if self._filling.num >= WINDOW:
                full, self._filling = self._filling, self._empty()
                self._opens = time.monotonic() + self._pause
                self._begin(full)

    def add_rows(self, inputs: Inputs, places: np.ndarray | None = None) -> None:
        """Count the cells of rows, as they came; samples of other kinds have none.

        Args:
            inputs: Rows.
            places: Which of them, int64, shape (B,); None for all.
        """
        bins = self._reference.bins
        if bins is None or not isinstance(inputs, Cells) or not self.is_open:
            return
        found = bins.counted(inputs, places)
        with self._lock:
            former = self._filling.columns
            self._filling.columns = found if former is None else former.plus(found)

    def state(self) -> Json:
        """Return what is known: the latest windows, and how far the next one is filled."""
        with self._lock:
            windows, num = list(self._windows), self._filling.num
        record = self._bundle.record
        return {
            "model": record.name,
            "version": self._bundle.version,
            "window": WINDOW,
            "least": LEAST_SAMPLES,
            "reference": about_reference(self._reference),
            "filled": num,
            "alarm": is_alarm([one["state"] for one in windows]),
            "windows": windows,
        }

    def finish(self, *, is_waiting: bool = True) -> None:
        """Judge what is left of the last window, where it is enough, and end the thread."""
        with self._lock:
            if self._filling.num >= LEAST_SAMPLES:
                full, self._filling = self._filling, self._empty()
                self._begin(full)
        self._thread.shutdown(wait=is_waiting)

    def wait(self) -> None:
        """Return when every full window has been judged."""
        self._thread.submit(lambda: None).result()

    def _begin(self, full: Filling) -> None:
        """Judge a window in the thread; what fails there is logged, and the next one is filled."""
        self._thread.submit(self._judge, full).add_done_callback(lambda done: done.result())

    def _empty(self) -> Filling:
        return Filling([], [], np.zeros(len(self._reference.seen.counts), np.int64))

    def _judge(self, full: Filling) -> None:
        is_exclusive = self._reference.seen.is_exclusive
        found = judge(self._reference, full.seen(is_exclusive), self._names)
        with self._lock:
            self._num_windows += 1
            states = [*(one["state"] for one in self._windows), found["state"]]
            record = {
                "model": self._bundle.record.name,
                "version": self._bundle.version,
                "number": self._num_windows,
                **found,
                "alarm": is_alarm(states),
            }
            self._windows.append(record)
        if self._tell is not None:
            self._tell(record)


def about_reference(reference: DriftReference) -> Json:
    """Return what a person wants to know of what windows are compared with."""
    return {
        "samples": len(reference.seen),
        "origin": reference.origin,
        "detectors": sorted(reference.limits),
        "accuracy": reference.accuracy,
        "columns": 0 if reference.bins is None else len(reference.bins.names),
    }
