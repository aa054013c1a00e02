"""Read images that are arrays already: NumPy arrays, torch tensors, lists of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.data.records import (
    UNASSIGNED,
    Records,
    class_labels,
    encode_targets,
    order_classes,
)
from headstart.data.samples import ArraySamples
from headstart.errors import DataError

EXPECTED = (
    "Expected uint8 in 0..255, or floats in [0, 1], of shape (N, H, W), (N, H, W, C) or "
    "(N, C, H, W) with C 1 or 3."
)


def read_arrays(images: object, targets: object, name: str = "arrays") -> Records:
    """Return the records of ``(X, y)``.

    Args:
        images: uint8, or floats in [0, 1]; shape (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1
            or 3; array or tensor.
        targets: Integers or strings, shape (N,).
        name: What to call the source.

    Raises:
        DataError: The shapes or the values are others.
    """
    X = image_array(_to_numpy(images, "X"))
    y = _to_numpy(targets, "y")
    if y.ndim != 1:
        raise DataError(
            f"y has shape {y.shape}; expected one class per image, shape ({len(X)},). "
            "For one-hot targets give y.argmax(axis=1)."
        )
    if len(X) != len(y):
        raise DataError(f"X has {len(X)} images and y {len(y)} targets; expected as many.")
    labels = class_labels(y.tolist(), "y", "y[{index}]")
    classes = order_classes(set(labels))
    return Records(
        name=name,
        samples=ArraySamples(X, [f"X[{i}]" for i in range(len(X))]),
        targets=encode_targets(labels, classes),
        classes=classes,
        splits=np.full(len(X), UNASSIGNED, np.int8),
        origin="arrays",
    )


def image_array(X: np.ndarray) -> np.ndarray:
    """Return uint8 images, shape (N, H, W, C), without a copy where they are that already.

    Args:
        X: uint8, or floats in [0, 1]; shape (N, H, W), (N, H, W, C) or (N, C, H, W).

    Raises:
        DataError: Shape, dtype or range are others.
    """
    if X.ndim not in (3, 4) or 0 in X.shape:
        raise DataError(f"X has shape {X.shape}. {EXPECTED}")
    if X.ndim == 3:
        X = X[..., None]
    else:
        is_last, is_first = X.shape[3] in (1, 3), X.shape[1] in (1, 3)
        if is_last and is_first:
            raise DataError(
                f"X has shape {X.shape}, which can be read with the channels first or last. "
                "Give grey images as (N, H, W)."
            )
        if not (is_last or is_first):
            raise DataError(f"X has shape {X.shape}, so no axis of 1 or 3 channels. {EXPECTED}")
        if is_first:
            X = np.ascontiguousarray(X.transpose(0, 2, 3, 1))
    if X.dtype == np.uint8:
        return X
    if not np.issubdtype(X.dtype, np.floating):
        raise DataError(f"X holds {X.dtype}. {EXPECTED} Convert it, for example X.astype('uint8').")
    return _float_to_uint8(X)


def _float_to_uint8(X: np.ndarray) -> np.ndarray:
    pixels = np.empty(X.shape, np.uint8)
    for start in range(0, len(X), 1024):  # so that no second float copy of everything exists
        part = X[start : start + 1024]
        low, high = float(part.min()), float(part.max())
        if not (low >= 0 and high <= 1):  # also NaN
            bad = "NaN" if np.isnan(low) or np.isnan(high) else f"{low:.4g} to {high:.4g}"
            raise DataError(
                f"X holds floats from {start} on that are not in [0, 1] ({bad}). {EXPECTED} "
                "Undo the normalisation, or convert to uint8."
            )
        pixels[start : start + 1024] = np.rint(part * 255).astype(np.uint8)
    return pixels


def _to_numpy(values: Any, what: str) -> np.ndarray:
    """Return an array of an array, a tensor on any device, a pandas column, or a list."""
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        tensor = values.detach().cpu()
        return np.asarray(tensor.numpy())
    if hasattr(values, "to_numpy"):
        return np.asarray(values.to_numpy())
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(
            f"{what} is no array: its parts differ in shape ({error}). {EXPECTED} "
            "For images of several sizes give a folder or a table."
        ) from error
