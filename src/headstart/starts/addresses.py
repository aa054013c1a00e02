"""Addresses: how a person names a starting point, taken apart into a kind, a name and a path.

One place decides what a written address means, so that finding a start and building it can never
disagree. Nothing here asks whether the thing exists in timm, and nothing touches the network.

    timm/<name[.tag]>              pretrained weights from the hub (or its cache)
    timm/<name>:<file.safetensors> local weights for a timm architecture
    scratch/<name>                 random weights
    pip/<name>                     weights that a pip package brings
    <folder> with config.json      timm's local-dir layout
    <file.safetensors>             weights whose metadata or sibling config.json names the network
    <folder> with model.json       a headstart run
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headstart.errors import StartError

Kind = Literal["timm", "timm-file", "scratch", "pip", "folder", "file", "run", "module", "unknown"]

WEIGHTS_NAME = "model.safetensors"
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
            is neither a timm folder nor a headstart run.

    Example:
        >>> parse_address("timm/resnet18.a1_in1k").kind
        'timm'
    """
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
    if path.is_dir():
        return _folder(text, path)
    if path.suffix == ".safetensors" or path.suffix in PICKLE_SUFFIXES or path.is_file():
        return Address(text, "file", path=_weights_file(path))
    return Address(text, "unknown")


def refuse_pickle(path: Path) -> None:
    """Refuse a file that has to be unpickled, because unpickling runs code from the file.

    Raises:
        StartError: If the name ends like a pickle.
    """
    if path.suffix in PICKLE_SUFFIXES:
        raise StartError(
            f"'{path}' is a pickle file, which can run code when it is opened. Starts are read "
            f"from safetensors only. Convert it once, where you trust it: safetensors.torch."
            f"save_file(torch.load('{path.name}', weights_only=True), "
            f"'{path.with_suffix('.safetensors').name}')."
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


def _folder(text: str, path: Path) -> Address:
    """Return the address of a folder, told apart by the files it holds."""
    has_run = (path / "model.json").is_file()
    has_config = (path / "config.json").is_file()
    if not has_run and not has_config:
        raise StartError(
            f"The folder '{path}' is not a start: it holds neither model.json (a run) nor "
            f"config.json (a timm folder). Give a folder with config.json and {WEIGHTS_NAME}, or a "
            f"finished run."
        )
    if not (path / WEIGHTS_NAME).is_file():
        pickles = sorted(p for p in path.iterdir() if p.suffix in PICKLE_SUFFIXES)
        if pickles:
            refuse_pickle(pickles[0])
        hint = "Was the run finished?" if has_run else f"Save the weights as {WEIGHTS_NAME}."
        raise StartError(f"The folder '{path}' holds no {WEIGHTS_NAME}. {hint}")
    return Address(text, "run" if has_run else "folder", path=path)
