"""A run as a bundle: a folder that answers by ONNX Runtime alone, checked before it is there.

Each model of an ensemble is exported by itself; their answers are joined as ``predict`` joins them.
What was written is opened as a server opens it and compared with PyTorch on real samples, from
their raw bytes to their logits, in batches of five sizes; only then does the folder get its name.
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
    Bundle,
    BundleRecord,
    MemberRecord,
    compare_logits,
    golden_bytes,
    manifest_bytes,
    open_bundle,
    verify_bundle,
)
from headstart.bundles.equality import in_batches
from headstart.bundles.golden import NUM_GOLDEN
from headstart.bundles.session import MODEL
from headstart.errors import ExportError
from headstart.exporting.folder import building, refuse_occupied
from headstart.exporting.int8_choice import Int8Samples, choose_int8
from headstart.exporting.mlflow_record import mlflow_files
from headstart.exporting.model_card import CARD, model_card
from headstart.exporting.onnx_features import watched
from headstart.exporting.onnx_file import export_file, require_onnx
from headstart.exporting.onnx_network import ExportedNetwork, exported_network
from headstart.model import Ensemble, library_versions, model_outputs
from headstart.monitoring import DRIFT, HeldOut, build_reference
from headstart.preprocessing import NamedInput
from headstart.types import Inputs, Prediction, Rows

# A network, example inputs and the start's address to a file's name and content.
WriteNetwork = Callable[[ExportedNetwork, Sequence[np.ndarray], str], tuple[str, bytes]]
_LEAST_EXAMPLES = 3
_LEAST_LENGTH = 4  # tokens of an example: of one or two an exporter would make a constant


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


def export_onnx_bundle(
    ensemble: Ensemble,
    folder: str | Path,
    samples: ComparedSamples,
    *,
    name: str,
    reading: Mapping[str, Any],
    metrics: Mapping[str, Any],
    int8: Int8Samples | None = None,
    held_out: HeldOut | None = None,
) -> Agreement:
    """Write a run's models as a bundle.

    Args:
        ensemble: What answers; left as it is.
        folder: A new or empty folder.
        samples: On which it is compared, at least one.
        name: Of the model, as a server shall call it.
        reading: How files of the training data were read.
        metrics: ``metrics.json`` of the run, for the model card; may be empty.
        int8: What a network in whole numbers is made and judged with; None leaves float32.
        held_out: What new samples are to be compared with; None where there is nothing.

    Returns:
        How far the answers of the bundle in float32 are from PyTorch's.

    Raises:
        ExportError: If packages are missing, a network cannot be exported, the folder is occupied
            or not writable, the bundle answers otherwise, or whole numbers are no gain; then
            nothing is left behind.
    """
    target = Path(folder)
    refuse_occupied(target)
    require_onnx()
    expected = ensemble.run_each(samples.inputs, phase="export")
    with building(target) as partial:
        record = write_networks(ensemble, samples, partial, name, reading, _write_onnx)
        versions = {**record.versions, **{p: version(p) for p in ("onnx", "onnxruntime")}}
        record = replace(record, versions=versions)
        (partial / BUNDLE).write_bytes(record.to_bytes())
        bundle = open_bundle(partial, is_whole=False)
        agreement = _compare(bundle, samples, expected, target)
        parity = {"samples": samples.origin, "batches": list(BATCHES), **asdict(agreement)}
        record = replace(record, parity=parity)
        golden = np.arange(min(NUM_GOLDEN, len(samples.inputs[0])))
        arrays = bundle.arrays(samples.inputs, golden)
        logits = [one[golden] for one in expected]
        if int8 is not None:
            content, told = choose_int8(bundle, int8, ensemble.first.encoder.start.address)
            (partial / MODEL).write_bytes(content)
            record = replace(record, int8=told)
            (partial / BUNDLE).write_bytes(record.to_bytes())
            bundle = open_bundle(partial, is_whole=False)
            # what serves has to give what it gave here, whatever float32 would
            logits = bundle.logits(arrays)
        if held_out is not None:
            record = replace(record, members=_write_reference(bundle, held_out))
        (partial / BUNDLE).write_bytes(record.to_bytes())
        answers = answers_of(ensemble, logits)
        (partial / GOLDEN).write_bytes(golden_bytes(arrays, logits, answers))
        (partial / CARD).write_text(model_card(record, metrics), encoding="utf-8")
        for file, text in mlflow_files(bundle).items():
            (partial / file).write_text(text, encoding="utf-8")
        (partial / MANIFEST).write_bytes(manifest_bytes(partial))
        verify_bundle(partial)
    return agreement


def _write_onnx(
    network: ExportedNetwork, example: Sequence[np.ndarray], address: str
) -> tuple[str, bytes]:
    return MODEL, export_file(network, example, address)


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
        example = [_example(wanted, arrays[wanted.name]) for wanted in network.inputs]
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


def answers_of(ensemble: Ensemble, logits: Sequence[Rows]) -> list[Prediction]:
    """Return what a run says of samples by the logits of its members.

    Args:
        ensemble: What answers.
        logits: Of each member, of N samples.
    """
    outputs = model_outputs(ensemble, ensemble.combine(logits))
    return ensemble.task.predictions([""] * len(logits[0]), outputs, ensemble.schema)


def _example(wanted: NamedInput, array: np.ndarray) -> np.ndarray:
    """Return an input with at least a few places where its length varies; more are masked."""
    is_ragged = isinstance(wanted.shape[0], str)
    missing = max(0, _LEAST_LENGTH - array.shape[1]) if is_ragged else 0
    return np.pad(array, ((0, 0), (0, missing))) if missing else array


def _compare(
    bundle: Bundle, samples: ComparedSamples, expected: Sequence[Rows], target: Path
) -> Agreement:
    """Let a bundle answer samples in batches of every size, and compare.

    Raises:
        ExportError: If it answers otherwise.
    """
    inputs = samples.inputs if samples.raw is None else bundle.read(list(samples.raw))
    num = len(samples.inputs[0])
    if len(inputs[0]) != num:
        raise ExportError(
            f"The export to {target} reads {len(inputs[0])} of {num} samples. Nothing was kept. "
            "Please report this with the start's name."
        )
    worst: Agreement | None = None
    for place, wanted in enumerate(expected):

        def run(places: np.ndarray, place: int = place) -> Rows:
            return bundle.logits(bundle.arrays(inputs, places))[place]

        found = compare_logits(in_batches(run, num), wanted)
        if not found.holds:
            turned = f", and turn {found.num_wrong} classes" if found.num_wrong else ""
            raise ExportError(
                f"The export to {target} is not faithful: on {samples.origin} its logits differ "
                f"from the run's by {found.largest:.2g}, expected at most {found.allowed:.2g}"
                f"{turned}. Nothing was kept. Please report this with the start's name."
            )
        worst = found if worst is None or found.largest > worst.largest else worst
    assert worst is not None
    return worst


def _write_reference(bundle: Bundle, held_out: HeldOut) -> tuple[MemberRecord, ...]:
    """Write what new samples are compared with, and return what to say of the members.

    Where too few samples are held out, nothing is written, and nothing of the members changes.
    """
    part = held_out.parts[0]
    few = bundle.arrays(part, np.arange(min(2, len(part[0]))))
    giving = watched(bundle, few[0])
    reference = build_reference(giving, held_out)
    if reference is None:
        return bundle.record.members
    (bundle.path / DRIFT).write_bytes(reference.to_bytes())
    return giving.record.members
