"""What is found of one candidate on the way to a ranking, and the steps that find it.

``RankingJob`` says what is ranked for and under what; each step takes one candidate and fills in
what it finds. What fails is said of that candidate, and the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from headstart.errors import HeadstartError, StartError
from headstart.events import emit, unheard
from headstart.ranking.control import as_scored
from headstart.ranking.scores import Outcome
from headstart.ranking.scores.outcome import outcomes_of
from headstart.ranking.scoring import FeatureScores, score_taps
from headstart.ranking.screen import try_start
from headstart.ranking.taps import FEATURES, tapped_features
from headstart.tasks import array_of
from headstart.tensors import to_tensors
from headstart.training.company import ALONE, Company
from headstart.training.contract import StopRequested, never
from headstart.training.machine.footprint import measure_forward
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.strategies import default_strategy
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.budget import STEP_PASSES, Budget
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.cut_off import cut_off
from headstart.tuning.fitting import largest_useful_size
from headstart.tuning.memory import ENOUGH_BYTES, learning_bytes
from headstart.tuning.setup import TrainingSetup, prepare_sample, set_up
from headstart.tuning.texts import TextCache
from headstart.types import GROWN, SOLVED, Dataset, Start, are_alike

_NOTHING = float("nan")
# Of every start the distance to collapse is told by the best of these and of the features: on a zoo
# they put the best start among the first three, where features alone did not (docs/selection.md).
LAST_BLOCKS = 4
_RECONSTRUCTING = ("mae", "mlm", "masked", "replaced-token")
TOO_LATE = "the time for scores was spent before it was done"
# of the budget, for what comes after the last score; the last one itself may take of it, too
_END_SHARE, _LAST_SHARE = 0.05, 0.02
# what one candidate may fail by: its weights, its network, memory, the disk
FAILURES = (HeadstartError, RuntimeError, MemoryError, OSError, ValueError)


@dataclass(frozen=True)
class RankingJob:
    """What starts are ranked for, and under what.

    Attributes:
        dataset: Its test split is never touched.
        budget: What all of it may take.
        asked: What the user said: the seed, and what is seen of an image.
        device: Where to run.
        texts: What the run keeps of its texts.
        stop_requested: Whether someone asked to stop.
        company: The processes that share the candidates.
        input_size: Side of the input in pixels, at the most, of pretrained starts for images; None
            for each one's own, or what these images can use of it.
        on_scored: Called when a start has its score.
    """

    dataset: Dataset
    budget: Budget
    asked: CommonOptions
    device: torch.device
    texts: TextCache | None = None
    stop_requested: Callable[[], bool] = never
    company: Company = ALONE
    input_size: int | None = None
    on_scored: Callable[[], None] = lambda: None

    def until(self, deadline: float | None) -> Callable[[], bool]:
        """Return whether to stop: because someone asked to, or because of the clock."""
        return lambda: (
            self.stop_requested() or (deadline is not None and time.monotonic() > deadline)
        )

    @property
    def end(self) -> float | None:
        """The ``time.monotonic()`` value by which the last score stands; None for no limit."""
        limit = self.budget.limit_seconds
        return None if limit is None else self.budget.deadline(_END_SHARE * limit)

    def in_time(self, *, is_last: bool = False) -> AbstractContextManager[object]:
        """Cut off what is done for one candidate inside the block when the last score must stand.

        Args:
            is_last: Whether its score is all that is missing: it gets a little longer.

        Raises:
            StartError: If that time has come.
        """
        at, limit = self.end, self.budget.limit_seconds
        if is_last and limit is not None:
            at = self.budget.deadline(_LAST_SHARE * limit)
        if at is not None and time.monotonic() > at:
            raise StartError(TOO_LATE)
        return cut_off(at, partial(StartError, TOO_LATE))


@dataclass(eq=False)
class Scored:
    """What was found of one candidate.

    Attributes:
        start: The start.
        setup: Its model, in the process that scores it; None once it has been read.
        is_built: Whether it could be built.
        each: Seconds a sample; NaN where nobody measured it.
        taps: Features by tap, until all candidates have some.
        width: Of the features; 0 before.
        targets: Of the samples that were read.
        groups: Of these, or None.
        scores: Of the features.
        outcomes: A sample's share of the figure, shape (N,).
        block: Figure after training its last block for a moment; NaN where that was not done.
        minutes: What fine-tuning takes.
        step_bytes: Memory of a step.
        size: Side of the input.
        why: What a reader should know.
    """

    start: Start
    setup: TrainingSetup | None = None
    is_built: bool = False
    each: float = _NOTHING
    taps: dict[str, np.ndarray] | None = None
    width: int = 0
    targets: np.ndarray | None = None
    groups: np.ndarray | None = None
    scores: FeatureScores | None = None
    outcomes: np.ndarray | None = None
    block: float = _NOTHING
    minutes: float = _NOTHING
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

    @property
    def ridge(self) -> float:
        """What ridge regression reads from the best block; NaN where there are no features."""
        return self.scores.ridge.value if self.scores else _NOTHING

    @property
    def neighbours(self) -> float:
        """What nearest neighbours say; NaN where there are no features."""
        return self.scores.neighbours.value if self.scores else _NOTHING

    @property
    def collapse(self) -> float:
        """The distance to neural collapse; NaN where there are no classes or no features."""
        return self.scores.collapse.log_loss if self.scores and self.scores.collapse else _NOTHING

    def told(self) -> dict[str, Any]:
        """Return what other processes are told of it, as JSON can hold it."""
        plain = ("is_built", "each", "width", "block", "minutes", "step_bytes", "size", "why")
        found: dict[str, Any] = {name: getattr(self, name) for name in plain}
        found["num_parameters"] = self.start.num_parameters
        found["outcomes"] = None if self.outcomes is None else self.outcomes.tolist()
        if self.scores is not None:
            parts = vars(self.scores)
            found["scores"] = {
                name: _plain(part) if isinstance(part, Outcome) else part
                for name, part in parts.items()
            }
        return found

    def hear(self, told: Mapping[str, Any]) -> None:
        """Take over what another process has told of it."""
        scores = told.get("scores")
        rest = {name: value for name, value in told.items() if name != "scores"}
        self.start = replace(self.start, num_parameters=rest.pop("num_parameters"))
        outcomes = rest.pop("outcomes")
        for name, value in rest.items():
            setattr(self, name, value)
        self.outcomes = None if outcomes is None else np.array(outcomes)
        if scores is not None:
            parts: dict[str, Any] = {
                name: _outcome(part) if isinstance(part, dict) else part
                for name, part in scores.items()
            }
            self.scores = FeatureScores(**parts)


def is_reconstructing(start: Start) -> bool:
    """Return whether a start was pretrained to reconstruct what it was not shown."""
    return any(word in (start.objective or "") for word in _RECONSTRUCTING)


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {**vars(outcome), "outcomes": outcome.outcomes.tolist()}


def _outcome(told: Mapping[str, Any]) -> Outcome:
    return Outcome(**{**told, "outcomes": np.array(told["outcomes"])})


def build(job: RankingJob, one: Scored) -> None:
    """Build a start at its own size and measure what it costs; what fails is said."""
    start, dataset = one.start, job.dataset
    if not are_alike(start, dataset.schema):
        modality = dataset.schema.modality
        one.why = f"left out: it reads {start.modality}s, and {dataset.name} holds {modality}s"
        return
    try:
        with unheard(), job.in_time():
            setup = set_up(dataset, start, _options(job, start), device=job.device, texts=job.texts)
            one.each = seconds_per_sample(setup, dataset, job.budget, is_brief=True)
            one.step_bytes = _step_bytes(dataset, setup)
    except FAILURES as error:
        one.why = f"left out: {error}"
        return
    steps, _ = setup.recipe.length(len(dataset.train))
    one.minutes = STEP_PASSES * steps * setup.recipe.batch_size * one.each / 60
    one.setup, one.size, one.start = setup, setup.size, setup.model.encoder.start
    one.is_built = True


def _options(job: RankingJob, start: Start) -> TrainingOptions:
    size = None
    if start.image is not None and start.pretrained_on is not None:
        useful = largest_useful_size(job.dataset, start.image, job.asked.framing)
        size = useful if job.input_size is None else min(start.image.size, job.input_size)
    return TrainingOptions(
        strategy=default_strategy(start)[0].name,
        input_size=size,
        framing=job.asked.framing,
        value_range=job.asked.value_range,
        seed=job.asked.seed,
    )


def _step_bytes(dataset: Dataset, setup: TrainingSetup) -> int | None:
    """Return the memory of a training step in which everything learns, beside the weights."""
    some = prepare_sample(dataset, "train", setup, 2 * len(dataset.schema.classes) + 2, seed=0)
    if setup.model.encoder.start.family in SOLVED:
        return None  # solved for, not stepped

    def inputs(num: int) -> tuple[torch.Tensor, ...]:
        return to_tensors(some.arrays(np.zeros(num, np.int64)), setup.model.device)

    with torch.random.fork_rng(devices=[]):
        found = measure_forward(setup.model, inputs, setup.model)
    # a run makes its micro-batches smaller where activations are more than enough
    activations = min(
        found.per_sample * setup.recipe.micro_batch_size, max(ENOUGH_BYTES, 2 * found.per_sample)
    )
    return found.fixed + activations + learning_bytes(setup.model, setup.recipe)


def read(job: RankingJob, one: Scored, num: int, deadline: float | None) -> None:
    """Compute the features of a start; its network is not kept."""
    assert one.setup is not None
    dataset, setup, one.setup = job.dataset, one.setup, None
    try:
        with job.in_time():
            with unheard():
                inputs = prepare_sample(dataset, "train", setup, num, seed=job.asked.seed)
            one.taps = tapped_features(
                setup.model,
                inputs,
                most_blocks=None if is_reconstructing(one.start) else LAST_BLOCKS,
                name=f"features of {one.start.address}",
                stop_requested=job.until(deadline),
            )
    except StopRequested:
        if job.stop_requested():
            raise
        one.why = f"not scored: its {num:,} samples took longer than expected; raise --budget"
        return
    except FAILURES as error:
        one.why = f"left out: {error}"
        return
    one.targets = as_scored(array_of(inputs.targets))
    one.groups, one.width = dataset.train.groups_of(inputs.ids), one.taps[FEATURES].shape[1]


def score(job: RankingJob, one: Scored, dimension: int) -> None:
    """Score the features of a start; these are not kept."""
    assert one.taps is not None
    assert one.targets is not None
    emit("task", name="scores", done=0, total=1, start=one.start.address)
    taps, one.taps = one.taps, None
    end = job.end
    try:
        with job.in_time(is_last=True):
            one.scores = score_taps(
                taps,
                one.targets,
                dimension=dimension,
                groups=one.groups,
                seed=job.asked.seed,
                is_late=lambda: end is not None and time.monotonic() > end,
            )
    except FAILURES as error:
        one.why = f"left out: {error}"
        return
    emit("task", name="scores", done=1, total=1, start=one.start.address)
    one.outcomes = one.scores.head.outcomes
    job.on_scored()


def train_a_moment(job: RankingJob, one: Scored, seconds: float) -> None:
    """Train what has no features, and score it on val."""
    one.setup = None
    try:
        with job.in_time():
            candidate, setup, val, logits = try_start(
                job.dataset,
                one.start,
                job.budget,
                seconds,
                asked=job.asked,
                device=job.device,
                texts=job.texts,
            )
    except FAILURES as error:
        one.why = f"not scored: {error}"
        return
    targets = as_scored(array_of(setup.model.standard_targets(val.targets)))
    one.outcomes, one.why = shares_of(array_of(logits), targets), candidate.note
    job.on_scored()


def shares_of(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the outcomes of logits, shape (N,); those of several labels become probabilities."""
    if targets.ndim > 1:
        logits = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return outcomes_of(logits, targets)
