"""A run handed over as a bundle: what it is compared on is its own data, where that is at hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import DataError
from headstart.events import emit
from headstart.exporting.exporters import ONNX
from headstart.recipes.own_data import own_data
from headstart.recipes.run import Run
from headstart.types import SplitName

if TYPE_CHECKING:
    from headstart.bundles import Agreement
    from headstart.exporting.onnx_bundle import ComparedSamples
    from headstart.types import Dataset

_SIDES: tuple[SplitName, ...] = ("val", "test", "train")


def bundle_name(path: Path) -> str:
    """Return what a server shall call the model of a bundle: its folder's name, fit for URLs."""
    name = path.resolve().name.removesuffix(f"-{ONNX}")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:64] or "model"


def write_bundle(run: Run, folder: Path) -> Agreement:
    """Write a run as a bundle, compared on its own validation samples where they are at hand.

    Args:
        run: The run.
        folder: A new or empty folder; gives the model its name.

    Raises:
        ExportError: As ``export_onnx_bundle`` does.
        RunFolderError: If the run folder holds no model.
    """
    from headstart.exporting.folder import refuse_occupied
    from headstart.exporting.onnx_bundle import export_onnx_bundle
    from headstart.exporting.onnx_file import require_onnx

    require_onnx()  # and the folder: before any data are loaded
    refuse_occupied(folder)
    source = run.data.get("source") or {}
    return export_onnx_bundle(
        run.ensemble,
        folder,
        _compared(run),
        name=bundle_name(folder),
        reading={name: source.get(name) for name in ("header", "encoding")},
        metrics=run.metrics,
    )


def _compared(run: Run) -> ComparedSamples:
    """Return samples of the run's own data, else others that its preprocessing can read."""
    try:
        dataset = own_data(run)
    except DataError as error:
        reason = str(error).split(". ")[0]  # what follows advises somebody who evaluates
        emit(
            "note",
            text=f"The bundle is compared on samples that are none of the run's own: {reason}.",
        )
        return _strangers(run)
    return _own(run, dataset)


def _own(run: Run, dataset: Dataset) -> ComparedSamples:
    """Return the first samples of val, or of another split where it is empty."""
    from headstart.bundles import num_compared
    from headstart.exporting.onnx_bundle import ComparedSamples

    side = next(name for name in _SIDES if len(dataset.split(name)))
    split = dataset.split(side)
    places = np.arange(num_compared(len(split)))
    inputs = run.ensemble.prepare(dataset, side, places)
    bad = {one.name for given in inputs for one in given.bad_samples}
    good = [int(place) for place in places if split.samples.name(int(place)) not in bad]
    raw = [split.samples.read(place) for place in good]
    if len({len(raw), *map(len, inputs)}) != 1:
        inputs = run.ensemble.prepare(dataset, side, np.array(good, np.int64))
    return ComparedSamples(inputs, raw, f"{len(raw)} {side} samples of the run's data")


def _strangers(run: Run) -> ComparedSamples:
    """Return samples that stand for the run's own: drawn numbers, or texts of headstart's own."""
    from headstart.bundles import BATCHES
    from headstart.exporting.onnx_bundle import ComparedSamples
    from headstart.exporting.transformers_folder import SAMPLE_TEXTS

    members = [one.model.encoder.preprocess for one in run.ensemble.members]
    draw = np.random.default_rng(0)
    drawn = [one.stand_ins(sum(BATCHES), draw) for one in members]
    if all(one is not None for one in drawn):
        inputs = [one for one in drawn if one is not None]
        return ComparedSamples(inputs, None, f"{len(inputs[0])} drawn samples, none of them real")
    texts = [text for text in SAMPLE_TEXTS if text]
    read = [one.read(texts) for one in members]
    return ComparedSamples(read, texts, f"{len(texts)} texts of headstart's own")
