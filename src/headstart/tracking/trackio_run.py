"""``--log trackio``: a run of the project ``headstart`` in trackio's database on this machine.

What trackio says of itself goes to stderr: stdout holds a command's result.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

from headstart.tracking.tracker import TrackedRun


class TrackioTracker:
    """Logs figures named ``stage/figure``.

    Args:
        run: A run of trackio.
    """

    def __init__(self, run: Any) -> None:
        self._run = run

    def write(self, stage: str, step: int, figures: Mapping[str, float]) -> None:
        """Take figures of one moment."""
        self._run.log({f"{stage}/{name}": value for name, value in figures.items()}, step=step)

    def close(self, *, is_finished: bool) -> None:
        """Write what is held back."""
        import trackio

        with redirect_stdout(sys.stderr):
            trackio.finish()  # of the run alone it would be said once more when the program ends


def open_tracker(run: TrackedRun) -> TrackioTracker:
    """Return what logs to a new run of trackio.

    Args:
        run: The run.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import trackio

    config = {name: value for name, value in run.options.items() if value is not None}
    with redirect_stdout(sys.stderr):
        opened = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", "headstart"),
            name=run.name,
            config={"verb": run.verb, **config},
        )
    return TrackioTracker(opened)
