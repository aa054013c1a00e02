"""Addresses: how a person names a starting point, taken apart into a kind, a name and a path.

One place decides what a written address means, so that finding a start and building it can never
disagree. Nothing here asks whether the thing exists in timm, and nothing touches the network.

    timm/<name[.tag]>              pretrained weights from the hub (or its cache)
    timm/<name>:<file.safetensors> local weights for a timm architecture
    scratch/<name>                 random weights
    pip/<name>                     weights that a pip package brings
    <images>+<texts>               a start of images and one of texts: a pair, for captions
    <owner>/<name[@revision]>      a transformers encoder on the hub (or in its cache)
    <folder> with config.json      timm's local-dir layout, or a transformers folder (model_type)
    <folder> with open_clip_config.json    CLIP as open_clip saves it
    <file.safetensors>             weights whose metadata or sibling config.json names the network
    <folder> with model.json       a headstart run
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from headstart.errors import StartError, did_you_mean
from headstart.storage.records import num_members
from headstart.types import MODALITIES

Kind = Literal[
    "timm",
    "timm-file",
    "scratch",
    "pip",
    "hub",
    "dual",
    "folder",
    "transformers",
    "open_clip",
    "file",
    "run",
    "module",
    "unknown",
]

PREFIXES = ("timm", "scratch", "pip", "module")
WEIGHTS_NAME = "model.safetensors"
SHARDS_NAME = "model.safetensors.index.json"  # names the files of weights that come in parts
OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")


@dataclass(frozen=True)
class Address:
    """An address taken apart.

    Attributes:
        text: What the user wrote.
        kind: What sort of start it names; ``unknown`` where nothing fits.
        name: Name inside the kind (``resnet18.a1_in1k``), empty for paths.
        path: The file or folder, or None.
    """

    text: str
    kind: Kind
    name: str = ""
    path: Path | None = None


def parse_address(text: str) -> Address:
    """Take an address apart.

    Args:
        text: What the user wrote.

    Returns:
        The parts; ``kind`` is ``unknown`` where no rule fits, for the caller to refuse with the
        nearest match.

    Raises:
        StartError: If the address names a pickle file, a missing weights file, or a folder that
            is neither a timm nor a transformers folder nor a headstart run.

    Example:
        >>> parse_address("timm/resnet18.a1_in1k").kind
        'timm'
    """
    first, plus, second = text.partition("+")
    if plus and first.strip() and second.strip() and not os.path.exists(Path(text).expanduser()):
        return Address(text, "dual", text)
    prefix, _, rest = text.partition("/")
    if prefix == "timm" and ":" in rest:
        name, _, file = rest.partition(":")
        return Address(text, "timm-file", name, _weights_file(Path(file).expanduser()))
    if prefix in ("timm", "scratch", "pip", "module") and rest:
        kinds: dict[str, Kind] = {
            "timm": "timm",
            "scratch": "scratch",
            "pip": "pip",
            "module": "module",
        }
        return Address(text, kinds[prefix], rest)
    path = Path(text).expanduser()
    if not text.strip():
        return Address(text, "unknown")
    if os.path.isdir(path):
        return _folder(text, path)
    if path.suffix == ".safetensors" or path.suffix in PICKLE_SUFFIXES or os.path.isfile(path):
        return Address(text, "file", path=_weights_file(path))
    return Address(text, "hub", text) if _is_hub_id(text) else Address(text, "unknown")


def refuse_pickle(path: Path, place: Path | None = None) -> None:
    """Refuse a file that has to be unpickled, because unpickling runs code from the file.

    Args:
        path: The file.
        place: Where its weights are looked for; None for a file of its name beside it.

    Raises:
        StartError: If the name ends like a pickle.
    """
    if path.suffix in PICKLE_SUFFIXES:
        raise StartError(
            f"'{path}' is a pickle file, which can run code when it is opened. Starts are read "
            f"from safetensors only. Convert it once, where you trust it: safetensors.torch."
            f"save_file({{name: tensor.clone() for name, tensor in torch.load('{path}', "
            f"weights_only=True).items()}}, '{place or path.with_suffix('.safetensors')}')."
        )


def _weights_file(path: Path) -> Path:
    refuse_pickle(path)
    if path.suffix != ".safetensors":
        raise StartError(
            f"'{path}' is not a weights file that can be a start. Expected a file that ends in "
            f".safetensors. Give such a file, or a folder with config.json and {WEIGHTS_NAME}."
        )
    if not path.is_file():
        raise StartError(
            f"The weights file '{path}' does not exist. Expected a safetensors file. "
            f"Check the path."
        )
    return path


def _is_hub_id(text: str) -> bool:
    """Return whether a text can be ``owner/name[@revision]``, and no prefix of ours mistyped."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?", text):
        return False
    owner = text.partition("/")[0]
    return owner not in PREFIXES and not did_you_mean(owner, PREFIXES)


