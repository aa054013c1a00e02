"""Building CLIP of a transformers folder: for captions both networks, for labels that of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from headstart.errors import StartError
from headstart.preprocessing import ImagePreprocess, ImageTextPreprocess, TokenPreprocess
from headstart.preprocessing.framing import framed_size
from headstart.preprocessing.json_records import read_json
from headstart.preprocessing.tokens import TextTokenizer
from headstart.preprocessing.vocabulary import load_tokenizer
from headstart.starts.addresses import OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS, WEIGHTS_NAME
from headstart.starts.architecture import Option, write_architecture
from headstart.starts.duals.clip import (
    CLIP_BUILDER,
    CLIP_IMAGE_BUILDER,
    SIGLIP,
    TEMPLATES,
    ClipImageNetwork,
    ClipNetwork,
    both_networks,
    build_clip,
    build_clip_image,
    clean_clip,
    make_clip,
    model_class_of,
    read_clip,
    with_drop_path,
)
from headstart.starts.duals.open_clip import open_clip_config, open_clip_spec, read_open_clip
from headstart.starts.encoder import Encoder
from headstart.starts.images.adapt import fit_spec
from headstart.starts.provider import BuildRequest, FormerRun
from headstart.starts.texts.weights import read_weights
from headstart.starts.weights import load_checked
from headstart.tensors import evaluating, seeded
from headstart.types import ImageSpec, Start

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)  # SigLIP's
_BICUBIC = 3


def clip_spec(folder: Path) -> ImageSpec:
    """Return how a folder's images are read, by its ``preprocessor_config.json``."""
    is_open = (folder / OPEN_CLIP_CONFIG).is_file() and not (folder / WEIGHTS_NAME).is_file()
    config: Mapping[str, Any]
    config = open_clip_config(folder, str(folder)) if is_open else read_json(folder / "config.json")
    vision = config.get("vision_config")
    size: Any = vision.get("image_size", 224) if isinstance(vision, dict) else 224
    path = folder / "preprocessor_config.json"
    told: dict[str, Any] = read_json(path) if path.is_file() else {}
    usual = (_HALF, _HALF) if config.get("model_type") == SIGLIP else (_MEAN, _STD)
    mean, std = (
        tuple(told.get(f"image_{name}", own))
        for name, own in zip(("mean", "std"), usual, strict=True)
    )
    is_bicubic = told.get("resample", _BICUBIC) == _BICUBIC
    spec = ImageSpec(size, 3, mean, std, "bicubic" if is_bicubic else "bilinear", size, 3)
    return open_clip_spec(folder, spec) if is_open else spec


def build_clip_start(start: Start, folder: Path, request: BuildRequest) -> Encoder:
    """Build CLIP for some data, with its weights.

    Args:
        start: The folder as a start.
        folder: With ``config.json``, safetensors and a tokenizer.
        request: The look of the images; whether captions are matched, or which classes there are.

    Raises:
        StartError: If weights are missing or do not fit, or another input size is asked for.
    """
    _refuse_dropout(start, request)
    model, config = _read(start, folder)
    tokenizer = load_tokenizer(folder, start.address)
    text = _text(tokenizer, config, request)
    image = _image(start, clip_spec(folder), request)
    whole = with_drop_path(both_networks(model), request.drop_path)
    if request.matches_texts:
        both = ImageTextPreprocess(image, text)
        return _encoder(whole, CLIP_BUILDER, start, both, config, request)
    rows = _class_rows(whole, text.tokenizer, request.class_names)
    network = ClipImageNetwork(model)
    network.class_rows = rows
    return _encoder(network, CLIP_IMAGE_BUILDER, start, image, config, request)


def _read(start: Start, folder: Path) -> tuple[Any, dict[str, object]]:
    """Return transformers' model with a folder's weights, and its configuration."""
    model: Any
    if (folder / OPEN_CLIP_WEIGHTS).is_file() and not (folder / WEIGHTS_NAME).is_file():
        config = clean_clip(open_clip_config(folder, start.address), start.address)
        model = make_clip(config)
        weights = read_open_clip(folder, start.address)
        load_checked(model, weights, start.address, "Get the folder again.")
    else:
        config = clean_clip(read_json(folder / "config.json"), start.address)
        read = read_clip(config, start.address)
        model, _ = read_weights(model_class_of(config), folder, read, start.address)
    model.train()
    return model, config


