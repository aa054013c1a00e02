"""The catalogue of starts: what can be listed and what an address describes.

It asks the providers, one after the other. Nothing here goes to the network or opens weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from headstart.errors import StartError, did_you_mean, quoted
from headstart.starts.addresses import Address, parse_address
from headstart.starts.provider import Provider
from headstart.starts.providers import PROVIDERS
from headstart.types import MODALITIES, Modality, Start, rows_of


def list_starts(
    modality: Modality | Literal["all"] = "image", like: str | None = None
) -> list[Start]:
    """List starting points.

    Args:
        modality: What they read; ``all`` lists one modality after the other.
        like: None for a curated list; otherwise a glob or a part of a name, looked for in every
            start that timm, pip and headstart have (``"resnet*"``); of the hub's text encoders
            only well-known ones can be listed.

    Returns:
        Starts from pip, then random ones, then timm's or the hub's; empty where nothing matches.

    Raises:
        StartError: If no start reads such samples.

    Example:
        >>> list_starts(like="scratch/*")[0].address
        'scratch/simple-cnn'
    """
    if modality == "all":
        return [start for each in MODALITIES for start in list_starts(each, like)]
    return _in_order(start for p in _providers(modality) for start in p.list(like))


def local_starts(modality: Modality) -> list[Start]:
    """List the pretrained starts of the curated list that are on this machine.

    Returns:
        Those of ``list_starts(modality)`` that are local and pretrained, in that order; libraries
        that name none of them are not imported.

    Raises:
        StartError: If no start reads such samples.
    """
    return _in_order(start for p in _providers(modality) for start in p.list_local())


def _providers(modality: Modality) -> list[Provider]:
    """Return the providers of starts that read such samples.

    Raises:
        StartError: If there is none.
    """
    providers = list(rows_of(PROVIDERS, modality).values())
    if not providers:
        known = list(dict.fromkeys(p.modality for p in PROVIDERS.values()))
        raise StartError(
            f"Unknown modality {modality!r}.{did_you_mean(str(modality), known)} Expected "
            f"{quoted(known)}. Choose one of them."
        )
    return providers


def _in_order(found: Iterable[Start]) -> list[Start]:
    """Return starts from pip, then random ones, then the others."""
    order = {"pip": 0, "scratch": 1}
    return sorted(found, key=lambda start: order.get(start.address.partition("/")[0], 2))


def find_start(address: str) -> Start:
    """Return the start that an address names.

    Args:
        address: ``timm/<name[.tag]>``, ``timm/<name>:<file.safetensors>``, ``scratch/<name>``,
            ``pip/<name>``, ``<owner>/<name>`` of the hub, a timm or transformers folder, a
            safetensors file, a headstart run, or ``<images>+<texts>``: one of each.

    Raises:
        StartError: If there is no such start (with the nearest match), or it is a pickle file.

    Example:
        >>> find_start("pip/efficientnet-lite0").pretrained_on
        'ImageNet-1k'
    """
    if not isinstance(address, str):
        raise StartError(
            f"A start is a {type(address).__name__}; expected its address, as 'headstart starts' "
            "lists them. Give a network of your own to finetune: finetune(data, start=…)."
        )
    parsed = parse_address(address)
    if parsed.kind == "run" and parsed.path is not None:
        from headstart.starts.rebuild import read_run

        return read_run(parsed.path)[1]
    if parsed.kind == "module":
        raise StartError(
            f"'{address}' is a module of somebody's own, which has no address. Expected an address "
            f"that 'headstart starts' lists. In Python, give the module itself (wrap_module)."
        )
    provider = find_provider(parsed)
    try:
        if provider is not None:
            return provider.find(parsed)
    except LookupError:
        pass
    raise _unknown(address)


def require_start(start: Start) -> None:
    """Refuse a start whose packages are not installed, before data are read for it.

    Raises:
        PackageMissing: Saying how to install them.
    """
    address = parse_address(start.address)
    provider = find_provider(address)
    if address.kind == "run" and address.path is not None:
        from headstart.starts.rebuild import provider_of_builder, read_run

        provider = provider_of_builder(read_run(address.path)[0].builder)
    if provider is not None:
        provider.require(address)


def require_named(text: str) -> None:
    """Refuse an address whose packages are not installed, where it alone says so.

    No library is read for that: only those that need a package beyond the core are asked.

    Args:
        text: The address.

    Raises:
        PackageMissing: Saying how to install them.
    """
    address = parse_address(text)
    for provider in PROVIDERS.values():
        needs = type(provider).require is not Provider.require
        if needs and text.startswith(provider.prefixes) and provider.owns(address):
            provider.require(address)


def find_provider(address: Address) -> Provider | None:
    """Return the provider that owns an address, None where none does."""
    named = [p for p in PROVIDERS.values() if address.text.startswith(p.prefixes)]
    others = [p for p in PROVIDERS.values() if p not in named]
    return next((p for p in [*named, *others] if p.owns(address)), None)


def _unknown(address: str) -> StartError:
    """Return the refusal of an address, with the nearest of all addresses."""
    known = [name for provider in PROVIDERS.values() for name in provider.addresses(address)]
    return StartError(
        f"Unknown start '{address}'.{did_you_mean(address, known)} "
        f"'headstart starts' lists them all."
    )
