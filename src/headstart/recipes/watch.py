"""Watch a run that is under way: curves in the terminal, and a page for a browser."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.events import emit, hushes
from headstart.recipes.going_on import as_command, going_on
from headstart.reporting.console import attached
from headstart.reporting.terminal import is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headstart.reporting.watching.followed import FollowedRun


@dataclass(frozen=True)
class Watched:
    """A run as it stood when it was looked at last.

    Attributes:
        record: The same for a program.
        text: The same for a person, in 80 columns.
    """

    record: dict[str, Any]
    text: str

    def report(self) -> str:
        """Return what a person wants to know, as plain text."""
        return self.text


@hushes
def watch(
    run: str,
    *,
    page: bool = False,
    port: int = 0,
    once: bool = False,
    every: float = 1.0,
    quiet: bool = False,
) -> Watched:
    """Watch a run while it is made: what it does, how far it is, and its curves.

    Its log is read as it grows; the run itself is not disturbed, and may be one of another
    terminal. On a terminal the view is drawn again until the run has ended or Ctrl-C; in a pipe,
    and from Python without a page, it is looked at once.

    Args:
        run: A run folder.
        page: Serve a page of it, too, at an address of this machine that nobody else can reach.
        port: Port of that page; 0 takes any that is free.
        once: Look once, and end.
        every: Seconds between two looks, from 0.1 to 60.
        quiet: Show no progress.

    Returns:
        How the run stood at the last look; report() gives the text.

    Raises:
        RunFolderError: If the folder holds no log.
        OptionError: If the port is taken, or every is out of range.

    Example:
        >>> import headstart as hs
        >>> print(hs.watch("runs/digits", once=True).report())  # doctest: +SKIP
    """
    from headstart.errors import OptionError
    from headstart.reporting.watching.followed import FollowedRun

    if not 0.1 <= every <= 60:
        raise OptionError(
            f"every is {every:g}; expected seconds from 0.1 to 60. Say another number, such as 1."
        )
    followed = FollowedRun(Path(run))
    followed.update()
    with attached():
        if page and not once and followed.status != "running":
            emit("note", text=f"{run} has ended: there is nothing to come, and no page is served.")
        elif page and not once:
            _serve(followed, port, every)
        elif not once and is_terminal(sys.stderr):
            _draw(followed, every)
        emit("next", command=_next(followed))
    return _seen(followed)


def _looks(run: FollowedRun, every: float) -> Iterator[None]:
    """Yield after every look at a run, until it has ended."""
    while True:
        run.update()
        yield
        if run.status != "running":
            return
        time.sleep(every)


def _draw(run: FollowedRun, every: float) -> None:
    """Draw a run again and again on the terminal; Ctrl-C ends the watching, not the run."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    height = 8 if console.size.height >= 34 else 4
    with Live(console=console, auto_refresh=False, transient=True) as live:
        try:
            for _ in _looks(run, every):
                live.update(Text(_text(run, height)), refresh=True)
        except KeyboardInterrupt:
            return


def _serve(run: FollowedRun, port: int, every: float) -> None:
    """Serve the page of a run until it has ended, or Ctrl-C."""
    from headstart.reporting.watching.local_server import LocalServer

    server = LocalServer(run, port)
    emit("note", text=f"{run.folder} is shown at {server.url} until it ends; Ctrl-C before that.")
    try:
        while run.status == "running":
            time.sleep(every)
            server.page()  # the curves are kept up to date while no browser asks
        time.sleep(2 * every)  # a browser sees the end of it
    except KeyboardInterrupt:
        return
    finally:
        server.close()


def _seen(run: FollowedRun) -> Watched:
    record = {
        "run": str(run.folder),
        "status": run.status,
        "seconds": run.seconds,
        "stage": run.stage,
        "tasks": list(run.tasks.values()),
        "trainings": [
            {"name": one.name, "curves": {name: list(p) for name, p in one.curves.items()}}
            for one in run.trainings
        ],
        "spent": [{"stage": name, "seconds": seconds} for name, seconds in run.spent],
        "said": [{"kind": kind, "text": text} for kind, text in run.said],
    }
    return Watched(record, _text(run))


def _text(run: FollowedRun, height: int = 8) -> str:
    from headstart.reporting.watching.text_view import render_followed

    return render_followed(run, is_plain=not _writes_braille(), height=height)


def _writes_braille() -> bool:
    """Return whether where results go can write the dots of a plot."""
    try:
        "\u2840".encode(sys.stdout.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def _next(run: FollowedRun) -> str:
    """Return what comes after looking at a run: a stopped one is gone on with."""
    name, plan = shlex.quote(str(run.folder)), run.plan
    if run.status == "stopped" and "verb" in plan and "options" in plan:
        return going_on(run.command or as_command(plan), run.folder)
    if run.status == "stopped":
        return f"headstart runs {shlex.quote(str(run.folder.parent))}"
    return f"headstart {'report' if run.status == 'finished' else 'watch'} {name}"
