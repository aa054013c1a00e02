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
from headstart.ranking.late import Opening, SlowStepsError, pace_of_steps
from headstart.ranking.moving import Moving, only_moves
from headstart.starts.candidates import candidate_starts
from headstart.starts.lora import check_adaptable
from headstart.tasks import find_task
from headstart.training.machine.memory import is_out_of_memory
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.strategies import (
    AUTO,
    HEAD,
    Strategy,
    check_strategy,
    default_strategy,
    find_strategy,
)
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import SHARES, Budget, told_seconds
from headstart.tuning.conditions import Conditions
from headstart.tuning.cut_off import cut_off
from headstart.tuning.fitting import TooSlowError, fitting_setup, train_limit
from headstart.tuning.setup import TrainingSetup, install, prepare_sample
from headstart.tuning.solving import probe, solver_of
from headstart.tuning.texts import TextCache
from headstart.tuning.tune import tune
from headstart.types import Dataset, Figure, Inputs, Rows, Start

_SHORT_SECONDS = 300.0  # a budget below: one pretrained start, and the quickest before it
_MAX_VAL = 1_000
_SCRATCH_WEIGHT = 2.0
_WORTH_SECONDS = 2.0  # of the share that is left, for another look
_MOST_ROW_SECONDS = 600.0
_LEAST_LEFT = 2.0  # seconds, on one idle core: figures alone take more


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
        is_late: Whether it was left out for want of time alone: with more of it, or in a quieter
            moment, it may be as good as any.
    """

    start: Start
    size: int | None
    strategy: str
    metric: str
    score: Figure
    seconds_per_sample: float
    seconds: float
    note: str
    is_late: bool = False


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
    metric, sign = task.headline, task.figures[task.headline].sign
    found: list[Candidate] = []
    opening = Opening()
    best = float("-inf")

    def is_possible() -> bool:
        """Return whether there is something to hand over, or to train with what is left."""
        return best > float("-inf") or any(map(_is_slow, found))

    def attempt(start: Start, place: int, allowance: float, *, is_last: bool) -> Candidate:
        nonlocal best
        most, at = max(allowance, SHARES["opening"].share * max(0.0, budget.left)), None
        if (is_possible() or not is_last) and budget.limit_seconds is not None:
            at = time.monotonic() + most  # there is another: this one may not cost it the rest
        too_long = TooSlowError(f"it took longer than {told_seconds(most)} here.")
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
        weights = [_SCRATCH_WEIGHT if _is_trained(s) else 1.0 for s in starts[index:]]
        allowance = max(1.0, until - budget.spent) * weights[0] / sum(weights)
        emit("task", name="screening", done=index, total=len(starts), start=start.address)
        # while none can be used the next is tried all the same: without one there is no run
        if best > float("-inf") and budget.spent > until - 1.0:
            why = "left out: screening's share of the budget is spent"
            found.append(_left_out(start, metric, why, is_late=True))
        elif index > 0 and best == float("-inf") and budget.left < _LEAST_LEFT * budget.load:
            # nothing can be made and evaluated any more; to look on would only end later
            why = "left out: the whole budget is spent"
            found.append(_left_out(start, metric, why, is_late=True))
        elif is_possible() and (long := opening.refusal(start, budget)):
            found.append(_left_out(start, metric, long, is_late=True))
        else:
            is_last = index == len(starts) - 1
            found.append(attempt(start, index, allowance, is_last=is_last))
            opening.note(start)
    for place in _late(found):
        start, left = found[place].start, until - budget.spent
        if left > _WORTH_SECONDS and not (is_possible() and opening.refusal(start, budget)):
            found[place] = attempt(start, len(starts) - 1, left, is_last=True)
            opening.note(start)
    emit("task", name="screening", done=len(starts), total=len(starts))
    if not is_possible():
        raise _none_tried(found)
    return sorted(found, key=lambda one: _order(one, sign))


def _late(found: Sequence[Candidate]) -> list[int]:
    """Return the places of those that time alone has left out, the quickest first.

    What the others have left may be enough for one that was too slow for its part, and the moment
    in which it was refused may have been a busy one.
    """
    late = [place for place, one in enumerate(found) if one.is_late]
    return sorted(late, key=lambda place: _seconds(found[place]))


def _none_tried(found: Sequence[Candidate]) -> StartError:
    """Return the error of a screening that leaves nothing to train."""
    notes = "; ".join(f"{c.start.address} {c.note.rstrip('.')}" for c in found)
    return StartError(
        f"None of {len(found)} starts could be tried: {notes}. Raise --budget, or name others "
        f"with --starts."
    )


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
    if isinstance(error, SlowStepsError):
        found = _left_out(start, metric, f"not scored: {error}", is_late=True)
        return replace(found, size=error.size, seconds_per_sample=error.each)
    if not isinstance(error, HeadstartError) and not is_out_of_memory(error):
        raise error
    is_late = isinstance(error, TooSlowError)
    return _left_out(start, metric, f"left out: {error}", is_late=is_late)


def _left_out(start: Start, metric: str, why: str, *, is_late: bool = False) -> Candidate:
    nothing = Figure(float("nan"), float("nan"), float("nan"))
    strategy = default_strategy(start)[0].name
    return Candidate(start, None, strategy, metric, nothing, float("nan"), 0.0, why, is_late)


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
        ends = began + allowance
        each = pace_of_steps(setup, dataset, budget, each, ends - time.monotonic())
    task = setup.model.task
    num_outputs = setup.model.num_outputs
    wanted = int(np.clip(50 * num_outputs, 1_000, 5_000))
    limit: int | None
    if is_probed:
        affordable = SHARES["screened features"].share * allowance / (budget.load * each)
        limit = int(np.clip(affordable, 10 * num_outputs, wanted))
        if setup.preprocess.is_instant:  # rows cost next to nothing: all of them
            limit = len(dataset.train)
    else:
        limit = train_limit(dataset, setup, budget.load * each, Budget(allowance))
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
