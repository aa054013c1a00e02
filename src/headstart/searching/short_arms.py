"""Short trainings side by side where answers are texts, or images and texts find one another.

They choose the start, what learns of it, and at which rate. Starts split texts into tokens of their
own, so that losses are no common measure, and writing val at every rung would take most of a
budget. So each way is trained once, by its whole schedule in as many steps as an equal part of the
time has room for, and judged on the same validation samples: what writes by the bits that it needs
for a byte of each wanted text, what finds answers by how far each is off, what matches by how far
the recall of each image falls short. First the best starts with each strategy, at the family's own
rate; then the other rates of the best of them. Another way than the first is taken only where it
is better beyond noise, item by item.

Left out: rungs, averaged weights, several processes (which is said), and the models themselves:
what is chosen is trained anew in all of the time that is left.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TypedDict

import numpy as np
import torch

from headstart.errors import DivergenceError, HeadstartError, first_line
from headstart.evaluation.intervals import normal_interval
from headstart.events import emit, unheard
from headstart.model import Model, model_outputs
from headstart.starts import find_start
from headstart.tasks import find_task
from headstart.training.contract import StopRequested
from headstart.training.options.defaults import AROUND, defaults_for
from headstart.training.options.recipe import with_length
from headstart.training.options.strategies import (
    AUTO,
    LAST_N,
    LORA,
    own_strategy,
)
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.arm import Arm
from headstart.tuning.budget import SHARES, STEP_PASSES, Budget, told_seconds
from headstart.tuning.conditions import Conditions
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.cut_off import cut_off
from headstart.tuning.decisions import Decided, Decisions
from headstart.tuning.fitting import TooSlowError
from headstart.tuning.planning import plan_tuning
from headstart.tuning.setup import prepare_sample, set_up
from headstart.tuning.texts import TextCache
from headstart.types import Dataset, Inputs, Rows

Row = dict[str, object]

WAY = "way"  # the decision: what is trained to its end
MOST_STARTS = 2  # of those that screening has scored, the best first
_SURE = 2.0  # standard errors by which another way than the first must be better
_FEWEST_STEPS = 20  # of a short training; fewer say nothing
_LEAST_SECONDS = 3.0  # of a way: in less nothing is even built
_SAMPLES = 200  # of val
_SPARE = 0.7  # of a way's time for its steps: it is built, prepares and is judged, too
_LATEST = 1.25  # times its time, when a way is cut off: what is built and judged asks no clock


@dataclass(frozen=True)
class TuningWay:
    """A way of tuning.

    Attributes:
        start: Address of its start.
        strategy: What learns.
        factor: Its learning rate, as a multiple of the family's own.
    """

    start: str
    strategy: str
    factor: float = 1.0

    @property
    def name(self) -> str:
        """What a person calls it."""
        rate = "" if self.factor == 1 else f", rate × {self.factor:g}"
        return f"{self.start}, {self.strategy}{rate}"


class ChosenWay(TypedDict):
    """What is to be trained, and a row for each way that was tried."""

    start: str
    strategy: str
    learning_rate: float | None
    arms: list[Row]


@dataclass(frozen=True)
class ShortArm:
    """How a way did.

    Attributes:
        way: Which.
        learning_rate: Its rate.
        errors: float64, shape (M,): how far off each validation sample is; empty where there are
            none.
        score: What a person reads of it, with its ends.
        seconds: It took.
        note: Why there are no errors; else the steps taken.
    """

    way: TuningWay
    learning_rate: float
    errors: np.ndarray
    score: tuple[float, float, float]
    seconds: float
    note: str


@dataclass(frozen=True)
class Contest:
    """What all ways share.

    Attributes:
        dataset: The data; its test split is never touched.
        options: What the user said, as every way takes it but for strategy and rate.
        budget: Of the run.
        device: Where to train.
        texts: What the run keeps of its texts.
        decisions: Of the run; what a way settles for itself binds nobody after it.
        stop_requested: Whether someone asked to stop.
    """

    dataset: Dataset
    options: TrainingOptions
    budget: Budget
    device: torch.device
    texts: TextCache | None
    decisions: Decisions
    stop_requested: Callable[[], bool]


def choose_way(contest: Contest, ranked: Sequence[str], *, num_processes: int = 1) -> ChosenWay:
    """Settle what is trained: the start, what learns of it, and its rate.

    Args:
        contest: What all share.
        ranked: Addresses that screening has scored, the best first.
        num_processes: That train together.

    Raises:
        StopRequested: If someone asked to stop.
    """

    def decide() -> Decided[ChosenWay]:
        first = TuningWay(ranked[0], _strategies(contest, ranked[0])[0])
        if num_processes > 1:
            why = f"{num_processes} processes train together, and ways are tried by one alone"
            return _decided(first, None, [], why)
        return _hold(contest, first, ranked[:MOST_STARTS])

    return contest.decisions.settle(WAY, decide)


def _decided(way: TuningWay, rate: float | None, arms: list[Row], why: str) -> Decided[ChosenWay]:
    chosen: ChosenWay = {
        "start": way.start,
        "strategy": way.strategy,
        "learning_rate": None if way.factor == 1 else rate,
        "arms": arms,
    }
    return Decided(chosen, why, way.name)


def _strategies(contest: Contest, address: str) -> list[str]:
    """Return what may learn of a start, its own first; what the user said alone."""
    start = find_start(address)
    if contest.options.strategy != AUTO:
        return [contest.options.strategy]
    is_adaptable = start.pretrained_on is not None and find_spec("peft") is not None
    adapted = [LORA.name] if is_adaptable else []
    matches = find_task(contest.dataset.schema.task).matches_texts
    # the projections alone are the quickest to learn
    frozen = [LAST_N.name] if matches and start.pretrained_on else []
    return [own_strategy(start, matches_texts=matches).name, *frozen, *adapted]


def _hold(contest: Contest, first: TuningWay, addresses: Sequence[str]) -> Decided[ChosenWay]:
    """Try the ways that there is time for, and choose."""
    ways = [TuningWay(a, s) for a in addresses for s in _strategies(contest, a)]
    num = len(ways) + len(_other_rates(first))
    seconds = _seconds(contest, first) / max(1, num)
    if num < 2 or seconds < _LEAST_SECONDS:
        return _decided(first, None, [], "")
    emit("stage", text=f"Trying {num} ways of tuning, {seconds:.0f} s each")
    tried = [_try(contest, ways[0], seconds)]
    if not len(tried[0].errors):
        why = f"the best of the screening; no other was tried: {tried[0].note}"
        return _decided(first, None, _rows(tried), why)
    tried += [_try(contest, way, seconds) for way in ways[1:]]
    best = _best(tried)
    rates = [_try(contest, replace(best.way, factor=f), seconds) for f in _other_rates(best.way)]
    best = _best([best, *rates])
    tried += rates
    rows = _rows(tried)
    _show(rows)
    is_first = best is tried[0]
    scored = [one for one in tried if len(one.errors)]
    failed = f" ({len(tried) - len(scored)} more could not be scored)"
    why = f"of {len(scored)} ways in short trainings{failed if scored != tried else ''} " + (
        "none is better on val beyond noise than the best of the screening"
        if is_first
        else f"the best on val, {_metric(contest)} {best.score[0]:.3f}; of the best of the "
        f"screening {tried[0].score[0]:.3f}"
    )
    return _decided(best.way, best.learning_rate, rows, why)


def _other_rates(way: TuningWay) -> list[float]:
    """Return what rates are tried beside the family's own: its grid, or a third and threefold."""
    grid = defaults_for(find_start(way.start)).grid or AROUND
    return [factor for factor in grid if factor != 1]


