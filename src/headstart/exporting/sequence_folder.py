"""Models that write as folders for transformers: ``AutoModelForSeq2SeqLM.from_pretrained(folder)``.

What was trained is transformers' own class, the small start from scratch included, so that nothing
is rebuilt: weights, configuration and tokenizer are written, read back, and compared by the logits
of texts with their answers. How texts are written goes along (``generation_config.json``).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from headstart.errors import ExportError
from headstart.exporting.folder import building, check_same, refuse_occupied
from headstart.exporting.transformers_files import WrittenFolder, write_files
from headstart.extras import quiet_transformers, require_text_extra
from headstart.model import Model
from headstart.preprocessing import SequencePreprocess, SequenceTokens
from headstart.starts.lora import merge_lora
from headstart.starts.texts.sequences import SequenceNetwork, search_of
from headstart.tensors import evaluating


def export_sequences(model: Model, folder: str | Path, *, texts: Sequence[str]) -> Path:
    """Write a model that writes texts as a folder that transformers loads.

    Args:
        model: A model with an encoder–decoder of transformers; it is left as it is.
        folder: A new or empty folder.
        texts: Texts on which the folder has to give the model's logits.

    Raises:
        ExportError: If the model is no encoder–decoder, or what was written does not give the same
            logits; then nothing is left behind.
    """
    target, preprocess = Path(folder), model.encoder.preprocess
    if not isinstance(preprocess, SequencePreprocess):
        raise ExportError(
            f"The model from '{model.encoder.start.address}' is no encoder–decoder. Expected one "
            "that headstart built. Answer with 'headstart predict'."
        )
    refuse_occupied(target)
    require_text_extra("The export", "transformers", "tokenizers")
    encoder = deepcopy(model.encoder).cpu()
    merge_lora(encoder)
    network = encoder.network
    assert isinstance(network, SequenceNetwork)
    whole = network.model.eval()
    with building(target) as partial, quiet_transformers():
        whole.generation_config = search_of(whole.config, preprocess.telling)
        write_files(whole, preprocess.tokenizer, partial)
        _check(model, preprocess, partial, target, texts)
    return target


def _check(
    model: Model,
    preprocess: SequencePreprocess,
    partial: Path,
    target: Path,
    texts: Sequence[str],
) -> None:
    """Load what was written as a user would, and compare the logits of what is written."""
    from transformers import AutoModelForSeq2SeqLM

    written = WrittenFolder(AutoModelForSeq2SeqLM, partial, target)
    inputs = preprocess.read(list(texts))
    assert isinstance(inputs, SequenceTokens)
    found, expected = [], []
    with evaluating(model):
        for place in range(len(inputs)):
            ids, mask = (torch.from_numpy(a) for a in inputs.arrays(np.array([place])))
            told = written.read(str(inputs.sources[place]), ids[0].numpy())
            begin = torch.full((1, 1), preprocess.begin_id)
            before = torch.cat([begin, ids[:, :-1]], dim=1)  # some text: the one that it reads
            given = {"input_ids": told["input_ids"], "attention_mask": told["attention_mask"]}
            found.append(written.model(**given, decoder_input_ids=before).logits[0])
            own = (each.to(model.device) for each in (ids, mask, before))
            expected.append(model(*own)[0].cpu())
    check_same(torch.cat(found), torch.cat(expected), target)
