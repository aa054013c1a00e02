"""After a training: which classes are found much less often than others, and what would help."""

from __future__ import annotations

import numpy as np

from headstart.evaluation import Scores
from headstart.tasks import find_task
from headstart.training.options.recipe import Recipe
from headstart.training.options.strategies import find_strategy
from headstart.types import Dataset, Finding

MUCH_LESS = 0.1  # of recall, and beyond the interval of the class
SIGNIFICANT = 0.05
FEWER = 1.5  # times fewer training samples than the mean of the others: then it is rare
MAX_NAMED = 3


def weak_classes(dataset: Dataset, recipe: Recipe, scores: dict[str, Scores]) -> list[Finding]:
    """Return that classes are found much less often than all others together, and what helps.

    Nothing is said where most classes are missed and none of these is rare: such a model guesses,
    which is no fault of single classes, and more samples of each would not help it.

    Args:
        dataset: Gives the samples of each class that were learned from.
        recipe: Says what has been done about rare classes.
        scores: Of test and val; the first that shows it is told.
    """
    task = find_task(dataset.schema.task)
    if not task.has_classes or task.tells_words or len(dataset.schema.classes) < 2:
        return []
    trained = task.class_counts(dataset.train.targets, len(dataset.schema.classes))
    for name, found in scores.items():
        weak, others = _weak(found, dataset.schema.classes)
        if 2 * len(weak) > len(trained) and not _rare(weak, trained):
            return []
        if len(weak):
            return [_told(dataset, recipe, name, found, (weak, others, trained))]
    return []


def _weak(scores: Scores, classes: tuple[str, ...]) -> tuple[list[int], float]:
    """Return the classes found much less often than others, the worst first, and others' recall.

    The chance that a class like all others is missed so often is below 5 %, for all classes
    together: of a thousand classes with two samples each some are missed once by chance.
    """
    from scipy.stats import binom

    each = [scores.per_class[name] for name in classes]
    support = np.array([one.support for one in each], np.float64)
    hits = np.array([one.recall.value for one in each]) * support
    hits[support == 0] = 0.0
    rest = support.sum() - support
    others = (hits.sum() - hits + 1.0) / (rest + 2.0)  # never quite sure, however many were found
    chance = binom.cdf(np.round(hits), support, others)
    highs = np.array([one.recall.high for one in each])
    is_weak = (chance < SIGNIFICANT / len(classes)) & (support > 0) & (rest > 0)
    is_weak &= (highs < others) & (hits < (others - MUCH_LESS) * support)
    weak = np.flatnonzero(is_weak)
    weak = weak[np.argsort(hits[weak] / support[weak], kind="stable")]
    return weak.tolist(), float(others[weak[0]]) if len(weak) else 0.0


def _told(
    dataset: Dataset,
    recipe: Recipe,
    split: str,
    scores: Scores,
    found: tuple[list[int], float, np.ndarray],
) -> Finding:
    (weak, others, trained), classes = found, dataset.schema.classes
    noun = dataset.schema.facts.nouns
    parts = []
    for k in weak[:MAX_NAMED]:
        one = scores.per_class[classes[k]]
        parts.append(
            f"'{classes[k]}' in {one.recall.value:.0%} of its {one.support} {noun} "
            f"({trained[k]} to train on)"
        )
    more = f" and {len(weak) - MAX_NAMED} more" if len(weak) > MAX_NAMED else ""
    sentence = (
        f"Found much less often than the others ({others:.0%}) in {split}: {', '.join(parts)}"
        f"{more}. "
    ) + _remedy(dataset, recipe, noun, bool(_rare(weak, trained)))
    return Finding("imbalance", "warning", [classes[k] for k in weak], sentence)


def _rare(weak: list[int], trained: np.ndarray) -> list[int]:
    """Return those of the classes that have much fewer training samples than the others."""
    return [k for k in weak if FEWER * trained[k] <= np.delete(trained, k).mean()]


def _remedy(dataset: Dataset, recipe: Recipe, noun: str, is_rare: bool) -> str:
    """Return what would help: what is not rare is not helped by weights."""
    if not is_rare:
        return (
            "It is no rarer than others: look in the report at what it is taken for, and whether "
            f"its labels are right; more {noun} of it help."
        )
    if recipe.imbalance != "none":
        return f"--imbalance {recipe.imbalance} is in use already: more {noun} of it help."
    can_draw = find_task(dataset.schema.task).is_exclusive and find_strategy(recipe.strategy).loops
    ways = "--imbalance weights" + (" or --imbalance oversample" if can_draw else "")
    return (
        f"It is rarer than others: {ways} finds more of it, and is wrong more often elsewhere; "
        f"more {noun} of it help without that."
    )
