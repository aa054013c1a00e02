"""timm's catalogue: what its registry says of weights, without building or downloading anything.

Family, data, objective, licence and preprocessing of a name are read from timm's registry and the
words in its tags. Networks are built in ``timm_starts.py``; weights are opened in ``weights.py``.

One deviation from timm's evaluation recipe: headstart crops the centre square of the shorter side
at exactly ``size`` (crop_pct 1.0) for every start, where timm has a crop_pct of its own for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Literal

from headstart.errors import StartError, did_you_mean
from headstart.types import Family, ImageSpec, Start

# Modules of timm whose networks are trained like vision transformers (AdamW, layer decay):
# attention or token mixing with LayerNorm throughout. Everything else is a convnet.
VIT_MODULES = frozenset(
    {
        "beit",
        "cait",
        "coat",
        "convit",
        "crossvit",
        "csatv2",
        "davit",
        "deepseek_vit",
        "deit",
        "eva",
        "focalnet",
        "gcvit",
        "gemma4_vit",
        "hiera",
        "hieradet_sam2",
        "levit",
        "maxxvit",
        "metaformer",
        "mlp_mixer",
        "mvitv2",
        "naflexvit",
        "nest",
        "pit",
        "pvt_v2",
        "qwen3_vit",
        "sequencer",
        "swin_transformer",
        "swin_transformer_v2",
        "swin_transformer_v2_cr",
        "tiny_vit",
        "tnt",
        "twins",
        "vision_transformer",
        "vision_transformer_hybrid",
        "vision_transformer_relpos",
        "vision_transformer_sam",
        "visformer",
        "vitamin",
        "volo",
        "xcit",
    }
)

# Token of a timm tag -> name of the data, in the words of the timm documentation.
DATA_TOKENS = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "inw21k": "ImageNet-21k (winter)",
    "laion2b": "LAION-2B",
    "laion400m": "LAION-400M",
    "webli": "WebLI",
    "openai": "OpenAI WIT-400M",
    "datacomp1b": "DataComp-1B",
    "datacompxl": "DataComp-XL",
    "dfn2b": "DFN-2B",
    "dfn5b": "DFN-5B",
    "merged2b": "Merged-2B",
    "metaclip": "MetaCLIP",
    "yfcc15m": "YFCC-15M",
    "yfcc100m": "YFCC-100M",
    "ig1b": "Instagram-1B",
    "jft": "JFT-300M",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "sat493m": "SAT-493M",
    "sa1b": "SA-1B",
    "inat21": "iNaturalist 2021",
}
CLIP_TOKENS = frozenset(
    {
        "laion2b",
        "laion400m",
        "webli",
        "openai",
        "datacomp1b",
        "datacompxl",
        "dfn2b",
        "dfn5b",
        "merged2b",
        "metaclip",
        "yfcc15m",
    }
)
# Tags that name the method alone; their authors used ImageNet-1k.
IMAGENET_TOKENS = frozenset({"mae", "fcmae", "dino"})
SELF_SUPERVISED = {
    "mae": "mae",
    "fcmae": "fcmae",
    "dino": "dino",
    "dinov3": "dinov3",
    "lvd142m": "dinov2",
    "lvd1689m": "dinov3",
    "sat493m": "dinov3",
    "ijepa": "i-jepa",
    "mim": "masked image modelling",
}


@dataclass(frozen=True)
class TimmWeights:
    """What is known of a set of weights for a timm architecture before it is opened.

    Attributes:
        name: The name that builds the network, ``resnet18`` or ``vit_base_patch16_clip_224.openai``
            where a tag changes the network's input size.
        image: Preprocessing at the size the weights were trained at.
        num_classes: Classes of the classifier in the weights, 0 for none.
        classifiers: Names of the classifier's layers; their tensors are not used.
        hub_id: ``owner/name`` on the hub, or None.
        licence: Licence of the weights.
        tag: timm's tag, may be empty.
    """

    name: str
    image: ImageSpec
    num_classes: int
    classifiers: tuple[str, ...]
    hub_id: str | None
    licence: str
    tag: str


def split_tag(name: str) -> tuple[str, str]:
    """Return architecture and tag of a timm name; the tag may be empty."""
    architecture, _, tag = name.partition(".")
    return architecture, tag


def require_architecture(name: str, address: str) -> None:
    """Refuse a name that timm does not have.

    Raises:
        StartError: With the nearest match.
    """
    import timm

    # is_model knows registered names only, so 'hf-hub:…' and 'local-dir:…' cannot pass.
    if not timm.is_model(name):
        names = {f"{address.partition('/')[0]}/{known}": None for known in timm.list_models()}
        raise StartError(
            f"Unknown start '{address}': timm has no architecture '{name}'."
            f"{did_you_mean(address.partition(':')[0], names)} 'headstart starts' lists them all."
        )


def describe_weights(
    name: str, config: Mapping[str, object] | None = None, *, origin: str
) -> TimmWeights:
    """Return what timm knows of weights by name, without building or downloading anything.

    Args:
        name: timm name with or without tag.
        config: The ``pretrained_cfg`` of a local folder; its entries replace timm's.
        origin: Names the start in a refusal.

    Raises:
        StartError: If the preprocessing is one that headstart does not have.
    """
    from timm.models import get_pretrained_cfg

    architecture, _ = split_tag(name)
    registered = get_pretrained_cfg(name, allow_unregistered=True)
    default = get_pretrained_cfg(architecture, allow_unregistered=True)
    cfg: dict[str, object] = {} if registered is None else asdict(registered)
    cfg.update({key: value for key, value in (config or {}).items() if value is not None})
    image = _read_image_spec(cfg, origin)
    changes_network = default is not None and image.size != default.input_size[-1]
    classifier = cfg.get("classifier") or ()
    classifiers = (classifier,) if isinstance(classifier, str) else classifier
    num_classes = cfg.get("num_classes")
    return TimmWeights(
        name=name if changes_network and config is None else architecture,
        image=image,
        num_classes=num_classes if isinstance(num_classes, int) else 0,
        classifiers=tuple(map(str, classifiers)) if isinstance(classifiers, list | tuple) else (),
        hub_id=str(cfg["hf_hub_id"]) if cfg.get("hf_hub_id") else None,
        licence=str(cfg.get("license") or "unknown"),
        tag=str(cfg.get("tag") or ""),
    )


def _read_image_spec(cfg: Mapping[str, object], origin: str) -> ImageSpec:
    """Return the preprocessing that a timm configuration describes."""
    input_size, mean, std = cfg.get("input_size"), cfg.get("mean"), cfg.get("std")
    shape = _numbers(input_size, origin, "input_size", (3.0, 224.0, 224.0))
    if len(shape) != 3 or shape[1] != shape[2] or shape[0] not in (1, 3):
        raise StartError(
            f"'{origin}' takes inputs of shape {tuple(int(n) for n in shape)} (channels, height, "
            f"width). Expected a square with 1 or 3 channels. Choose another start."
        )
    channels = int(shape[0])
    interpolation = cfg.get("interpolation") or "bicubic"
    if interpolation not in ("bilinear", "bicubic"):
        raise StartError(
            f"'{origin}' resizes with '{interpolation}'. Expected 'bilinear' or 'bicubic'. "
            f"Choose another start."
        )
    filter_name: Literal["bilinear", "bicubic"] = (
        "bilinear" if interpolation == "bilinear" else "bicubic"
    )
    means = _numbers(mean, origin, "mean", (0.485, 0.456, 0.406))
    stds = _numbers(std, origin, "std", (0.229, 0.224, 0.225))
    if channels == 1:
        means = means if len(means) == 1 else (sum(means) / len(means),)
        stds = stds if len(stds) == 1 else (sum(stds) / len(stds),)
    if len(means) != channels or len(stds) != channels or min(stds) <= 0:
        raise StartError(
            f"'{origin}' has mean {means} and std {stds} for {channels} channels. Expected one "
            f"value a channel and std above 0. Correct its config.json."
        )
    size = int(shape[1])
    return ImageSpec(size, channels, means, stds, filter_name, size, channels)


def _numbers(value: object, origin: str, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return a list of numbers of a configuration as floats."""
    if value is None:
        return default
    if isinstance(value, list | tuple) and value and all(isinstance(n, int | float) for n in value):
        return tuple(float(n) for n in value)
    raise StartError(
        f"The configuration of '{origin}' has {key} = {value!r}. Expected a list of numbers. "
        f"Correct its config.json."
    )


