"""Which models answer better together than the best of them alone: chosen on val, at most three.

Greedy selection with replacement over calibrated outputs: from the best single model on, the model
whose addition lowers the mean loss of val most is added, again and again; how often one was taken
is its weight. Such a search always finds something that looks better on the items it searched. So
the same search is run on four fifths of val and judged on the rest, five times over, and the
ensemble is taken only where that gain is beyond noise.

Left out: bagging the selection (Caruana's remedy for hundreds of candidates; here are a handful).

Source: R. Caruana et al., 2004, Ensemble Selection from Libraries of Models, ICML, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.errors import OptionError
from headstart.model import MOST_MEMBERS
from headstart.objectives import item_losses
from headstart.tasks import Task, array_of, called
from headstart.training.probing.folds import deal_folds
from headstart.types import Rows

LEAST_ITEMS = 100  # of val: below, a fifth of them is too few to judge a search by
LEAST_PAIR = 20  # of val: below, nothing is said of two models either
MOST_COST = 2.0  # times that of the best single model
# Standard errors of the paired gain. Digits with 120 and 300 val items, where greedy selection
# gains 0.04 and 0.03 nats on test: of twelve draws none and three are taken with two, seven and
# eight with one (benchmarks/ensembles.py). On tables half of one seems to
# part gains on test from losses (docs/experiments.md: few draws).
NOISE = 0.5
LEAST_GAIN = 0.01  # of the single model's loss: less is not worth a second pass
_MOST_ROUNDS = 12
_MOST_NUMBERS = 2_000_000  # of a mean that is judged: of more, evenly spaced items


@dataclass(frozen=True)
class EnsembleChoice:
    """Which models answer.

    Attributes:
        places: Of the members among the candidates, the best single one first; that one alone where
            nothing is gained.
        weights: Their shares, summing to 1.
        gain: By how much the mean loss of an item that the search has not seen is lower than the
            single model's; 0 where that was not asked.
        standard_error: Of the gain, paired.
        why: In words.
    """

    places: tuple[int, ...]
    weights: tuple[float, ...]
    gain: float
    standard_error: float
    why: str


def choose_ensemble(
    outputs: Sequence[np.ndarray],
    targets: Rows,
    costs: Sequence[float],
    *,
    task: Task,
    single: int,
    groups: np.ndarray | None = None,
) -> EnsembleChoice:
    """Choose at most three models that answer together better than the best of them alone.

    Taken only where it wins on val beyond noise (``NOISE`` and ``LEAST_GAIN``, on items that
    the search has not seen), costs at most twice the single model's pass, and its
    ``validation_score`` is no lower than the single model's beyond its standard error.

    Args:
        outputs: Of each candidate, of the same val items: calibrated probabilities, or values, as
            ``Task.outputs`` gives them.
        targets: Of these items, as in ``Split``.
        costs: What a pass of each takes, in any unit, positive.
        task: What is told.
        single: Place of the candidate that is served otherwise.
        groups: Which items belong together, shape (M,); None where each is alone.

    Raises:
        OptionError: If there are not as many costs as candidates, or an output has other rows.
    """
    _check(outputs, targets, costs, single)
    num = len(targets)
    if len(outputs) < 2:
        return _alone(single, "there is one model only")
    if num < LEAST_PAIR:
        why = f"{num} val items are too few to choose several by (expected {LEAST_PAIR} or more)"
        return _alone(single, why)
    search = _Search.of(outputs, targets, costs, task, single)
    if num < LEAST_ITEMS:
        return _pair(search)
    every = np.arange(len(search.targets))
    counts = search.grow(every)
    if len(counts) == 1:
        return _alone(single, "no other model lowers the loss of val at twice the cost or less")
    kept = None if groups is None else groups[search.items]
    gain, error = _seen_by_nobody(search, kept)
    alone = float(search.losses({single: 1}, every).mean())
    told = f"together they gain {gain:.4f} a val item (standard error {error:.4f})"
    if not gain > max(NOISE * error, LEAST_GAIN * alone):
        why = f"{told}: too little, or within noise"
        return EnsembleChoice((single,), (1.0,), gain, error, why)
    scores = [search.score(own, every) for own in (counts, {single: 1})]
    if scores[0][0] < scores[1][0] - scores[1][1]:
        fall = f"from {scores[1][0]:.4f} to {scores[0][0]:.4f}"
        why = (
            f"together val {called(task.validation_metric)} falls {fall}, beyond its standard error"
        )
        return EnsembleChoice((single,), (1.0,), gain, error, why)
    total = sum(counts.values())
    weights = tuple(number / total for number in counts.values())
    return EnsembleChoice(tuple(counts), weights, gain, error, told)


def _pair(search: _Search) -> EnsembleChoice:
    """Return the single model with the next best one, half each, where few items judge.

    So few cannot say which of the two is better, nor be searched: the partner is the one with the
    lowest loss of its own, and the mean of both is mostly better than each.
    """
    single, every = search.single, np.arange(len(search.targets))
    alone, others = search.losses({single: 1}, every), list[tuple[float, int]]()
    for place in range(len(search.outputs)):
        if place != single and search.may_join(place, {single: 1}):
            losses = search.losses({place: 1}, every)
            worse, error = _mean_and_error(losses - alone)
            if worse <= error:
                others.append((float(losses.mean()), place))
    if not others:
        return _alone(single, "no other model at twice the cost or less is as good on val")
    partner = min(others)[1]
    gain, error = _mean_and_error(alone - search.losses({single: 1, partner: 1}, every))
    told = f"half each they gain {gain:.4f} a val item (standard error {error:.4f})"
    if not gain > max(NOISE * error, LEAST_GAIN * float(alone.mean())):
        return EnsembleChoice((single,), (1.0,), gain, error, f"{told}: too little, or noise")
    why = f"{len(every)} val items cannot say which of two is better, and {told}"
    return EnsembleChoice((single, partner), (0.5, 0.5), gain, error, why)


def _mean_and_error(gains: np.ndarray) -> tuple[float, float]:
    return float(gains.mean()), float(gains.std(ddof=1) / len(gains) ** 0.5)


def _alone(single: int, why: str) -> EnsembleChoice:
    return EnsembleChoice((single,), (1.0,), 0.0, 0.0, why)


@dataclass(frozen=True)
class _Search:
    """What the greedy search knows.

    Attributes:
        outputs: Of each candidate, of the items asked.
        targets: Of these items, in standard units.
        items: Their places in val.
        costs: Of each candidate.
        task: What is told.
        single: Where the search begins.
        scaling: Mean and deviation of the targets.
    """

    outputs: Sequence[np.ndarray]
    targets: np.ndarray
    items: np.ndarray
    costs: Sequence[float]
    task: Task
    single: int
    scaling: tuple[float, float]

    @classmethod
    def of(
        cls,
        outputs: Sequence[np.ndarray],
        targets: Rows,
        costs: Sequence[float],
        task: Task,
        single: int,
    ) -> _Search:
        """Return the search over as many items as are judged in no time."""
        num, width = len(targets), max(1, outputs[0].size // max(1, len(targets)))
        most = max(LEAST_ITEMS, _MOST_NUMBERS // width)
        items = np.unique(np.linspace(0, num - 1, min(num, most)).astype(np.int64))
        scaling = task.scaling(targets)
        standard = array_of(task.standard(targets, *scaling))[items]
        return cls([one[items] for one in outputs], standard, items, costs, task, single, scaling)

    def grow(self, places: np.ndarray) -> dict[int, int]:
        """Return how often each candidate is taken, the single one first, by these items."""
        counts = {self.single: 1}
        best = float(self.losses(counts, places).mean())
        for _ in range(_MOST_ROUNDS):
            found: tuple[float, int] | None = None
            for place in range(len(self.outputs)):
                if place not in counts and not self.may_join(place, counts):
                    continue
                grown = {**counts, place: counts.get(place, 0) + 1}
                loss = float(self.losses(grown, places).mean())
                if loss < (best if found is None else found[0]):
                    found = loss, place
            if found is None:
                break
            best, added = found
            counts[added] = counts.get(added, 0) + 1
        return counts

    def may_join(self, place: int, counts: dict[int, int]) -> bool:
        """Return whether another model may be taken: three at most, at twice the cost at most."""
        cost = sum(self.costs[one] for one in (*counts, place))
        return len(counts) < MOST_MEMBERS and cost <= MOST_COST * self.costs[self.single]

    def logits(self, counts: dict[int, int], places: np.ndarray) -> np.ndarray:
        """Return the logits of the mean of what was taken."""
        total = sum(counts.values())
        mean = np.asarray(
            sum(self.outputs[one][places] * (num / total) for one, num in counts.items())
        )
        found = self.task.logits_of(mean, mean=self.scaling[0], scale=self.scaling[1])
        return found.astype(np.float32)

    def losses(self, counts: dict[int, int], places: np.ndarray) -> np.ndarray:
        """Return the loss of each of some items, float, shape (number of places,)."""
        logits = self.logits(counts, places)
        return item_losses(self.task.name, logits, self.targets[places], temperature=1.0)

    def score(self, counts: dict[int, int], places: np.ndarray) -> tuple[float, float]:
        """Return what a training is chosen by, and its standard error."""
        return self.task.validation_score(self.logits(counts, places), self.targets[places])


def _seen_by_nobody(search: _Search, groups: np.ndarray | None) -> tuple[float, float]:
    """Return mean gain and its standard error over items that the search had not seen.

    Args:
        search: Its items.
        groups: Which of them belong together; whole groups are dealt, and counted once.
    """
    folds = deal_folds(search.targets, groups)
    gains = np.zeros(len(folds))
    for fold in range(int(folds.max()) + 1):
        inner, outer = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        counts = search.grow(inner) if len(inner) else {search.single: 1}
        gains[outer] = search.losses({search.single: 1}, outer) - search.losses(counts, outer)
    mean = float(gains.mean())
    if groups is None:
        return mean, float(gains.std(ddof=1) / len(gains) ** 0.5)
    _, of_group = np.unique(groups, return_inverse=True)
    off = np.bincount(of_group.reshape(-1), weights=gains - mean)
    num = len(off)
    scale = (num / max(1, num - 1)) ** 0.5
    return mean, float(scale * (off**2).sum() ** 0.5 / len(gains)) if num > 1 else float("inf")


def _check(
    outputs: Sequence[np.ndarray], targets: Rows, costs: Sequence[float], single: int
) -> None:
    """Refuse what does not go together."""
    if len(costs) != len(outputs) or not 0 <= single < len(outputs):
        raise OptionError(
            f"There are {len(outputs)} candidates, {len(costs)} costs, and the single one is "
            f"number {single}; expected a cost each, and one of them."
        )
    if wrong := [cost for cost in costs if not 0 < cost < float("inf")]:
        raise OptionError(f"A pass costs {wrong[0]}; expected a positive number.")
    shapes = {np.shape(one) for one in outputs}
    if len(shapes) > 1 or any(len(one) != len(targets) for one in outputs):
        raise OptionError(
            f"The outputs have shapes {sorted(shapes)} and there are {len(targets)} targets; "
            f"expected all of the same val items."
        )
