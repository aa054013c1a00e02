"""What the files of a run folder say, read without claiming the folder; no model, no torch."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.errors import RunFolderError

FORMAT = 4  # of the run folder; model.json keeps it
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
READING_FILES = (  # how new samples are read: what a preprocessing writes beside weights
    *_TOKENIZER_FILES,
    *(f"told_{name}" for name in _TOKENIZER_FILES),  # of what is written, where that has its own
    "vectorizer.json",
    "word_features.json",
    "known_words.json",
)
# What people look at: made of the others, or of single samples for it.
SHOWN_FILES = (
    "README.md",
    "examples.json",
    "explanations.json",
    "mistakes.json",
    "report.html",
    "views.json",
)
ENSEMBLE = "ensemble"  # the key of model.json that says that several models answer together


def num_members(record: Mapping[str, Any]) -> int:
    """Return how many models answer together by a ``model.json``; 1 where it is a single one."""
    listed = record.get(ENSEMBLE)
    members = listed.get("members") if isinstance(listed, dict) else None
    return len(members) if isinstance(members, list) else 1


def is_pretrained_start(folder: Path) -> bool:
    """Return whether a folder holds what a pretraining has left.

    Raises:
        RunFolderError: If its record is damaged.
    """
    return "objective" in (find_record(folder, "model.json") or {})


def refuse_start(path: Path, record: Mapping[str, Any]) -> None:
    """Refuse a folder that holds a pretrained start, with the way to a model.

    Raises:
        RunFolderError: If it does.
    """
    if "objective" not in record:
        return
    named = shlex.quote(str(path))
    told = f"{path} is a pretrained start (objective {record['objective']}), which decides nothing"
    if not record.get("is_encoder", not _writes_on(record)):
        raise RunFolderError(
            f"{told}; expected a fine-tuned run, which cannot be made of it. Export it for the "
            f"library that writes on with it: headstart export {named}."
        )
    raise RunFolderError(
        f"{told} yet; expected a fine-tuned run. Make one: headstart finetune DATA --start {named}."
    )


def _writes_on(record: Mapping[str, Any]) -> bool:
    """Return whether a start only writes on, as folders say it that do not name ``is_encoder``."""
    architecture = record.get("architecture")
    return isinstance(architecture, dict) and architecture.get("builder") == "decoder"


def nothing_to_resume(path: Path, *, is_finished: bool) -> RunFolderError:
    """Return the refusal of --resume where no run was interrupted, with what can be done."""
    if not is_finished:
        return RunFolderError(
            f"{path} holds no unfinished run; expected one that was interrupted. Leave --resume "
            f"out."
        )
    is_start = False
    with contextlib.suppress(RunFolderError):  # whoever opens it is told
        is_start = is_pretrained_start(path)
    if is_start:
        return RunFolderError(
            f"{path} is a pretrained start that is finished; expected an unfinished one. To learn "
            f"more from where it ended, begin with it: --start {shlex.quote(str(path))} in place "
            f"of --resume, and another --out."
        )
    return RunFolderError(
        f"{path} holds a finished run, in which nothing is left to do; expected an unfinished one. "
        f"Choose another --out, or say --overwrite in place of --resume to replace it."
    )


def find_record(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the record of a JSON file in a run folder, or None where the file does not exist.

    Raises:
        RunFolderError: If the file is damaged.
    """
    try:
        record = json.loads((folder / name).read_text("utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it is no JSON object")
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunFolderError(
            f"{folder / name} is damaged ({error}); expected JSON that headstart wrote. "
            f"Start anew with --overwrite."
        ) from error
    return record


def finished_run(folder: Path) -> dict[str, object] | None:
    """Return the options record of the finished run in a folder, None where there is none."""
    if (folder / "state").exists() or not (folder / "report.html").exists():
        return None
    try:
        record = json.loads((folder / "options.json").read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def planned_options(folder: Path) -> object:
    """Return the options of the unfinished run in a folder, None where there is none."""
    try:
        plan = json.loads((folder / "state" / "plan.json").read_text())
        return plan["options"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def has_search(folder: Path) -> bool:
    """Return whether a folder holds what a search has left, which a larger budget goes on with."""
    return (folder / "search" / "plan.json").exists()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the records of ``log.jsonl``; a line that a crash cut short is left out."""
    records = []
    for line in (folder / "log.jsonl").read_text("utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            records.append(json.loads(line))
    return [record for record in records if isinstance(record, dict)]


def refuse_other_format(path: Path, found: object, versions: object) -> None:
    """Refuse a folder that another version has written in another way.

    Args:
        path: The folder, for the message.
        found: The format that its ``model.json`` names.
        versions: The library versions that it names.

    Raises:
        RunFolderError: Naming the version, where the folder does.
    """
    if found == FORMAT:
        return
    age = "an older" if isinstance(found, int) and found < FORMAT else "another"
    named = versions.get("headstart") if isinstance(versions, dict) else None
    which = f", headstart {named}," if named else ""
    raise RunFolderError(
        f"{path} was written by {age} version{which} in format {found!r}; expected format "
        f"{FORMAT}. Train again with --overwrite, or open it with the version that wrote it."
    )
