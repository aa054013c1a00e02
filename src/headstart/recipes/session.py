"""One long verb while it runs: its folder, its plan, its log, and what ends it early.

A run's plan (verb, options, data fingerprint) is written first. ``resume`` demands the same plan:
what changed is shown as a diff and refused, but for what changes no result. What the run settles on
its way (``Decisions``) is kept in the plan too.
"""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import DeviceError, Interrupted, first_line
from headstart.events import command_words, emit, listen
from headstart.recipes.findings import tell_findings
from headstart.recipes.going_on import as_command, going_on
from headstart.recipes.plan import resumed_plan
from headstart.recipes.processes import after_restart
from headstart.recipes.source import default_out
from headstart.reporting.console import attached
from headstart.storage.run_folder import RunFolder
from headstart.tracking import TrackedRun, require_trackers, tracked
from headstart.training.machine.memory import is_out_of_memory
from headstart.types import Finding, Identified

if TYPE_CHECKING:
    from headstart.auditing.audit import Spot
    from headstart.training.company import Company


class Session:
    """One run being made: its folder and its plan.

    Attributes:
        folder: Where everything is written.
        plan: Verb, options, fingerprint, what was settled, and the seconds spent.
        company: The processes that train together, of which this is the main one.
        is_reopened: Whether a finished run is gone on with: till something is better, what it has
            handed over stands with its figures.
        decisions: What the run has settled.
        choices: What was decided for the user, each with why; for ``options.json``.
        near_copies: What its audits have found to be nearly the same.
        late_audits: Names of those that have had no time yet.
        untold: What they have said of that.
    """

    def __init__(self, folder: RunFolder, plan: Mapping[str, Any], company: Company) -> None:
        from headstart.tuning.decisions import INTERRUPTED, REOPENED, Decisions

        self.folder = folder
        self.plan = dict(plan)
        self.company = company
        self.is_reopened = bool(self.plan.get("is_reopened"))
        before = REOPENED if self.is_reopened else INTERRUPTED
        records = self.plan.setdefault("decisions", {})
        self.decisions = Decisions(records, self.remember, company, before)
        self.choices: list[dict[str, object]] = []
        self.near_copies: list[Sequence[tuple[Spot, ...]]] = []
        self.late_audits: list[str] = []
        self.untold: list[Finding] = []
        self._started = time.monotonic()
        self.spent_before_resume = float(plan.get("spent_seconds", 0.0))

    def remember(self) -> None:
        """Write the plan as it stands."""
        self.plan["spent_seconds"] = self.spent_before_resume + time.monotonic() - self._started
        self.folder.write_json("state/plan.json", self.plan)

    @property
    def kept_plan(self) -> dict[str, Any]:
        """The plan as a finished run leaves it to one with a larger budget."""
        return {name: value for name, value in self.plan.items() if name != "is_reopened"}

    def listener(self, kind: str, fields: dict[str, object]) -> None:
        """Keep choices, log events, and keep count of the time spent."""
        if kind == "choice":
            self.choices.append(fields)
        if kind == "checkpoint":
            self.remember()
        if kind == "diverged":
            self.folder.write_json("nan_report.json", fields)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        seconds = round(time.monotonic() - self._started, 3)
        self.folder.log({"time": now, "seconds": seconds, "kind": kind, **fields})


@contextmanager
def session(
    verb: str,
    dataset: Identified,
    out: str | Path | None,
    options: Mapping[str, object],
    company: Company,
    *,
    resume: bool,
    overwrite: bool,
    log: Sequence[str] | None = None,
) -> Iterator[Session]:
    """Claim the run folder, check the plan, log every event, and turn Ctrl-C into a sentence.

    Raises:
        OptionError: If a tracker that ``log`` names cannot begin.
        RunFolderError: If the folder is occupied, or the plan differs from the one to resume.
        DeviceError: If memory runs out.
        Interrupted: On Ctrl-C.
    """
    from headstart.storage.cache import said_limit
    from headstart.tuning.stop import leaving_at_once

    said_limit()  # refused before anything is computed
    path = Path(out) if out is not None else default_out(dataset, resume=resume)
    if out is None and not resume:  # a launcher may have started this again
        former = default_out(dataset, resume=True)
        resume, _ = after_restart(former, options, resume=False, overwrite=False)
        path = former if resume else path
    with (
        attached(),
        leaving_at_once(),
        RunFolder(path, resume=resume, overwrite=overwrite) as folder,
    ):
        plan = {"verb": verb, "options": options, "fingerprint": dataset.fingerprint}
        if resume:
            plan = resumed_plan(folder, plan)
        current = Session(folder, plan, company)
        current.remember()
        command = list(command_words()) or as_command(current.plan)
        _note_begun(current, command)
        if dataset.bad_samples:
            first = dataset.bad_samples[0]
            emit(
                "note",
                text=f"{len(dataset.bad_samples)} samples cannot be used, the first is "
                f"{first.name} ({first.reason}); all are listed in data.json.",
            )
        tell_findings(dataset.findings)
        try:
            run = TrackedRun(folder.path, verb, options)
            with listen(current.listener), tracked(require_trackers(log), run):
                yield current
        except KeyboardInterrupt as error:
            current.remember()
            folder.keep = True
            number = signal.Signals(error.args[0] if error.args else signal.SIGINT)
            told = "Ctrl-C" if number == signal.SIGINT else number.name
            stopped = Interrupted(
                f"Stopped by {told}; the state is kept in {path}. Go on with the same command and "
                f"--out {shlex.quote(str(path))} --resume, or start anew with --overwrite.",
                number,
            )
            stopped.next_command = going_on(command, path)
            _note_begun(current, command)
            raise stopped from error
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise DeviceError(
                f"Out of memory ({first_line(error)}); "
                f"expected room for one batch. Give a smaller --micro-batch-size or --input-size, "
                f"a smaller start, or another --device."
            ) from error


def _note_begun(current: Session, command: Sequence[str]) -> None:
    """Write ``options.json`` of a run that has no figures yet: what was asked for, and chosen.

    Whoever opens a folder that was left half done finds there how it was made. A finished run that
    is gone on with keeps its own until the end.
    """
    if current.is_reopened:
        return
    record = {"verb": current.plan["verb"], "command": list(command), "finished_at": None}
    told = {"options": current.plan["options"], "choices": current.choices}
    current.folder.write_json("options.json", record | told)
