"""CLIP as transformers has it: both of its networks for captions, that of images for labels.

SigLIP is one, too: its texts are filled up to one length without a mask, it learns of each pair by
itself, and its likenesses have a bias. Left out: SigLIP 2 of any number of patches.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import StartError, first_line, quoted
from headstart.extras import quiet_transformers, require_text_extra
from headstart.starts.duals.networks import PairNetwork, join_groups

if TYPE_CHECKING:
    from transformers import CLIPConfig, CLIPModel

CLIP, SIGLIP = KINDS = "clip", "siglip"
CLIP_BUILDER, CLIP_IMAGE_BUILDER = "clip", "clip-image"
_CODE = ("auto_map", "trust_remote_code", "quantization_config")
_SILENT = ("architectures", "dtype", "torch_dtype", "transformers_version", "_name_or_path")
_MAX_BYTES, _MAX_PARAMETERS = 200_000, 3_000_000_000
_BLOCK = re.compile(r".*\.encoder\.layers\.(\d+)\..*")
# the prompts of CLIP's paper that say least of what is shown
TEMPLATES = ("a photo of a {}.", "an image of a {}.", "a picture of the {}.", "{}")


class ClipNetwork(PairNetwork):
    """Both networks of CLIP.

    Args:
        model: Of transformers.
    """

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.model = model
        self.num_features = int(model.config.projection_dim)

    def scale(self) -> Tensor:
        """Return what likenesses are multiplied by, at most 100, shape ()."""
        found: Tensor = self.model.logit_scale.exp().clamp(max=100.0)
        return found

    def embed_images(self, images: Tensor) -> Tensor:
        """Return embeddings of length 1, shape (B, P)."""
        return _of_images(self.model, images)

    def embed_texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return embeddings of length 1, shape (M, P)."""
        pooled = self.model.text_model(input_ids=ids, attention_mask=mask).pooler_output
        return functional.normalize(self.model.text_projection(pooled), dim=-1)

    def layer_groups(self) -> list[list[str]]:
        """Return names of parameters by depth: both networks end together, projections last."""
        names = [name for name, _ in self.named_parameters()]
        images = _by_depth(name for name in names if name.startswith("model.vision_model."))
        texts = _by_depth(name for name in names if name.startswith("model.text_model."))
        return [*join_groups(images, texts), self.joint_names()]

    def joint_names(self) -> list[str]:
        """Return the projections, the temperature, and the bias where there is one."""
        towers = ("model.vision_model.", "model.text_model.")
        return [name for name, _ in self.named_parameters() if not name.startswith(towers)]


class SiglipNetwork(ClipNetwork):
    """Both networks of SigLIP; rows of images hold the bias of likenesses, those of texts a one.

    Args:
        model: Of transformers.

    Source:
        X. Zhai et al., ICCV 2023 (SigLIP), algorithm 1.
    """

    judges_pairs: ClassVar[bool] = True

    def __init__(self, model: Any) -> None:
        PairNetwork.__init__(self)
        self.model = model
        self.num_features = int(model.config.vision_config.hidden_size) + 1

    def scale(self) -> Tensor:
        """Return what likenesses are multiplied by, shape ()."""
        found: Tensor = self.model.logit_scale.exp().squeeze()
        return found

    def embed_texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return embeddings of length 1, shape (M, P - 1), of texts filled up to the full length.

        The last place tells of a text, whatever stands there: padding, as it was trained.
        """
        config = self.model.config.text_config
        length, fill = int(config.max_position_embeddings), int(config.pad_token_id)
        ids = ids.masked_fill(mask == 0, fill)
        rest = torch.full_like(ids[:, :1], fill).expand(-1, length)
        whole = torch.cat([ids, rest], dim=1)[:, :length]
        return functional.normalize(self.model.text_model(input_ids=whole).pooler_output, dim=-1)

    def image_rows(self, images: Tensor) -> Tensor:
        """Return rows (B, P): embeddings times the temperature, and the bias."""
        scaled = self.embed_images(images) * self.scale()
        bias: Tensor = self.model.logit_bias
        return torch.cat([scaled, bias.to(scaled.dtype).expand(scaled.shape[0], 1)], dim=1)

    def text_rows(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return rows (M, P): embeddings, and a one."""
        found = self.embed_texts(ids, mask)
        return torch.cat([found, torch.ones_like(found[:, :1])], dim=1)


class ClipImageNetwork(nn.Module):
    """CLIP's network of images with its projection: features are embeddings of length 1.

    Args:
        model: Of transformers; its texts' half is let go.

    Attributes:
        num_features: P.
        class_rows: Of the classes of some data a row each, shape (K, P), by which CLIP tells them
            without any training: a mean of prompts, times the temperature. None where nobody has
            asked, or the network was rebuilt from a run.
    """

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.vision_model = model.vision_model
        self.visual_projection = _projection(model)
        width = model.config.vision_config.hidden_size
        self.num_features = int(getattr(model.config, "projection_dim", None) or width)
        self.class_rows: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, P) of normalised images (B, 3, S, S)."""
        return _of_images(self, images)

    def layer_groups(self) -> list[list[str]]:
        """Return names of parameters by depth, the projection with the last block."""
        names = [name for name, _ in self.named_parameters()]
        groups = _by_depth(name for name in names if name.startswith("vision_model."))
        inside = {name for group in groups for name in group}
        groups[-1] += [name for name in names if name not in inside]
        return groups

    def blank_inputs(self, device: torch.device) -> tuple[Tensor, ...]:
        """Return one blank image."""
        size = int(self.vision_model.config.image_size)
        return (torch.zeros(1, 3, size, size, device=device),)


def _of_images(model: Any, images: Tensor) -> Tensor:
    pooled = model.vision_model(pixel_values=images).pooler_output
    found: Tensor = functional.normalize(_projection(model)(pooled), dim=-1)
    return found


def _projection(model: Any) -> nn.Module:
    """Return what brings an image into the common space; SigLIP's network ends there."""
    found: nn.Module = getattr(model, "visual_projection", None) or nn.Identity()
    return found


