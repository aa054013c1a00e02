"""What of a batch is kept to be compared: features of the network, in few numbers a sample.

Wide features are added up in 128 ways with random signs, which keeps distances (Johnson and
Lindenstrauss; Achlioptas, 2003). The signs are the bits of a generator whose raw output is the
same in every release of NumPy, so that they need not be stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from headstart.bundles import Bundle

WIDTH = 128
_SEED = 20_261_130


def embedded(
    bundle: Bundle, arrays: Mapping[str, np.ndarray], features: np.ndarray | None
) -> np.ndarray | None:
    """Return the embedding of a batch, float32, shape (B, at most ``WIDTH``).

    Args:
        bundle: What has answered.
        arrays: Of its first member.
        features: Of its first member, (B, D); None where its network does not give them: then they
            are what it takes, where that is one row of numbers a sample.

    Returns:
        None where there is neither.
    """
    if features is None:
        taken = bundle.members[0].session.inputs
        if len(taken) != 1 or taken[0].dtype != "float32" or len(taken[0].shape) != 1:
            return None
        features = arrays[taken[0].name]
    plain = np.asarray(features, np.float32)
    return plain if plain.shape[1] <= WIDTH else np.asarray(plain @ _signs(plain.shape[1]))


@lru_cache(maxsize=4)
def _signs(width: int) -> np.ndarray:
    """Return what features of a width are multiplied by, float32, shape (D, ``WIDTH``)."""
    words = np.random.PCG64(_SEED).random_raw(width * WIDTH // 64).astype("<u8")
    bits = np.unpackbits(words.view(np.uint8), bitorder="little").reshape(width, WIDTH)
    return (bits.astype(np.float32) * 2 - 1) / np.float32(np.sqrt(WIDTH))
