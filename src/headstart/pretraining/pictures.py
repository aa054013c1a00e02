"""Held-out images for the report: as they are, what of them was seen, and what was told."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from torch import Tensor

from headstart.pretraining.objective import Passage, Shown

_GREY = 0.5  # of what is hidden
_LEAST_SIDE = 84  # pixels of a picture: smaller ones are enlarged by whole numbers


def as_shown(name: str, pictures: dict[str, Tensor]) -> Shown:
    """Return one image, picture by picture.

    Args:
        name: Of the image.
        pictures: Caption to pixels, floats (C, S, S), of which 0 is black and 1 is white.
    """
    passages = [Passage(text, "png", encoded(picture)) for text, picture in pictures.items()]
    return Shown(name, tuple(passages))


def hide(patches: Tensor, hidden: Tensor) -> Tensor:
    """Return patches (T, P) in [0, 1], of which the hidden ones are grey."""
    found = patches.clone()
    found[hidden] = _GREY
    return found


def encoded(picture: Tensor) -> str:
    """Return floats (C, S, S) in [0, 1] as a PNG in base64, enlarged where they are few."""
    from PIL import Image

    pixels = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    times = max(1, -(-_LEAST_SIDE // pixels.shape[0]))
    large = pixels.repeat(times, axis=0).repeat(times, axis=1)
    image = Image.fromarray(
        np.ascontiguousarray(large.squeeze(2) if large.shape[2] == 1 else large)
    )
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
