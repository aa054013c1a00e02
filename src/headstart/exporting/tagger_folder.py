"""Models that tell of words as folders for transformers' token classifiers.

``AutoModelForTokenClassification.from_pretrained(folder)`` gives the model's logits of each token;
those of the first token of a word are what headstart tells of it, so
``pipeline("token-classification", model=folder, aggregation_strategy="first")`` finds entities.
Left out: the windows in which headstart reads long texts (transformers cuts them), and the rule
that no entity goes on with nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from headstart.errors import ExportError
from headstart.exporting.folder import building, check_same, refuse_occupied
from headstart.exporting.transformers_files import (
    WrittenFolder,
    assemble,
    set_labels,
    write_files,
)
from headstart.extras import quiet_transformers, require_text_extra
from headstart.model import Model
from headstart.preprocessing import WordPreprocess, WordTokens
from headstart.tensors import evaluating

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CLASSIFIER = "classifier"
_SHORT = 4  # words of a text that fit any window


def export_tagger(model: Model, folder: str | Path, *, texts: Sequence[str]) -> Path:
    """Write a model that tells of words as a folder that transformers loads.

    Args:
        model: A model with a transformers encoder; it is left as it is.
        folder: A new or empty folder.
        texts: Texts on which the folder has to give the model's logits.

    Raises:
        ExportError: If transformers has no token classifier for its encoder, or what was written
            does not give the same logits; then nothing is left behind.
    """
    target, preprocess = Path(folder), model.encoder.preprocess
    if not isinstance(preprocess, WordPreprocess):
        raise ExportError(
            f"The model from '{model.encoder.start.address}' reads words without tokens, of which "
            "transformers has no class. Expected a transformers encoder. Export it with --to "
            "onnx, or fine-tune from an encoder such as 'pip/all-minilm-l6-v2'."
        )
    refuse_occupied(target)
    require_text_extra("The export", "transformers", "tokenizers")
    whole = _assembled(model)
    with building(target) as partial, quiet_transformers():
        write_files(whole, preprocess.tokenizer, partial)
        _check(model, preprocess, partial, target, list(texts))
    return target


def _assembled(model: Model) -> PreTrainedModel:
    """Return transformers' token classifier with the model's weights."""
    from transformers import AutoModelForTokenClassification

    return assemble(
        model,
        AutoModelForTokenClassification,
        _CLASSIFIER,
        what="token classifier",
        configure=lambda config: set_labels(config, model, model.schema.classes),
    )


def _check(
    model: Model, preprocess: WordPreprocess, partial: Path, target: Path, texts: list[str]
) -> None:
    """Load what was written as a user would, and compare the logits of each word."""
    from transformers import AutoModelForTokenClassification

    written = WrittenFolder(AutoModelForTokenClassification, partial, target)
    # long ones are read in windows here and cut there: their first words are compared
    short = [" ".join(text.split()[:_SHORT]) for text in texts]
    inputs = preprocess.read([*texts, *short])
    assert isinstance(inputs, WordTokens)
    found, expected = [], []
    with evaluating(model):
        for place in np.flatnonzero(inputs.lengths <= preprocess.max_length).tolist():
            arrays = inputs.arrays(np.array([place]))
            ids, mask, firsts = (torch.from_numpy(np.asarray(a)) for a in arrays)
            told = written.read(str(inputs.sentences[place]), arrays[0][0])
            found.append(written.model(**told).logits[0, firsts[0]])
            device = model.device
            expected.append(model(ids.to(device), mask.to(device), firsts.to(device))[0].cpu())
    if not found:
        raise ExportError(
            f"No text fits the {preprocess.max_length} tokens that the model reads at once, and "
            "nothing could be compared. Train it with a larger --max-length."
        )
    check_same(torch.cat(found), torch.cat(expected), target)
