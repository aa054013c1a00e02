"""What each column is worth beside a text or an image, and what these are worth beside columns.

Each is left out in turn: all test items get what stands for it in train, and the same model answers
once more. The features of the text or image are computed once; what follows is a matrix. Columns
that say the same share their worth, since the others still say it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from headstart.model import Calibrated, Model, model_outputs, run_batches
from headstart.preprocessing import JoinedInputs
from headstart.starts.joined import JoinedNetwork
from headstart.starts.tables.networks import number_names
from headstart.tasks import array_of, find_task
from headstart.tensors import evaluating
from headstart.tuning.baselines import Items, Rival
from headstart.tuning.budget import PASS_MARGIN, Budget
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.in_time import in_time
from headstart.tuning.ladder import verdicts_of
from headstart.tuning.part import Part
from headstart.tuning.setup import TrainingSetup, subsample
from headstart.tuning.together import Together
from headstart.types import Dataset, Rows

WITHOUT = "without {column}"
MOST_COLUMNS = 20
_MEAN_OF = 512  # training samples whose mean features stand for a text or an image
_REST_SECONDS = 2.5


def column_worth(
    items: Items,
    setup: TrainingSetup,
    served: Calibrated,
    model: Rival,
    *,
    budget: Budget,
    together: Together | None = None,
) -> dict[str, object]:
    """Return the leading figure without each column, and the paired verdicts.

    Args:
        items: The data; what stands for a column is train's, the items are test's.
        setup: The fine-tuned model, or the first of an ensemble.
        served: What is served.
        model: Its name and what it decides with all columns.
        budget: Where it is nearly spent this is left out, and said so.
        together: The ensemble that is served, and its inputs.

    Returns:
        ``left_out`` of ``metrics.json``: as ``before_after``; nothing where samples stand alone.
    """
    if not isinstance(items.test, JoinedInputs) or items.dataset.is_repeated:
        return {}
    found = in_time(
        budget,
        _REST_SECONDS,
        "What each column is worth",
        partial(_left_out, items, setup, served, together),
    )
    if found is None:
        return {}
    dataset, test = items.dataset, items.test
    task, groups = find_task(dataset.schema.task), dataset.test.groups_of(test.ids)
    return {"left_out": verdicts_of(task, [*found, model], test.targets, groups)}


def worth_seconds(dataset: Dataset, setup: TrainingSetup, budget: Budget) -> float:
    """Return about what leaving columns out takes; 0 where samples stand alone."""
    if not dataset.schema.beside:
        return 0.0
    num = len(dataset.test) + min(_MEAN_OF, len(dataset.train))
    return budget.load * PASS_MARGIN * seconds_per_sample(setup, dataset, budget) * num


def _left_out(
    items: Items, setup: TrainingSetup, served: Calibrated, together: Together | None
) -> list[Rival]:
    """Return what is decided without each column; the text or image first."""
    models = [setup.model] if together is None else [m.model for m in together.ensemble.members]
    inputs = [items.test] if together is None else together.test
    trains = (
        [items.train] if together is None else together.ensemble.prepare(items.dataset, "train")
    )
    answer = [
        _answerer(model, test, train, seed=setup.recipe.seed)
        for model, test, train in zip(models, inputs, trains, strict=True)
    ]
    schema = items.dataset.schema
    main = schema.sides or (str(items.dataset.input_column or schema.facts.noun),)
    called = [" and ".join(main), *schema.beside[:MOST_COLUMNS]]
    rivals = []
    for place, column in enumerate(called):
        each: list[Rows] = [one(place - 1) for one in answer]
        logits = each[0] if together is None else together.ensemble.combine(each)
        decided = served.task.decisions(model_outputs(served, logits))
        rivals.append(Rival(WITHOUT.format(column=f"'{column}'"), decided))
    return rivals


def _answerer(
    model: Model, test: object, train: object, *, seed: int
) -> Callable[[int], np.ndarray]:
    """Return what gives a model's logits of test without the column of a place; -1 is the main one.

    Args:
        model: On its device.
        test: Its inputs, N.
        train: What stands for a column is its.
        seed: Of the samples whose mean stands for the main one.
    """
    network = model.encoder.network
    assert isinstance(test, JoinedInputs)
    assert isinstance(train, JoinedInputs)
    assert isinstance(network, JoinedNetwork)
    own = array_of(run_batches(model, test, model.features, name="columns left out"))
    some = Part(train, subsample(train.targets, _MEAN_OF, seed=seed))
    known = array_of(run_batches(model, some, model.features))
    num_main = network.num_main
    mean = known[:, :num_main].mean(axis=0, keepdims=True)
    numbers, codes = stand_ins(model, train)

    def logits(place: int) -> np.ndarray:
        features = own.copy()
        if place < 0:
            features[:, :num_main] = mean
        else:
            at, code = columns_at(model)[place]
            cells = test.cells.numbers.copy(), test.cells.codes.copy()
            cells[0][:, at] = numbers[at]
            if code is not None:
                cells[1][:, code] = codes[code]
            with evaluating(model):
                given = (torch.from_numpy(one).to(model.device) for one in cells)
                features[:, num_main:] = network.rows(*given).float().cpu().numpy()
        with evaluating(model):
            made = model.head(torch.from_numpy(features).to(model.device))
            return np.asarray(made.float().cpu().numpy())

    return logits


def columns_at(model: Model) -> list[tuple[slice, int | None]]:
    """Return of each column beside the main one where its numbers stand, and its code."""
    table = model.encoder.preprocess.rows
    assert table is not None
    found: list[tuple[slice, int | None]] = []
    place = code = 0
    for column in table.spec.columns:
        width, is_coded = len(number_names(column)), column.kind == "categorical"
        found.append((slice(place, place + width), code if is_coded else None))
        place, code = place + width, code + is_coded
    return found


def stand_ins(model: Model, train: JoinedInputs) -> tuple[np.ndarray, np.ndarray]:
    """Return what stands for each column: the mean of numbers and dates, else the most frequent.

    Returns:
        Numbers, float32, shape (F,), and codes, int64, shape (G,).
    """
    table = model.encoder.preprocess.rows
    assert table is not None
    numbers = np.zeros(train.cells.numbers.shape[1], np.float32)  # standardised: 0 is the mean
    codes = np.zeros(train.cells.codes.shape[1], np.int64)
    for column, (at, code) in zip(table.spec.columns, columns_at(model), strict=True):
        if column.kind == "boolean":
            numbers[at.start] = np.round(train.cells.numbers[:, at.start].mean())
        if code is not None:
            chosen = np.bincount(train.cells.codes[:, code]).argmax()
            codes[code] = chosen
            rows = np.flatnonzero(train.cells.codes[:, code] == chosen)[:1]
            numbers[at] = train.cells.numbers[rows, at]
    return numbers, codes
