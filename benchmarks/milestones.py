"""When headstart had its test figure: a stopwatch that listens to its events.

After the test figure headstart goes on to baselines, a report page and the run folder, which no
peer makes. The event that ends the test pass is the moment a peer's program would end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


class Stopwatch:
    """Seconds since it was made, and the moment the test pass ended.

    Attributes:
        test_seconds: Seconds from the start to the end of the first pass over the test split; None
            before that.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self.test_seconds: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the stopwatch was made."""
        return time.perf_counter() - self._began

    def hear(self, kind: str, fields: dict[str, object]) -> None:
        """Take note of the event that ends the test pass."""
        is_test = kind == "task" and fields.get("name") == "test"
        if is_test and fields["done"] == fields["total"] and self.test_seconds is None:
            self.test_seconds = self.seconds

    def require_test_seconds(self) -> float:
        """Return when the test pass ended.

        Raises:
            RuntimeError: If headstart never told.
        """
        if self.test_seconds is None:
            raise RuntimeError(
                "headstart emitted no event 'task' named 'test' that ended; the benchmark cannot "
                "tell when the test figure was there."
            )
        return self.test_seconds


def import_everything(*others: str) -> None:
    """Import what headstart imports on demand, so that no clock counts it.

    Args:
        others: Further modules that the start at hand needs, such as ``timm``.

    The other sides' imports are done before their clocks start; headstart defers its own.
    """
    for name in ("headstart.recipes.finetune", "headstart.tuning.conclude", "headstart.reporting"):
        import_module(name)
    # what the first optimizer of a process brings; the other sides have it from torchvision
    for name in ("torch._dynamo", "PIL.Image", "scipy.stats", "scipy.optimize"):
        import_module(name)
    for name in ("sklearn.linear_model", *others):
        import_module(name)


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Start a stopwatch that listens inside the block (which also keeps the console silent)."""
    from headstart.events import listen

    watch = Stopwatch()
    with listen(watch.hear):
        yield watch
