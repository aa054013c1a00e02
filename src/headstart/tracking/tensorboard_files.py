"""``--log tensorboard``: event files in the run folder; ``tensorboard --logdir runs`` shows all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from headstart.tracking.tracker import TrackedRun

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

NAME = "tensorboard"


class TensorBoardTracker:
    """Writes scalars named ``stage/figure``.

    Args:
        writer: PyTorch's own.
    """

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    def write(self, stage: str, step: int, figures: Mapping[str, float]) -> None:
        """Take figures of one moment."""
        for name, value in figures.items():
            self._writer.add_scalar(f"{stage}/{name}", value, step)

    def close(self, *, is_finished: bool) -> None:
        """Write what is held back."""
        self._writer.close()


def open_tracker(run: TrackedRun) -> TensorBoardTracker:
    """Return what writes into the run folder, the options as a text.

    Args:
        run: The run.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(log_dir=str(run.folder / NAME))
    told = json.dumps({"verb": run.verb, **run.options}, indent=2, default=str)
    indented = "\n".join(f"    {line}" for line in told.splitlines())  # a block of Markdown
    writer.add_text("options", indented)
    return TensorBoardTracker(writer)
