"""The frozen first layers of a network, computed once.

``freeze_prefix`` cuts a network whose first layers are frozen, runs
the frozen part once per sample and view, and hands the loop batches, a forward and a check that
run the rest alone. What cannot be cut, or does not pay, trains uncached, and that is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from headstart.engines import outputs_as
from headstart.errors import StartError
from headstart.events import emit
from headstart.model import Model, pass_size, split_passes, without_padding
from headstart.storage.cache import CacheError, without_cache
from headstart.tasks import array_of
from headstart.tensors import evaluating, to_tensors
from headstart.training.batches.augment import POLICIES, augment
from headstart.training.batches.cached_feed import CachedFeed
from headstart.training.batches.feed import ids_digest
from headstart.training.batches.order import WHOLE, Share
from headstart.training.contract import StopRequested
from headstart.training.frozen.activations import (
    ActivationCache,
    ActivationStore,
    Layout,
)
from headstart.training.frozen.cut import Cut, Uncut, cut_network
from headstart.training.frozen.views import Views, choose_views, views_seed
from headstart.training.options.recipe import Recipe
from headstart.training.options.strategies import find_strategy
from headstart.tuning.budget import share_until
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decided, Decisions
from headstart.tuning.engine_rule import known_engine
from headstart.tuning.frozen_job import FrozenJob, autocast, entry, with_engine
from headstart.types import Inputs, Rows


@dataclass(frozen=True)
class FrozenPrefix:
    """A network whose frozen part has been computed.

    Attributes:
        feed: Batches of what crosses the cut.
        forward: Those to logits, with gradients for what learns.
        check_logits: Logits of the validation samples, shape (M, K), in eval mode, by a function
            such as ``forward``.
        num_views: Views of each sample.
        train_features: Features, float32, shape (P, D), of training samples at places, shape (P,),
            by the model as it stands; None where what is kept has a narrower type than what
            ``features_of`` would compute.
        val_features: Those of all validation samples, shape (M, D); None likewise.
    """

    feed: CachedFeed
    forward: Callable[..., Tensor]
    check_logits: Callable[[Callable[..., Tensor]], Rows]
    num_views: int
    train_features: Callable[[np.ndarray], np.ndarray] | None
    val_features: Callable[[], np.ndarray] | None


def freeze_prefix(
    model: Model,
    recipe: Recipe,
    train: Inputs,
    val: Inputs,
    conditions: Conditions,
    *,
    num_epochs: float,
    share: Share = WHOLE,
) -> FrozenPrefix | None:
    """Compute the frozen part of a network once; None where it trains uncached, which is said.

    Args:
        model: The parameters that learn require gradients, and no others.
        recipe: Augmentation, precision, seed; ``views`` is what was asked for, or settled before:
            0 computes the frozen part at every step, None chooses.
        train: Learned from.
        val: Chosen by.
        conditions: How many views there are is settled for the whole run.
        num_epochs: Passes over train that are planned.
        share: Which part of every step is this process's.

    Raises:
        StopRequested: Between two batches, if someone asked to stop.
    """
    if recipe.views == 0:
        return None
    reason = _no_cut(model, recipe, train)
    if reason is None:
        found = _cut(model, recipe, train)
        if isinstance(found, Cut):
            job = FrozenJob(model, recipe, found, share, conditions.stop_requested)
            choose = partial(_choose_views, job, train, num_epochs, conditions)
            num_views = _settle_views(conditions.decisions, recipe, choose)
            try:
                return _fill(job, train, val, num_views) if num_views else None
            except CacheError as error:
                without_cache(error)
                return None
        reason = found.reason
    if reason:
        emit("note", text=f"It trains uncached: {reason}.")
    return None


def share_prefix(
    model: Model, recipe: Recipe, train: Inputs, share: Share, decisions: Decisions
) -> tuple[CachedFeed, Callable[..., Tensor]]:
    """Return the feed and the forward of a worker whose main process has frozen a prefix.

    Args:
        model: As the main process's.
        recipe: ``views`` is how many the main process has chosen.
        train: Learned from.
        share: Which part of every step is this process's.
        decisions: What the main process has settled.

    Raises:
        StartError: If the network cannot be cut here.
    """
    found = _cut(model, recipe, train)
    if not isinstance(found, Cut):
        raise StartError(
            f"The main process has cut the network and this one cannot ({found.reason}); "
            f"expected the same everywhere. Give --views 0 to train uncached."
        )
    job = FrozenJob(model, recipe, found, share, choice=known_engine(decisions, found))
    stores = _stores(job, ActivationCache(), train, recipe.views or 1)
    return _feed(job, train, stores), found.suffix


def _no_cut(model: Model, recipe: Recipe, train: Inputs) -> str | None:
    """Return why a network is not even tried, an empty text where nothing needs to be said."""
    frozen = [p for p in model.encoder.parameters() if not p.requires_grad]
    if not frozen or not find_strategy(recipe.strategy).is_cacheable:
        return ""  # adapters learn from the first layer on
    if recipe.mixup or recipe.cutmix:
        return "mixup and cutmix mix images before the frozen part"
    if model.task.tells_texts:
        return "what writes texts is read on both of its sides"
    if model.task.matches_texts:
        return "an image has several texts, and a batch more of these than images"
    if model.task.finds_texts:
        return "a question is read with every window of its context"
    if model.task.tells_words:
        return "which token answers for a word is asked behind the frozen part"
    if recipe.compile:
        return "a compiled network cannot be cut"
    if len(train) < 2:
        return "there are fewer than two samples"
    return None


def _cut(model: Model, recipe: Recipe, train: Inputs) -> Cut | Uncut:
    """Cut a model at the last point that nothing that learns precedes."""
    example = _example(model, recipe, train, 4)
    length_dim = None if train.lengths is None else 1
    with autocast(recipe, model.device):
        return cut_network(model, example, batchnorm=recipe.batchnorm, length_dim=length_dim)


def _example(model: Model, recipe: Recipe, train: Inputs, num: int) -> tuple[Tensor, ...]:
    """Return a batch as training has it, of the longest samples."""
    arrays = train.arrays(_longest(train)[:num])
    return to_tensors(arrays, model.device, channels_last=recipe.channels_last)


def _longest(inputs: Inputs) -> np.ndarray:
    """Return places, the longest samples first."""
    if inputs.lengths is None:
        return np.arange(len(inputs))
    return np.argsort(-inputs.lengths, kind="stable")


def _choose_views(
    job: FrozenJob, train: Inputs, num_epochs: float, conditions: Conditions
) -> Views:
    """Choose how many views pay, and fit the cache and the time that is left."""
    recipe, cut, deadline = job.recipe, job.cut, conditions.deadline
    lengths = train.lengths
    mean_length = 1.0 if lengths is None else float(lengths.mean())
    longest = 1.0 if lengths is None else float(lengths.max())
    layout = Layout(cut.kept, len(train), train.lengths)
    row = layout.row_bytes + int(layout.token_bytes * mean_length)
    views = choose_views(
        flop_share=cut.flop_share,
        num_epochs=num_epochs,
        is_augmented=POLICIES[recipe.augment] is not None,
        sample_flops=cut.flops * mean_length / longest,
        sample_bytes=row,
        num_samples=len(train),
        limit_bytes=_cache_limit(),
        wanted=recipe.views,
        device_type=job.model.device.type,
    )
    if deadline is not None and views.num:
        example = _example(job.model, recipe, train, pass_size(job.model, train))
        share = cut.time_share(*example)
        needed = views.num * len(train) * (conditions.seconds_per_sample or 0.0) * share
        if needed > share_until("frozen part", deadline):
            left = deadline - time.monotonic()
            why = f"its frozen part would take {needed:.0f} of the {left:.0f} s left"
            return Views(0, 1.0, 0, why)
    return views


def _cache_limit() -> int:
    """Return how many bytes the cache may hold, 0 where there is none."""
    try:
        return ActivationCache().limit_bytes
    except CacheError as error:
        without_cache(error)
        return 0


def _settle_views(decisions: Decisions, recipe: Recipe, choose: Callable[[], Views]) -> int:
    """Return how many views are kept; 0 where keeping none is better, or all that is possible.

    What is settled is how many are wanted: a later phase, or a later attempt at the same run, keeps
    as many where it can, and tells its own arithmetic.
    """
    chosen: list[Views] = []

    def decide() -> Decided[int]:
        chosen.append(choose())
        num, why = chosen[0].num, chosen[0].why
        return Decided(num or recipe.views or 0, why, num)

    decisions.settle("views", decide)
    if chosen:
        return chosen[0].num
    views = choose()
    emit("choice", name="views", value=views.num, why=views.why)
    return views.num


def _fill(job: FrozenJob, train: Inputs, val: Inputs, num_views: int) -> FrozenPrefix:
    """Compute the views, and hand out what the loop needs."""
    cache = ActivationCache()
    job = with_engine(job, cache, train, val, num_views)
    stores = _stores(job, cache, train, num_views)
    val_store = _store(job, cache, val, None)
    is_exact = job.recipe.precision == "fp32"
    return FrozenPrefix(
        _feed(job, train, stores),
        job.cut.suffix,
        partial(_logits, job, val, val_store),
        num_views,
        partial(_features, job, train, stores[0]) if is_exact else None,
        partial(_features, job, val, val_store, np.arange(len(val))) if is_exact else None,
    )


def _stores(
    job: FrozenJob, cache: ActivationCache, train: Inputs, num_views: int
) -> list[ActivationStore]:
    """Return what crosses the cut in each view, from the cache or computed."""
    # the first view is the sample as it is
    return [_store(job, cache, train, view or None) for view in range(num_views)]


def _feed(job: FrozenJob, train: Inputs, stores: Sequence[ActivationStore]) -> CachedFeed:
    """Return batches of what crosses the cut."""
    model, targets = job.model, job.model.standard_targets(train.targets)
    return CachedFeed(train, targets, job.recipe, model.device, job.cut, stores, job.share)


def _store(
    job: FrozenJob, cache: ActivationCache, inputs: Inputs, view: int | None
) -> ActivationStore:
    """Return the frozen part's outputs for one view of all samples, from the cache or computed."""
    key, layout = entry(job, inputs, view)
    store = cache.open(key, layout)
    if store is None:
        told = "" if view is None else f", view {view + 1}"
        batches = _passes(job, inputs, view, f"frozen part{told}")
        about = f"frozen part of {job.model.encoder.start.address}{told}"
        store = cache.fill(key, layout, batches, about=about)
    return store


