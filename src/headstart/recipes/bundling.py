"""A run handed over whole: what it is compared on is its own data, where that is at hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import DataError, ExportError
from headstart.events import emit
from headstart.exporting.exporters import ONNX
from headstart.preprocessing import given_of
from headstart.recipes.drift_samples import find_held_out
from headstart.recipes.own_data import own_data
from headstart.recipes.run import Run
from headstart.types import SplitName

if TYPE_CHECKING:
    from headstart.bundles import Agreement
    from headstart.exporting.bundle_files import ComparedSamples
    from headstart.exporting.int8_choice import Int8Samples
    from headstart.monitoring import HeldOut
    from headstart.types import Dataset

_SIDES: tuple[SplitName, ...] = ("val", "test", "train")


def bundle_name(path: Path) -> str:
    """Return what a server shall call the model of a bundle: its folder's name, fit for URLs."""
    name = path.resolve().name.removesuffix(f"-{ONNX}")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:64] or "model"


def write_bundle(run: Run, folder: Path, *, int8: bool = False) -> Agreement:
    """Write a run as a bundle, compared on its own validation samples where they are at hand.

    Args:
        run: The run.
        folder: A new or empty folder; gives the model its name.
        int8: Whether its network shall compute in whole numbers.

    Raises:
        ExportError: As ``export_onnx_bundle`` does, or if int8 cannot be judged.
        RunFolderError: If the run folder holds no model.
    """
    from headstart.exporting.folder import refuse_occupied
    from headstart.exporting.onnx_bundle import export_onnx_bundle
    from headstart.exporting.onnx_file import require_onnx

    require_onnx()  # and the folder: before any data are loaded
    refuse_occupied(folder)
    if run.ensemble.task.tells_texts or run.ensemble.task.matches_texts:
        return _write_other(run, folder, int8=int8)
    compared, held_out = _compared(run)
    return export_onnx_bundle(
        run.ensemble,
        folder,
        compared,
        name=bundle_name(folder),
        reading=_reading(run),
        metrics=run.metrics,
        int8=_judges(run) if int8 else None,
        held_out=held_out,
    )


def _write_other(run: Run, folder: Path, *, int8: bool) -> Agreement:
    """Write a run that writes texts, or matches them, as a bundle; else as ``write_bundle``."""
    from headstart.exporting.pair_bundle import export_pair_bundle
    from headstart.exporting.writer_bundle import export_writer_bundle

    writes = run.ensemble.task.tells_texts
    if int8:
        does = "writes texts" if writes else "matches images and texts"
        raise ExportError(
            f"{run.path} {does}, and --int8 judges answers of one pass; expected classes. "
            "Leave --int8 out."
        )
    write = export_writer_bundle if writes else export_pair_bundle
    return write(
        run.ensemble,
        folder,
        _compared(run, is_watched=False)[0],
        name=bundle_name(folder),
        reading=_reading(run),
        metrics=run.metrics,
    )


def write_program(run: Run, folder: Path) -> Agreement:
    """Write a run as programs of torch.export; otherwise as ``write_bundle``."""
    from headstart.exporting.pt2_folder import export_pt2

    return export_pt2(
        run.ensemble,
        folder,
        _compared(run, is_watched=False)[0],
        name=bundle_name(folder),
        reading=_reading(run),
        metrics=run.metrics,
    )


def write_weights(run: Run, folder: Path) -> Agreement:
    """Write a run as plain weights; otherwise as ``write_bundle``."""
    from headstart.exporting.weights_folder import export_weights

    return export_weights(
        run.ensemble,
        folder,
        _compared(run, is_watched=False)[0],
        name=bundle_name(folder),
        about={"strategy": run.model_record.get("strategy")},
        metrics=run.metrics,
    )


def _reading(run: Run) -> dict[str, Any]:
    source = run.data.get("source") or {}
    return {name: source.get(name) for name in ("header", "encoding", "image_column")}


