"""Encoders again: from an architecture's JSON, and from the folder of a run.

An architecture comes from files that strangers may have written: builders are looked up by name in
the table of providers, options are compared with the builder's own signature, and nothing is
imported by name or evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

from torch import Tensor, nn

from headstart.errors import StartError, did_you_mean, quoted
from headstart.preprocessing import (
    ImagePreprocess,
    Preprocess,
    TablePreprocess,
    check_preprocess,
)
from headstart.preprocessing.json_records import read_json, read_record
from headstart.starts.addresses import WEIGHTS_NAME
from headstart.starts.architecture import (
    MODULE,
    Architecture,
    Lora,
    start_from_json,
    write_architecture,
)
from headstart.starts.builder_options import check_builder_options, options_of
from headstart.starts.encoder import Encoder
from headstart.starts.joined import join_rows, main_tensors
from headstart.starts.lora import add_lora, merge_lora
from headstart.starts.provider import Provider
from headstart.starts.providers import PROVIDERS
from headstart.starts.weights import load_checked, read_safetensors
from headstart.tensors import seeded
from headstart.types import MODALITIES, Start, is_among

RUN_PREFIX = "encoder.network."


def provider_of_builder(builder: str) -> Provider:
    """Return the provider whose starts are built by a builder.

    Raises:
        StartError: With the nearest match, if there is none.
    """
    for provider in PROVIDERS.values():
        if builder in provider.builders:
            return provider
    known = list(dict.fromkeys(n for provider in PROVIDERS.values() for n in provider.builders))
    raise StartError(
        f"Unknown builder {builder!r} in the architecture."
        f"{did_you_mean(builder, known)} Known: {quoted(known)}. The file is "
        f"from another version of headstart, or damaged."
    )


def read_architecture(value: object) -> Architecture:
    """Check the JSON form and return its parts.

    Raises:
        StartError: If a key, the builder, an option or a value is not known.
    """
    keys = ("builder", "options", "start", "preprocess")
    has_lora = isinstance(value, dict) and value.get("lora") is not None
    record = read_record(value, (*keys, "lora") if has_lora else keys, "architecture")
    builder, options = record["builder"], record["options"]
    if not isinstance(options, dict):
        raise StartError(f"The architecture's options are {options!r}. Expected a JSON object.")
    modality, wanted = "image", {}
    if builder != MODULE:
        provider = provider_of_builder(str(builder))
        modality, wanted = provider.modality, options_of(provider.network_builder(str(builder)))
    check_builder_options(options, wanted, f"builder '{builder}'")
    start = start_from_json(record["start"])
    if not is_among(start, (modality,)):
        raise StartError(
            f"The architecture's builder '{builder}' is for {modality}, its start '{start.address}'"
            f" reads {start.modality}. Expected one modality. The file is damaged."
        )
    lora = _read_lora(record["lora"]) if has_lora else None
    preprocess = check_preprocess(record["preprocess"], modality)
    return Architecture(str(builder), dict(options), start, preprocess, lora)


def _read_lora(value: object) -> Lora:
    wanted = {field.name: str(field.type) for field in fields(Lora)}
    record = read_record(value, tuple(wanted), "lora")
    check_builder_options(record, wanted, "the adapters")
    return Lora(**record)


def rebuild_encoder(
    architecture: object, module: nn.Module | None = None, *, folder: Path | None = None
) -> Encoder:
    """Build the same module again, with random weights and without network.

    Args:
        architecture: ``Encoder.architecture``, perhaps read from JSON.
        module: The user's own module, where the encoder was made by ``wrap_module``.
        folder: Where the files of its preprocessing were written; texts have some.

    Returns:
        The encoder; its state dict has the same names and shapes.

    Raises:
        StartError: If the architecture is not one that headstart writes, needs a module or a
            folder, or a file in the folder is damaged.
    """
    parts = read_architecture(architecture)
    if (parts.builder == MODULE) != (module is not None):
        needs = (
            "was made from a module of your own, which no file can rebuild. Give it again: module=…"
            if module is None
            else f"is built by '{parts.builder}' and takes no module of your own. Leave module out"
        )
        raise StartError(f"The encoder '{parts.start.address}' {needs}.")
    preprocess = parts.read_preprocess(folder)
    rows = preprocess.rows
    if rows is not None and rows is not preprocess:
        preprocess = preprocess.main
        parts = replace(parts, preprocess=parts.preprocess["main"])
    num_features: int | None = None  # measured
    if module is None:
        provider = provider_of_builder(parts.builder)
        provider.check_preprocess(parts, preprocess)
        with seeded(0):
            module = _random_network(provider.network_builder(parts.builder), parts, preprocess)
        num_features = provider.num_features(module)
    encoder = Encoder(
        module,
        start=parts.start,
        preprocess=preprocess,
        architecture=write_architecture(
            parts.builder, parts.options, parts.start, parts.preprocess
        ),
        num_features=num_features,
    )
    if rows is not None and rows is not preprocess:
        encoder = join_rows(encoder, rows)
    if parts.lora is not None:
        add_lora(encoder, **asdict(parts.lora))
    return encoder


def _random_network(
    builder: Callable[..., nn.Module], parts: Architecture, preprocess: Preprocess
) -> nn.Module:
    """Build a network from the current random state; those of tables need the columns, too."""
    if isinstance(preprocess, TablePreprocess):
        return builder(preprocess.spec, **parts.options)
    return builder(**parts.options)


def read_run_tensors(path: Path) -> dict[str, Tensor]:
    """Return the encoder's weights of a run under its network's names, adapters merged in.

    Of columns beside texts or images nothing is kept: they are those of other data.

    Args:
        path: The run folder.

    Raises:
        StartError: If the run is damaged, or was made from a module of the user's own.
    """
    parts, _ = read_run(path)
    tensors = main_tensors(read_safetensors(path / WEIGHTS_NAME, RUN_PREFIX))
    if parts.lora is None:
        return tensors
    record = write_architecture(
        parts.builder, parts.options, parts.start, parts.preprocess, parts.lora
    )
    encoder = rebuild_encoder(record, folder=path)
    load_checked(encoder.network, tensors, str(path), "Train the run again.")
    merge_lora(encoder)
    return dict(encoder.network.state_dict())


def read_run(path: Path) -> tuple[Architecture, Start]:
    """Return the encoder's architecture of a headstart run, and the run as a start.

    The run's data becomes the data the start was pretrained on.

    Args:
        path: The run folder.

    Raises:
        StartError: If its ``model.json`` is damaged, or its encoder was a user's own module.
    """
    record = read_json(path / "model.json")
    if "architecture" not in record:
        raise StartError(
            f"'{path / 'model.json'}' has no 'architecture'. Expected that of a finished run. "
            f"Give another run, or finish this one."
        )
    architecture = read_architecture(record["architecture"])
    if architecture.builder == MODULE:
        raise StartError(
            f"The run '{path}' was made from a module of your own, which no file can rebuild. "
            f"Open the run in Python with the module, and give that as the start."
        )
    if "main" in architecture.preprocess:  # what stood beside was of that data
        architecture = replace(architecture, preprocess=architecture.preprocess["main"])
    name, objective = record.get("data_name"), record.get("objective")
    if isinstance(name, str) and isinstance(objective, str):
        name += _how_far(record.get("pretraining"))
    start = architecture.start
    if objective is not None and start.pretrained_on is None:
        start = replace(start, licence="that of your own data")
    is_looked_at = MODALITIES[start.modality].is_looked_at
    preprocess = architecture.read_preprocess(path).main if is_looked_at else None
    return architecture, replace(
        start,
        address=str(path),
        pretrained_on=name if isinstance(name, str) else f"the data of {path.name}",
        objective=objective if isinstance(objective, str) else "supervised",
        image=preprocess.spec if isinstance(preprocess, ImagePreprocess) else None,
        is_local=True,
    )


def _how_far(told: object) -> str:
    """Return how far a pretraining came, where it ended in its first epoch."""
    if not isinstance(told, dict) or not told.get("is_first_epoch"):
        return ""
    return f" ({float(told.get('epochs') or 0):.2g} epochs)"
