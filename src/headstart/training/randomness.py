"""Counter-based randomness: every draw is a pure function of a seed and of counters.

Order = f(seed, epoch), augmentation = f(seed, epoch, sample id), dropout = f(seed, step). Nothing
has to be saved to resume a run bit for bit, and neither prefetching nor the number of workers can
change a result. Deliberately absent: any generator object that lives longer than one call.

Source: SplitMix64, Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
OOPSLA 2014 (the finalizer); Philox, Salmon et al., SC 2011 (NumPy's, for permutations).
"""

from __future__ import annotations

import numpy as np
import torch

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MASK = (1 << 64) - 1

# One stream a purpose, so that no two uses of the same (seed, epoch) ever share numbers.
ORDER, AUGMENT, MIX, STEP, BOOTSTRAP, MASK = range(1, 7)
HIDE, REPLACE, ANY_TOKEN = range(7, 10)  # of words


def _mix(words: np.ndarray) -> np.ndarray:
    """Scramble 64-bit words (the SplitMix64 finalizer); the shape is kept."""
    with np.errstate(over="ignore"):
        words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed


def hash_counters(*counters: int) -> int:
    """Return a 63-bit integer that depends on every counter and on their order."""
    # Python's integers: a step asks several times, and NumPy takes ten times as long for one number
    word, golden = 0, int(_GOLDEN)
    for counter in counters:
        word = ((word + golden) & _MASK) ^ (counter & _MASK)
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
        word ^= word >> 31
    return word >> 1


def uniform(seed: int, epoch: int, ids: np.ndarray, num: int) -> np.ndarray:
    """Draw ``num`` uniform numbers for each sample, independent of the batch it stands in.

    Args:
        seed: The run's seed.
        epoch: Epoch (or view) number.
        ids: int64, shape (B,), the samples' ids.
        num: Numbers a sample.

    Returns:
        float32, shape (B, num), in [0, 1).
    """
    base = np.uint64(hash_counters(AUGMENT, seed, epoch))
    slots = np.arange(1, num + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        words = _mix(ids.astype(np.uint64) * _GOLDEN + base)[:, None] + slots * _GOLDEN
    return ((_mix(words) >> np.uint64(40)).astype(np.float32)) * np.float32(2.0**-24)


def scores(stream: int, seed: int, step: int, ids: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Draw one uniform number for each place of each sample, whatever batch that stands in.

    Args:
        stream: What they are for, so that no two uses share numbers.
        seed: The run's seed.
        step: Number of the step; any integer.
        ids: int64, shape (N,), the samples' ids.
        places: int64, shape (N,), of each number the place in its sample.

    Returns:
        float64, shape (N,), in [0, 1).
    """
    base = np.uint64(hash_counters(stream, seed, step))
    with np.errstate(over="ignore"):
        words = _mix(ids.astype(np.uint64) * _GOLDEN + base)
        words = _mix(words + (places.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, epoch: int, num: int) -> np.ndarray:
    """Return the order of ``num`` samples in one epoch, int64, shape (num,)."""
    return generator(ORDER, seed, epoch).permutation(num)


def generator(*counters: int) -> np.random.Generator:
    """Return a fresh NumPy generator that is a pure function of the counters."""
    return np.random.Generator(np.random.Philox(key=hash_counters(*counters)))


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed PyTorch's generators for one step, so that dropout is f(seed, step, rank).

    ``torch.manual_seed`` costs hundreds of microseconds; seeding the generators directly costs two.
    """
    value = hash_counters(STEP, seed, step, rank)
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(value)
