"""The one door from a start and the look of some data to an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from headstart.errors import StartError
from headstart.preprocessing import Preprocess
from headstart.starts.addresses import parse_address
from headstart.starts.catalog import find_provider
from headstart.starts.encoder import Encoder
from headstart.starts.provider import BuildRequest, FormerRun, Provider
from headstart.starts.rebuild import provider_of_builder, read_run, read_run_tensors
from headstart.types import Start, is_among


def build_encoder(start: Start, request: BuildRequest) -> Encoder:
    """Build the encoder of a start for some data, with its weights.

    Args:
        start: From ``find_start`` or ``list_starts``.
        request: What the data looks like, and what is asked of the network.

    Returns:
        The encoder, in train mode.

    Raises:
        StartError: If weights or packages are missing or do not fit, or the network cannot be what
            is asked for.

    Example:
        >>> from headstart.starts import find_start
        >>> start = find_start("scratch/simple-cnn")
        >>> build_encoder(start, BuildRequest(image_size=(28, 28), image_channels=1)).num_features
        128
    """
    provider, former = _provider(start)
    given = [name for name, is_given in _given(request).items() if is_given]
    if given and not is_among(start, given):
        raise StartError(
            f"'{start.address}' reads {start.modality}. Expected a start for {given[0]}s. Choose "
            f"one that 'headstart starts --modality {given[0]}' lists."
        )
    return provider.build(start, parse_address(start.address), request, former)


def learns_from_texts(start: Start) -> bool:
    """Return whether a start learns its vocabulary or terms from the texts of train."""
    provider, former = _provider(start)
    return former is None and provider.learns_from_texts(start)


def learn_preprocess(start: Start, texts: Sequence[str]) -> Preprocess:
    """Learn what turns texts into the inputs of a start that brings nothing: the slow part.

    Args:
        start: One that ``learns_from_texts``.
        texts: Those of train, or some of them.

    Raises:
        StartError: If there is nothing to learn in the texts, or the start learns nothing.
    """
    return _provider(start)[0].learn_preprocess(start, texts)


def _given(request: BuildRequest) -> dict[str, bool]:
    """Return for each modality whether the data is of it."""
    return {
        "image": request.image_size is not None or request.image_channels is not None,
        "text": len(request.texts) > 0,
        "table": request.table is not None,
    }


def _provider(start: Start) -> tuple[Provider, FormerRun | None]:
    """Return who builds a start, and the run that it is, if it is one."""
    address = parse_address(start.address)
    if address.kind == "run" and address.path is not None:
        architecture, _ = read_run(address.path)
        former = FormerRun(architecture, address.path, partial(read_run_tensors, address.path))
        return provider_of_builder(architecture.builder), former
    provider = find_provider(address)
    if provider is None:
        what = "a module of your own" if address.kind == "module" else "no start that is known"
        raise StartError(
            f"'{address.text}' is {what}. Expected an address that 'headstart starts' lists, a "
            f"folder or a safetensors file. A module can be given from Python only."
        )
    return provider, None
