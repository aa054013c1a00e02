"""Which starts are tried where nobody names any: one function a modality, in one table.

Only what needs no network: random weights, and pretrained starts that lie on this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from headstart.starts.catalog import find_start, local_starts
from headstart.tasks import find_task
from headstart.types import Dataset, Modality, Start


def _of_images(dataset: Dataset, num_local: int) -> list[Start]:
    """Return pixels, a small quick network, local starts, and the quick one with more channels."""
    if find_task(dataset.schema.task).matches_texts:
        return _pairs(num_local)
    local = sorted(local_starts("image"), key=_cost)
    # the quickest first: a usable model exists early
    quick = [find_start(f"scratch/{name}") for name in ("quick-cnn-small", "quick-cnn")]
    return [find_start("scratch/pixels"), quick[0], *local[:num_local], quick[1]]


def _pairs(num_local: int) -> list[Start]:
    """Return pairs of encoders: local starts of images, each with the smallest for texts.

    In front of them stands a small pair of random weights: no two encoders that were never brought
    together find more than chance, and of the small ones a model is there soonest.
    """
    images = [start.address for start in sorted(local_starts("image"), key=_cost)[:num_local]]
    texts = sorted(local_starts("text"), key=lambda start: start.num_parameters)
    text = texts[0].address if texts else "scratch/bert-tiny"
    small = "scratch/simple-cnn"
    pairs = [f"{small}+scratch/bert-tiny", *(f"{image}+{text}" for image in [*images, small])]
    return [one for one in map(find_start, dict.fromkeys(pairs)) if one.is_local]


def _of_texts(dataset: Dataset, num_local: int) -> list[Start]:
    """Return TF-IDF, then local starts, or a small BERT where its extra is installed.

    Where something is told of each word a linear tagger and a dictionary stand in the place of
    TF-IDF, where it is found in a text nothing does, and where a text is to be written, no encoder
    has anything to say.
    """
    if own := find_task(dataset.schema.task).plain_start:
        return [find_start(own)]
    pretrained = sorted(local_starts("text"), key=lambda s: s.num_parameters)[:num_local]
    small = find_start("scratch/bert-tiny")
    random = [small] if small.is_local and find_spec("transformers") else []
    task = find_task(dataset.schema.task)
    if task.tells_words:  # of a language that no start has read, too
        plain = [find_start(f"scratch/{name}") for name in ("linear-tagger", "dictionary")]
        return [*plain, *pretrained, *random]
    if task.finds_texts:
        return [*pretrained, *random]
    return [find_start("scratch/tfidf"), *(pretrained or random)]


def _of_tables(dataset: Dataset, num_local: int) -> list[Start]:
    """Return the linear model, trees and the MLP: a usable model first."""
    del num_local
    grown = () if dataset.schema.parts else ("boosting", "forest", "lightgbm")  # for one target
    names = ("linear", *grown, "mlp")
    found = [find_start(f"scratch/{name}") for name in names]
    return [start for start in found if start.is_local]  # an extra may bring one


def _cost(start: Start) -> tuple[int, int]:
    """Return what starts are ordered by, the quickest first."""
    return start.image.size if start.image else 0, start.num_parameters


@dataclass(frozen=True)
class Candidates:
    """What is tried of a modality where nobody names a start.

    Attributes:
        of: The starts for some data, of them so many pretrained ones of this machine at the most.
        plain: What a model without any pretraining reads: the control of a ranking.
        is_audited: Whether audits read its features where no pretrained start is here; of images
            they have some of their own, which tell small pictures apart better.
        library: What its pretrained starts are built by, which takes seconds to read; or None.
    """

    of: Callable[[Dataset, int], list[Start]]
    plain: str
    is_audited: bool = True
    library: str | None = None


CANDIDATES: dict[Modality, Candidates] = {
    "image": Candidates(_of_images, "scratch/pixels", is_audited=False, library="timm"),
    "text": Candidates(_of_texts, plain="scratch/tfidf", library="transformers"),
    "table": Candidates(_of_tables, plain="scratch/linear"),
}


def frozen_start(modality: Modality) -> Start | None:
    """Return the start whose frozen features say most of samples at the least cost, if any does.

    Args:
        modality: What a sample is.
    """
    if local := local_starts(modality):
        return min(local, key=_cost)
    return plain_start(modality)


def plain_start(modality: Modality) -> Start | None:
    """Return the start whose frozen features audits read without any network, if there is one.

    Args:
        modality: What a sample is.
    """
    row = CANDIDATES[modality]
    return find_start(row.plain) if row.is_audited else None


def candidate_starts(dataset: Dataset, num_local: int) -> list[Start]:
    """Return the starts that are tried for some data, in that order.

    Args:
        dataset: The data.
        num_local: How many pretrained starts of this machine, at the most; the smallest are taken.
    """
    return CANDIDATES[dataset.schema.modality].of(dataset, num_local)
