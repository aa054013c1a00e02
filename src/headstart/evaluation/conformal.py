"""Sets and intervals that hold the truth as often as they say: split conformal prediction.

A score says how ill a target fits what a model says of its item. Of new items, drawn as val's
were, the target fits at least as well as the ``ceil((n + 1) coverage)``-th of val's n scores with
at least the probability ``coverage``, whatever the model. How often that is for *this* val split
is a random number of a known law, Beta(k, n + 1 - k), which ``coverage_range`` tells. The score of
the answer itself is 0, so that no set is ever empty: a model that is right more often than it was
asked to be covers more, with sets of one.

It holds for items like val's, and not for those of another source; and val has chosen the model,
so that it flatters a little. What test says is told beside.

Source:
    V. Vovk, A. Gammerman and G. Shafer, 2005, Algorithmic Learning in a Random World; scores of
    probabilities: M. Sadinle, J. Lei and L. Wasserman, 2019, JASA 114, 223-234; the law of the
    coverage: V. Vovk, 2012, ACML, PMLR 25, 475-490.
"""

from __future__ import annotations

import math

import numpy as np

from headstart.errors import OptionError

# what another engine's last digits may move a score by
SLACK = 1e-6


def conformal_rank(num_items: int, coverage: float) -> int | None:
    """Return which of the ascending scores is the bound, from 1; None where none is enough.

    Args:
        num_items: Scores that there are.
        coverage: In (0, 1).

    Raises:
        OptionError: The coverage is not in (0, 1).
    """
    if not 0.0 < coverage < 1.0:
        raise OptionError(
            f"coverage is {coverage}, expected a number between 0 and 1, such as 0.9."
        )
    rank = math.ceil((num_items + 1) * coverage - 1e-9)
    return max(1, rank) if rank <= num_items else None


def conformal_bound(
    scores: np.ndarray, coverage: float, num_units: int | None = None
) -> float | None:
    """Return the bound that a target's score stays below with a probability of ``coverage``.

    Args:
        scores: Of items that the model has not learned from, shape (N,).
        coverage: In (0, 1).
        num_units: As how many separate items they count: groups, where items belong together.
            The bound is then the share of the items that so many would need.

    Returns:
        The bound; None where there are too few items or groups to tell one: at 0.9 less than 9.

    Raises:
        OptionError: The coverage is not in (0, 1).
    """
    num = len(scores) if num_units is None else num_units
    rank = conformal_rank(num, coverage)
    if rank is None:
        return None
    rank = math.ceil(len(scores) * rank / num - 1e-9)
    found = float(np.partition(np.asarray(scores, np.float64), rank - 1)[rank - 1])
    return found + SLACK * max(1.0, abs(found))


def coverage_range(num_items: int, coverage: float) -> tuple[float, float] | None:
    """Return where the coverage of all items lies in 95 of 100 draws of the calibration items.

    Args:
        num_items: Calibration items.
        coverage: As for ``conformal_bound``.
    """
    from scipy.special import betaincinv

    rank = conformal_rank(num_items, coverage)
    if rank is None:
        return None
    low, high = betaincinv(rank, num_items + 1 - rank, np.array([0.025, 0.975]))
    return float(low), float(high)


def class_misfits(probabilities: np.ndarray, decided: np.ndarray | None = None) -> np.ndarray:
    """Return how ill each class fits: 1 - p, and 0 for the most probable one.

    Args:
        probabilities: Shape (N, K).
        decided: Which classes are answered, bool, shape (N, K): these fit, too, so that a set
            holds what a tuned threshold says. None answers the most probable one.

    Returns:
        float64, shape (N, K).
    """
    found = 1.0 - np.asarray(probabilities, np.float64)
    found[np.arange(len(found)), found.argmin(axis=1)] = 0.0
    if decided is not None:
        found[decided] = 0.0
    return found


def label_set_misfits(
    probabilities: np.ndarray, targets: np.ndarray, decided: np.ndarray | None = None
) -> np.ndarray:
    """Return how ill all labels of an item fit together: the worst of them; 0 where it has none.

    Args:
        probabilities: Of each label, shape (N, K).
        targets: 0 or 1, shape (N, K).
        decided: As ``class_misfits``.

    Returns:
        float64, shape (N,).
    """
    each = np.where(np.asarray(targets, bool), class_misfits(probabilities, decided), 0.0)
    found: np.ndarray = each.max(axis=1)
    return found
