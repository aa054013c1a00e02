"""Starts on this machine's disk: timm folders and safetensors files.

Reads their small JSON files and says what they hold; weights are opened elsewhere. Options that a
timm folder may carry beyond channels, size and classes are refused rather than guessed at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headstart.errors import StartError, quoted
from headstart.preprocessing.json_records import read_json
from headstart.starts.addresses import WEIGHTS_NAME, Address
from headstart.starts.images.timm_catalog import (
    TimmWeights,
    describe_weights,
    family_of,
    objective_of,
    pretrained_on,
    require_architecture,
    split_tag,
)
from headstart.starts.weights import read_metadata
from headstart.types import Start

KNOWN_MODEL_ARGS = ("img_size", "in_chans", "num_classes")


@dataclass(frozen=True)
class LocalWeights:
    """Weights in a local file for a timm architecture."""

    path: Path
    weights: TimmWeights


def read_local(address: Address) -> LocalWeights:
    """Return what a local folder or file holds.

    Args:
        address: Of kind ``timm-file``, ``folder`` or ``file``.

    Raises:
        StartError: If its architecture is missing or unknown, or its configuration is damaged.
    """
    path = address.path
    assert path is not None
    config: dict[str, object] | None = None
    if address.kind == "timm-file":
        architecture = address.name
    elif address.kind == "folder":
        architecture, config = _read_config(path / "config.json")
        path = path / WEIGHTS_NAME
    else:
        sibling = path.parent / "config.json"
        named = read_metadata(path).get("architecture")
        if named is None and not sibling.is_file():
            raise StartError(
                f"The weights file '{path}' does not say which network it is for. Expected "
                f"'architecture' in its metadata or in a config.json beside it. "
                f"Name it: 'timm/<architecture>:{path}'."
            )
        architecture, config = (named, None) if named else _read_config(sibling)
    assert architecture is not None
    require_architecture(split_tag(architecture)[0], f"timm/{split_tag(architecture)[0]}")
    if config is None:
        # A bare file: the preprocessing is that of the architecture's default weights.
        return LocalWeights(path, describe_weights(architecture, origin=address.text))
    return LocalWeights(path, describe_weights(architecture, config, origin=address.text))


def describe_local(address: Address) -> Start:
    """Return the start of a local folder or file.

    Raises:
        StartError: As ``read_local``.
    """
    found = read_local(address).weights
    from_file_alone = address.kind == "timm-file"
    return Start(
        address=address.text,
        family=family_of(found.name),
        modality="image",
        num_parameters=0,
        licence="unknown" if from_file_alone else found.licence,
        pretrained_on="unknown (local weights)"
        if from_file_alone or not found.tag
        else pretrained_on(found.tag, found.num_classes),
        objective=None if from_file_alone or not found.tag else objective_of(found.tag),
        image=found.image,
        is_local=True,
    )


def _read_config(path: Path) -> tuple[str, dict[str, object]]:
    """Return architecture and pretrained configuration of a timm ``config.json``."""
    record = read_json(path)
    architecture = record.get("architecture")
    if not isinstance(architecture, str):
        raise StartError(
            f"'{path}' has architecture {architecture!r}. Expected the name of a timm "
            f'architecture, such as "architecture": "resnet18". Add it.'
        )
    nested = record.get("pretrained_cfg")
    config = dict(nested) if isinstance(nested, dict) else dict(record)
    if "num_classes" in record:
        config["num_classes"] = record["num_classes"]
    args = record.get("model_args") or {}
    if not isinstance(args, dict) or any(name not in KNOWN_MODEL_ARGS for name in args):
        raise StartError(
            f"'{path}' has model_args {args!r}. Only {quoted(KNOWN_MODEL_ARGS)} are known. "
            f"Build the module yourself and give it from Python."
        )
    shape = config.get("input_size") or (3, 224, 224)
    if not isinstance(shape, list | tuple) or len(shape) != 3:
        raise StartError(f"'{path}' has input_size {shape!r}. Expected [channels, height, width].")
    side = args.get("img_size", shape[1:])
    sides = list(side) if isinstance(side, list | tuple) else [side, side]
    config["input_size"] = [args.get("in_chans", shape[0]), *sides]
    return architecture, config
