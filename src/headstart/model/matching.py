"""Embeddings of images and of texts that are given apart, by a model that matches both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from headstart.model.network import Model
from headstart.preprocessing import ImageTextPreprocess
from headstart.starts import PairNetwork
from headstart.tensors import evaluating, to_tensors
from headstart.types import Ragged, Rows

_TEXTS = 32  # of a pass


def embed_texts(model: Model, texts: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Return embeddings of texts, float32, shape (M, P).

    Args:
        model: One that matches images and texts.
        texts: M of them.
        names: What to call each in a refusal.

    Raises:
        DataError: One cannot be used.
    """
    network, preprocess = model.encoder.network, model.encoder.preprocess
    assert isinstance(network, PairNetwork)
    assert isinstance(preprocess, ImageTextPreprocess)
    tokens = preprocess.read_texts(texts, names)
    order = np.argsort(tokens.lengths, kind="stable")
    found = np.empty((len(texts), network.num_features), np.float32)
    with evaluating(model), torch.no_grad():
        for start in range(0, len(order), _TEXTS):
            places = order[start : start + _TEXTS]
            ids, mask = to_tensors(tokens.arrays(places), model.device)
            found[places] = network.text_rows(ids, mask).float().cpu().numpy()
    return found


def image_embeddings(outputs: Rows) -> np.ndarray:
    """Return the rows of images among what a model gives, shape (N, P), the temperature in them."""
    assert isinstance(outputs, Ragged)
    rows: np.ndarray = outputs.flat[outputs.offsets[:-1]]
    return rows
