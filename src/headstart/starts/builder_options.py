"""Options of network builders, which may come from a stranger's file, held against signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from headstart.errors import StartError
from headstart.preprocessing.json_records import check_keys

LIMITS: dict[str, tuple[float, float]] = {
    "channels": (1, 3),
    "size": (1, 8192),
    "drop_path": (0, 0.99),
    "num_blocks": (1, 256),
    "kernel_size": (1, 64),
    "stride": (1, 64),
    "num_directions": (1, 4096),
    "num_terms": (1, 10_000_000),
    "width": (1, 65_536),
    "embedding_size": (1, 4096),
    "num_outputs": (1, 1_000_000),
    "num_trees": (1, 10_000_000),
    "num_nodes": (1, 1_000_000_000),
    "num_sets": (0, 1_000_000_000),
    "num_values": (1, 1_000_000),
    "depth": (0, 100_000),
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


def options_of(builder: Callable[..., object]) -> dict[str, str]:
    """Return the options of a builder with their annotations."""
    parameters = inspect.signature(builder).parameters
    return {n: str(p.annotation) for n, p in parameters.items() if n != "spec"}


def check_builder_options(options: Mapping[str, Any], wanted: Mapping[str, str], what: str) -> None:
    """Compare options with a signature and with ``LIMITS``.

    Args:
        options: As they were read.
        wanted: As ``options_of`` gives them.
        what: Names their builder in a refusal.

    Raises:
        StartError: If a key is unknown or missing, or a value is of another kind or out of range.
    """
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
