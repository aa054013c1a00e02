"""Arrays of images in any form that people have them, with the channels last.

Floats in [0, 1] become uint8; whole numbers of more bits stay, and are brought to 8 when they are
decoded, as those of files (``levels``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.errors import DataError

EXPECTED = (
    "Expected uint8 in 0..255, other whole numbers, or floats in [0, 1], of shape (N, H, W), "
    "(N, H, W, C) or (N, C, H, W) with C 1 or 3."
)


def image_array(X: np.ndarray, what: str = "X") -> np.ndarray:
    """Return images of whole numbers, shape (N, H, W, C), without a copy where they are that.

    Args:
        X: Whole numbers, or floats in [0, 1]; shape (N, H, W), (N, H, W, C) or (N, C, H, W).
        what: What to call X in messages.

    Raises:
        DataError: Shape, dtype or range are others.
    """
    if X.ndim not in (3, 4) or 0 in X.shape:
        raise DataError(f"{what} has shape {X.shape}. {EXPECTED}")
    if X.ndim == 3:
        X = X[..., None]
    else:
        is_last, is_first = X.shape[3] in (1, 3), X.shape[1] in (1, 3)
        if is_last and is_first:
            raise DataError(
                f"{what} has shape {X.shape}, which can be read with the channels first or last. "
                "Give grey images as (N, H, W)."
            )
        if not (is_last or is_first):
            raise DataError(
                f"{what} has shape {X.shape}, so no axis of 1 or 3 channels. {EXPECTED}"
            )
        if is_first:
            X = np.ascontiguousarray(X.transpose(0, 2, 3, 1))
    if X.dtype.kind in "iu":
        return X
    if not np.issubdtype(X.dtype, np.floating):
        raise DataError(
            f"{what} holds {X.dtype}. {EXPECTED} Convert it, for example .astype('uint8')."
        )
    return _float_to_uint8(X, what)


def _float_to_uint8(X: np.ndarray, what: str) -> np.ndarray:
    pixels = np.empty(X.shape, np.uint8)
    for start in range(0, len(X), 1024):  # so that no second float copy of everything exists
        part = X[start : start + 1024]
        low, high = float(part.min()), float(part.max())
        if not (low >= 0 and high <= 1):  # also NaN
            bad = "NaN" if np.isnan(low) or np.isnan(high) else f"{low:.4g} to {high:.4g}"
            raise DataError(
                f"{what} holds floats from {start} on that are not in [0, 1] ({bad}). {EXPECTED} "
                "Undo the normalisation, or convert to uint8."
            )
        pixels[start : start + 1024] = np.rint(part * 255).astype(np.uint8)
    return pixels


def is_tensor(value: Any) -> bool:
    """Return whether a value is a torch tensor, known by its face."""
    return hasattr(value, "detach") and hasattr(value, "cpu")


def _unmasked(values: np.ma.MaskedArray[Any, Any], what: str) -> np.ndarray:
    """Return a masked array whose masked cells are missing: NaN among numbers, None otherwise."""
    if not np.ma.is_masked(values):
        return np.asarray(values.data)
    if values.ndim > 2:
        raise DataError(
            f"{what} is masked in {int(np.ma.getmaskarray(values).sum()):,} places, and pictures "
            f"have no gaps; expected all values. Give {what}.filled(0), or another grey."
        )
    if values.dtype.kind in "buif":
        return np.asarray(values.astype(np.float64).filled(np.nan))
    return np.asarray(values.astype(object).filled(None))


def to_numpy(values: Any, what: str) -> np.ndarray:
    """Return an array of an array, a tensor on any device, a pandas column, or a list."""
    if is_tensor(values):
        tensor = values.detach().cpu()
        return np.asarray(tensor.numpy())
    if isinstance(values, np.ma.MaskedArray):
        return _unmasked(values, what)
    if hasattr(values, "to_numpy"):
        return np.asarray(values.to_numpy())
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(
            f"{what} is no array: its parts differ in shape ({error}). {EXPECTED} "
            "For images of several sizes give a folder or a table."
        ) from error
