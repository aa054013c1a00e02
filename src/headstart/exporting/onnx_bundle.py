"""A run as a bundle: a folder that answers by ONNX Runtime alone, checked before it is there.

Each model of an ensemble is exported by itself; their answers are joined as ``predict`` joins them.
What was written is opened as a server opens it and compared with PyTorch on real samples, from
their raw bytes to their logits, in batches of five sizes; only then does the folder get its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bundles import (
    BUNDLE,
    Agreement,
    Bundle,
    MemberRecord,
    compare_logits,
    open_bundle,
    verify_bundle,
)
from headstart.bundles.equality import in_batches
from headstart.bundles.session import MODEL
from headstart.errors import ExportError
from headstart.exporting.bundle_files import (
    ComparedSamples,
    close_folder,
    golden_of,
    with_parity,
    write_networks,
)
from headstart.exporting.folder import building, refuse_occupied
from headstart.exporting.int8_choice import Int8Samples, choose_int8
from headstart.exporting.mlflow_record import mlflow_files
from headstart.exporting.model_card import model_card
from headstart.exporting.onnx_features import watched
from headstart.exporting.onnx_file import export_file, require_onnx
from headstart.exporting.onnx_network import ExportedNetwork
from headstart.model import Ensemble
from headstart.monitoring import DRIFT, HeldOut, build_reference
from headstart.types import Rows


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
        record = with_parity(record, samples, agreement)
        golden = golden_of(ensemble, samples, expected)
        if int8 is not None:
            content, told = choose_int8(bundle, int8, ensemble.first.encoder.start.address)
            (partial / MODEL).write_bytes(content)
            record = replace(record, int8=told)
            (partial / BUNDLE).write_bytes(record.to_bytes())
            bundle = open_bundle(partial, is_whole=False)
            # what serves has to give what it gave here, whatever float32 would
            golden = replace(golden, logits=bundle.logits(golden.arrays))
        if held_out is not None:
            record = replace(record, members=_write_reference(bundle, held_out))
        card = model_card(record, metrics)
        close_folder(partial, record, ensemble, golden, card, mlflow_files(bundle))
        verify_bundle(partial)
    return agreement


def _write_onnx(
    network: ExportedNetwork, example: Sequence[np.ndarray], address: str
) -> tuple[str, bytes]:
    return MODEL, export_file(network, example, address)


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

        task = bundle.task
        found = compare_logits(task.compared(in_batches(run, num)), task.compared(wanted))
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
