"""Evaluate a finished run: on the test split it was made with, or on other labelled data."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headstart.errors import DataError, RunFolderError
from headstart.events import emit, hushes
from headstart.recipes.findings import tell_findings
from headstart.recipes.on_all import refuse_untested
from headstart.recipes.run import Run
from headstart.recipes.source import as_dataset
from headstart.reporting.console import attached
from headstart.storage.run_folder import disk_errors, write_atomically
from headstart.tasks import argument_of
from headstart.training.options.common_options import EngineName
from headstart.types import Data, Dataset, Finding

if TYPE_CHECKING:
    import numpy as np

    from headstart.model import Ensemble
    from headstart.types import Inputs, Rows

_SETTLED = ("task", "imbalance")  # what is to be told of data before a training, not after it


@dataclass(frozen=True)
class Evaluation:
    """Figures of a run on labelled data.

    Attributes:
        metrics: ``{"task": …, "test": …}`` in the shape of ``metrics.json``.
        model: Content of the run's ``model.json``.
        data: Name and counts of the data.
        slices: How good it is on parts of the items, or None where no column tells them apart.
        looks: Curves, reliability, confusions, items, thresholds, sets: what a page draws.
        is_sliced: Whether columns were named, and every part of them is told.
    """

    metrics: dict[str, Any]
    model: dict[str, Any]
    data: dict[str, Any]
    slices: dict[str, Any] | None = None
    looks: dict[str, Any] = field(default_factory=dict)
    is_sliced: bool = False

    @property
    def record(self) -> dict[str, Any]:
        """Content of ``evaluation.json``."""
        return {**self.metrics, **self.looks, "data": self.data, "slices": self.slices}

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it."""
        from headstart.reporting.notebook import html_figures

        return html_figures(self.metrics)

    def report(self) -> str:
        """Return the figures as plain text."""
        from headstart.reporting import render_text
        from headstart.reporting.slices_text import render_slices

        metrics = {**self.metrics, **self.looks}
        text = render_text(metrics, self.model, self.data, {"verb": "evaluate"})
        parts = render_slices(self.slices, is_asked=self.is_sliced) if self.slices else ""
        return f"{text}\n{parts}\n" if parts else text


