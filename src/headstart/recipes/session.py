"""What ``finetune`` and ``fit`` share: the folder, the plan, the log, Ctrl-C, and the last stretch.

A run's plan (verb, options, data fingerprint) is written first. ``resume`` demands the same plan:
what changed is shown as a diff and refused, but for what changes no result.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headstart.errors import DeviceError, Interrupted, first_line
from headstart.events import emit, listen, seconds_since_command_began
from headstart.recipes.findings import tell_findings
from headstart.recipes.plan import resumed_plan
from headstart.recipes.processes import after_restart, launch_name
from headstart.reporting.console import attached
from headstart.storage.run_folder import RunFolder
from headstart.training.machine.memory import is_out_of_memory
from headstart.types import Data, Dataset, Inputs

if TYPE_CHECKING:
    from headstart.training.company import Company
    from headstart.tuning.budget import Budget
    from headstart.tuning.grid import Search
    from headstart.tuning.setup import Bench
    from headstart.tuning.stop import StopRequest
    from headstart.tuning.texts import TextStock
    from headstart.tuning.tune import Tuned


def as_dataset(data: Data) -> Dataset:
    """Return a ``Dataset`` as it is, call what loads one, and load anything else by default."""
    if isinstance(data, Dataset):
        return data
    if isinstance(data, partial):  # the command line's: options are checked before data is read
        loaded: Dataset = data()
        return loaded
    from headstart.data import load

    return load(data)


def default_out(dataset: Dataset, *, resume: bool = False) -> Path:
    """Return the first of ``runs/<name>``, ``runs/<name>-2`` … that does not exist.

    To resume, the last of those that do exist: the run that was interrupted.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(dataset.name).stem).strip("-.") or "run"
    path = former = Path("runs") / name
    number = 2
    while path.exists():
        former, path, number = path, Path("runs") / f"{name}-{number}", number + 1
    return former if resume else path


def spent_before(dataset: Dataset) -> float:
    """Return the seconds that the budget has already lost: the command's start, or the loading."""
    return seconds_since_command_began() or dataset.load_seconds


class Session:
    """One run being made: its folder and its plan.

    Attributes:
        folder: Where everything is written.
        plan: Verb, options, fingerprint, and what later stages add (the chosen start).
        choices: What was decided for the user, each with why; for ``options.json``.
    """

    def __init__(self, folder: RunFolder, plan: Mapping[str, Any]) -> None:
        self.folder = folder
        self.plan = dict(plan)
        self.choices: list[dict[str, object]] = []
        self._started = time.monotonic()
        self.spent_before_resume = float(plan.get("spent_seconds", 0.0))

    def remember(self, **fields: object) -> None:
        """Add fields to the plan and write it."""
        self.plan |= fields
        self.plan["spent_seconds"] = self.spent_before_resume + time.monotonic() - self._started
        self.folder.write_json("state/plan.json", self.plan)

    def text_stock(self, dataset: Dataset, budget: Budget, seed: int) -> TextStock | None:
        """Return what the run keeps of its texts; None where samples are none.

        How many texts a start learns from is kept in the plan: a resumed run has the same words.
        """
        from headstart.tuning.texts import text_stock

        return text_stock(
            dataset,
            budget,
            seed=seed,
            limits=self.plan.get("text_limits"),
            on_limit=lambda limits: self.remember(text_limits=limits),
        )

    def remember_memory(self, **settled: object) -> None:
        """Add to the plan what was settled about memory, so that a resumed run has the same."""
        self.remember(memory=settled)

    def listener(self, kind: str, fields: dict[str, object]) -> None:
        """Keep choices, log events, and keep count of the time spent."""
        if kind == "choice":
            self.choices.append(fields)
        if kind == "checkpoint":
            self.remember()
        if kind == "diverged":
            self.folder.write_json("nan_report.json", fields)
        self.folder.log(
            {"seconds": round(time.monotonic() - self._started, 3), "kind": kind, **fields}
        )


