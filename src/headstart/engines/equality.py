"""Whether an engine gives what PyTorch gives, on real samples, before anything rests on it.

Float32 has to agree to 1e-4 of the largest number. In bf16 numbers differ by more than that, and
what counts is what follows from them: the direction of each sample's features, and the decisions of
a linear readout of them, which may differ on no more samples than one standard error of a share
would. The readout is the model's own head where it has learned, else a ridge regression on the
reference that is fitted on one half of the samples and read on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

MOST_CHECKED = 500  # samples
FP32_TOLERANCE = 1e-4  # of the largest number
LEAST_COSINE, MEAN_COSINE = 0.98, 0.995  # of a sample's features in bf16: each, and on average
_RIDGE = 1e-2  # of the mean variance

Readout = Callable[[Tensor], Tensor]


def difference(
    expected: Sequence[Tensor],
    found: Sequence[Tensor],
    *,
    precision: str,
    targets: np.ndarray | None = None,
    readout: Readout | None = None,
) -> str:
    """Return in what outputs differ beyond what is allowed, in words; empty where they do not.

    Args:
        expected: PyTorch's in float32, each of R rows.
        found: The engine's.
        precision: What the engine computes in.
        targets: What the samples are told to be, R rows; None where nobody knows or it is no array.
        readout: Features to outputs; None fits one to the targets.
    """
    if len(expected) != len(found):
        return f"it gives {len(found)} tensors instead of {len(expected)}"
    for one, other in zip(expected, found, strict=True):
        if one.shape != other.shape:
            return f"it gives {tuple(other.shape)} instead of {tuple(one.shape)}"
        if not one.is_floating_point():
            if not torch.equal(one, other.to(one.dtype)):
                return "whole numbers differ"
            continue
        if not bool(torch.isfinite(other).all()) and bool(torch.isfinite(one).all()):
            return "it gives numbers that are not finite"
        said = _fp32(one, other) if precision == "fp32" else _bf16(one, other)
        if said:
            return said
    if precision == "fp32":
        return ""
    return _decisions(expected[0].float(), found[0].float(), targets, readout)


def _fp32(one: Tensor, other: Tensor) -> str:
    scale = float(one.abs().max()) if one.numel() else 0.0
    far = float((one.double() - other.double()).abs().max()) if one.numel() else 0.0
    if far <= FP32_TOLERANCE * scale:
        return ""
    return f"it differs by {far / max(scale, 1e-30):.1e} of the largest number"


def _bf16(one: Tensor, other: Tensor) -> str:
    rows = functional.cosine_similarity(one.flatten(1).double(), other.flatten(1).double(), dim=1)
    # a row of zeros has no direction
    rows = torch.where(one.flatten(1).abs().amax(dim=1) > 0, rows, torch.ones_like(rows))
    least, mean = float(rows.min()), float(rows.mean())
    if least >= LEAST_COSINE and mean >= MEAN_COSINE:
        return ""
    return f"its directions differ (cosine {mean:.4f} on average, {least:.4f} at the least)"


def _decisions(
    one: Tensor, other: Tensor, targets: np.ndarray | None, readout: Readout | None
) -> str:
    """Return whether decisions differ on more samples than one standard error of a share."""
    if readout is not None:
        outputs = readout(one), readout(other)
    elif targets is not None and len(one) >= 8 and (wanted := _wanted(targets)) is not None:
        outputs = _ridge(_pooled(one), _pooled(other), wanted)
    else:
        return ""
    first, second = (made.flatten(1).double() for made in outputs)
    num = len(first)
    if first.shape[1] > 1:
        changed = float((first.argmax(dim=1) != second.argmax(dim=1)).double().mean())
        allowed = 0.5 / num**0.5
        if changed > allowed:
            return f"{changed:.1%} of {num} decisions differ, {allowed:.1%} may"
        return ""
    spread = float(first.std()) / num**0.5
    far = float((first - second).abs().mean())
    return f"values differ by {far:.2g} on average, {spread:.2g} may" if far > spread else ""


def _pooled(features: Tensor) -> Tensor:
    """Return one row of numbers a sample: channels (dimension 1), averaged over what is behind."""
    flat = features.flatten(2).mean(dim=2) if features.ndim == 4 else features
    return flat.mean(dim=1) if flat.ndim == 3 else flat


def _wanted(targets: np.ndarray) -> Tensor | None:
    """Return targets as numbers, shape (R, K): classes become ones and zeros."""
    rows = torch.from_numpy(np.ascontiguousarray(targets))
    if rows.ndim == 1 and not rows.is_floating_point():
        return functional.one_hot(rows.long().clamp_min(0)).double()
    return rows.double().reshape(len(rows), -1) if rows.ndim <= 2 else None


def _ridge(one: Tensor, other: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return outputs of both by readouts of the first: each half read by the other half's."""
    first, second = torch.zeros_like(wanted), torch.zeros_like(wanted)
    even = torch.arange(len(one)) % 2 == 0
    for fitted in (even, ~even):
        features, mean = one[fitted].double(), one[fitted].double().mean(dim=0)
        centred = features - mean
        gram = centred @ centred.T  # as many rows as samples, which are few
        penalty = _RIDGE * float(gram.diagonal().mean()) + 1e-12
        weights = centred.T @ torch.linalg.solve(
            gram + penalty * torch.eye(len(gram), dtype=gram.dtype), wanted[fitted]
        )
        first[~fitted] = (one[~fitted].double() - mean) @ weights
        second[~fitted] = (other[~fitted].double() - mean) @ weights
    return first, second