@hushes
def evaluate(
    run: str,
    data: Data = None,
    *,
    engine: Literal["auto", EngineName] = "auto",
    precision: Literal["auto", "fp32"] = "auto",
    device: str = "auto",
    seed: int = 0,
    slice: Sequence[str] | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Evaluate a run on its own test split, or on other labelled data.

    Args:
        run: A run folder.
        data: Labelled data: its test split, else its val split, else all of it, without the samples
            that the run has learned from, in whatever order or under whatever name. Task,
            separator and columns are the run's own where nothing else is said, and rows of a table
            are read as the run's own were. When not given, the run's own data is loaded again, and
            refused if it has changed.
        engine: What computes the pass on a CPU: auto measures the engines that are installed where
            it would take long, and takes the quickest that gives the same; torch, onnxruntime or
            openvino asks for one.
        precision: Number format of the pass: fp32, or auto, which lets an engine take a narrower
            one where the answers stay the same.
        device: auto, cpu, cuda, cuda:1 or mps.
        seed: Seed of the intervals.
        slice: Columns of a table whose parts are told one by one: values, or quarters of numbers.
            When not given, all columns (of texts their length) are looked at, and the parts told
            that are surely worse than the rest, for all that was looked at.
        quiet: Show no progress.

    Returns:
        Figures with intervals.

    Raises:
        RunFolderError: If the run folder holds no model, or the run is unfinished.
        DataError: If the data has changed, or has classes that the model does not know.
        OptionError: If the engine is not installed, or the data has no such column.

    Example:
        >>> import headstart as hs
        >>> print(hs.evaluate("runs/digits").report())  # doctest: +SKIP
    """
    from headstart.data.options import names_of
    from headstart.engines import passes_by, require_engine
    from headstart.model import model_outputs
    from headstart.recipes.learned import not_learned_from
    from headstart.recipes.own_data import check_finished, own_data
    from headstart.recipes.sliced import check_slices, sliced
    from headstart.training.machine.device import choose_device
    from headstart.tuning.decisions import Decisions
    from headstart.tuning.engine_rule import engine_rule

    wanted = None if slice is None else names_of(slice)
    opened = run if isinstance(run, Run) else Run(run)
    check_finished(opened)
    require_engine(engine)
    rule = engine_rule(engine, precision, budget_seconds=None, decisions=Decisions())
    with attached(), passes_by(rule):
        if data is None:
            refuse_untested(opened.path, opened.metrics)
        dataset = _other_data(opened, data) if data is not None else own_data(opened)
        model = opened.ensemble.to(choose_device(device))
        schema = model.schema
        dataset = _as_own_truths(opened, dataset)
        _check_schema(opened, dataset)
        check_slices(dataset, wanted)
        chosen, left_out = not_learned_from(opened, dataset)
        each = model.prepare(dataset, "test", chosen)
        test = each[0]
        tell_findings(test.findings)
        logits = model.run(each, name="evaluate", phase="the test pass")
        outputs = model_outputs(model, logits)
        targets = _own_targets(opened, dataset, test.targets)
        groups = dataset.test.groups_of(test.ids)
        scores = model.task.scores(outputs, targets, schema, seed=seed, groups=groups)
        looks = _looks(model, logits, outputs, targets, test, groups)
        decided = model.task.decisions(outputs)
        parts = sliced(dataset, test.ids, model.task, decided, targets, wanted=wanted, seed=seed)
        argument = argument_of(schema)
        emit("next", command=f"headstart predict {shlex.quote(str(opened.path))} {argument}")
    counts = {"test": len(test)}
    read = [found for found in dataset.findings if found.kind not in _SETTLED]
    findings = [*_unread(test), *read, *left_out, *test.findings]
    about = {
        "name": dataset.name,
        "counts": counts,
        "notes": [found.sentence for found in findings],
        "findings": [found.to_json() for found in findings],
    }
    metrics = {"task": schema.task, "test": scores.to_json()}
    said = {"is_sliced": slice is not None}
    found = Evaluation(metrics, opened.model_record, about, parts, looks, **said)
    _write(opened, found)
    return found


def _looks(
    model: Ensemble,
    logits: Rows,
    outputs: Rows,
    targets: Rows,
    test: Inputs,
    groups: np.ndarray | None,
) -> dict[str, Any]:
    """Return what a page draws of the items, and what answers made as they are are worth."""
    from headstart.tuning.closer_look import Looked, look_closer
    from headstart.tuning.deciding import judge_deciding, stated
    from headstart.tuning.test_items import losses_of

    losses = losses_of(model, logits, targets)
    looked = Looked(model, logits, outputs, targets, test, losses, groups)
    record = stated(model.task.deciding, model.schema.classes)
    told_of = (model.task, outputs, targets, model.schema)
    return look_closer(looked) | judge_deciding(record, *told_of, groups=groups)


def _write(run: Run, found: Evaluation) -> None:
    """Write what was found; that a run folder cannot be written is only told."""
    path = run.path / "evaluation.json"
    content = dumps(found.record, indent=1, allow_nan=False, default=str).encode()
    try:
        with disk_errors(path, len(content)):
            write_atomically(path, content)
    except RunFolderError as error:
        with attached():
            emit("note", text=f"evaluation.json is not written: {error}")


def _unread(test: Inputs) -> list[Finding]:
    """Return how many samples could not be read; empty where all could."""
    if not test.bad_samples:
        return []
    names = [bad.name for bad in test.bad_samples]
    sentence = f"{len(names)} samples could not be read."
    return [Finding("unreadable", "warning", names, sentence)]


def _as_own_truths(run: Run, dataset: Dataset) -> Dataset:
    """Return the data with truth values written as the run's: programs differ in their case."""
    own = {name.lower(): name for name in run.classes}
    other = dataset.schema.classes
    found = [own[name.lower()] for name in other if name.lower() in own]
    is_truth = own.keys() == {"true", "false"} and len(own) == len(run.classes)
    if not is_truth or not len(set(found)) == len(found) == len(other):
        return dataset
    return replace(dataset, schema=replace(dataset.schema, classes=tuple(found)))


def _check_schema(run: Run, dataset: Dataset) -> None:
    """Refuse data that the run's model cannot answer for."""
    own, other = run.schema, dataset.schema
    if own.kind != other.kind:
        raise DataError(
            f"{dataset.name} is {other.kind}, and {run.path} is {own.kind}. Evaluate on data of "
            "the same kind."
        )
    unknown = [c for c in other.classes if c not in run.classes]
    if unknown:
        raise DataError(
            f"Class '{unknown[0]}' of {dataset.name} is unknown to {run.path} (it knows "
            f"{', '.join(run.classes[:6])}). Evaluate on data with the same classes."
        )


def _own_targets(run: Run, dataset: Dataset, targets: Rows) -> Rows:
    """Return targets in the order of the run's own classes."""
    import numpy as np

    places = np.asarray([run.classes.index(c) for c in dataset.schema.classes], np.int64)
    return run.ensemble.task.align(targets, places, len(run.classes))


def _other_data(run: Run, data: Data) -> Dataset:
    """Load other data than the run's: its target, and the rows of a table, as the run's own."""
    from headstart.data import load
    from headstart.data.groups import GroupError
    from headstart.data.records import NOUNS
    from headstart.recipes.own_data import same_data

    if isinstance(data, Dataset):
        return data
    model = run.ensemble
    # the command line's data brings its options, and is not loaded yet
    later = data if isinstance(data, partial) else partial(load, data)
    if own := same_data(run, later):
        return own
    later = partial(later, preprocess=model.preprocess)
    for name, value in _read_as(run, later).items():
        later = partial(later, **{name: value, **later.keywords})
    later = partial(later, schema=model.schema)
    own_groups = (run.data.get("source") or {}).get("group")
    if not isinstance(own_groups, str) or "group" in later.keywords:
        return as_dataset(later)
    try:
        return as_dataset(partial(later, group=own_groups))
    except GroupError as error:
        dataset = as_dataset(later)
        sentence = (
            f"The run counted groups by '{own_groups}', which these data have not: the intervals "
            f"count every {NOUNS[dataset.schema.modality][0]} as one of its own. ({error})"
        )
        return replace(
            dataset, findings=(*dataset.findings, Finding("few", "warning", (), sentence))
        )


def _read_as(run: Run, later: partial[Dataset]) -> dict[str, object]:
    """Return how the run's data was read, as far as it goes for other data too."""
    source = run.data.get("source") or {}
    names = []
    task, asked = run.ensemble.task, later.keywords.get("task", "auto")
    if task.has_label_sets and asked in ("auto", task.name):
        names.append("separator")
    named = later.args[0]
    if isinstance(named, str | os.PathLike) and Path(named).is_file():
        names += ["header", "encoding"]
    return {name: source[name] for name in names if source.get(name)}
