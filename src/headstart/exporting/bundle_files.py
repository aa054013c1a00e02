"""What bundles and folders of programs share: networks, golden samples, how they are closed.

Every member of an ensemble is a folder of its own with its network and the files of its
preprocessing; one record says of all how they answer together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bundles import (
    BATCHES,
    BUNDLE,
    GOLDEN,
    MANIFEST,
    Agreement,
    BundleRecord,
    MemberRecord,
    golden_bytes,
    manifest_bytes,
)
from headstart.bundles.golden import NUM_GOLDEN
from headstart.decoding import WritingRules
from headstart.exporting.model_card import CARD
from headstart.exporting.onnx_network import ExportedNetwork, exported_network
from headstart.exporting.varying import LEAST_LENGTH
from headstart.model import Ensemble, Model, library_versions, model_outputs
from headstart.preprocessing import NamedInput
from headstart.types import Inputs, Rows

# A network, example inputs and the start's address to a file's name and content.
WriteNetwork = Callable[[ExportedNetwork, Sequence[np.ndarray], str], tuple[str, bytes]]
_LEAST_EXAMPLES = 3


@dataclass(frozen=True)
class ComparedSamples:
    """Samples on which an export has to give what the run gives.

    Attributes:
        inputs: As each member prepares them from the data set, N each.
        raw: The same N samples as a server would be given them; None where only what is prepared
            is at hand.
        origin: What they are, for whoever reads the bundle.
    """

    inputs: Sequence[Inputs]
    raw: Sequence[Any] | None
    origin: str


def write_networks(
    ensemble: Ensemble,
    samples: ComparedSamples,
    folder: Path,
    name: str,
    reading: Mapping[str, Any],
    write: WriteNetwork,
) -> BundleRecord:
    """Write the network and the preprocessing of each member; return what to say of them.

    Args:
        ensemble: What answers.
        samples: Give examples of inputs.
        folder: Where to.
        name: Of the model.
        reading: How files of the training data were read.
        write: Makes the file of a network.
    """
    members = []
    for place, (one, inputs) in enumerate(zip(ensemble.members, samples.inputs, strict=True)):
        where = "" if ensemble.is_one else f"members/{place + 1}"
        own, model = folder / where, one.model
        own.mkdir(parents=True, exist_ok=True)
        preprocess, address = model.encoder.preprocess, model.encoder.start.address
        network = exported_network(model)
        arrays = preprocess.batch(inputs, np.arange(_LEAST_EXAMPLES) % len(inputs))
        example = [padded_example(wanted, arrays[wanted.name]) for wanted in network.inputs]
        file, content = write(network, example, address)
        (own / file).write_bytes(content)
        for kept, content in preprocess.files().items():
            (own / kept).write_bytes(content)
        members.append(
            MemberRecord(
                where,
                float(ensemble.weights[place]),
                address,
                preprocess.to_json(),
                model.temperature,
                model.target_mean,
                model.target_scale,
            )
        )
    return BundleRecord(
        name=name,
        schema=ensemble.schema,
        members=tuple(members),
        temperature=ensemble.temperature,
        licence=ensemble.first.encoder.start.licence,
        reading=dict(reading),
        deciding=ensemble.deciding,
        versions=library_versions(),
    )


def padded_example(wanted: NamedInput, array: np.ndarray) -> np.ndarray:
    """Return an input with at least a few places where its length varies; more are masked."""
    is_ragged = isinstance(wanted.shape[0], str)
    missing = max(0, LEAST_LENGTH - array.shape[1]) if is_ragged else 0
    return np.pad(array, ((0, 0), (0, missing))) if missing else array


@dataclass(frozen=True)
class Golden:
    """The few samples that a folder holds with what they have to give.

    Attributes:
        arrays: Of each member, by the names of its inputs.
        logits: Of each member.
    """

    arrays: Sequence[Mapping[str, np.ndarray]]
    logits: Sequence[Rows]


def golden_of(ensemble: Ensemble, samples: ComparedSamples, expected: Sequence[Rows]) -> Golden:
    """Return the first of the compared samples, with the logits of each member.

    Args:
        ensemble: What answers.
        samples: The samples.
        expected: Logits of each member, of all samples.
    """
    places = np.arange(min(NUM_GOLDEN, len(samples.inputs[0])))
    arrays = [
        one.model.encoder.preprocess.batch(own, places)
        for one, own in zip(ensemble.members, samples.inputs, strict=True)
    ]
    return Golden(arrays, [one[places] for one in expected])


def with_parity(
    record: BundleRecord, samples: ComparedSamples, agreement: Agreement
) -> BundleRecord:
    """Return a record that says on what the networks were compared, and how far they were off."""
    parity = {"samples": samples.origin, "batches": list(BATCHES), **asdict(agreement)}
    return replace(record, parity=parity)


def close_folder(
    folder: Path,
    record: BundleRecord,
    ensemble: Ensemble,
    golden: Golden,
    card: str,
    beside: Mapping[str, str],
) -> None:
    """Write what says how networks are used, and last the digest of every file.

    Args:
        folder: Holds the networks.
        record: Of the bundle.
        ensemble: Says what is answered by logits.
        golden: The samples that it holds.
        card: The model card.
        beside: Text of other files, by name.
    """
    outputs = model_outputs(ensemble, ensemble.combine(golden.logits))
    names = [""] * len(golden.logits[0])
    answers = ensemble.task.predictions(names, outputs, ensemble.schema)
    content = golden_bytes(golden.arrays, golden.logits, answers)
    seal(folder, record, content, {CARD: card, **beside})


def write_lone_record(
    model: Model,
    folder: Path,
    name: str,
    reading: Mapping[str, Any],
    writing: WritingRules | None = None,
) -> BundleRecord:
    """Write the files of a lone model's preprocessing and what the bundle says; return that.

    Args:
        model: Whose networks have files of their own names in the folder.
        folder: Of the bundle.
        name: Of the model, as a server shall call it.
        reading: How files of the training data were read.
        writing: Where it writes, how.
    """
    start, preprocess = model.encoder.start, model.encoder.preprocess
    for file, content in preprocess.files().items():
        (folder / file).write_bytes(content)
    own = preprocess.to_json()
    record = BundleRecord(
        name=name,
        schema=model.schema,
        members=(MemberRecord("", 1.0, start.address, own, model.temperature, 0.0, 1.0),),
        temperature=model.temperature,
        licence=start.licence,
        reading=dict(reading),
        versions={**library_versions(), **{p: version(p) for p in ("onnx", "onnxruntime")}},
        writing=writing,
    )
    (folder / BUNDLE).write_bytes(record.to_bytes())
    return record


def seal(folder: Path, record: BundleRecord, golden: bytes, texts: Mapping[str, str]) -> None:
    """Write what a bundle holds beside networks, and last the digest of every file.

    Args:
        folder: Holds the networks.
        record: Of the bundle.
        golden: The file of golden samples.
        texts: Of the other files, by name: the model card at least.
    """
    (folder / BUNDLE).write_bytes(record.to_bytes())
    (folder / GOLDEN).write_bytes(golden)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / MANIFEST).write_bytes(manifest_bytes(folder))
