"""Text models as folders that transformers loads by itself.

``AutoModelForSequenceClassification.from_pretrained(folder)`` and ``pipeline("text-classification",
model=folder)`` give the model's logits: head and encoder become one sequence classifier, adapters
are merged, the tokenizer lies beside it. Its ``model_max_length`` is the length that the model was
trained with; transformers cuts texts only where it is told to (``truncation=True``).

The logits are the model's own, before the temperature that calibrates its probabilities; that
number is in ``config.json`` under ``headstart``. For a regression the scale of the targets is put
into the last layer, so that the folder gives values in the targets' units.

No classifier of transformers averages hidden states. A model that does becomes its encoder, for
``AutoModel``, with the head beside it in ``head.safetensors``, and ``README.md`` has the lines that
give the logits; these are what is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from headstart import events
from headstart.errors import ExportError
from headstart.exporting.folder import building, check_same, refuse_occupied
from headstart.exporting.reader_folder import export_reader
from headstart.exporting.sequence_folder import export_sequences
from headstart.exporting.tagger_folder import export_tagger
from headstart.exporting.transformers_files import WrittenFolder, set_labels, write_files
from headstart.extras import quiet_transformers, require_text_extra
from headstart.model import Model
from headstart.preprocessing import TermPreprocess, TokenPreprocess
from headstart.preprocessing.tokens import TextTokenizer
from headstart.starts.lora import merge_lora
from headstart.starts.texts.configs import classifier_name
from headstart.starts.texts.networks import TextNetwork, make_classifier
from headstart.tensors import evaluating
from headstart.types import TextPair, are_pairs

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_HEAD = "head.safetensors"
_WHY = "no classifier of transformers averages hidden states"
_README = """# An encoder of transformers with a head of its own

The model averages the last hidden states of a text; no classifier of transformers does. These lines
give its logits; what they are called stands in `config.json` as `id2label`.

```python
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

tokenizer, encoder = AutoTokenizer.from_pretrained(FOLDER), AutoModel.from_pretrained(FOLDER)
head = load_file(f"{FOLDER}/head.safetensors")


@torch.no_grad()
def logits_of(*texts):  # a list of texts; of pairs a list of first and a list of second ones
    read = tokenizer(*texts, truncation=True, padding=True, return_tensors="pt")
    hidden, mask = encoder(**read).last_hidden_state, read["attention_mask"][..., None]
    return (hidden * mask).sum(1) / mask.sum(1) @ head["weight"].T + head["bias"]
```
"""
# Compared when the caller gives no texts: short, long, empty, other scripts, odd characters.
SAMPLE_TEXTS = (
    "A warm, funny film that never talks down to its audience.",
    "what is the capital of France ?",
    "",
    "NO!!! £5 for a txt? call 0800-123-456 now :-(",
    "这家酒店的服务很好,房间也很干净。",
    "Grüße aus Zürich – naïve café, ½ price\tand a\nnew line 🙂",
    "one two three four five six seven eight nine ten " * 60,
)


def export_transformers(
    model: Model, folder: str | Path, *, texts: Sequence[str] | None = None
) -> Path:
    """Write a text model as a folder that transformers loads.

    Args:
        model: A model with a transformers encoder; it is left as it is.
        folder: A new or empty folder.
        texts: Texts on which the folder has to give the model's logits; None takes a few of
            headstart's own.

    Returns:
        The folder.

    Raises:
        ExportError: If the model cannot be written in this form, the folder is occupied or not
            writable, or what was written does not give the same token ids and logits; then
            nothing is left behind.
    """
    if model.task.tells_texts:
        some = [text for text in texts or SAMPLE_TEXTS if text.strip()]
        return export_sequences(model, folder, texts=some)
    if model.task.finds_texts:
        pairs = [pair for pair in _compared(model, texts) if isinstance(pair, TextPair)]
        return export_reader(model, folder, pairs=pairs)
    if model.task.tells_words:
        return export_tagger(model, folder, texts=[text for text in texts or SAMPLE_TEXTS if text])
    target = Path(folder)
    network, tokenizer = _require_encoder(model)
    refuse_occupied(target)
    require_text_extra("The export", "transformers", "tokenizers")
    is_averaged = network.pooling == "mean"
    whole = _bare(model) if is_averaged else _assemble(model, network)
    with building(target) as partial, quiet_transformers():
        names = [one.name for one in _preprocess(model).inputs]
        write_files(whole, tokenizer, partial, names=names)
        if is_averaged:
            weight, bias = _head_in_target_units(model)
            save_file({"weight": weight.contiguous(), "bias": bias}, partial / _HEAD)
            (partial / "README.md").write_text(_README, encoding="utf-8")
        _check(model, partial, target, _compared(model, texts))
    if is_averaged:
        events.emit("note", text=f"{target}/README.md has the lines that give the logits: {_WHY}.")
    return target


def _require_encoder(model: Model) -> tuple[TextNetwork, TextTokenizer]:
    """Return the parts of a model that can be exported, or say why it cannot."""
    encoder = model.encoder
    address, network, preprocess = encoder.start.address, encoder.network, encoder.preprocess
    if not isinstance(preprocess, TermPreprocess | TokenPreprocess):
        raise ExportError(
            f"The model from '{address}' reads {encoder.start.modality}. Expected a text model for "
            f"transformers. Image models from timm can be exported for timm."
        )
    if isinstance(preprocess, TermPreprocess):
        raise ExportError(
            f"The model from '{address}' is TF-IDF with a linear layer, which transformers has no "
            f"class for. Expected a transformers encoder. Serve the run folder with headstart, or "
            f"fine-tune from an encoder such as 'pip/all-minilm-l6-v2'."
        )
    if not model.task.transformers_problem:
        raise ExportError(
            f"The model from '{address}' is a {model.task.name}, which transformers' sequence "
            f"classifiers cannot say. Serve the run folder with headstart."
        )
    if not isinstance(network, TextNetwork) or not isinstance(preprocess, TokenPreprocess):
        raise ExportError(
            f"The model from '{address}' has no transformers encoder. Expected one that headstart "
            f"built. Serve the run folder with headstart."
        )
    return network, preprocess.tokenizer


def _bare(model: Model) -> PreTrainedModel:
    """Return the encoder alone, adapters merged; its configuration says what the head tells."""
    plain = _merged(model)
    _configure(plain.model.config, model)
    return plain.model.eval()


def _merged(model: Model) -> TextNetwork:
    """Return a copy of the network on the CPU, adapters merged."""
    encoder = deepcopy(model.encoder).cpu()
    merge_lora(encoder)
    assert isinstance(encoder.network, TextNetwork)
    return encoder.network


def _configure(config: PretrainedConfig, model: Model) -> None:
    schema = model.schema
    set_labels(config, model, schema.classes or [schema.label or "value"])
    config.problem_type = model.task.transformers_problem
    config.headstart["max_length"] = _preprocess(model).max_length


def _assemble(model: Model, network: TextNetwork) -> PreTrainedModel:
    """Return transformers' sequence classifier with the model's weights, adapters merged."""
    plain = _merged(model)
    config = deepcopy(network.model.config)
    _configure(config, model)
    name = classifier_name(config)
    whole = make_classifier(config)
    weight, bias = _head_in_target_units(model)
    state = dict(plain.model.state_dict())
    state.update({f"{name}.weight": weight, f"{name}.bias": bias})
    if not isinstance(whole.get_submodule(name), nn.Linear) or state.keys() != (
        whole.state_dict().keys()
    ):
        wrong = sorted(state.keys() ^ whole.state_dict().keys())
        raise ExportError(
            f"The weights of '{model.encoder.start.address}' do not fit transformers' "
            f"{type(whole).__name__} ('{wrong[0] if wrong else name}'). Expected the same names. "
            f"Use the transformers release that the model was trained with."
        )
    whole.load_state_dict(state, strict=True)
    return whole.eval()


def _head_in_target_units(model: Model) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the head; of numbers they give values, not standard units."""
    weight = model.head.weight.detach().cpu().float()
    bias = model.head.bias.detach().cpu().float()
    return weight * model.target_scale, bias * model.target_scale + model.target_mean