def _passes(
    job: FrozenJob, inputs: Inputs, view: int | None, name: str
) -> Iterator[tuple[np.ndarray, Sequence[Tensor]]]:
    """Run the frozen part over all samples, those of like length together."""
    recipe, device = job.recipe, job.model.device
    policy = POLICIES[recipe.augment]
    seed = views_seed(ids_digest(inputs))
    order, done = _longest(inputs), 0
    run = None if job.run is None else job.run()
    types = [getattr(torch, slot.dtype) for slot in job.cut.kept]
    # passes as ``run_batches`` has them, so that what is computed from kept activations has the
    # bits of what is computed from the samples
    for places in split_passes(order, pass_size(job.model, inputs)):
        tensors = to_tensors(inputs.arrays(places), device, channels_last=recipe.channels_last)
        if view is not None and policy is not None:
            tensors = (augment(tensors[0], inputs.ids[places], policy, seed=seed, epoch=view),)
        if job.stop_requested():
            raise StopRequested
        if run is None:
            kept = job.compute(*tensors)
        else:
            with evaluating(job.model):
                kept = outputs_as(run(*tensors), types)
        done = min(len(order), done + len(places))
        emit("task", name=name, done=done, total=len(order))
        yield places, kept


def _logits(
    job: FrozenJob, inputs: Inputs, store: ActivationStore, compute: Callable[..., Tensor]
) -> Rows:
    """Return logits of samples whose frozen part is kept, in eval mode."""
    return _run_kept(job, inputs, store, compute, _longest(inputs))


