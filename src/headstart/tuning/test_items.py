"""The test items one by one: what the model says of each and its loss, and the worst mistakes.

``predictions.parquet`` has a row for each item, ``mistakes.json`` the few that the report page
shows, each with the sample itself: a picture as the network takes it (PNG), a text, or a row; and
what the items are called that are wrong. So the page can be made again from the folder alone, and
later verbs find hard items without a model.
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
from headstart.tasks import find_task
from headstart.types import Dataset, Inputs, Rows, Schema

_NUM_SHOWN = 12  # worst mistakes that the page shows
_MAX_NAMED = 1_000  # items that are wrong, whose names the page knows
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
) -> None:
    """Write one row a test item: id, name, what the task says of it, its loss, and its group.

    Args:
        folder: Where ``predictions.parquet`` goes.
        test: The items.
        schema: Task and classes.
        outputs: What the model says of each.
        losses: Of each, float32, shape (N,).
        groups: Which items belong together, shape (N,); None where each stands alone.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"id": test.ids, "name": list(test.names)}
    columns |= find_task(schema.task).item_columns(test.targets, outputs, schema)
    columns["loss"] = losses
    if groups is not None:
        columns["group"] = groups
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    folder.write("predictions.parquet", buffer.getvalue())


def worst_mistakes(
    dataset: Dataset, test: Inputs, outputs: Rows, losses: np.ndarray
) -> list[dict[str, object]]:
    """Return the test items that the model got wrong with most confidence, or by most.

    Args:
        dataset: Gives the samples themselves.
        test: The items.
        outputs: What the model says of each.
        losses: Of each, float32, shape (N,).

    Returns:
        At most twelve, the worst first: ``id``, ``name``, ``target``, ``prediction``, with classes
        ``probability``, ``loss``, and one of ``image_png_base64``, ``text`` and ``row``; JSON-able,
        a number that is missing or not finite being None.
    """
    badness = find_task(dataset.schema.task).badness(test.targets, outputs)
    order = np.argsort(-badness, kind="stable")[:_NUM_SHOWN]
    return _with_samples(dataset, test, outputs, losses, order[badness[order] > 0])


def doubtful_items(
    dataset: Dataset, test: Inputs, outputs: Rows, losses: np.ndarray
) -> list[dict[str, object]]:
    """Return the test items on which the model was least decided, right or wrong.

    That is where the first answer leads the second by least; of several labels, where the nearest
    of them is nearest to one half. Of numbers, and where rows differ in length, there are none.

    Args:
        dataset: Gives the samples themselves.
        test: The items.
        outputs: What the model says of each.
        losses: Of each, float32, shape (N,).

    Returns:
        As ``worst_mistakes``, the most doubtful first, each with ``lead``.
    """
    task = find_task(dataset.schema.task)
    if not task.has_classes or not isinstance(outputs, np.ndarray) or outputs.ndim != 2:
        return []
    if task.is_exclusive:
        first, second = np.sort(outputs, axis=1)[:, :-3:-1].T
        lead = first - second
    else:
        lead = np.abs(outputs - 0.5).min(axis=1)
    order = np.argsort(lead, kind="stable")[:_NUM_SHOWN]
    shown = _with_samples(dataset, test, outputs, losses, order)
    sure = outputs.max(axis=1).tolist() if task.is_exclusive else [None] * len(outputs)
    return [
        one | {"probability": sure[k], "lead": float(lead[k])}
        for one, k in zip(shown, order.tolist(), strict=True)
    ]


def names_of_mistakes(test: Inputs, outputs: Rows, schema: Schema) -> dict[str, str]:
    """Return what test items are called that are wrong, by their id as text: a thousand at most.

    The worst come first, so that what a page lists of each pair of classes is among them.

    Args:
        test: The items.
        outputs: What the model says of each.
        schema: Task and classes.
    """
    task = find_task(schema.task)
    if not task.has_classes:
        return {}
    badness = task.badness(test.targets, outputs)
    order = np.argsort(-badness, kind="stable")[:_MAX_NAMED]
    return {str(int(test.ids[k])): test.names[k] for k in order.tolist() if badness[k] > 0}


def write_shown(
    folder: RunFolder, dataset: Dataset, test: Inputs, outputs: Rows, losses: np.ndarray
) -> None:
    """Write ``mistakes.json``: the worst items, the most doubtful, and names of those wrong."""
    shown = {
        "items": worst_mistakes(dataset, test, outputs, losses),
        "doubtful": doubtful_items(dataset, test, outputs, losses),
        "names": names_of_mistakes(test, outputs, dataset.schema),
    }
    folder.write_json("mistakes.json", shown)


def _with_samples(
    dataset: Dataset, test: Inputs, outputs: Rows, losses: np.ndarray, places: np.ndarray
) -> list[dict[str, object]]:
    """Return what is said of some test items, each with the sample itself."""
    schema, task = dataset.schema, find_task(dataset.schema.task)
    shown = []
    place_of = {int(i): place for place, i in enumerate(dataset.test.ids)}
    for place in places.tolist():
        found = task.mistake(test.targets[place : place + 1], outputs[place : place + 1], schema)
        record = {"id": int(test.ids[place]), "name": test.names[place], **found}
        record["loss"] = float(losses[place])
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