def _seconds(contest: Contest, first: TuningWay) -> float:
    """Return the seconds that all ways together may take; nothing where the clock sets no limit."""
    budget = contest.budget
    if budget.limit_seconds is None:
        return 0.0
    setup = set_up(
        contest.dataset,
        find_start(first.start),
        replace(contest.options, strategy=first.strategy),
        device=contest.device,
        texts=contest.texts,
    )
    plan = plan_tuning(contest.dataset, setup, budget)
    reserve = min(plan.seconds("conclusion"), budget.may_take("conclusion"))
    return SHARES["rungs"].share * max(0.0, budget.left - reserve - plan.seconds("estimates"))


def _try(contest: Contest, way: TuningWay, seconds: float) -> ShortArm:
    """Train a way for a while; what fails says why.

    Raises:
        StopRequested: If someone asked to stop.
    """
    began, most = time.monotonic(), _LATEST * seconds
    too_long = TooSlowError(f"it was not judged after {told_seconds(most)}")
    try:
        with unheard(), cut_off(began + most, lambda: too_long):
            return _trained(contest, way, seconds)
    except DivergenceError:
        note = "the loss stopped being a number"
    except HeadstartError as error:
        note = first_line(error)
    return _untold(way, math.nan, note, time.monotonic() - began)


def _untold(way: TuningWay, rate: float, note: str, seconds: float) -> ShortArm:
    """Return a way of which nothing is known."""
    return ShortArm(way, rate, np.empty(0), (math.nan, math.nan, math.nan), seconds, note)


