"""What a finished fit without a contest leaves, so that a larger budget may go on from there.

``search/plan.json`` is the plan of the run, ``search/val.safetensors`` how far off each validation
item was by the model that it hands over. The model itself stands in the run folder, and stays there
with its figures until one that was trained longer is surely better on the same items.

Left out: checkpoints. A schedule that has cooled down cannot be gone on with: what is trained with
a larger budget begins anew, by the way of tuning that was chosen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from headstart.errors import RunFolderError
from headstart.model import Model
from headstart.searching.record import FOLDER, PLAN
from headstart.searching.short_arms import judged_items
from headstart.types import Inputs, Rows

_VAL = "val.safetensors"
_CLEAR = 1.0  # standard errors by which what was trained longer must be less far off


def write_way(
    write: Callable[[str, bytes], None],
    judged: Sequence[tuple[np.ndarray, np.ndarray]],
    plan: Mapping[str, Any],
) -> None:
    """Write what a larger budget goes on from; the plan comes last.

    Args:
        write: Writes a file of a name, which may hold a folder, atomically.
        judged: How far off each validation item is, float64, shape (M,), and the ids of these
            items, int64, shape (M,); empty where the model of before stands.
        plan: Of the run.
    """
    for errors, ids in judged:
        arrays = {"errors": np.ascontiguousarray(errors), "ids": np.ascontiguousarray(ids)}
        write(f"{FOLDER}/{_VAL}", save(arrays))
    write(f"{FOLDER}/{PLAN}", json.dumps(dict(plan), indent=2).encode())


def way_errors(model: Model, logits: Rows, val: Inputs) -> np.ndarray:
    """Return how far off each validation item is, float64, shape (M,)."""
    errors, _ = judged_items(model, logits, val)
    return errors


def is_better_way(folder: Path, errors: np.ndarray, ids: np.ndarray) -> tuple[bool, str]:
    """Return whether a model is surely less far off than the one that the folder holds, and why.

    Args:
        folder: The run folder.
        errors: Of the new one, as ``write_way`` takes them.
        ids: Of its items.

    Raises:
        RunFolderError: If the file is damaged, or no item is the same.
    """
    place = folder / FOLDER / _VAL
    try:
        kept = load_file(place)
        former = dict(zip(kept["ids"].tolist(), kept["errors"].tolist(), strict=True))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise RunFolderError(
            f"{place} is damaged ({type(error).__name__}: {error}); expected what a finished fit "
            f"has left. Start anew with --overwrite."
        ) from error
    now = dict(zip(ids.tolist(), errors.tolist(), strict=True))
    common = sorted(former.keys() & now.keys())
    if not common:
        raise RunFolderError(
            f"{place} knows none of the {len(ids)} val items; expected the same data. Start anew "
            f"with --overwrite."
        )
    gains = np.array([former[one] - now[one] for one in common])
    gain, noise = float(gains.mean()), float(gains.std() / max(1, len(gains) - 1) ** 0.5)
    way = "less" if gain >= 0 else "more"
    told = f"{abs(gain):.4f} ± {noise:.4f} {way} far off on {len(gains)} val items than before"
    return gain > _CLEAR * noise, told
