"""One finished run as its folder tells it: its records, and what it is called beside others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import RunFolderError
from headstart.storage.records import find_record, refuse_other_format, refuse_start
from headstart.tasks import Task, find_task
from headstart.types import Schema

Json = dict[str, Any]
TRAINED = "fine-tuned"  # what a run's ladder calls a model whose encoder learned
_RECORDS = ("model.json", "metrics.json", "data.json", "options.json")


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """What the JSON of a run folder says.

    Attributes:
        path: The folder, as it was named.
        model: ``model.json``.
        metrics: ``metrics.json``.
        data: ``data.json``.
        options: ``options.json``.
    """

    path: Path
    model: Json
    metrics: Json
    data: Json
    options: Json

    @property
    def schema(self) -> Schema:
        """What is predicted, and of what."""
        return Schema.from_json(self.model["schema"])

    @property
    def task(self) -> Task:
        """What is told of a sample."""
        return find_task(self.metrics["task"])

    @property
    def start(self) -> str:
        """Address of what it began from."""
        return str((self.model.get("start") or {}).get("address") or "unknown")

    @property
    def is_from_scratch(self) -> bool:
        """Whether it began from random weights, or from nothing at all."""
        start = self.model.get("start") or {}
        return bool(start) and not start.get("pretrained_on")

    @property
    def own_name(self) -> str:
        """What its model is called: as in its own ladder, and whether it began from nothing."""
        figures = (self.metrics.get("before_after") or {}).get("figures") or {}
        name = list(figures)[-1] if figures else "the run"
        if not self.is_from_scratch:
            return name
        return "trained from scratch" if name == TRAINED else f"{name}, from scratch"


def read_finished(folder: Path) -> FinishedRun:
    """Read the records of a finished run.

    Args:
        folder: The run folder.

    Raises:
        RunFolderError: It is none, is a pretrained start, is unfinished, or a file is missing,
            damaged, or of another format.
    """
    model = find_record(folder, "model.json")
    if model is None:
        raise RunFolderError(
            f"{folder} is not a run folder (it has no model.json); expected the --out of a "
            f"finished run. Name that folder."
        )
    refuse_other_format(folder, model.get("format"), model.get("versions"))
    refuse_start(folder, model)
    if (folder / "state").exists():
        raise RunFolderError(
            f"{folder} holds an unfinished run; expected a finished one, whose figures stand. "
            "Go on with it by the same command and --resume, or leave it out."
        )
    records = [model, *(find_record(folder, name) for name in _RECORDS[1:])]
    missing = [name for name, record in zip(_RECORDS, records, strict=True) if record is None]
    if missing:
        raise RunFolderError(
            f"{folder} has no {missing[0]}; expected the files of a finished run. Run the training "
            "again with --overwrite."
        )
    found = FinishedRun(folder, *(record or {} for record in records))
    try:
        _ = found.schema, found.task, found.metrics["test"]["figures"], found.data["fingerprint"]
    except (LookupError, TypeError) as error:
        raise RunFolderError(
            f"{folder} is damaged ({type(error).__name__}: {error}); expected the files as "
            "headstart wrote them. Run the training again with --overwrite."
        ) from error
    return found