def _trained(contest: Contest, way: TuningWay, seconds: float) -> ShortArm:
    """Train a way for a while, and judge it.

    Raises:
        StopRequested: If someone asked to stop.
        HeadstartError: If it cannot be built or trained.
    """
    began, dataset = time.monotonic(), contest.dataset
    options = replace(contest.options, strategy=way.strategy)
    start = find_start(way.start)
    setup = set_up(dataset, start, options, device=contest.device, texts=contest.texts)
    recipe = setup.recipe
    rate = recipe.learning_rate * way.factor
    each = contest.budget.load * seconds_per_sample(setup, dataset, contest.budget)
    planned, _ = recipe.length(len(dataset.train))
    room = _SPARE * seconds / max(1e-9, STEP_PASSES * each * recipe.batch_size)
    num_steps = min(planned, int(room))
    if num_steps < _FEWEST_STEPS:
        few = f"{seconds:.0f} s have room for {num_steps} steps, and fewer than {_FEWEST_STEPS} say"
        return _untold(way, rate, f"{few} nothing", time.monotonic() - began)
    setup.recipe = with_length(replace(recipe, learning_rate=rate), num_steps)
    train = prepare_sample(dataset, "train", setup, num_steps * recipe.batch_size, seed=recipe.seed)
    val = prepare_sample(dataset, "val", setup, _SAMPLES, seed=recipe.seed)
    conditions = Conditions(
        deadline=began + seconds,
        seconds_per_sample=each,
        stop_requested=contest.stop_requested,
        decisions=contest.decisions.apart(),
        keeps_last=True,
    )
    arm = Arm(setup, train, val, conditions)
    arm.start()
    arm.advance()
    tuned = arm.finish()
    if tuned.result is not None and tuned.result.ended == "interrupted":
        raise StopRequested
    errors, score = judged_items(setup.model, tuned.val_logits, val)
    took = tuned.result.state.step if tuned.result else 0
    return ShortArm(way, rate, errors, score, time.monotonic() - began, f"{took:,} steps")


def judged_items(
    model: Model, logits: Rows, val: Inputs
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Return how far off each validation sample is, and what a person reads of all of them."""
    task = model.task
    if task.tells_texts:
        bits = np.asarray(logits)["loss"] / math.log(2)
        sizes = [len(str(text).encode()) for text in np.asarray(val.targets)]
        errors = bits / max(1.0, float(np.mean(sizes)))
    else:
        decided = task.decisions(model_outputs(model, logits))
        errors = task.item_errors(decided, val.targets)
    spread = float(errors.std() / max(1, len(errors) - 1) ** 0.5)
    found = normal_interval(float(errors.mean()), spread, lowest=0.0)
    return errors, (found.value, found.low, found.high)


def _best(tried: Sequence[ShortArm]) -> ShortArm:
    """Return the way to go by: the first, unless another is better beyond noise."""
    best, gain = tried[0], 0.0
    for other in tried[1:]:
        if len(other.errors) != len(tried[0].errors):
            continue
        gains = tried[0].errors - other.errors
        error = float(gains.std() / max(1, len(gains) - 1) ** 0.5)
        mean = float(gains.mean())
        if math.isfinite(mean) and mean > _SURE * error and mean > gain:
            best, gain = other, mean
    return best


def _metric(contest: Contest) -> str:
    """Return what ways are judged by."""
    is_written = find_task(contest.dataset.schema.task).tells_texts
    return "bits a byte" if is_written else "error"


def _rows(tried: Sequence[ShortArm]) -> list[Row]:
    """Return the ways as ``options.json`` keeps them."""
    rows: list[Row] = []
    for one in tried:
        value, low, high = (None if math.isnan(end) else end for end in one.score)
        rows.append(
            {
                "arm": one.way.name,
                "start": one.way.start,
                "strategy": one.way.strategy,
                "learning_rate": None if math.isnan(one.learning_rate) else one.learning_rate,
                "score": value,
                "low": low,
                "high": high,
                "seconds": round(one.seconds, 2),
                "note": one.note,
            }
        )
    return rows


def _show(rows: Sequence[Row]) -> None:
    """Tell the ways as a table."""
    shown = []
    for row in rows:
        ends = [row["score"], row["low"], row["high"]]
        told = ["" if end is None else f"{end:.3f}" for end in ends]
        interval = f"{told[1]} … {told[2]}" if told[0] else ""
        shown.append([str(row["arm"]), told[0], interval, str(row["seconds"]), str(row["note"])])
    emit(
        "table",
        title="Ways of tuning, on val after a short training; less is better",
        columns=["way", "score", "95 % interval", "seconds", "note"],
        rows=shown,
    )
