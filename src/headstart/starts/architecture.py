"""Architectures: the JSON that rebuilds an encoder, and the one table of builders.

An architecture names a builder in ``BUILDERS`` and gives its options; start and preprocessing are
in it too, and LoRA adapters where it has some, so that it stands alone (but for a tokenizer's or
vectorizer's files). It comes from files that strangers may have written: names are
looked up in the table, options are compared with the builder's own signature, and nothing is
imported by name or evaluated.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from headstart.errors import StartError, did_you_mean, quoted
from headstart.starts.images.scratch import build_resnet18, build_simple_cnn, build_vit_tiny
from headstart.starts.images.timm_starts import build_timm
from headstart.starts.specs import check_keys, read_record, spec_from_json, spec_to_json
from headstart.starts.tables.builders import build_table_linear, build_table_mlp
from headstart.starts.texts.networks import build_transformers
from headstart.starts.texts.terms import build_tfidf
from headstart.types import ImageSpec, Modality, Spec, Start

Option = int | float | str | bool | dict[str, object]

# Builders for images take channels, size and drop_path, and options of their own; those for tables
# also take the spec, which is in the architecture already.
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "timm": build_timm,
    "simple-cnn": build_simple_cnn,
    "resnet18": build_resnet18,
    "vit-tiny": build_vit_tiny,
    "transformers": build_transformers,
    "tfidf": build_tfidf,
    "table-linear": build_table_linear,
    "table-mlp": build_table_mlp,
}
_MODALITIES: dict[str, Modality] = {
    "transformers": "text",
    "tfidf": "text",
    "table-linear": "table",
    "table-mlp": "table",
}
MODULE = "module"  # a user's own module: cannot be built from JSON
LIMITS: dict[str, tuple[float, float]] = {
    "channels": (1, 3),
    "size": (1, 8192),
    "drop_path": (0, 0.99),
    "num_blocks": (1, 256),
    "num_terms": (1, 10_000_000),
    "width": (1, 65_536),
    "embedding_size": (1, 4096),
    "rank": (1, 1024),
    "alpha": (0, 1_000_000),
    "dropout": (0, 0.99),
}
_KINDS: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "float": (int, float),
    "str": str,
    "bool": bool,
    "dict[str, object]": dict,
}


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters on the linear layers of an encoder's blocks.

    Attributes:
        rank: Columns of each adapter's first matrix.
        alpha: The adapter's output is multiplied by ``alpha / rank``.
        dropout: Dropped share of an adapter's input while training.
    """

    rank: int
    alpha: float
    dropout: float


@dataclass(frozen=True)
class Architecture:
    """An architecture after its JSON has been checked."""

    builder: str
    options: dict[str, Option]
    start: Start
    spec: Spec
    lora: Lora | None = None


def write_architecture(
    builder: str,
    options: Mapping[str, Option],
    start: Start,
    spec: Spec,
    lora: Lora | None = None,
) -> dict[str, object]:
    """Return the JSON-able form; without adapters it has no key for them."""
    record: dict[str, object] = {
        "builder": builder,
        "options": dict(options),
        "start": start_to_json(start),
        "spec": spec_to_json(spec),
    }
    return record if lora is None else {**record, "lora": asdict(lora)}


def read_architecture(value: object) -> Architecture:
    """Check the JSON form and return its parts.

    Raises:
        StartError: If a key, the builder, an option or a value is not known.
    """
    keys = ("builder", "options", "start", "spec")
    has_lora = isinstance(value, dict) and value.get("lora") is not None
    record = read_record(value, (*keys, "lora") if has_lora else keys, "architecture")
    builder, options = record["builder"], record["options"]
    if not isinstance(builder, str) or builder not in (*BUILDERS, MODULE):
        raise StartError(
            f"Unknown builder {builder!r} in the architecture."
            f"{did_you_mean(str(builder), BUILDERS)} Known: {quoted(list(BUILDERS))}. The file is "
            f"from another version of headstart, or damaged."
        )
    if not isinstance(options, dict):
        raise StartError(f"The architecture's options are {options!r}. Expected a JSON object.")
    wanted = _options_of(BUILDERS[builder]) if builder in BUILDERS else {}
    _check_options(options, wanted, f"builder '{builder}'")
    modality = _MODALITIES.get(builder, "image")
    start = start_from_json(record["start"])
    if start.modality != modality:
        raise StartError(
            f"The architecture's builder '{builder}' is for {modality}, its start '{start.address}'"
            f" reads {start.modality}. Expected one modality. The file is damaged."
        )
    lora = _read_lora(record["lora"]) if has_lora else None
    spec = spec_from_json(record["spec"], modality)
    return Architecture(builder, dict(options), start, spec, lora)


def _options_of(builder: Callable[..., nn.Module]) -> dict[str, str]:
    """Return the options of a builder with their annotations."""
    parameters = inspect.signature(builder).parameters
    return {n: str(p.annotation) for n, p in parameters.items() if n != "spec"}


def _check_options(options: Mapping[str, Any], wanted: Mapping[str, str], what: str) -> None:
    """Compare options with a signature and with ``LIMITS``."""
    check_keys(options, tuple(wanted), f"options of {what}")
    for name, annotation in wanted.items():
        option: Any = options[name]
        low, high = LIMITS.get(name, (None, None))
        is_kind = isinstance(option, _KINDS[annotation])
        if (
            not is_kind
            or (isinstance(option, bool) and annotation != "bool")
            or (low is not None and high is not None and not low <= option <= high)
        ):
            raise StartError(
                f"Option '{name}' of {what} is {option!r}. Expected "
                f"{annotation}{'' if low is None else f' from {low} to {high}'}. "
                f"The file is damaged."
            )


def _read_lora(value: object) -> Lora:
    wanted = {field.name: str(field.type) for field in fields(Lora)}
    record = read_record(value, tuple(wanted), "lora")
    _check_options(record, wanted, "the adapters")
    return Lora(**record)


def build_network(
    builder: str, options: Mapping[str, Option], spec: Spec | None = None
) -> nn.Module:
    """Build a network with random weights from the current random state.

    Args:
        builder: Name in ``BUILDERS``.
        options: Its options.
        spec: The preprocessing, which builders for tables need.

    Raises:
        StartError: If the builder refuses the options.
    """
    if _MODALITIES.get(builder) == "table":
        return BUILDERS[builder](spec, **options)
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
    record = read_record(value, tuple(field.name for field in fields(Start)), "start")
    texts = ("address", "family", "modality", "licence")
    bad = [name for name in texts if not isinstance(record[name], str)]
    if bad or not isinstance(record["num_parameters"], int):
        raise StartError(
            f"The record 'start' has a wrong value in {quoted(bad or ['num_parameters'])}. "
            f"Expected text and a whole number. The file is damaged."
        )
    image = None if record["image"] is None else spec_from_json(record["image"], "image")
    assert image is None or isinstance(image, ImageSpec)
    return Start(**{**record, "image": image})
