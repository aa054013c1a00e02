"""What is solved for without steps: a linear probe of frozen features, of samples or words; trees.

Which of them a model is its encoder answers, once (``solver_of``); whoever solves, tells of it
or plans its time asks the solver, and not what it solves for. Left out: fitting again on more
samples (``searching.refit``), and the algorithms themselves (``training.probing``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.events import emit
from headstart.preprocessing import KnownWordPreprocess
from headstart.tasks import called
from headstart.training.contract import never
from headstart.training.options.common_options import Imbalance
from headstart.training.probing.methods import PROBES
from headstart.training.probing.probe import ORDINARY, Probe, fit_probe
from headstart.tuning.dictionary import solve_dictionary
from headstart.tuning.features import features_of, sparse_features
from headstart.tuning.frozen import FrozenPrefix
from headstart.tuning.grown import TooManyRowsError, grow, grow_again
from headstart.tuning.part import Part
from headstart.tuning.question_probe import probe_questions
from headstart.tuning.setup import TrainingSetup, subsample
from headstart.tuning.several_probe import probe_several
from headstart.tuning.tagging import MOST_WORDS as MOST_TAGGED
from headstart.tuning.tagging import STRENGTHS, solve_tagger
from headstart.tuning.word_probe import MOST_WORDS as MOST_PROBED
from headstart.tuning.word_probe import probe_words
from headstart.types import Inputs, Ragged, Rows

_ROWS_SHARE, _LEAST_ROWS = 0.4, 2_000  # of those that the time left would do for; of trees


@dataclass(frozen=True)
class SolverJob:
    """What is solved for, from what.

    Attributes:
        setup: The model.
        train: Learned from.
        val: Chosen by.
        imbalance: Anything but ``none`` weighs classes as the task does.
        limit: Training samples at the most.
        deadline: ``time.monotonic()`` value by which it should have ended; None for no limit.
        prefix: What is kept of the frozen part of a pass; only the rest of it is computed then.
        stop_requested: Whether someone asked to stop.
        strengths: Penalties to choose among; None for those of the solver.
    """

    setup: TrainingSetup
    train: Inputs
    val: Inputs
    imbalance: Imbalance
    limit: int
    deadline: float | None
    prefix: FrozenPrefix | None = None
    stop_requested: Callable[[], bool] = never
    strengths: Sequence[float] | None = None


@dataclass(frozen=True)
class Solver:
    """How a model that takes no steps, or begins with a head that was solved for, comes about.

    Attributes:
        stage: What is said when it begins.
        source: What is said of the samples that it has read.
        keeps_time: Whether it keeps to its time by itself: its samples are not counted beforehand,
            a pass through it takes what it may and not what was measured, and it knows what it
            took.
        solve: Does it.
        told: What is said of what came out.
    """

    stage: str
    source: str
    keeps_time: bool
    solve: Callable[[SolverJob], Probe]
    told: Callable[[Probe], str]


def solver_of(setup: TrainingSetup) -> Solver:
    """Return how a model is solved for."""
    if setup.model.task.tells_words:
        if isinstance(setup.preprocess, KnownWordPreprocess):
            return DICTIONARY
        return TAGGER if setup.model.encoder.is_grown else WORDS
    if setup.model.task.finds_texts:
        return ANSWERS
    if setup.model.task.parts:
        return SEVERAL
    return TREES if setup.model.encoder.is_grown else LINEAR


def probe(
    setup: TrainingSetup,
    train: Inputs,
    val: Inputs,
    *,
    imbalance: Imbalance,
    limit: int,
    deadline: float | None,
    prefix: FrozenPrefix | None = None,
    stop_requested: Callable[[], bool] = never,
) -> Probe:
    """Fit a linear probe on the features of at most ``limit`` training samples; or grow trees.

    The features are computed once, by the model as it stands, in eval mode, without augmentation;
    where ``prefix`` has kept the frozen part of a pass, only the rest of it is computed.
    A start that is grown has no features before: its trees are grown here, and the head only hands
    their logits on.
    Where the encoder learns nothing and only hands terms on, they stay sparse.

    Raises:
        StopRequested: If someone asked to stop before all features were there.
        StartError: If a start that is grown has no time for it.
    """
    job = SolverJob(setup, train, val, imbalance, limit, deadline, prefix, stop_requested)
    return solver_of(setup).solve(job)


def _features(job: SolverJob, places: np.ndarray) -> tuple[Any, Any]:
    """Return the features of some samples of train and of all of val; of terms they are sparse."""
    train, val, prefix = job.train, job.val, job.prefix
    model, stop_requested = job.setup.model, job.stop_requested
    if (sparse := sparse_features(model, train)) is not None:
        return sparse[places], sparse_features(model, val)
    if prefix is not None and prefix.train_features is not None:
        features = prefix.train_features(places)
    else:
        features = features_of(
            model, Part(train, places), name="probe features", stop_requested=stop_requested
        )
    if prefix is not None and prefix.val_features is not None:
        return features, prefix.val_features()
    return features, features_of(model, val, stop_requested=stop_requested)


def _fit_several(job: SolverJob) -> Probe:
    """Fit a linear model to features for each of several targets."""
    setup, train, val = job.setup, job.train, job.val
    model = setup.model
    places = subsample(train.targets, job.limit, seed=setup.recipe.seed)
    features, val_features = _features(job, places)
    return probe_several(
        model,
        (features, model.standard_targets(train.targets[places])),
        (val_features, model.standard_targets(val.targets)),
        deadline=job.deadline,
        groups=_together(setup, train.ids[places], val.ids),
    )


def solve_again(setup: TrainingSetup, fitted: Probe, train: Inputs, val: Inputs) -> Probe:
    """Solve for a model once more, from other samples, with what was chosen before.

    Args:
        setup: The model; its trees are grown anew where it has some.
        fitted: Its penalty, or the settings of its trees, are kept.
        train: Learned from.
        val: Tells how good it is, and chooses nothing.
    """
    recipe = setup.recipe
    if solver_of(setup) is TREES:
        weigh, seed = recipe.imbalance, recipe.seed
        return grow_again(setup.model, train, val, fitted, imbalance=weigh, seed=seed)
    limit, kept = setup.strategy.num_probe_samples, (fitted.strength,)
    return _fit_linear(SolverJob(setup, train, val, recipe.imbalance, limit, None, strengths=kept))


def _fit_linear(job: SolverJob) -> Probe:
    """Fit a linear model to features."""
    setup, train, val, model = job.setup, job.train, job.val, job.setup.model
    places = subsample(train.targets, job.limit, seed=setup.recipe.seed)
    features, val_features = _features(job, places)
    # a linear regression on columns is ordinary least squares; every other probe is shrunk
    is_linear = model.schema.facts.is_plain_column and model.encoder.start.family == "linear"
    is_ordinary = is_linear and PROBES[model.task.probe].has_ordinary
    return fit_probe(
        features,
        model.standard_targets(train.targets[places]),
        val_features,
        model.standard_targets(val.targets),
        task=model.schema.task,
        num_outputs=model.num_outputs,
        imbalance=job.imbalance,
        deadline=job.deadline,
        strengths=job.strengths or (ORDINARY if is_ordinary else None),
        groups=_together(setup, train.ids[places], val.ids),
    )


def _fit_words(job: SolverJob) -> Probe:
    """Fit a linear model to the features of single words."""
    seed = job.setup.recipe.seed
    places = _enough_words(job.train.targets, job.limit, MOST_PROBED, seed=seed)
    return probe_words(
        job.setup.model,
        Part(job.train, places),
        job.val,
        deadline=job.deadline,
        stop_requested=job.stop_requested,
    )


def _enough_words(targets: Rows, limit: int, most: int, *, seed: int) -> np.ndarray:
    """Return sorted positions of texts that have about so many words, drawn from all of them.

    Of no other text anything is computed: of 50,000 texts a probe would read twenty times as many
    words as it learns from.

    Args:
        targets: Ragged, a row a text.
        limit: Texts at the most.
        most: Words at the most, about.
        seed: Seed of the choice.
    """
    assert isinstance(targets, Ragged)
    num_words = max(1, len(targets.whole))
    fitting = max(1, len(targets) * most // num_words)
    return subsample(targets, min(limit, fitting), seed=seed)


def _fit_tagger(job: SolverJob) -> Probe:
    """Solve for a linear tagger."""
    seed = job.setup.recipe.seed
    places = _enough_words(job.train.targets, job.limit, MOST_TAGGED, seed=seed)
    return solve_tagger(
        job.setup.model,
        Part(job.train, places),
        job.val,
        deadline=job.deadline,
        stop_requested=job.stop_requested,
        strengths=job.strengths or STRENGTHS,
    )


def _fit_answers(job: SolverJob) -> Probe:
    """Fit two vectors to the features of single tokens: where answers begin and end."""
    places = subsample(job.train.targets, job.limit, seed=job.setup.recipe.seed)
    return probe_questions(
        job.setup.model,
        Part(job.train, places),
        job.val,
        deadline=job.deadline,
        stop_requested=job.stop_requested,
    )


def _grow(job: SolverJob) -> Probe:
    """Grow trees.

    Raises:
        StartError: If there is no time for it.
    """
    setup, train, seed = job.setup, job.train, job.setup.recipe.seed

    def grown(places: np.ndarray) -> Probe:
        return grow(
            setup.model,
            Part(train, places),
            job.val,
            imbalance=job.imbalance,
            seed=seed,
            deadline=job.deadline,
            most_seconds=setup.most_seconds,
            stop_requested=job.stop_requested,
        )

    places = subsample(train.targets, job.limit, seed=seed)
    return _grown_in_time(grown, train, places, seed=seed)


def _grown_in_time(
    grown: Callable[[np.ndarray], Probe], train: Inputs, places: np.ndarray, *, seed: int
) -> Probe:
    """Grow trees from some rows; where the time is short for them, from fewer, which is said.

    Raises:
        TooManyRowsError: If there is no time for as few as are worth it.
    """
    try:
        return grown(places)
    except TooManyRowsError as error:
        num = int(_ROWS_SHARE * error.share * len(places))
        if num < _LEAST_ROWS:
            raise
        emit("note", text=f"Trees are grown from {num:,} of {len(places):,} rows: time is short.")
    return replace(grown(subsample(train.targets, num, seed=seed)), is_cut=True)


def _together(
    setup: TrainingSetup, train_ids: np.ndarray, val_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return which samples belong together, or are copies; None where nobody knows."""
    if setup.splits is None:
        return None
    train, val = setup.splits
    known = [
        replace(split, groups=split.contents if split.groups is None else split.groups)
        for split in (train, val)
    ]
    found = [split.groups_of(ids) for split, ids in zip(known, (train_ids, val_ids), strict=True)]
    if (train.groups is None) != (val.groups is None) or found[0] is None or found[1] is None:
        return None
    return found[0], found[1]


