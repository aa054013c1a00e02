"""What a model that writes tells of samples: how well it tells their targets, and its own texts.

Two passes, both without gradients. In one every token of a target is told from those before it
(teacher forcing), as while learning: its losses are what validation and perplexity are made of. In
the other the network writes, batch by batch of samples of like length; that takes many times as
long, so that a validation asks it of some samples alone.

The seam to networks and to preprocessing is small: inputs hold the ids of targets (``told``) and
give what is written from (``asked``); an encoder's network writes ids (``tell``); the preprocessing
makes texts of ids (``text_of``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from headstart.events import emit
from headstart.model.network import Model
from headstart.starts import WritingNetwork
from headstart.tensors import evaluating, to_tensors
from headstart.training.contract import StopRequested, never
from headstart.types import Inputs
from headstart.types.ragged import IGNORED, Ragged
from headstart.types.texts import Telling, text_array, told_rows

_LOGIT_BYTES = 256 * 10**6  # of one pass of teacher forcing
_SUMMED_TOKENS = 8_192  # of one pass of a network that hands on sums
_MOST_SAMPLES, _MOST_WRITTEN = 128, 64  # of a pass; of one that writes, with every beam


def tell_texts(
    model: Model,
    inputs: Inputs,
    compute: Callable[..., Tensor] | None = None,
    *,
    how: Telling | None = None,
    places: np.ndarray | None = None,
    name: str | None = None,
    stop_requested: Callable[[], bool] = never,
) -> np.ndarray:
    """Return what a model tells of samples.

    Args:
        model: Gives the network, the device, and how it writes.
        inputs: The samples; with targets their losses are told, too.
        compute: What a model's forward takes to its logits (B, T, K); None for the model itself.
        how: Beams and length; None as the model is served.
        places: int64, of the samples to write for; None for all.
        name: Name of the progress line; None shows none.
        stop_requested: Whether someone asked to stop; asked between two batches.

    Returns:
        N rows of ``TOLD``; the text of a sample that nothing was written for is None.

    Raises:
        StopRequested: If someone asked to stop.
    """
    num = len(inputs)
    written = np.arange(num) if places is None else places
    if not getattr(inputs, "are_asked", True):
        written = written[:0]  # texts that stand alone answer nothing
    with evaluating(model):
        found = _forced(model, inputs, compute or model)
        asked_how = how or model.telling
        batches = _alike(inputs, written, asked_how.num_beams)
        texts = _written(model, inputs, batches, asked_how, stop_requested)
        done = 0
        for some, told in zip(batches, texts, strict=True):
            found["text"][some] = text_array(told)
            done += len(some)
            if name:
                emit("task", name=name, done=done, total=len(written))
    return found


def writer_of(model: Model) -> WritingNetwork:
    """Return the network of a model that writes."""
    network = model.encoder.network
    assert isinstance(network, WritingNetwork)
    return network


def _forced(model: Model, inputs: Inputs, compute: Callable[..., Tensor]) -> np.ndarray:
    """Return rows without texts: the losses of the targets' tokens, where inputs hold them."""
    num, wanted = len(inputs), inputs.told
    found = told_rows([None] * num)
    if wanted is None or not num:
        return found
    assert isinstance(wanted, Ragged)
    if (sizes := getattr(inputs, "num_bytes", None)) is not None:
        found["num_bytes"] = sizes
    if writer_of(model).hands_on_sums:
        return _summed(model, inputs, compute, found)
    lengths = inputs.batch_order
    order = np.arange(num) if lengths is None else np.argsort(lengths, kind="stable")
    longest, size = wanted.lengths, 1
    start = 0
    while start < num:
        places = order[start : start + size]
        logits = compute(*to_tensors(inputs.arrays(places), model.device))
        told = torch.from_numpy(wanted[places].padded(IGNORED)).to(model.device)
        counts = told != IGNORED
        losses = functional.cross_entropy(
            logits.float().flatten(0, 1),
            told.flatten(),
            ignore_index=IGNORED,
            reduction="none",
        )
        found["loss"][places] = losses.view(told.shape).double().sum(1).cpu().numpy()
        found["num_tokens"][places] = counts.sum(1).cpu().numpy()
        found["num_right"][places] = ((logits.argmax(-1) == told) & counts).sum(1).cpu().numpy()
        start += len(places)
        if start < num:  # as many as their logits leave room for
            width = int(longest[order[start : start + _MOST_SAMPLES]].max())
            each = 4 * width * logits.shape[2]
            size = max(1, min(_MOST_SAMPLES, _LOGIT_BYTES // each))
    return found


def _summed(
    model: Model, inputs: Inputs, compute: Callable[..., Tensor], found: np.ndarray
) -> np.ndarray:
    """Return the rows of a network that sums up itself what it tells of each sample.

    Samples of like length come together, so that few of their rows stand half empty.
    """
    lengths = np.ones(len(inputs)) if inputs.lengths is None else inputs.lengths
    order = np.argsort(lengths, kind="stable")[::-1]
    bounds = np.flatnonzero(np.diff(np.cumsum(lengths[order]) // _SUMMED_TOKENS)) + 1
    for places in np.split(order, bounds):
        sums = compute(*to_tensors(inputs.arrays(places), model.device)).double().cpu().numpy()
        found["loss"][places] = sums[:, 0]
        found["num_tokens"][places] = np.rint(sums[:, 1]).astype(np.int64)
        found["num_right"][places] = np.rint(sums[:, 2]).astype(np.int64)
    return found


def _written(
    model: Model,
    inputs: Inputs,
    batches: Sequence[np.ndarray],
    how: Telling,
    stop_requested: Callable[[], bool],
) -> Iterator[list[str]]:
    """Yield the texts that a model writes for each batch of places."""
    network = writer_of(model)
    preprocess: Any = model.encoder.preprocess
    given: Any = inputs
    for places in batches:
        if stop_requested():
            raise StopRequested
        asked = to_tensors(given.asked(places), model.device)
        is_read = len(inputs) == 1 and inputs.told is None and how.num_beams == 1
        if is_read and network.hands_on_tokens:
            heard = _Read(preprocess)
            ids = network.tell(*asked, how=how, on_token=heard)
            heard.end()
        else:
            ids = network.tell(*asked, how=how)
        yield [preprocess.text_of(row) for row in ids.cpu().numpy()]


class _Read:
    """What reads an answer while it is written, and tells each new piece of it.

    Args:
        preprocess: Makes texts of ids.
    """

    def __init__(self, preprocess: Any) -> None:
        self._preprocess, self._ids, self._told = preprocess, list[int](), ""

    def __call__(self, token: int) -> None:
        """Take the next token; a letter whose bytes are not all there waits for the rest."""
        self._ids.append(token)
        text = self._preprocess.text_of(np.array(self._ids, np.int64))
        if not text.endswith("\ufffd") and text.startswith(self._told) and text != self._told:
            emit("written", text=text[len(self._told) :], ends=False)
            self._told = text

    def end(self) -> None:
        """Tell what is left."""
        text = self._preprocess.text_of(np.array(self._ids, np.int64))
        emit("written", text=text[len(self._told) :], ends=True)


def _alike(inputs: Inputs, places: np.ndarray, num_beams: int) -> list[np.ndarray]:
    """Return places in batches of samples of like length, the longest first."""
    lengths = inputs.lengths
    size = max(1, _MOST_WRITTEN // num_beams)
    if lengths is not None:
        places = places[np.argsort(lengths[places], kind="stable")[::-1]]
    return [places[start : start + size] for start in range(0, len(places), size)]
