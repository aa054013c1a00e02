"""Models that write as one GGUF file, which llama.cpp and what is built on it open.

The library gguf writes it: weights in float32 (``llama-quantize`` makes them smaller), the
vocabulary, and the chat template. Two architectures are written, Llama's and GPT-2's, with
tokenizers that cut bytes as GPT-2 does; everything else is refused by name, because llama.cpp's own
converter, which knows all, is no package. What was written is read again by transformers, and gives
the run's ids and logits.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.errors import ExportError
from headstart.exporting.causal_folder import logits_of, merged_network, sample_ids
from headstart.exporting.folder import building, check_same, refuse_occupied, unreadable
from headstart.extras import quiet_transformers, require_extra
from headstart.model import Model
from headstart.preprocessing import DialoguePreprocess
from headstart.preprocessing.tokenizer_files import TOKENIZER_NAME
from headstart.preprocessing.tokens import TextTokenizer

FILE = "model.gguf"
ARCHITECTURES = ("llama", "gpt2")
_NORMAL, _CONTROL, _USER = 1, 3, 4  # kinds of tokens


def export_gguf(model: Model, folder: str | Path) -> Path:
    """Write a model that writes as ``model.gguf`` in a folder.

    Args:
        model: Of a decoder; it is left as it is.
        folder: A new or empty folder.

    Raises:
        ExportError: If the architecture or the tokenizer is none that is written, or what was
            written does not give the same ids and logits; then nothing is left behind.
        PackageMissing: If gguf is not installed.
    """
    target, preprocess = Path(folder), model.encoder.preprocess
    if not isinstance(preprocess, DialoguePreprocess):
        raise ExportError(
            f"The model from '{model.encoder.start.address}' writes no text word by word. Expected "
            "a decoder, which GGUF files hold. Export for another library: leave --to out."
        )
    refuse_occupied(target)
    require_extra("lm", "A GGUF file", "gguf", "transformers")
    network = merged_network(model)
    config = network.model.config
    if config.model_type not in ARCHITECTURES:
        raise ExportError(
            f"'{model.encoder.start.address}' is of model_type '{config.model_type}', which "
            f"headstart writes into no GGUF file. Expected {' or '.join(ARCHITECTURES)}. Export it "
            "with --to transformers, and convert that folder with llama.cpp's "
            "convert_hf_to_gguf.py."
        )
    pieces = _vocabulary(preprocess.tokenizer)
    # one of its bars cannot be turned off
    with building(target) as partial, quiet_transformers(), redirect_stderr(io.StringIO()):
        _write(partial / FILE, network.model, preprocess, pieces)
        _check(network, preprocess, partial, target)
    return target


def _vocabulary(tokenizer: TextTokenizer) -> Mapping[str, Any]:
    """Return tokens, their kinds, and merges.

    Raises:
        ExportError: If the tokenizer is of another kind than GPT-2's.
    """
    record = json.loads(tokenizer.files()[TOKENIZER_NAME])
    cut, model = record.get("pre_tokenizer") or {}, record.get("model") or {}
    is_plain = cut.get("type") == "ByteLevel" and cut.get("use_regex", True)
    if model.get("type") != "BPE" or not is_plain or record.get("normalizer"):
        raise ExportError(
            f"The tokenizer of '{tokenizer.origin}' cuts texts in a way that headstart writes into "
            "no GGUF file. Expected byte-level BPE as GPT-2's. Export it with --to transformers, "
            "and convert that folder with llama.cpp's convert_hf_to_gguf.py."
        )
    size = tokenizer.vocab_size
    tokens, kinds = [f"[UNUSED{place}]" for place in range(size)], [_USER] * size
    for token, place in model["vocab"].items():
        tokens[place], kinds[place] = token, _NORMAL
    for added in record.get("added_tokens", ()):
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = _CONTROL if added.get("special") else _USER
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return {"tokens": tokens, "kinds": kinds, "merges": merges}


def _write(
    path: Path, model: Any, preprocess: DialoguePreprocess, words: Mapping[str, Any]
) -> None:
    import gguf

    config, tokenizer = model.config, preprocess.tokenizer
    kind = config.model_type
    writer = gguf.GGUFWriter(path, kind)
    writer.add_name(tokenizer.origin)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    if kind == "llama":
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        rope = getattr(config, "rope_parameters", None) or {}
        writer.add_rope_freq_base(float(rope.get("rope_theta", 10000.0)))
        writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    else:
        writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words["tokens"])
    writer.add_token_types(words["kinds"])
    writer.add_token_merges(words["merges"])
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_eos_token_id(preprocess.end_id)
    writer.add_pad_token_id(tokenizer.pad_id)
    begin = tokenizer.special_tokens.get("bos_token")
    if begin in words["tokens"]:
        writer.add_bos_token_id(words["tokens"].index(begin))
    if preprocess.of_turns:
        # what a template says by a name is put in: readers of GGUF give it no names
        template = preprocess.template
        writer.add_chat_template(_named(template, tokenizer.special_tokens))
    for name, array in _tensors(model, kind):
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _named(template: str, special: Mapping[str, str]) -> str:
    """Return a template that brings its special tokens."""
    told = "".join(
        f"{{% set {name} = {json.dumps(token)} %}}"
        for name, token in special.items()
        if name in template
    )
    return told + template


def _tensors(model: Any, kind: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the weights as llama.cpp has them, by its names."""
    import gguf

    config = model.config
    arch = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == kind)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    is_tied = config.tie_word_embeddings
    for name, tensor in model.state_dict().items():
        if name.endswith((".attn.bias", ".attn.masked_bias")) or (
            is_tied and name == "lm_head.weight"
        ):
            continue
        called = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if called is None:
            raise ExportError(
                f"GGUF has no name for the weight '{name}'. Expected a plain {kind}. Export it "
                "with --to transformers."
            )
        array = tensor.detach().float().numpy()
        if kind == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config.num_attention_heads
            if name.endswith("k_proj.weight"):
                heads = config.num_key_value_heads
            # pairs of the rotation lie beside one another in llama.cpp
            array = array.reshape(heads, 2, array.shape[0] // heads // 2, -1)
            array = array.swapaxes(1, 2).reshape(tensor.shape)
        elif kind == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            array = array.T
        yield called, np.ascontiguousarray(array)


def _check(network: Any, preprocess: DialoguePreprocess, partial: Path, target: Path) -> None:
    """Read what was written by transformers' reader of GGUF, and compare ids and logits."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        # of GPT-2 that reader takes no number of positions from the file: our configuration is told
        config = deepcopy(network.model.config)
        loaded = AutoModelForCausalLM.from_pretrained(
            str(partial), gguf_file=FILE, config=config, dtype=torch.float32
        ).eval()
        reader = AutoTokenizer.from_pretrained(str(partial), gguf_file=FILE)
    except Exception as error:
        # transformers' readers fail in every way Python knows.
        raise unreadable("transformers", target, error) from error
    ids = sample_ids(preprocess)
    text = preprocess.tokenizer.decode(ids[0].tolist())
    # ids cut at the longest input may end inside a character: what they spell is read by both
    expected = preprocess.tokenizer.encode_plain([text])[0].tolist()
    if reader(text, add_special_tokens=False)["input_ids"] != expected:
        raise ExportError(
            f"The vocabulary exported to {target} gives other ids than the run's for a text. "
            "Nothing was kept. Please report this with the start's name."
        )
    with torch.no_grad():
        found = loaded(input_ids=ids).logits[0]
    check_same(found, logits_of(network, ids), target)
