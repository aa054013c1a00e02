"""The model that is handed over after folds: trained once more, on every sample.

The folds have said how good models of this making are, and how many steps they took to their best;
so nothing is left to choose, and no sample has to be kept back. Steps are the median of the folds',
the penalty of a head is chosen on the run's own val as ever and kept for the head of all samples,
the temperature is the geometric mean of the folds'. Thresholds, sets and rejection are settled on
the items of all folds together, each of which was predicted unseen. Its figures are those of the
folds: there is no item left on which it could be tested.

What ``fit`` hands over is made so, too, as ``finetune`` makes it: its folds are of the whole
search, each of which may have found something else. Steps and temperature are then of those that
found the same start and strategy, and how many these are is told.

It is one training, which begins anew where it was cut short.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import OptionError, RunFolderError
from headstart.events import emit
from headstart.storage.records import find_record
from headstart.storage.run_folder import disk_errors, write_atomically
from headstart.types import Dataset

if TYPE_CHECKING:
    from headstart.recipes.options import FinetuneOptions, FitOptions
    from headstart.tuning.budget import Budget
    from headstart.tuning.setup import TrainingSetup

FOLDER = "repeats/all"
_DONE = "model.json"  # is written last


@dataclass(frozen=True)
class OnAll:
    """A training on all samples.

    Attributes:
        dataset: All samples as train; val and test hold none.
        num_train: Of these, those that the run itself has learned from; they come first.
        num_val: The run's own val, which comes next.
        folds: The finished run of each fold.
        alike: Those that have made the same as the run; the run itself where none has.
        place: Where the model goes.
        recipe: Of the run itself.
        num_steps: Optimizer steps; None where none are taken.
        start: Address of what the run has started from.
        size: Side of its images in pixels; None of others.
    """

    dataset: Dataset
    num_train: int
    num_val: int
    folds: Sequence[Path]
    alike: Sequence[Path]
    place: Path
    recipe: dict[str, Any]
    num_steps: int | None
    start: str
    size: int | None

    def changes(self) -> dict[str, Any]:
        """Return what the options of the run become: what it has settled, and the steps."""
        kept: dict[str, Any] = {"strategy": self.recipe["strategy"]}
        if self.num_steps:
            names = ("augment", "learning_rate", "batch_size")
            kept |= {name: self.recipe[name] for name in names}
            kept |= {"num_steps": self.num_steps, "num_epochs": None}
            kept |= {"learning_rate_search": False, "patience": None}
        return kept


def check_on_all(options: FinetuneOptions | FitOptions) -> None:
    """Refuse a model of all samples of which nothing would say how good it is.

    Raises:
        OptionError: If no folds are asked for.
    """
    if options.train_on_all and not options.folds:
        raise OptionError(
            "train_on_all is set and folds is not; expected both, since the folds say how long to "
            "train and how good that is. Add --folds 5, or leave --train-on-all out."
        )


def plan_on_all(dataset: Dataset, run: Path, folds: Sequence[Path]) -> OnAll:
    """Return what is trained on all samples, by what the folds have chosen.

    Args:
        dataset: As it was loaded; a test split that it brought stays untouched.
        run: The run itself.
        folds: The finished run of each fold.
    """
    from headstart.data.dividing import pooled_data

    brings_test = "test" not in dataset.drawn_splits
    whole = pooled_data(dataset, ["train", "val"] if brings_test else ["train", "val", "test"])
    recipe = dict((find_record(run, "options.json") or {})["recipe"])
    alike = [fold for fold in folds if _made(fold) == _made(run)] or [run]
    found = [(find_record(fold, "options.json") or {}).get("training") for fold in alike]
    steps = [max(0, int(one["best_step"])) for one in found if one]
    start, _ = _made(run)
    read_as = (find_record(run, "model.json") or {})["architecture"]["preprocess"]
    return OnAll(
        dataset=replace(whole, is_repeated=True),
        num_train=len(dataset.train),
        num_val=len(dataset.val),
        folds=folds,
        alike=alike,
        place=run / FOLDER,
        recipe=recipe,
        num_steps=round(statistics.median(steps)) if steps else None,
        start=start,
        size=read_as.get("size"),
    )


def _made(run: Path) -> tuple[str, str]:
    """Return what a finished run has made: the address of its start, and its strategy."""
    model = find_record(run, "model.json") or {}
    return model["start"]["address"], model["strategy"]


def is_made(run: Path) -> bool:
    """Return whether the model of all samples is there."""
    return (run / FOLDER / _DONE).is_file()


def told(run: Path) -> dict[str, Any] | None:
    """Return what ``metrics.json`` of a run says of its model of all samples; None for none."""
    record = find_record(run / FOLDER, "metrics.json")
    return None if record is None else {"folder": FOLDER, **record["trained_on_all"]}


def train_on_all(
    job: OnAll,
    options: object,
    build: Callable[[Dataset], TrainingSetup],
    budget: Budget,
) -> None:
    """Train on all samples, and write the model with what is known of it.

    Args:
        job: The training.
        options: Of the run: how answers are to be made.
        build: Makes the model for some data.
        budget: Training ends inside it; fewer steps are said.
    """
    import numpy as np

    from headstart.comparing.repeats import fold_items, fold_record
    from headstart.data.dividing import part_of_split
    from headstart.model import write_model
    from headstart.tuning.conclude import describe_data
    from headstart.tuning.deciding import DecidingAsked, settle_deciding

    whole, num_train = job.dataset, job.num_train
    # its own val is part of what it learns from: it chooses a penalty before, and no weights
    own_val = part_of_split(whole.train, np.arange(num_train, num_train + job.num_val))
    shown = replace(whole, val=own_val)
    setup = build(shown)
    num_steps = _train(job, shown, setup, budget)
    model, items = setup.model, fold_items(job.folds)
    model.temperature = _temperature(job.alike)
    emit("note", text="How answers are made is settled on the test items of all folds.")
    asked, of = DecidingAsked.of(vars(options)), (items.outputs, items.targets, whole.schema)
    deciding, record = settle_deciding(asked, model.task, *of, groups=items.groups)
    model.decide_by(deciding)
    about = {"num_samples": len(whole.train), "num_steps": num_steps}
    num_alike = sum(fold in job.folds for fold in job.alike)
    if num_alike < len(job.folds):
        about |= {"num_alike": num_alike, "num_folds": len(job.folds)}
    metrics = {"task": whole.schema.task, "folds": fold_record(job.folds), **record}
    files = {
        "data.json": describe_data(whole, [*whole.bad_samples], []),
        "options.json": {"verb": "finetune", "recipe": asdict(setup.recipe)},
        "metrics.json": {**metrics, "trained_on_all": about},
    }
    with disk_errors(job.place, 0):
        job.place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        _write(job.place, name, json.dumps(content, indent=2, allow_nan=False).encode())
    described = {"strategy": setup.recipe.strategy, "data_name": whole.name}
    write_model(model, lambda name, content: _write(job.place, name, content), described)


def refuse_untested(path: Path, metrics: Mapping[str, Any]) -> None:
    """Refuse what needs items that a model has not learned from, where it has learned from all.

    Raises:
        RunFolderError: If it is one.
    """
    if "trained_on_all" not in metrics or "test" in metrics:
        return
    whole = path.resolve().parent.parent
    raise RunFolderError(
        f"{path} has learned from all {metrics['trained_on_all']['num_samples']:,} samples of its "
        f"data; expected a run that has kept some back. Take {whole}, whose folds say how good it "
        f"is; or evaluate it on labelled data that is new: headstart evaluate {path} DATA."
    )


def _train(job: OnAll, data: Dataset, setup: TrainingSetup, budget: Budget) -> int:
    """Train, and return how many steps that took."""
    import numpy as np

    from headstart.tuning.arm import Arm
    from headstart.tuning.conditions import Conditions
    from headstart.tuning.setup import install, prepare_places
    from headstart.tuning.solving import probe, solve_again

    strategy, fitted = setup.strategy, None
    train, val = (prepare_places(data, name, setup, None) for name in ("train", "val"))
    if strategy.probes:
        learned = prepare_places(data, "train", setup, np.arange(job.num_train))
        limit, weigh = strategy.num_probe_samples, setup.recipe.imbalance
        chosen = probe(setup, learned, val, imbalance=weigh, limit=limit, deadline=None)
        fitted = solve_again(setup, chosen, train, val)
        install(setup.model, fitted)
    if not strategy.loops or not job.num_steps:
        return 0  # of the folds none was better than its probe
    conditions = Conditions(deadline=budget.deadline(0.0), keeps_last=True)
    arm = Arm(setup, train, val, conditions)
    arm.start(fitted)
    arm.advance()
    done = arm.finish().result
    num = done.state.step if done else 0
    if num < job.num_steps:
        emit(
            "note",
            text=f"The budget left time for {num:,} of the {job.num_steps:,} steps on all samples.",
        )
    return num


def _temperature(folds: Sequence[Path]) -> float:
    """Return the geometric mean of the temperatures of runs."""
    found = [float((find_record(fold, "model.json") or {})["temperature"]) for fold in folds]
    return math.exp(statistics.mean(map(math.log, found)))


def _write(place: Path, name: str, content: bytes) -> None:
    with disk_errors(place / name, len(content)):
        write_atomically(place / name, content)
