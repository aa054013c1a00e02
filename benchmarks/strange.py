"""What the rules on new rows of a table find, and what they cry without need, on real tables.

Of each table a random half is learned from and the other half is new; each kind of warning on it is
a false one. Then one numeric column at a time of the new half is given in another unit (times 1000,
2.54, 100, 1/1000, 1/100), or one cell is given far away: a warning on that column is a find.

    python benchmarks/strange.py                # HEADSTART_DATA names the folder of the tables
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from headstart.data import load
from headstart.preprocessing import TablePreprocess, fit_table
from headstart.types import TableSpec

TABLES = {  # file → target, whether it has a header
    "adult-train.csv.gz": (14, False),
    "ames.csv.gz": ("Sale_Price", True),
    "boston_housing.csv": (13, False),
    "california_housing.csv.gz": ("median_house_value", True),
    "titanic_train.csv": ("Survived", True),
    "winequality-red.csv": (11, False),
}
FACTORS = {"×1000": 1000, "÷1000": 1 / 1000, "×100": 100, "÷100": 1 / 100, "×2.54": 2.54}
SPLITS = 3
MOST_ROWS = 2000


def main() -> None:
    """Print a line a table and the sums."""
    folder = Path(os.environ["HEADSTART_DATA"]) / "tabular"
    false, found, asked = Counter[str](), Counter[str](), Counter[str]()
    missed, columns_seen = Counter[str](), 0
    for file, (stated, has_header) in TABLES.items():
        frame = pd.read_csv(folder / file, header=0 if has_header else None, skipinitialspace=True)
        frame.columns = [str(column) for column in frame.columns]
        target = str(stated)
        task = "auto" if file.startswith(("adult", "titanic")) else "regression"
        for seed in range(SPLITS):
            mixed = frame.sample(min(len(frame), MOST_ROWS), random_state=seed)
            half = len(mixed) // 2
            old, new = mixed.iloc[:half], mixed.iloc[half:].reset_index(drop=True)
            read = fit_table(load(old.reset_index(drop=True), label=target, task=task, seed=seed))
            rows = new[list(read.columns)]
            warned = warnings_of(read, rows)
            for kind in warned.values():
                false[f"{file}: {kind}"] += 1
            columns_seen += len(read.columns)
            for column in read.spec.columns:
                if column.kind != "numeric" or column.name in warned:
                    continue
                alone = TablePreprocess(TableSpec((column,)))
                rows = new[[column.name]]
                for name, factor in FACTORS.items():
                    spoiled = rows.assign(**{column.name: rows[column.name] * factor})
                    is_zero = bool((rows[column.name].fillna(0) == 0).mean() > 0.75)
                    key = f"{name}{' (mostly 0)' if is_zero else ''}"
                    asked[key] += 1
                    is_found = column.name in warnings_of(alone, spoiled)
                    found[key] += is_found
                    if not is_found:
                        missed[f"{file}: {column.name}"] += 1
                one = rows[column.name].astype(float).copy()
                one.iloc[0] = 1000 * (abs(one.max()) or 1.0)
                asked["one cell, 1000 × the greatest"] += 1
                spoiled = rows.assign(**{column.name: one})
                found["one cell, 1000 × the greatest"] += column.name in warnings_of(alone, spoiled)
    print(f"columns looked at: {columns_seen}; warnings on untouched halves: {sum(false.values())}")
    for name, number in false.most_common():
        print(f"  {number:3d}  {name}")
    print("most often missed:", ", ".join(f"{n} ({k})" for n, k in missed.most_common(8)))
    for name in asked:
        print(f"{name:32s} found in {found[name]:4d} of {asked[name]:4d} columns")


def warnings_of(read, rows: pd.DataFrame) -> dict[str, str]:
    """Return for each column with a warning its kind."""
    told = {}
    for found in read.read(rows).findings:
        if found.severity == "warning":
            name = found.sentence.split("'")[1]
            words = ("unknown", "far outside", "empty", "unit")
            told[name] = next((word for word in words if word in found.sentence), "other")
    return told


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
