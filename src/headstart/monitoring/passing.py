"""Samples at hand, watched as a server would watch them: window by window, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from headstart.bundles import Bundle
from headstart.monitoring.reference import DriftReference
from headstart.monitoring.watch import Watch
from headstart.monitoring.windows import Json
from headstart.types import Inputs

_AT_ONCE = 50  # samples of a batch: so that windows are as long as they say


def watch_samples(
    bundle: Bundle,
    reference: DriftReference,
    parts: Iterable[tuple[Any, Sequence[str]]],
) -> tuple[Json, int]:
    """Answer samples, and judge their windows; what is left at the end is one where it is enough.

    Args:
        bundle: Opened.
        reference: Of it.
        parts: Samples as ``Preprocess.incoming`` takes them, and their names.

    Returns:
        The state, as a watch tells it, and how many samples could not be read.
    """
    watch = Watch(bundle, reference)
    num_bad = 0
    for samples, names in parts:
        given = list(samples) if not hasattr(samples, "__len__") else samples
        each = [one.preprocess.incoming(given, names) for one in bundle.members]
        for inputs in zip(*each, strict=True):
            num_bad += len(inputs[0].bad_samples)
            _answer(bundle, inputs, watch)
    watch.finish()
    return watch.state(), num_bad


def _answer(bundle: Bundle, inputs: Sequence[Inputs], watch: Watch) -> None:
    for start in range(0, len(inputs[0]), _AT_ONCE):
        places = np.arange(start, min(len(inputs[0]), start + _AT_ONCE))
        arrays = bundle.arrays(inputs, places)
        features: list[np.ndarray] = []
        outputs = bundle.outputs(bundle.logits(arrays, features))
        watch.add_rows(inputs[0], places)
        watch.add(outputs, arrays[0], features[0] if features else None)
