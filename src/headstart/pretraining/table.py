"""The objectives of pretraining, a row each. Nothing is imported before it is used."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

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


def _read_texts(data: Data, options: PretrainingOptions) -> Corpus:
    from headstart.pretraining.texts import read_texts

    return read_texts(data, options)


def _hidden_words(corpus: Any, means: Givens) -> Learner:
    from headstart.pretraining.hidden_words import build_hidden_words

    return build_hidden_words(corpus, means)


def _next_words(corpus: Any, means: Givens) -> Learner:
    from headstart.pretraining.next_words import build_next_words

    return build_next_words(corpus, means)


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "mae": Objective("image", "scratch/vit-tiny", _read_images, _masked_pixels),
    "mlm": Objective("text", "scratch/bert-tiny", _read_texts, _hidden_words),
    "clm": Objective(
        "text",
        "scratch/gpt-tiny",
        _read_texts,
        _next_words,
        then="pretrain DATA --objective clm",
        is_encoder=False,
    ),
}


def command_after(objective: str, path: Path) -> str:
    """Return the command that uses a start that an objective has made."""
    then = OBJECTIVES[cast("ObjectiveName", objective)].then
    return f"headstart {then} --start {shlex.quote(str(path))}"


def find_objective(options: PretrainingOptions) -> Objective:
    """Return the row of the objective that was asked for; the options have been checked."""
    return OBJECTIVES[options.objective]
