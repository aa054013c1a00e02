"""Rank starts for some data: what each one's features tell of the target, and what it costs.

Every start reads the same training samples, at its own input size and normalisation, its last
blocks in the same pass; test is never touched, and val only by what is trained for a moment. What
has no features worth reading (random weights) is trained for a moment instead; of the best, and of
those that were pretrained to reconstruct, the last block is. A simple method on the samples
themselves stands beside all as the control. How the scores become one order is ``aggregate``'s.

Several processes share the candidates: candidate i is scored by process i mod their number, and all
of them know what the others have found.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from headstart.errors import StartError
from headstart.evaluation.intervals import normal_interval, wilson
from headstart.events import emit
from headstart.ranking.aggregate import CandidateOrder, aggregate, order_candidates
from headstart.ranking.control import as_scored, control_outcome
from headstart.ranking.last_block import (
    MOST_PROBED,
    block_seconds,
    probe_last_block,
)
from headstart.ranking.prior import Prior, priors
from headstart.ranking.ranked import Control, RankedStart, Ranking
from headstart.ranking.scored import (
    FAILURES,
    TOO_LATE,
    RankingJob,
    Scored,
    build,
    is_reconstructing,
    read,
    score,
    train_a_moment,
)
from headstart.ranking.scores import common_dimension
from headstart.ranking.scores.outcome import is_classes
from headstart.ranking.taps import FEATURES
from headstart.starts.candidates import CANDIDATES
from headstart.tasks import array_of
from headstart.training.contract import StopRequested
from headstart.types import Figure, Start

_EACH_CLASS, _LEAST, _MOST = 50, 1_000, 5_000  # samples that are worth reading
_LEAST_EACH_CLASS = 10
_SHORT_OF_TIME = ("raise --budget", "too slow", TOO_LATE)
_MOMENT_SECONDS = 60.0  # of one start from scratch, however large the budget
_MOMENT_READS, _SHORTEST_MOMENT = 2.0, 2.0  # times the features of a start; seconds
_LEAST_MOMENT = 1.0  # a network that was trained for less shows nothing

T = TypeVar("T")


def rank_starts(job: RankingJob, starts: Sequence[Start]) -> Ranking:
    """Score starts on training samples and return them in order.

    Args:
        job: What is ranked for, and under what; a sample has one target, and no text to write.
        starts: The candidates. One that fails is named with its reason, and the rest go on.

    Raises:
        StartError: If no start could be scored.
        StopRequested: Between two batches or starts, if someone asked to stop.
    """
    began = time.monotonic()
    found = [Scored(start) for start in starts]
    _build(job, found)
    num = _num_samples(job, found)
    _read_and_score(job, found, num)
    known = priors(job.dataset, [one.start for one in found])
    _train(job, found, num)
    _probe_blocks(job, found, known, num)
    if not any(one.outcomes is not None for one in found):
        raise _nothing(job, found)
    control = _control(job, found, num)
    return _ranking(job, found, known, num, control, time.monotonic() - began)


def _own(job: RankingJob, found: Sequence[Scored]) -> Sequence[Scored]:
    """Return the candidates that this process scores."""
    return found[job.company.rank :: job.company.size]


def _exchange(job: RankingJob, found: Sequence[Scored]) -> None:
    """Tell the other processes what was found here, and hear what was found there."""
    size = job.company.size
    if size == 1:
        return
    told = job.company.gather([one.told() for one in _own(job, found)])
    for rank, records in enumerate(told):
        if rank == job.company.rank:
            continue
        for one, record in zip(found[rank::size], records, strict=True):
            one.hear(record)


def _left(job: RankingJob) -> float:
    """Return the seconds until the last score must stand; infinite without a limit."""
    end = job.end
    return math.inf if end is None else end - time.monotonic()


def _until_stopped(items: Sequence[T], stop_requested: Callable[[], bool]) -> Iterator[T]:
    """Yield what there is to do; raise ``StopRequested`` in between, once someone asked to stop."""
    for item in items:
        if stop_requested():
            raise StopRequested
        yield item
    if stop_requested():
        raise StopRequested


def _tell_all(name: str, done: Sequence[Scored]) -> None:
    """Tell that a task has been through all of them."""
    if done:
        emit("task", name=name, done=len(done), total=len(done))


def _build(job: RankingJob, found: Sequence[Scored]) -> None:
    """Build all candidates, as far as their share of the budget goes; the first in any case."""
    own = _own(job, found)
    until = time.monotonic() + job.budget.may_take("ranked starts")
    for place, one in enumerate(_until_stopped(own, job.stop_requested)):
        emit("task", name="building", done=place, total=len(own), start=one.start.address)
        if place > 0 and time.monotonic() > until:
            one.why = "left out: building others took the time; raise --budget"
            continue
        build(job, one)
    _tell_all("building", own)
    _exchange(job, found)


def _num_samples(job: RankingJob, found: Sequence[Scored]) -> int:
    """Return how many training samples all starts read; starts that are too slow are left out."""
    dataset, size = job.dataset, job.company.size
    num_classes = max(1, len(dataset.schema.classes))
    wanted = int(np.clip(_EACH_CLASS * num_classes, _LEAST, _MOST))
    least = min(len(dataset.train), max(100, _LEAST_EACH_CLASS * num_classes))
    wanted = min(wanted, len(dataset.train))
    ready = [one for one in found if one.is_built and one.has_features]
    read = sorted(ready, key=lambda one: one.each)
    seconds = size * job.company.agree_on(lambda: min(1e9, job.budget.may_take("ranked features")))
    while read and sum(one.each for one in read) * least > seconds:
        slowest = read.pop()
        slowest.setup, slowest.is_built = None, False
        slowest.why = (
            f"not scored: {least:,} samples would take {slowest.each * least:.0f} s of the "
            f"{seconds:.0f} s that features may take; raise --budget"
        )
    each = sum(one.each for one in read)
    affordable = wanted if not each else int(seconds / each)
    return int(np.clip(affordable, least, wanted))


def _read_and_score(job: RankingJob, found: Sequence[Scored], num: int) -> None:
    """Read the features of those that have some, and score them."""
    ready = [one for one in _own(job, found) if one.setup is not None and one.has_features]
    # what is read must be scored, too, and some starts are to be trained for a moment
    read_until = None if job.end is None else time.monotonic() + 0.8 * max(0.0, _left(job))
    for place, one in enumerate(_until_stopped(ready, job.stop_requested)):
        emit("task", name="features", done=place, total=len(ready), start=one.start.address)
        read(job, one, num, read_until)
    _tell_all("features", ready)
    _exchange(job, found)
    widths = [one.width for one in found if one.width]
    for one in _until_stopped(ready, job.stop_requested):
        if one.taps is not None:
            score(job, one, common_dimension(num, widths))
    _exchange(job, found)


def _train(job: RankingJob, found: Sequence[Scored], num: int) -> None:
    """Train for a moment what has no features; each gets a part of what training may take."""
    left = [one for one in _own(job, found) if one.setup is not None and not one.has_features]
    longest = _moment(found, num)
    for place, one in enumerate(_until_stopped(left, job.stop_requested)):
        most = min(job.budget.may_take("ranked training"), max(0.0, _left(job)))
        seconds = min(most / (len(left) - place), longest)
        emit("task", name="training for a moment", done=place, total=len(left))
        if seconds < _LEAST_MOMENT:
            one.setup = None
            one.why = "not scored: no time was left to train it for a moment; raise --budget"
            continue
        train_a_moment(job, one, seconds)
    _tell_all("training for a moment", left)
    _exchange(job, found)


def _moment(found: Sequence[Scored], num: int) -> float:
    """Return the longest moment that a start is trained for: as long as others have taken to read.

    A start from scratch on large images takes longer than all that are read, and says no more.
    """
    each = [one.each for one in found if one.width and math.isfinite(one.each)]
    if not each:
        return _MOMENT_SECONDS
    return min(_MOMENT_SECONDS, max(_SHORTEST_MOMENT, _MOMENT_READS * num * sum(each) / len(each)))


def _probe_blocks(
    job: RankingJob, found: Sequence[Scored], known: Sequence[Prior], num: int
) -> None:
    """Train the last block of the best, and of those pretrained to reconstruct, if time allows."""
    scored = [one for one in found if one.scores is not None]
    if len(scored) < 2:
        return
    base = aggregate(_columns(scored, [known[found.index(one)] for one in scored]))
    order = [scored[int(place)] for place in np.argsort(-base, kind="stable")]
    chosen = [
        one
        for place, one in enumerate(order)
        if one.start.pretrained_on is not None
        and (place < MOST_PROBED or is_reconstructing(one.start))
    ]
    seconds = job.company.agree_on(
        lambda: min(1e9, job.budget.may_take("ranked blocks"), max(0.0, _left(job)))
    )
    seconds *= job.company.size
    while len(chosen) > 1 and sum(block_seconds(one, num) for one in chosen) > seconds:
        chosen.pop()  # the last one; where not even two fit, nothing is compared
    if len(chosen) < 2 or sum(block_seconds(one, num) for one in chosen) > seconds:
        return
    own = [one for one in _own(job, found) if any(one is other for other in chosen)]
    for place, one in enumerate(_until_stopped(own, job.stop_requested)):
        emit("task", name="last blocks", done=place, total=len(own), start=one.start.address)
        probe_last_block(job, one, num, max(0.0, _left(job)) / (len(own) - place))
    _exchange(job, found)


def _control(job: RankingJob, found: Sequence[Scored], num: int) -> Control | None:
    """Return what a simple method reads from the samples themselves; None where it fails."""
    plain = CANDIDATES[job.dataset.schema.modality].plain
    for one in found:
        if one.start.address == plain and one.outcomes is not None:
            return Control(one.start.address, interval_of(one.outcomes))
    emit("task", name="control", done=0, total=1)
    try:
        with job.in_time():
            name, outcome = control_outcome(job.dataset, num, asked=job.asked, texts=job.texts)
    except FAILURES as error:
        emit("note", text=f"There is no control beside the starts: {error}")
        return None
    return Control(name, interval_of(outcome.outcomes))


def _columns(scored: Sequence[Scored], known: Sequence[Prior]) -> dict[str, np.ndarray]:
    """Return the values that the order is made of, higher is better."""
    outcomes = [one.outcomes for one in scored if one.outcomes is not None]
    return {
        "head": np.array([each.mean() for each in outcomes]),
        "ridge": np.array([one.ridge for one in scored]),
        "neighbours": np.array([one.neighbours for one in scored]),
        "collapse": np.array([-one.collapse for one in scored]),
        "prior": np.array([one.value for one in known]),
    }


def _ranking(
    job: RankingJob,
    found: list[Scored],
    known: list[Prior],
    num: int,
    control: Control | None,
    seconds: float,
) -> Ranking:
    """Bring what was found into order."""
    at = [place for place, one in enumerate(found) if one.outcomes is not None]
    scored, prior = [found[place] for place in at], [known[place] for place in at]
    outcomes = [one.outcomes for one in scored if one.outcomes is not None]
    blocks = np.array([one.block for one in scored])
    order = order_candidates(_columns(scored, prior), outcomes, blocks=blocks)
    rows = [
        _row(scored[p], prior[p], rank + 1, order, int(p)) for rank, p in enumerate(order.places)
    ]
    rows += [
        _row(one, known[place], None, order, -1)
        for place, one in enumerate(found)
        if one.outcomes is None
    ]
    is_accuracy = is_classes(as_scored(array_of(job.dataset.train.targets)))
    return Ranking(
        tuple(rows),
        tuple(row.start.address for row in rows[: order.shortlist]),
        "accuracy" if is_accuracy else "explained variance",
        num,
        Figure(order.regret, 0.0, order.regret_high),
        seconds,
        control,
    )


def _row(
    one: Scored, prior: Prior, place: int | None, order: CandidateOrder, index: int
) -> RankedStart:
    """Return the record of a candidate."""
    scores, nothing = one.scores, float("nan")
    figure = Figure(nothing, nothing, nothing)
    if one.outcomes is not None:
        figure = interval_of(one.outcomes)
    kind = "not scored" if place is None else "features" if scores else "trained"
    return RankedStart(
        start=one.start,
        place=place,
        kind=kind,
        figure=figure,
        ridge=one.ridge,
        neighbours=one.neighbours,
        collapse=one.collapse,
        block=one.block,
        prior=prior.value,
        log_evidence=scores.evidence if scores else nothing,
        h_score=scores.h_score if scores else nothing,
        tap=scores.tap if scores else "",
        size=one.size,
        milliseconds=1000 * one.each,
        step_bytes=one.step_bytes,
        minutes=one.minutes,
        best_chance=float(order.best_chance[index]) if index >= 0 else nothing,
        why=_reason(one, prior),
    )


def interval_of(outcomes: np.ndarray) -> Figure:
    """Return the mean of outcomes with its 95 % interval: Wilson's where each is right or wrong."""
    num, value = len(outcomes), float(outcomes.mean())
    if np.isin(outcomes, (0, 1)).all():
        return wilson(float(outcomes.sum()), num)
    return normal_interval(value, float(outcomes.std()) / math.sqrt(num))


