"""Folders as finished runs leave them, with answers that a test chooses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.storage.records import FORMAT
from headstart.tasks import find_task
from headstart.types import Schema

Made = Callable[..., Path]
CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def make_folder(tmp_path) -> Made:
    """Return a function that writes a finished run with the given answers."""

    def make(
        called: str,
        outputs: np.ndarray,
        targets: np.ndarray,
        *,
        task: str = "classification",
        classes: tuple[str, ...] = CLASSES,
        ids: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        pretrained_on: str | None = "ImageNet-1k",
        **data: object,
    ) -> Path:
        folder = tmp_path / called
        folder.mkdir()
        found, schema = find_task(task), Schema("image", task, classes, "kind")
        numbers = np.arange(len(targets)) if ids is None else ids
        baseline, naive = found.baseline(targets, targets, schema)
        columns = {"id": numbers, "name": [f"photo {i}" for i in numbers]}
        columns |= found.item_columns(targets, outputs, schema)
        columns["loss"] = np.linspace(0.1, 2.0, len(targets)).astype(np.float32)
        if groups is not None:
            columns["group"] = groups
        pq.write_table(pa.table(columns), folder / "predictions.parquet")
        figure = found.headline_figure(naive, targets)
        start = {"address": f"pip/{called}", "pretrained_on": pretrained_on, "num_parameters": 1000}
        scores = found.scores(outputs, targets, schema, num_resamples=40, groups=groups).to_json()
        figures = {
            baseline: {"value": figure.value, "low": figure.low, "high": figure.high},
            "fine-tuned": scores["figures"][found.headline],
        }
        records = {
            "model.json": {
                "format": FORMAT,
                "start": start,
                "strategy": "lp-ft",
                "schema": asdict(schema),
            },
            "metrics.json": {
                "task": task,
                "test": scores,
                "before_after": {"metric": found.headline, "figures": figures, "comparisons": []},
                "seconds": {"total": 12.0},
            },
            "data.json": {"name": "zoo", "fingerprint": "12345678abcd", "counts": {}, **data},
            "options.json": {"recipe": {"seed": 0}},
        }
        for file, record in records.items():
            (folder / file).write_text(json.dumps(record))
        return folder

    return make


@pytest.fixture
def answers() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return a function that draws probabilities, right as often as is said, and targets."""

    def draw(rate: float, num: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        targets = np.random.default_rng(99).integers(0, 3, num)
        rng = np.random.default_rng(seed)
        said = np.where(rng.random(num) < rate, targets, (targets + 1) % 3)
        return np.eye(3)[said] * 0.9 + 0.1 / 3, targets

    return draw
