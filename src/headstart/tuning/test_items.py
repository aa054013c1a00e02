"""The test items one by one: the table of predictions, and the worst mistakes for the report."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.storage.run_folder import RunFolder
from headstart.tasks import find_task
from headstart.types import Dataset, Inputs, Rows, Schema

_NUM_SHOWN = 12


def write_predictions(folder: RunFolder, test: Inputs, schema: Schema, outputs: Rows) -> None:
    """Write one row a test item: id, name, and what the task says of it.

    Args:
        folder: Where ``predictions.parquet`` goes.
        test: The items.
        schema: Task and classes.
        outputs: What the model says of each.
    """
    columns: dict[str, Any] = {"id": test.ids, "name": list(test.names)}
    columns |= find_task(schema.task).item_columns(test.targets, outputs, schema)
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    folder.write("predictions.parquet", buffer.getvalue())


def worst_mistakes(dataset: Dataset, test: Inputs, outputs: Rows) -> list[dict[str, object]]:
    """Return the test items that the model got wrong with most confidence, or by most.

    Args:
        dataset: Gives the samples themselves.
        test: The items.
        outputs: What the model says of each.
    """
    schema, task = dataset.schema, find_task(dataset.schema.task)
    badness = task.badness(test.targets, outputs)
    shown = []
    place_of = {int(i): place for place, i in enumerate(dataset.test.ids)}
    for place in np.argsort(-badness, kind="stable")[:_NUM_SHOWN]:
        if badness[place] <= 0:
            break
        record: dict[str, object] = {"name": test.names[int(place)]}
        one = slice(int(place), int(place) + 1)
        record |= task.mistake(test.targets[one], outputs[one], schema)
        sample = dataset.test.samples.read(place_of[int(test.ids[place])])
        shown.append(record | _shown(sample, test, int(place)))
    return shown


def _shown(sample: Any, test: Inputs, place: int) -> dict[str, object]:
    """Return a sample as the report shows it: an image, a text, or a row."""
    if isinstance(sample, str):
        return {"text": sample[:2_000]}
    if isinstance(sample, dict):
        return {"row": {str(name): _plain(value) for name, value in sample.items()}}
    from PIL import Image

    pixels = np.asarray(test.arrays(np.array([place]))[0][0])
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return {"image_png_base64": base64.b64encode(buffer.getvalue()).decode()}


def _plain(value: object) -> object:
    """Return a cell as JSON can hold it."""
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
