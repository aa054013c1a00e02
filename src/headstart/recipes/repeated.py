"""A run and its repeats: folds, other seeds, and parts of the training data.

The run itself is made first and as ever; it is what is served, and its test split is its own. Each
repeat is a run folder of its own below ``repeats/``, so that a command which is cut short goes on
where it was. What they say together stands in the run's ``metrics.json``. They share what is
decoded and, of a pretrained start, its features; they audit nothing and hear no baselines, since
the run has. A budget is one for all of them.
"""

from __future__ import annotations

import json
import math
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from headstart.errors import DataError, Interrupted, OptionError
from headstart.events import emit, seconds_since_command_began
from headstart.recipes.launching import num_processes
from headstart.recipes.on_all import FOLDER, OnAll, is_made, plan_on_all, told
from headstart.recipes.options import FinetuneOptions, FitOptions
from headstart.recipes.run import Run
from headstart.recipes.source import as_dataset, default_out, spent_before
from headstart.reporting.console import attached
from headstart.storage.records import find_record, finished_run
from headstart.storage.run_folder import is_claimed_only, refuse_occupied, write_atomically
from headstart.tasks import argument_of, find_task
from headstart.training.options.limits import check_options
from headstart.types import Dataset

if TYPE_CHECKING:
    from headstart.tuning.budget import BudgetPlan
    from headstart.tuning.named_budget import BudgetPart

Options = TypeVar("Options", FinetuneOptions, FitOptions)

PARTS = (1 / 8, 1 / 4, 1 / 2)  # of train, for the learning curve
_LEAST_PART = 16  # samples of the smallest
_BUDGETS = "repeats/budgets.json"


def is_repeated(options: FinetuneOptions | FitOptions) -> bool:
    """Return whether more than one run was asked for."""
    return bool(options.folds or options.seeds or options.learning_curve)


@dataclass(frozen=True)
class Repeat:
    """One of the repeats.

    Attributes:
        kind: ``folds``, ``seeds`` or ``learning_curve``.
        name: Of its folder.
        title: What a person reads while it runs.
        data: Makes its data.
        seed: Of its training.
        weight: What it takes, as a share of what the run itself takes.
    """

    kind: str
    name: str
    title: str
    data: Callable[[], Dataset]
    seed: int
    weight: float


def repeated(
    options: Options,
    once: Callable[[Options], Run | BudgetPlan],
    on_all: Callable[[Options, OnAll], object] | None = None,
) -> Run | BudgetPlan:
    """Make a run and its repeats, and write what they say together.

    Args:
        options: As the user said them.
        once: Makes one run.
        on_all: Trains on all samples after the folds; None where that was not asked for.

    Returns:
        The run itself; under dry_run its plan, in its share of the budget.

    Raises:
        OptionError: An option is out of range, several processes are to do it, or the data has tags
            of words and is to be divided anew.
        DataError: There are too few samples for it.
        Interrupted: On Ctrl-C; all that was finished is kept.
    """
    check_options(options)  # a single run is not told of folds, and cannot refuse them
    _refuse_processes(options)
    languages = options.languages if isinstance(options, FinetuneOptions) else None
    dataset = as_dataset(options.data, languages=languages)
    _refuse_words(options, dataset)
    out = Path(options.out or default_out(dataset, resume=options.resume))
    course = _Course(options, dataset, out, trains_on_all=on_all is not None)
    course.check_budget()
    own = course.own_options()
    if options.dry_run:
        with course.told_as_one("", own.budget, 1.0):
            return once(own)
    _refuse_finished(course)
    made: Run | BudgetPlan | None = None
    if not (options.resume and finished_run(out)):
        with course.told_as_one("", own.budget, 1.0):
            made = once(own)
    for repeat in course.repeats:
        _make(repeat, course, once)
    served = out
    if on_all is not None:
        served = out / FOLDER
        course.train_on_all(on_all)
    course.conclude()
    with attached():
        command = f"headstart predict {shlex.quote(str(served))} {argument_of(dataset.schema)}"
        emit("next", command=command)
    return made or Run(out)


