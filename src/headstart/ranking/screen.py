"""Screen candidate starts on a sample: a quick score each, and what a pass costs.

A pretrained or linear start is scored by a linear probe on its frozen features; a start from
scratch has no features worth probing, so it is scored by a short real training. Scores are the
task's headline figure on the same validation samples, with intervals. Deliberately simple: no
prior, no successive halving. The seam to a fuller search is ``screen``: data and starts in, scored
candidates out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from headstart.errors import (
    DeviceError,
    DivergenceError,
    HeadstartError,
    OptionError,
    StartError,
)
from headstart.events import emit, retold
from headstart.model import model_outputs
from headstart.ranking.moving import Moving, only_moves
from headstart.starts.candidates import candidate_starts
from headstart.starts.lora import check_adaptable
from headstart.tasks import find_task
from headstart.training.machine.memory import is_out_of_memory
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.strategies import (
    AUTO,
    FULL,
    HEAD,
    Strategy,
    check_strategy,
    default_strategy,
    find_strategy,
)
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import SHARES, STEP_PASSES, Budget, told_seconds
from headstart.tuning.conditions import Conditions
from headstart.tuning.cut_off import cut_off
from headstart.tuning.fitting import fitting_setup, train_limit
from headstart.tuning.setup import TrainingSetup, install, prepare_sample
from headstart.tuning.solving import probe, solver_of
from headstart.tuning.texts import TextCache
from headstart.tuning.tune import tune
from headstart.types import SOLVED, Dataset, Figure, Inputs, Rows, Start

_SHORT_SECONDS = 300.0  # a budget below: one pretrained start, and the quickest before it
_MAX_VAL = 1_000
_SCRATCH_WEIGHT = 2.0
_MIN_STEPS = 20
_WORTH_SECONDS = 2.0  # of the share that is left, for another look
_MOST_ROW_SECONDS = 600.0
# The library of the first network, on one idle core, building it twice, and features of the first
# few hundred samples: timm alone takes three, and 500 digits through the smallest start five more.
_OPENING_SECONDS = 5.0
_LEAST_LEFT = 2.0  # seconds, on one idle core: figures alone take more
_LEAST_WORKED = 0.05  # seconds of work by which the load of the machine is told


@dataclass(frozen=True)
class Candidate:
    """A start with its quick score.

    Attributes:
        start: The start.
        size: Side of the network input in pixels; None where samples are no images.
        strategy: Name of how it would be fine-tuned.
        metric: What the score is: the task's headline figure.
        score: That figure on the validation sample, or NaN where it was not tried.
        seconds_per_sample: One forward pass, or NaN where nobody measured it.
        seconds: What screening it took.
        note: What a reader should know: lower resolution, fewer samples, why it was left out.
    """

    start: Start
    size: int | None
    strategy: str
    metric: str
    score: Figure
    seconds_per_sample: float
    seconds: float
    note: str


def default_starts(dataset: Dataset, budget_seconds: float | None) -> list[Start]:
    """Return the candidates that need no network, in the order in which they are tried.

    The quickest comes first, so that a model can be used early. From a budget of five minutes on
    those come first that a head is solved for: a training of moments would take half a minute.

    Images: a small quick network from scratch; the smallest pretrained start that is on this
    machine, the three smallest from a budget of five minutes on; and the same network with twice
    its channels.
    Texts: TF-IDF, then the pretrained starts on this machine, or a small BERT from scratch where
    there is none. Tables: the linear model, boosted trees, a forest and the MLP.
    """
    is_short = budget_seconds is not None and budget_seconds < _SHORT_SECONDS
    found = candidate_starts(dataset, num_local=1 if is_short else 3)
    return found if is_short else sorted(found, key=_is_trained)


def _is_trained(start: Start) -> bool:
    """Return whether a look at a start takes steps: random weights have no head to solve for."""
    strategy = default_strategy(start)[0]
    return strategy.loops and not strategy.probes


def screen(
    dataset: Dataset,
    starts: list[Start],
    *,
    budget: Budget,
    seconds: float,
    asked: CommonOptions,
    device: torch.device,
    on_made: Callable[[TrainingSetup, Inputs, Rows, bool], None],
    texts: TextCache | None = None,
) -> list[Candidate]:
    """Score candidates within a share of the budget, the best first.

    Args:
        dataset: Its test split is never touched.
        starts: The candidates, tried in this order; what does not fit is left out, and says so.
        budget: The budget.
        seconds: What screening may take; of rows of a table its own share, if that is more.
        asked: What the user said: the seed, and what is seen of an image.
        device: Where to run.
        on_made: Called with every usable model, its validation inputs, their logits, and whether
            it beats those before it: a usable model exists early. What is made of rows has learned
            from all of train.
        texts: What the run keeps of its texts; what is learned and prepared here stays in it.

    Returns:
        The best first. Where all were too slow to be scored within the share, the quickest of those
        that the whole budget can train comes first, without a score.

    Raises:
        StartError: If no candidate could be tried.
    """
    if dataset.schema.facts.is_prepared_at_once:
        # what is grown or solved for here is no sample of the work, but the whole of it
        seconds = min(max(seconds, budget.may_take("screened rows")), _MOST_ROW_SECONDS)
    until = budget.spent + seconds
    task = find_task(dataset.schema.task)
    metric = task.headline
    sign = 1.0 if task.figures[metric].is_higher_better else -1.0
    found: list[Candidate] = []
    opening = _Opening()
    best = float("-inf")

    def is_possible() -> bool:
        """Return whether there is something to hand over, or to train with what is left."""
        return best > float("-inf") or any(map(_is_slow, found))

    def attempt(start: Start, place: int, allowance: float) -> Candidate:
        nonlocal best
        most, at = max(allowance, SHARES["opening"].share * max(0.0, budget.left)), None
        if is_possible() and budget.limit_seconds is not None:
            at = time.monotonic() + most  # there is another: this one may not cost it the rest
        too_long = StartError(f"it took longer than {told_seconds(most)} here.")
        try:
            moving = Moving(start, place, len(starts), allowance)
            with cut_off(at, lambda: too_long), retold(moving):
                candidate, setup, val, logits = try_start(
                    dataset, start, budget, allowance, asked=asked, device=device, texts=texts
                )
        except (StartError, DivergenceError, DeviceError, RuntimeError, MemoryError) as error:
            return _refused(start, metric, error)
        is_better = sign * candidate.score.value > best
        best = max(best, sign * candidate.score.value)
        on_made(setup, val, logits, is_better)
        return candidate

    for index, start in enumerate(starts):
        # what is trained needs more time to show what it can than what is only probed
        weights = [1.0 if s.pretrained_on else _SCRATCH_WEIGHT for s in starts[index:]]
        allowance = max(1.0, until - budget.spent) * weights[0] / sum(weights)
        emit("task", name="screening", done=index, total=len(starts), start=start.address)
        # while none can be used the next is tried all the same: without one there is no run
        if best > float("-inf") and budget.spent > until - 1.0:
            why = "left out: screening's share of the budget is spent"
            found.append(_left_out(start, metric, why))
        elif index > 0 and best == float("-inf") and budget.left < _LEAST_LEFT * budget.load:
            # nothing can be made and evaluated any more; to look on would only end later
            found.append(_left_out(start, metric, "left out: the whole budget is spent"))
        elif is_possible() and (long := opening.refusal(start, budget)):
            found.append(_left_out(start, metric, long))
        else:
            found.append(attempt(start, index, allowance))
            opening.note(start)
    slow = [place for place, one in enumerate(found) if _is_slow(one)]
    for place in sorted(slow, key=lambda place: found[place].seconds_per_sample):
        # what the others have left may be enough for one that was too slow for its part
        if until - budget.spent > _WORTH_SECONDS:
            found[place] = attempt(found[place].start, len(starts) - 1, until - budget.spent)
    emit("task", name="screening", done=len(starts), total=len(starts))
    if not is_possible():
        raise _none_tried(found)
    return sorted(found, key=lambda one: _order(one, sign))


def _none_tried(found: Sequence[Candidate]) -> StartError:
    """Return the error of a screening that leaves nothing to train."""
    notes = "; ".join(f"{c.start.address} {c.note.rstrip('.')}" for c in found)
    return StartError(
        f"None of {len(found)} starts could be tried: {notes}. Raise --budget, or name others "
        f"with --starts."
    )


class _Opening:
    """What the first network of its kind takes before its first figure: its library is read.

    That nobody has measured when it begins: on a machine whose cores are taken by others it once
    took eleven seconds of twenty, and 23 of sixty. Random weights and pretrained ones are two
    kinds: the quick networks from scratch need no library.
    """

    def __init__(self) -> None:
        self._began, self._worked = time.monotonic(), time.process_time()
        self._paid = set[bool]()

    def refusal(self, start: Start, budget: Budget) -> str | None:
        """Return why a start is left out, once another can be used; None where there is time."""
        if self._is_paid(start):
            return None
        took, worked = time.monotonic() - self._began, time.process_time() - self._worked
        seconds = _OPENING_SECONDS * max(1.0, took / max(worked, _LEAST_WORKED))
        if seconds <= budget.may_take("opening"):
            return None
        return (
            f"left out: a first look at it takes about {told_seconds(seconds)}, and "
            f"{told_seconds(budget.left)} of the budget are left"
        )

    def note(self, start: Start) -> None:
        """Note that a start was tried."""
        if start.family not in SOLVED:
            self._paid.add(start.pretrained_on is not None)

    def _is_paid(self, start: Start) -> bool:
        return start.family in SOLVED or (start.pretrained_on is not None) in self._paid


def _order(one: Candidate, sign: float) -> tuple[float, float]:
    """Return what candidates are ordered by: score, then speed; what cannot be tried is last."""
    score = one.score.value
    return (float("inf") if np.isnan(score) else -sign * score, _seconds(one))


def _seconds(one: Candidate) -> float:
    return one.seconds_per_sample if one.seconds_per_sample > 0 else float("inf")


def _is_slow(one: Candidate) -> bool:
    """Return whether a start has no score because its time was too short, not because it failed."""
    return bool(np.isnan(one.score.value)) and one.seconds_per_sample > 0


def _refused(start: Start, metric: str, error: BaseException) -> Candidate:
    """Return a candidate without a score, and why; what nobody expects is raised again."""
    if isinstance(error, _TooSlowError):
        found = _left_out(start, metric, f"not scored: {error}")
        return replace(found, size=error.size, seconds_per_sample=error.each)
    if not isinstance(error, HeadstartError) and not is_out_of_memory(error):
        raise error
    return _left_out(start, metric, f"left out: {error}")


class _TooSlowError(StartError):
    """A start cannot show in its share of screening what it can; a whole budget may train it."""

    def __init__(self, message: str, size: int | None, seconds_per_sample: float) -> None:
        super().__init__(message)
        self.size, self.each = size, seconds_per_sample


def _left_out(start: Start, metric: str, why: str) -> Candidate:
    nothing = Figure(float("nan"), float("nan"), float("nan"))
    return Candidate(start, None, FULL.name, metric, nothing, float("nan"), 0.0, why)


def try_start(
    dataset: Dataset,
    start: Start,
    budget: Budget,
    allowance: float,
    *,
    asked: CommonOptions,
    device: torch.device,
    texts: TextCache | None,
) -> tuple[Candidate, TrainingSetup, Inputs, Rows]:
    """Score one start within its allowance of seconds."""
    began, seed = time.monotonic(), asked.seed
    strategy, _ = default_strategy(start)
    if asked.strategy != AUTO:
        _check_asked(start, find_strategy(asked.strategy))
    is_probed = strategy.probes
    # what is only probed is set up as what it is for now: a head on frozen features
    options = TrainingOptions(
        strategy=HEAD.name if is_probed else strategy.name,
        framing=asked.framing,
        value_range=asked.value_range,
        imbalance=asked.imbalance,
        seed=seed,
    )
    setup, each, note = fitting_setup(dataset, start, options, budget, device=device, texts=texts)
    if not is_probed:
        _check_pace(setup, each, began + allowance - time.monotonic())
    task = setup.model.task
    num_outputs = setup.model.num_outputs
    wanted = int(np.clip(50 * num_outputs, 1_000, 5_000))
    limit: int | None
    if is_probed:
        affordable = SHARES["screened features"].share * allowance / each
        limit = int(np.clip(affordable, 10 * num_outputs, wanted))
        if setup.preprocess.is_instant:  # rows cost next to nothing: all of them
            limit = len(dataset.train)
    else:
        limit = train_limit(dataset, setup, each, Budget(allowance))
    most = min(_MAX_VAL, limit or _MAX_VAL)
    val = prepare_sample(
        dataset, "val", setup, None if setup.preprocess.is_instant else most, seed=seed
    )
    train = prepare_sample(dataset, "train", setup, limit, seed=seed)
    if is_probed:
        assert limit is not None
        weigh, ends = setup.recipe.imbalance, began + allowance
        fitted = probe(setup, train, val, imbalance=weigh, limit=limit, deadline=ends)
        install(setup.model, fitted)
        logits: Rows = fitted.val_logits
        setup.fitted = fitted if setup.preprocess.is_instant else None
        note = f"{solver_of(setup).source} {len(train):,} samples{note}"
    else:
        with retold(only_moves):
            deadline = began + SHARES["screened training"].share * allowance
            tuned = tune(setup, train, val, Conditions(deadline=deadline))
        logits = tuned.val_logits
        note = f"trained {told_seconds(time.monotonic() - began)}{note}"
    decisions, groups = (
        task.decisions(model_outputs(setup.model, logits)),
        dataset.val.groups_of(val.ids),
    )
    figure = task.headline_figure(decisions, val.targets, groups=groups)
    seconds = time.monotonic() - began
    found = Candidate(start, setup.size, strategy.name, task.headline, figure, each, seconds, note)
    return found, setup, val, logits


def _check_asked(start: Start, strategy: Strategy) -> None:
    """Refuse a start that cannot be tuned as the user asked.

    Raises:
        StartError: Saying why.
    """
    try:
        check_strategy(start, strategy)
    except OptionError as error:
        raise StartError(str(error)) from error
    if strategy.adapters:
        check_adaptable(start)


def _check_pace(setup: TrainingSetup, seconds_per_sample: float, seconds: float) -> None:
    """Refuse a start that cannot take a few steps in the time it has.

    Raises:
        _TooSlowError: Saying how slow it is.
    """
    step_seconds = STEP_PASSES * seconds_per_sample * setup.recipe.batch_size
    if step_seconds * _MIN_STEPS > seconds:
        raise _TooSlowError(
            f"a step takes about {step_seconds:.1f} s, too slow for its {seconds:.0f} s here",
            setup.size,
            seconds_per_sample,
        )
