"""The JSON of a run folder, with figures from real (simulated) predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from headstart.evaluation import (
    accuracy,
    compare,
    comparison_to_json,
    figure_to_json,
    majority_baseline,
    score,
    softmax,
)

Record = dict[str, dict[str, Any]]


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
        majority, _ = majority_baseline(targets, num_items=num_items, num_classes=num_classes)
        predictions = {
            "majority class": majority,
            "frozen start + linear probe": probe.argmax(axis=1),
            "fine-tuned": logits.argmax(axis=1),
        }
        verdicts = [
            compare(name, predictions[name], "fine-tuned", predictions["fine-tuned"], targets)
            for name in ("frozen start + linear probe", "majority class")
        ]
        return {
            "metrics": {
                "test": score(softmax(logits), targets, classes=names).to_json(),
                "val": score(softmax(logits[:80]), targets[:80], classes=names).to_json(),
                "before_after": {
                    "accuracy": {
                        name: figure_to_json(accuracy(made, targets))
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
                "schema": {"classes": list(names)},
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
                "notes": ["Class 'daisy' has 3 images."],
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
