"""How many augmented views of each sample are kept, and which one an epoch uses.

A frozen prefix can be computed once only for inputs that come again. So each sample has V fixed
views, seeded by the data and not by the run, and epoch e uses view π(e mod V), where π is a
permutation of the sample's own. The first view is the sample as it is: a linear probe reads it, and
what a run without augmentation has kept serves one with. V is chosen by arithmetic that the caller
prints. Left out on purpose: augmenting what crosses the cut, which would be another algorithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from rich.filesize import decimal

from headstart.training.randomness import uniform

_VIEWS = 4  # recovers most of the benefit of augmentation
_LEAST_GAIN = 1.1  # a speed-up below this is not worth the disk
# Constants and not what a machine measures or has free: a command that is given twice must choose
# the same views twice, and so end with the same weights (where the cache has room for them twice).
_FILE_CACHE_BYTES = 4e9  # what is smaller is taken to stay in the system's file cache
_MEMORY_BYTES_PER_SECOND = 2e9  # that a batch is gathered with
_DISK_BYTES_PER_SECOND = 4e8
_FLOPS_PER_SECOND = {"cpu": 3e10, "cuda": 2e13}
# An epoch number that no training reaches: the permutations have a stream of their own.
_ORDER_OF_VIEWS = -1


@dataclass(frozen=True)
class Views:
    """How many views are kept.

    Attributes:
        num: V; 0 where nothing is kept and the prefix runs in every step.
        speedup: Expected time of the same strategy uncached, as a multiple of the cached time.
        num_bytes: What all views take on disk.
        why: A sentence with the arithmetic.
    """

    num: int
    speedup: float
    num_bytes: int
    why: str


def speedup(
    flop_share: float, num_views: int, num_epochs: float, num_runs: int = 1, load: float = 0.0
) -> float:
    """Return how many times faster than uncached training with a cached prefix is.

    A forward pass counts 1, a backward pass 2; of a frozen part there is no backward pass.

    Args:
        flop_share: f, the prefix's share of a forward pass, in [0, 1].
        num_views: V.
        num_epochs: E of one run.
        num_runs: Runs that share the cache.
        load: Seconds to read what crosses, as a multiple of a forward pass.

    Example:
        >>> round(speedup(11 / 12, 1, 10), 1)
        3.4
    """
    uncached = 3 - 2 * flop_share
    return uncached / (
        flop_share * num_views / (num_epochs * num_runs) + 3 * (1 - flop_share) + load
    )


def choose_views(
    *,
    flop_share: float,
    num_epochs: float,
    is_augmented: bool,
    sample_flops: float,
    sample_bytes: int,
    num_samples: int,
    limit_bytes: int,
    num_runs: int = 1,
    wanted: int | None = None,
    device_type: str = "cpu",
) -> Views:
    """Choose how many views of each sample are kept.

    Args:
        flop_share: The prefix's share of a forward pass, in [0, 1].
        num_epochs: Of one run.
        is_augmented: Whether samples are augmented; otherwise one view is all there is.
        sample_flops: Multiplications and additions of one forward pass of one sample.
        sample_bytes: What crosses the cut for one sample.
        num_samples: N.
        limit_bytes: What the cache may take.
        num_runs: Runs that share the cache (candidates of a search).
        wanted: What the user asked for; None chooses.
        device_type: Where the network runs.
    """
    whole = max(1, int(num_epochs))
    most = wanted if wanted is not None else (min(_VIEWS, whole) if is_augmented else 1)
    if not is_augmented:
        most = min(most, 1)
    if is_augmented and wanted is None and most < 2:
        why = f"in {num_epochs:.2g} epochs no sample would show the same view again"
        return Views(0, 1.0, 0, why)
    one_view = sample_bytes * num_samples
    fitting = min(most, limit_bytes // max(1, one_view))
    # fewer than two views of augmented data would be no augmentation: that is the user's to ask for
    if fitting < (2 if is_augmented and wanted is None else min(1, most)):
        needed = decimal(one_view * most)
        why = f"{most} views would take {needed}, the cache may take {decimal(limit_bytes)}"
        return Views(0, 1.0, 0, why)
    num_bytes = one_view * fitting
    is_in_memory = num_bytes <= _FILE_CACHE_BYTES
    rate = _MEMORY_BYTES_PER_SECOND if is_in_memory else _DISK_BYTES_PER_SECOND
    speed = _FLOPS_PER_SECOND.get(device_type, _FLOPS_PER_SECOND["cpu"])
    sample_seconds = sample_flops / speed
    load = sample_bytes / rate / max(1e-9, sample_seconds)
    gain = speedup(flop_share, fitting, num_epochs, num_runs, load)
    runs = f" x {num_runs} runs" if num_runs > 1 else ""
    sum_ = (
        f"the frozen {flop_share:.0%} of a pass is computed {fitting} instead of "
        f"{num_epochs:.3g}{runs} times a sample: (3 - 2f) / (V f / E + 3 (1 - f) + reading) = "
        f"{gain:.1f}x the uncached speed, in {decimal(num_bytes)}"
    )
    if gain < _LEAST_GAIN and wanted is None:
        return Views(0, 1.0, 0, f"{sum_}; less than {_LEAST_GAIN:g}x is not worth it")
    if fitting < most:
        sum_ += f"; {most} views would not fit {decimal(limit_bytes)}"
    return Views(fitting, gain, num_bytes, sum_)


def views_seed(fingerprint: str) -> int:
    """Return the seed of all views of a data set, so that every run draws the same ones.

    Args:
        fingerprint: The data set's.
    """
    return int.from_bytes(blake2b(fingerprint.encode(), digest_size=7).digest(), "little")


def views_at(epoch: int, ids: np.ndarray, num_views: int, *, seed: int) -> np.ndarray:
    """Return which view each sample shows in an epoch, int64, shape (B,), in [0, num_views).

    Every sample shows each of its views once in any ``num_views`` epochs that begin at a multiple
    of it, in an order of its own.

    Args:
        epoch: From 0.
        ids: int64, shape (B,), the samples' ids.
        num_views: V, at least 1.
        seed: The run's seed.
    """
    orders = np.argsort(uniform(seed, _ORDER_OF_VIEWS, ids, num_views), axis=1, kind="stable")
    views: np.ndarray = orders[:, epoch % num_views].astype(np.int64)
    return views
