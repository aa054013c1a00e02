"""A run as a bundle: a folder that answers by ONNX Runtime alone, checked before it is there.

Each model of an ensemble is exported by itself; their answers are joined as ``predict`` joins them.
What was written is opened as a server opens it and compared with PyTorch on real samples, from
their raw bytes to their logits, in batches of five sizes; only then does the folder get its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from headstart.bundles.answering import named
from headstart.bundles.equality import in_batches
from headstart.bundles.golden import NUM_GOLDEN
from headstart.bundles.session import MODEL
from headstart.errors import ExportError
from headstart.exporting.folder import building, refuse_occupied
from headstart.exporting.model_card import CARD, model_card
from headstart.exporting.onnx_file import export_file, require_onnx
from headstart.exporting.onnx_network import exported_network
from headstart.model import Ensemble, library_versions, model_outputs
from headstart.preprocessing import NamedInput
from headstart.types import Inputs, Prediction

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
) -> Agreement:
    """Write a run's models as a bundle.

    Args:
        ensemble: What answers; left as it is.
        folder: A new or empty folder.
        samples: On which it is compared, at least one.
        name: Of the model, as a server shall call it.
        reading: How files of the training data were read.
        metrics: ``metrics.json`` of the run, for the model card; may be empty.

    Returns:
        How far the answers of the bundle are from PyTorch's.

    Raises:
        ExportError: If packages are missing, a network cannot be exported, the folder is occupied
            or not writable, or the bundle answers otherwise; then nothing is left behind.
    """
    target = Path(folder)
    refuse_occupied(target)
    require_onnx()
    expected = ensemble.run_each(samples.inputs, phase="export")
    with building(target) as partial:
        record = _write_networks(ensemble, samples, partial, name, reading)
        (partial / BUNDLE).write_bytes(record.to_bytes())
        bundle = open_bundle(partial, is_whole=False)
        agreement = _compare(bundle, samples, [np.asarray(one) for one in expected], target)
        parity = {"samples": samples.origin, "batches": list(BATCHES), **asdict(agreement)}
        record = replace(record, parity=parity)
        (partial / BUNDLE).write_bytes(record.to_bytes())
        golden = np.arange(min(NUM_GOLDEN, len(samples.inputs[0])))
        logits = [np.asarray(one)[golden] for one in expected]
        arrays = bundle.arrays(samples.inputs, golden)
        answers = _answers(ensemble, logits)
        (partial / GOLDEN).write_bytes(golden_bytes(arrays, logits, answers))
        (partial / CARD).write_text(model_card(record, metrics), encoding="utf-8")
        (partial / MANIFEST).write_bytes(manifest_bytes(partial))
        verify_bundle(partial)
    return agreement


def _write_networks(
    ensemble: Ensemble,
    samples: ComparedSamples,
    folder: Path,
    name: str,
    reading: Mapping[str, Any],
) -> BundleRecord:
    """Write the network and the preprocessing of each member; return what to say of them."""
    members = []
    for place, (one, inputs) in enumerate(zip(ensemble.members, samples.inputs, strict=True)):
        where = "" if ensemble.is_one else f"members/{place + 1}"
        own, model = folder / where, one.model
        own.mkdir(parents=True, exist_ok=True)
        preprocess, address = model.encoder.preprocess, model.encoder.start.address
        network = exported_network(model)
        arrays = named(preprocess, inputs.arrays(np.arange(_LEAST_EXAMPLES) % len(inputs)))
        example = [_example(wanted, arrays[wanted.name]) for wanted in network.inputs]
        (own / MODEL).write_bytes(export_file(network, example, address))
        for file, content in preprocess.files().items():
            (own / file).write_bytes(content)
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
        versions={**library_versions(), **{p: version(p) for p in ("onnx", "onnxruntime")}},
    )


def _answers(ensemble: Ensemble, logits: Sequence[np.ndarray]) -> list[Prediction]:
    """Return what the run says of samples by the logits of its members."""
    outputs = model_outputs(ensemble, ensemble.combine(logits))
    return ensemble.task.predictions([""] * len(logits[0]), outputs, ensemble.schema)


def _example(wanted: NamedInput, array: np.ndarray) -> np.ndarray:
    """Return an input with at least a few places where its length varies; more are masked."""
    is_ragged = isinstance(wanted.shape[0], str)
    missing = max(0, _LEAST_LENGTH - array.shape[1]) if is_ragged else 0
    return np.pad(array, ((0, 0), (0, missing))) if missing else array


def _compare(
    bundle: Bundle, samples: ComparedSamples, expected: Sequence[np.ndarray], target: Path
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

        def run(places: np.ndarray, place: int = place) -> np.ndarray:
            return bundle.run(bundle.arrays(inputs, places))[place]

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