def _compared(run: Run, *, is_watched: bool = True) -> tuple[ComparedSamples, HeldOut | None]:
    """Return samples of the run's own data, else others that its preprocessing can read.

    And, where it is to be watched, those that new ones are to be compared with, which only the own
    data has.
    """
    try:
        dataset = own_data(run)
    except DataError as error:
        reason = str(error).split(". ")[0]  # what follows advises somebody who evaluates
        emit(
            "note",
            text=f"The export is compared on samples that are none of the run's own: {reason}.",
        )
        return _strangers(run), None
    return _own(run, dataset), find_held_out(run, dataset) if is_watched else None


def _judges(run: Run) -> Int8Samples:
    """Return samples of train and val for a network in whole numbers.

    Raises:
        ExportError: If the run's data is not at hand, or has no val.
    """
    from headstart.exporting.int8_choice import (
        NUM_CALIBRATED,
        NUM_JUDGED,
        Int8Samples,
        refuse_int8,
    )

    refuse_int8(run.schema, len(run.ensemble.members))
    reason = "its data has no samples of val."
    try:
        dataset: Dataset | None = own_data(run)
    except DataError as error:
        dataset, reason = None, str(error)
    if dataset is None or not len(dataset.val):
        raise ExportError(
            f"--int8 needs the val samples of {run.path}, to see what whole numbers lose: {reason} "
            "Leave --int8 out, or bring the data back."
        )
    found = []
    sides: tuple[tuple[SplitName, int], ...] = (("train", NUM_CALIBRATED), ("val", NUM_JUDGED))
    for side, most in sides:
        num = len(dataset.split(side))
        places = np.unique(np.linspace(0, num - 1, min(num, most)).astype(np.int64))
        found.append(run.ensemble.prepare(dataset, side, places)[0])
    calibration, judged = found
    origin = f"{len(judged):,} val samples of the run's data"
    return Int8Samples(calibration, judged, judged.targets, origin)


def _own(run: Run, dataset: Dataset) -> ComparedSamples:
    """Return the first samples of val, or of another split where it is empty."""
    from headstart.bundles import num_compared
    from headstart.exporting.bundle_files import ComparedSamples

    side = next(name for name in _SIDES if len(dataset.split(name)))
    split = dataset.split(side)
    places = np.arange(num_compared(len(split)))
    inputs = run.ensemble.prepare(dataset, side, places)
    bad = {one.name for given in inputs for one in given.bad_samples}
    good = [int(place) for place in places if split.samples.name(int(place)) not in bad]
    raw = given_of(dataset, side, good)
    if len({len(raw), *map(len, inputs)}) != 1:
        inputs = run.ensemble.prepare(dataset, side, np.array(good, np.int64))
    return ComparedSamples(inputs, raw, f"{len(raw)} {side} samples of the run's data")


def _strangers(run: Run) -> ComparedSamples:
    """Return samples that stand for the run's own: drawn numbers, or texts of headstart's own."""
    from headstart.bundles import BATCHES
    from headstart.exporting.bundle_files import ComparedSamples
    from headstart.exporting.transformers_folder import SAMPLE_TEXTS

    members = [one.model.encoder.preprocess for one in run.ensemble.members]
    draw = np.random.default_rng(0)
    drawn = [one.stand_ins(sum(BATCHES), draw) for one in members]
    if all(one is not None for one in drawn):
        inputs = [one for one in drawn if one is not None]
        return ComparedSamples(inputs, None, f"{len(inputs[0])} drawn samples, none of them real")
    texts: list[Any] = [text for text in SAMPLE_TEXTS if text]
    if members[0].main.is_pair:
        texts = [(text, texts[place - 1]) for place, text in enumerate(texts)]
    if run.schema.beside:  # cells that nobody knows
        names, nothing = members[0].main.columns, dict.fromkeys(run.schema.beside)
        sides = [text if isinstance(text, tuple) else (text,) for text in texts]
        texts = [{**nothing, **dict(zip(names, each, strict=True))} for each in sides]
    read = [one.read(texts) for one in members]
    return ComparedSamples(read, texts, f"{len(texts)} texts of headstart's own")
