"""How long loading a table takes, and how much memory: another build, this one, and pandas.

    python benchmarks/load.py --before ../before --after . --rows 10000 100000 1000000

Each measurement is a process of its own. It first loads a table of 2,000 rows, so that imports do
not count; then seconds, CPU seconds and the peak of its memory above that of the imports are those
of one load. pandas reads the file and does nothing else: no kinds of columns, no copies, no split.
The table: eight real numbers, a whole one, a category of 200 words, a text of its own in nearly
every row, and a label; of 12 columns, about 208 bytes a row as CSV.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

from timing import run_child

CHILD = """
import json, sys, time
what, warm, path = sys.argv[1:]
if what == "pandas":
    import pandas
    read = pandas.read_parquet if path.endswith("parquet") else pandas.read_csv
else:
    from headstart.data import load as read
read(warm)
with Watch() as watch:
    wall, cpu = time.perf_counter(), time.process_time()
    data = read(path)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps({"seconds": wall, "cpu": cpu, "peak": watch.peak}))
"""


def write_table(num_rows: int, folder: Path) -> list[Path]:
    """Write a table as CSV and as Parquet, and return both paths."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    draw = np.random.default_rng(num_rows)
    table = {f"x{i}": draw.normal(size=num_rows) for i in range(8)}
    table["age"] = draw.integers(18, 90, num_rows)
    table["city"] = np.array([f"city number {i}" for i in range(200)])[
        draw.integers(0, 200, num_rows)
    ]
    orders = zip(draw.integers(0, 10**9, num_rows), draw.integers(0, 10**4, num_rows), strict=True)
    table["note"] = [f"order {a} of shop {b}" for a, b in orders]
    table["label"] = np.array(["yes", "no"])[draw.integers(0, 2, num_rows)]
    arrow = pa.table(table)
    paths = [folder / f"{num_rows}.csv", folder / f"{num_rows}.parquet"]
    pyarrow.csv.write_csv(arrow, paths[0])
    pyarrow.parquet.write_table(arrow, paths[1])
    return paths


def measure(what: str, checkout: Path | None, warm: Path, path: Path) -> dict[str, float]:
    """Return seconds, CPU seconds and peak bytes of one load in a process of its own."""
    return run_child(CHILD, [what, str(warm), str(path)], checkout)


def main() -> None:
    """Measure and print a table, and how seconds grow from one number of rows to the next."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="checkout of another build")
    parser.add_argument("--after", type=Path, default=Path(), help="checkout of this build")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--repeat", type=int, default=1, help="the quickest of so many")
    said = parser.parse_args()
    builds = [("after", said.after), ("pandas", None)]
    builds = [("before", said.before), *builds] if said.before else builds
    print("rows       file      MB   build    seconds      CPU  peak MB  peak/file  exponent")
    with tempfile.TemporaryDirectory() as place:
        warm = dict(zip(("csv", "parquet"), write_table(2_000, Path(place)), strict=True))
        last: dict[tuple[str, str], tuple[int, float]] = {}
        for number in said.rows:
            for path in write_table(number, Path(place)):
                kind, size = path.suffix[1:], path.stat().st_size
                for what, checkout in builds:
                    runs = [measure(what, checkout, warm[kind], path) for _ in range(said.repeat)]
                    best = min(runs, key=lambda run: run["seconds"])
                    grown = ""
                    if (what, kind) in last:
                        rows, cpu = last[what, kind]
                        grown = f"{math.log(best['cpu'] / cpu) / math.log(number / rows):9.2f}"
                    last[what, kind] = number, best["cpu"]
                    print(
                        f"{number:<10,} {kind:<7} {size / 1e6:6.1f}   {what:<7} "
                        f"{best['seconds']:8.2f} {best['cpu']:8.2f} {best['peak'] / 1e6:8.0f} "
                        f"{best['peak'] / size:10.1f} {grown}",
                        flush=True,
                    )
                path.unlink()


if __name__ == "__main__":
    main()
