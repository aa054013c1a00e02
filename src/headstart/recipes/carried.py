"""A finished run as the bytes of its folder: carried through memory, and opened again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headstart.recipes.run import Run
from headstart.types import Prediction

_LEFT_OUT = ("state", "search")  # to go on with, which nobody does who carries it


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the files of a run folder, by their names in it.

    Args:
        folder: The run folder, finished.
    """
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if path.relative_to(folder).parts[0] not in _LEFT_OUT
    }


class Carried:
    """A run in memory, whose folder is gone.

    Args:
        run: The run; its weights are read here.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.classes_in_order = list(run.ensemble.schema.classes)

    def predict(self, samples: Any) -> list[Prediction]:
        """Return what the model says of samples.

        Args:
            samples: As ``Run.predict`` takes them.
        """
        return self._run.predict(samples)


def opened(files: Mapping[str, bytes]) -> Carried:
    """Return a run that answers, from the files of its folder.

    Args:
        files: As ``read_files`` returns them.

    Raises:
        ValueError: If a name leads out of the folder.
    """
    with TemporaryDirectory(prefix="headstart-") as place:
        for name, content in files.items():
            path = Path(place, name)
            if not path.resolve().is_relative_to(Path(place).resolve()):
                raise ValueError(
                    f"'{name}' is no file of a run folder; expected names inside of it. Fit again."
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return Carried(Run(place))
