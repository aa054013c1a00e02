"""Which starts are tried where nobody names any: one function a modality, in one table.

Only what needs no network: random weights, and pretrained starts that lie on this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from headstart.starts.catalog import find_start, list_starts
from headstart.types import Dataset, Modality, Start

_SMALL_SIDE = 64  # pixels: the textbook network was made for images up to this
_UNKNOWN = (224, 224)  # height and width where nobody has looked


def _of_images(dataset: Dataset, num_local: int) -> list[Start]:
    """Return the textbook network where images are small, local starts, and a random ResNet-18."""
    local = _local("image")
    local.sort(key=lambda s: (s.image.size if s.image else 0, s.num_parameters))
    # the quickest first: a usable model exists early
    is_small = min(dataset.image_size or _UNKNOWN) <= _SMALL_SIDE
    textbook = [find_start("scratch/simple-cnn")] if is_small else []
    return [*textbook, *local[:num_local], find_start("scratch/resnet18")]


def _of_texts(dataset: Dataset, num_local: int) -> list[Start]:
    """Return TF-IDF, then local starts, or a small BERT where its extra is installed."""
    del dataset
    pretrained = sorted(_local("text"), key=lambda s: s.num_parameters)[:num_local]
    if not pretrained:
        small = find_start("scratch/bert-tiny")
        pretrained = [small] if small.is_local and find_spec("transformers") else []
    return [find_start("scratch/tfidf"), *pretrained]


def _of_tables(dataset: Dataset, num_local: int) -> list[Start]:
    """Return the linear model and the MLP."""
    del dataset, num_local
    return [find_start("scratch/linear"), find_start("scratch/mlp")]


def _local(modality: Modality) -> list[Start]:
    """Return the pretrained starts that are on this machine."""
    return [s for s in list_starts(modality) if s.is_local and s.pretrained_on is not None]


CANDIDATES: dict[Modality, Callable[[Dataset, int], list[Start]]] = {
    "image": _of_images,
    "text": _of_texts,
    "table": _of_tables,
}


def candidate_starts(dataset: Dataset, num_local: int) -> list[Start]:
    """Return the starts that are tried for some data, in that order.

    Args:
        dataset: The data.
        num_local: How many pretrained starts of this machine, at the most; the smallest are taken.
    """
    return CANDIDATES[dataset.schema.modality](dataset, num_local)
