"""Compare finished runs on the same test items."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import OptionError
from headstart.events import emit, hushes
from headstart.recipes.run import Run
from headstart.reporting.console import attached
from headstart.storage.run_folder import claimed_place, disk_errors, write_atomically
from headstart.tasks import argument_of


@dataclass(frozen=True)
class RunComparison:
    """What differs between runs.

    Attributes:
        record: Content of ``compare.json``.
        path: The folder with ``compare.json`` and ``compare.html``; None where none was named.
    """

    record: Mapping[str, Any]
    path: Path | None = None

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it."""
        from headstart.reporting.notebook import html_text

        return html_text(self.report())

    def report(self) -> str:
        """Return everything as text for a person, in 80 columns."""
        from headstart.reporting.compare_text import render_compare_text

        text = render_compare_text(self.record)
        return text if self.path is None else f"{text}\n\npage: {self.path / 'compare.html'}"


@hushes
def compare(
    runs: Sequence[str], *, out: str | None = None, seed: int = 0, quiet: bool = False
) -> RunComparison:
    """Compare finished runs on the same test items: which is better, and is it more than noise.

    Every pair is judged by a paired test (of classes McNemar's, exact, with its mid-p; of numbers
    Wilcoxon's; whole groups where items come in groups), corrected for the number of pairs, with a
    paired bootstrap interval of every figure that decisions and losses give. Beside the runs stand
    the majority class, the probe of the frozen start, the simple control and what was trained from
    scratch, as the run folders hold them. Neither data nor weights are read.

    Args:
        runs: Two or more run folders, in the order in which they are told.
        out: Folder for compare.json and compare.html; nothing is written when not given.
        seed: Of the bootstrap.
        quiet: Show no progress.

    Returns:
        What differs; report() gives the text.

    Raises:
        OptionError: If fewer than two runs are named, one twice, or more than 26.
        RunFolderError: If a run is unfinished, a file is missing or damaged, or out cannot be
            written.
        DataError: If the runs were not tested on the same items; the sentence says what differs.

    Example:
        >>> import headstart as hs
        >>> hs.compare(["runs/a", "runs/b"]).report()  # doctest: +SKIP
    """
    from headstart.comparing.finished import read_finished
    from headstart.comparing.pairs import compare_runs

    named = [runs] if isinstance(runs, str | Path | Run) else list(runs)
    folders = [each.path if isinstance(each, Run) else Path(each) for each in named]
    _check_number(folders)
    place = None if out is None else claimed_place(Path(out))
    with attached():
        finished = [read_finished(folder) for folder in folders]
        record = compare_runs(finished, seed=seed)
        if place is not None:
            _write(place, record)
        argument = argument_of(finished[0].schema)  # all are of the same data
        emit("next", command=f"headstart predict {shlex.quote(record['best'])} {argument}")
    return RunComparison(record, place)


def _check_number(folders: Sequence[Path]) -> None:
    """Refuse fewer than two runs, more than there are letters, and one run twice."""
    from headstart.comparing.pairs import MAX_RUNS

    if not 2 <= len(folders) <= MAX_RUNS:
        raise OptionError(
            f"{len(folders)} runs are named, expected two to {MAX_RUNS}. Name them one after the "
            "other: headstart compare runs/a runs/b."
        )
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise OptionError(f"{folder} is named twice, expected different runs. Name it once.")
        seen.add(folder.resolve())


def _write(place: Path, record: Mapping[str, Any]) -> None:
    """Write the record and its page."""
    from headstart.reporting.compare_page import render_compare_page

    page = render_compare_page(record).encode(errors="backslashreplace")
    with disk_errors(place, len(page)):
        write_atomically(place / "compare.json", _as_json(record))
        write_atomically(place / "compare.html", page)


def _as_json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, indent=1, allow_nan=False).encode()
