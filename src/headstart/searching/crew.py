"""Who advances which arm: a process alone all of them, several processes an arm each at a time.

An arm is trained by one process, as if that were alone: the samples, the steps and the bits of it
are those that one process would give. It stays where it is as long as no process has more to do
than its share; where it moves, it goes on from its checkpoint. What was made elsewhere comes back
by the disk that all processes share (``made``), and what was settled there becomes a decision of
the run. An arm that fails is named with its process, and the others go on; a process that dies ends
all of them, as ever.

Left out: one arm by several processes (``finetune`` does that), and which arms there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from headstart.errors import DeviceError, HeadstartError, RunFolderError, StartError, first_line
from headstart.events import emit
from headstart.searching.arms import ArmSpec
from headstart.searching.context import Contender, SearchContext
from headstart.searching.made import read_made, write_made
from headstart.searching.prices import VAL_ITEMS, Prices
from headstart.searching.runner import ArmRunner, Standing, arm_folder
from headstart.training.company import Company
from headstart.training.contract import StopRequested
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.strategies import find_strategy
from headstart.training.probing.probe import Probe
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decided, Decisions
from headstart.tuning.stop import StopRequest
from headstart.tuning.texts import text_cache
from headstart.types import Dataset

_NO_TIME = "not made: the time for heads is spent"


@dataclass(frozen=True)
class Job:
    """How far an arm is to be advanced.

    Attributes:
        spec: The arm.
        to_step: Optimizer steps from the beginning; None to the end, and then it is finished.
        seconds: After which it pauses at the latest; None for no limit.
        needed: Seconds that it is expected to take; it is not begun where the stage has fewer left.
    """

    spec: ArmSpec
    to_step: int | None = None
    seconds: float | None = None
    needed: float = 0.0


@dataclass(frozen=True)
class JobOutcome:
    """What came of a job.

    Attributes:
        spec: The arm.
        standing: How it stands; None where it was not begun, or failed.
        why: Why there is none.
        made: The model, where the arm was trained to its end.
        curve: What its validations have found: the fields of each event ``check``.
    """

    spec: ArmSpec
    standing: Standing | None
    why: str = ""
    made: Contender | None = None
    curve: Sequence[Mapping[str, Any]] = ()


class Crew:
    """The arms of a search, and the processes that advance them, as one of these sees it.

    Args:
        context: What all arms share.
        prices: Their samples.
        company: The processes.
    """

    def __init__(self, context: SearchContext, prices: Prices, company: Company) -> None:
        self.prices, self.company = prices, company
        self._deadline, self._stop_requested = context.deadline, context.stop_requested
        # an arm that waits outlives the block in which a worker listens for signals
        self.context = replace(context, stop_requested=lambda: self._stop_requested())
        self._runners: dict[ArmSpec, ArmRunner] = {}
        self._ranks: dict[ArmSpec, int] = {}
        self._fitted: dict[tuple[str, int | None, bool], Probe | None] = {}

    @property
    def deadline(self) -> float | None:
        """``time.monotonic()`` value by which all training has ended; a worker is told it."""
        return self._deadline if self.context.end is None else self.context.end.at

    def is_begun(self, spec: ArmSpec) -> bool:
        """Return whether an arm would go on from where it stood."""
        folder = CheckpointFolder(arm_folder(self.context, spec))
        return spec in self._ranks or folder.newest_step() is not None

    def forget(self, spec: ArmSpec) -> None:
        """Forget an arm that ran here, so that a job of it begins from its start."""
        self._runners.pop(spec, None)

    def at_once(self, num: int) -> int:
        """Return how many of so many arms are advanced at the same time; at least 1."""
        return max(1, min(num, self.company.size))

    def run(
        self,
        name: str,
        jobs: Sequence[Job],
        done: Callable[[JobOutcome], None],
        *,
        ends: float | None = None,
    ) -> None:
        """In the main process: have all jobs done.

        Args:
            name: Of the stage, as it is told.
            jobs: A job an arm; the first are begun first.
            done: Called with each outcome as soon as it is known here.
            ends: ``time.monotonic()`` value at which the stage ends; None where nothing does.

        Raises:
            StopRequested: If someone asked to stop; what was done until then was told.
            ProcessLost: If another process has left.
        """
        if not jobs:
            return
        ranks = self._deal(jobs)
        size = self.company.size
        if size > 1:
            for job, rank in zip(jobs, ranks, strict=True):
                if rank != 0:
                    self.prices.settle(job.spec)
            told = [{**asdict(job), "rank": rank} for job, rank in zip(jobs, ranks, strict=True)]
            self.company.send(
                "arms",
                name=name,
                jobs=told,
                left=_seconds_until(self.deadline),
                ends=_seconds_until(ends),
            )
        own = [job for job, rank in zip(jobs, ranks, strict=True) if rank == 0]
        is_stopped = self._work(name, own, done, ends)
        if size > 1:
            is_stopped = self._collect(done, is_stopped=is_stopped)
        if is_stopped:
            raise StopRequested

    def obey(self, message: Mapping[str, Any], stop_requested: Callable[[], bool]) -> None:
        """In a worker: do its share of the jobs that the main process has told, and answer.

        Args:
            message: As ``run`` sends it.
            stop_requested: Whether someone asked to stop.
        """
        self._stop_requested = stop_requested
        now = time.monotonic()
        left, ends = message["left"], message["ends"]
        self._deadline = None if left is None else now + left
        jobs = [
            Job(ArmSpec(**told["spec"]), told["to_step"], told["seconds"], told["needed"])
            for told in message["jobs"]
            if told["rank"] == self.company.rank
        ]
        records = self.context.decisions.records
        before, answers = set(records), list[dict[str, Any]]()

        def note(outcome: JobOutcome) -> None:
            standing, spec = outcome.standing, outcome.spec
            if outcome.made is not None:
                write_made(arm_folder(self.context, spec) / "made", outcome.made, spec)
            answers.append(
                {
                    "spec": asdict(spec),
                    "standing": None if standing is None else standing.to_json(),
                    "why": outcome.why,
                    "is_made": outcome.made is not None,
                    "curve": outcome.curve,
                }
            )

        is_stopped = self._work(message["name"], jobs, note, None if ends is None else now + ends)
        settled = {name: record for name, record in records.items() if name not in before}
        self.company.gather({"done": answers, "settled": settled, "is_stopped": is_stopped})

    def _collect(self, done: Callable[[JobOutcome], None], *, is_stopped: bool) -> bool:
        """Hear what the others have done; return whether someone was asked to stop."""
        found: list[dict[str, Any]] = self.company.gather({})
        for rank, told in enumerate(found):
            if rank == self.company.rank:
                continue
            self.context.decisions.adopt(told["settled"])
            is_stopped = is_stopped or told["is_stopped"]
            for one in told["done"]:
                spec = ArmSpec(**one["spec"])
                emit("arm", arm=spec.name)
                for check in one["curve"]:
                    emit("check", **check)
                standing = None if one["standing"] is None else Standing.from_json(one["standing"])
                made = None
                if one["is_made"]:
                    folder = arm_folder(self.context, spec) / "made"
                    made = read_made(folder, self.context, self.prices.samples(spec))
                why = f"process {rank}: {one['why']}" if one["why"] else ""
                done(JobOutcome(spec, standing, why, made, one["curve"]))
        return is_stopped

    def _work(
        self,
        name: str,
        jobs: Sequence[Job],
        done: Callable[[JobOutcome], None],
        ends: float | None,
    ) -> bool:
        """Do jobs one after the other; return whether someone asked to stop."""
        for number, job in enumerate(jobs):
            if len(jobs) > 1:
                emit("task", name=name, done=number, total=len(jobs), start=job.spec.name)
            if ends is not None and job.needed > ends - time.monotonic():
                done(JobOutcome(job.spec, None, _NO_TIME))
                continue
            try:
                outcome = self._do(job, ends)
            except StopRequested:
                return True
            done(outcome)
        if len(jobs) > 1:
            emit("task", name=name, done=len(jobs), total=len(jobs))
        return False

    def _do(self, job: Job, ends: float | None) -> JobOutcome:
        """Advance one arm; one that fails says why.

        Raises:
            StopRequested: If someone asked to stop.
        """
        spec = job.spec
        # the probe of a start and size is the same for all arms that begin with it
        kind = (spec.start, spec.size, find_strategy(spec.strategy).is_cacheable)
        emit("arm", arm=spec.name)
        # of several processes each answers, whatever befell its arm
        failures = (StartError, DeviceError) if self.company.size == 1 else (Exception,)
        try:
            runner = self._runner(spec, ends)
            until = None if job.seconds is None else time.monotonic() + job.seconds
            if is_rung := job.to_step is not None:
                runner.fitted = runner.fitted or self._fitted.get(kind)
            standing = runner.advance(job.to_step, until)
            if is_rung:
                self._fitted[kind] = runner.fitted
            is_made = job.to_step is None and standing.figure is not None
            made = runner.finish() if is_made else None
            return JobOutcome(spec, standing, "", made, runner.curve)
        except (StopRequested, RunFolderError):
            raise
        except failures as error:
            self._runners.pop(spec, None)
            is_told = isinstance(error, HeadstartError)
            why = (
                f"left out: {error if is_told else f'{type(error).__name__}: {first_line(error)}'}"
            )
            emit("note", text=f"{spec.name} was {why}")
            return JobOutcome(spec, None, why)

    def _runner(self, spec: ArmSpec, ends: float | None) -> ArmRunner:
        """Return the arm as it lies here."""
        deadline = self.deadline
        if ends is not None and deadline is not None:
            deadline = max(ends, time.monotonic() + 1.0)
        if spec not in self._runners:
            context = replace(self.context, deadline=deadline)
            self._runners[spec] = ArmRunner(spec, context, *self.prices.samples(spec))
        return self._runners[spec]

    def _deal(self, jobs: Sequence[Job]) -> list[int]:
        """Return which process does each job: where the arm lies, if that has not its share yet."""
        size = self.company.size
        most = -(-len(jobs) // size)
        loads = [0] * size
        found = list[int]()
        for job in jobs:
            rank = self._ranks.get(job.spec)
            if rank is None or loads[rank] >= most:
                rank = loads.index(min(loads))
            loads[rank] += 1
            self._ranks[job.spec] = rank
            found.append(rank)
        return found


def _seconds_until(at: float | None) -> float | None:
    """Return the seconds from now, which another process can count from its own; None for none."""
    return None if at is None else at - time.monotonic()


def asked_anywhere(stop: StopRequest, company: Company) -> bool:
    """Return whether someone asked this process to stop, or one that advances arms beside it."""
    if stop.signal_number is not None:
        company.tell_stop(stop.signal_number)
    else:
        stop.signal_number = company.told_stop()
    return stop()


def crew_of(
    company: Company, dataset: Dataset, decisions: Decisions, message: Mapping[str, Any]
) -> Crew:
    """In a worker: return the arms of a search that the main process has told of.

    Args:
        company: The processes.
        dataset: The same as the main process's.
        decisions: What that has settled.
        message: What all arms share: ``asked``, ``limit``, ``spent``, ``state``, ``open_options``.
    """
    names = {field.name for field in fields(CommonOptions)}
    asked = {name: value for name, value in message["asked"].items() if name in names}
    context = SearchContext(
        dataset=dataset,
        asked=CommonOptions(**asked),
        device=company.device,
        budget=Budget(message["limit"], message["spent"]),
        deadline=None,
        decisions=decisions,
        state=Path(message["state"]),
        texts=text_cache(dataset, Budget(None), seed=asked["seed"], decisions=decisions),
        open_options=frozenset(message["open_options"]),
    )
    prices = Prices(context)
    prices.val_limit = decisions.settle(VAL_ITEMS, lambda: Decided(None))
    return Crew(context, prices, company)
