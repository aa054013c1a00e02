"""Rank starts for some data: what each one's features tell of the target, and what it costs.

Every start reads the same training samples, at its own input size and normalisation, all blocks in
one pass; test is never touched, and val only by what is trained for a moment. What has no features
worth reading (random weights) is trained for a moment instead. TF-IDF and the linear model stand
beside the starts of texts and tables as the control. How the scores become one order is
``aggregate``'s.

Left out: a control for images. A start is scored as it stands, and networks that were pretrained to
reconstruct (MAE) gain more from fine-tuning than their features show.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from headstart.errors import DataError, HeadstartError, StartError
from headstart.evaluation.intervals import wilson
from headstart.events import emit, unheard
from headstart.ranking.aggregate import CandidateOrder, order_candidates
from headstart.ranking.ranked import RankedStart, Ranking
from headstart.ranking.scores import common_dimension
from headstart.ranking.scores.outcome import is_classes, outcomes_of
from headstart.ranking.scoring import FeatureScores, score_taps
from headstart.ranking.screen import try_start
from headstart.ranking.taps import FEATURES, tapped_features
from headstart.tasks import array_of
from headstart.tensors import to_tensors
from headstart.training.contract import StopRequested, never
from headstart.training.machine.footprint import measure_forward
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.strategies import default_strategy
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import STEP_PASSES, Budget
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.fitting import largest_useful_size
from headstart.tuning.memory import ENOUGH_BYTES, learning_bytes
from headstart.tuning.setup import TrainingSetup, prepare_sample, set_up
from headstart.tuning.texts import TextCache
from headstart.types import GROWN, SOLVED, Dataset, Figure, Ragged, Start

_EACH_CLASS, _LEAST, _MOST = 50, 1_000, 5_000  # samples that are worth reading
_LEAST_EACH_CLASS = 10
_NORMAL = 1.96
_MOMENT_SECONDS = 60.0  # of one start from scratch, however large the budget

T = TypeVar("T")


@dataclass
class _Scored:
    """What was found of one candidate on the way.

    Attributes:
        start: The start.
        setup: Its model; None once it has been read, or where it could not be built.
        each: Seconds a sample; NaN where nobody measured it.
        taps: Features by tap, until all candidates have some.
        targets: Of the samples that were read.
        groups: Of these, or None.
        scores: Of the features.
        outcomes: A sample's share of the figure, shape (N,).
        minutes: What fine-tuning takes.
        step_bytes: Memory of a step.
        size: Side of the input.
        why: What a reader should know.
    """

    start: Start
    setup: TrainingSetup | None = None
    each: float = float("nan")
    taps: dict[str, np.ndarray] | None = None
    targets: np.ndarray | None = None
    groups: np.ndarray | None = None
    scores: FeatureScores | None = None
    outcomes: np.ndarray | None = None
    minutes: float = float("nan")
    step_bytes: int | None = None
    size: int | None = None
    why: str = ""

    @property
    def has_features(self) -> bool:
        """Whether its features tell something before it has learned."""
        start = self.start
        if start.family in GROWN:
            return False
        return start.pretrained_on is not None or not default_strategy(start)[0].loops


def rank_starts(
    dataset: Dataset,
    starts: Sequence[Start],
    *,
    budget: Budget,
    asked: CommonOptions,
    device: torch.device,
    texts: TextCache | None = None,
    stop_requested: Callable[[], bool] = never,
) -> Ranking:
    """Score starts on training samples and return them in order.

    Args:
        dataset: Its test split is never touched.
        starts: The candidates. One that fails is named with its reason, and the rest go on.
        budget: What all of it may take.
        asked: What the user said: the seed, and what is seen of an image.
        device: Where to run.
        texts: What the run keeps of its texts.
        stop_requested: Whether someone asked to stop.

    Raises:
        StartError: If no start could be scored.
        StopRequested: Between two batches or starts, if someone asked to stop.
    """
    began = time.monotonic()
    if isinstance(dataset.train.targets, Ragged):
        raise DataError(
            f"{dataset.name} has a target for each part of a sample; expected one a sample, which "
            f"is what starts are ranked by. Name a start to finetune."
        )
    found: list[_Scored] = []
    for place, start in enumerate(_until_stopped(starts, stop_requested)):
        emit("task", name="building", done=place, total=len(starts), start=start.address)
        is_late = bool(found) and budget.spent > budget.may_take("ranked starts")
        late = _Scored(start, why="left out: building others took the time; raise --budget")
        found.append(late if is_late else _built(dataset, start, budget, asked, device, texts))
    num = _num_samples(dataset, found, budget)
    ready = [one for one in found if one.setup is not None and one.has_features]
    for place, one in enumerate(ready):
        emit("task", name="features", done=place, total=len(ready), start=one.start.address)
        _read(dataset, one, num, asked.seed, stop_requested)
    widths = [one.taps[FEATURES].shape[1] for one in ready if one.taps is not None]
    for one in _until_stopped(ready, stop_requested):
        if one.taps is not None:
            _score(one, common_dimension(num, widths), asked.seed)
    _train(dataset, found, budget, asked, device, texts, stop_requested)
    if not any(one.outcomes is not None for one in found):
        notes = "; ".join(f"{one.start.address}: {one.why.rstrip('.')}" for one in found)
        raise StartError(
            f"None of {len(found)} starts could be scored: {notes}. Raise --budget, or name others "
            f"with --starts."
        )
    return _ranking(dataset, found, num, time.monotonic() - began)


def _until_stopped(items: Sequence[T], stop_requested: Callable[[], bool]) -> Iterator[T]:
    """Yield what there is to do; raise ``StopRequested`` in between, once someone asked to stop."""
    for item in items:
        if stop_requested():
            raise StopRequested
        yield item
    if stop_requested():
        raise StopRequested


def _built(
    dataset: Dataset,
    start: Start,
    budget: Budget,
    asked: CommonOptions,
    device: torch.device,
    texts: TextCache | None,
) -> _Scored:
    """Build a start at its own size and measure what it costs; what fails is said."""
    one, size = _Scored(start), None
    if start.image is not None and start.pretrained_on is not None:
        size = largest_useful_size(dataset, start.image, asked.framing)
    options = TrainingOptions(
        strategy=default_strategy(start)[0].name,
        input_size=size,
        framing=asked.framing,
        value_range=asked.value_range,
        seed=asked.seed,
    )
    try:
        with unheard():
            setup = set_up(dataset, start, options, device=device, texts=texts)
            one.each = seconds_per_sample(setup, dataset, budget)
            one.step_bytes = _step_bytes(dataset, setup)
    except (HeadstartError, RuntimeError, OSError) as error:
        one.why = f"left out: {error}"
        return one
    steps, _ = setup.recipe.length(len(dataset.train))
    one.minutes = STEP_PASSES * steps * setup.recipe.batch_size * one.each / 60
    one.setup, one.size, one.start = setup, setup.size, setup.model.encoder.start
    return one


def _step_bytes(dataset: Dataset, setup: TrainingSetup) -> int | None:
    """Return the memory of a training step in which everything learns, beside the weights."""
    some = prepare_sample(dataset, "train", setup, 2 * len(dataset.schema.classes) + 2, seed=0)
    if setup.model.encoder.start.family in SOLVED:
        return None  # not stepped

    def inputs(num: int) -> tuple[torch.Tensor, ...]:
        return to_tensors(some.arrays(np.zeros(num, np.int64)), setup.model.device)

    with torch.random.fork_rng(devices=[]):
        found = measure_forward(setup.model, inputs, setup.model)
    # a run makes its micro-batches smaller where activations are more than enough
    activations = min(
        found.per_sample * setup.recipe.micro_batch_size, max(ENOUGH_BYTES, 2 * found.per_sample)
    )
    return found.fixed + activations + learning_bytes(setup.model, setup.recipe)


def _num_samples(dataset: Dataset, found: Sequence[_Scored], budget: Budget) -> int:
    """Return how many training samples all starts read; starts that are too slow are left out."""
    num_classes = max(1, len(dataset.schema.classes))
    wanted = int(np.clip(_EACH_CLASS * num_classes, _LEAST, _MOST))
    least = min(len(dataset.train), max(100, _LEAST_EACH_CLASS * num_classes))
    wanted = min(wanted, len(dataset.train))
    read = sorted((o for o in found if o.setup and o.has_features), key=lambda o: o.each)
    seconds = budget.may_take("ranked features")
    while read and math.isfinite(seconds) and sum(o.each for o in read) * least > seconds:
        slowest = read.pop()
        slowest.setup = None
        slowest.why = (
            f"not scored: {least:,} samples would take {slowest.each * least:.0f} s of the "
            f"{seconds:.0f} s that features may take; raise --budget"
        )
    each = sum(o.each for o in read)
    affordable = wanted if not math.isfinite(seconds) or not each else int(seconds / each)
    return int(np.clip(affordable, least, wanted))


def _read(
    dataset: Dataset, one: _Scored, num: int, seed: int, stop_requested: Callable[[], bool]
) -> None:
    """Compute the features of a start; its network is not kept."""
    assert one.setup is not None
    try:
        with unheard():
            inputs = prepare_sample(dataset, "train", one.setup, num, seed=seed)
        one.taps = tapped_features(
            one.setup.model,
            inputs,
            name=f"features of {one.start.address}",
            stop_requested=stop_requested,
        )
    except (HeadstartError, RuntimeError, MemoryError) as error:
        one.why = f"left out: {error}"
        return
    one.targets = _as_scored(array_of(inputs.targets))
    one.groups = dataset.train.groups_of(inputs.ids)
    one.setup = None


def _as_scored(targets: np.ndarray) -> np.ndarray:
    """Return targets as the scores take them: classes whole numbers, the rest floats."""
    return targets if targets.ndim == 1 and targets.dtype.kind == "i" else targets.astype(float)


def _score(one: _Scored, dimension: int, seed: int) -> None:
    """Score the features of a start; these are not kept."""
    assert one.taps is not None
    assert one.targets is not None
    emit("task", name="scores", done=0, total=1, start=one.start.address)
    one.scores = score_taps(
        one.taps, one.targets, dimension=dimension, groups=one.groups, seed=seed
    )
    one.outcomes, one.taps = one.scores.ridge.outcomes, None


def _train(
    dataset: Dataset,
    found: Sequence[_Scored],
    budget: Budget,
    asked: CommonOptions,
    device: torch.device,
    texts: TextCache | None,
    stop_requested: Callable[[], bool],
) -> None:
    """Train for a moment what has no features; each gets a part of what training may take."""
    left = [one for one in found if one.setup is not None and not one.has_features]
    for place, one in enumerate(_until_stopped(left, stop_requested)):
        share = budget.may_take("ranked training") / (len(left) - place)
        seconds = min(share, _MOMENT_SECONDS)
        one.setup = None
        emit("task", name="training for a moment", done=place, total=len(left))
        try:
            candidate, setup, val, logits = try_start(
                dataset, one.start, budget, seconds, asked=asked, device=device, texts=texts
            )
        except (HeadstartError, RuntimeError, MemoryError) as error:
            one.why = f"not scored: {error}"
            continue
        targets = _as_scored(array_of(setup.model.standard_targets(val.targets)))
        values = array_of(logits)
        if targets.ndim > 1:
            values = 1 / (1 + np.exp(-values.astype(np.float64)))
        one.outcomes, one.why = outcomes_of(values, targets), candidate.note


def _ranking(dataset: Dataset, found: list[_Scored], num: int, seconds: float) -> Ranking:
    """Bring what was found into order."""
    scored = [one for one in found if one.outcomes is not None]
    outcomes = [one.outcomes for one in scored if one.outcomes is not None]
    columns = {
        "ridge": np.array([each.mean() for each in outcomes]),
        "neighbours": np.array([_neighbours(one) for one in scored]),
        "collapse": np.array([-_collapse(one) for one in scored]),
        "size": np.array([_log_size(one.start) for one in scored]),
    }
    order = order_candidates(columns, outcomes)
    rows = [_row(scored[p], rank + 1, order, int(p)) for rank, p in enumerate(order.places)]
    rows += [_row(one, None, order, -1) for one in found if one.outcomes is None]
    is_accuracy = is_classes(_as_scored(array_of(dataset.train.targets)))
    return Ranking(
        tuple(rows),
        tuple(row.start.address for row in rows[: order.shortlist]),
        "accuracy" if is_accuracy else "explained variance",
        num,
        Figure(order.regret, 0.0, order.regret_high),
        seconds,
    )


def _row(one: _Scored, place: int | None, order: CandidateOrder, index: int) -> RankedStart:
    """Return the record of a candidate."""
    scores, nothing = one.scores, float("nan")
    figure = Figure(nothing, nothing, nothing)
    if one.outcomes is not None:
        figure = _interval(one.outcomes)
    kind = "not scored" if place is None else "features" if scores else "trained"
    return RankedStart(
        start=one.start,
        place=place,
        kind=kind,
        figure=figure,
        neighbours=_neighbours(one),
        collapse=_collapse(one),
        log_evidence=scores.evidence if scores else nothing,
        h_score=scores.h_score if scores else nothing,
        tap=scores.tap if scores else "",
        size=one.size,
        milliseconds=1000 * one.each,
        step_bytes=one.step_bytes,
        minutes=one.minutes,
        best_chance=float(order.best_chance[index]) if index >= 0 else nothing,
        why=one.why or _reason(one),
    )


def _interval(outcomes: np.ndarray) -> Figure:
    """Return the mean of outcomes with its 95 % interval: Wilson's where each is right or wrong."""
    num, value = len(outcomes), float(outcomes.mean())
    if np.isin(outcomes, (0, 1)).all():
        return wilson(float(outcomes.sum()), num)
    error = _NORMAL * float(outcomes.std()) / math.sqrt(num)
    return Figure(value, value - error, value + error)


def _neighbours(one: _Scored) -> float:
    """Return what nearest neighbours say; NaN where there are no features."""
    return one.scores.neighbours.value if one.scores else float("nan")


def _collapse(one: _Scored) -> float:
    """Return the distance to neural collapse; NaN where there are no classes or no features."""
    return one.scores.collapse.log_loss if one.scores and one.scores.collapse else float("nan")


def _log_size(start: Start) -> float:
    """Return the logarithm of the parameters of a pretrained start: all we know before."""
    is_known = start.pretrained_on is not None and start.num_parameters > 0
    return math.log(start.num_parameters) if is_known else float("nan")


def _reason(one: _Scored) -> str:
    """Return what its scores say, in words."""
    scores = one.scores
    assert scores is not None
    where = "" if scores.tap == FEATURES else f", best read at {scores.tap}"
    return (
        f"ridge regression {scores.ridge.value:.3f}{where}; "
        f"{scores.neighbours.setting:.0f} nearest {scores.neighbours.value:.3f}"
    )
