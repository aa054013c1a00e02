"""The objectives of pretraining, a row each. Nothing is imported before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headstart.pretraining.objective import Objective
from headstart.types import Data

if TYPE_CHECKING:
    from headstart.pretraining.objective import Corpus, Givens, Learner
    from headstart.training.options.pretraining_options import ObjectiveName, PretrainingOptions


def _read_images(data: Data, options: PretrainingOptions) -> Corpus:
    from headstart.pretraining.images import read_images

    return read_images(data, options)


def _masked_pixels(corpus: Any, means: Givens) -> Learner:
    from headstart.pretraining.building import build_pixels

    return build_pixels(corpus, means)


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "mae": Objective("image", "scratch/vit-tiny", _read_images, _masked_pixels),
}


def find_objective(options: PretrainingOptions) -> Objective:
    """Return the row of the objective that was asked for; the options have been checked."""
    return OBJECTIVES[options.objective]
