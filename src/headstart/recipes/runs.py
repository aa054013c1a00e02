"""List all runs of a folder: the leaderboard."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import RunFolderError
from headstart.events import emit, hushes
from headstart.reporting.console import attached
from headstart.storage.run_folder import disk_errors, write_atomically


@dataclass(frozen=True)
class Listed:
    """The runs of a folder.

    Attributes:
        rows: One a finished run, in order.
        left_out: Folder and reason of those that are unfinished or cannot be read.
        starts: Folders of pretrained starts, which no test split has judged.
    """

    rows: tuple[Mapping[str, Any], ...]
    left_out: tuple[tuple[str, str], ...] = ()
    starts: tuple[str, ...] = ()

    @property
    def record(self) -> dict[str, Any]:
        """The same for a program."""
        left_out = [{"run": run, "reason": reason} for run, reason in self.left_out]
        return {"runs": list(self.rows), "left_out": left_out, "starts": list(self.starts)}

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it."""
        from headstart.reporting.notebook import html_runs

        return html_runs(self.rows)

    def report(self) -> str:
        """Return the list as text for a person, in 80 columns."""
        from headstart.reporting.runs_list import render_runs_text

        return render_runs_text(self.rows, self.left_out, self.starts)


@hushes
def runs(
    folder: str = "runs",
    *,
    sort: str = "headline",
    csv: str | None = None,
    page: str | None = None,
    quiet: bool = False,
) -> Listed:
    """List all finished runs below a folder: the leaderboard.

    Runs on the same test items stand together, the best first. Neither data nor weights are read.
    'headstart compare' says whether two of them differ by more than noise.

    Args:
        folder: Where to look for run folders, at any depth.
        sort: headline, which is each run's leading figure; another figure by its key in
            metrics.json, such as f1_macro; or run, data, start, strategy, seconds or parameters.
        csv: CSV file to write, with every figure and its interval; replaced where it exists.
        page: HTML file to write; replaced where it exists.
        quiet: Show no progress.

    Returns:
        The list; report() gives the text.

    Raises:
        RunFolderError: If there is no run in the folder, or a file cannot be written.
        OptionError: If runs cannot be sorted so.

    Example:
        >>> import headstart as hs
        >>> hs.list_runs("runs", sort="seconds").report()  # doctest: +SKIP
    """
    from headstart.comparing.leaderboard import board
    from headstart.reporting.runs_list import render_runs_page, runs_csv

    with attached():
        found = board(Path(folder), sort=sort)
        if csv is not None:
            _write(csv, runs_csv(found.rows))
        if page is not None:
            _write(page, render_runs_page(folder, found.rows, found.left_out, found.starts))
        if found.rows:
            inside = Path(folder) / found.rows[0]["run"]
            first = inside if inside.is_dir() else Path(folder)  # the folder is the run itself
            emit("next", command=f"headstart report {shlex.quote(str(first))}")
    return Listed(found.rows, found.left_out, found.starts)


def _write(name: str, text: str) -> None:
    """Write a file for a person.

    Raises:
        RunFolderError: It is a folder, or cannot be written.
    """
    path = Path(name)
    if path.is_dir():
        raise RunFolderError(f"{path} is a folder; expected a file. Name one, such as runs.csv.")
    content = text.encode(errors="backslashreplace")
    with disk_errors(path, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