def _refuse_processes(options: FinetuneOptions | FitOptions) -> None:
    if num_processes() > 1 or options.num_processes > 1:
        names = [n for n in ("folds", "seeds", "learning_curve") if getattr(options, n)]
        raise OptionError(
            f"{names[0]} is set and several processes train together; expected one, which makes "
            "run after run. Leave --num-processes out and start no launcher."
        )


def _refuse_words(options: FinetuneOptions | FitOptions, dataset: Dataset) -> None:
    """Refuse to divide anew what has a tag a word, or a text a sample; folds of several targets."""
    task, has_parts = find_task(dataset.schema.task), bool(dataset.schema.parts)
    said = {"--folds": options.folds, "--learning-curve": options.learning_curve and not has_parts}
    names = [name for name, value in said.items() if value]
    if names and (has_parts or not task.is_answered_whole):
        what = "several targets" if has_parts else task.words.told
        divide = "divides" if len(names) == 1 else "divide"
        raise OptionError(
            f"{' and '.join(names)} {divide} data anew, and {dataset.name} has {what} "
            f"({task.name}), which is not done yet; expected one answer a sample. Leave "
            f"{' and '.join(names)} out; --seeds trains on the same splits."
        )


def _refuse_finished(course: _Course[Any]) -> None:
    """Refuse a folder that is occupied, or where nothing is left to do."""
    options, out = course.options, course.out
    is_open = any(finished_run(course.place(one)) is None for one in course.repeats)
    is_open = is_open or (course.trains_on_all and not is_made(out))
    if not (options.resume and finished_run(out) and is_open):
        refuse_occupied(out, resume=options.resume, overwrite=options.overwrite)


def _make(repeat: Repeat, course: _Course[Options], once: Callable[[Options], Any]) -> None:
    """Make one repeat, or go on with it; one that is finished stays."""
    place = course.place(repeat)
    if finished_run(place):
        return
    with attached():
        emit("stage", text=repeat.title)
    is_begun = (place / "state").exists() and not is_claimed_only(place)
    budget = course.budget(repeat.name, repeat.weight)
    whole = course.told_as_one(repeat.title, budget, repeat.weight)
    with whole, course.shared(data := repeat.data()):
        once(
            course.changed(
                data=data,
                out=str(place),
                seed=repeat.seed,
                budget=budget,
                resume=is_begun,
                overwrite=place.exists() and not is_begun,
            )
        )


