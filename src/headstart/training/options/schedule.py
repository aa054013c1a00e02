"""The learning-rate factor as a function of progress in [0, 1].

A function of progress rather than of the step: when a deadline shortens a run, the remaining steps
cover the remaining progress, so warm-up, plateau and cooldown all still happen.
"""

from __future__ import annotations

import math
from typing import Literal

ScheduleName = Literal["constant", "cosine", "linear", "one-cycle"]


def learning_rate_factor(
    name: ScheduleName, progress: float, *, warmup_fraction: float, cooldown_fraction: float
) -> float:
    """Return the factor on the peak learning rate.

    Args:
        name: ``constant``: warm-up, plateau, (1 − sqrt) cooldown; ``cosine``: warm-up, then half a
            cosine to zero; ``linear``: warm-up, then a line to zero; ``one-cycle``: a line from
            0.2 up to 1 over the warm-up, then a line down to 0.01.
        progress: Share of the run that is done, in [0, 1].
        warmup_fraction: Share of the run spent warming up.
        cooldown_fraction: Share of the run spent cooling down (``constant`` only).

    Returns:
        A factor in [0, 1].

    Source:
        Hägele et al., NeurIPS 2024, for the cooldown shape; Smith and Topin 2017 for one-cycle.
    """
    warming = progress < warmup_fraction
    if name == "one-cycle":
        if warming:
            return 0.2 + 0.8 * progress / warmup_fraction
        left = (1.0 - progress) / max(1e-9, 1.0 - warmup_fraction)
        return 0.01 + 0.99 * left
    if warming:
        # half a step's offset is not needed: the first step of a warm-up may be tiny, never zero
        return max(0.01, progress / warmup_fraction)
    if name == "constant":
        start = 1.0 - cooldown_fraction
        if progress <= start or cooldown_fraction == 0:
            return 1.0
        return 1.0 - math.sqrt((progress - start) / cooldown_fraction) * 0.99
    along = (progress - warmup_fraction) / max(1e-9, 1.0 - warmup_fraction)
    if name == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * along))
    return 1.0 - along
