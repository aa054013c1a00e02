"""timm's networks at the size and with the channels wanted, and its files in today's layout.

Building goes through ``timm.create_model(..., pretrained=False)`` alone: timm's own downloads,
pickles and partial loads are left out, ``weights.py`` does that with checks. Networks come without
classifier; sizes go through timm's ``set_input_size``, never through a guess of ours.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from headstart.errors import StartError, quoted
from headstart.starts.images.timm_catalog import TimmWeights, require_architecture, split_tag


def build_timm(name: str, channels: int, size: int, drop_path: float) -> nn.Module:
    """Build a timm network without classifier, with random weights, for one input size.

    Networks whose parameters depend on the input size (position embeddings, windows) are built at
    their own size and taken to the other by timm's ``set_input_size``, so that loaded weights are
    resampled in the same way; those without it are built at ``size``.

    Args:
        name: timm architecture, with a tag where the tag changes the network.
        channels: Input channels.
        size: Side of the square input, in pixels.
        drop_path: Rate of stochastic depth, in [0, 1).

    Raises:
        StartError: If timm lacks the name, or the network cannot have this size, these channels
            or stochastic depth.
    """
    require_architecture(split_tag(name)[0], f"timm/{name}")
    network = _create(name, channels, drop_path)
    cfg = network.pretrained_cfg
    assert isinstance(cfg, dict)
    native = int(cfg["input_size"][-1])
    if size == native or resize_input(network, size, name):
        return network
    return _create(name, channels, drop_path, size, native)


def resize_input(network: nn.Module, size: int, name: str) -> bool:
    """Take a network to another input size, resampling the parameters that depend on it.

    Args:
        network: Changed in place.
        size: Side of the square input, in pixels.
        name: Names the network in a refusal.

    Returns:
        Whether the network takes the size now. False where it is bound to its own size.

    Raises:
        StartError: If the size does not fit the network's patches or windows.
    """
    cfg = getattr(network, "pretrained_cfg", None)
    if isinstance(cfg, dict) and not cfg.get("fixed_input_size", False):
        return True
    check_patches(network, size, name)
    change = getattr(network, "set_input_size", None)
    if change is None:
        return False
    try:
        with warnings.catch_warnings():
            # timm's grid interpolator (windowed networks) searches in strided tensors, and indexes
            # with a list, which torch reads as wanted; otherwise the shapes would not fit.
            warnings.filterwarnings("ignore", message="Using a non-tuple sequence")
            warnings.filterwarnings("ignore", message="torch.searchsorted")
            change(img_size=(size, size))
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise StartError(
            f"'{name}' cannot take {size} x {size} pixels ({error}). Expected a size that its "
            f"windows divide. Leave size out for its own, or choose another start."
        ) from error
    return True


def check_patches(network: nn.Module, size: int, name: str) -> None:
    """Refuse a size that is no multiple of the patch, where pixels would be cut off in silence.

    Raises:
        StartError: Names the two nearest sizes that work.
    """
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    side = max(patch) if isinstance(patch, tuple) else patch
    if isinstance(side, int) and side > 0 and size % side:
        below = size // side * side
        around = quoted([str(n) for n in (below, below + side) if n > 0])
        raise StartError(
            f"Size {size} does not fit '{name}', which cuts images into patches of {side} pixels. "
            f"Expected a multiple of {side}. Choose {around.replace(', ', ' or ')}."
        )


def _create(
    name: str, channels: int, drop_path: float, size: int | None = None, native: int | None = None
) -> nn.Module:
    """Call timm, with only the options that differ from its defaults."""
    import timm

    options: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
    if drop_path:
        options["drop_path_rate"] = drop_path
    if size is not None:
        options["img_size"] = size
    try:
        network = timm.create_model(name, pretrained=False, **options)
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        says = {
            "drop_path_rate": f"has no stochastic depth (drop_path {drop_path}). Set drop_path 0",
            "img_size": f"takes {native} x {native} pixels only, not {size}. Choose size {native}",
            "in_chans": f"cannot take {channels} channels. Use 3 channels",
        }.get(unknown.group(1) if unknown else "", f"cannot be built: {error}. Use timm's defaults")
        raise StartError(f"'{name}' {says}, or choose another start.") from error
    except (RuntimeError, ValueError, AssertionError, NotImplementedError) as error:
        raise StartError(
            f"timm cannot build '{name}' with {channels} channels"
            f"{f' at {size} pixels' if size else ''} ({error}). Choose another size or start."
        ) from error
    assert isinstance(network, nn.Module)
    return network


def to_current_layout(
    tensors: dict[str, Tensor], network: nn.Module, weights: TimmWeights
) -> dict[str, Tensor]:
    """Return tensors under the names of a timm network without classifier.

    The classifier's tensors are dropped. Where names still differ, the file comes from an older
    layout and timm's own conversion for the architecture is applied; what fits neither is left for
    the strict check to name.

    Args:
        tensors: What the file holds.
        network: The network at the size of the weights, without classifier.
        weights: Names the classifier.
    """
    expected = network.state_dict()

    def without_classifier(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        prefixes = tuple(f"{name}." for name in weights.classifiers)
        kept = {n: t for n, t in named.items() if n in expected or not n.startswith(prefixes)}
        extra = [name for name in kept if name not in expected]
        if extra and weights.num_classes:
            # Some classifiers bring a norm of their own: ask the network that has one.
            full = _with_classifier(weights)
            for name in extra:
                if name in full and full[name] == tuple(kept[name].shape):
                    del kept[name]
        return kept

    kept = without_classifier(tensors)
    if kept.keys() != expected.keys():
        module = sys.modules[type(network).__module__]
        convert = getattr(module, "checkpoint_filter_fn", None)
        if convert is not None and module.__name__.startswith("timm."):
            kept = without_classifier(convert(dict(tensors), network))
    return kept


def _with_classifier(weights: TimmWeights) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the network that still has its classifier."""
    import timm

    network = timm.create_model(weights.name, pretrained=False, num_classes=weights.num_classes)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
