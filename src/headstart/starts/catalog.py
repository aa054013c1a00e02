"""The catalogue of starts: what can be listed and what an address describes.

Reads timm's registry, the hub cache on disk and the installed packages. Nothing here goes to the
network or opens weights. Parameter counts of timm starts are known for the curated list only (they
were counted once, and a test counts them again); elsewhere 0 says that nobody has counted.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from headstart.errors import StartError, did_you_mean, quoted
from headstart.starts.addresses import Address, parse_address
from headstart.types import Modality, Start

MODALITIES = ("image", "text", "table")

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


def list_starts(modality: Modality = "image", like: str | None = None) -> list[Start]:
    """List starting points.

    Args:
        modality: What they read.
        like: None for a curated list; otherwise a glob or a part of a name, looked for in every
            start that timm, pip and headstart have (``"resnet*"``); of the hub's text encoders
            only well-known ones can be listed.

    Returns:
        Starts from pip, then random ones, then timm's or the hub's; empty where nothing matches.

    Example:
        >>> list_starts(like="scratch/*")[0].address
        'scratch/simple-cnn'
    """
    if modality != "image":
        return _list_others(modality, like)
    from headstart.starts.images.lite import LITE_MODELS, describe_lite
    from headstart.starts.images.scratch import NAMED, describe_scratch
    from headstart.starts.images.timm_catalog import describe_start

    pip = [f"pip/{name}" for name in LITE_MODELS]
    scratch = [f"scratch/{name}" for name in NAMED]
    timm_names = _pretrained_names()
    # A timm release may rename a tag; a curated start it does not have is no start.
    chosen = timm_names if like is not None else [n for n in CURATED if n in set(timm_names)]
    found = [describe_lite(a.removeprefix("pip/")) for a in pip if _matches(a, like)]
    found += [
        describe_scratch(name, NAMED[name])
        for name in (a.removeprefix("scratch/") for a in scratch if _matches(a, like))
    ]
    for name in chosen:
        if _matches(f"timm/{name}", like):
            try:
                found.append(describe_start(name, CURATED.get(name, 0)))
            except StartError:
                continue  # its preprocessing is one headstart lacks (not square): not offered
    return found


def find_start(address: str) -> Start:
    """Return the start that an address names.

    Args:
        address: ``timm/<name[.tag]>``, ``timm/<name>:<file.safetensors>``, ``scratch/<name>``,
            ``pip/<name>``, ``<owner>/<name>`` of the hub, a timm or transformers folder, a
            safetensors file or a headstart run.

    Raises:
        StartError: If there is no such start (with the nearest match), or it is a pickle file.

    Example:
        >>> find_start("pip/efficientnet-lite0").pretrained_on
        'ImageNet-1k'
    """
    parsed = parse_address(address)
    if parsed.kind == "timm":
        return _find_timm(parsed)
    if parsed.kind == "scratch":
        return _find_scratch(parsed)
    if parsed.kind == "pip":
        from headstart.starts.images.lite import LITE_MODELS, describe_lite
        from headstart.starts.texts.catalog import PIP_NAMES, describe_pip

        if parsed.name in PIP_NAMES:
            return describe_pip(parsed.name)
        if parsed.name not in LITE_MODELS:
            raise _unknown(address)
        return describe_lite(parsed.name)
    if parsed.kind in ("timm-file", "folder", "file"):
        from headstart.starts.local import describe_local

        return describe_local(parsed)
    if parsed.kind in ("hub", "transformers"):
        from headstart.starts.texts.catalog import describe_hub, describe_text_folder

        is_hub = parsed.kind == "hub"
        return describe_hub(parsed.name) if is_hub else describe_text_folder(parsed)
    if parsed.kind == "run" and parsed.path is not None:
        from headstart.starts.local import read_run

        return read_run(parsed.path)[1]
    if parsed.kind == "module":
        raise StartError(
            f"'{address}' is a module of somebody's own, which has no address. Expected an address "
            f"that 'headstart starts' lists. In Python, give the module itself (wrap_module)."
        )
    raise _unknown(address)


def _list_others(modality: Modality, like: str | None) -> list[Start]:
    """Return the starts for texts or tables that fit."""
    if modality == "text":
        from headstart.starts.texts.catalog import list_text_starts

        return [start for start in list_text_starts() if _matches(start.address, like)]
    if modality == "table":
        from headstart.starts.tables.builders import describe_table_starts

        return [start for start in describe_table_starts() if _matches(start.address, like)]
    raise StartError(
        f"Unknown modality {modality!r}.{did_you_mean(str(modality), MODALITIES)} Expected "
        f"{quoted(MODALITIES)}. Choose one of them."
    )


def _find_timm(parsed: Address) -> Start:
    """Return the pretrained timm start, or refuse."""
    import timm

    from headstart.starts.images.timm_catalog import describe_start, split_tag

    names = _pretrained_names()
    architecture, tag = split_tag(parsed.name)
    if parsed.name in names or (not tag and any(n.startswith(f"{architecture}.") for n in names)):
        return describe_start(parsed.name, CURATED.get(parsed.name, 0))
    if timm.is_model(architecture) and not tag:
        raise StartError(
            f"timm has no pretrained weights for '{parsed.text}'. Give a file as "
            f"'{parsed.text}:<file.safetensors>', or 'scratch/{architecture}' for random weights."
        )
    raise _unknown(parsed.text)


def _find_scratch(parsed: Address) -> Start:
    """Return the start with random weights, or refuse."""
    from headstart.starts.images.scratch import NAMED, describe_scratch
    from headstart.starts.tables.builders import NAMED as TABLE_NAMED
    from headstart.starts.tables.builders import describe_table_starts
    from headstart.starts.texts.catalog import SCRATCH_NAMES, describe_text_scratch

    if parsed.name in SCRATCH_NAMES:
        return describe_text_scratch(parsed.name)
    if parsed.name in TABLE_NAMED:
        return next(s for s in describe_table_starts() if s.address == parsed.text)
    if parsed.name in NAMED:
        return describe_scratch(parsed.name, NAMED[parsed.name])
    import timm

    from headstart.starts.images.timm_catalog import family_of

    if timm.is_model(parsed.name):
        return describe_scratch(parsed.name, family_of(parsed.name))
    raise _unknown(parsed.text)


def _unknown(address: str) -> StartError:
    """Return the refusal of an address, with the nearest of all addresses."""
    import timm

    from headstart.starts.images.lite import LITE_MODELS
    from headstart.starts.images.scratch import NAMED
    from headstart.starts.tables.builders import NAMED as TABLE_NAMED
    from headstart.starts.texts.catalog import CURATED as HUB
    from headstart.starts.texts.catalog import PIP_NAMES, SCRATCH_NAMES

    pretrained = _pretrained_names()
    known = [f"pip/{name}" for name in (*LITE_MODELS, *PIP_NAMES)]
    known += [f"scratch/{name}" for name in (*NAMED, *SCRATCH_NAMES, *TABLE_NAMED)]
    known += HUB
    known += [f"timm/{name}" for name in dict.fromkeys(n.partition(".")[0] for n in pretrained)]
    if "." in address:
        known += [f"timm/{name}" for name in pretrained]
    if address.startswith("scratch/"):
        known += [f"scratch/{name}" for name in timm.list_models()]
    return StartError(
        f"Unknown start '{address}'.{did_you_mean(address, known)} "
        f"'headstart starts' lists them all."
    )


def _pretrained_names() -> list[str]:
    """Return every timm name with pretrained weights, with its tag."""
    import timm

    return [str(name) for name in timm.list_pretrained()]


def _matches(address: str, like: str | None) -> bool:
    """Return whether an address, or its name after the slash, fits a glob or contains a text."""
    if like is None:
        return True
    if any(sign in like for sign in "*?["):
        name = address.partition("/")[2]
        return any(fnmatchcase(text, like) for text in (address, name, name.partition(".")[0]))
    return like in address
