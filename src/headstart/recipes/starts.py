"""List the starting points one could begin from."""

from __future__ import annotations

from headstart.starts import list_starts
from headstart.types import Modality, Start


def starts(*, like: str | None = None, modality: Modality = "image") -> list[Start]:
    """List starting points: what they are, how large, under which licence, and whether local.

    No network is used and no weights are loaded.

    Args:
        like: Only addresses that contain this text, for example resnet; wildcards such as
            timm/vit_*_224 work too.
        modality: What the start reads.

    Returns:
        The starts, local ones first.

    Raises:
        OptionError: If the modality is unknown.

    Example:
        >>> import headstart as hs
        >>> [start.address for start in hs.list_starts(like="scratch/simple")]
        ['scratch/simple-cnn']
    """
    return list_starts(modality=modality, like=like)
