"""What another library says of the test rows of a table; run by ``tables.py`` in its own Python.

    python benchmarks/peer_tables.py autogluon FOLDER SECONDS

``FOLDER`` holds ``train.parquet`` and ``test.parquet`` with the target in the column ``target``,
and ``task.json``; ``answers.json`` is written beside them. One core.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any


def main() -> None:
    """Fit on train within the seconds, and write what it says of test."""
    warnings.simplefilter("ignore")
    name, folder, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    import pandas as pd

    train, test = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    is_classes = json.loads((folder / "task.json").read_text())["task"] == "classification"
    began = time.monotonic()
    answers = PEERS[name](train, test, is_classes, seconds, folder)
    record = {"answers": [float(value) for value in answers], "seconds": time.monotonic() - began}
    (folder / "answers.json").write_text(json.dumps(record))


def autogluon(train: Any, test: Any, is_classes: bool, seconds: float, folder: Path) -> Any:
    """Answer by AutoGluon-Tabular, its defaults."""
    from autogluon.tabular import TabularPredictor

    kind = "multiclass" if train["target"].nunique() > 2 else "binary"
    predictor = TabularPredictor(
        label="target",
        problem_type=kind if is_classes else "regression",
        eval_metric="accuracy" if is_classes else "root_mean_squared_error",
        path=str(folder / "autogluon"),
        verbosity=0,
    )
    predictor.fit(train, time_limit=seconds, num_cpus=1)
    return predictor.predict(test.drop(columns="target")).to_numpy()


def flaml(train: Any, test: Any, is_classes: bool, seconds: float, folder: Path) -> Any:
    """Answer by FLAML, its defaults."""
    from flaml import AutoML

    del folder
    learner = AutoML()
    learner.fit(
        train.drop(columns="target"),
        train["target"],
        task="classification" if is_classes else "regression",
        metric="accuracy" if is_classes else "rmse",
        time_budget=seconds,
        n_jobs=1,
        verbose=0,
    )
    return learner.predict(test.drop(columns="target"))


PEERS = {"autogluon": autogluon, "flaml": flaml}

if __name__ == "__main__":
    main()
