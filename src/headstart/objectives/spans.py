"""The loss of answers that are found in a context: where they begin and where they end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from headstart.tasks import array_of
from headstart.tasks.found_spans import span_losses
from headstart.types import Rows
from headstart.types.ragged import IGNORED

if TYPE_CHECKING:
    from headstart.objectives.supervised import Wanted


def span_cross_entropy(logits: Tensor, wanted: Wanted) -> Tensor:
    """Return the mean cross-entropy of both ends of answers, over the windows of a batch.

    Told among are the tokens of the context and the one that stands for "no answer". Micro-batches
    are weighed by their windows (``Feed.weights``), so that a step's loss is the mean over all.

    Args:
        logits: Shape (M, T, 2), M windows.
        wanted: Targets int64, shape (B, 4 W), as ``QuestionTokens.told``, filled up with
            ``IGNORED``.
    """
    told = wanted.targets[wanted.targets != IGNORED].view(-1, 4)
    first, last, begin, end = told.unbind(1)
    place = torch.arange(logits.shape[1], device=logits.device)[None, :]
    may = ((place >= begin[:, None]) & (place < end[:, None])) | (place == 0)
    numbers = logits.float().masked_fill(~may[:, :, None], -math.inf)
    each = functional.cross_entropy(numbers, torch.stack((first, last), dim=1), reduction="none")
    return each.mean()


def each_question(logits: Rows, targets: Rows) -> np.ndarray:
    """Return the mean over the windows of each question."""
    each, rows = span_losses(logits, array_of(targets))
    num = np.bincount(rows, minlength=len(targets))
    found: np.ndarray = np.bincount(rows, each, len(targets)) / np.maximum(num, 1)
    return found


def whole_split(logits: Rows, targets: Rows) -> float:
    """Return the mean over all windows."""
    return float(span_losses(logits, array_of(targets))[0].mean())
