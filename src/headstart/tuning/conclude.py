"""Read the test split, once; say how good the model is and what the fine-tuning was worth.

Order: the fine-tuned model first, then the baselines on the same items: the majority class, and a
linear probe on the start as it was. Then every file of the run folder that a reader looks at.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from headstart.data.copies import contents_record
from headstart.errors import StartError
from headstart.events import emit
from headstart.model import Calibrated, model_outputs, run_batches, tell_texts, write_model
from headstart.storage.run_folder import RunFolder
from headstart.tasks import find_task
from headstart.training.machine.memory import peak_memory_bytes
from headstart.training.options.strategies import HEAD
from headstart.training.options.training_options import TrainingOptions
from headstart.training.probing.probe import Probe
from headstart.tuning.arm import Tuned
from headstart.tuning.baselines import (
    LAST_SECONDS,
    Items,
    Rival,
    baselines_seconds,
    run_baselines,
)
from headstart.tuning.budget import PASS_MARGIN, Budget
from headstart.tuning.calibrating import UnseenVal, calibrate, keep_if_better
from headstart.tuning.closer_look import Looked, look_closer
from headstart.tuning.column_worth import column_worth, worth_seconds
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.deciding import DecidingAsked, judge_deciding, settle_deciding
from headstart.tuning.examples import class_examples
from headstart.tuning.hints import weak_classes
from headstart.tuning.in_time import in_time
from headstart.tuning.ladder import before_after
from headstart.tuning.later import later_days
from headstart.tuning.setup import TrainingSetup, install, set_up
from headstart.tuning.slowness import slowness
from headstart.tuning.solving import probe
from headstart.tuning.test_items import losses_of, write_items
from headstart.tuning.together import Together, save_ensemble
from headstart.tuning.training_views import training_views
from headstart.tuning.writing import side_by_side, writing_seconds
from headstart.types import BadSample, Dataset, Finding, Rows

BEFORE = "frozen start + linear probe"
AS_IT_IS = "start as it is"  # of one that writes, or embeds
SINGLE = "best single model"
_TEXT_SECONDS = 2e-3  # of the figures of a written text, beside those of every rival
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
    schema = dataset.schema
    emit("stage", text="Evaluating on the test split")
    asked = DecidingAsked.of(options.get("options"))
    served = _served(folder, items, setup, tuned, together, asked)
    model, logits, rivals = served.model, served.logits, served.rivals
    task, outputs, val_outputs = model.task, model_outputs(model, logits), served.val.outputs
    test_seconds = budget.spent
    if not dataset.is_repeated:
        before = _before(items, setup, tuned, budget)
        has_no_probe = model.task.tells_texts or model.task.matches_texts
        called = AS_IT_IS if has_no_probe else BEFORE
        rivals += [] if before is None else [Rival(called, before)]
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
    scores = {
        "test": task.scores(outputs, test.targets, schema, groups=of_test),
        "val": task.scores(val_outputs, val.targets, schema, groups=of_val),
    }
    hints = weak_classes(dataset, setup.recipe, scores)
    for found in hints:
        emit("note", text=found.sentence, about=found.kind, severity=found.severity)
    told_model = Rival(told_name(setup, together), task.decisions(outputs))
    metrics: dict[str, object] = {
        "task": schema.task,
        **{name: found.to_json() for name, found in scores.items()},
        "before_after": before_after(dataset, train, rivals, told_model, test),
        "seconds": seconds,
        **column_worth(items, setup, model, told_model, budget=budget, together=together),
    }
    if served.val.how:
        metrics["val_calibration"] = served.val.how
    if later is not None:
        metrics["later_days"] = later.to_json()
    bad = [*dataset.bad_samples, *train.bad_samples, *val.bad_samples, *test.bad_samples]
    data_record = describe_data(dataset, bad, [*train.findings, *told, *hints])
    looked = Looked(
        model, logits, outputs, test.targets, test, losses_of(model, logits, test.targets), of_test
    )
    told_of = (outputs, test.targets, schema)
    started = next((rival.predictions for rival in rivals if rival.name == AS_IT_IS), None)
    metrics |= side_by_side(looked, dataset, started)
    metrics |= look_closer(looked) | judge_deciding(served.record, task, *told_of, groups=of_test)
    write_items(folder, dataset, looked)
    if examples := class_examples(dataset, train):
        folder.write_json("examples.json", examples)
    if views := training_views(dataset, train, setup):
        folder.write_json("views.json", views)
    seconds["total"] = round(budget.spent, 3)
    folder.write_json("data.json", data_record)
    folder.write_json("options.json", options)
    folder.write_json("metrics.json", metrics)


@dataclass(frozen=True)
class _Served:
    """What is served, and what it has said.

    Attributes:
        model: Calibrated, and decides as was settled.
        val: What it says of val, by temperatures that have not seen the item.
        logits: Of test.
        rivals: What else was heard on the way: the best single model, where several are served.
        record: How answers are made, as far as val says it.
    """

    model: Calibrated
    val: UnseenVal
    logits: Rows
    rivals: list[Rival]
    record: dict[str, Any]


def _served(
    folder: RunFolder,
    items: Items,
    setup: TrainingSetup,
    tuned: Tuned,
    together: Together | None,
    asked: DecidingAsked,
) -> _Served:
    """Calibrate what is served, settle how it decides, save it, and read the test split with it."""
    own, test, val, dataset = setup.model, items.test, items.val, items.dataset
    own.decide_by(replace(own.task.deciding, most_tokens=asked.answer_tokens))
    calibrate(own, tuned.val_logits, val.targets)
    model: Calibrated = own if together is None else together.ensemble
    val_logits = tuned.val_logits if together is None else together.calibrate(val.targets)
    groups = dataset.val.groups_of(val.ids)
    unseen = keep_if_better(model, val_logits, val, groups)
    told_of = (unseen.outputs, val.targets, dataset.schema)
    deciding, record = settle_deciding(asked, model.task, *told_of, groups=groups)
    model.decide_by(deciding)
    if together is None:
        save_model(folder, dataset, setup)
        logits = run_batches(own, test, own, name="test", phase="the test pass")
        return _Served(model, unseen, logits, [], record)
    save_ensemble(folder, dataset, together.ensemble)
    each = together.ensemble.run_each(together.test, name="test", phase="the test pass")
    alone = Rival(SINGLE, own.task.decisions(model_outputs(own, each[0])))
    return _Served(model, unseen, together.ensemble.combine(each), [alone], record)


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
        "column_kinds": dict(dataset.column_kinds or dataset.beside_kinds or {}) or None,
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
        "peak_memory_bytes": peak_memory_bytes(),
        "peak_gpu_memory_bytes": sum(
            torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count())
        ),
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
    needed = budget.load * PASS_MARGIN * each * len(test) + figures_seconds(dataset, setup, budget)
    if tuned.fitted is None:
        needed += _fitting_seconds(setup, dataset, (each, len(train), len(val)), budget)
    if budget.left < needed:
        emit(
            "note",
            text="The baseline on the frozen start was left out: the budget is nearly spent.",
        )
        return None
    rest = _own_seconds(dataset, setup, budget)
    what = "The baseline on the frozen start"
    try:
        return in_time(budget, rest, what, lambda: _frozen_answers(items, setup, tuned))
    except StartError as error:  # where it is built again it may be gone
        emit("note", text=f"{what} was left out: {error}")
        return None


def _frozen_answers(items: Items, setup: TrainingSetup, tuned: Tuned) -> Rows:
    """Return the test predictions of a linear probe on the start as it was."""
    model, train, val, test = setup.model, items.train, items.val, items.test
    frozen, fitted = _frozen(setup, items.dataset, tuned)
    kept = model.state_dict() if setup.initial else {}  # else what is frozen is a model of its own
    after = {n: t.detach().clone() for n, t in kept.items()}
    try:
        if kept:
            before = {n: t.to(model.device) for n, t in setup.initial.items()}
            model.encoder.load_state_dict(before)
        if model.task.tells_texts:
            return model.task.decisions(tell_texts(model, test, name="test, before"))
        if model.task.matches_texts:
            return model.task.decisions(run_batches(model, test, model, name="test, before"))
        if fitted is None:
            weigh, limit = setup.recipe.imbalance, _PROBE_SAMPLES
            fitted = probe(frozen, train, val, imbalance=weigh, limit=limit, deadline=None)
        install(frozen.model, fitted)
        logits = run_batches(
            frozen.model, test, frozen.model, name="test, before", phase="the test pass before"
        )
    finally:  # it may be cut off
        if kept:
            model.load_state_dict(after)
    task = frozen.model.task
    if task.finds_texts:  # how often it says nothing is its own, and not the fine-tuned model's
        own = task.outputs(fitted.val_logits, items.dataset.schema)
        task = task.deciding_by(task.tuned(own, val.targets))
    return task.decisions(model_outputs(frozen.model, logits))


def _frozen(
    setup: TrainingSetup, dataset: Dataset, tuned: Tuned
) -> tuple[TrainingSetup, Probe | None]:
    """Return the start as it was, as good as it is without fine-tuning, and its probe if fitted.

    Where nobody has kept the weights it began with, the start is built again.
    """
    start, is_token = setup.model.encoder.start, setup.model.reads_tokens
    if setup.initial:
        return setup, tuned.fitted
    recipe, device = setup.recipe, setup.model.device
    options = TrainingOptions(strategy=HEAD.name, max_length=recipe.max_length, seed=recipe.seed)
    frozen = set_up(dataset, start, options, device=device, texts=setup.texts)
    return frozen, tuned.fitted if is_token else None


def _has_frozen_baseline(setup: TrainingSetup, dataset: Dataset) -> bool:
    is_random = setup.model.encoder.start.pretrained_on is None
    says_nothing = is_random and not dataset.schema.facts.is_random_start_a_baseline
    return setup.strategy.loops and not says_nothing


def _fitting_seconds(
    setup: TrainingSetup, dataset: Dataset, pass_of: tuple[float, int, int], budget: Budget
) -> float:
    """Return what the baseline's probe takes: cut short it would flatter the fine-tuning.

    Of a start that writes it is what its own texts take.

    Args:
        setup: The model.
        dataset: Gives the test items.
        pass_of: What a sample takes, and how many of train and of val there are.
        budget: Says how busy the machine is.
    """
    if setup.model.task.tells_texts:
        written = writing_seconds(setup, dataset, budget) * len(dataset.test)
        return budget.load * PASS_MARGIN * written
    if setup.model.task.matches_texts:
        return 0.0
    each, num_train, num_val = pass_of
    features = PASS_MARGIN * each * (min(_PROBE_SAMPLES, num_train) + num_val)
    return budget.load * features + _PROBE_SECONDS * slowness(budget.load)


def frozen_seconds(dataset: Dataset, setup: TrainingSetup, budget: Budget) -> float:
    """Return what fitting the baseline on the frozen start takes at the end; 0 for none."""
    if not _has_frozen_baseline(setup, dataset) or setup.strategy.probes:
        return 0.0
    each = seconds_per_sample(setup, dataset, budget)
    return _fitting_seconds(setup, dataset, (each, len(dataset.train), len(dataset.val)), budget)


def figures_seconds(dataset: Dataset, setup: TrainingSetup, budget: Budget) -> float:
    """Return about what baselines, figures, their intervals and the report take, in seconds."""
    return _own_seconds(dataset, setup, budget) + baselines_seconds(dataset, setup)


def _own_seconds(dataset: Dataset, setup: TrainingSetup, budget: Budget) -> float:
    """Return the same without the baselines."""
    num = len(dataset.test) + len(dataset.val)
    each = _TEXT_SECONDS if setup.model.task.tells_texts else 2e-5 * setup.model.num_outputs
    left_out = worth_seconds(dataset, setup, budget)
    return (LAST_SECONDS + each * num) * slowness(budget.load) + left_out