def _is_transformers(config: Path) -> bool:
    """Return whether a ``config.json`` is transformers' rather than timm's."""
    try:
        record = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # timm's reader says what is wrong with it
    return isinstance(record, dict) and "model_type" in record and "architecture" not in record


def _is_open_clip(path: Path) -> bool:
    """Return whether a folder is open_clip's.

    Raises:
        StartError: If its weights are a pickle.
    """
    if not (path / OPEN_CLIP_CONFIG).is_file():
        return False
    if not (path / OPEN_CLIP_WEIGHTS).is_file():
        for pickle in sorted(p for p in path.iterdir() if p.suffix in PICKLE_SUFFIXES):
            refuse_pickle(pickle)
        raise StartError(
            f"The folder '{path}' holds {OPEN_CLIP_CONFIG} and no weights. Expected "
            f"{OPEN_CLIP_WEIGHTS} beside it. Put it there."
        )
    return True


def _num_members(record: Path) -> int:
    """Return how many models a run's ``model.json`` names; 1 where it cannot be read."""
    return num_members(_read(record))


def _is_of_rows(record: Path) -> bool:
    """Return whether a run's ``model.json`` says that it reads rows of a table."""
    schema = _read(record).get("schema")
    modality = schema.get("modality") if isinstance(schema, dict) else None
    return modality in MODALITIES and MODALITIES[modality].is_prepared_at_once


def _read(record: Path) -> dict[str, Any]:
    """Return a run's ``model.json``; empty where it cannot be read."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # the reader of runs says what is wrong with it
    return found if isinstance(found, dict) else {}


def _folder(text: str, path: Path) -> Address:
    """Return the address of a folder, told apart by the files it holds."""
    has_run = (path / "model.json").is_file()
    has_config = (path / "config.json").is_file()
    if not has_run and not (path / WEIGHTS_NAME).is_file() and _is_open_clip(path):
        return Address(text, "open_clip", path=path)
    if not has_run and not has_config:
        raise StartError(
            f"The folder '{path}' is not a start: it holds neither model.json (a run) nor "
            f"config.json (a timm or transformers folder). Give a folder with config.json and "
            f"{WEIGHTS_NAME}, or a finished run."
        )
    is_text = not has_run and _is_transformers(path / "config.json")
    if has_run and (num := _num_members(path / "model.json")) > 1:
        hint = f"Give one of its members: {path / 'members' / '1'}."
        if _is_of_rows(path / "model.json"):
            hint = "No run on a table is a start: its columns are those of its data."
        raise StartError(
            f"The run '{path}' is an ensemble of {num} models that answer together; expected one "
            f"model to start from. {hint}"
        )
    if not (path / WEIGHTS_NAME).is_file() and not (is_text and (path / SHARDS_NAME).is_file()):
        pickles = sorted(p for p in path.iterdir() if p.suffix in PICKLE_SUFFIXES)
        if pickles:
            refuse_pickle(pickles[0], path / WEIGHTS_NAME)
        hint = "Was the run finished?" if has_run else f"Save the weights as {WEIGHTS_NAME}."
        raise StartError(f"The folder '{path}' holds no {WEIGHTS_NAME}. {hint}")
    kind: Kind = "run" if has_run else "transformers" if is_text else "folder"
    return Address(text, kind, path=path)