@contextmanager
def session(
    verb: str,
    dataset: Dataset,
    out: str | Path | None,
    options: Mapping[str, object],
    *,
    resume: bool,
    overwrite: bool,
) -> Iterator[Session]:
    """Claim the run folder, check the plan, log every event, and turn Ctrl-C into a sentence.

    Raises:
        RunFolderError: If the folder is occupied, or the plan differs from the one to resume.
        DeviceError: If memory runs out.
        Interrupted: On Ctrl-C.
    """
    from headstart.tuning.stop import leaving_at_once

    path = Path(out) if out is not None else default_out(dataset, resume=resume)
    if out is None and not resume:  # a launcher may have started this again
        former = default_out(dataset, resume=True)
        resume, _ = after_restart(former, options, resume=False, overwrite=False)
        path = former if resume else path
    with (
        attached(),
        leaving_at_once(),
        RunFolder(path, resume=resume, overwrite=overwrite) as folder,
    ):
        plan = {"verb": verb, "options": options, "fingerprint": dataset.fingerprint}
        if resume:
            plan = resumed_plan(folder, plan)
        current = Session(folder, plan)
        current.remember()
        if dataset.bad_samples:
            first = dataset.bad_samples[0]
            emit(
                "note",
                text=f"{len(dataset.bad_samples)} samples cannot be used, the first is "
                f"{first.name} ({first.reason}); all are listed in data.json.",
            )
        tell_findings(dataset.findings)
        try:
            with listen(current.listener):
                yield current
        except KeyboardInterrupt as error:
            current.remember()
            folder.keep = True
            number = signal.Signals(error.args[0] if error.args else signal.SIGINT)
            told = "Ctrl-C" if number == signal.SIGINT else number.name
            raise Interrupted(
                f"Stopped by {told}; the state is kept in {path}. Go on with the same command and "
                f"--out {path} --resume, or start anew with --overwrite.",
                number,
            ) from error
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise DeviceError(
                f"Out of memory ({first_line(error)}); "
                f"expected room for one batch. Give a smaller --micro-batch-size or --input-size, "
                f"a smaller start, or another --device."
            ) from error


def complete(
    current: Session,
    dataset: Dataset,
    bench: Bench,
    budget: Budget,
    company: Company,
    candidates: Sequence[Mapping[str, object]],
    rival: Bench | None = None,
    grid: Literal["off", "room", "asked"] = "off",
) -> None:
    """Prepare, fine-tune, evaluate, and write every file of the run folder.

    Args:
        current: The session.
        dataset: The data.
        bench: The model to fine-tune.
        budget: The budget.
        company: The processes that train together, of which this is the main one.
        candidates: What screening found, for ``options.json``.
        rival: The chosen candidate as screening left it; it is kept if it is the better one.
        grid: Whether other learning rates are tried first, as ``search_for`` takes it.

    Raises:
        KeyboardInterrupt: After the state was saved, if someone asked to stop.
    """
    from dataclasses import replace

    from headstart.reporting import render_folder
    from headstart.tuning.conclude import conclude, save_model
    from headstart.tuning.cost import seconds_per_sample
    from headstart.tuning.fitting import prepare_splits, sample_limits
    from headstart.tuning.grid import search_for
    from headstart.tuning.messages import send_setup, send_train
    from headstart.tuning.tune import better

    folder = current.folder
    if "views" in current.plan:  # chosen before the run was interrupted
        bench.recipe = replace(bench.recipe, views=current.plan["views"])
    search = search_for(bench, current.plan, current.remember, grid, company)
    each = seconds_per_sample(bench, dataset, budget)
    send_setup(company, bench)
    limits = current.plan.get("sample_limits") or sample_limits(dataset, bench, each, budget)
    current.remember(sample_limits=limits)  # a resumed run has the same samples
    train, val, test = prepare_splits(dataset, bench, limits)
    send_train(company, limits["train"])
    tell_findings(train.findings)
    on_usable = partial(save_model, folder, dataset, bench) if rival is None else _nothing
    tuned = _tune(current, dataset, bench, train, val, each, budget, on_usable, search, company)
    if rival is not None:
        bench, tuned = better(bench, tuned, rival, val)
    conclude(
        folder,
        dataset,
        bench,
        tuned,
        train,
        val,
        test,
        budget=budget,
        options=_finite(_options(current, bench, tuned, candidates, company.size)),
    )
    folder.write("report.html", render_folder(folder.path).encode())
    folder.finish()


