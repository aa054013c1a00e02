"""How small a shift of one column ``headstart monitor`` finds, and how quiet it is without any.

Six columns of numbers of the UCI incomes. Again and again held-out rows are drawn, and windows of
500 others: as they are, and with the age of everybody moved by some standard deviations. Told is
the share of windows in which the detector of columns says drift, and over references the worst; its
p-value is corrected as if four detectors were asked, and its limit is calibrated as at export.

    python benchmarks/monitor_columns.py [--references 20] [--held-out 640] [--shifts 0.25 0.35]
        [--normal]

``--normal`` draws six columns of normal numbers, whose shifts only their order tells.

The data is looked for in HEADSTART_DATA. Half a minute on one core.
"""

from __future__ import annotations

import argparse
import gzip
import io

import numpy as np
import pandas as pd
from monitor import DATA, INCOME
from timing import processor_name

from headstart.monitoring.columns import ColumnBins, _edges, compare_columns, smallest
from headstart.monitoring.two_samples import surprise
from headstart.monitoring.windows import RARE, WINDOW

DETECTORS, DIVISIONS, WINDOWS = 4, 200, 40
COLUMNS = ["age", "weight", "years", "gain", "loss", "hours"]


def table() -> np.ndarray:
    """Return the numbers of all rows, float32, shape (N, 6)."""
    with gzip.open(DATA / "tabular" / "adult-train.csv.gz", "rt") as file:
        lines = "".join(line for line in file if line.count(",") == len(INCOME) - 1)
    found = pd.read_csv(io.StringIO(lines), names=INCOME, skipinitialspace=True, na_values="?")
    return found[COLUMNS].to_numpy(np.float32)


def bins_of(held_out: np.ndarray) -> ColumnBins:
    edges = [_edges(column) for column in held_out.T]
    longest = max(map(len, edges))
    filled = np.full((len(edges), longest), np.inf, np.float32)
    for place, one in enumerate(edges):
        filled[place, : len(one)] = one
    num = len(edges)
    every = np.zeros(num, bool), np.arange(num)
    return ColumnBins(tuple(COLUMNS), *every, filled, longest + 1)


def counted(bins: ColumnBins, rows: np.ndarray):
    places = np.stack(
        [np.searchsorted(e, c, side="left") for e, c in zip(bins.edges, rows.T, strict=True)], 1
    )
    return bins.summed(places)


def shares(rows: np.ndarray, held: int, shifts: list[float], draw) -> list[float]:
    """Return the share of windows that drift, of each shift, against one reference."""
    order = draw.permutation(len(rows))
    reference, left = rows[order[:held]], rows[order[held:]]
    bins = bins_of(reference)
    size = min(WINDOW, held // 2)
    scores = []
    for _ in range(DIVISIONS):
        mixed = draw.permutation(held)
        sides = counted(bins, reference[mixed[size:]]), counted(bins, reference[mixed[:size]])
        scores.append(surprise(smallest(compare_columns(bins, *sides))))
    limit = float(np.quantile(scores, 0.99, method="higher"))
    whole, found = counted(bins, reference), []
    for shift in shifts:
        hits = 0
        for _ in range(WINDOWS):
            window = left[draw.choice(len(left), WINDOW, replace=False)].copy()
            window[:, 0] += shift * rows[:, 0].std()
            p = smallest(compare_columns(bins, whole, counted(bins, window)))
            hits += min(1.0, DETECTORS * p) <= RARE and surprise(p) > limit
        found.append(hits / WINDOWS)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--references", type=int, default=20)
    parser.add_argument("--held-out", type=int, default=640)
    parser.add_argument("--shifts", type=float, nargs="+", default=[0.25, 0.35])
    parser.add_argument("--normal", action="store_true")
    args = parser.parse_args()
    print(processor_name())
    normal = np.random.default_rng(9).normal(0, 1, (30_000, len(COLUMNS))).astype(np.float32)
    rows, draw = normal if args.normal else table(), np.random.default_rng(0)
    shifts = [0.0, *args.shifts]
    every = np.array([shares(rows, args.held_out, shifts, draw) for _ in range(args.references)])
    for place, shift in enumerate(shifts):
        own = every[:, place]
        print(
            f"first column moved by {shift:g} sd: {100 * own.mean():.1f} % of "
            f"{args.references * WINDOWS} windows; references from {100 * own.min():.0f} to "
            f"{100 * own.max():.0f} %"
        )


if __name__ == "__main__":
    main()
