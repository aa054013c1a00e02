"""A run as weights: ``model.safetensors`` with adapters merged, and what is needed to use them.

A folder of this kind is opened by ``headstart predict`` as a run is; and since the weights are
plain tensors under PyTorch's names, everybody else's programs read them with ``safetensors``. It
holds nothing of the training: no optimizer, no data, no samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.bundles import MANIFEST, Agreement, compare_logits, manifest_bytes
from headstart.errors import ExportError
from headstart.exporting.bundle_files import ComparedSamples
from headstart.exporting.folder import building, refuse_occupied
from headstart.exporting.model_card import CARD, weights_card
from headstart.model import Ensemble, open_ensemble, write_ensemble
from headstart.starts.lora import merge_lora

WEIGHTS = "model.safetensors"


def export_weights(
    ensemble: Ensemble,
    folder: str | Path,
    samples: ComparedSamples,
    *,
    name: str,
    about: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> Agreement:
    """Write a run's models as plain weights.

    Args:
        ensemble: What answers; left as it is.
        folder: A new or empty folder.
        samples: On which it is compared, at least one.
        name: Of the model.
        about: What a reader wants to know besides (strategy, data name …).
        metrics: ``metrics.json`` of the run, for the model card; may be empty.

    Returns:
        How far its logits are from the run's.

    Raises:
        ExportError: If the folder is occupied or not writable, or what was written answers
            otherwise; then nothing is left behind.
    """
    target = Path(folder)
    refuse_occupied(target)
    expected = ensemble.run_each(samples.inputs, phase="export")
    with building(target) as partial:

        def write(file: str, content: bytes) -> None:
            path = partial / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

        write_ensemble(_merged(ensemble), write, about)
        found = open_ensemble(partial).run_each(samples.inputs, phase="export")
        agreement = max(
            (
                compare_logits(ensemble.task.compared(one), ensemble.task.compared(own))
                for one, own in zip(found, expected, strict=True)
            ),
            key=lambda one: one.largest / one.allowed,
        )
        if not agreement.holds:
            raise ExportError(
                f"The export to {target} is not faithful: its logits differ from the run's by "
                f"{agreement.largest:.2g}, expected at most {agreement.allowed:.2g}. Nothing was "
                "kept. Please report this with the start's name."
            )
        card = weights_card(name, ensemble, metrics, agreement, samples.origin)
        (partial / CARD).write_text(card, encoding="utf-8")
        (partial / MANIFEST).write_bytes(manifest_bytes(partial))
    return agreement


def _merged(ensemble: Ensemble) -> Ensemble:
    """Return an ensemble of copies without adapters."""
    from copy import deepcopy

    members = []
    for one in ensemble.members:
        model = deepcopy(one.model).cpu()
        merge_lora(model.encoder)
        members.append(replace(one, model=model))
    return Ensemble(members, ensemble.temperature)
