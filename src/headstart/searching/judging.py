"""Models judged on the same validation items, and how an arm stands as its record tells it.

Left out: who wins (``finalists``).
"""

from __future__ import annotations

import numpy as np

from headstart.objectives import check_score
from headstart.searching.context import Contender
from headstart.searching.finalists import Finalist
from headstart.searching.runner import Standing
from headstart.tuning.arm import calibrated_losses
from headstart.tuning.part import Part


def figures_of(standing: Standing | None) -> dict[str, object]:
    """Return how an arm stands, as ``options.json`` keeps it."""
    figure = standing.figure if standing else None
    return {
        "score": figure.value if figure else None,
        "low": figure.low if figure else None,
        "high": figure.high if figure else None,
        "loss": standing.loss if standing and figure else None,
        "num_steps": standing.step if standing else 0,
        "seconds": round(standing.seconds, 2) if standing else 0.0,
    }


def told_steps(one: Contender) -> str:
    """Return how many steps a model has taken, as its arm tells it; empty where it needed none."""
    if (result := one.tuned.result) is None:
        return ""
    planned, _ = one.setup.recipe.length(len(one.train))
    early = ", then val no longer gained" if result.ended == "early" else ""
    return f"{result.state.step} of {planned} steps{early}"


def judged_on(one: Contender, ids: np.ndarray) -> Finalist:
    """Judge a model on some of its val items."""
    place_of = {int(id_): place for place, id_ in enumerate(one.val.ids)}
    places = np.array([place_of[int(id_)] for id_ in ids], np.int64)
    model, logits = one.setup.model, one.tuned.val_logits[places]
    part = Part(one.val, places)
    targets = model.standard_targets(part.targets)
    _, score, _, error = check_score(model.schema.task, logits, targets)
    return Finalist(
        name=one.name,
        is_trained=one.is_trained,
        is_continued=one.setup.strategy.probes,
        score=score,
        losses=calibrated_losses(model, logits, targets),
        standard_error=error,
    )
