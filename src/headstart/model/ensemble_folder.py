"""An ensemble on disk: each member a run folder's model of its own, and one ``model.json`` above.

``members/1`` … hold what ``write_model`` writes, and can be opened, exported or started from by
themselves. ``model.json`` names them with their weights; it is written last, so that a folder whose
writing was cut short holds what it held before. Nothing is pickled.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from headstart.errors import OptionError, RunFolderError
from headstart.model.ensemble import MOST_MEMBERS, Ensemble, Member
from headstart.model.folder import library_versions, open_model, write_model
from headstart.storage.records import ENSEMBLE, FORMAT, find_record, refuse_other_format
from headstart.types import Deciding

ENSEMBLE_FORMAT = 1
_FOLDER = re.compile(r"members/[1-9][0-9]?")


def write_ensemble(
    ensemble: Ensemble, write: Callable[[str, bytes], None], about: Mapping[str, object]
) -> None:
    """Write every member, and then ``model.json``; an ensemble of one as the model it is.

    Args:
        ensemble: What is written.
        write: Writes a file of a name, which may hold a folder, atomically.
        about: What a reader wants to know besides (strategy, data name …).
    """
    if ensemble.is_one:
        write_model(ensemble.first, write, about)
        return
    listed = []
    for place, one in enumerate(ensemble.members):
        folder = f"members/{place + 1}"
        own = dict(about) if one.strategy is None else {**about, "strategy": one.strategy}
        write_model(one.model, lambda name, content, at=folder: write(f"{at}/{name}", content), own)  # type: ignore[misc]
        weight = float(ensemble.weights[place])
        start = one.model.encoder.start.address
        listed.append(
            {"folder": folder, "weight": weight, "start": start, "strategy": one.strategy}
        )
    record = {
        "format": FORMAT,
        ENSEMBLE: {"format": ENSEMBLE_FORMAT, "members": listed},
        "start": asdict(ensemble.first.encoder.start),
        "schema": asdict(ensemble.schema),
        "temperature": ensemble.temperature,
        "target_mean": ensemble.target_mean,
        "target_scale": ensemble.target_scale,
        "deciding": ensemble.deciding.to_json(),
        "versions": library_versions(),
        **about,
    }
    write("model.json", json.dumps(record, indent=2).encode())


def open_ensemble(path: Path, module: nn.Module | None = None) -> Ensemble:
    """Open what a run folder serves: its ensemble, or its model as an ensemble of one.

    Args:
        path: A run folder.
        module: The user's own module, where the run was started from one.

    Raises:
        RunFolderError: If a file is missing, damaged, or does not fit the others.
    """
    record = find_record(path, "model.json") or {}
    if ENSEMBLE not in record:
        model, found = open_model(path, module)
        strategy = found.get("strategy")
        return Ensemble([Member(model, 1.0, strategy if isinstance(strategy, str) else None)])
    refuse_other_format(path, record.get("format"), record.get("versions"))
    try:
        listed = _listed(record[ENSEMBLE])
        temperature = float(record["temperature"])
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(f"temperature {temperature}")
        num_classes = len(record["schema"]["classes"])
        deciding = Deciding.from_json(record.get("deciding"), num_classes)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunFolderError(
            f"{path / 'model.json'} is damaged ({type(error).__name__}: {error}); expected the "
            f"list of members that headstart wrote. Run the training again with --overwrite."
        ) from error
    members = []
    for folder, weight, strategy in listed:
        model, _ = open_model(path / folder, module)
        members.append(Member(model, weight, strategy))
    try:
        return Ensemble(members, temperature, deciding)
    except OptionError as error:
        raise RunFolderError(
            f"{path / 'model.json'} does not fit its members: {error} Run the training again with "
            f"--overwrite."
        ) from error


def _listed(record: Mapping[str, Any]) -> list[tuple[str, float, str | None]]:
    """Return folder, weight and strategy of each member.

    Raises:
        ValueError: If something else stands there; also KeyError, TypeError or AttributeError.
    """
    if record["format"] != ENSEMBLE_FORMAT:
        raise ValueError(f"members in format {record['format']!r}, expected {ENSEMBLE_FORMAT}")
    found = []
    for one in record["members"]:
        folder, weight, strategy = one["folder"], float(one["weight"]), one.get("strategy")
        if not isinstance(folder, str) or not _FOLDER.fullmatch(folder):
            raise ValueError(f"folder {folder!r}")
        if not 0 < weight < math.inf:
            raise ValueError(f"weight {weight}")
        found.append((folder, weight, strategy if isinstance(strategy, str) else None))
    if not 2 <= len(found) <= MOST_MEMBERS or len({one[0] for one in found}) < len(found):
        raise ValueError(f"{len(found)} members")
    return found