def _tune(
    current: Session,
    dataset: Dataset,
    bench: Bench,
    train: Inputs,
    val: Inputs,
    seconds_per_sample: float,
    budget: Budget,
    on_usable: Callable[[], None],
    search: Search | None,
    company: Company,
) -> Tuned:
    """Fine-tune; where someone asked to stop, keep what there is.

    Raises:
        KeyboardInterrupt: After that.
    """
    from headstart.training.contract import StopRequested
    from headstart.training.state.checkpoint import CheckpointFolder
    from headstart.tuning.conclude import calibrate, save_model
    from headstart.tuning.memory import MemoryPlan
    from headstart.tuning.stop import graceful_stop
    from headstart.tuning.tune import tune

    said = current.plan["options"].get("micro_batch_size") is not None

    with graceful_stop() as stop:
        try:
            tuned = tune(
                bench,
                train,
                val,
                checkpoints=CheckpointFolder(current.folder.state),
                deadline=budget.deadline(_reserve(dataset, bench, seconds_per_sample, budget)),
                stop_requested=partial(_stop_requested, stop, company),
                on_usable=on_usable,
                seconds_per_sample=seconds_per_sample,
                on_views=lambda views: current.remember(views=views),
                search=search,
                memory=MemoryPlan(said, True, current.plan.get("memory"), current.remember_memory),
                company=company,
            )
        except StopRequested as error:  # there is nothing to keep yet
            raise KeyboardInterrupt(stop.signal_number) from error
    # without a loop (strategy head) nobody has answered the request yet
    ended = tuned.result.ended if tuned.result else "interrupted" if stop.requested else "finished"
    if ended == "interrupted":
        calibrate(bench.model, tuned.val_logits, val.targets)
        save_model(current.folder, dataset, bench)
        raise KeyboardInterrupt(stop.signal_number)
    return tuned


def _stop_requested(stop: StopRequest, company: Company) -> bool:
    """Return whether someone asked this process to stop, or another that trains with it."""
    if company.stop_number and not stop.requested:
        stop.signal_number = company.stop_number
    return stop()


def _nothing() -> None:
    """Keep the model that stands in the folder already."""


def _options(
    current: Session,
    bench: Bench,
    tuned: Tuned,
    candidates: Sequence[Mapping[str, object]],
    num_processes: int,
) -> dict[str, Any]:
    """Return the content of ``options.json``."""
    from dataclasses import asdict

    from headstart.tuning.conclude import describe_machine

    result = tuned.result
    return {
        "verb": current.plan["verb"],
        "options": current.plan["options"],
        "recipe": asdict(bench.recipe),
        "choices": current.choices,
        "candidates": candidates,
        "trials": current.plan.get("trials", []),
        "machine": describe_machine(),
        "processes": num_processes,
        "launch": launch_name(),
        "training": asdict(result.state) | {"ended": result.ended} if result else None,
    }


def _reserve(dataset: Dataset, bench: Bench, seconds_per_sample: float, budget: Budget) -> float:
    """Return the seconds to keep for what follows training: two test passes, figures, the report.

    Half of what is left at the most: a budget that cannot pay for the baseline loses the baseline,
    not the fine-tuning.
    """
    from headstart.tuning.budget import PASS_MARGIN
    from headstart.tuning.conclude import figures_seconds
    from headstart.tuning.fitting import look_limit

    look = min(len(dataset.val), look_limit(seconds_per_sample, budget) or len(dataset.val))
    passes = PASS_MARGIN * (2 * len(dataset.test) + look) * seconds_per_sample
    return min(passes + figures_seconds(dataset, bench), budget.may_take("conclusion"))


def _finite(record: Any) -> Any:
    """Return a JSON-able copy in which what is not finite is None."""
    if isinstance(record, dict):
        return {key: _finite(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [_finite(value) for value in record]
    if isinstance(record, float) and (record != record or abs(record) == float("inf")):
        return None
    return record
