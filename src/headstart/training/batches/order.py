"""Which samples each optimizer step sees: a pure function of (seed, step).

The data position is the step number itself, so nothing has to be saved or replayed on resume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.tasks import array_of
from headstart.training.options.common_options import Imbalance
from headstart.training.options.recipe import Recipe
from headstart.training.randomness import ORDER, generator, permutation
from headstart.types import Rows

_WINDOW_BATCHES = 50


@dataclass(frozen=True)
class Share:
    """Which part of every step's samples one of several processes takes.

    The parts are neighbours, in the order of the ranks, and differ in length by one at most.

    Attributes:
        rank: The process's number.
        num: How many there are.
        is_level: Whether all must run as many passes a step, because they meet within each pass.

    Example:
        >>> [Share(rank, 2).of(np.arange(5)).tolist() for rank in (0, 1)]
        [[0, 1, 2], [3, 4]]
    """

    rank: int = 0
    num: int = 1
    is_level: bool = False

    def of(self, indices: np.ndarray) -> np.ndarray:
        """Return this process's part of the samples of one step."""
        each, more = divmod(len(indices), self.num)
        start = self.rank * each + min(self.rank, more)
        return indices[start : start + each + (self.rank < more)]

    def missing(self, indices: np.ndarray, size: int) -> int:
        """Return how many passes of at most ``size`` samples this process runs too few of.

        Example:
            >>> Share(1, 2, is_level=True).missing(np.arange(5), 2)
            1
        """
        own, most = len(self.of(indices)), -(-len(indices) // self.num)
        return -(-most // size) - -(-own // size) if self.is_level else 0


WHOLE = Share()


class Order:
    """The order of samples over all epochs.

    Each epoch is a fresh permutation; the remainder that does not fill a batch is left out (it
    differs from epoch to epoch). With ``oversample`` each class is drawn equally often, with
    replacement. With ``lengths`` samples of like length share a batch: the permutation is cut into
    windows of fifty batches, each window is sorted by length, and the batches are shuffled again.
    So batches still differ from epoch to epoch, and little of them is padding.

    Args:
        targets: N rows; int64, shape (N,), where classes are to be drawn equally often.
        batch_size: Samples a step; at most N.
        imbalance: ``oversample`` draws classes equally often; anything else visits each sample.
        seed: The run's seed.
        lengths: int64, shape (N,), or None where all samples have one shape.
    """

    def __init__(
        self,
        targets: Rows,
        *,
        batch_size: int,
        imbalance: Imbalance,
        seed: int,
        lengths: np.ndarray | None = None,
    ) -> None:
        self.num_samples = len(targets)
        self.batch_size = min(batch_size, self.num_samples)
        self.steps_per_epoch = max(1, self.num_samples // self.batch_size)
        self._seed = seed
        self._lengths = lengths
        self._shares: np.ndarray | None = None
        if imbalance == "oversample":
            classes = array_of(targets)
            weights = 1.0 / np.bincount(classes)[classes]
            self._shares = weights / weights.sum()
        self._drawn: dict[int, np.ndarray] = {}  # by epoch

    def epoch(self, step: int) -> int:
        """Return the epoch a step lies in."""
        return step // self.steps_per_epoch

    def indices(self, step: int) -> np.ndarray:
        """Return the positions of the samples of one step, int64, shape (batch_size,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch not in self._drawn:
            # batches made ahead are of the next epoch while the last ones of this are asked for
            self._drawn = dict([*self._drawn.items()][-1:])
            self._drawn[epoch] = self._draw(epoch)
        return self._drawn[epoch][place * self.batch_size : (place + 1) * self.batch_size]

    def _draw(self, epoch: int) -> np.ndarray:
        if self._shares is None:
            drawn = permutation(self._seed, epoch, self.num_samples)
        else:
            draws = generator(ORDER, self._seed, epoch)
            drawn = draws.choice(self.num_samples, size=self.num_samples, p=self._shares)
        return drawn if self._lengths is None else self._by_length(drawn, self._lengths, epoch)

    def _by_length(self, drawn: np.ndarray, lengths: np.ndarray, epoch: int) -> np.ndarray:
        """Return one epoch's draw with samples of like length in the same batch."""
        used = drawn[: self.steps_per_epoch * self.batch_size]
        window = _WINDOW_BATCHES * self.batch_size
        parts = [used[start : start + window] for start in range(0, len(used), window)]
        sorted_parts = [part[np.argsort(lengths[part], kind="stable")] for part in parts]
        batches = np.concatenate(sorted_parts).reshape(self.steps_per_epoch, self.batch_size)
        shuffled = generator(ORDER, self._seed, epoch, 1).permutation(self.steps_per_epoch)
        return batches[shuffled].reshape(-1)


def order_of(targets: Rows, lengths: np.ndarray | None, recipe: Recipe) -> Order:
    """Return the order of a recipe; arguments as for ``Order``."""
    return Order(
        targets,
        batch_size=recipe.batch_size,
        imbalance=recipe.imbalance,
        seed=recipe.seed,
        lengths=lengths,
    )
