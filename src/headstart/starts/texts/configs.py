"""Configurations of transformers encoders: checked, cleaned, and asked what they build.

A configuration may come from a stranger's file: its type is looked up in the list below, nothing
of it is imported or run, and what it would allocate is counted before it is.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from headstart.errors import StartError, did_you_mean, quoted
from headstart.extras import install_command, quiet_transformers, require_text_extra

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

Pooling = Literal["native", "mean"]

# Encoders whose sequence classifiers end in one linear layer, need ids and mask alone, and give a
# text the same features however far its batch is padded (ConvBERT and Nyströmformer do not, and
# BigBird draws blocks at random). Those that a release of transformers lacks are refused by name.
ENCODER_TYPES = (
    "albert",
    "bert",
    "camembert",
    "data2vec-text",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "ernie",
    "eurobert",
    "megatron-bert",
    "mobilebert",
    "modernbert",
    "mpnet",
    "rembert",
    "roberta",
    "roberta-prelayernorm",
    "roformer",
    "squeezebert",
    "xlm-roberta",
    "xlm-roberta-xl",
)
# Keys of a configuration that say nothing about the function of the network.
_SILENT_KEYS = frozenset(
    (
        "_attn_implementation_autoset",
        "_name_or_path",
        "architectures",
        "attn_implementation",
        "chunk_size_feed_forward",
        "dtype",
        "finetuning_task",
        "gradient_checkpointing",
        "id2label",
        "label2id",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "problem_type",
        "return_dict",
        "task_specific_params",
        "tie_word_embeddings",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "use_cache",
    )
)
_CODE_KEYS = ("auto_map", "trust_remote_code", "custom_pipelines", "quantization_config")
_MAX_CONFIG_BYTES = 200_000
MAX_NUMBER = 10_000_000
_MAX_LAYERS = 512
_MAX_PARAMETERS = 3_000_000_000
_PROBE_LABELS = 1009  # prime, so that no other layer is likely to be as wide


def clean_config(record: Mapping[str, object], origin: str) -> dict[str, object]:
    """Return a configuration with all that decides the function of the network, and no more.

    Args:
        record: Content of a ``config.json``, or what ``clean_config`` gave before.
        origin: Names the start in a refusal.

    Returns:
        JSON-able; defaults of this release of transformers are spelled out.

    Raises:
        StartError: If it is no encoder's, would run code, or is larger than anything sensible.
    """
    check_config(record, origin)
    require_text_extra(f"'{origin}'", "transformers")
    full = json.loads(_make_config(record, origin).to_json_string(use_diff=False))
    kept = {key: value for key, value in full.items() if key not in _SILENT_KEYS}
    return {"model_type": record["model_type"], **kept}


def check_config(record: Mapping[str, object], origin: str) -> None:
    """Refuse a configuration that headstart does not build; needs no transformers.

    Raises:
        StartError: As ``clean_config``.
    """
    code = [key for key in _CODE_KEYS if record.get(key)]
    if code:
        raise StartError(
            f"The configuration of '{origin}' has {quoted(code)}: it needs code of its own or is "
            f"quantised. Expected a plain encoder of transformers; foreign code is never run. "
            f"Choose another start."
        )
    kind = record.get("model_type")
    if kind not in ENCODER_TYPES:
        raise StartError(
            f"'{origin}' is of model_type {kind!r}, which is no text encoder that headstart builds."
            f"{did_you_mean(str(kind), ENCODER_TYPES)} Expected one of "
            f"{quoted(ENCODER_TYPES, len(ENCODER_TYPES))}. Choose another start."
        )
    if record.get("is_decoder") or record.get("is_encoder_decoder"):
        raise StartError(
            f"'{origin}' is configured as a decoder. Expected an encoder, which reads a text both "
            f"ways. Choose another start."
        )
    if len(json.dumps(record, default=str)) > _MAX_CONFIG_BYTES:
        raise StartError(
            f"The configuration of '{origin}' is larger than {_MAX_CONFIG_BYTES:,} bytes. Expected "
            f"a page of numbers. The file is damaged."
        )
    for key, value in record.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        counts = any(word in key for word in ("layers", "groups", "inner_group"))
        limit = _MAX_LAYERS if counts else MAX_NUMBER
        if not abs(value) <= limit:
            raise StartError(
                f"The configuration of '{origin}' has {key} {value!r}. Expected at most {limit:,}. "
                f"The file is damaged."
            )


def read_config(record: Mapping[str, object], origin: str = "architecture") -> PretrainedConfig:
    """Return transformers' configuration object of a checked record.

    Raises:
        StartError: If it is not one that headstart builds, or would be too large to allocate.
    """
    check_config(record, origin)
    require_text_extra(f"'{origin}'", "transformers")
    config = _make_config(record, origin)
    size = sum(parameter.numel() for parameter in _probe(config, origin).parameters())
    if size > _MAX_PARAMETERS:
        raise StartError(
            f"'{origin}' has {size:,} parameters. Expected at most {_MAX_PARAMETERS:,}. Choose a "
            f"smaller start."
        )
    return config


def classifier_name(config: PretrainedConfig, origin: str = "architecture") -> str:
    """Return the name of the last linear layer of a configuration's sequence classifier.

    It is found by its width alone: the one linear layer with an unusual number of labels.

    Raises:
        StartError: If there is not exactly one.
    """
    probe = _probe(config, origin)
    found: list[str] = [
        name
        for name, module in probe.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == _PROBE_LABELS
    ]
    if len(found) != 1:
        raise StartError(
            f"The classifier of '{origin}' ({type(probe).__name__}) ends in {len(found)} linear "
            f"layers. Expected one. Choose another start, or pooling 'mean'."
        )
    return found[0]


def model_class_of(config: PretrainedConfig, pooling: Pooling) -> type[PreTrainedModel]:
    """Return the class of transformers that builds a configuration for a pooling."""
    from transformers import AutoModel, AutoModelForSequenceClassification

    auto = AutoModelForSequenceClassification if pooling == "native" else AutoModel
    with quiet_transformers():  # it imports the module of the class
        found: type[PreTrainedModel] = auto._model_mapping[type(config)]
    return found


def attention_of(model_class: type[PreTrainedModel]) -> str:
    """Return PyTorch's fused attention where a class has it, otherwise the plain one."""
    return "sdpa" if getattr(model_class, "_supports_sdpa", False) else "eager"


