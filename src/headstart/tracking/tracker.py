"""What a tracker is: the seam between a run and whatever shows its curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run when it begins.

    Attributes:
        folder: The run folder; its name is the run's.
        verb: What makes it: ``fit``, ``finetune`` or ``pretrain``.
        options: What the user said, by name, as JSON.
    """

    folder: Path
    verb: str
    options: Mapping[str, object]

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.folder.resolve().name


class Tracker(Protocol):
    """Takes the figures of one run."""

    def write(self, stage: str, step: int, figures: Mapping[str, float]) -> None:
        """Take figures of one moment.

        Args:
            stage: What they are of: a training by its name, ``test``, or ``seconds``.
            step: Of that training, from 0 on; it begins anew with every stage.
            figures: By name, such as ``loss`` and ``val_accuracy``; all finite.
        """
        ...

    def close(self, *, is_finished: bool) -> None:
        """Write what is held back, and end.

        Args:
            is_finished: Whether the run has ended well.
        """
        ...
