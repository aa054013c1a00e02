"""What mistakes cost where it is not the same for all: the answer that is cheapest to give.

A matrix says what each answer costs for each class that is right. Of probabilities that mean what
they say, the answer with the smallest expected cost is the best there is; nothing has to be tuned.
With two classes it is a threshold.

The interval of a mean cost is put together of the shares of items that cost so and so much, each
with its exact interval, levels that no item has met among them: fifty items without the dearest
mistake do not show that there is none.

Source:
    C. Elkan, 2001, The foundations of cost-sensitive learning, IJCAI, for the decision; G. Y. Zou
    and A. Donner, 2008, Statistics in Medicine 27, 1693-1702 (MOVER), for the interval. Shares that
    exclude one another go together, which makes the sum a little safer than it says.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.errors import OptionError, quoted
from headstart.evaluation.clusters import Groups
from headstart.evaluation.means import plain_mean, studentised_interval, unit_sums
from headstart.evaluation.shares import exact_ends
from headstart.types import Figure

EXAMPLE = "the lines 'truth,cat,dog', 'cat,0,1', 'dog,5,0' (a dog that is called a cat costs 5)"
_NUM_RESAMPLES = 1_000


@dataclass(frozen=True, eq=False)
class CostMatrix:
    """What each answer costs.

    Attributes:
        classes: K names.
        matrix: float64, shape (K, K): of the class of a row, answered as that of a column.
    """

    classes: tuple[str, ...]
    matrix: np.ndarray

    def of(self, classes: Sequence[str]) -> np.ndarray:
        """Return the matrix in the order of a model's classes.

        Args:
            classes: Of the data.

        Raises:
            OptionError: They are not the matrix's.
        """
        lacking = [name for name in classes if name not in self.classes]
        unknown = [name for name in self.classes if name not in classes]
        if lacking or unknown:
            wrong = [f"has no {quoted(lacking, limit=6)}"] if lacking else []
            wrong += [f"names {quoted(unknown, limit=6)}"] if unknown else []
            raise OptionError(
                f"The matrix of costs {' and '.join(wrong)}; expected one row and one column for "
                f"each of {quoted(classes, limit=12)}. Write it like {EXAMPLE}."
            )
        order = [self.classes.index(name) for name in classes]
        return self.matrix[np.ix_(order, order)]


def parse_costs(text: str) -> CostMatrix:
    """Return what a CSV says that answers cost.

    Args:
        text: A header of the classes that are answered, behind one cell of any word; then a row for
            each class that is right: its name, and what each answer costs.

    Raises:
        OptionError: It is no such matrix.

    Example:
        >>> rows = ["truth,cat,dog", "cat,0,1", "dog,5,0"]
        >>> float(parse_costs(chr(10).join(rows)).matrix[1, 0])
        5.0
    """
    rows = [row for row in csv.reader(io.StringIO(text.strip())) if any(map(str.strip, row))]
    names = [cell.strip() for cell in rows[0][1:]] if rows else []
    found = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows[1:]}
    if len(names) < 2 or len(set(names)) < len(names) or len(found) < len(rows) - 1:
        raise OptionError(
            f"The matrix of costs has {len(names)} columns and {len(found)} rows of "
            f"different names; expected two classes or more, each once. Write it like {EXAMPLE}."
        )
    if set(found) != set(names):
        wrong = sorted(set(found) ^ set(names))
        raise OptionError(
            f"The matrix of costs has {quoted(wrong, limit=6)} as a row or as a column alone; "
            f"expected every class as both. Write it like {EXAMPLE}."
        )
    matrix = np.array([_numbers(name, found[name], len(names)) for name in names])
    return CostMatrix(tuple(names), matrix)


def _numbers(name: str, cells: Sequence[str], num: int) -> list[float]:
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        values = []
    if len(values) != num or not all(math.isfinite(v) and v >= 0 for v in values):
        raise OptionError(
            f"The row '{name}' of the matrix of costs is {', '.join(cells) or 'empty'}; expected "
            f"{num} numbers of 0 or more. Write it like {EXAMPLE}."
        )
    return values


def expected_costs(probabilities: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return what each answer is expected to cost, float64, shape (N, K).

    Args:
        probabilities: Shape (N, K).
        matrix: Shape (K, K), of the class of a row answered as that of a column.
    """
    found: np.ndarray = np.asarray(probabilities, np.float64) @ matrix
    return found


def mean_cost(
    decisions: np.ndarray, targets: np.ndarray, matrix: np.ndarray, groups: Groups | None = None
) -> Figure:
    """Return what answers have cost in the mean, with its 95 % interval.

    Args:
        decisions: Class indices, shape (N,), N at least 1.
        targets: The same.
        matrix: Shape (K, K).
        groups: Which items belong together; None: each stands alone.
    """
    costs, num = matrix[targets, decisions], len(targets)
    levels = np.unique(matrix)
    least, rest = levels[0], levels[1:]
    shares = (costs[:, None] == rest).sum(axis=0) / num
    trials = np.full(len(rest), float(num))
    if groups is not None:
        trials = np.array([groups.effective(costs == level) for level in rest])
    lows, highs = exact_ends(shares * trials, trials)
    above = math.sqrt(float((((highs - shares) * (rest - least)) ** 2).sum()))
    below = math.sqrt(float((((shares - lows) * (rest - least)) ** 2).sum()))
    value = float(costs.mean())
    return Figure(value, max(float(least), value - below), min(float(levels[-1]), value + above))


def cost_difference(
    before: np.ndarray, after: np.ndarray, groups: Groups | None = None, *, seed: int = 0
) -> Figure:
    """Return by how much costs are higher after than before, in the mean over the same items.

    Args:
        before: Of each item, shape (N,).
        after: The same.
        groups: Which items belong together; None: each stands alone.
        seed: Of the draws.

    Returns:
        With its 95 % interval; both ends unknown where no item differs.
    """
    units = unit_sums((after - before)[None], groups, seed)
    return studentised_interval(units, plain_mean, num_resamples=_NUM_RESAMPLES, seed=seed)