def _by_depth(names: Iterable[str]) -> list[list[str]]:
    """Return parameters of one network: embeddings, each block, what follows with the last."""
    groups: list[list[str]] = [[]]
    for name in names:
        block = _BLOCK.fullmatch(name)
        if block is not None and int(block[1]) + 1 == len(groups):
            groups.append([])
        is_first = block is None and ("embed" in name or "pre_layrnorm" in name)
        groups[0 if is_first else -1].append(name)
    return groups


def clean_clip(record: Mapping[str, Any], origin: str) -> dict[str, object]:
    """Return a configuration of CLIP with all that decides its function, and no more.

    Args:
        record: Content of ``config.json``, or what this gave before.
        origin: Names the start in a refusal.

    Raises:
        StartError: If it is none of CLIP, would run code, or is larger than anything sensible.
    """
    code = [key for key in _CODE if record.get(key)]
    if record.get("model_type") not in KINDS or code:
        what = f"has {quoted(code)}" if code else f"is of model_type {record.get('model_type')!r}"
        raise StartError(
            f"'{origin}' {what}. Expected a plain CLIP of transformers, of model_type "
            f"{quoted(KINDS)}; foreign code is never run. Choose another start."
        )
    if len(json.dumps(record, default=str)) > _MAX_BYTES:
        raise StartError(
            f"The configuration of '{origin}' is larger than {_MAX_BYTES:,} bytes. Expected a page "
            "of numbers. The file is damaged."
        )
    full = json.loads(read_clip(record, origin).to_json_string(use_diff=False))
    return {key: value for key, value in full.items() if key not in _SILENT}


def model_class_of(record: Mapping[str, Any]) -> type[CLIPModel]:
    """Return transformers' class of a checked record."""
    from transformers import CLIPModel, SiglipModel

    found: type[CLIPModel] = SiglipModel if record["model_type"] == SIGLIP else CLIPModel
    return found


def read_clip(record: Mapping[str, Any], origin: str) -> CLIPConfig:
    """Return transformers' configuration object of a checked record.

    Raises:
        StartError: If transformers refuses it, or it would be too large to allocate.
    """
    require_text_extra(f"'{origin}'", "transformers")
    model_class: Any = model_class_of(record)
    plain = {key: value for key, value in record.items() if key not in (*_SILENT, "model_type")}
    try:
        with quiet_transformers():
            config: CLIPConfig = model_class.config_class(**plain)
            with torch.device("meta"):
                size = sum(p.numel() for p in model_class(config).parameters())
    except Exception as error:  # configurations fail in every way Python knows
        raise StartError(
            f"The configuration of '{origin}' is none of CLIP ({first_line(error)}). Expected that "
            "which was saved with the weights. Get it again."
        ) from error
    if size > _MAX_PARAMETERS:
        raise StartError(
            f"'{origin}' has {size:,} parameters. Expected at most {_MAX_PARAMETERS:,}. Choose a "
            "smaller start."
        )
    return config


def make_clip(config: dict[str, object]) -> CLIPModel:
    """Return CLIP of a clean configuration with random weights from the current random state."""
    if config.get("model_type") not in KINDS:
        raise StartError("The configuration is none of CLIP. The file is damaged.")
    with quiet_transformers():
        return model_class_of(config)(read_clip(config, "architecture"))


def both_networks(model: CLIPModel) -> ClipNetwork:
    """Return both networks of a model, of either kind."""
    is_siglip = model.config.model_type == SIGLIP
    return SiglipNetwork(model) if is_siglip else ClipNetwork(model)


def build_clip(config: dict[str, object], drop_path: float) -> nn.Module:
    """Build both networks of CLIP with random weights."""
    return with_drop_path(both_networks(make_clip(config)), drop_path)


def build_clip_image(config: dict[str, object], drop_path: float) -> nn.Module:
    """Build CLIP's network of images with random weights."""
    return with_drop_path(ClipImageNetwork(make_clip(config)), drop_path)


_Network = TypeVar("_Network", bound=nn.Module)


def with_drop_path(network: _Network, rate: float) -> _Network:
    """Give the blocks that read images stochastic depth, and return their network.

    Both branches of a block are dropped apart, sample by sample, the later blocks more often, as
    timm's ViT does it. transformers has none; nothing is added to the weights.

    Args:
        network: One of CLIP's.
        rate: Of the last block, in [0, 1).

    Source:
        G. Huang et al., ECCV 2016, with the linear rule of its section 3.
    """
    from timm.layers.drop import DropPath

    whole: Any = network.model if isinstance(network, ClipNetwork) else network
    blocks = whole.vision_model.encoder.layers
    for block, each in zip(blocks, np.linspace(0, rate, len(blocks)).tolist(), strict=True):
        for name in ("self_attn", "mlp") if each else ():
            drop = DropPath(each)
            block.add_module(f"{name}_drop", drop)
            block.get_submodule(name).register_forward_hook(partial(_drop, drop))
    return network


def _drop(drop: nn.Module, module: nn.Module, args: object, output: Any) -> Any:
    """Return what a branch adds, or nothing of it."""
    del module, args
    return (drop(output[0]), *output[1:]) if isinstance(output, tuple) else drop(output)
