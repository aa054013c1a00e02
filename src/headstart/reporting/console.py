"""Show events to a person: progress bars on a terminal, plain lines when piped.

Everything goes to stderr, so that results on stdout can be piped. A loop may emit a ``task`` event
a step, thousands a second: an event that comes too soon after the last drawing is only remembered
(well under 5 µs), and nothing redraws in the background, because on two cores a drawing thread
would take time from the training it shows. ``NO_COLOR`` is respected. What this file leaves out:
writing the log (the run folder does) and deciding what is worth an event (the rooms do).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from headstart import events
from headstart.reporting.terminal import (
    fitted,
    format_seconds,
    format_value,
    is_terminal,
    print_table,
)
from headstart.types import in_number

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress, TaskID

BAR_SECONDS = 0.2  # between two drawings of a bar: five a second look alive and cost about 1 %
LINE_SECONDS = 3.0  # between two lines of one task when piped
_WIDTH = 80  # columns of a table that is piped
_NOT_DETAILS = frozenset(
    {"name", "done", "total", "eta_seconds", "learning_rate", "samples_per_second"}
)
_COUNTS = frozenset({"step", "epoch", "done", "total"})


def _details(fields: Mapping[str, object], check: Mapping[str, object]) -> str:
    """Return what a task reports beside its progress: ``loss 0.12  val 0.9840  52 samples/s``."""
    shown = {**check, **fields} if "val" not in fields else dict(fields)
    parts = []
    for name, value in shown.items():
        if name in _NOT_DETAILS or name in _COUNTS or value is None:
            continue
        text = f"{value:.4f}" if isinstance(value, float) and abs(value) < 10 else str(value)
        if isinstance(value, float) and abs(value) >= 10:
            text = format_value(value)
        parts.append(f"{_called(name)} {text}")
    rate = fields.get("samples_per_second")
    if isinstance(rate, int | float) and math.isfinite(rate):
        parts.append(f"{rate:,.0f} samples/s" if rate >= 10 else f"{rate:.1f} samples/s")
    return "  ".join(parts)


def _called(name: str) -> str:
    """Return what a person calls a figure; tasks, which need NumPy, are asked of val's alone."""
    if not name.startswith("val_"):
        return name.replace("_", " ")
    from headstart.tasks import called

    return called(name)


def _checked(fields: Mapping[str, object]) -> dict[str, object]:
    """Return a check's figures under their names: ``val_score`` is called by its ``metric``."""
    shown = {name: value for name, value in fields.items() if name not in _COUNTS}
    metric = shown.pop("metric", None)
    if metric is None or "val_score" not in shown:
        return shown
    return {f"val_{metric}" if n == "val_score" else n: value for n, value in shown.items()}


def _amount(value: object) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else format_value(value)


class _Task:
    """One running task: what was last said of it, and since when it runs."""

    def __init__(self, name: str, started: float) -> None:
        self.name = name
        self.started = started
        self.fields: dict[str, object] = {"name": name, "done": 0}

    @property
    def done(self) -> float:
        value = self.fields.get("done")
        return float(value) if isinstance(value, int | float) else 0.0

    @property
    def total(self) -> float | None:
        value = self.fields.get("total")
        return float(value) if isinstance(value, int | float) else None

    def count(self) -> str:
        """Return ``120/500``, or ``120`` where the end is not known."""
        done, total = self.fields.get("done"), self.fields.get("total")
        return _amount(done) if total is None else f"{_amount(done)}/{_amount(total)}"

    def left(self, now: float) -> str:
        """Return ``0:12 left``: as the task says, otherwise from its pace so far."""
        eta = self.fields.get("eta_seconds")
        if isinstance(eta, int | float):
            return f"{format_seconds(float(eta))} left"
        if self.total is None or self.done <= 0:
            return ""
        pace = (now - self.started) / self.done
        return f"{format_seconds(pace * (self.total - self.done))} left"


