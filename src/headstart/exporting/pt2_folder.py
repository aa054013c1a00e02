"""A run as programs of ``torch.export``: ``model.pt2`` from prepared arrays to logits, any batch.

Beside it stands what a bundle has: labels, preprocessing, calibration, golden samples, a model card
and the digest of every file. What was written is loaded again and compared with the run, on real
samples from their raw bytes where the data is at hand. Left out: serving it (``onnx_bundle``).
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.bundles import (
    Agreement,
    compare_logits,
)
from headstart.bundles.equality import in_batches
from headstart.bundles.records import BundleRecord
from headstart.errors import ExportError, first_line
from headstart.exporting.bundle_files import (
    ComparedSamples,
    close_folder,
    golden_of,
    with_parity,
    write_networks,
)
from headstart.exporting.folder import building, refuse_occupied, unreadable
from headstart.exporting.model_card import model_card
from headstart.exporting.onnx_network import ExportedNetwork
from headstart.exporting.varying import varying_shapes
from headstart.model import Ensemble
from headstart.preprocessing import NamedInput, Preprocess, read_preprocess
from headstart.tasks import find_task
from headstart.types import Rows

PROGRAM = "model.pt2"
_SHORTEST = (1, 3)  # tokens of a text, tried in this order


def export_pt2(
    ensemble: Ensemble,
    folder: str | Path,
    samples: ComparedSamples,
    *,
    name: str,
    reading: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> Agreement:
    """Write a run's models as programs that ``torch.export.load`` takes.

    Args:
        ensemble: What answers; left as it is.
        folder: A new or empty folder.
        samples: On which it is compared, at least one.
        name: Of the model.
        reading: How files of the training data were read.
        metrics: ``metrics.json`` of the run, for the model card; may be empty.

    Returns:
        How far the programs' logits are from the run's.

    Raises:
        ExportError: If a network cannot be exported, the folder is occupied or not writable, or
            what was written answers otherwise; then nothing is left behind.
    """
    target = Path(folder)
    refuse_occupied(target)
    expected = ensemble.run_each(samples.inputs, phase="export")
    with building(target) as partial:
        record = write_networks(ensemble, samples, partial, name, reading, _program)
        agreement = _compare(record, samples, expected, partial, target)
        record = with_parity(record, samples, agreement)
        golden, card = golden_of(ensemble, samples, expected), model_card(record, metrics, PROGRAM)
        close_folder(partial, record, ensemble, golden, card, {})
    return agreement


def _program(
    network: ExportedNetwork, example: Sequence[np.ndarray], address: str
) -> tuple[str, bytes]:
    """Return a network as a program whose batch varies.

    Texts may have any length from a token up; what looks at a token's neighbours (MobileBERT) is
    only taken from three up: a token, and what tokenizers put before and behind it.

    Raises:
        ExportError: If torch.export does not take it, or took the batch for a constant.
    """
    shown = tuple(torch.from_numpy(np.ascontiguousarray(array))[:2] for array in example)
    is_ragged = any(isinstance(one.shape[0], str) for one in network.inputs)
    failure: Exception | None = None
    for shortest in _SHORTEST if is_ragged else (1,):
        try:
            return PROGRAM, _exported(network, shown, shortest)
        except Exception as error:  # networks fail under an exporter in every way Python knows
            failure = failure or error
    assert failure is not None
    raise ExportError(
        f"'{address}' cannot be written as a program ({type(failure).__name__}: "
        f"{first_line(failure)}). Expected a network that torch.export takes, with a batch of "
        "any size. Serve the run with 'headstart predict', or choose another start."
    ) from failure


def _exported(network: ExportedNetwork, shown: tuple[Tensor, ...], shortest: int) -> bytes:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        shapes = varying_shapes(network.inputs, shortest=shortest)
        program = torch.export.export(network, shown, dynamic_shapes=shapes)
        program.example_inputs = None  # samples of the data, which nobody is to be given
        file = io.BytesIO()
        torch.export.save(program, file)
    return file.getvalue()


def _compare(
    record: BundleRecord,
    samples: ComparedSamples,
    expected: Sequence[Rows],
    partial: Path,
    target: Path,
) -> Agreement:
    """Load programs again, and compare them in batches of every size.

    Raises:
        ExportError: If they cannot be loaded, or give other logits.
    """
    found = []
    for place, (member, wanted) in enumerate(zip(record.members, expected, strict=True)):
        own = partial / member.folder
        preprocess = read_preprocess(json.loads(json.dumps(member.preprocess)), own, member.start)
        given = samples.inputs[place]
        inputs = given if samples.raw is None else preprocess.read(list(samples.raw))
        names = [one for one in preprocess.exported_inputs if 0 not in one.shape]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                program = torch.export.load(own / PROGRAM).module()
        except Exception as error:  # as above
            raise unreadable("torch.export", target, error) from error

        def run(
            places: np.ndarray,
            program: nn.Module = program,
            inputs: Any = inputs,
            preprocess: Preprocess = preprocess,
            names: Sequence[NamedInput] = names,
        ) -> Rows:
            arrays = preprocess.batch(inputs, places)
            with torch.no_grad():
                logits: Tensor = program(*(torch.from_numpy(arrays[one.name]) for one in names))
            return preprocess.told(arrays, logits.numpy())

        task = find_task(record.schema.task)
        made = task.compared(in_batches(run, len(wanted)))
        agreement = compare_logits(made, task.compared(wanted))
        if not agreement.holds:
            raise ExportError(
                f"The export to {target} is not faithful: on {samples.origin} its logits differ "
                f"from the run's by {agreement.largest:.2g}, expected at most "
                f"{agreement.allowed:.2g}. Nothing was kept. Please report this with the start's "
                "name."
            )
        found.append(agreement)
    return max(found, key=lambda one: one.largest)
