"""Read the test split, once; say how good the model is and what the fine-tuning was worth.

Order: the fine-tuned model first, then the baselines on the same items: the majority class, and a
linear probe on the start as it was. Then every file of the run folder that a reader looks at.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from headstart.data.copies import contents_record
from headstart.evaluation import comparison_to_json, figure_to_json, fold_temperatures
from headstart.events import emit
from headstart.model import Calibrated, Model, model_outputs, run_batches, write_model
from headstart.storage.run_folder import RunFolder
from headstart.tasks import find_task
from headstart.training.options.strategies import HEAD
from headstart.training.options.training_options import TrainingOptions
from headstart.training.probing.probe import Probe
from headstart.tuning.arm import Tuned
from headstart.tuning.baselines import Items, Rival, baselines_seconds, run_baselines
from headstart.tuning.budget import PASS_MARGIN, Budget
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.hints import weak_classes
from headstart.tuning.in_time import in_time
from headstart.tuning.later import later_days
from headstart.tuning.setup import TrainingSetup, install, set_up
from headstart.tuning.slowness import slowness
from headstart.tuning.solving import probe
from headstart.tuning.test_items import losses_of, worst_mistakes, write_predictions
from headstart.tuning.together import Together, save_ensemble
from headstart.tuning.training_views import training_views
from headstart.types import BadSample, Dataset, Finding, Inputs, Rows

BEFORE = "frozen start + linear probe"
SINGLE = "best single model"
_CROSS_FITTED = 2_000  # val items: from there on a temperature costs 1 / 2N nats, which none sees
_PROBE_SAMPLES = 5_000  # of the baseline's probe, where the strategy has fitted none
_PROBE_SECONDS = 3.0  # what the solver takes for these at the most, on one core


def told_name(setup: TrainingSetup, together: Together | None = None) -> str:
    """Return what the model is called beside the methods that it is compared with."""
    if together is not None:
        return f"{len(together.ensemble.members)} models together"
    if setup.strategy.loops:
        return "fine-tuned"
    start = setup.model.encoder.start
    return "linear head on the frozen start" if start.pretrained_on else start.address


def calibrate(model: Model, val_logits: Rows, val_targets: Rows) -> None:
    """Set the model's temperature so that its validation probabilities mean what they say."""
    model.temperature = model.task.fit_temperature(val_logits, val_targets)


def conclude(
    folder: RunFolder,
    items: Items,
    setup: TrainingSetup,
    tuned: Tuned,
    *,
    budget: Budget,
    options: dict[str, object],
    together: Together | None = None,
) -> None:
    """Evaluate on the test split and write the run folder's files, but for the report page.

    Args:
        folder: Where to write.
        items: The data. Train is for the baseline's probe, where the strategy fitted none, and for
            the baselines; val for the temperature and the validation figures; test is looked at
            here and nowhere else.
        setup: The fine-tuned model, and the encoder's state before.
        tuned: How the fine-tuning went.
        budget: Where the budget is nearly spent, baselines are left out, and said so.
        options: Content of ``options.json``.
        together: The ensemble that is served in place of ``setup.model``, its first member.
    """
    dataset, train, val, test = items.dataset, items.train, items.val, items.test
    schema, task = dataset.schema, setup.model.task
    emit("stage", text="Evaluating on the test split")
    model, val_logits, logits, rivals = _served(folder, items, setup, tuned, together)
    outputs = model_outputs(model, logits)
    test_seconds = budget.spent
    before = _before(items, setup, tuned, budget)
    rivals += [] if before is None else [Rival(BEFORE, before)]
    rivals += run_baselines(items, setup, budget)
    later = later_days(items, rivals, seed=setup.recipe.seed, budget=budget, setup=setup)
    told = [] if later is None or not later.differs else [later.finding()]
    for found in told:
        emit("note", text=found.sentence, about=found.kind, severity=found.severity)
    seconds = {
        "tune": round(tuned.seconds, 3),
        "until_test_figure": round(test_seconds, 3),
    }
    of_test, of_val = dataset.test.groups_of(test.ids), dataset.val.groups_of(val.ids)
    val_outputs, val_calibration = unseen_val_outputs(model, val_logits, val, of_val)
    scores = {
        "test": task.scores(outputs, test.targets, schema, groups=of_test),
        "val": task.scores(val_outputs, val.targets, schema, groups=of_val),
    }
    hints = weak_classes(dataset, setup.recipe, scores)
    for found in hints:
        emit("note", text=found.sentence, about=found.kind, severity=found.severity)
    metrics: dict[str, object] = {
        "task": schema.task,
        **{name: found.to_json() for name, found in scores.items()},
        "before_after": _before_after(
            dataset, train, rivals, Rival(told_name(setup, together), outputs), test
        ),
        "seconds": seconds,
    }
    if val_calibration:
        metrics["val_calibration"] = val_calibration
    if later is not None:
        metrics["later_days"] = later.to_json()
    bad = [*dataset.bad_samples, *train.bad_samples, *val.bad_samples, *test.bad_samples]
    data_record = describe_data(dataset, bad, [*train.findings, *told, *hints])
    losses = losses_of(model, logits, test.targets)
    write_predictions(folder, test, schema, outputs, losses, of_test)
    folder.write_json("mistakes.json", {"items": worst_mistakes(dataset, test, outputs, losses)})
    if views := training_views(dataset, train, setup):
        folder.write_json("views.json", views)
    seconds["total"] = round(budget.spent, 3)
    folder.write_json("data.json", data_record)
    folder.write_json("options.json", options)
    folder.write_json("metrics.json", metrics)


