"""Starts of one's own: folders that ``headstart pretrain`` has left where runs are written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from headstart.errors import RunFolderError, StartError
from headstart.starts.provider import matches
from headstart.storage.records import find_record
from headstart.types import MODALITIES, Start, is_among

RUNS = Path("runs")  # where runs lie when nobody says another place


def own_starts(modality: str, like: str | None = None) -> list[Start]:
    """List the pretrained starts in ``runs/``; with a folder as ``like``, the one that it is.

    What is no start, or damaged, is left out: whoever names it is told why.

    Args:
        modality: What they read; a word that names none (``all``) lists those of every one.
        like: Part of an address, a glob, or a folder; None lists all.
    """
    known = MODALITIES.keys() & {modality} or MODALITIES.keys()
    folders = sorted(RUNS.iterdir()) if RUNS.is_dir() else []
    if like is not None and os.path.isdir(like) and Path(like) not in folders:
        folders.append(Path(like))
    return [
        start
        for start in _read(folders)
        if is_among(start, known)
        if matches(start.address, like) or start.address == str(Path(like or ""))
    ]


def _read(folders: list[Path]) -> Iterator[Start]:
    from headstart.starts.rebuild import read_run

    for folder in folders:
        try:
            if "objective" in (find_record(folder, "model.json") or {}):
                yield read_run(folder)[1]
        except (RunFolderError, StartError, OSError):
            continue
