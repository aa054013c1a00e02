"""What the JSON record of a table's preprocessing costs beside a pickle of scikit-learn's own.

    OMP_NUM_THREADS=1 python benchmarks/record_cost.py

Eight real numbers and three categories of 50 words each. Both sides are fitted on the same rows:
median and scale of the numbers, codes of the categories. Opening is from bytes to an object that
can be applied; applying is to the rows as a frame (scikit-learn) or an Arrow table (headstart).
Five rounds, the two sides in turn; the median and the range are told.
"""

from __future__ import annotations

import argparse
import json
import pickle
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from headstart.data import load
from headstart.preprocessing import fit_table, read_preprocess
from headstart.preprocessing.columns import to_cells

NUMBERS = [f"x{i}" for i in range(8)]
WORDS = [f"word{i}" for i in range(3)]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    frame = _frame(20_000)
    own = fit_table(load(frame))
    theirs = _pipeline().fit(frame)
    record, pickled = json.dumps(own.to_json()).encode(), pickle.dumps(theirs)
    print(f"bytes: record {len(record):,}, pickle {len(pickled):,}")
    sides: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "open": (
            lambda: read_preprocess(json.loads(record), Path(), "a benchmark"),
            lambda: pickle.loads(pickled),
        )
    }
    for rows in args.rows:
        new = _frame(rows).drop(columns="label")
        table = pa.Table.from_pandas(new, preserve_index=False)
        sides[f"apply to {rows:,} rows"] = (
            lambda table=table: to_cells(own.spec, table),
            lambda new=new: theirs.transform(new),
        )
    for name, (ours, other) in sides.items():
        times = [(_seconds(ours), _seconds(other)) for _ in range(args.rounds)]
        record_ms, pickle_ms = (sorted(1000 * t for t in side) for side in zip(*times, strict=True))
        print(f"{name}: record {_told(record_ms)} ms, pickle {_told(pickle_ms)} ms")


def _frame(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    words = np.array([f"w{i:02d}" for i in range(50)])
    columns = {name: rng.normal(size=rows) for name in NUMBERS}
    columns |= {name: rng.choice(words, rows) for name in WORDS}
    return pd.DataFrame({**columns, "label": rng.choice(["a", "b"], rows)})


def _pipeline() -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("words", words, WORDS)])


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _told(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} ({times[0]:.2f} to {times[-1]:.2f})"


if __name__ == "__main__":
    main()
