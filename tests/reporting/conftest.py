"""The JSON of a run folder of each task, with figures from real (simulated) predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from looks import BROWSER

from headstart.evaluation import comparison_to_json, figure_to_json, softmax
from headstart.tasks import CLASSIFICATION, find_task
from headstart.types import Finding, Schema

Record = dict[str, dict[str, Any]]


def _few(sentence: str) -> dict[str, object]:
    return Finding("few", "warning", (), sentence).to_json()


@pytest.fixture
def make_run() -> Callable[..., Record]:
    """Return a function that makes the four records of a run folder."""

    def make(names: tuple[str, ...] = ("daisy", "rose", "tulip"), num_items: int = 200) -> Record:
        rng = np.random.default_rng(0)
        num_classes = len(names)
        targets = rng.integers(0, num_classes, num_items)
        logits = rng.normal(size=(num_items, num_classes))
        probe = rng.normal(size=(num_items, num_classes))
        logits[np.arange(num_items), targets] += 2.5
        probe[np.arange(num_items), targets] += 1.2
        schema = Schema("image", "classification", names)
        task = CLASSIFICATION
        majority = task.baseline(targets, targets, schema)[1]
        predictions = {
            "majority class": majority,
            "frozen start + linear probe": probe.argmax(axis=1),
            "fine-tuned": logits.argmax(axis=1),
        }
        verdicts = [
            task.compare(name, predictions[name], "fine-tuned", predictions["fine-tuned"], targets)
            for name in ("frozen start + linear probe", "majority class")
        ]
        return {
            "metrics": {
                "task": task.name,
                "test": task.scores(softmax(logits), targets, schema).to_json(),
                "val": task.scores(softmax(logits[:80]), targets[:80], schema).to_json(),
                "before_after": {
                    "metric": task.headline,
                    "figures": {
                        name: figure_to_json(task.headline_figure(made, targets))
                        for name, made in predictions.items()
                    },
                    "comparisons": [comparison_to_json(found) for found in verdicts],
                },
                "seconds": {"total": 125.2},
            },
            "model": {
                "start": {
                    "address": "pip/efficientnet-lite0",
                    "family": "convnet",
                    "licence": "Apache-2.0",
                    "pretrained_on": "ImageNet-1k",
                    "num_parameters": 3_413_024,
                },
                "strategy": "lp-ft",
                "schema": asdict(schema),
                "temperature": 1.2,
                "data_name": "flowers",
            },
            "data": {
                "name": "flowers",
                "fingerprint": "9f2c11d7",
                "counts": {"train": 2318, "val": 80, "test": num_items},
                "split_origin": {"val": "15 % of train"},
                "bad_samples": [
                    {"name": f"photos/{i}.jpg", "reason": "truncated"} for i in range(5)
                ],
                "findings": [_few("Class 'daisy' has 3 images.")],
            },
            "options": {
                "verb": "fit",
                "options": {"budget": "2m", "seed": 0, "learning_rate": 0.001},
                "choices": [{"name": "size", "value": 160, "why": "224 pixels are too slow"}],
                "candidates": [
                    {
                        "start": "pip/efficientnet-lite0",
                        "score": 0.88,
                        "low": 0.85,
                        "high": 0.91,
                        "seconds": 41.0,
                        "note": "chosen",
                    },
                    {"start": "scratch/resnet18", "score": None, "note": "too slow for its share"},
                ],
                "machine": {"cpu": "2 cores"},
            },
        }

    return make


@pytest.fixture
def make_task_run() -> Callable[..., Record]:
    """Return a function that makes the four records of a multi-label or a regression run."""

    def make(schema: Schema, num_items: int = 200, *, unit: float = 1.0) -> Record:
        rng = np.random.default_rng(0)
        targets, own, controls = (_draw_labels if schema.classes else _draw_values)(
            schema, num_items, rng, unit
        )
        task = find_task(schema.task)
        name, naive = task.baseline(targets, targets, schema)
        predictions = {name: naive, **controls, "fine-tuned": task.decisions(own)}
        verdicts = [
            task.compare(before, made, "fine-tuned", predictions["fine-tuned"], targets)
            for before, made in predictions.items()
            if before != "fine-tuned"
        ]
        return {
            "metrics": {
                "task": task.name,
                "test": task.scores(own, targets, schema).to_json(),
                "val": task.scores(own[:80], targets[:80], schema).to_json(),
                "before_after": {
                    "metric": task.headline,
                    "figures": {
                        before: figure_to_json(task.headline_figure(made, targets))
                        for before, made in predictions.items()
                    },
                    "comparisons": [comparison_to_json(found) for found in verdicts],
                },
                "seconds": {"total": 42.0},
            },
            "model": {
                "start": {"address": "scratch/mlp", "family": "mlp", "licence": "none"},
                "strategy": "full",
                "schema": asdict(schema),
                "temperature": 1.0,
                "data_name": "houses",
            },
            "data": {
                "name": "houses",
                "counts": {"train": 900, "val": 80, "test": num_items},
                "column_kinds": {"rooms": "numeric", "age": "numeric", "street": "categorical"},
                "findings": [_few("12 of 900 texts were cut at 128 tokens.")],
            },
            "options": {"verb": "fit", "options": {"seed": 0}},
        }

    return make


def _draw_labels(
    schema: Schema, num_items: int, rng: np.random.Generator, unit: float
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return targets, probabilities, and the predictions of a control that is worse."""
    logits = rng.normal(size=(num_items, len(schema.classes))) * 3 - 1
    targets = (1 / (1 + np.exp(-logits)) > rng.random(logits.shape)).astype(np.uint8)
    noisy = logits + rng.normal(size=logits.shape) * 3
    control = {"TF-IDF + linear": (noisy >= 0).astype(np.uint8)}
    return targets, 1 / (1 + np.exp(-logits)), control


def _draw_values(
    schema: Schema, num_items: int, rng: np.random.Generator, unit: float
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return targets, values, and the predictions of a control that is better."""
    targets = (rng.gamma(3.0, 1.0, num_items) + 1) * unit
    values = targets + rng.normal(size=num_items) * unit * 0.8
    control = {"gradient boosting": targets + rng.normal(size=num_items) * unit * 0.4}
    return targets, values, control


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if BROWSER is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield made
        made.close()
