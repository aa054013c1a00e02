"""The symmetric contrastive loss of images and texts: each is to tell its own from all others.

Networks that judge each pair by itself (SigLIP) learn by that; of val all are judged alike.

The loss is over a whole step: every image of it against every text, over all micro-batches and all
processes; it is no mean over parts (``training.whole_step`` brings them together). What is true of
an image is no negative of it: its other captions, the same caption of another image, the captions
of a copy of it.

Source:
    A. van den Oord et al. 2018 (InfoNCE); A. Radford et al., ICML 2021 (CLIP, both directions and a
    learned temperature); P. Khosla et al., NeurIPS 2020, eq. 2 (of several positives each stands
    against the negatives, and the mean is outside the logarithm; here the other positives are left
    out of the denominator).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from headstart.tasks.retrieval import Embedded
from headstart.types import Ragged, Rows
from headstart.types.captions import captions_of, text_number
from headstart.types.ragged import IGNORED

if TYPE_CHECKING:
    from headstart.objectives.supervised import Wanted

_NEVER = -1e4  # a logit that is left out; finite, so that a step without negatives has gradients
_AT_ONCE = 1_024  # images of a split that are held against one another


@dataclass(frozen=True)
class Told:
    """Which image is which, and which text is whose.

    Attributes:
        images: int64, shape (B,), the same for copies of an image.
        texts: int64, shape (M,), the same for texts that are the same.
        owners: int64, shape (M,), image of each text.
    """

    images: Tensor
    texts: Tensor
    owners: Tensor

    @classmethod
    def of(cls, targets: Tensor) -> Told:
        """Read the targets of a batch.

        Args:
            targets: int64, shape (B, 1 + C): a number of each image, then those of its texts,
                filled up with ``IGNORED``.
        """
        texts = targets[:, 1:]
        owners, _ = (texts != IGNORED).nonzero(as_tuple=True)
        return cls(targets[:, 0], texts[texts != IGNORED], owners)


def contrastive_loss(rows: Tensor, wanted: Wanted) -> Tensor:
    """Return the loss of a whole step.

    Args:
        rows: Embeddings of B images, the temperature in them, then of M texts, shape (B + M, P).
        wanted: Targets as ``Told.of`` takes them.
    """
    told = Told.of(wanted.targets)
    num = len(told.images)
    if wanted.judges_pairs:
        return _of_pairs(rows[:num], rows[num:], told)
    return _of_images(rows[:num], rows[num:], told).mean()


def _of_pairs(images: Tensor, texts: Tensor, told: Told) -> Tensor:
    """Return the loss of a step whose pairs are each judged by themselves, a text at a time.

    A pair that is true without being an image's own caption is neither right nor wrong.

    Source:
        X. Zhai et al., ICCV 2023 (SigLIP), equation 1; of several captions an image each is right.
    """
    alike = images.float() @ texts.float().T
    own, known = _true_pairs(told, len(images))
    signs = own.float() * 2 - 1
    losses = -functional.logsigmoid(signs * alike)
    return losses.masked_fill(known & ~own, 0.0).sum() / len(texts)


def _true_pairs(told: Told, num: int) -> tuple[Tensor, Tensor]:
    """Return which texts are each image's own, and which are true of it, bool, shape (B, M)."""
    owners = told.owners
    own = torch.arange(num, device=owners.device)[:, None] == owners[None, :]
    same_text = (told.texts[:, None] == told.texts[None, :]).float()
    same_image = told.images[:, None] == told.images[owners][None, :]
    return own, same_image | ((own.float() @ same_text) > 0)


def _of_images(images: Tensor, texts: Tensor, told: Told) -> Tensor:
    """Return the loss of each image: of it among texts, of its texts among images, their mean."""
    alike = images.float() @ texts.float().T
    num, owners = len(images), told.owners
    _, known = _true_pairs(told, num)
    others = alike.masked_fill(known, _NEVER)
    right = alike[owners, torch.arange(len(owners), device=owners.device)]
    of_image = functional.softplus(torch.logsumexp(others, dim=1)[owners] - right)
    of_text = functional.softplus(torch.logsumexp(others, dim=0) - right)
    counts = torch.bincount(owners, minlength=num).clamp_min(1)
    summed = torch.zeros(num, dtype=alike.dtype, device=alike.device)
    summed = summed.index_add(0, owners, (of_image + of_text) / 2)
    return summed / counts


def each_image(rows: Rows, targets: Rows) -> np.ndarray:
    """Return the loss of each image of a split among 1,024 of them at the most, float64, (N,).

    Args:
        rows: Embeddings, as a model gives them.
        targets: Object array of N ``Captions``.
    """
    assert isinstance(rows, Ragged)
    given = captions_of(targets)
    losses = []
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found = Embedded.of(rows[part])
        numbers = [text_number(text) for one in given[part] for text in one.texts]
        told = Told(
            torch.arange(len(found.images)),
            torch.tensor(numbers, dtype=torch.int64),
            torch.from_numpy(found.owners),
        )
        images, texts = torch.from_numpy(found.images), torch.from_numpy(found.texts)
        losses.append(_of_images(images, texts, told).double().numpy())
    joined: np.ndarray = np.concatenate(losses)
    return joined


def mean_over_images(rows: Rows, targets: Rows) -> float:
    """Return the mean of ``each_image``."""
    return float(each_image(rows, targets).mean())