def _reason(one: Scored, prior: Prior) -> str:
    """Return what its scores say, in words."""
    scores, parts = one.scores, []
    if scores is not None and one.outcomes is not None:
        parts.append(f"ridge regression {scores.head.value:.3f}")
        if scores.tap != FEATURES:
            parts.append(f"best read at {scores.tap}, {scores.ridge.value:.3f}")
        parts.append(f"{scores.neighbours.setting:.0f} nearest {scores.neighbours.value:.3f}")
        if math.isfinite(one.block):
            parts.append(f"last block trained {one.block:.3f}")
    parts += [one.why] if one.why else []
    if one.outcomes is not None and prior.told:
        parts.append(prior.told)
    return "; ".join(parts)


def _nothing(job: RankingJob, found: Sequence[Scored]) -> StartError:
    """Return the error of a ranking in which no start was scored: what it would have taken."""
    notes = "; ".join(f"{one.start.address}: {one.why.rstrip('.')}" for one in found)
    told = f"None of {len(found)} starts could be scored: {notes}."
    if not any(word in one.why for one in found for word in _SHORT_OF_TIME):
        modality = job.dataset.schema.modality
        return StartError(
            f"{told} Name others with --starts; 'headstart starts --modality {modality}' lists "
            f"those that fit."
        )
    return StartError(f"{told} {_enough(job, found)}")


def _enough(job: RankingJob, found: Sequence[Scored]) -> str:
    """Return the smallest budget that scores one start, as far as it is known."""
    num_classes = max(1, len(job.dataset.schema.classes))
    least = min(len(job.dataset.train), max(100, _LEAST_EACH_CLASS * num_classes))
    timed = [one for one in found if math.isfinite(one.each) and one.has_features]
    if not timed or job.budget.limit_seconds is None:
        return "Raise --budget, or name others with --starts."
    # features may take three fifths of what is left after loading and building
    quickest = min(timed, key=lambda one: one.each)
    seconds = job.budget.spent + 1.5 * quickest.each * least / 0.6
    rounded = max(math.ceil(seconds / 5) * 5, int(job.budget.limit_seconds) + 5)
    if "longer than expected" in quickest.why:  # what was measured of it does not hold
        rounded = max(rounded, 2 * math.ceil(job.budget.limit_seconds))
    return (
        f"Give --budget {rounded}s or more, which is enough for '{quickest.start.address}', or "
        f"name others with --starts."
    )
