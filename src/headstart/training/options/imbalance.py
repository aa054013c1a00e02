"""What is done about rare classes where nobody says it, and why."""

from __future__ import annotations

import numpy as np

from headstart.training.options.common_options import Imbalance

MUCH = 3.0  # times the samples of the smallest class: then something is said


def choose_imbalance(counts: np.ndarray) -> tuple[Imbalance, str]:
    """Return what ``imbalance=auto`` does, which is nothing, and why where that matters.

    Args:
        counts: int64, shape (K,), training samples of each class.
    """
    ratio = counts.max() / max(1, counts.min())
    if ratio < MUCH:
        return "none", ""
    return "none", (
        f"the largest class has {ratio:.0f} times the samples of the smallest, which alone changes "
        "no loss (docs/experiments.md)"
    )
