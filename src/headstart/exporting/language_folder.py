"""Pretrained starts for texts as folders that transformers loads by itself.

``AutoModelForMaskedLM.from_pretrained(folder)``, of a decoder ``AutoModelForCausalLM``'s, gives the
logits that the start had when it was learned, and the tokenizer beside it the same ids. The folder
is a start of headstart's, too: a folder of transformers with a head over its vocabulary.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from headstart.errors import ExportError
from headstart.exporting.folder import building, check_same, refuse_occupied
from headstart.exporting.transformers_files import WrittenFolder, write_files
from headstart.exporting.transformers_folder import SAMPLE_TEXTS
from headstart.extras import quiet_transformers, require_text_extra
from headstart.model.pretrained import Pretrained
from headstart.model.words import LanguageModel
from headstart.preprocessing import TokenPreprocess
from headstart.preprocessing.tokens import TextTokenizer
from headstart.starts.texts.networks import TextNetwork
from headstart.starts.texts.word_heads import Kind, build_head, language_model
from headstart.tensors import evaluating

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KINDS: dict[str, Kind] = {"mlm": "masked", "clm": "causal"}


def export_language(found: Pretrained, folder: str | Path) -> Path:
    """Write a pretrained start for texts as a folder that transformers loads.

    Args:
        found: Of objective mlm or clm; left as it is.
        folder: A new or empty folder.

    Returns:
        The folder.

    Raises:
        ExportError: If the folder is occupied or not writable, or what was written does not give
            the same token ids and logits; then nothing is left behind.
    """
    target = Path(folder)
    refuse_occupied(target)
    require_text_extra("The export", "transformers", "tokenizers")
    encoder = found.encoder
    kind = KINDS[str(found.record["objective"])]
    preprocess, network = encoder.preprocess, encoder.network
    assert isinstance(preprocess, TokenPreprocess)
    assert isinstance(network, TextNetwork)
    head = build_head(network.model, kind, encoder.start.address)
    own = {name.removeprefix("head."): tensor for name, tensor in found.own.items()}
    try:
        missing = head.load_state_dict(own, strict=False)
    except RuntimeError as error:
        raise _damaged(target, str(error)) from error
    lacking = set(missing.missing_keys) - {f"whole.{name}" for name in head.tied_names}
    if lacking or missing.unexpected_keys:
        raise _damaged(target, sorted([*lacking, *missing.unexpected_keys])[0])
    model = LanguageModel(encoder, head).eval()
    with building(target) as partial, quiet_transformers():
        whole = _assemble(model, kind)
        write_files(whole, preprocess.tokenizer, partial)
        _check(model, preprocess.tokenizer, kind, partial, target)
    return target


def _damaged(target: Path, what: str) -> ExportError:
    return ExportError(
        f"The start cannot be exported to {target}: its head over the vocabulary does not fit "
        f"({what}). Expected what headstart wrote. Run the pretraining again."
    )


def _assemble(model: LanguageModel, kind: Kind) -> PreTrainedModel:
    """Return transformers' language model with the start's weights."""
    network = model.encoder.network
    assert isinstance(network, TextNetwork)
    whole = language_model(deepcopy(network.model.config), kind, model.encoder.start.address)
    whole.base_model.load_state_dict(network.model.state_dict(), strict=True)
    weights = {n.removeprefix("whole."): t for n, t in model.head.state_dict().items()}
    whole.load_state_dict(weights, strict=False)
    whole.tie_weights()
    if kind == "causal":
        whole.generation_config.pad_token_id = whole.config.pad_token_id
    return whole.eval()


def _check(
    model: LanguageModel, tokenizer: TextTokenizer, kind: Kind, partial: Path, target: Path
) -> None:
    """Load what was written as a user would, and compare ids and logits text by text."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    auto = AutoModelForMaskedLM if kind == "masked" else AutoModelForCausalLM
    written = WrittenFolder(auto, partial, target)
    texts = [text for text in SAMPLE_TEXTS if text]
    ids, _ = tokenizer.encode(texts)
    found, expected = [], []
    with evaluating(model):
        for text, own in zip(texts, ids, strict=True):
            written.read(text, own)
            tokens = torch.from_numpy(own).to(torch.int64)[None]
            mask = torch.ones_like(tokens)
            found.append(written.model(input_ids=tokens, attention_mask=mask).logits[0])
            expected.append(_logits(model, tokens, mask))
    check_same(torch.cat(found), torch.cat(expected), target)


def _logits(model: LanguageModel, tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the start's own logits of a text, shape (T, V)."""
    states = model.encoder.tokens(tokens, mask)
    found: Tensor = model.head(states[0])
    return found