def build_clip_again(start: Start, request: BuildRequest, former: FormerRun) -> Encoder:
    """Build the CLIP of a run, with what it has learned.

    Raises:
        StartError: If it has let one of its networks go that is needed.
    """
    _refuse_dropout(start, request)
    parts = former.architecture
    is_whole = parts.builder == CLIP_BUILDER
    if is_whole != request.matches_texts:
        kept, needed = ("images and texts", "labels") if is_whole else ("images", "captions")
        raise StartError(
            f"The run '{start.address}' holds CLIP for {kept}, and these data have {needed}. "
            "Expected a run on such data. Give the folder that the run began with."
        )
    preprocess = parts.read_preprocess(former.path)
    own = preprocess.main
    assert isinstance(own, ImagePreprocess)
    image = _image(start, own.spec, request)
    config: Any = parts.options["config"]
    with seeded(request.seed):
        build = build_clip if is_whole else build_clip_image
        network = build(config, request.drop_path)
    load_checked(network, former.read_tensors(), start.address, "Train the run again.")
    read: ImagePreprocess | ImageTextPreprocess = image
    if isinstance(preprocess, ImageTextPreprocess):
        own_length = preprocess.text.tokenizer.max_length
        asked = replace(request, max_length=request.max_length or own_length)
        read = ImageTextPreprocess(image, _text(preprocess.text.tokenizer, config, asked))
    return _encoder(network, parts.builder, start, read, config, request)


def _refuse_dropout(start: Start, request: BuildRequest) -> None:
    if request.dropout is not None:
        raise StartError(
            f"encoder_dropout is {request.dropout:g}, and CLIP ('{start.address}') has none but "
            "that of its attention. Expected none said. Leave --encoder-dropout out."
        )


def _text(
    tokenizer: TextTokenizer, config: Mapping[str, Any], request: BuildRequest
) -> TokenPreprocess:
    """Return how texts are read: as long as CLIP takes them, or as was said."""
    limit = min(int(config["text_config"]["max_position_embeddings"]), tokenizer.own_limit)
    return TokenPreprocess(tokenizer.with_max_length(min(request.max_length or limit, limit)))


def _image(start: Start, native: ImageSpec, request: BuildRequest) -> ImagePreprocess:
    """Return how images are read, at CLIP's own size."""
    if request.size not in (None, native.size):
        raise StartError(
            f"'{start.address}' reads images of {native.size} pixels, and {request.size} are asked "
            "for. Expected its own size, which its positions are for. Leave --input-size out."
        )
    spec = fit_spec(
        replace(native, framing=request.framing, value_range=request.value_range),
        image_size=framed_size(request.image_size, request.framing),
        image_channels=request.image_channels,
        size=native.size,
        channels=3,
    )
    return ImagePreprocess(spec, request.column)


def _class_rows(
    network: ClipNetwork, tokenizer: TextTokenizer, classes: Sequence[str]
) -> Tensor | None:
    """Return a row a class: the mean of its prompts, times the temperature; None without classes.

    Source:
        A. Radford et al., ICML 2021 (CLIP), section 3.1.4: prompts in one embedding.
    """
    if not classes:
        return None
    rows = []
    with evaluating(network), torch.no_grad():
        for name in classes:
            texts = [form.format(name.replace("_", " ")) for form in TEMPLATES]
            tokens, _ = tokenizer.encode(texts)
            width = max(map(len, tokens))
            ids = torch.full((len(texts), width), max(0, tokenizer.pad_id), dtype=torch.int64)
            mask = torch.zeros_like(ids)
            for row, token in enumerate(tokens):
                ids[row, : len(token)] = torch.as_tensor(token, dtype=torch.int64)
                mask[row, : len(token)] = 1
            mean = network.embed_texts(ids, mask).mean(dim=0)
            rows.append(functional.normalize(mean, dim=0))
        return torch.stack(rows) * network.scale()


def _encoder(
    network: Any,
    builder: str,
    start: Start,
    preprocess: ImagePreprocess | ImageTextPreprocess,
    config: dict[str, object],
    request: BuildRequest,
) -> Encoder:
    options: dict[str, Option] = {"config": config, "drop_path": request.drop_path}
    return Encoder(
        network,
        start=start,
        preprocess=preprocess,
        architecture=write_architecture(builder, options, start, preprocess.to_json()),
        num_features=network.num_features,
    )
