"""The scores of one start: those of its best tap, told by samples that did not choose the tap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from headstart.ranking.scores import (
    Outcome,
    collapse_score,
    equalise,
    h_score,
    log_evidence,
    neighbour_score,
    ridge_score,
)
from headstart.ranking.scores.outcome import is_classes


@dataclass(frozen=True)
class FeatureScores:
    """What simple methods read from the features of a start.

    Attributes:
        tap: Whose features: ``features`` or the name of a block.
        ridge: Ridge regression, each sample predicted by all others.
        head: The same of the first tap, which is what a head would read.
        neighbours: Nearest neighbours, likewise.
        collapse: Distance to neural collapse on held-out folds; None where targets are no classes.
        evidence: LogME, in nats a sample; for those who compare it, it counts for nothing.
        h_score: H-score, likewise; NaN where targets are no classes.
    """

    tap: str
    ridge: Outcome
    head: Outcome
    neighbours: Outcome
    collapse: Outcome | None
    evidence: float
    h_score: float


def score_taps(
    taps: Mapping[str, np.ndarray],
    targets: np.ndarray,
    *,
    dimension: int,
    groups: np.ndarray | None = None,
    seed: int = 0,
    is_late: Callable[[], bool] = lambda: False,
) -> FeatureScores:
    """Return the scores of the tap that ridge regression reads best.

    Which tap is best is chosen by one half of the samples and told by the other, and the other way
    round, so that many taps do not raise the score by their number.

    Args:
        taps: Features by tap, float, shape (N, D) each.
        targets: Classes, whole numbers, (N,); labels (N, K); or values, floats, (N,).
        dimension: To which each tap is brought.
        groups: Samples that never tell each other's targets.
        seed: Of the halves and folds.
        is_late: Whether there is no time left: the first tap is scored in any case, and of the
            others the last ones come first.
    """
    first, *others = taps
    equal: dict[str, np.ndarray] = {}
    ridges: dict[str, Outcome] = {}
    for name in [first, *reversed(others)]:
        if ridges and is_late():
            break
        equal[name] = equalise(taps[name], dimension)
        ridges[name] = ridge_score(equal[name], targets, groups=groups)
    tap, ridge = _best(ridges, seed)
    best = equal[tap]
    has_classes = is_classes(targets)
    return FeatureScores(
        tap,
        ridge,
        ridges[first],
        neighbour_score(best, targets, groups=groups),
        collapse_score(best, targets, groups=groups, seed=seed) if has_classes else None,
        log_evidence(best, targets),
        h_score(best, targets) if has_classes else float("nan"),
    )


def _best(found: Mapping[str, Outcome], seed: int) -> tuple[str, Outcome]:
    """Return the best tap, and an outcome that did not gain by its choice."""
    names = list(found)
    outcomes = np.stack([found[name].outcomes for name in names])
    first = np.random.default_rng(seed).permutation(outcomes.shape[1]) % 2 == 0
    honest = np.empty(outcomes.shape[1])
    for half in (first, ~first):
        if not half.any() or half.all():
            return names[int(outcomes.mean(axis=1).argmax())], found[names[0]]
        honest[~half] = outcomes[outcomes[:, half].mean(axis=1).argmax()][~half]
    tap = names[int(outcomes.mean(axis=1).argmax())]
    return tap, replace(found[tap], value=float(honest.mean()), outcomes=honest)
