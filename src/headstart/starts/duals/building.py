"""Building pairs of encoders: two starts side by side, with projections into one space."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headstart.errors import StartError
from headstart.preprocessing import ImagePreprocess, ImageTextPreprocess, TokenPreprocess
from headstart.starts.addresses import Address
from headstart.starts.architecture import Option, write_architecture
from headstart.starts.duals.networks import DualNetwork, build_dual
from headstart.starts.encoder import Encoder
from headstart.starts.images.builders import build_image_encoder
from headstart.starts.provider import BuildRequest, FormerRun
from headstart.starts.texts.builders import build_token_encoder
from headstart.starts.texts.configs import set_dropout
from headstart.starts.weights import load_checked
from headstart.tensors import seeded
from headstart.types import Start

BUILDER = "dual"
WIDTH = 256  # of the common space


def build_pair(
    start: Start, parts: tuple[tuple[Start, Address], ...], request: BuildRequest
) -> Encoder:
    """Build a pair of two starts, with their weights and random projections.

    Args:
        start: The pair.
        parts: The start of images and that of texts, each with its address.
        request: The look of the images, and the captions of train.

    Raises:
        StartError: If one of both cannot be built for these data.
    """
    (image_start, image_address), (text_start, text_address) = parts
    image = build_image_encoder(image_start, image_address, replace(request, wanted=()), None)
    if hasattr(image.network, "learn_patches"):
        raise StartError(
            f"'{image_start.address}' learns its first layer from images before it is trained, "
            "which a pair does not. Expected another network. Choose scratch/simple-cnn, or a "
            "pretrained one."
        )
    of_texts = BuildRequest(
        texts=request.wanted,
        max_length=request.max_length,
        dropout=request.dropout,
        pooling="mean",
        seed=request.seed,
    )
    text = build_token_encoder(text_start, text_address, of_texts, None)
    with seeded(request.seed):
        widths = image.num_features, text.num_features
        network = DualNetwork(image.network, text.network, widths, WIDTH)
    image_part, text_part = (
        {
            "builder": one.architecture["builder"],
            "options": one.architecture["options"],
            "num_features": one.num_features,
        }
        for one in (image, text)
    )
    options: dict[str, Option] = {"image": image_part, "text": text_part, "width": WIDTH}
    assert isinstance(image.preprocess, ImagePreprocess)
    assert isinstance(text.preprocess, TokenPreprocess)
    return _encoder(network, start, ImageTextPreprocess(image.preprocess, text.preprocess), options)


def build_again(start: Start, request: BuildRequest, former: FormerRun) -> Encoder:
    """Build the pair of a run, with what it has learned.

    Args:
        start: The run.
        request: Names the column of images.
        former: The run.

    Raises:
        StartError: If its weights do not fit, or another size or more tokens are asked for.
    """
    parts = former.architecture
    preprocess = parts.read_preprocess(former.path)
    assert isinstance(preprocess, ImageTextPreprocess)
    own, tokenizer = preprocess.image.spec, preprocess.text.tokenizer
    if request.size not in (None, own.size):
        raise StartError(
            f"The run '{start.address}' reads images of {own.size} pixels, and {request.size} are "
            "asked for. Expected its own size. Leave --input-size out."
        )
    if (request.max_length or 1) > tokenizer.max_length:
        raise StartError(
            f"The run '{start.address}' reads {tokenizer.max_length} tokens of a text, and "
            f"{request.max_length} are asked for. Expected at most its own. Say a smaller "
            "--max-length, or leave it out."
        )
    spec = replace(own, framing=request.framing, value_range=request.value_range)
    text = TokenPreprocess(tokenizer.with_max_length(request.max_length or tokenizer.max_length))
    options = _options_again(start, request, **parts.options)  # type: ignore[arg-type]
    with seeded(request.seed):
        network = build_dual(**options)  # type: ignore[arg-type]  # as ``rebuild`` checked
    load_checked(network, former.read_tensors(), start.address, "Train the run again.")
    assert isinstance(network, DualNetwork)
    image = ImagePreprocess(spec, request.column)
    return _encoder(network, start, ImageTextPreprocess(image, text), options)


def _options_again(
    start: Start,
    request: BuildRequest,
    *,
    image: dict[str, Any],
    text: dict[str, Any],
    width: int,
) -> dict[str, Option]:
    """Return the options of a run's pair, with what is said of depth and dropout."""
    drawn = {**image["options"], "drop_path": request.drop_path}
    told = text["options"]
    if request.dropout is not None:
        told = {**told, "config": set_dropout(told["config"], request.dropout, start.address)}
    image, text = {**image, "options": drawn}, {**text, "options": told}
    return {"image": image, "text": text, "width": width}


def _encoder(
    network: DualNetwork,
    start: Start,
    preprocess: ImageTextPreprocess,
    options: dict[str, Option],
) -> Encoder:
    return Encoder(
        network,
        start=start,
        preprocess=preprocess,
        architecture=write_architecture(BUILDER, options, start, preprocess.to_json()),
        num_features=network.num_features,
    )
