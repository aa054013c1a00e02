"""An encoder of a module of the user's own."""

from __future__ import annotations

from torch import nn

from headstart.preprocessing import ImagePreprocess
from headstart.starts.architecture import MODULE, write_architecture
from headstart.starts.encoder import Encoder
from headstart.types import Family, ImageSpec, Start


def wrap_module(
    module: nn.Module,
    spec: ImageSpec,
    *,
    name: str = "module",
    family: Family | None = None,
    pretrained_on: str | None = "unknown (own module)",
) -> Encoder:
    """Make an encoder of a module of one's own that reads images.

    Args:
        module: Takes normalised images (B, C, S, S), gives features (B, D).
        spec: Its preprocessing.
        name: What to call it; the address becomes ``module/<name>``.
        family: Decides the default recipe; None to see by its layers.
        pretrained_on: Name of the data it was trained on, or None for random weights.

    Returns:
        The encoder. Its architecture can be rebuilt only with the module at hand.

    Raises:
        StartError: If the module fails on the size of ``spec``, or does not give (B, D).

    Example:
        >>> from torch import nn
        >>> spec = ImageSpec(8, 1, (0.5,), (0.25,), "bilinear", 8, 1)
        >>> wrap_module(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), spec).num_features
        5
    """
    start = Start(
        address=f"module/{name}",
        family=family or _family_of_module(module),
        modality="image",
        num_parameters=sum(parameter.numel() for parameter in module.parameters()),
        licence="unknown",
        pretrained_on=pretrained_on,
        objective=None,
        image=spec,
        is_local=True,
    )
    preprocess = ImagePreprocess(spec)
    architecture = write_architecture(MODULE, {}, start, preprocess.to_json())
    return Encoder(module, start=start, preprocess=preprocess, architecture=architecture)


def _family_of_module(module: nn.Module) -> Family:
    kinds = {type(child).__name__.lower() for child in module.modules()}
    if any("attention" in kind or "transformerencoder" in kind for kind in kinds):
        return "vit"
    return "convnet" if any("conv" in kind for kind in kinds) else "mlp"
