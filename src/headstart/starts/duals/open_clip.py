"""CLIP as open_clip saves it: its configuration and its weights, as transformers has them.

``open_clip_config.json`` beside ``open_clip_model.safetensors``. The networks are the same, their
parts have other names, and the three projections of attention lie in one matrix. What transformers'
CLIP cannot be is refused by the name of its option: networks of timm or of Hugging Face as one of
both, ResNets, other pooling, other blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headstart.errors import StartError, quoted
from headstart.preprocessing.json_records import read_json
from headstart.starts.addresses import OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS
from headstart.starts.weights import read_safetensors
from headstart.types import ImageSpec

# Values that say nothing, or what transformers' CLIP is; any other value of an option that is not
# read below is refused.
_SILENT = frozenset(
    (
        *("init_logit_scale", "init_logit_bias", "quick_gelu", "embed_dim", "patch_dropout"),
        *("output_tokens", "hf_tokenizer_name", "tokenizer_kwargs", "hf_model_pretrained"),
        *("hf_proj_type", "hf_pooler_type", "timm_model_pretrained", "timm_pool", "timm_proj"),
        *("attn_pooler_queries", "attn_pooler_heads", "pad_id", "eos_id", "tokenizer_mode"),
    )
)
_PLAIN: dict[str, tuple[object, ...]] = {
    "pool_type": ("tok", "argmax"),
    "pos_embed_type": ("learnable",),
    "proj_type": ("linear",),
    "block_type": ("default",),
}
_READ = frozenset(
    (
        *("layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size"),
        *("context_length", "vocab_size", "heads"),
    )
)
_IMAGES, _TEXTS = "vision_model", "text_model"
# Of transformers' CLIP this one means: a text is read at its largest id, as in open_clip.
_AT_LARGEST = 2
_BLOCK = "{}.encoder.layers.{}."
_PARTS = {  # of a block
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_WHOLE = {  # of the networks
    "logit_scale": "logit_scale",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}
_TURNED = {"visual.proj": "visual_projection.weight", "text_projection": "text_projection.weight"}


def open_clip_config(folder: Path, origin: str) -> dict[str, object]:
    """Return the configuration of transformers' CLIP that is the same network.

    Args:
        folder: With ``open_clip_config.json``.
        origin: Names the start in a refusal.

    Raises:
        StartError: If the file is damaged, or transformers' CLIP cannot be such a network.
    """
    model = _part(read_json(folder / OPEN_CLIP_CONFIG), "model_cfg", origin)
    vision, text = (_part(model, name, origin) for name in ("vision_cfg", "text_cfg"))
    other = [key for side in (vision, text) for key, value in side.items() if _is_other(key, value)]
    other += [key for key in model if key not in (*_SILENT, "vision_cfg", "text_cfg")]
    if isinstance(vision.get("layers"), list):
        other.append("layers (a ResNet)")
    if other:
        raise StartError(
            f"'{origin}' is no plain CLIP of open_clip: its {OPEN_CLIP_CONFIG} has "
            f"{quoted(sorted(set(other)))}. Expected one network of patches and one of texts, "
            "without options of their own. Choose another start, or this one in transformers' form."
        )
    act = "quick_gelu" if model.get("quick_gelu") else "gelu"
    try:
        sides = [_side(vision, 768), _side(text, 512)]
        width, wide = int(vision.get("width", 768)), int(vision.get("head_width", 64))
        sides[0] |= {
            "num_attention_heads": width // wide,
            "patch_size": int(vision.get("patch_size", 16)),
            "image_size": _square(vision.get("image_size", 224)),
        }
        sides[1] |= {
            "num_attention_heads": int(text.get("heads", 8)),
            "vocab_size": int(text.get("vocab_size", 49_408)),
            "max_position_embeddings": int(text.get("context_length", 77)),
            "eos_token_id": _AT_LARGEST,
            "pad_token_id": int(text.get("pad_id", 0)),
        }
        size = int(model["embed_dim"])
    except (KeyError, TypeError, ValueError) as error:
        raise StartError(
            f"The {OPEN_CLIP_CONFIG} of '{origin}' is damaged ({type(error).__name__}: {error}). "
            "Expected what open_clip has written. Get it again."
        ) from error
    both = [{**side, "hidden_act": act, "layer_norm_eps": 1e-5} for side in sides]
    return {
        "model_type": "clip",
        "projection_dim": size,
        "vision_config": {**both[0], "projection_dim": size},
        "text_config": {**both[1], "projection_dim": size},
    }


def open_clip_spec(folder: Path, native: ImageSpec) -> ImageSpec:
    """Return how its images are read; what it does not say is CLIP's.

    Args:
        folder: With ``open_clip_config.json``.
        native: CLIP's, at the network's size.
    """
    told = read_json(folder / OPEN_CLIP_CONFIG).get("preprocess_cfg")
    given: dict[str, Any] = told if isinstance(told, dict) else {}
    own = {"mean": native.mean, "std": native.std}
    mean, std = (tuple(given.get(name) or usual) for name, usual in own.items())
    is_bicubic = given.get("interpolation", "bicubic") == "bicubic"
    return replace(
        native, mean=mean, std=std, interpolation="bicubic" if is_bicubic else "bilinear"
    )


def read_open_clip(folder: Path, origin: str) -> dict[str, Tensor]:
    """Return its weights under transformers' names, float32.

    Args:
        folder: With ``open_clip_model.safetensors``.
        origin: Names the start in a refusal.

    Raises:
        StartError: If there is a weight that transformers' CLIP has not.
    """
    found: dict[str, Tensor] = {}
    unknown: list[str] = []
    for name, tensor in read_safetensors(folder / OPEN_CLIP_WEIGHTS).items():
        weights = tensor.float()
        if name in _WHOLE:
            found[_WHOLE[name]] = weights
        elif name in _TURNED:
            found[_TURNED[name]] = weights.T.contiguous()
        elif ".resblocks." in name or name.startswith("transformer.resblocks."):
            found |= _of_block(name, weights, unknown)
        elif name not in ("attn_mask", "text.attn_mask"):
            unknown.append(name)
    if unknown:
        raise StartError(
            f"'{origin}' has weights that no plain CLIP has: {quoted(sorted(unknown), limit=4)}. "
            "Expected a network of patches and one of texts. Choose this start in transformers' "
            "form."
        )
    return found


def _of_block(name: str, weights: Tensor, unknown: list[str]) -> dict[str, Tensor]:
    """Return the weights of a block under their names there."""
    tower, _, rest = name.partition("transformer.resblocks.")
    number, _, part = rest.partition(".")
    block = _BLOCK.format(_IMAGES if tower else _TEXTS, number)
    if part in ("attn.in_proj_weight", "attn.in_proj_bias"):
        kind = part.rpartition("_")[2]
        thirds = torch.chunk(weights, 3)
        return {
            f"{block}self_attn.{one}_proj.{kind}": third.contiguous()
            for one, third in zip("qkv", thirds, strict=True)
        }
    owner, _, kind = part.rpartition(".")
    if owner not in _PARTS:
        unknown.append(name)
        return {}
    return {f"{block}{_PARTS[owner]}.{kind}": weights}


def _part(record: Mapping[str, Any], name: str, origin: str) -> dict[str, Any]:
    found = record.get(name)
    if not isinstance(found, dict):
        raise StartError(
            f"The {OPEN_CLIP_CONFIG} of '{origin}' has no '{name}'. Expected what open_clip has "
            "written. Get it again."
        )
    return found


def _is_other(key: str, value: object) -> bool:
    """Return whether an option asks for a network that transformers' CLIP is not."""
    if key in _READ or key in _SILENT:
        return False
    return bool(value) and value not in _PLAIN.get(key, ())


def _side(record: Mapping[str, Any], own: int) -> dict[str, Any]:
    """Return what both networks are told alike."""
    width = int(record.get("width", own))
    return {
        "hidden_size": width,
        "intermediate_size": int(width * float(record.get("mlp_ratio", 4.0))),
        "num_hidden_layers": int(record.get("layers", 12)),
    }


def _square(size: Any) -> int:
    """Return the side of an image.

    Raises:
        ValueError: It is no square.
    """
    sides = [int(one) for one in size] if isinstance(size, list) else [int(size)]
    if len(set(sides)) != 1:
        raise ValueError(f"image_size {size}, expected a square")
    return sides[0]
