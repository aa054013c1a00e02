"""What ``headstart compare`` takes of two runs with very many test items.

Two run folders are written as a finished run leaves them, with random answers, and compared by the
command in a process of its own. Seconds by the clock and of the processor, and the largest memory.

    python benchmarks/compare.py --items 1000000 --classes 10
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from headstart.storage.records import FORMAT
from headstart.types import Schema


def write_run(folder: Path, items: int, classes: int, rate: float, seed: int) -> None:
    """Write a finished run whose answers are right as often as ``rate`` says."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    names = tuple(f"class {k}" for k in range(classes))
    targets = np.random.default_rng(0).integers(0, classes, items)
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(items) < rate, targets, rng.integers(0, classes, items))
    probabilities = np.full((items, classes), 0.1 / (classes - 1), np.float32)
    probabilities[np.arange(items), said] = 0.9
    order = rng.permutation(items)
    listed = pa.FixedSizeListArray.from_arrays(probabilities[order].ravel(), classes)
    columns = {
        "id": np.random.default_rng(1).permutation(items)[order],
        "name": [f"photos/train/img_{i:08}.jpg" for i in order],
        "target": np.array(names)[targets[order]],
        "prediction": np.array(names)[said[order]],
        "probability": np.full(items, 0.9, np.float32),
        "probabilities": listed,
        "loss": rng.random(items).astype(np.float32),
    }
    pq.write_table(pa.table(columns), folder / "predictions.parquet", compression="zstd")
    schema = Schema("image", "classification", names)
    accuracy = float((said == targets).mean())
    figure = {"value": accuracy, "low": accuracy - 0.001, "high": accuracy + 0.001}
    ids = np.arange(items).tolist()
    records = {
        "model.json": {"format": FORMAT, "start": {"address": "x"}, "schema": asdict(schema)},
        "metrics.json": {
            "task": "classification",
            "test": {"num_items": items, "figures": {"accuracy": figure}},
        },
        "data.json": {"name": "many", "fingerprint": "0" * 32, "split_ids": {"test": ids}},
        "options.json": {},
    }
    for name, record in records.items():
        (folder / name).write_text(json.dumps(record))


def main() -> None:
    """Write, compare, and tell what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folders = [Path(root) / name for name in ("a", "b")]
        for seed, (folder, rate) in enumerate(zip(folders, (0.90, 0.901), strict=True)):
            write_run(folder, options.items, options.classes, rate, seed + 2)
        began = time.perf_counter()
        words = [sys.executable, "-m", "headstart", "compare", *map(str, folders)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(done.stdout)
    print(
        json.dumps(
            {
                "items": options.items,
                "classes": options.classes,
                "seconds": round(seconds, 1),
                "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
                "mb": used.ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
