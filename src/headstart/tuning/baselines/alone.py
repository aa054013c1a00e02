"""Of texts or images with columns beside them: what each of both says by itself.

The text or image alone is a linear model of the frozen start's features; the columns alone are
gradient-boosted trees on the cells that the model sees, as beside every table.
"""

from __future__ import annotations

import numpy as np

from headstart.events import emit, unheard
from headstart.model import model_outputs, run_batches
from headstart.preprocessing import JoinedInputs, without_rows
from headstart.starts.architecture import MODULE
from headstart.tasks import array_of, find_task
from headstart.training.options.strategies import HEAD
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.baselines.baseline import Baseline, Items, Rival
from headstart.tuning.baselines.boosting import boost_trees
from headstart.tuning.budget import Budget
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.setup import TrainingSetup, install, set_up
from headstart.tuning.slowness import slowness
from headstart.tuning.solving import probe
from headstart.types import Dataset, SplitName

MAIN_ALONE = "text or image alone: frozen start + linear probe"
ROWS_ALONE = "columns alone: gradient boosting"
_BOOSTING_SECONDS, _PROBE_SECONDS = 3.0, 3.0
_SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
_MOST_SAMPLES = 5_000  # of train


def _is_joined(dataset: Dataset, setup: TrainingSetup) -> bool:
    return bool(dataset.schema.beside)


def _is_built(dataset: Dataset, setup: TrainingSetup) -> bool:
    is_own = setup.model.encoder.architecture["builder"] == MODULE
    return _is_joined(dataset, setup) and not is_own


def _main_seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    num = min(_MOST_SAMPLES, len(dataset.train)) + len(dataset.val) + len(dataset.test)
    each = seconds_per_sample(setup, dataset, Budget(None))
    return each * num + _PROBE_SECONDS * slowness()


def _run_main(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    assert isinstance(items.train, JoinedInputs)
    assert isinstance(items.val, JoinedInputs)
    assert isinstance(items.test, JoinedInputs)
    if budget.left < _main_seconds(items.dataset, setup) + 2.0:
        emit("note", text=f"The baseline ({MAIN_ALONE}) was left out: the budget is nearly spent.")
        return None
    recipe, start = setup.recipe, setup.model.encoder.start
    options = TrainingOptions(
        strategy=HEAD.name, max_length=recipe.max_length, input_size=setup.size, seed=recipe.seed
    )
    emit("task", name=MAIN_ALONE, done=0, total=1)
    with unheard():
        device, texts = setup.model.device, setup.texts
        alone = set_up(without_rows(items.dataset), start, options, device=device, texts=texts)
        read = alone.preprocess == setup.preprocess.main  # as the model has it prepared already
        train, val, test = (
            one.main if read else alone.preprocess.prepare(items.dataset, name)
            for one, name in zip((items.train, items.val, items.test), _SPLITS, strict=True)
        )
        fitted = probe(alone, train, val, imbalance="none", limit=_MOST_SAMPLES, deadline=None)
        install(alone.model, fitted)
        logits = array_of(run_batches(alone.model, test, alone.model))
    emit("task", name=MAIN_ALONE, done=1, total=1)
    # what the model's own preparation left out is no item of the comparison
    place_of = {int(one): place for place, one in enumerate(test.ids)}
    chosen = logits[np.array([place_of[int(one)] for one in items.test.ids])]
    return Rival(MAIN_ALONE, alone.model.task.decisions(model_outputs(alone.model, chosen)))


def _rows_say_more(dataset: Dataset, setup: TrainingSetup) -> bool:
    schema = dataset.schema
    problems = find_task(schema.task).plain_problems(dataset.val.targets, len(schema.classes))
    return _is_joined(dataset, setup) and bool(problems)


def _rows_seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    return _BOOSTING_SECONDS * slowness()


def _run_rows(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    assert isinstance(items.train, JoinedInputs)
    assert isinstance(items.val, JoinedInputs)
    assert isinstance(items.test, JoinedInputs)
    seconds = None if budget.limit_seconds is None else budget.may_take("boosting")
    schema, seed = items.dataset.schema, setup.recipe.seed
    train, val, test = (one.cells for one in (items.train, items.val, items.test))
    found = boost_trees(train, val, test, schema, seed=seed, seconds=seconds)
    if found is None:
        return None
    return Rival(ROWS_ALONE, find_task(schema.task).decisions(found.outputs))


MAIN_ALONE_BASELINE = Baseline(None, says_more=_is_built, seconds=_main_seconds, run=_run_main)
ROWS_ALONE_BASELINE = Baseline(None, says_more=_rows_say_more, seconds=_rows_seconds, run=_run_rows)
