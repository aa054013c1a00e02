"""`fit` on tables against scikit-learn's trees and, where given, AutoGluon-Tabular and FLAML.

    HEADSTART_DATA=data python benchmarks/tables.py --seconds 20 --peers ../venv_peers/bin/python

The same test rows for all, and equal seconds by the clock, one core (``OMP_NUM_THREADS=1``).
headstart learns from train and chooses by val, whose rows no other method is denied: the others are
given train and val together. RandomForest and HistGradientBoosting have their defaults and 200
trees, on headstart's prepared cells. Peers live in an environment of their own and are given the
raw columns. Printed: each test figure with its 95 % interval, and the mean over the sets of how
much worse than headstart each is (RMSE in per cent, accuracy in points).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from results import BOSTON, WINE, adult_folder

PEER_SCRIPT = Path(__file__).parent / "peer_tables.py"


def sets(root: Path) -> dict[str, dict[str, Any]]:
    """Return what ``load`` is told, by the name of the set."""
    from sklearn import datasets

    table = root / "tabular"
    number = {"task": "regression"}
    return {
        "titanic": {"source": str(table / "titanic_train.csv"), "label": "Survived"},
        "wine-red": {
            "source": str(table / "winequality-red.csv"),
            "header": WINE.split(),
            "label": "quality",
            **number,
        },
        "boston": {
            "source": str(table / "boston_housing.csv"),
            "header": BOSTON.split(),
            "label": "medv",
            **number,
        },
        "diabetes": {"source": datasets.load_diabetes(return_X_y=True), **number},
        "breast-cancer": {"source": datasets.load_breast_cancer(return_X_y=True)},
        "wine": {"source": datasets.load_wine(return_X_y=True)},
        "digits": {"source": datasets.load_digits(return_X_y=True)},
        "ames": {"source": str(table / "ames.csv.gz"), "label": "Sale_Price", **number},
        "california": {
            "source": str(table / "california_housing.csv.gz"),
            "label": "median_house_value",
            **number,
        },
        "adult": {
            "source": adult_folder(table),
            "header": [f"column{i}" for i in range(14)] + ["income"],
            "label": "income",
        },
    }


def cells(dataset: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return prepared cells and targets of each split."""
    from headstart.preprocessing import fit_table

    prepare, found = fit_table(dataset).prepare, {}
    for name in ("train", "val", "test"):
        inputs = prepare(dataset, name)
        numbers, codes = inputs.arrays(np.arange(len(inputs)))
        found[name] = np.concatenate([numbers.astype(float), codes], axis=1), inputs.targets
    return found


def of_headstart(dataset: Any, seconds: float, folder: Path) -> np.ndarray:
    """Return what `fit` decides for the test rows."""
    import headstart as hs

    out = folder / "run"
    with contextlib.redirect_stderr(io.StringIO()):
        run = hs.fit(dataset, budget=f"{seconds}s", out=str(out), overwrite=True)
    print("   ", run.options["candidates"][0]["start"], flush=True)
    rows = dataset.test.samples
    found = run.predict([rows.read(i) for i in range(len(rows))])
    classes = {name: place for place, name in enumerate(dataset.schema.classes)}
    return np.array([classes[one.label] if classes else one.value for one in found])


def of_trees(kind: str) -> Callable[[Any, float, Path], np.ndarray]:
    """Return the function that answers by one of scikit-learn's methods."""

    def answer(dataset: Any, seconds: float, folder: Path) -> np.ndarray:
        from sklearn import ensemble

        del seconds, folder
        parts, is_classes = cells(dataset), bool(dataset.schema.classes)
        name = f"{kind}{'Classifier' if is_classes else 'Regressor'}"
        options = {"n_estimators": 200} if kind == "RandomForest" else {"max_iter": 200}
        model = getattr(ensemble, name)(random_state=0, **options)
        rows = [np.concatenate([parts[name][i] for name in ("train", "val")]) for i in (0, 1)]
        return model.fit(*rows).predict(parts["test"][0])

    return answer


def of_peer(python: str, name: str) -> Callable[[Any, float, Path], np.ndarray]:
    """Return the function that answers by a library of another environment."""

    def answer(dataset: Any, seconds: float, folder: Path) -> np.ndarray:
        import pandas as pd

        for out, splits in (("train", ("train", "val")), ("test", ("test",))):
            rows: list[Any] = []
            targets: list[Any] = []
            for split in map(dataset.split, splits):
                rows += [split.samples.read(i) for i in range(len(split))]
                targets += split.targets.tolist()
            frame = pd.DataFrame(rows).assign(target=targets)
            frame.to_parquet(folder / f"{out}.parquet")
        (folder / "task.json").write_text(json.dumps({"task": dataset.schema.task}))
        command = [python, str(PEER_SCRIPT), name, str(folder), str(seconds)]
        clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        subprocess.run(command, check=True, capture_output=True, env=clean, timeout=20 * seconds)
        return np.array(json.loads((folder / "answers.json").read_text())["answers"])

    return answer


def main() -> None:
    """Run every method on every set, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="sets; all when none is named")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--peers", help="a python that has autogluon.tabular and flaml")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    from headstart.data import load
    from headstart.tasks import find_task

    methods = {
        "headstart": of_headstart,
        "forest": of_trees("RandomForest"),
        "boosting": of_trees("HistGradientBoosting"),
    }
    if arguments.peers:
        methods |= {name: of_peer(arguments.peers, name) for name in ("autogluon", "flaml")}
    behind: dict[tuple[str, str], list[float]] = {}
    for name, said in sets(Path(os.environ["HEADSTART_DATA"])).items():
        if arguments.names and name not in arguments.names:
            continue
        options = dict(said)
        dataset = load(options.pop("source"), seed=arguments.seed, **options)
        task = find_task(dataset.schema.task)
        own = 0.0
        for method, answer in methods.items():
            folder = Path(tempfile.mkdtemp(prefix="headstart-tables-"))
            began = time.monotonic()
            try:
                decided = answer(dataset, arguments.seconds, folder)
            except (subprocess.SubprocessError, ValueError) as error:
                print(f"{name:14s} {method:10s} failed: {error}", flush=True)
                continue
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            targets = dataset.test.targets
            figure = task.headline_figure(decided.astype(targets.dtype), targets)
            value, took = figure.value, time.monotonic() - began
            own = value if method == "headstart" else own
            is_error = not task.figures[task.headline].is_higher_better
            worse = 100 * (value / own - 1) if is_error else 100 * (own - value)
            behind.setdefault((method, task.headline), []).append(worse)
            interval = f"[{figure.low:,.4g}, {figure.high:,.4g}]"
            print(
                f"{name:14s} {method:10s} {task.headline:8s} {value:12,.5g} {interval:22s}"
                f" behind {worse:+6.2f}  {took:5.0f} s",
                flush=True,
            )
    for (method, headline), values in behind.items():
        print(f"mean {method:10s} {headline:8s} behind {np.mean(values):+.2f} over {len(values)}")


if __name__ == "__main__":
    main()
