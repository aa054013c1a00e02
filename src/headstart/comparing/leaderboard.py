"""All runs below a folder in one list: what each was made of, how good it is, what it took.

Figures of different data are not to be put in one order: runs on the same test items stand
together, as ``compare`` takes them. Data of one fingerprint have the same ones; of others of the
same kind and size the items themselves are read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.comparing.finished import FinishedRun, Json, read_finished
from headstart.comparing.items import items_digest
from headstart.errors import HeadstartError, OptionError, RunFolderError, did_you_mean, quoted
from headstart.storage.records import is_pretrained_start

PLAIN = ("run", "data", "start", "strategy", "seconds", "parameters")  # sorted upwards
HEADLINE = "headline"  # each run's own leading figure


@dataclass(frozen=True)
class Board:
    """The runs below a folder.

    Attributes:
        rows: One a finished run, in order; JSON-able.
        left_out: Folder and reason of those that are unfinished or cannot be read.
        starts: Folders of pretrained starts, which no test split has judged.
    """

    rows: tuple[Json, ...]
    left_out: tuple[tuple[str, str], ...]
    starts: tuple[str, ...] = ()


def board(folder: Path, *, sort: str = HEADLINE) -> Board:
    """Read all runs below a folder.

    Args:
        folder: Where to look; it may be a run itself. Members of ensembles are part of theirs.
        sort: ``headline``, another figure by its key, or one of ``PLAIN``; runs that have no such
            figure stand by their headline.

    Raises:
        RunFolderError: There is no such folder, or no run below it.
        OptionError: Nothing is called so.
    """
    if not folder.is_dir():
        raise RunFolderError(
            f"{folder} is no folder; expected one that holds run folders. Name the folder above "
            "your runs, such as headstart runs runs."
        )
    found, left_out, starts = list[FinishedRun](), list[tuple[str, str]](), list[str]()
    for place in _run_folders(folder):
        try:
            if is_pretrained_start(place):
                starts.append(str(place))
                continue
            found.append(read_finished(place))
        except HeadstartError as error:
            left_out.append((str(place), str(error)))
    if not found and not left_out and not starts:
        raise RunFolderError(
            f"{folder} holds no run; expected folders that headstart has written. 'headstart fit "
            f"DATA --out {folder / 'first'}' makes one."
        )
    groups = zip(found, _tested_on(found), strict=True)
    rows = _named_alike([_row(folder, run) | {"tested_on": group} for run, group in groups])
    return Board(tuple(sorted_rows(rows, sort)), tuple(left_out), tuple(starts))


def sorted_rows(rows: Sequence[Json], sort: str) -> list[Json]:
    """Return rows in order: data set by data set, in each the best first; or by a plain column.

    Args:
        rows: As ``board`` gives them.
        sort: As there.

    Raises:
        OptionError: Nothing is called so.
    """
    figures = sorted({name for row in rows for name in row["figures"]})
    if sort in PLAIN:
        return sorted(rows, key=lambda row: (row[sort] is None, row[sort]))
    if sort != HEADLINE and sort not in figures:
        known = [HEADLINE, *PLAIN, *figures]
        raise OptionError(
            f"sort '{sort}' is none of what runs are sorted by.{did_you_mean(sort, known)} Write "
            f"one of {quoted(known, limit=40)}."
        )

    def place(row: Json, name: str) -> tuple[bool, float]:
        value = (row["figures"].get(name) or {}).get("value")
        sign = -1.0 if row["is_higher_better"].get(name, True) else 1.0
        return value is None, sign * (value or 0.0)

    called = briefest(rows, "tested_on")

    def rank(row: Json) -> tuple[str, str, tuple[bool, float], tuple[bool, float]]:
        own = place(row, row["metric"])  # parts those that have no such figure
        asked = own if sort == HEADLINE else place(row, sort)
        return called[row["tested_on"]], row["tested_on"], asked, own

    return sorted(rows, key=rank)


def _run_folders(folder: Path) -> list[Path]:
    """Return the run folders below, by name; nothing inside of one is another."""
    found = []
    for place, names, files in os.walk(folder):
        names.sort()
        if "model.json" in files or ("log.jsonl" in files and "state" in names):
            found.append(Path(place))
            names.clear()
    return found


def _named_alike(rows: Sequence[Json]) -> list[Json]:
    """Return rows of which those on the same data call it the same: as briefly as one of them does.

    A run that is made ``--from`` another names a file by its whole path, where a person named it
    from the folder at hand.
    """
    brief = briefest(rows, "fingerprint")
    return [row | {"data": brief[row["fingerprint"]]} for row in rows]


def briefest(rows: Sequence[Json], key: str) -> dict[str, str]:
    """Return the shortest name that rows alike in something call their data by.

    Args:
        rows: As ``board`` gives them.
        key: In what: ``fingerprint`` or ``tested_on``.
    """
    found: dict[str, str] = {}
    for row in rows:
        names = (row["data"], found.get(row[key], row["data"]))
        found[row[key]] = min(names, key=lambda name: (len(name), name))
    return found


def _tested_on(runs: Sequence[FinishedRun]) -> list[str]:
    """Return the first fingerprint of data with the same test items, for each run."""
    alike: dict[tuple[object, ...], dict[str, FinishedRun]] = {}
    for run in runs:
        kind = (run.schema.kind, frozenset(run.schema.classes), run.metrics["test"]["num_items"])
        alike.setdefault(kind, {}).setdefault(run.data["fingerprint"], run)
    first: dict[str, str] = {}
    for each in alike.values():
        known: dict[str | None, str] = {}
        for fingerprint in sorted(each):
            digest = items_digest(each[fingerprint]) if len(each) > 1 else None
            same = fingerprint if digest is None else known.setdefault(digest, fingerprint)
            first.setdefault(fingerprint, same)
    return [first[run.data["fingerprint"]] for run in runs]


def _row(folder: Path, run: FinishedRun) -> Json:
    """Return what the list says of a run."""
    task = run.task
    ladder = (run.metrics.get("before_after") or {}).get("figures") or {}
    naive = next(iter(ladder.values()), None) if len(ladder) > 1 else None
    inside = run.path.relative_to(folder)
    return {
        "run": str(inside) if inside.parts else run.path.name,
        "data": str(run.data.get("name") or "unknown"),
        "fingerprint": str(run.data["fingerprint"]),
        "task": task.name,
        "start": run.start,
        "strategy": str(run.model.get("strategy") or "unknown"),
        "is_from_scratch": run.is_from_scratch,
        "parameters": (run.model.get("start") or {}).get("num_parameters"),
        "metric": task.headline,
        "metric_name": task.figures[task.headline].name,
        "figures": run.metrics["test"]["figures"],
        "is_higher_better": {name: each.is_higher_better for name, each in task.figures.items()},
        "naive": naive,
        "num_test": run.metrics["test"]["num_items"],
        "num_train": (run.data.get("counts") or {}).get("train"),
        "seconds": (run.metrics.get("seconds") or {}).get("total"),
        "seed": (run.options.get("recipe") or {}).get("seed"),
    }