class _Screen(Protocol):
    """Where drawing happens: a terminal or a pipe."""

    seconds: float

    def say(self, text: str, style: str = "") -> None: ...

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Show a table."""
        ...

    def draw(self, task: _Task, details: str, now: float) -> None:
        """Show how far a running task is."""
        ...

    def finish(self, task: _Task, text: str) -> None:
        """Replace what was drawn of a task by its last line."""
        ...

    def stop(self) -> None: ...


class _Lines:
    """Plain lines, for a pipe, a file or a log."""

    seconds = LINE_SECONDS

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def say(self, text: str, style: str = "") -> None:
        self.stream.write(text + "\n")
        self.stream.flush()

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        print_table(columns, rows, self.stream, title=title, width=_WIDTH)

    def draw(self, task: _Task, details: str, now: float) -> None:
        parts = [f"  {task.name}", task.count(), details, task.left(now)]
        self.say("  ".join(part for part in parts if part))

    def finish(self, task: _Task, text: str) -> None:
        self.say(text)

    def stop(self) -> None:
        pass


class _Bars:
    """Bars below, everything else above them, on a terminal."""

    seconds = BAR_SECONDS

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console as RichConsole

        self.stream = stream
        self.console: RichConsole = RichConsole(
            file=stream, highlight=False, markup=False, emoji=False
        )
        self.progress: Progress | None = None
        self.rows: dict[str, TaskID] = {}

    def say(self, text: str, style: str = "") -> None:
        from rich.text import Text

        self.console.print(Text(fitted(text, self.console.width), style=style))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self.stop()  # the table is printed with a width of its own, below the finished lines
        print_table(columns, rows, self.stream, title=title, width=_WIDTH)

    def draw(self, task: _Task, details: str, now: float) -> None:
        progress = self.progress or self._start()
        if task.name not in self.rows:
            self.rows[task.name] = progress.add_task(task.name, total=task.total, left="", more="")
        progress.update(
            self.rows[task.name],
            completed=task.done,
            total=task.total,
            left=task.left(now),
            more=f" {details}",
        )
        progress.refresh()

    def _start(self) -> Progress:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.table import Column

        cut = {"no_wrap": True, "overflow": "ellipsis"}
        self.progress = Progress(
            TextColumn("  {task.description}", table_column=Column(**cut)),  # type: ignore[arg-type]
            BarColumn(bar_width=max(8, min(30, self.console.width - 72))),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[more]}", table_column=Column(**cut)),  # type: ignore[arg-type]
            console=self.console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,  # stdout is for results: it may be a pipe
        )
        self.progress.start()
        return self.progress

    def finish(self, task: _Task, text: str) -> None:
        row = self.rows.pop(task.name, None)
        if row is not None and self.progress is not None:
            self.progress.remove_task(row)
            if not self.rows:
                self.stop()  # leave the terminal clean for whoever prints between two tasks
        self.say(text, "green" if task.total is not None and task.done >= task.total else "dim")

    def stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
        self.progress, self.rows = None, {}


def _screen_for(stream: TextIO, *, is_own: bool) -> _Screen:
    """Return where to draw: a notebook's cell, a terminal, or lines in whatever else it is."""
    if is_own and "IPython" in sys.modules:
        from headstart.reporting.notebook import Cell, in_notebook

        if in_notebook():
            return Cell()
    return (_Bars if is_terminal(stream) else _Lines)(stream)


