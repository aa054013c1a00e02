"""Models that find answers as folders for transformers' question answering.

``AutoModelForQuestionAnswering.from_pretrained(folder)`` gives the model's two logits of each
token. Left out: the lead that an answer must have over "no answer", which stands in the
configuration (``headstart``), and the search over every allowed span: transformers looks at the
best few beginnings and ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from headstart.exporting.folder import building, check_same, refuse_occupied
from headstart.exporting.transformers_files import WrittenFolder, assemble, write_files
from headstart.extras import quiet_transformers, require_text_extra
from headstart.model import Model
from headstart.preprocessing import QuestionPreprocess, QuestionTokens
from headstart.tensors import evaluating, to_tensors
from headstart.types import TextPair

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_HEAD = "qa_outputs"
_SHORT = (6, 3, 1)  # words of a question, and of a context, that fit most windows


def export_reader(model: Model, folder: str | Path, *, pairs: Sequence[TextPair]) -> Path:
    """Write a model that finds answers as a folder that transformers loads.

    Args:
        model: A model with a transformers encoder; it is left as it is.
        folder: A new or empty folder.
        pairs: Questions with contexts on which the folder has to give the model's logits.

    Raises:
        ExportError: If transformers has no question answering for its encoder, or what was written
            does not give the same logits; then nothing is left behind.
    """
    target, preprocess = Path(folder), model.encoder.preprocess
    assert isinstance(preprocess, QuestionPreprocess)  # as ``check_words`` has seen to
    refuse_occupied(target)
    require_text_extra("The export", "transformers", "tokenizers")
    whole = _assembled(model)
    names = [one.name for one in preprocess.inputs]
    with building(target) as partial, quiet_transformers():
        write_files(whole, preprocess.tokenizer, partial, names=names)
        _check(model, preprocess, partial, target, pairs)
    return target


def _assembled(model: Model) -> PreTrainedModel:
    """Return transformers' question answering with the model's weights."""
    from transformers import AutoModelForQuestionAnswering

    deciding = model.task.deciding

    def configure(config: PretrainedConfig) -> None:
        config.num_labels = 2
        config.headstart = {"least_lead": deciding.least_lead, "most_tokens": deciding.most_tokens}

    return assemble(
        model,
        AutoModelForQuestionAnswering,
        _HEAD,
        what="question answering",
        configure=configure,
    )


def _check(
    model: Model,
    preprocess: QuestionPreprocess,
    partial: Path,
    target: Path,
    pairs: Sequence[TextPair],
) -> None:
    """Load what was written as a user would, and compare the logits of each token."""
    from transformers import AutoModelForQuestionAnswering

    written = WrittenFolder(AutoModelForQuestionAnswering, partial, target)
    # long ones are read in windows here and cut there: their beginnings are compared
    short = [
        TextPair(*(" ".join(side.split()[:num]) for side in (pair.first, pair.second)))
        for num in _SHORT
        for pair in pairs
    ]
    inputs = preprocess.read([*pairs, *short])
    assert isinstance(inputs, QuestionTokens)
    names = [one.name for one in preprocess.inputs]
    found, expected = [], []
    with evaluating(model):
        for place in np.flatnonzero((inputs.windows.lengths == 1) & ~inputs.are_cut).tolist():
            arrays = inputs.arrays(np.array([place]))
            own = {name: torch.from_numpy(one) for name, one in zip(names, arrays, strict=True)}
            told = written.model(**written.read_as(inputs.texts[place], own))
            found.append(torch.stack((told.start_logits[0], told.end_logits[0]), dim=1))
            expected.append(model(*to_tensors(arrays, model.device))[0].cpu())
    assert found, "a word of a question and one of a context fit any window"
    check_same(torch.cat(found), torch.cat(expected), target)
