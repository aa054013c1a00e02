"""Where a language model begins: a head over the vocabulary for an encoder or a decoder.

Of a folder that holds one it is that; of an own pretraining what that one left; otherwise random.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from headstart.errors import RunFolderError
from headstart.events import emit
from headstart.model.words import MaskedWords, NextWords
from headstart.starts import Encoder
from headstart.starts.addresses import WEIGHTS_NAME, parse_address
from headstart.starts.texts.networks import TextNetwork
from headstart.starts.texts.weights import find_folder
from headstart.starts.texts.word_heads import Kind, WordHead, build_head, load_head
from headstart.types import Start

HEAD = "head."


def masked_words(encoder: Encoder, start: Start) -> MaskedWords:
    """Return a masked language model with an encoder's weights.

    Args:
        encoder: Built from the start.
        start: Where it comes from; its head is taken where it has one.

    Raises:
        StartError: If transformers has no such model of the architecture.
    """
    return MaskedWords(encoder, _head(encoder, start, "masked"))


def next_words(encoder: Encoder, start: Start) -> NextWords:
    """Return a causal language model with a decoder's weights; arguments as ``masked_words``."""
    return NextWords(encoder, _head(encoder, start, "causal"))


def _head(encoder: Encoder, start: Start, kind: Kind) -> WordHead:
    network, address = encoder.network, parse_address(start.address)
    assert isinstance(network, TextNetwork)
    found: WordHead | list[str] = ["everything"]
    if address.kind in ("pip", "hub", "transformers"):
        found = load_head(network.model, find_folder(address), kind, start.address)
    if isinstance(found, WordHead):
        return found
    head = build_head(network.model, kind, start.address)
    if address.kind == "run" and address.path is not None:
        _load_own(head, address.path)
    elif start.pretrained_on is not None:
        emit(
            "note",
            text=f"'{start.address}' brings no head over its vocabulary: it starts random, but for "
            f"the embeddings that it shares.",
        )
    return head


def _load_own(head: WordHead, path: Path) -> None:
    """Take the head that an own pretraining has left, if it has left one of this kind.

    Raises:
        RunFolderError: If its weights cannot be read.
    """
    try:
        weights = load_file(str(path / WEIGHTS_NAME))
    except (OSError, SafetensorError) as error:
        raise RunFolderError(
            f"{path / WEIGHTS_NAME} cannot be read ({error}); expected what headstart wrote. Run "
            f"the pretraining again."
        ) from error
    own = {n.removeprefix(HEAD): t for n, t in weights.items() if n.startswith(HEAD)}
    wanted = {n: tuple(t.shape) for n, t in head.state_dict().items()}
    if {n: tuple(t.shape) for n, t in own.items()} == wanted:
        head.load_state_dict(own, strict=False)  # without the embeddings, which are shared
        return
    emit("note", text=f"'{path}' has no head over its vocabulary: it starts random.")
