"""A finished run, opened: its report, and predictions on new files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import RunFolderError
from headstart.types import Prediction

if TYPE_CHECKING:
    from torch import nn

    from headstart.model import Model

_CHUNK = 128


class Run:
    """A run folder.

    Args:
        path: The folder.
        module: The user's own module, where the run was started from one.

    Raises:
        RunFolderError: If the folder holds no model.
    """

    def __init__(self, path: str | Path, module: nn.Module | None = None) -> None:
        self.path = Path(path)
        self._module = module
        if not (self.path / "model.json").is_file():
            raise RunFolderError(
                f"{self.path} is not a run folder (it has no model.json); expected the --out of a "
                f"run. 'headstart fit DATA --out {self.path}' makes one."
            )

    def __repr__(self) -> str:
        return f"Run('{self.path}')"

    @cached_property
    def model(self) -> Model:
        """The model, in eval mode, on the CPU."""
        from headstart.model import open_model

        model, _ = open_model(self.path, self._module)
        return model

    @property
    def metrics(self) -> dict[str, Any]:
        """Content of ``metrics.json``; empty while the run is unfinished."""
        return self._read("metrics.json")

    @property
    def options(self) -> dict[str, Any]:
        """Content of ``options.json``."""
        return self._read("options.json")

    @property
    def data(self) -> dict[str, Any]:
        """Content of ``data.json``."""
        return self._read("data.json")

    @property
    def model_record(self) -> dict[str, Any]:
        """Content of ``model.json``."""
        return self._read("model.json")

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return tuple(self.model_record["schema"]["classes"])

    def report(self) -> str:
        """Return what a person wants to know of the run, as plain text."""
        from headstart.reporting import render_text

        return render_text(self.metrics, self.model_record, self.data, self.options)

    def predict(self, files: Sequence[str | Path | bytes | np.ndarray]) -> list[Prediction]:
        """Predict the class of images.

        Args:
            files: Paths, encoded bytes, or uint8 arrays (H, W) or (H, W, C).

        Returns:
            One prediction a file, in order.

        Raises:
            DataError: If a file cannot be read as an image.

        Example:
            >>> run.predict(["new.jpg"])[0].label  # doctest: +SKIP
            'rose'
        """
        from headstart.data import decode_one
        from headstart.evaluation import softmax
        from headstart.model import run_batches

        found = []
        model = self.model
        for start in range(0, len(files), _CHUNK):
            chunk = files[start : start + _CHUNK]
            pixels = np.stack([decode_one(file, model.encoder.spec) for file in chunk])
            probabilities = softmax(run_batches(model, pixels, model), model.temperature)
            for place, (file, row) in enumerate(zip(chunk, probabilities, strict=True), start):
                name = str(file) if isinstance(file, str | Path) else f"item {place}"
                best = int(row.argmax())
                found.append(
                    Prediction(
                        name, self.classes[best], float(row[best]), tuple(float(p) for p in row)
                    )
                )
        return found

    def _read(self, name: str) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise RunFolderError(
                f"{self.path / name} is damaged ({error}); expected JSON that headstart wrote. Run "
                f"the training again with --overwrite."
            ) from error
        return record


def open_run(path: str | Path, *, module: nn.Module | None = None) -> Run:
    """Open a run folder.

    Args:
        path: The folder.
        module: The user's own module, where the run was started from one.

    Raises:
        RunFolderError: If the folder holds no model.
    """
    return Run(path, module)
