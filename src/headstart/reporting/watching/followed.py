"""What the log of a run says so far: stages, tasks, curves, choices, and whether it goes on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from headstart.errors import RunFolderError
from headstart.reporting.charts import Point

Status = Literal["running", "finished", "stopped"]
MAX_POINTS = 4_000  # of one curve; then every second point goes
_MAX_SAID = 200
_NO_CURVES = frozenset(("name", "done", "total", "eta_seconds", "step", "num_steps", "epoch"))
_NO_CURVES_OF_STEPS = _NO_CURVES | {"samples_per_second", "val"}  # of a task: val comes by checks


@dataclass
class Followed:
    """The curves of one training, by figure.

    Attributes:
        name: Of its task.
        curves: Points (step, value) of each figure, in the order of the steps.
    """

    name: str
    curves: dict[str, list[Point]] = field(default_factory=dict)

    def add(self, step: float, figures: Mapping[str, float]) -> None:
        """Take figures of one step; a step that was passed already takes back what came after."""
        for name, value in figures.items():
            points = self.curves.setdefault(name, [])
            while points and points[-1][0] >= step:
                points.pop()
            points.append((step, value))
            if len(points) > MAX_POINTS:
                del points[1:-1:2]


class FollowedRun:
    """A run folder whose log is read as it grows.

    Args:
        folder: The run folder.

    Attributes:
        stage: What it does, in a person's words; empty before the first.
        tasks: What is under way, each with its last fields, by name.
        trainings: Their curves, in order; the last one is under way or was the last.
        said: Choices and notes, in order: (kind, text).
        spent: Stages that have ended: (name, seconds).
        began: When its first event was.
        last: When its last event was.

    Raises:
        RunFolderError: If it holds no log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._forget()
        if not (folder / "log.jsonl").is_file():
            raise RunFolderError(
                f"{folder} holds no log.jsonl; expected the --out of a run that has begun. Give "
                "that folder, for example 'headstart watch runs/digits'."
            )

    def _forget(self) -> None:
        """Begin anew, as if nothing had been read."""
        self.stage = ""
        self.tasks: dict[str, dict[str, Any]] = {}
        self.trainings: list[Followed] = []
        self.said: list[tuple[str, str]] = []
        self.spent: list[tuple[str, float]] = []
        self.began: datetime | None = None
        self.last: datetime | None = None
        self._place, self._rest = 0, b""

    def update(self) -> None:
        """Read what the log has gained; a line that is only half there waits."""
        path = self.folder / "log.jsonl"
        try:
            if path.stat().st_size < self._place:  # another run was begun in this folder
                self._forget()
            with path.open("rb") as file:
                file.seek(self._place)
                gained = file.read()
        except OSError:
            return  # under --overwrite there is none for a moment
        self._place += len(gained)
        *lines, self._rest = (self._rest + gained).split(b"\n")
        for line in lines:
            with suppress(ValueError):  # what a crash cut short
                record = json.loads(line)
                if isinstance(record, dict):
                    self._take(record)

    @property
    def status(self) -> Status:
        """Whether it goes on: by its own files, and by whether its process is there."""
        state = self.folder / "state"
        if not state.is_dir():
            return "finished" if (self.folder / "metrics.json").is_file() else "stopped"
        try:
            owner = int((state / "owner").read_text())
        except (OSError, ValueError):
            return "running"
        return "running" if _is_there(owner) else "stopped"

    @property
    def plan(self) -> dict[str, Any]:
        """Verb and options, as far as its files say; empty where they do not."""
        for name in ("state/plan.json", "options.json"):
            with suppress(OSError, ValueError):
                record = json.loads((self.folder / name).read_text("utf-8"))
                if isinstance(record, dict):
                    return record
        return {}

    @property
    def command(self) -> list[str]:
        """What was typed after ``headstart`` to begin it; empty where nobody has written it."""
        with suppress(OSError, ValueError):
            record = json.loads((self.folder / "options.json").read_text("utf-8"))
            if isinstance(record, dict):
                return [str(word) for word in record.get("command") or ()]
        return []

    @property
    def seconds(self) -> float | None:
        """How long it has been at it: until now while it runs, else until its last event."""
        if self.began is None or self.last is None:
            return None
        end = datetime.now(UTC) if self.status == "running" else self.last
        return max(0.0, (end - self.began).total_seconds())

    def _take(self, record: dict[str, Any]) -> None:
        with suppress(ValueError):
            self.last = datetime.fromisoformat(str(record.get("time")))
            self.began = self.began or self.last
        kind = record.get("kind")
        fields = {k: v for k, v in record.items() if k not in ("time", "seconds", "kind")}
        if kind == "stage":
            self.stage, self.tasks = str(record.get("text")), {}
        elif kind == "task":
            self._task(fields)
        elif kind == "check":
            self._training().add(_number(fields.get("step")), _checked(fields))
        elif kind == "spent":
            self.spent.append((str(record.get("stage")), _number(record.get("seconds"))))
        elif kind == "choice":
            why = f" ({record['why']})" if record.get("why") else ""
            self._say("choice", f"{record.get('name')}: {record.get('value')}{why}")
        elif kind == "note":
            self._say("note", str(record.get("text")))

    def _say(self, kind: str, text: str) -> None:
        self.said = [*self.said, (kind, text)][-_MAX_SAID:]

    def _task(self, fields: dict[str, Any]) -> None:
        name, done, total = str(fields.get("name")), fields.get("done"), fields.get("total")
        self.tasks[name] = fields
        if done is not None and done == total:
            del self.tasks[name]
        if _is_finite(fields.get("loss")):
            if not self.trainings or self.trainings[-1].name != name:
                self.trainings.append(Followed(name))
            figures = {
                n: float(v)
                for n, v in fields.items()
                if n not in _NO_CURVES_OF_STEPS and _is_finite(v)
            }
            self.trainings[-1].add(_number(done), figures)

    def _training(self) -> Followed:
        if not self.trainings:
            self.trainings.append(Followed("training"))
        return self.trainings[-1]


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: object) -> float:
    return float(value) if _is_finite(value) else 0.0  # type: ignore[arg-type]


def _checked(fields: Mapping[str, Any]) -> dict[str, float]:
    """Return a check's figures; ``val_score`` is called by its ``metric``."""
    metric = fields.get("metric")
    found = {n: float(v) for n, v in fields.items() if n not in _NO_CURVES and _is_finite(v)}
    if metric and "val_score" in found:
        found[f"val_{metric}"] = found.pop("val_score")
    return found


def _is_there(process: int) -> bool:
    """Return whether a process of this machine is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
