"""The test items one by one: what the model says of each and its loss, and the worst mistakes.

``predictions.parquet`` has a row for each item, ``mistakes.json`` the few that the report page
shows, each with the sample itself: a picture as the network takes it (PNG), a text, or a row. So
the page can be made again from the folder alone, and later verbs find hard items without a model.
"""

from __future__ import annotations

import base64
import io
import math
from datetime import datetime, time
from typing import Any

import numpy as np

from headstart.model import Calibrated
from headstart.objectives import item_losses
from headstart.storage.run_folder import RunFolder
from headstart.tasks import Task, find_task
from headstart.tuning.closer_look import Looked
from headstart.types import Dataset, Inputs, Rows, Schema, Split

_NUM_SHOWN = 12  # worst mistakes that the page shows
_MAX_NAMED = 1_000  # wrong test items whose names a page may list
_MAX_CHARACTERS = 2_000  # of the text of one, or of a cell of its row


def losses_of(model: Calibrated, logits: Rows, targets: Rows) -> np.ndarray:
    """Return the loss of each item, of what the model says of it after calibration.

    It is the task's own loss without smoothing and weights, on logits divided by the temperature,
    so that the mean of log losses is the ``log_loss`` of ``metrics.json``. That of a number is the
    squared error in standard deviations of train's targets.

    Args:
        model: Gives the task, the temperature, and the scale of the targets.
        logits: float32, shape (N, K).
        targets: As in ``Split``.

    Returns:
        float32, shape (N,).
    """
    wanted = model.standard_targets(targets)
    found = item_losses(model.task.name, logits, wanted, temperature=model.temperature)
    return found.astype(np.float32)


def write_predictions(
    folder: RunFolder,
    test: Inputs,
    schema: Schema,
    outputs: Rows,
    losses: np.ndarray,
    groups: np.ndarray | None = None,
    task: Task | None = None,
    alone_ids: np.ndarray | None = None,
) -> None:
    """Write one row a test item: id, name, what the task says of it, its loss, and its group.

    Of a text or image with its row also the id that it has without the row, by which ``compare``
    knows the same item in runs on other columns or none.

    Args:
        folder: Where ``predictions.parquet`` goes.
        test: The items.
        schema: Task and classes.
        outputs: What the model says of each.
        losses: Of each, float32, shape (N,).
        groups: Which items belong together, shape (N,); None where each stands alone.
        task: As the model decides; by default as its name says.
        alone_ids: As in ``Split``, shape (N,); None where no row is part of an item.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"id": test.ids, "name": list(test.names)}
    columns |= (task or find_task(schema.task)).item_columns(test.targets, outputs, schema)
    columns["loss"] = losses
    if groups is not None:
        columns["group"] = groups
    if alone_ids is not None:
        columns["id_alone"] = alone_ids
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    folder.write("predictions.parquet", buffer.getvalue())


def write_items(folder: RunFolder, dataset: Dataset, looked: Looked) -> None:
    """Write ``predictions.parquet``, and ``mistakes.json``: the worst, the most doubtful, names.

    It also holds what the items are called that are wrong.

    Args:
        folder: Where they go.
        dataset: Gives the samples themselves.
        looked: The test items with what the model says of them.
    """
    test, task = looked.inputs, looked.task
    told = (test, dataset.schema, looked.outputs, looked.losses, looked.groups)
    write_predictions(folder, *told, task, _alone_ids(dataset.test, test))
    record: dict[str, Any] = {"items": shown_items(dataset, looked, looked.mistaken[:_NUM_SHOWN])}
    if len(doubtful := looked.doubtful[:_NUM_SHOWN]):
        shown = shown_items(dataset, looked, doubtful)
        # of what is right, too: how sure the model is of its answer, where it gives one alone
        sure = np.asarray(looked.outputs).max(axis=1)[doubtful] if task.is_exclusive else None
        for place, one in enumerate(shown):
            one["probability"] = None if sure is None else float(sure[place])
        record["doubtful"] = shown
    if task.has_classes and len(named := looked.mistaken[:_MAX_NAMED]):
        # by their id as text: what a page lists of each pair of classes is among them
        record["names"] = {str(int(test.ids[place])): test.names[place] for place in named.tolist()}
    folder.write_json("mistakes.json", record)


def _alone_ids(split: Split, test: Inputs) -> np.ndarray | None:
    """Return the ids without rows of those items that a network could take."""
    if split.alone_ids is None:
        return None
    order = split.ids.argsort()
    places = order[split.ids.searchsorted(test.ids, sorter=order)]
    return np.asarray(split.alone_ids[places])


def shown_items(dataset: Dataset, looked: Looked, places: np.ndarray) -> list[dict[str, object]]:
    """Return some test items as a page shows them, in the order given.

    Args:
        dataset: Gives the samples themselves.
        looked: The items, with what the model says of each.
        places: Which of them, int64.

    Returns:
        ``id``, ``name``, ``target``, ``prediction``, with classes ``probability``, ``loss``, and
        one of ``image_png_base64``, ``text`` and ``row``; JSON-able, a number that is missing or
        not finite being None.
    """
    schema, test, task, shown = dataset.schema, looked.inputs, looked.task, []
    place_of = {int(i): place for place, i in enumerate(dataset.test.ids)}
    told = task.mistakes(looked.targets, looked.outputs, places, schema)
    for place, found in zip(places.tolist(), told, strict=True):
        record = {"id": int(test.ids[place]), "name": test.names[place], **found}
        record["loss"] = float(looked.losses[place])
        sample = dataset.test.samples.read(place_of[int(test.ids[place])])
        plain = {name: _plain(value) for name, value in record.items()}
        shown.append(plain | shown_sample(sample, test, place))
    return shown


def shown_sample(sample: Any, test: Inputs, place: int) -> dict[str, object]:
    """Return a sample as the report shows it: an image, a text, or a row."""
    if isinstance(sample, str):
        return {"text": sample[:_MAX_CHARACTERS]}
    if isinstance(sample, dict):
        row = {str(name): _plain(value) for name, value in sample.items()}
        cut = {n: v[:_MAX_CHARACTERS] if isinstance(v, str) else v for n, v in row.items()}
        return {"row": cut}
    from PIL import Image

    pixels = np.asarray(test.arrays(np.array([place]))[0][0])
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return {"image_png_base64": base64.b64encode(buffer.getvalue()).decode()}


def _plain(value: object) -> object:
    """Return a value as JSON can hold it; None for a number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()  # a day, as most columns of dates hold
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