class Console:
    """A listener for ``events.listen`` that shows a person what happens.

    The ``next`` command is kept until ``say_next``, so that it is the last line although results
    are printed after the verb has returned.
    """

    def __init__(
        self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stream: TextIO = sys.stderr if stream is None else stream
        self.next_command: str | None = None
        self._also: list[Mapping[str, str]] = []
        self._clock = clock
        self._screen = _screen_for(self.stream, is_own=stream is None)
        self._tasks: dict[str, _Task] = {}
        self._check: dict[str, object] = {}
        self._latest: _Task | None = None
        self._finished: tuple[str, object] | None = None
        self._due = 0.0

    def __call__(self, kind: str, fields: dict[str, object]) -> None:
        """Show an event, or only remember it when the last drawing was a moment ago."""
        if kind == "task":
            latest = self._latest
            if (
                latest is not None
                and latest.name == fields["name"]
                and fields["done"] != fields.get("total")
                and self._clock() < self._due
            ):
                latest.fields = fields
                return
            self._task(fields)
        elif kind == "check":
            self._check = _checked(fields)
        elif kind == "next":
            self.next_command = str(fields["command"])
            self._also = list(fields.get("also") or [])  # type: ignore[call-overload]
        elif kind == "stage":
            self._finish_all()  # a stage begins where the one before has ended
            self._screen.say(str(fields["text"]), "bold")
        elif kind == "note":
            self._screen.say(f"  note: {in_number(str(fields['text']))}", "yellow")
        elif kind == "choice":
            why = f" ({fields['why']})" if fields.get("why") else ""
            self._screen.say(f"  {fields['name']}: {format_value(fields['value'])}{why}")
        elif kind == "table":
            self._table(fields)
        elif kind == "written":
            self.stream.write(f"{fields['text']}\n" if fields.get("ends") else str(fields["text"]))
            self.stream.flush()

    def _task(self, fields: dict[str, object]) -> None:
        name, now = str(fields["name"]), self._clock()
        if self._finished == (name, fields["done"]):
            return  # the end was already shown
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = _Task(name, now)
            self._check = {}
            # A pipe gets its first line after a while, so that short tasks take one line only.
            self._due = now + self._screen.seconds if self._screen.seconds > 1 else now
        self._latest, self._finished, task.fields = task, None, fields
        if task.total is not None and task.done >= task.total:
            self._finish(task, now)
            self._finished = (name, fields["done"])
        elif now >= self._due:
            self._screen.draw(task, _details(task.fields, self._check), now)
            # Read the clock again: a slow terminal must not make drawing take all the time.
            self._due = self._clock() + self._screen.seconds

    def _finish_all(self) -> None:
        for task in list(self._tasks.values()):
            self._finish(task, self._clock())

    def _finish(self, task: _Task, now: float) -> None:
        del self._tasks[task.name]
        self._latest = None
        parts = [f"  {task.name}", task.count(), _details(task.fields, self._check)]
        parts.append(f"took {format_seconds(now - task.started)}")
        self._screen.finish(task, "  ".join(part for part in parts if part))

    def _table(self, fields: Mapping[str, object]) -> None:
        columns, rows = fields["columns"], fields["rows"]
        if not isinstance(columns, Sequence) or not isinstance(rows, Sequence):
            raise TypeError("a 'table' event carries columns and rows as sequences")
        self._screen.table(str(fields.get("title") or ""), columns, rows)

    def stop(self) -> None:
        """Take the bars away; a task that was cut short leaves its last state as a line."""
        self._finish_all()
        self._screen.stop()

    def say_next(self, default: str | None = None) -> None:
        """Print the next command to type, the last line of a verb, after others that may do.

        Args:
            default: The command where the verb named none; None prints nothing then.
        """
        command = self.next_command or default
        for other in self._also:
            self._screen.say(f"also: {other['command']}  ({other['why']})", "cyan")
        if command:
            self._screen.say(f"next: {command}", "bold cyan")


@contextmanager
def attached() -> Iterator[None]:
    """Show events on stderr inside the block, unless somebody listens already.

    Recipes wrap their work in it, so that a verb called from a program shows its progress too;
    ``quiet=True`` and the environment variable ``HEADSTART_QUIET=1`` keep it silent.
    """
    if events.is_heard() or events.is_quiet():
        yield
        return
    console = Console()
    with events.listen(console):
        try:
            yield
        except BaseException:
            console.stop()
            raise
    console.stop()
    console.say_next()
