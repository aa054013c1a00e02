"""What ``headstart check`` takes of wide tables, and of tables with very many classes.

Each size is a CSV of random numbers, checked in a process of its own; processor seconds count,
since seconds by the clock depend on what else the machine does. Imports are in them.

    python benchmarks/wide.py --columns 1000 3000 10000 --rows 150
    python benchmarks/wide.py --classes 1000 5000 --rows 25000 --columns 6
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def write_table(path: Path, rows: int, columns: int, classes: int) -> None:
    """Write a CSV of random numbers with a label that none of them tells."""
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        rng.normal(size=(rows, columns)), columns=[f"c{i}" for i in range(columns)]
    )
    frame["label"] = [f"class {i % classes}" for i in range(rows)]
    frame.to_csv(path, index=False, float_format="%.9g")


def child(path: str) -> None:
    """Check a table, and print seconds, processor seconds and the largest memory."""
    import headstart as hs

    began = time.perf_counter()
    hs.check(path, out=str(Path(path).parent / "out"))
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu": round(used.ru_utime + used.ru_stime, 1),
        "mb": used.ru_maxrss // 1024,
    }
    print(json.dumps(told))


def main() -> None:
    """Measure every size asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", type=int, nargs="+", default=[1000])
    parser.add_argument("--classes", type=int, nargs="+", default=[2])
    parser.add_argument("--rows", type=int, default=150)
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    print("rows      columns  classes  CPU s    s        MB")
    for columns in options.columns:
        for classes in options.classes:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "wide.csv"
                write_table(path, options.rows, columns, classes)
                command = [sys.executable, __file__, "--child", str(path)]
                done = subprocess.run(
                    command, capture_output=True, text=True, check=True, env=os.environ
                )
            told = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{options.rows:<9,} {columns:<8,} {classes:<8,} {told['cpu']:<8} "
                f"{told['seconds']:<8} {told['mb']}",
                flush=True,
            )


if __name__ == "__main__":
    main()
