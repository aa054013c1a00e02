"""How well images and texts find one another: recall at 1, 5 and 10 in both directions.

An image asks for its texts among all texts that differ, a text for its image among all images; it
is found at k where one that is right stands among the k most alike. What is the same text is the
same answer: of images that share a caption each is right for it. Of equal likeness what is wrong
stands in front, so that a model which says the same of everything finds nothing.

Intervals count images (or groups of them) while what is searched stays as it is: recall falls as
more is searched, and these figures are of a search through as many.

Source:
    M. Hodosh et al., "Framing Image Description as a Ranking Task", JAIR 2013 (recall at k);
    F. Faghri et al., "VSE++", BMVC 2018 (both directions, a sum over all).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.clusters import as_groups
from headstart.evaluation.intervals import NUM_RESAMPLES
from headstart.evaluation.means import studentised_interval, unit_sums, within
from headstart.evaluation.records import Scores
from headstart.evaluation.shares import clustered_share, share_of

DEPTHS = (1, 5, 10)
TO_TEXT, TO_IMAGE = "image_to_text", "text_to_image"
MEAN_RECALL = "mean_recall"
_AT_ONCE = 8_000_000  # likenesses


def recall_name(direction: str, depth: int) -> str:
    """Return what a figure is called: ``image_to_text_r1``."""
    return f"{direction}_r{depth}"


FIGURES = tuple(recall_name(way, depth) for way in (TO_TEXT, TO_IMAGE) for depth in DEPTHS)


@dataclass(frozen=True, eq=False)
class Ranks:
    """At which place the first right answer to each image and to each text stands, from 1 on.

    Attributes:
        of_images: Among the texts, int64, shape (N,).
        of_texts: Among the images, int64, shape (M,).
        owners: Image of each text, int64, shape (M,).
    """

    of_images: np.ndarray
    of_texts: np.ndarray
    owners: np.ndarray

    def quantities(self) -> np.ndarray:
        """Return what each image adds to the figures, float64, shape (7, N).

        Whether it finds a text at each depth; how many texts it has; how many of these find it.
        """
        num = len(self.of_images)
        found = [self.of_images <= depth for depth in DEPTHS]
        finding = [
            np.bincount(self.owners, self.of_texts <= depth, minlength=num) for depth in DEPTHS
        ]
        counts = np.bincount(self.owners, minlength=num)
        return np.stack([*found, counts, *finding]).astype(np.float64)


def rank_pairs(
    images: np.ndarray, texts: np.ndarray, owners: np.ndarray, same: np.ndarray
) -> Ranks:
    """Return at which places images and texts find one another.

    Args:
        images: Embeddings, float32, shape (N, P), N at least 1; a likeness is a dot product.
        texts: The same of the texts, shape (M, P); each image has at least one.
        owners: Image of each text, int64, shape (M,).
        same: A number of each text, the same for texts that are the same, shape (M,).

    Raises:
        OptionError: Shapes differ, or an image has no text.
    """
    num, codes = len(images), np.unique(same, return_inverse=True)[1].reshape(-1)
    if len(texts) != len(owners) or len(texts) != len(same) or images.shape[1:] != texts.shape[1:]:
        raise OptionError(
            f"There are {images.shape} images and {texts.shape} texts with {len(owners)} owners; "
            "expected embeddings of one width and an image for each text. Give as many."
        )
    if not num or len(np.unique(owners)) != num:
        raise OptionError(
            f"Of {num} images {len(np.unique(owners))} have a text; expected one at least for "
            "each. Leave out images without a caption."
        )
    first = np.unique(codes, return_index=True)[1]
    different, num_texts = texts[first], len(first)
    pairs = np.unique(owners.astype(np.int64) * num_texts + codes)
    rows, columns = pairs // num_texts, pairs % num_texts
    bounds = np.searchsorted(rows, np.arange(num + 1))
    best_of_text = np.full(num_texts, -np.inf, np.float32)
    of_images, ahead = np.zeros(num, np.int64), np.zeros(num_texts, np.int64)
    size = max(1, _AT_ONCE // max(1, num_texts))
    parts = [(start, min(start + size, num)) for start in range(0, num, size)]

    def likeness(start: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        some = slice(bounds[start], bounds[end])
        with np.errstate(all="ignore"):  # of a diverged model: nothing is found
            return images[start:end] @ different.T, rows[some] - start, columns[some]

    for start, end in parts:
        alike, row, column = likeness(start, end)
        own = alike[row, column]
        np.fmax.at(best_of_text, column, own)
        best = np.full(end - start, -np.inf, np.float32)
        np.fmax.at(best, row, own)
        is_ahead = ~(alike < best[:, None])  # also what is no number
        is_ahead[row, column] = False
        of_images[start:end] = 1 + is_ahead.sum(axis=1)
    for start, end in parts:
        alike, row, column = likeness(start, end)
        is_ahead = ~(alike < best_of_text[None, :])
        is_ahead[row, column] = False
        ahead += is_ahead.sum(axis=0)
    return Ranks(of_images, (1 + ahead)[codes], owners)


def score_retrieval(
    ranks: Ranks,
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    groups: np.ndarray | None = None,
) -> Scores:
    """Measure retrieval, every figure with its 95 % interval.

    Args:
        ranks: Of N images and M texts.
        seed: Of the bootstrap.
        num_resamples: At least 40, or 0 for no bootstrap.
        groups: Which images belong together, shape (N,), or None.

    Returns:
        Recall at 1, 5 and 10 from image to text and from text to image, and the mean of the six.
    """
    quantities = ranks.quantities()
    told = as_groups(groups, quantities.shape[1])
    units = unit_sums(quantities, told, seed)
    figures = {
        MEAN_RECALL: within(
            studentised_interval(units, _mean, num_resamples=num_resamples, seed=seed), 0.0, 1.0
        )
    }
    for place, depth in enumerate(DEPTHS):
        figures[recall_name(TO_TEXT, depth)] = share_of(quantities[place].astype(np.int64), told)
    for place, depth in enumerate(DEPTHS):
        # a bootstrap of few texts that are found has intervals of nearly all of [0, 1]
        hits, counts, name = quantities[4 + place], quantities[3], recall_name(TO_IMAGE, depth)
        if (counts == 1).all():
            figures[name] = share_of(hits.astype(np.int64), told)
            continue
        if told:
            hits, counts = (np.bincount(told.codes, each, told.num) for each in (hits, counts))
        figures[name] = clustered_share(hits, counts)
    return Scores(len(ranks.of_images), figures, num_groups=told.num if told else None)


def recalls(means: np.ndarray) -> dict[str, np.ndarray]:
    """Return every figure, by name, of sums or means of ``Ranks.quantities``.

    Args:
        means: Shape (8, R), the first being 1 or how many images they are of.
    """
    images, texts = np.maximum(means[0], 1e-12), np.maximum(means[4], 1e-12)
    found = {recall_name(TO_TEXT, d): means[1 + i] / images for i, d in enumerate(DEPTHS)}
    found |= {recall_name(TO_IMAGE, d): means[5 + i] / texts for i, d in enumerate(DEPTHS)}
    return {MEAN_RECALL: sum(found.values()) / len(found), **found}


def mean_and_error(ranks: Ranks) -> tuple[float, float]:
    """Return the mean recall and its standard error, each image counted once."""
    quantities = ranks.quantities()
    own = own_recall(ranks)
    value = recalls(np.concatenate(([[float(own.size)]], quantities.sum(axis=1)[:, None])))
    return float(value[MEAN_RECALL][0]), float(own.std()) / math.sqrt(max(1, len(own) - 1))


def own_recall(ranks: Ranks) -> np.ndarray:
    """Return the mean of the six recalls of each image by itself, float64, shape (N,)."""
    quantities = ranks.quantities()
    found: np.ndarray = np.concatenate((quantities[:3], quantities[4:] / quantities[3])).mean(0)
    return found


def _mean(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of six recalls, and its gradient by the means."""
    value = recalls(means)[MEAN_RECALL]
    gradient = np.zeros_like(means)
    gradient[1:4] = 1.0 / 6.0
    gradient[5:8] = 1.0 / (6.0 * means[4])
    gradient[4] = -means[5:8].sum(axis=0) / (6.0 * means[4] ** 2)
    return value, gradient