def _served(
    folder: RunFolder,
    items: Items,
    setup: TrainingSetup,
    tuned: Tuned,
    together: Together | None,
) -> tuple[Calibrated, Rows, Rows, list[Rival]]:
    """Calibrate and save what is served, and read the test split with it.

    Returns:
        It, its logits of val and of test, and what else was heard on the way: the best single
        model, where an ensemble is served.
    """
    model, test = setup.model, items.test
    calibrate(model, tuned.val_logits, items.val.targets)
    if together is None:
        save_model(folder, items.dataset, setup)
        logits = run_batches(model, test, model, name="test", phase="the test pass")
        return model, tuned.val_logits, logits, []
    val_logits = together.calibrate(items.val.targets)
    save_ensemble(folder, items.dataset, together.ensemble)
    each = together.ensemble.run_each(together.test, name="test", phase="the test pass")
    alone = Rival(SINGLE, model.task.decisions(model_outputs(model, each[0])))
    return together.ensemble, val_logits, together.ensemble.combine(each), [alone]


def unseen_val_outputs(
    model: Calibrated, logits: Rows, val: Inputs, groups: np.ndarray | None
) -> tuple[Rows, str | None]:
    """Return what a model says of val, each item calibrated by a temperature fitted without it.

    A temperature that was fitted on the very items that it is judged on flatters itself. Of more
    than ``_CROSS_FITTED`` items that is less than a quarter of a thousandth of a nat, and they keep
    the model's own.

    Args:
        model: Calibrated.
        logits: M rows, of val.
        val: Its items.
        groups: Which of them belong together, shape (M,), or None.

    Returns:
        The outputs, and ``cross-fitted`` where that was done; the model's own, and None, where a
        task has no temperature or the items are many.
    """
    task = model.task
    is_few = 1 < len(val) <= _CROSS_FITTED
    if not isinstance(logits, np.ndarray) or not is_few or not task.has_classes:
        return model_outputs(model, logits), None
    alone = np.arange(len(val)) if groups is None else groups
    found = fold_temperatures(
        lambda places: task.fit_temperature(logits[places], val.targets[places]), alone
    )
    ratio = (model.temperature / found).astype(np.float32)
    return model_outputs(model, logits * ratio[:, None]), "cross-fitted"


def save_model(folder: RunFolder, dataset: Dataset, setup: TrainingSetup) -> None:
    """Write the model, so that the folder can be used from now on."""
    about = {"strategy": setup.recipe.strategy, "data_name": dataset.name}
    write_model(setup.model, folder.write, about)


def describe_data(
    dataset: Dataset, bad_samples: list[BadSample], findings: Sequence[Finding]
) -> dict[str, object]:
    """Return the content of ``data.json``; ``findings`` are those made after loading."""
    seen = {(b.name, b.reason): b for b in bad_samples}
    told = (*dataset.findings, *findings)
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    task, schema = find_task(dataset.schema.task), dataset.schema
    class_counts = {
        name: task.class_counts(split.targets, len(schema.classes))
        for name, split in splits.items()
        if task.has_classes
    }
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "source": dict(dataset.source) if dataset.source else None,
        "counts": {name: len(split) for name, split in splits.items()},
        "class_counts": {n: each.tolist() for n, each in class_counts.items()},
        "split_origin": dict(dataset.split_origin),
        "column_kinds": dict(dataset.column_kinds) if dataset.column_kinds else None,
        "split_ids": {name: split.ids.tolist() for name, split in splits.items()},
        "split_contents": contents_record({n: split.contents for n, split in splits.items()}),
        "alike_by_chance": dataset.alike_by_chance,
        "bad_samples": [asdict(b) for b in seen.values()],
        "notes": [found.sentence for found in told],
        "findings": [found.to_json() for found in told],
    }