def _features(
    job: FrozenJob, inputs: Inputs, store: ActivationStore, places: np.ndarray
) -> np.ndarray:
    """Return features, float32, shape (P, D), of samples whose frozen part is kept."""
    caught: list[Tensor] = []

    def compute(*crossing: Tensor) -> Tensor:
        job.cut.suffix(*crossing)
        return caught.pop()

    hook = job.model.head.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    try:
        order = _longest(inputs)
        rows = _run_kept(job, inputs, store, compute, order[np.isin(order, places)])
    finally:
        hook.remove()
    found: np.ndarray = array_of(rows)[places]
    return found


def _run_kept(
    job: FrozenJob,
    inputs: Inputs,
    store: ActivationStore,
    compute: Callable[..., Tensor],
    order: np.ndarray,
) -> Rows:
    """Return what follows the frozen part, float32, a row a sample; only those in order are set.

    What is computed for each element of samples that differ in length comes back ragged; then all
    samples are in order.
    """
    cut, device = job.cut, job.model.device
    needs_inputs = any(slot.input is not None for slot in cut.slots)
    found: np.ndarray | None = None
    padded: list[np.ndarray] = []
    passed: list[np.ndarray] = []
    size = pass_size(job.model, inputs)
    # in the number format of the steps, as what is kept: full-precision weights take no other
    with evaluating(job.model), autocast(job.recipe, device):
        for places in split_passes(order, size):
            kept = [tensor.to(device) for tensor in store.tensors(places)]
            given = to_tensors(inputs.arrays(places), device) if needs_inputs else ()
            rows = compute(*cut.merge(kept, given)).float().cpu().numpy()
            if rows.ndim > 2 and inputs.lengths is not None:
                padded.append(rows)
                passed.append(places)
                continue
            if found is None:
                found = np.zeros((len(inputs), *rows.shape[1:]), np.float32)
            found[places] = rows
    if padded and inputs.lengths is not None:
        return without_padding(padded, inputs.lengths, np.concatenate(passed))
    assert found is not None
    return found
