"""Architectures: the JSON that rebuilds an encoder, as records.

An architecture names the builder of a network and gives its options; start and preprocessing are in
it too, and LoRA adapters where it has some, so that it stands alone (but for the files of a
preprocessing). Reading one back, which may be a stranger's, is ``rebuild``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from headstart.errors import StartError, quoted
from headstart.preprocessing import Preprocess, read_preprocess
from headstart.preprocessing.for_images import image_from_json, image_to_json
from headstart.preprocessing.json_records import read_record
from headstart.types import Start

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
    """An architecture after its JSON has been checked.

    Attributes:
        builder: Name of the network's builder.
        options: Its options.
        start: Where the encoder comes from.
        preprocess: The preprocessing as JSON; ``read_preprocess`` makes it.
        lora: Its adapters, or None.
    """

    builder: str
    options: dict[str, Option]
    start: Start
    preprocess: dict[str, Any]
    lora: Lora | None = None

    def read_preprocess(self, folder: Path | None) -> Preprocess:
        """Return the preprocessing.

        Args:
            folder: Where ``Preprocess.files`` was written; None where there are none.

        Raises:
            StartError: If a file is missing or damaged.
        """
        return read_preprocess(self.preprocess, folder, self.start.address)


def write_architecture(
    builder: str,
    options: Mapping[str, Option],
    start: Start,
    preprocess: Mapping[str, object],
    lora: Lora | None = None,
) -> dict[str, object]:
    """Return the JSON-able form; without adapters it has no key for them.

    Args:
        builder: Name of the network's builder.
        options: Its options.
        start: Where the encoder comes from.
        preprocess: Its preprocessing, as ``Preprocess.to_json`` gives it.
        lora: Its adapters.
    """
    record: dict[str, object] = {
        "builder": builder,
        "options": dict(options),
        "start": start_to_json(start),
        "preprocess": dict(preprocess),
    }
    return record if lora is None else {**record, "lora": asdict(lora)}


def start_to_json(start: Start) -> dict[str, object]:
    """Return a start as JSON-able dict."""
    image = None if start.image is None else image_to_json(start.image)
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
    image = None if record["image"] is None else image_from_json(record["image"], "image")
    return Start(**{**record, "image": image})
