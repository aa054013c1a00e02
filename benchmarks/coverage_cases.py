"""Populations whose figures are known, and how often the intervals of samples hold these.

Used by ``coverage.py`` and by ``tests/evaluation/test_coverage.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import coverage_rows
import numpy as np

from headstart.evaluation import Scores, score_classes, score_labels, score_values

POPULATION = 100_000
Score = Callable[..., Scores]


@dataclass(frozen=True)
class Population:
    """All items there are, with a model's answers.

    Attributes:
        outputs: Probabilities or values, one row an item.
        targets: As the task has them.
        names: Of classes or labels; empty for numbers.
        groups: Which items belong together; None where each stands alone.
        score: What scores a sample.
    """

    outputs: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...]
    groups: np.ndarray | None
    score: Score

    def scored(self, places: np.ndarray, groups: np.ndarray | None, **said: int) -> Scores:
        """Score some of the items."""
        names = (self.names,) if self.names else ()
        return self.score(self.outputs[places], self.targets[places], *names, groups=groups, **said)

    def truth(self) -> dict[str, float]:
        """Return every figure of the whole population."""
        found = self.scored(np.arange(len(self.targets)), None, num_resamples=0).figures
        return {name: figure.value for name, figure in found.items()}

    def drawn(
        self, num_items: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the places of a sample, and which of its items belong together."""
        if self.groups is None:
            return rng.integers(0, len(self.targets), num_items), None
        each = int(np.bincount(self.groups).max())
        chosen = rng.integers(0, len(self.targets) // each, max(2, num_items // each))
        places = (chosen[:, None] * each + np.arange(each)).ravel()
        return places, np.repeat(np.arange(len(chosen)), each)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities."""
    found: np.ndarray = np.exp(logits - logits.max(axis=1, keepdims=True))
    return found / found.sum(axis=1, keepdims=True)


def classes(
    shares: tuple[float, ...], strength: float, sharpness: float, each: int = 1, seed: int = 0
) -> Population:
    """Return a classification.

    Args:
        shares: Of the classes.
        strength: How much the features say: the distance between two classes, in deviations.
        sharpness: By which calibrated logits are multiplied; above 1 is too sure.
        each: Items of a group, which share their class and most of their features.
        seed: Of the population.
    """
    rng = np.random.default_rng(seed)
    K, num = len(shares), POPULATION // each
    of_group = rng.choice(K, size=num, p=np.array(shares) / sum(shares))
    centre = rng.normal(size=(num, K))
    targets = np.repeat(of_group, each)
    noise = np.repeat(centre, each, axis=0)
    if each > 1:
        noise = math.sqrt(0.8) * noise + math.sqrt(0.2) * rng.normal(size=noise.shape)
    features = noise + strength * np.eye(K)[targets]
    logits = strength * features + np.log(np.array(shares) / sum(shares))
    groups = np.repeat(np.arange(num), each) if each > 1 else None
    names = tuple(f"c{k}" for k in range(K))
    return Population(softmax(sharpness * logits), targets, names, groups, score_classes)


def labels(
    shares: tuple[float, ...], strength: float, sharpness: float, each: int = 1, seed: int = 0
) -> Population:
    """Return several labels an item, which go together; arguments as ``classes``."""
    rng = np.random.default_rng(seed)
    K, num = len(shares), POPULATION // each
    common = rng.normal(size=(num, 1))
    hidden = np.repeat(
        math.sqrt(0.3) * common + math.sqrt(0.7) * rng.normal(size=(num, K)), each, 0
    )
    cuts = np.quantile(hidden, 1 - np.array(shares), axis=0).diagonal()
    targets = (hidden > cuts).astype(np.uint8)
    noise = np.repeat(rng.normal(size=(num, K)), each, axis=0)
    if each > 1:
        noise = math.sqrt(0.8) * noise + math.sqrt(0.2) * rng.normal(size=noise.shape)
    odds = strength * (noise + strength * (targets - 0.5))
    odds += np.log(np.array(shares) / (1 - np.array(shares)))
    outputs = 1 / (1 + np.exp(-sharpness * odds))
    groups = np.repeat(np.arange(num), each) if each > 1 else None
    names = tuple(f"l{k}" for k in range(K))
    return Population(outputs, targets, names, groups, score_labels)


def values(kind: str, each: int = 1, seed: int = 0) -> Population:
    """Return predicted numbers whose errors are of a kind."""
    rng = np.random.default_rng(seed)
    num = POPULATION // each
    targets = rng.normal(10.0, 2.0, num)
    errors = {
        "normal": lambda: rng.normal(0.1, 1.0, num),
        "laplace": lambda: rng.laplace(0.0, 0.7, num),
        "student": lambda: 0.7 * rng.standard_t(5, num),
        "growing": lambda: rng.normal(size=num) * 0.3 * np.exp(0.25 * (targets - 10.0)),
        "outliers": lambda: rng.normal(size=num) * np.where(rng.random(num) < 0.03, 5.0, 0.7),
    }[kind]()
    if kind == "growing":
        targets = np.exp(targets / 4.0)
        errors = errors * targets.mean() / 3.0
    targets, errors = np.repeat(targets, each), np.repeat(errors, each)
    groups = None
    if each > 1:
        groups = np.repeat(np.arange(num), each)
        errors = 0.9 * errors + 0.4 * rng.normal(size=len(errors))
    return Population(targets + errors, targets, (), groups, score_values)


CASES: dict[str, Callable[[], Population | coverage_rows.Rows]] = {
    "three": lambda: classes((1, 1, 1), 1.6, 1.0),
    "rare": lambda: classes((60, 25, 10, 4, 1), 2.0, 1.0),
    "ten": lambda: classes((1,) * 10, 2.2, 1.3),
    "binary": lambda: classes((92, 8), 1.5, 1.0),
    "too sure": lambda: classes((1, 1, 1, 1), 1.8, 3.0),
    "nearly right": lambda: classes((1, 1, 1, 1, 1), 3.4, 1.5),
    "groups": lambda: classes((3, 2, 1), 1.8, 1.2, each=5),
    "labels": lambda: labels((0.5, 0.3, 0.1, 0.05), 2.0, 1.0),
    "labels too sure": lambda: labels((0.4, 0.2, 0.1, 0.3, 0.2, 0.1), 2.2, 2.0),
    "labels in groups": lambda: labels((0.5, 0.3, 0.1), 2.0, 1.0, each=4),
    "normal": lambda: values("normal"),
    "laplace": lambda: values("laplace"),
    "student": lambda: values("student"),
    "growing": lambda: values("growing"),
    "outliers": lambda: values("outliers"),
    "normal in groups": lambda: values("normal", each=4),
    **coverage_rows.CASES,
}


def covered(
    population: Population | coverage_rows.Rows,
    num_items: int,
    num_draws: int,
    *,
    seed: int = 1,
    num_resamples: int,
) -> dict[str, tuple[float, float]]:
    """Return, of each figure, the share of intervals that hold the truth, and their median width.

    Args:
        population: What is drawn from.
        num_items: Of each sample.
        num_draws: Samples.
        seed: Of the draws.
        num_resamples: As the scores take it.
    """
    truth, rng = population.truth(), np.random.default_rng(seed)
    held = dict.fromkeys(truth, 0)
    widths: dict[str, list[float]] = {name: [] for name in truth}
    for _ in range(num_draws):
        places, groups = population.drawn(num_items, rng)
        figures = population.scored(places, groups, num_resamples=num_resamples).figures
        for name, figure in figures.items():
            slack = 1e-9 * abs(truth[name])
            held[name] += figure.low - slack <= truth[name] <= figure.high + slack
            widths[name].append(figure.high - figure.low)
    return {name: (held[name] / num_draws, float(np.nanmedian(widths[name]))) for name in truth}