class _Course(Generic[Options]):
    """All runs of a command, and their shares of the budget."""

    def __init__(
        self, options: Options, dataset: Dataset, out: Path, *, trains_on_all: bool = False
    ) -> None:
        self.options: Options = options
        self.dataset, self.out, self.trains_on_all = dataset, out, trains_on_all
        self._began = time.monotonic() - (seconds_since_command_began() or 0.0)

    @cached_property
    def _total_weight(self) -> float:
        return 1.0 + sum(one.weight for one in self.repeats) + self.trains_on_all

    @property
    def _num_runs(self) -> int:
        return 1 + len(self.repeats) + self.trains_on_all

    @cached_property
    def repeats(self) -> list[Repeat]:
        """The repeats, in their order."""
        found = []
        if self.options.folds:
            found += list(self._folds(self.options.folds))
        if self.options.seeds:
            found += list(self._seeds(self.options.seeds))
        if self.options.learning_curve:
            found += list(self._parts())
        return found

    def _folds(self, number: int) -> Iterator[Repeat]:
        from headstart.data.dividing import make_folds

        folds = make_folds(self.dataset, number, self.options.seed)
        for fold in range(number):
            title = f"Fold {fold + 1} of {number}"

            data = partial(folds.division, fold)
            yield Repeat("folds", f"fold-{fold + 1}", title, data, self.options.seed, 1.0)

    def _seeds(self, number: int) -> Iterator[Repeat]:
        again = replace(self.dataset, is_repeated=True, load_seconds=0.0)
        for place in range(1, number):
            seed = self.options.seed + place
            title = f"Seed {seed}, {place + 1} of {number}"
            yield Repeat("seeds", f"seed-{seed}", title, lambda: again, seed, 1.0)

    def _parts(self) -> Iterator[Repeat]:
        from headstart.data.dividing import part_of_train

        num = len(self.dataset.train)
        least = max(_LEAST_PART, 2 * len(self.dataset.schema.classes))
        sizes = [round(num * share) for share in PARTS if round(num * share) >= least]
        if len(sizes) < 2:
            raise DataError(
                f"{self.dataset.name} has {num} samples to learn from, expected at least "
                f"{4 * least} for a learning curve. Leave --learning-curve out, or add samples."
            )
        for size in sizes:
            data = partial(part_of_train, self.dataset, size, self.options.seed)
            title = f"Learning curve: {size:,} of {num:,} training samples"
            name = f"part-{size}"
            yield Repeat("learning_curve", name, title, data, self.options.seed, size / num)

    def place(self, repeat: Repeat) -> Path:
        """Return the folder of a repeat."""
        return self.out / "repeats" / repeat.name

    def changed(self, **changes: Any) -> Options:
        """Return the options of a single run, with changes."""
        single = {"folds": None, "seeds": None, "learning_curve": False, "train_on_all": False}
        known = {name: value for name, value in single.items() if hasattr(self.options, name)}
        found: Options = replace(self.options, **{**known, **changes})
        return found

    def own_options(self) -> Options:
        """Return the options of the run itself."""
        budget = self.budget("", 1.0, is_kept=not self.options.dry_run)
        is_begun = self.options.resume and (self.out / "state").exists()
        return self.changed(data=self.dataset, out=str(self.out), budget=budget, resume=is_begun)

    def budget(self, name: str, weight: float, *, is_kept: bool = True) -> str | None:
        """Return the budget of one run: its share of what is left, which it keeps when resumed.

        Args:
            name: Of the run; empty for the run itself.
            weight: Of it.
            is_kept: Whether it is written down.
        """
        from headstart.tuning.named_budget import parse_budget

        whole = parse_budget(self.options.budget)
        if whole is None:
            return None if self.options.budget is None else str(self.options.budget)
        kept = {} if self.options.overwrite and not name else find_record(self.out, _BUDGETS) or {}
        if name in kept:
            return str(kept[name])
        open_ones = [one for one in self.repeats if finished_run(self.place(one)) is None]
        to_come = sum(one.weight for one in open_ones) + (0.0 if name else weight)
        to_come += 1.0 if self.trains_on_all and not is_made(self.out) else 0.0
        spent = time.monotonic() - self._began
        share = max(1.0, (whole - spent) * weight / max(weight, to_come))
        # a command's runs count their time from its beginning
        before = (seconds_since_command_began() or 0.0) if name else spent_before(self.dataset)
        given = f"{share + before:.1f}s"
        if is_kept and name:
            (self.out / _BUDGETS).parent.mkdir(exist_ok=True)
            write_atomically(self.out / _BUDGETS, json.dumps({**kept, name: given}).encode())
        return given

    def check_budget(self) -> None:
        """Refuse a budget whose share for the run itself is less than a run needs."""
        from headstart.tuning.named_budget import LEAST_SECONDS, parse_budget

        whole, least = parse_budget(self.options.budget), LEAST_SECONDS * self._total_weight
        if whole is not None and whole < least and not self.options.resume:
            raise OptionError(
                f"budget '{self.options.budget}' is for {self._num_runs} runs together; "
                f"expected at least {math.ceil(least)} seconds. Raise --budget, or ask for fewer "
                "runs."
            )

    def _tested_by_folds(self) -> float:
        """Return how many times as many items a fold is tested on as the run itself, at least 1."""
        number, own = self.options.folds or 1, len(self.dataset.test)
        total = sum(len(one) for one in (self.dataset.train, self.dataset.val, self.dataset.test))
        return max(1.0, total / number / max(1, own)) if number > 1 else 1.0

    def _part(self, budget: str | None, weight: float, largest: float) -> BudgetPart | None:
        """Return what one run has of the budget; None where there is none."""
        from headstart.tuning.named_budget import BudgetPart, parse_budget

        whole = parse_budget(self.options.budget)
        if whole is None or budget is None:
            return None
        limit, times = float(budget.removesuffix("s")), self._total_weight / weight
        return BudgetPart(self._num_runs, whole, limit, times, largest)

    @contextmanager
    def told_as_one(self, title: str, budget: str | None, weight: float) -> Iterator[None]:
        """Name the whole command where a signal or a budget stops one of its runs.

        Args:
            title: Of the run; empty for the run itself.
            budget: Its share.
            weight: Of it.
        """
        from headstart.tuning.named_budget import part_of_budget

        largest = 1.0 if title else self._tested_by_folds()
        try:
            with part_of_budget(self._part(budget, weight, largest)):
                yield
        except (Interrupted, KeyboardInterrupt) as error:
            where = f" in '{title}'" if title else ""
            number = error.exit_code - 128 if isinstance(error, Interrupted) else signal.SIGINT
            raise Interrupted(
                f"Stopped{where}; what was finished is kept in {self.out}. Go on with the same "
                f"command and --out {shlex.quote(str(self.out))} --resume, or start anew with "
                "--overwrite.",
                number,
            ) from error

    @contextmanager
    def shared(self, data: Dataset) -> Iterator[None]:
        """Let the divisions of a pool share the features of a pretrained start."""
        from headstart.tuning.features import pool_shared

        with pool_shared(data.pool):
            yield

    def train_on_all(self, train: Callable[[Options, OnAll], object]) -> None:
        """Train on all samples by what the folds have chosen, unless that is done."""
        if is_made(self.out):
            return
        folds = [self.place(one) for one in self.repeats if one.kind == "folds"]
        job = plan_on_all(self.dataset, self.out, folds)
        title = f"All {len(job.dataset.train):,} samples"
        with attached():
            emit("stage", text=title)
        budget = self.budget("all", 1.0)
        with self.told_as_one(title, budget, 1.0):
            train(self.changed(data=job.dataset, out=None, budget=budget), job)

    def conclude(self) -> None:
        """Write what all of them say together, and the page with it."""
        from headstart.comparing.repeats import curve_record, fold_record, seed_record
        from headstart.reporting import render_folder

        metrics = find_record(self.out, "metrics.json") or {}
        options = find_record(self.out, "options.json") or {}
        of: dict[str, list[Path]] = {}
        for one in self.repeats:
            of.setdefault(one.kind, []).append(self.place(one))
        if "folds" in of:
            metrics["folds"] = fold_record(of["folds"])
        if self.trains_on_all and (made := told(self.out)):
            metrics["trained_on_all"] = made
        if "seeds" in of or self.options.seeds:
            seeds = [self.options.seed, *(one.seed for one in self.repeats if one.kind == "seeds")]
            folders = [self.out, *of.get("seeds", [])]
            metrics["seeds"] = seed_record(dict(zip(seeds, folders, strict=True)))
        if "learning_curve" in of:
            metrics["learning_curve"] = curve_record([*of["learning_curve"], self.out])
        said: dict[str, Any] = dict(options.get("options") or {})
        names = ("folds", "seeds", "learning_curve", "train_on_all", "budget")
        said |= {n: getattr(self.options, n) for n in names if hasattr(self.options, n)}
        _write(self.out / "options.json", {**options, "options": said})
        _write(self.out / "metrics.json", metrics)
        page = render_folder(self.out).encode(errors="backslashreplace")
        write_atomically(self.out / "report.html", page)


def _write(path: Path, record: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(record, indent=2, allow_nan=False).encode())
