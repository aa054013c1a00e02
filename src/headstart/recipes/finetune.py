"""One start, one strategy: fine-tune, evaluate, report."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from headstart.events import emit
from headstart.recipes.audited import with_audits
from headstart.recipes.complete import complete
from headstart.recipes.dry_run import refuse_resume, say_real_run
from headstart.recipes.hard_limit import ENOUGH_LEFT, ends_without, last_moment
from headstart.recipes.on_all import OnAll, check_on_all, train_on_all
from headstart.recipes.options import FinetuneOptions, takes
from headstart.recipes.own_start import GivenStart, find_given, own_network, refuse_own_start
from headstart.recipes.processes import (
    after_restart,
    check_company,
    finished_before,
    run_in_company,
)
from headstart.recipes.repeated import is_repeated, repeated
from headstart.recipes.run import Run
from headstart.recipes.session import session
from headstart.recipes.settle import Means, Settling, check_data, settle_setup, settle_strategy
from headstart.recipes.source import (
    as_dataset,
    default_out,
    lacking,
    spent_before,
    with_costs,
)
from headstart.reporting.console import attached
from headstart.storage.run_folder import refuse_occupied
from headstart.tracking import require_trackers
from headstart.training.options.common_options import (
    AugmentName,
    CommonOptions,
    Imbalance,
)
from headstart.types import Framing

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from headstart.auditing.probe_features import Look
    from headstart.training.company import Company
    from headstart.tuning.budget import BudgetPlan
    from headstart.tuning.cut_off import CutOff
    from headstart.tuning.setup import TrainingSetup
    from headstart.types import Dataset


@takes(FinetuneOptions)
def finetune(options: FinetuneOptions) -> Run | BudgetPlan:
    """Fine-tune one start on labelled data, evaluate it, and write a run folder.

    Returns:
        The finished run; under dry_run the plan that it would obey.

    Raises:
        OptionError: If options are out of range or contradict each other.
        DataError: If the data cannot be learned from.
        StartError: If the start is unknown, unreachable or does not fit.
        RunFolderError: If the folder is occupied or cannot be written.
        DivergenceError: If the loss stops being a number.
        Interrupted: On Ctrl-C; the state is kept.

    Example:
        >>> import headstart as hs
        >>> run = hs.finetune("digits-8x8", start="scratch/simple-cnn")  # doctest: +SKIP
    """
    refuse_resume(options)
    options = with_costs(options)
    check_on_all(options)
    on_all = _on_all if options.train_on_all else None
    return repeated(options, _once, on_all) if is_repeated(options) else _once(options)


def _once(options: FinetuneOptions) -> Run | BudgetPlan:
    """Make one run."""
    load, find = (
        partial(as_dataset, options.data, options.start, options.languages),
        partial(find_given, options.start, options.spec),
    )
    run: Callable[[Company], Run | BudgetPlan] = partial(
        _plan if options.dry_run else _finetune, options
    )
    return run_in_company(options.device, run, load, find, options.spec)


def _on_all(options: FinetuneOptions, job: OnAll) -> None:
    """Train on all samples, by what the folds have chosen."""
    finetune_on_all(replace(options, **job.changes()), job)


def finetune_on_all(options: FinetuneOptions, job: OnAll) -> None:
    """Train a model on all samples.

    Args:
        options: With all that the folds have chosen.
        job: The training.
    """

    def train(company: Company) -> Run:
        from headstart.engines import passes_by
        from headstart.tuning.budget import Budget
        from headstart.tuning.decisions import Decisions
        from headstart.tuning.engine_rule import run_rule

        settled, given, seconds = _checked(options, company)
        budget, decisions = Budget(seconds), Decisions()
        means = Means(budget, company, decisions)
        build = partial(_settled, settled, given, means=means)
        with attached(), passes_by(run_rule(settled, budget, decisions)):
            train_on_all(job, settled, build, budget)
        return Run(job.place, own_network(given.module))

    load, find = (
        partial(as_dataset, options.data, options.start, options.languages),
        partial(find_given, options.start, options.spec),
    )
    run_in_company(options.device, train, load, find, options.spec)


def _finetune(options: FinetuneOptions, company: Company) -> Run:
    """Fine-tune in the main process; without a model it ends with its budget."""
    from headstart.training.options.limits import check_options
    from headstart.tuning.named_budget import parse_budget

    check_options(options)
    instead = lacking(options.data, options.start, options.log)
    with ends_without(
        "a model could be used", parse_budget(options.budget), instead=instead
    ) as limit:
        return _tuned(options, company, limit)


def _tuned(options: FinetuneOptions, company: Company, limit: CutOff) -> Run:
    """Fine-tune.

    Args:
        options: As the user said them.
        company: The processes.
        limit: Cuts all of it off, unless there is a model.
    """
    from headstart.engines import passes_by
    from headstart.recipes.afterwards import tell_next
    from headstart.tuning.budget import Budget
    from headstart.tuning.engine_rule import run_rule

    # what can be refused is refused before anything is loaded or overwritten
    options, given, budget_seconds = _checked(options, company)
    own, out, kept = own_network(given.module), options.out, options.to_json()
    if done := finished_before(out, "finetune", kept, company):
        return Run(done, own)
    resume, overwrite = after_restart(out, kept, resume=options.resume, overwrite=options.overwrite)
    refuse_occupied(out, resume=resume, overwrite=overwrite)
    dataset = as_dataset(options.data, options.start, options.languages)
    former = None if out else default_out(dataset, resume=True)
    if done := finished_before(former, "finetune", kept, company):
        return Run(done, own)
    check_data(dataset, given, options)  # before a folder is claimed
    company.send("data", fingerprint=dataset.fingerprint)
    with session(
        "finetune",
        dataset,
        out,
        kept,
        company,
        resume=resume,
        overwrite=overwrite,
        log=options.log,
    ) as current:
        budget = Budget(budget_seconds, current.spent_before_resume + spent_before(dataset))
        limit.unless = (current.folder.path / "model.json").exists
        limit.bring_forward(last_moment(budget))
        dataset = with_audits(current, dataset, budget, options.seed)
        with passes_by(run_rule(options, budget, current.decisions)):
            setup = _settled(options, given, dataset, Means(budget, company, current.decisions))
            look = look_of(setup, options, is_own=given.module is not None)
            is_searched = options.learning_rate_search
            if budget.left > ENOUGH_LEFT * (budget_seconds or 0.0):
                limit.call_off()  # what is trained from here on ends by its own deadline
            complete(current, dataset, setup, budget, look, searches_rate=is_searched)
            current.folder.finish()
    path = current.folder.path
    company.send("done", path=str(path))
    tell_next(current, dataset)
    return Run(path, own)


def _plan(options: FinetuneOptions, company: Company) -> BudgetPlan:
    """Return the plan that ``_finetune`` would obey; the model is built and measured, no more."""
    from headstart.tuning.budget import Budget
    from headstart.tuning.decisions import Decisions
    from headstart.tuning.planning import plan_tuning

    options, given, budget_seconds = _checked(options, company)
    refuse_occupied(options.out, resume=False, overwrite=options.overwrite)
    dataset = as_dataset(options.data, options.start, options.languages)
    with attached():
        budget = Budget(budget_seconds, spent_before(dataset))
        setup = _settled(options, given, dataset, Means(budget, company, Decisions()))
        plan = plan_tuning(dataset, setup, budget, to_come=("audits",))
    company.send("ended", code=0)
    say_real_run()
    return plan


def _checked(
    options: FinetuneOptions, company: Company
) -> tuple[FinetuneOptions, GivenStart, float | None]:
    """Return options with the start's address, the start, and the seconds of the budget.

    What can be refused without the data is refused here.
    """
    from headstart.engines import require_engine
    from headstart.training.options.limits import check_options
    from headstart.training.options.recipe import check_search
    from headstart.tuning.deciding import DecidingAsked, check_deciding
    from headstart.tuning.named_budget import parse_budget

    check_options(options)
    check_deciding(DecidingAsked.of(vars(options)))
    require_engine(options.engine)
    require_trackers(options.log)
    check_company(company, options, resume=options.resume)
    budget_seconds = parse_budget(options.budget)
    found, module = find_given(options.start, options.spec)
    check_search(options, found)
    refuse_own_start(found.address, options.out)
    given = GivenStart(found, module, options.spec)
    return replace(options, start=found.address), given, budget_seconds


def _settled(
    options: FinetuneOptions, given: GivenStart, dataset: Dataset, means: Means
) -> TrainingSetup:
    """Settle what the options leave open, and build the model.

    Raises:
        OptionError: If an option means nothing for these data, this start or this strategy.
    """
    is_built = given.module is not None
    settled = settle_strategy(dataset, given, options, options, means)
    settled = settle_auto(settled, dataset, means.company.device, is_built=is_built)
    return settle_setup(dataset, given, settled, means)


def look_of(setup: TrainingSetup, options: CommonOptions, *, is_own: bool = False) -> Look:
    """Return whose features the audits of a run read: those of its start, where it knows anything.

    Args:
        setup: The model.
        options: What the user said.
        is_own: Whether the start is a module of the user's own, which cannot be built again.
    """
    from headstart.auditing.probe_features import Look
    from headstart.training.options.training_options import training_options

    start = setup.model.encoder.start
    is_read = start.pretrained_on is not None and not is_own
    said = replace(training_options(options), input_size=setup.size)
    return Look(start if is_read else None, said, setup.texts)


def settle_auto(
    options: Settling, dataset: Dataset, device: torch.device, *, is_built: bool = False
) -> Settling:
    """Return options in which what is ``auto`` is decided, but for the strategy; it is told.

    Args:
        options: What the user said.
        dataset: Decides the augmentation, the imbalance, and what is seen of an image. A head that
            is solved for reads samples as they are.
        device: Decides the precision.
        is_built: Whether the start is a module of the user's own, which brings its preprocessing.
    """
    from headstart.preprocessing.framing import decided
    from headstart.training.machine.device import choose_precision
    from headstart.training.options.strategies import AUTO, find_strategy
    from headstart.tuning.looking import choose_view

    if dataset.schema.facts.is_looked_at and not is_built:
        seen = choose_view(options.framing, options.value_range, dataset)
        options = replace(options, framing=seen.framing, value_range=seen.value_range)
    augment, imbalance = options.augment, options.imbalance
    if augment == "auto":
        framing = "crop" if is_built else decided(options.framing)
        is_solved = options.strategy != AUTO and not find_strategy(options.strategy).loops
        augment = "none" if is_solved else _choose_augmentation(dataset, framing)
    if imbalance == "auto":
        imbalance = _choose_imbalance(dataset)
    precision = choose_precision(options.precision, device)
    return replace(options, augment=augment, imbalance=imbalance, precision=precision)


def _choose_augmentation(dataset: Dataset, framing: Framing) -> AugmentName:
    """Return the augmentation policy for a data set, and tell why."""
    from headstart.preprocessing.framing import framed_size
    from headstart.tasks import find_task
    from headstart.training.batches.augment import choose_policy

    if not dataset.schema.facts.is_augmented:
        return "none"
    policy, why = choose_policy(
        framed_size(dataset.image_size, framing) or (224, 224),
        dataset.image_channels or 3,
        dataset.schema.classes,
        has_classes=bool(dataset.schema.classes),
        has_captions=find_task(dataset.schema.task).matches_texts,
    )
    emit("choice", name="augment", value=policy, why=why)
    return policy


def _choose_imbalance(dataset: Dataset) -> Imbalance:
    """Return what to do about rare classes, and tell where that matters."""
    from headstart.tasks import find_task
    from headstart.training.options.imbalance import choose_imbalance

    task = find_task(dataset.schema.task)
    if not task.is_exclusive:
        return "none"
    counts = task.class_counts(dataset.train.targets, len(dataset.schema.classes))
    value, why = choose_imbalance(counts)
    if why:
        emit("choice", name="imbalance", value=value, why=why)
    return value
