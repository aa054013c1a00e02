"""The data that a run was made with, loaded again: the same still, or what has changed."""

from __future__ import annotations

import os
import shlex
from functools import partial
from pathlib import Path

import numpy as np

from headstart.errors import DataError, HeadstartError, RunFolderError, quoted
from headstart.recipes.learned import contents_of, own_contents
from headstart.recipes.run import Run
from headstart.storage.records import refuse_start
from headstart.types import Dataset


def check_finished(run: Run) -> None:
    """Refuse a start, and a run that has not finished: what it learned from is not written yet.

    Raises:
        RunFolderError: Saying how to make a model of it, or to finish it.
    """
    refuse_start(run.path, run.model_record)
    if run.data and run.metrics:
        return
    whole = run.path.resolve().parent.parent
    if run.path.resolve().parent.name == "members" and (whole / "metrics.json").is_file():
        raise RunFolderError(
            f"{run.path} is a member of the ensemble in {whole}, and what it has learned from is "
            f"written down there; expected a run. Evaluate {whole}; predict takes a member alone."
        )
    raise RunFolderError(
        f"{run.path} is unfinished (it has a model, but no metrics.json yet); expected a run that "
        f"has come to its end. Wait for it, or repeat the command that began it with --out "
        f"{shlex.quote(str(run.path))} --resume; then evaluate."
    )


def same_data(run: Run, later: partial[Dataset]) -> Dataset | None:
    """Return the run's own data with its own split, where that is what was named.

    Raises:
        DataError: What was named does not exist, and differs from what does in its case alone.
    """
    source = run.data.get("source") or {}
    named = later.args[0]
    if not source or not isinstance(named, str | os.PathLike):
        return None
    names = {os.fspath(named), str(Path(named).expanduser().absolute())}
    if source["source"] not in names:
        _refuse_other_case(run, os.fspath(named))
        return None
    said = {name: value for name, value in later.keywords.items() if name != "seed"}
    if any(source.get(name) != value for name, value in said.items()):
        return None
    try:
        dataset: Dataset = later.func(**source)
    except DataError:
        return None  # less is asked of it where nothing is to be learned
    return dataset if dataset.fingerprint == run.data["fingerprint"] else None


def own_data(run: Run) -> Dataset:
    """Load the data that a run was made with, and check that it is still the same.

    Raises:
        DataError: It was in memory, has moved, or has changed; naming what did.
    """
    from headstart.data import load

    source = run.data.get("source")
    if not source:
        raise DataError(
            f"{run.path} was made from data in memory, which cannot be loaded again. Give the "
            f"data: headstart evaluate {run.path} DATA."
        )
    address = str(source["source"])
    if os.path.isabs(address) and not os.path.exists(address):
        raise DataError(
            f"The data of {run.path} is no longer at {address}.{_other_case(Path(address))} Say "
            f"where it is now: headstart evaluate {run.path} DATA."
        )
    way = (
        f"headstart evaluate {run.path} {address} scores what is there now and was not learned from"
    )
    try:
        dataset = load(**source)
    except HeadstartError as error:
        raise DataError(
            f"{address} has changed since {run.path} was made, and cannot be loaded as it was: "
            f"{error} {_gone(run)}Put it back; or {way}."
        ) from error
    if dataset.fingerprint != run.data["fingerprint"]:
        raise DataError(
            f"{dataset.name} has changed since {run.path} was made: {_changes(run, dataset)}. Its "
            f"test split may now hold what was learned from. Put it back; or {way}."
        )
    return dataset


def _refuse_other_case(run: Run, named: str) -> None:
    """Refuse a name that is the run's own, or that of a file, but for its case."""
    path = Path(named).expanduser()
    if path.exists():
        return
    own = str(run.data["source"]["source"])
    there = f" The data of {run.path} is '{own}': the case of its name differs. Write it so."
    hint = there if named.casefold() == own.casefold() else _other_case(path.absolute())
    if hint:
        raise DataError(f"'{named}' does not exist.{hint}")


def _other_case(path: Path) -> str:
    """Return a sentence on a file there whose name differs in its case alone; else nothing."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return ""
    alike = [name for name in names if name.casefold() == path.name.casefold()]
    return f" There is '{alike[0]}': the case of its name differs." if alike else ""


def _gone(run: Run) -> str:
    """Return a sentence on the class folders that are gone."""
    folder = Path(str(run.data["source"]["source"]))
    if not folder.is_dir() or run.data.get("column_kinds") or run.schema.label is not None:
        return ""
    there = {path.name for path in folder.rglob("*") if path.is_dir()}
    gone = [name for name in run.classes if name not in there]
    return f"The folder of class {quoted(gone)} is gone. " if gone else ""


def _changes(run: Run, dataset: Dataset) -> str:
    """Return what differs from the data of the run, in words."""
    found = []
    former, now = run.schema, dataset.schema
    if gone := [name for name in former.classes if name not in now.classes]:
        found.append(f"class {quoted(gone)} is gone")
    if new := [name for name in now.classes if name not in former.classes]:
        found.append(f"class {quoted(new)} is new")
    own = own_contents(run)
    contents = [contents_of(run, dataset, name) for name in ("train", "val", "test")]
    if own is not None and all(part is not None for part in contents):
        before = np.concatenate(list(own.values()))
        after = np.concatenate([part for part in contents if part is not None])
        num_gone = int((~np.isin(before, after)).sum())
        num_new = int((~np.isin(after, before)).sum())
        found += [f"{num_gone:,} samples are gone"] if num_gone else []
        found += [f"{num_new:,} samples are new"] if num_new else []
        if len(before) != len(after) and not num_gone and not num_new:
            found.append(f"it has {len(after):,} samples, {len(before):,} before")
    return ", ".join(found) or "the same samples stand in another order, or under other labels"
