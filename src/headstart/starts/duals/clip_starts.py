"""The provider of CLIP: folders of transformers and of open_clip, and the hub's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from headstart.errors import StartError
from headstart.extras import require_text_extra
from headstart.preprocessing.json_records import read_json
from headstart.starts.addresses import Address
from headstart.starts.architecture import Architecture
from headstart.starts.provider import BuildRequest, FormerRun, Provider
from headstart.starts.texts.catalog import cached_folder
from headstart.types import Start

if TYPE_CHECKING:
    from torch import nn

    from headstart.preprocessing import Preprocess
    from headstart.starts.encoder import Encoder

_WHOLE, _IMAGE = "clip", "clip-image"
_OTHER = "siglip2"
_KINDS = ("clip", "siglip", _OTHER)


class ClipProvider(Provider):
    """CLIP of transformers, in a folder or in the hub's cache."""

    modality: ClassVar[str] = "image"
    builders: ClassVar[tuple[str, ...]] = (_WHOLE, _IMAGE)

    def owns(self, address: Address) -> bool:
        """Return whether it is a folder whose configuration is CLIP's, or its like."""
        folder = _folder_of(address)
        if address.kind == "open_clip" or folder is None:
            return folder is not None
        return _kind_of(folder) in _KINDS

    def list(self, like: str | None) -> Iterator[Start]:
        """Yield none: folders are named."""
        del like
        yield from ()

    def find(self, address: Address) -> Start:
        """Return the start of a folder.

        Raises:
            StartError: If it is SigLIP 2's, of any number of patches.
        """
        from headstart.starts.duals.clip_building import clip_spec

        folder = _folder_of(address)
        assert folder is not None
        if address.kind != "open_clip" and _kind_of(folder) == _OTHER:
            raise StartError(
                f"'{address.text}' is of model_type '{_OTHER}', which reads any number of patches. "
                "Expected model_type 'clip' or 'siglip', which SigLIP 2 of one size has, too. "
                "Choose such a folder, or a pair such as "
                "pip/efficientnet-lite0+pip/all-minilm-l6-v2."
            )
        return Start(
            address=address.text,
            family="vit",
            modality="image",
            num_parameters=0,
            licence="unknown",
            pretrained_on="unknown (local weights)",
            objective="contrastive",
            image=clip_spec(folder),
            is_local=True,
        )

    def require(self, address: Address) -> None:
        """Refuse it without transformers."""
        require_text_extra(f"'{address.text}'", "transformers", "tokenizers")

    def build(
        self, start: Start, address: Address, request: BuildRequest, former: FormerRun | None
    ) -> Encoder:
        """Build both networks for captions, that of images for everything else."""
        from headstart.starts.duals.clip_building import build_clip_again, build_clip_start

        if former is not None:
            return build_clip_again(start, request, former)
        folder = _folder_of(address)
        assert folder is not None
        return build_clip_start(start, folder, request)

    def network_builder(self, builder: str) -> Callable[..., nn.Module]:
        """Return the builder of that name."""
        from headstart.starts.duals.clip import build_clip, build_clip_image

        return build_clip if builder == _WHOLE else build_clip_image

    def check_preprocess(self, architecture: Architecture, preprocess: Preprocess) -> None:
        """Refuse a tokenizer with more tokens than the network of texts."""
        from headstart.preprocessing import ImageTextPreprocess
        from headstart.starts.texts.vocabulary_check import check_vocabulary

        config = architecture.options["config"]
        text = config.get("text_config") if isinstance(config, dict) else None
        if isinstance(preprocess, ImageTextPreprocess) and isinstance(text, dict):
            check_vocabulary(preprocess.text.tokenizer, text, architecture.start.address)


def _folder_of(address: Address) -> Path | None:
    """Return the transformers folder of an address, where it is on this machine."""
    if address.kind == "hub":
        return cached_folder(address.name)
    return address.path if address.kind in ("transformers", "open_clip") else None


def _kind_of(folder: Path) -> str | None:
    """Return the model_type that a folder's configuration names."""
    kind = read_json(folder / "config.json").get("model_type")
    return kind if isinstance(kind, str) else None
