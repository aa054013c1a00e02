"""Which of the models that were made is handed over: compared item by item, never by one item more.

What a start says as it stands (a head that was solved for) is beaten by what was trained only where
val says so by more than a standard error of the difference: a training that won by one photo of
thirty-six was worse on test, and a longer budget then gave less than a shorter one.

Left out: several models together (``ensemble`` chooses those).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Standard errors by which a loss must be lower; of a training from random weights, which won on 42
# val photos by chance and was 6 points worse on test, more.
_CLEAR, _CLEAR_FROM_SCRATCH = 1.0, 2.0
_FEW = 30  # items of val: below, a standard error is itself a guess, and no word is made of it
# Standard errors that score and loss must be better by together, where the loss alone is not clear:
# of a training that began as the very head that it is held against, and of one from random weights,
# of which nothing says beforehand that it should be better.
_BOTH, _BOTH_FROM_SCRATCH = 1.5, 2.5


@dataclass(frozen=True)
class Finalist:
    """A model that could be handed over, judged on the validation items.

    Attributes:
        name: How it is told.
        is_trained: Whether gradient steps made it, and val chose among its weights.
        score: The validation metric; higher is better.
        losses: Calibrated loss of each item, float64, shape (M,), the same items for all.
        standard_error: Of the score.
        is_continued: Whether its training began as a head that was solved for.
    """

    name: str
    is_trained: bool
    score: float
    losses: np.ndarray
    standard_error: float
    is_continued: bool = True

    @property
    def loss(self) -> float:
        """Mean calibrated loss."""
        return float(self.losses.mean())


def choose_finalist(finalists: Sequence[Finalist]) -> tuple[Finalist, str]:
    """Return the one to hand over, and why.

    Among those that were solved for, and among those that were trained, those count whose score the
    noise of val cannot tell from the highest; of these the first whose loss is no higher than the
    lowest by more than a standard error of the difference. The first is what a shorter budget would
    have handed over: the best of many on few items is the luckiest. What was trained then replaces
    what was solved for where its loss is lower by more than a standard error of the difference (two
    from random weights) and its score no lower by more than one; or where both together are better
    by one and a half errors (two and a half from random weights), and the loss no higher by more
    than one.

    Args:
        finalists: At least one, in the order in which they were made.
    """
    solved = [one for one in finalists if not one.is_trained]
    trained = [one for one in finalists if one.is_trained]
    if not solved or not trained:
        best = _best(solved or trained)
        return best, _plain(best, len(finalists))
    simple, tuned = _best(solved), _best(trained)
    gain, error = loss_gain(simple, tuned)
    noise = max(simple.standard_error, tuned.standard_error)
    clear = _CLEAR if tuned.is_continued else _CLEAR_FROM_SCRATCH
    is_lower = gain > clear * error and tuned.score >= simple.score - noise
    evidence = _errors(tuned.score - simple.score, noise) + _errors(gain, error)
    needed = _BOTH if tuned.is_continued else _BOTH_FROM_SCRATCH
    is_higher = tuned.score > simple.score and evidence > needed and gain > -_CLEAR * error
    way = "lower" if gain >= 0 else "higher"
    told = (
        f"val {_number(tuned.score)} against {_number(simple.score)}, loss {way} by "
        f"{abs(gain):.4f} ± {error:.4f}"
    )
    if (num := len(tuned.losses)) < _FEW:
        told += f"; {num} val items say little"
        noise_told = ""
    else:
        noise_told = " by more than a standard error"
    if is_lower or is_higher:
        return tuned, f"better on val than {simple.name}{noise_told}: {told}"
    return simple, f"{tuned.name} is not better on val{noise_told}: {told}"


def is_surely_lower(one: Finalist, other: Finalist) -> bool:
    """Return whether the other's loss is lower by more than a standard error of the difference."""
    gain, error = loss_gain(one, other)
    return gain > _CLEAR * error


def loss_gain(one: Finalist, other: Finalist) -> tuple[float, float]:
    """Return by how much the other's mean loss is lower, and the standard error of that."""
    gains = one.losses - other.losses
    return float(gains.mean()), float(gains.std() / max(1, len(gains) - 1) ** 0.5)


def _errors(gain: float, error: float) -> float:
    """Return a gain in its standard errors; 0 where there is neither."""
    return gain / max(error, 1e-12) if gain else 0.0


def _best(finalists: Sequence[Finalist]) -> Finalist:
    """Return the first of those that noise cannot tell from the best, by score and then by loss."""
    top = max(finalists, key=lambda one: (one.score, -one.loss))
    alike = [one for one in finalists if one.score >= top.score - top.standard_error]
    lowest = min(alike, key=lambda one: (one.loss, -one.score))
    return next(one for one in alike if one is lowest or not is_surely_lower(one, lowest))


def _plain(best: Finalist, num: int) -> str:
    of = "the only one" if num == 1 else f"the best of {num} on val"
    return f"{of}, {_number(best.score)}, loss {best.loss:.4f}"


def _number(value: float) -> str:
    return f"{value:.4f}"
