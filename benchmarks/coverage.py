"""How often the 95 % intervals of every figure hold the truth, from 50 items on.

A population of 100,000 items is made for each case (``coverage_cases.py``), with a model's answers
to them; its own figures are the truth. Samples of each size are drawn and scored as a test split
is, and it is counted how often an interval holds the truth, and how wide it is.

    python benchmarks/coverage.py --draws 2000 --out covered.csv              # ~25 min of one core
    python benchmarks/coverage.py --cases rare --draws 500

With ``--out`` rows are written case by case and size by size, and what the file holds is not
counted again. Printed are all of them, and the lowest of each figure and size with its case.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from coverage_cases import CASES, covered
from timing import markdown_table

HEAD = ("case", "items", "draws", "figure", "share", "width")
# three errors in a hundred are seven times as large as the others: docs/intervals.md tells of it
APART = "outliers"


def read(path: Path | None) -> list[dict[str, str]]:
    """Return the rows that a file holds."""
    if path is None or not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def count(case: str, size: int, draws: int, resamples: int) -> list[dict[str, str]]:
    """Return a row for each figure of a case and size."""
    found = covered(CASES[case](), size, draws, num_resamples=resamples)
    return [
        dict(
            zip(
                HEAD,
                (case, str(size), str(draws), name, f"{share:.4f}", f"{width:.4g}"),
                strict=True,
            )
        )
        for name, (share, width) in found.items()
    ]


def lowest(rows: Sequence[dict[str, str]], sizes: Sequence[int]) -> str:
    """Return a table: a figure a row, a size a column, in each the least and its case."""
    names = dict.fromkeys(row["figure"] for row in rows)
    lines = []
    for name in names:
        cells = []
        for size in sizes:
            of = [r for r in rows if (r["figure"], r["items"]) == (name, str(size))]
            least = min(of, key=lambda row: float(row["share"]), default=None)
            cells.append(f"{float(least['share']):.1%} ({least['case']})" if least else "–")
        lines.append([name.replace("_", " "), *cells])
    return markdown_table(["figure", *(f"{size:,}" for size in sizes)], lines)


def main() -> None:
    """Count what the file does not hold and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 300, 1000])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="CSV file for the rows")
    options = parser.parse_args()
    rows = read(options.out)
    known = {(row["case"], int(row["items"]), int(row["draws"])) for row in rows}
    for case in options.cases:
        for size in options.sizes:
            if (case, size, options.draws) in known:
                continue
            found = count(case, size, options.draws, options.resamples)
            rows += found
            if options.out is not None:
                is_new = not options.out.is_file()
                with options.out.open("a", newline="") as file:
                    writer = csv.DictWriter(file, HEAD, lineterminator="\n")
                    if is_new:
                        writer.writeheader()
                    writer.writerows(found)
    shown = [row for row in rows if row["case"] in options.cases]
    print(markdown_table(list(HEAD), [list(row.values()) for row in shown]))
    print()
    print(lowest([row for row in shown if row["case"] != APART], options.sizes))


if __name__ == "__main__":
    main()