def _told(fitted: Probe) -> str:
    """Return what val says of it."""
    return f"val {called(fitted.metric)} {fitted.val_score:.4f} ({fitted.seconds:.1f} s)"


LINEAR = Solver(
    "Linear probe on the frozen encoder",
    "probe on",
    False,
    _fit_linear,
    lambda fitted: f"Probe: {_told(fitted)}; penalty by {fitted.chosen_by}",
)
WORDS = Solver(
    "Linear probe on the words of the frozen encoder",
    "probe on",
    False,
    _fit_words,
    lambda fitted: f"Probe of words: {_told(fitted)}; penalty by {fitted.chosen_by}",
)
TAGGER = Solver(
    "Linear tagger on what words look like",
    "solved from",
    False,
    _fit_tagger,
    lambda fitted: f"Tagger: {_told(fitted)}; penalty by {fitted.chosen_by}",
)
DICTIONARY = Solver(
    "Dictionary of train",
    "checked on",
    False,
    lambda job: solve_dictionary(job.setup.model, job.val),
    lambda fitted: f"Dictionary: {_told(fitted)}",
)
ANSWERS = Solver(
    "Linear probe of where answers begin and end",
    "probe on",
    False,
    _fit_answers,
    lambda fitted: f"Probe of answers: {_told(fitted)}; penalty by {fitted.chosen_by}",
)
SEVERAL = Solver(
    "Linear probe of each target on the frozen encoder",
    "probe on",
    False,
    _fit_several,
    lambda fitted: f"Probe: {_told(fitted)}; penalties by {fitted.chosen_by}",
)
TREES = Solver("Growing trees", "grown from", True, _grow, lambda fitted: f"Trees: {_told(fitted)}")
