"""A model that a search has made, as files: what another process, or a later run, goes on with.

A process that has trained an arm hands it to the main one by the disk, and a finished search leaves
the models that it serves to one with a larger budget: the model as every run folder has it, and
beside it what a search knows of it besides (``made.json``, ``made.safetensors``).

Left out: models that write texts; they take part in no search.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from headstart.errors import RunFolderError
from headstart.model import open_model, write_model
from headstart.searching.arms import ArmSpec
from headstart.searching.context import Contender, SearchContext
from headstart.searching.runner import built
from headstart.storage.run_folder import write_atomically
from headstart.training.contract import LoopResult, LoopState
from headstart.training.options.recipe import Recipe
from headstart.training.probing.probe import Probe
from headstart.tuning.arm import Tuned
from headstart.types import Inputs, Rows
from headstart.types.ragged import Ragged

_RECORD, _ARRAYS = "made.json", "made.safetensors"
_OF_PROBE = ("weight", "bias", "val_logits")
_OFFSETS = ".offsets"  # ends the name of an array that says where rows of another begin


def describe_made(one: Contender, spec: ArmSpec) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a search knows of a model beside the model, as JSON and as arrays."""
    tuned, arrays = one.tuned, _arrays_of("val_logits", one.tuned.val_logits)
    fitted = None
    if tuned.fitted is not None:
        plain = {field.name for field in fields(Probe)} - set(_OF_PROBE)
        fitted = {name: getattr(tuned.fitted, name) for name in sorted(plain)}
        for name in _OF_PROBE:
            arrays |= _arrays_of(f"probe.{name}", getattr(tuned.fitted, name))
    result = tuned.result
    record = {
        "name": one.name,
        "spec": asdict(spec),
        "recipe": asdict(one.setup.recipe),
        "fitted": fitted,
        "result": None if result is None else {"ended": result.ended, **asdict(result.state)},
        "seconds": tuned.seconds,
    }
    return record, {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def write_made(folder: Path, one: Contender, spec: ArmSpec) -> None:
    """Write a model with what a search knows of it; ``made.json`` comes last.

    Raises:
        OSError: If the disk is full, or the folder not writable.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, content: bytes) -> None:
        write_atomically(folder / name, content)

    write_model(one.setup.model, write, {"strategy": one.setup.recipe.strategy})
    write_knowledge(write, one, spec)


def write_knowledge(write: Callable[[str, bytes], None], one: Contender, spec: ArmSpec) -> None:
    """Write what a search knows of a model beside the model."""
    record, arrays = describe_made(one, spec)
    write(_ARRAYS, save(arrays))
    write(_RECORD, json.dumps(record).encode())


def made_spec(folder: Path) -> ArmSpec:
    """Return what a model in a folder was made as.

    Raises:
        RunFolderError: If the folder is damaged.
    """
    return ArmSpec(**_read(folder)[0]["spec"])


def read_made(
    folder: Path, context: SearchContext, samples: tuple[Inputs, Inputs], name: str | None = None
) -> Contender:
    """Return a model that ``write_made`` has written, as one of those that could be handed over.

    Args:
        folder: Where it lies.
        context: What all arms share.
        samples: Train and val, as its network takes them.
        name: How it is told; None as it was.

    Raises:
        RunFolderError: If the folder is damaged, or val has other items now.
    """
    record, arrays = _read(folder)
    model, _ = open_model(folder)
    setup = built(ArmSpec(**record["spec"]), context)
    setup.recipe = Recipe(**record["recipe"])
    layout = torch.channels_last if setup.recipe.channels_last else torch.contiguous_format
    setup.model = model.to(context.device).to(memory_format=layout)
    train, val = samples
    val_logits = _rows_of("val_logits", arrays)
    if len(val_logits) != len(val):
        raise RunFolderError(
            f"{folder} holds the answers of {len(val_logits)} val items, and val has "
            f"{len(val)}; expected the same data. Start anew with --overwrite."
        )
    fitted = result = None
    if record["fitted"] is not None:
        parts: dict[str, Any] = {n: _rows_of(f"probe.{n}", arrays) for n in _OF_PROBE}
        fitted = Probe(**record["fitted"], **parts)
    if (told := record["result"]) is not None:
        result = LoopResult(told.pop("ended"), LoopState(**told))
    tuned = Tuned(fitted, result, val_logits, record["seconds"])
    return Contender(name or record["name"], setup, tuned, train, val)


def _arrays_of(name: str, rows: Rows) -> dict[str, np.ndarray]:
    """Return rows as arrays: those of different lengths are one, with where each begins."""
    if isinstance(rows, Ragged):
        return {name: rows.whole, f"{name}{_OFFSETS}": rows.offsets - rows.offsets[0]}
    return {name: rows}


def _rows_of(name: str, arrays: Mapping[str, np.ndarray]) -> Rows:
    """Return what ``_arrays_of`` has made arrays of."""
    offsets = arrays.get(f"{name}{_OFFSETS}")
    return arrays[name] if offsets is None else Ragged(arrays[name], offsets)


def _read(folder: Path) -> tuple[Mapping[str, Any], dict[str, np.ndarray]]:
    """Return record and arrays of a folder.

    Raises:
        RunFolderError: If a file is missing or damaged.
    """
    try:
        record = json.loads((folder / _RECORD).read_text())
        return record, load_file(folder / _ARRAYS)
    except (OSError, ValueError, SafetensorError) as error:
        raise RunFolderError(
            f"{folder} is damaged ({type(error).__name__}: {error}); expected a model with "
            f"{_RECORD} and {_ARRAYS}. Start anew with --overwrite."
        ) from error
