"""How often the 95 % intervals of every figure hold the truth, from 50 items on.

A population of 100,000 items is made for each case (``coverage_cases.py``), with a model's answers
to them; its own figures are the truth. Samples of each size are drawn and scored as a test split
is, and it is counted how often an interval holds the truth, and how wide it is.

    python benchmarks/coverage.py --draws 2000 --sizes 50 100 300 1000
    python benchmarks/coverage.py --cases rare --draws 500
"""

from __future__ import annotations

import argparse
import json

from coverage_cases import CASES, covered


def main() -> None:
    """Count and print a table: a row a case and figure, a column a size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 300, 1000])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    lowest: dict[str, tuple[float, str]] = {}
    print("| case | figure | " + " | ".join(f"{size:,}" for size in options.sizes) + " |")
    print("|---|---|" + "---|" * len(options.sizes))
    for case in options.cases:
        population = CASES[case]()
        found = [
            covered(population, size, options.draws, num_resamples=options.resamples)
            for size in options.sizes
        ]
        for name in found[0]:
            cells = [f"{each[name][0]:.1%} ({each[name][1]:.3g})" for each in found]
            print(f"| {case} | {name} | " + " | ".join(cells) + " |", flush=True)
            for each, size in zip(found, options.sizes, strict=True):
                entry = (each[name][0], f"{case} at {size:,}")
                lowest[name] = min(lowest.get(name, entry), entry)
    print(json.dumps({"draws": options.draws, "lowest": lowest}, indent=1))


if __name__ == "__main__":
    main()