def _preprocess(model: Model) -> TokenPreprocess:
    preprocess = model.encoder.preprocess
    assert isinstance(preprocess, TokenPreprocess)
    return preprocess


def _compared(model: Model, texts: Sequence[str] | None) -> list[str]:
    """Return the texts on which a folder is compared; of pairs, each with the one before it."""
    given = list(texts or SAMPLE_TEXTS)
    if not _preprocess(model).is_pair or are_pairs(given):
        return given
    full = [text for text in given if text]
    return [TextPair(text, full[place - 1]) for place, text in enumerate(full)]


def _check(model: Model, partial: Path, target: Path, texts: list[str]) -> None:
    """Load what was written as a user would, and compare inputs and logits text by text."""
    from transformers import AutoModel, AutoModelForSequenceClassification

    head = load_file(partial / _HEAD) if (partial / _HEAD).is_file() else None
    auto = AutoModelForSequenceClassification if head is None else AutoModel
    written = WrittenFolder(auto, partial, target)
    found, expected = [], []
    with evaluating(model):
        for text in texts:
            own = _own_arrays(model, text)
            read = written.read_as(text, own)
            told = written.model(**read)
            found.append(told.logits if head is None else _averaged(told, read, head))
            logits = model(*(array.to(model.device) for array in own.values())).cpu()
            expected.append(logits * model.target_scale + model.target_mean)
    check_same(torch.cat(found), torch.cat(expected), target)


def _averaged(told: Any, read: Mapping[str, Tensor], head: Mapping[str, Tensor]) -> Tensor:
    """Return logits (B, K) as the lines of ``README.md`` do."""
    hidden, mask = told.last_hidden_state, read["attention_mask"][..., None]
    logits: Tensor = (hidden * mask).sum(1) / mask.sum(1) @ head["weight"].T + head["bias"]
    return logits


def _own_arrays(model: Model, text: str) -> dict[str, Tensor]:
    """Return what the model itself reads of a text, by the names of transformers."""
    preprocess = _preprocess(model)
    if isinstance(text, TextPair):
        arrays = preprocess.read([text]).arrays(np.arange(1))
        named = zip(preprocess.inputs, arrays, strict=True)
        return {one.name: torch.from_numpy(array) for one, array in named}
    ids, _ = preprocess.tokenizer.encode([text])  # of an empty text there are special ones
    tokens = torch.from_numpy(ids[0]).to(torch.int64)[None]
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