def without_pooler(model_class: type[PreTrainedModel]) -> dict[str, bool]:
    """Return the option that leaves the pooler out, where a class has it."""
    takes = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    return {"add_pooling_layer": False} if takes else {}


def set_dropout(config: Mapping[str, object], rate: float, origin: str) -> dict[str, object]:
    """Return a configuration with every dropout rate set.

    Args:
        config: As ``clean_config`` gives it.
        rate: In [0, 1).
        origin: Names the start in a refusal.

    Raises:
        StartError: If the rate is not possible, or the configuration has no dropout.
    """
    if not 0 <= rate < 1:
        raise StartError(
            f"dropout {rate} is not possible for '{origin}'. Expected a rate from 0 to below 1. "
            f"Common values are 0 to 0.3."
        )
    rates = [k for k, v in config.items() if _is_dropout(k) and isinstance(v, int | float)]
    if not rates:
        raise StartError(
            f"'{origin}' has no dropout to set to {rate}. Expected an encoder with dropout. Leave "
            f"dropout out."
        )
    return {**config, **dict.fromkeys(rates, rate)}


def _is_dropout(key: str) -> bool:
    """Return whether a key is a rate of dropout; GPT-2 calls them ``attn_pdrop`` and the like."""
    return "dropout" in key or key.endswith("_pdrop")


def _make_config(record: Mapping[str, object], origin: str) -> PretrainedConfig:
    from transformers import CONFIG_MAPPING

    kind = str(record["model_type"])
    if kind not in CONFIG_MAPPING:
        raise StartError(
            f"The installed transformers does not know model_type '{kind}' of '{origin}'. Expected "
            f"a release that does. Update it: {install_command('--upgrade', 'transformers')}."
        )
    options = {k: v for k, v in record.items() if k not in _SILENT_KEYS and k != "model_type"}
    return transformers_config(kind, options, origin)


def transformers_config(kind: str, options: Mapping[str, object], origin: str) -> PretrainedConfig:
    """Return transformers' configuration object.

    Args:
        kind: A ``model_type`` that transformers knows.
        options: All else that it is told.
        origin: Names the start in a refusal.

    Raises:
        StartError: If it refuses the options.
    """
    from transformers import CONFIG_MAPPING

    try:
        with quiet_transformers():
            return CONFIG_MAPPING[kind](**options)
    except Exception as error:
        # Configurations validate themselves with errors of their own kinds.
        raise StartError(
            f"The configuration of '{origin}' is refused by transformers "
            f"({type(error).__name__}: {str(error).strip().splitlines()[0]}). Expected one that it "
            f"wrote. Restore the file."
        ) from error


def _probe(config: PretrainedConfig, origin: str) -> PreTrainedModel:
    """Return the sequence classifier with the unusual number of labels, without memory."""
    from transformers import AutoModelForSequenceClassification

    odd = deepcopy(config)
    odd.num_labels = _PROBE_LABELS
    try:
        with quiet_transformers(), torch.device("meta"):
            return AutoModelForSequenceClassification.from_config(
                odd, dtype=torch.float32, attn_implementation="eager"
            )
    except Exception as error:
        # What a wrong configuration breaks differs from network to network.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise StartError(
            f"transformers cannot build '{origin}' from its configuration ({lines[0]}). Expected "
            f"a consistent one. Restore the file, or choose another start."
        ) from error