def describe_machine() -> dict[str, object]:
    """Return what a reader of a figure wants to know about the machine."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "num_cpus": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "gpus": gpus,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _before(items: Items, setup: TrainingSetup, tuned: Tuned, budget: Budget) -> Rows | None:
    """Return the test predictions of a linear probe on the start as it was, or None.

    Without a loop the fine-tuned model is that probe. Random weights of a text or table network
    say nothing that a baseline does not say better. The fine-tuned weights are put back after.
    """
    dataset, train, val, test = items.dataset, items.train, items.val, items.test
    if not _has_frozen_baseline(setup, dataset):
        return None
    each = seconds_per_sample(setup, dataset, budget)
    needed = PASS_MARGIN * each * len(test) + figures_seconds(dataset, setup, budget)
    if tuned.fitted is None:
        needed += _fitting_seconds(each, len(train), len(val), budget)
    if budget.left < needed:
        emit(
            "note",
            text="The baseline on the frozen start was left out: the budget is nearly spent.",
        )
        return None
    rest = _own_seconds(dataset, setup, budget)
    what = "The baseline on the frozen start"
    return in_time(budget, rest, what, lambda: _frozen_answers(items, setup, tuned))


def _frozen_answers(items: Items, setup: TrainingSetup, tuned: Tuned) -> Rows:
    """Return the test predictions of a linear probe on the start as it was."""
    model, train, val, test = setup.model, items.train, items.val, items.test
    frozen, fitted = _frozen(setup, items.dataset, tuned)
    after = {n: t.detach().clone() for n, t in model.state_dict().items()}
    try:
        model.encoder.load_state_dict({n: t.to(model.device) for n, t in setup.initial.items()})
        if fitted is None:
            weigh, limit = setup.recipe.imbalance, _PROBE_SAMPLES
            fitted = probe(frozen, train, val, imbalance=weigh, limit=limit, deadline=None)
        install(frozen.model, fitted)
        logits = run_batches(
            frozen.model, test, frozen.model, name="test, before", phase="the test pass before"
        )
    finally:  # it may be cut off
        model.load_state_dict(after)
    return frozen.model.task.decisions(model_outputs(frozen.model, logits))


def _frozen(
    setup: TrainingSetup, dataset: Dataset, tuned: Tuned
) -> tuple[TrainingSetup, Probe | None]:
    """Return the start as it was, as good as it is without fine-tuning, and its probe if fitted.

    A sentence encoder is made for the mean over its tokens; judged by the pooling that its
    classification head uses, it would look worse than it is, and the fine-tuning better.
    """
    start = setup.model.encoder.start
    if not dataset.schema.facts.is_pooled_by_use or start.objective != "contrastive":
        return setup, tuned.fitted
    recipe, device = setup.recipe, setup.model.device
    options = TrainingOptions(strategy=HEAD.name, max_length=recipe.max_length, seed=recipe.seed)
    frozen = set_up(dataset, start, options, device=device, texts=setup.texts)
    return frozen, None


def _has_frozen_baseline(setup: TrainingSetup, dataset: Dataset) -> bool:
    is_random = setup.model.encoder.start.pretrained_on is None
    says_nothing = is_random and not dataset.schema.facts.is_random_start_a_baseline
    return setup.strategy.loops and not says_nothing


def _fitting_seconds(each: float, num_train: int, num_val: int, budget: Budget) -> float:
    """Return what the baseline's probe takes: cut short it would flatter the fine-tuning."""
    features = PASS_MARGIN * each * (min(_PROBE_SAMPLES, num_train) + num_val)
    return budget.load * features + _PROBE_SECONDS * slowness(budget.load)


def frozen_seconds(dataset: Dataset, setup: TrainingSetup, budget: Budget) -> float:
    """Return what fitting the baseline on the frozen start takes at the end; 0 for none."""
    if not _has_frozen_baseline(setup, dataset) or setup.strategy.probes:
        return 0.0
    each = seconds_per_sample(setup, dataset, budget)
    return _fitting_seconds(each, len(dataset.train), len(dataset.val), budget)


def figures_seconds(dataset: Dataset, setup: TrainingSetup, budget: Budget) -> float:
    """Return about what baselines, figures, their intervals and the report take, in seconds."""
    return _own_seconds(dataset, setup, budget) + baselines_seconds(dataset, setup)


def _own_seconds(dataset: Dataset, setup: TrainingSetup, budget: Budget) -> float:
    """Return the same without the baselines."""
    num = len(dataset.test) + len(dataset.val)
    return (2.5 + 2e-5 * num * setup.model.num_outputs) * slowness(budget.load)


def _before_after(
    dataset: Dataset, train: Inputs, rivals: list[Rival], model: Rival, test: Inputs
) -> dict[str, object]:
    """Return the ladder of predictors and the paired verdicts, on the same test items.

    Args:
        dataset: The data.
        train: Its targets are what the predictor without a model knows.
        rivals: What other methods decide.
        model: The model's name and outputs.
        test: The items.
    """
    schema, targets, task = dataset.schema, test.targets, find_task(dataset.schema.task)
    naive = Rival(*task.baseline(train.targets, schema, num_items=len(test)))
    after, groups = task.decisions(model.predictions), dataset.test.groups_of(test.ids)
    ladder = [naive, *rivals]
    verdicts = [
        task.compare(rival.name, rival.predictions, model.name, after, targets, groups=groups)
        for rival in [*rivals, naive]
    ]
    figures = {
        rival.name: figure_to_json(task.headline_figure(rival.predictions, targets, groups=groups))
        for rival in [*ladder, Rival(model.name, after)]
    }
    return {
        "metric": task.headline,
        "figures": figures,
        "comparisons": [comparison_to_json(v) for v in verdicts],
    }
