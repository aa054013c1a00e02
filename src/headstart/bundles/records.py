"""``bundle.json``: what a bundle answers, how it reads samples, and how its numbers are meant."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headstart.bundles.manifest import listed_files
from headstart.decoding import WritingRules
from headstart.errors import ExportError, OptionError, StartError
from headstart.preprocessing import KINDS, check_preprocess
from headstart.tasks import find_task
from headstart.types import PLAINLY, Deciding, Schema

BUNDLE = "bundle.json"
MOST_MEMBERS = 9
_FORMAT = 1
_FOLDER = re.compile(r"|members/[1-9]")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
VALUE_NAME = re.compile(r"[A-Za-z0-9._:/-]{0,100}")
_MOST_BYTES = 64 * 2**20  # of a JSON file: a table of many categories has some


@dataclass(frozen=True)
class MemberRecord:
    """One model of a bundle.

    Attributes:
        folder: Where its files lie, relative to the bundle; empty where it is the only one.
        weight: Its share of the answer, positive.
        start: What it was tuned from.
        preprocess: ``Preprocess.to_json`` of how it reads samples.
        temperature: Divides its logits.
        target_mean: Where numbers are predicted, what its logits are shifted by.
        target_scale: The same, what they are scaled by.
        features: The value of the network that its head reads, where that can be given too.
    """

    folder: str
    weight: float
    start: str
    preprocess: dict[str, Any]
    temperature: float
    target_mean: float
    target_scale: float
    features: str = ""


@dataclass(frozen=True)
class BundleRecord:
    """The content of ``bundle.json``.

    Attributes:
        name: Of the model, as a server calls it.
        schema: What is predicted, its labels among it.
        members: One model, or several whose mean answers.
        temperature: Divides the logits of that mean; of a single model its own.
        licence: Of the weights that it began from.
        reading: How files of the training data were read, for new ones: ``header``, ``encoding``,
            ``image_column``.
        parity: What was compared before the bundle was written, and how far it was apart.
        versions: Of the libraries that wrote it.
        deciding: How answers are made of outputs, as was settled on val.
        int8: Where the network computes in whole numbers: how, what it is worth and what it
            takes, beside float32; empty where it does not.
        writing: What its network may write; None where it writes no texts.
    """

    name: str
    schema: Schema
    members: tuple[MemberRecord, ...]
    temperature: float
    licence: str
    reading: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    deciding: Deciding = PLAINLY
    int8: dict[str, Any] = field(default_factory=dict)
    writing: WritingRules | None = None

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        record = {"format": _FORMAT, **asdict(self), "deciding": self.deciding.to_json()}
        return json.dumps(record, indent=2).encode()


def check_is_served(folder: Path) -> None:
    """Refuse exports that are verified and served by nothing here: programs, weights.

    Raises:
        ExportError: If it is one, or has no manifest.
    """
    names = listed_files(folder)
    if BUNDLE in names and any(name.endswith(".onnx") for name in names):
        return
    raise ExportError(
        f"{folder} is an export of another kind, which 'headstart verify', 'sign' and 'serve' do "
        "not open; expected a bundle with a network of ONNX. Export the run with --to onnx."
    )


def read_bundle_record(folder: Path) -> BundleRecord:
    """Read ``bundle.json``.

    Raises:
        ExportError: If it is missing, or not what headstart writes.
    """
    path = folder / BUNDLE
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        found = json.loads(path.read_text("utf-8"))
        return _checked(found)
    except OSError as error:
        raise ExportError(
            f"{path} cannot be read ({error.strerror or error}). Expected a folder that 'headstart "
            "export RUN --to onnx' has written. Export the run."
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError, OptionError, StartError) as error:
        raise ExportError(
            f"{path} is damaged ({type(error).__name__}: {error}); expected what headstart wrote. "
            "Export the run again."
        ) from error


def _checked(found: Mapping[str, Any]) -> BundleRecord:
    """Return a record of a JSON value.

    Raises:
        ValueError: If it is none; also KeyError, TypeError, OptionError, StartError.
    """
    given = dict(found)
    if given.pop("format") != _FORMAT:
        raise ValueError(f"format {found['format']!r}, expected {_FORMAT}")
    schema = Schema.from_json(given["schema"])
    task = find_task(schema.task)
    if schema.facts.noun and task.has_classes and not schema.classes:  # facts: KeyError of none
        raise ValueError(f"a {schema.kind} without classes")
    members = tuple(MemberRecord(**one) for one in given["members"])
    if not 1 <= len(members) <= MOST_MEMBERS or not _NAME.fullmatch(given["name"]):
        raise ValueError(f"{len(members)} members of {given['name']!r}")
    for one in members:
        numbers = (one.weight, one.temperature, one.target_mean, one.target_scale)
        if not _FOLDER.fullmatch(one.folder) or not all(math.isfinite(n) for n in numbers):
            raise ValueError(f"a member {one.folder!r} with {numbers}")
        if not VALUE_NAME.fullmatch(one.features):
            raise ValueError(f"features called {one.features!r}")
        if one.weight <= 0 or one.temperature <= 0:
            raise ValueError(f"a member with weight {one.weight}, temperature {one.temperature}")
        check_preprocess(one.preprocess, schema.modality)
    if not (math.isfinite(given["temperature"]) and given["temperature"] > 0):
        raise ValueError(f"temperature {given['temperature']}")
    deciding = Deciding.from_json(given.get("deciding"), len(schema.classes))
    rules = given.get("writing")
    kinds = [one.preprocess["kind"] for one in members]
    writes = len(kinds) == 1 and KINDS[kinds[0]].writes
    if not writes == task.tells_texts == (rules is not None):
        raise ValueError(f"members of {kinds} for {task.name} that write by {rules}")
    matches = len(kinds) == 1 and KINDS[kinds[0]].matches
    if matches != task.matches_texts:
        raise ValueError(f"members of {kinds} for {task.name}")
    writing = None if rules is None else WritingRules.from_json(rules)
    changed = {"schema": schema, "members": members, "deciding": deciding, "writing": writing}
    return BundleRecord(**{**given, **changed})
