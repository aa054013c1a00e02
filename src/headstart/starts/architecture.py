"""Architectures: the JSON that rebuilds an encoder, as records.

An architecture names the builder of a network and gives its options; start and preprocessing are in
it too, and LoRA adapters where it has some, so that it stands alone (but for a tokenizer's or
vectorizer's files). Reading one back, which may be a stranger's, is ``rebuild``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from headstart.errors import StartError, quoted
from headstart.starts.specs import read_record, spec_from_json, spec_to_json
from headstart.types import ImageSpec, Spec, Start

Option = int | float | str | bool | dict[str, object]

MODULE = "module"  # a user's own module: cannot be built from JSON


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
