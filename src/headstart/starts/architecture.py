"""Architectures: the JSON that rebuilds an encoder, and the one table of builders.

An architecture names a builder in ``BUILDERS`` and gives its options; start and preprocessing are
in it too, so that it stands alone. It comes from files that strangers may have written: names are
looked up in the table, options are compared with the builder's own signature, and nothing is
imported by name or evaluated.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from torch import nn

from headstart.errors import StartError, did_you_mean, quoted
from headstart.starts.scratch import build_resnet18, build_simple_cnn, build_vit_tiny
from headstart.starts.timm_starts import build_timm
from headstart.types import ImageSpec, Start

Option = int | float | str | bool

# Every builder takes channels, size and drop_path, and options of its own.
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "timm": build_timm,
    "simple-cnn": build_simple_cnn,
    "resnet18": build_resnet18,
    "vit-tiny": build_vit_tiny,
}
MODULE = "module"  # a user's own module: cannot be built from JSON
LIMITS = {"channels": (1, 3), "size": (1, 8192), "drop_path": (0, 0.99), "num_blocks": (1, 256)}


@dataclass(frozen=True)
class Architecture:
    """An architecture after its JSON has been checked."""

    builder: str
    options: dict[str, Option]
    start: Start
    spec: ImageSpec


def write_architecture(
    builder: str, options: Mapping[str, Option], start: Start, spec: ImageSpec
) -> dict[str, object]:
    """Return the JSON-able form."""
    return {
        "builder": builder,
        "options": dict(options),
        "start": start_to_json(start),
        "spec": spec_to_json(spec),
    }


def read_architecture(value: object) -> Architecture:
    """Check the JSON form and return its parts.

    Raises:
        StartError: If a key, the builder, an option or a value is not known.
    """
    record = _record(value, ("builder", "options", "start", "spec"), "architecture")
    builder, options = record["builder"], record["options"]
    if not isinstance(builder, str) or builder not in (*BUILDERS, MODULE):
        raise StartError(
            f"Unknown builder {builder!r} in the architecture."
            f"{did_you_mean(str(builder), BUILDERS)} Known: {quoted(list(BUILDERS))}. The file is "
            f"from another version of headstart, or damaged."
        )
    if not isinstance(options, dict):
        raise StartError(f"The architecture's options are {options!r}. Expected a JSON object.")
    wanted = inspect.signature(BUILDERS[builder]).parameters if builder in BUILDERS else {}
    _check_keys(options, tuple(wanted), f"options of builder '{builder}'")
    kinds = {"int": int, "float": (int, float), "str": str, "bool": bool}
    for name, parameter in wanted.items():
        option = options[name]
        allowed = kinds[str(parameter.annotation)]
        low, high = LIMITS.get(name, (None, None))
        if (
            not isinstance(option, allowed)  # type: ignore[arg-type]
            or (isinstance(option, bool) and parameter.annotation != "bool")
            or (low is not None and high is not None and not low <= option <= high)
        ):
            raise StartError(
                f"Option '{name}' of builder '{builder}' is {option!r}. Expected "
                f"{parameter.annotation}{'' if low is None else f' from {low} to {high}'}. "
                f"The file is damaged."
            )
    start, spec = start_from_json(record["start"]), spec_from_json(record["spec"])
    return Architecture(builder, dict(options), start, spec)


def build_network(builder: str, options: Mapping[str, Option]) -> nn.Module:
    """Build a network with random weights from the current random state.

    Raises:
        StartError: If the builder refuses the options.
    """
    return BUILDERS[builder](**options)


def start_to_json(start: Start) -> dict[str, object]:
    """Return a start as JSON-able dict."""
    image = None if start.image is None else spec_to_json(start.image)
    return {**asdict(start), "image": image}


def start_from_json(value: object) -> Start:
    """Return the start that ``start_to_json`` wrote.

    Raises:
        StartError: If keys or types differ.
    """
    record = _record(value, _names(Start), "start")
    texts = ("address", "family", "modality", "licence")
    bad = [name for name in texts if not isinstance(record[name], str)]
    if bad or not isinstance(record["num_parameters"], int):
        raise StartError(
            f"The record 'start' has a wrong value in {quoted(bad or ['num_parameters'])}. "
            f"Expected text and a whole number. The file is damaged."
        )
    image = None if record["image"] is None else spec_from_json(record["image"])
    return Start(**{**record, "image": image})


def spec_to_json(spec: ImageSpec) -> dict[str, object]:
    """Return a preprocessing as JSON-able dict."""
    return {**asdict(spec), "mean": list(spec.mean), "std": list(spec.std)}


def spec_from_json(value: object) -> ImageSpec:
    """Return the preprocessing that ``spec_to_json`` wrote.

    Raises:
        StartError: If keys, types or lengths differ.
    """
    record = _record(value, _names(ImageSpec), "spec")
    whole = [record[n] for n in ("size", "channels", "decode_size", "decode_channels")]
    lists = [record["mean"], record["std"]]
    if (
        not all(isinstance(n, int) and n > 0 for n in whole)
        or not all(isinstance(n, list | tuple) and len(n) == record["channels"] for n in lists)
        or not all(isinstance(x, int | float) for n in lists for x in n)
        or record["interpolation"] not in ("bilinear", "bicubic")
    ):
        raise StartError(
            f"The record 'spec' is {record!r}. Expected whole sizes and channels, one mean and std "
            f"a channel, and 'bilinear' or 'bicubic'. The file is damaged."
        )
    mean, std = (tuple(float(x) for x in n) for n in lists)
    return ImageSpec(**{**record, "mean": mean, "std": std})


def _names(record_class: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record_class) if field.default is MISSING)


def _record(value: object, keys: tuple[str, ...], what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StartError(
            f"The record '{what}' is {value!r}. Expected a JSON object. The file is damaged."
        )
    _check_keys(value, keys, f"record '{what}'")
    return value


def _check_keys(value: Mapping[str, object], keys: tuple[str, ...], what: str) -> None:
    unknown = [str(key) for key in value if key not in keys]
    missing = [key for key in keys if key not in value]
    if unknown or missing:
        parts = [f"unknown key {quoted(unknown)}"] if unknown else []
        parts += [f"missing key {quoted(missing)}"] if missing else []
        raise StartError(
            f"The {what} has {' and '.join(parts)}. Expected {quoted(keys, 12)}. The file is from "
            f"another version of headstart, or damaged."
        )
