"""The pooled features of a frozen encoder, computed once: all probes of its weights read them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch

from headstart.engines import PLAIN
from headstart.model import Model, pass_size, run_batches, settle_engine, weights_digest
from headstart.preprocessing import JoinedInputs, Terms
from headstart.starts.joined import JoinedNetwork
from headstart.storage.cache import CacheError, without_cache
from headstart.tasks import array_of
from headstart.tensors import evaluating
from headstart.training.batches.feed import ids_digest
from headstart.training.contract import never, stoppable
from headstart.training.frozen.activations import ActivationCache, Layout, activation_key
from headstart.training.frozen.slots import Slot
from headstart.types import Dataset, Inputs

_pool: ContextVar[Dataset | None] = ContextVar("headstart_pool", default=None)
_WORTH_SECONDS = 0.5  # features that took less are not worth a place on disk


def features_of(
    model: Model,
    inputs: Inputs,
    *,
    name: str | None = None,
    stop_requested: Callable[[], bool] = never,
) -> np.ndarray:
    """Return features, float32, shape (N, D), of a model as it stands; computed once, then kept.

    Args:
        model: Its encoder's weights are part of the key.
        inputs: The samples; their ids name their content.
        name: Name of the progress line; None shows none.
        stop_requested: Whether someone asked to stop.

    Raises:
        StopRequested: Between two batches, if someone asked to stop.
    """
    if (shared := _of_pool(model, inputs, name, stop_requested)) is not None:
        return shared
    layout = _layout(model, inputs)
    cache, key, kept = _looked_up(model, inputs, layout)
    if kept is not None:
        return kept
    began = time.monotonic()
    compute = stoppable(model.features, stop_requested)
    features = array_of(run_batches(model, inputs, compute, name=name))
    if cache is not None and time.monotonic() - began > _WORTH_SECONDS:
        whole = np.arange(len(inputs))
        about = f"features of {model.encoder.start.address}"
        try:
            cache.fill(key, layout, [(whole, (torch.from_numpy(features),))], about=about)
        except CacheError as error:
            without_cache(error)
    return features


def sparse_features(model: Model, inputs: Inputs) -> Any:
    """Return the features of weighed terms, SciPy CSR, shape (N, D); None where they are dense.

    Columns that stand beside texts are made dense and put behind the terms.
    """
    if isinstance(inputs, Terms):
        return inputs.matrix
    network = model.encoder.network
    if not isinstance(inputs, JoinedInputs) or not isinstance(inputs.main, Terms):
        return None
    from scipy.sparse import csr_matrix, hstack

    assert isinstance(network, JoinedNetwork)
    cells = inputs.cells.arrays(np.arange(len(inputs)))
    with evaluating(model):
        rows = network.rows(*(torch.from_numpy(one).to(model.device) for one in cells))
    beside = csr_matrix(rows.float().cpu().numpy())
    return hstack([inputs.main.matrix, beside], format="csr")


@contextmanager
def pool_shared(pool: Dataset | None) -> Iterator[None]:
    """Let divisions of the same data share features inside the block.

    Those of a pretrained start are computed once for all samples of the pool; every division reads
    its own rows of them.

    Args:
        pool: All samples as one train split; None shares nothing.
    """
    token = _pool.set(pool)
    try:
        yield
    finally:
        _pool.reset(token)


def _of_pool(
    model: Model, inputs: Inputs, name: str | None, stop_requested: Callable[[], bool]
) -> np.ndarray | None:
    """Return features as rows of those of the whole pool; None where nothing is shared."""
    pool = _pool.get()
    if pool is None or model.encoder.start.pretrained_on is None:
        return None
    with pool_shared(None):
        whole = model.encoder.preprocess.prepare(pool, "train")
        if not np.isin(inputs.ids, whole.ids).all():
            return None
        features = features_of(model, whole, name=name, stop_requested=stop_requested)
    order = np.argsort(whole.ids, kind="stable")
    places = order[np.searchsorted(whole.ids, inputs.ids, sorter=order)]
    return np.asarray(features[places])


def features_kept(model: Model, inputs: Inputs) -> bool:
    """Return whether the cache has the features of a model as it stands.

    Args:
        model: The model.
        inputs: The samples.
    """
    return _looked_up(model, inputs, _layout(model, inputs))[2] is not None


def _layout(model: Model, inputs: Inputs) -> Layout:
    slot = Slot((model.encoder.num_features,), "float32", (0,))
    return Layout((slot,), len(inputs))


def _looked_up(
    model: Model, inputs: Inputs, layout: Layout
) -> tuple[ActivationCache | None, str, np.ndarray | None]:
    """Return the cache, if there is one, the key of features, and these, where they are kept."""
    parts: dict[str, object] = {
        "features": weights_digest(model.encoder),
        "architecture": repr(model.encoder.architecture),
        "preprocess": model.encoder.preprocess.digest(),
        "ids": ids_digest(inputs),
        "device": model.device.type,
    }
    key = activation_key(parts)
    try:
        cache = ActivationCache()
        if (store := cache.open(key, layout)) is not None:
            return cache, key, store.rows(np.arange(len(inputs)))[0]
        # another engine's are other features; PyTorch's will do for any
        choice, _ = settle_engine(model, inputs, pass_size(model, inputs))
        if choice != PLAIN:
            key = activation_key({**parts, "computed": choice.to_json()})
            if (store := cache.open(key, layout)) is not None:
                return cache, key, store.rows(np.arange(len(inputs)))[0]
    except CacheError as error:
        without_cache(error)
        return None, key, None
    return cache, key, None