def family_of(name: str) -> Family:
    """Return the family of a timm architecture by the module that defines it."""
    from timm.models import model_entrypoint

    module = model_entrypoint(split_tag(name)[0]).__module__.rpartition(".")[2]
    return "vit" if module in VIT_MODULES else "convnet"


def pretrained_on(tag: str, num_classes: int) -> str:
    """Return the names of the data in a timm tag, in the order of training."""
    tokens = tag.split("_")
    names = [DATA_TOKENS[token] for token in tokens if token in DATA_TOKENS]
    if names:
        return ", then ".join(name for name, _ in groupby(names))
    if num_classes == 1000 or IMAGENET_TOKENS.intersection(tokens):
        return "ImageNet-1k"
    return f"see timm tag '{tag}'" if tag else "unknown"


def objective_of(tag: str) -> str:
    """Return how the weights of a timm tag were last trained."""
    tokens = tag.split("_")
    if "ft" in tokens:
        return "supervised"
    for token in tokens:
        if token in SELF_SUPERVISED:
            return SELF_SUPERVISED[token]
    return "clip" if CLIP_TOKENS.intersection(tokens) else "supervised"


def describe_start(name: str, num_parameters: int = 0) -> Start:
    """Return the start ``timm/<name>`` from timm's registry and the hub cache on disk.

    Args:
        name: A timm name with pretrained weights, with or without tag.
        num_parameters: Known count, 0 for unknown.

    Raises:
        StartError: If its preprocessing is one that headstart does not have.
    """
    from headstart.starts.weights import cached_hub_file

    weights = describe_weights(name, origin=f"timm/{name}")
    return Start(
        address=f"timm/{name}",
        family=family_of(name),
        modality="image",
        num_parameters=num_parameters,
        licence=weights.licence,
        pretrained_on=pretrained_on(weights.tag, weights.num_classes),
        objective=objective_of(weights.tag),
        image=weights.image,
        is_local=weights.hub_id is not None and cached_hub_file(weights.hub_id) is not None,
    )
