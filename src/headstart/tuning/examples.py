"""Examples of each class from train, for the report: what a class looks like to who learned it.

A few samples of each of the largest classes, spread over train in its own order: pictures as the
network takes them (JPEG, small), the beginnings of texts, or rows. Whoever reads the page sees what
the names of the classes mean, and wrong labels among them.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from headstart.tasks import find_task
from headstart.tuning.test_items import shown_sample
from headstart.types import Dataset, Inputs, Rows

_NUM_CLASSES = 12
_NUM_EACH = 3
_SIDE = 96  # pixels of a picture at the most
_MAX_CHARACTERS = 300


def class_examples(dataset: Dataset, train: Inputs) -> dict[str, object]:
    """Return the content of ``examples.json``; empty where there are no classes.

    Args:
        dataset: Gives the samples themselves and their classes.
        train: What is learned from.

    Returns:
        ``classes``, each with ``name`` and ``items`` (``name`` and one of ``image_jpeg_base64``,
        ``text`` and ``row``), the largest first; ``num_more``, classes that are left out.
    """
    schema, task = dataset.schema, find_task(dataset.schema.task)
    if not task.has_classes or not isinstance(train.targets, np.ndarray):
        return {}
    counts = task.class_counts(train.targets, len(schema.classes))
    order = [k for k in np.argsort(-counts, kind="stable").tolist() if counts[k]]
    place_of = {int(i): place for place, i in enumerate(dataset.train.ids)}
    classes = []
    for k in order[:_NUM_CLASSES]:
        members = _members(train.targets, k)
        chosen = np.unique(members[np.linspace(0, len(members) - 1, _NUM_EACH).astype(int)])
        items = [
            {"name": train.names[place]} | _small(dataset, train, place, place_of)
            for place in chosen.tolist()
        ]
        classes.append({"name": schema.classes[k], "items": items})
    return {"classes": classes, "num_more": len(order) - len(classes)}


def _members(targets: Rows, k: int) -> np.ndarray:
    """Return the places of the samples of a class, int64."""
    wanted = np.asarray(targets)
    found: np.ndarray = np.flatnonzero(wanted[:, k] if wanted.ndim == 2 else wanted == k)
    return found


def _small(dataset: Dataset, train: Inputs, place: int, place_of: dict[int, int]) -> dict[str, Any]:
    """Return a sample as small as it can be judged."""
    if dataset.schema.facts.is_looked_at:
        pixels = np.asarray(train.arrays(np.array([place]))[0][0])
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        image.thumbnail((_SIDE, _SIDE))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        return {"image_jpeg_base64": base64.b64encode(buffer.getvalue()).decode()}
    stored = dataset.train.samples.read(place_of[int(train.ids[place])])
    found = shown_sample(stored, train, place)
    if isinstance(text := found.get("text"), str):
        found["text"] = text[:_MAX_CHARACTERS]
    return found
