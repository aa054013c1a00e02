"""Arrays in ``.npz`` files: MedMNIST's, Keras' ``x_train`` …, or plain images and labels.

Read without pickle. A second axis of labels is one class where it has one place, and says which of
several labels apply where it has more. Left out: volumes.
"""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.data.options import ReadOptions
from headstart.data.records import SPLIT_CODES, UNASSIGNED, Records
from headstart.data.sources.arrays import read_pair
from headstart.errors import DataError, first_line, quoted
from headstart.tasks import MULTI_LABEL

INPUTS = ("images", "x", "X", "data", "features", "image")
TARGETS = ("labels", "y", "Y", "targets", "target", "label")
SPLITS = (("train", "train"), ("val", "val"), ("valid", "val"), ("test", "test"))


def read_arrays_file(path: Path, where: str, options: ReadOptions) -> Records:
    """Return the records of an ``.npz`` file.

    Raises:
        DataError: It is damaged, holds Python objects, or no pair of inputs and targets.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except ValueError as error:
        if "pickle" not in str(error).lower():
            raise DataError(
                f"{where} cannot be read: {first_line(error)}. Save it again."
            ) from error
        raise DataError(
            f"{where} holds Python objects, which may run code when they are read, and is not. "
            "Save plain arrays, for example numpy.savez(path, images=…, labels=…)."
        ) from error
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{where} cannot be read: {first_line(error)}. Save it again.") from error
    pairs = _pairs(arrays, where)
    inputs = [arrays[x] for x, _, _ in pairs]
    shapes = {array.shape[1:] for array in inputs}
    if len(shapes) > 1:
        raise DataError(
            f"{where} holds inputs of the shapes {quoted(sorted(map(str, shapes)))}; expected one "
            "shape in all splits. Save them alike."
        )
    X = np.concatenate(inputs)
    if X.ndim == 4 and X.shape[3] not in (1, 3) and X.shape[1] not in (1, 3):
        raise DataError(
            f"{where} holds volumes, shape {X.shape}; images have three or four axes, the last of "
            "them 1 or 3 channels. Choose slices, and save these."
        )
    y = np.concatenate([np.asarray(arrays[t]) for _, t, _ in pairs])
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    targets = [row.tolist() for row in y] if y.ndim == 2 else y
    if y.ndim == 2 and options.said_task is None and set(np.unique(y).tolist()) <= {0, 1}:
        options = replace(options, task=MULTI_LABEL.name)  # ChestMNIST: 14 findings an image
    records = read_pair(X, targets, options)
    records.splits[:] = np.concatenate(
        [
            np.full(len(arrays[t]), SPLIT_CODES.get(split, UNASSIGNED), np.int8)
            for _, t, split in pairs
        ]
    )
    return replace(records, name=where, origin="the file's own")


def _pairs(arrays: dict[str, np.ndarray], where: str) -> list[tuple[str, str, str]]:
    """Return the names of inputs and targets that belong together, each with its split."""
    found = []
    for word, split in SPLITS:
        for x in INPUTS:
            for y in TARGETS:
                for first, second in (
                    (f"{word}_{x}", f"{word}_{y}"),
                    (f"{x}_{word}", f"{y}_{word}"),
                ):
                    if first in arrays and second in arrays:
                        found.append((first, second, split))
    if not found:
        lone_x = next((name for name in INPUTS if name in arrays), None)
        lone_y = next((name for name in TARGETS if name in arrays), None)
        found = [(lone_x, lone_y, "")] if lone_x and lone_y else []
    if not found:
        shown = quoted([f"{name} {array.shape}" for name, array in arrays.items()], limit=8)
        raise DataError(
            f"{where} holds {shown}; expected train_images and train_labels, x_train and y_train, "
            "or images and labels. Save it under such names, or give (X, y) in Python."
        )
    return found
