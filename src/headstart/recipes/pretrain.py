"""Make a start of one's own: learn from samples whose labels nobody looks at."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from headstart.events import emit
from headstart.recipes.audited import apart_from_test
from headstart.recipes.complete import finite, stop_requested
from headstart.recipes.dry_run import refuse_resume, say_real_run
from headstart.recipes.options import PretrainOptions, takes
from headstart.recipes.own_start import refuse_own_start
from headstart.recipes.processes import (
    after_restart,
    finished_before,
    launch_name,
    run_in_company,
)
from headstart.recipes.run import Run
from headstart.recipes.session import Session, session
from headstart.recipes.source import default_out, spent_before
from headstart.reporting.console import attached
from headstart.storage.run_folder import refuse_occupied
from headstart.tracking import require_trackers

if TYPE_CHECKING:
    from collections.abc import Callable

    from headstart.pretraining.objective import Corpus, Givens, Learner
    from headstart.training.company import Company
    from headstart.training.contract import LoopResult
    from headstart.tuning.budget import Budget, BudgetPlan
    from headstart.types import Start


@takes(PretrainOptions)
def pretrain(options: PretrainOptions) -> Run | BudgetPlan:
    """Pretrain a start of your own on unlabelled data, and write it as a run folder.

    What is hidden of each sample is told from the rest. Labels are not looked at, but for a probe
    that says at every tenth of the run what the features know of them; a test split is left alone.
    The folder is a start for finetune, fit and rank.

    Returns:
        The start's folder; under dry_run the plan that it would obey.

    Raises:
        OptionError: If options are out of range or contradict each other.
        DataError: If there is nothing to learn from.
        StartError: If the start is unknown, unreachable or does not fit the objective.
        RunFolderError: If the folder is occupied or cannot be written.
        DivergenceError: If the loss stops being a number.
        Interrupted: On Ctrl-C; the state is kept.

    Example:
        >>> import headstart as hs
        >>> hs.pretrain("mnist", objective="mae", budget="10m")  # doctest: +SKIP
    """
    refuse_resume(options)
    run: Callable[[Company], Run | BudgetPlan] = partial(
        _plan if options.dry_run else _pretrain, options
    )

    def obey(company: Any) -> dict[str, Any]:
        from headstart.pretraining.worker import obey

        return obey(company, options.data, options)

    return run_in_company(options.device, run, _no_dataset, obey=obey)


def _pretrain(options: PretrainOptions, company: Company) -> Run:
    """Pretrain in the main process."""
    from headstart.pretraining.table import command_after, find_objective
    from headstart.tuning.budget import Budget

    start, seconds = _checked(options)
    out, kept = options.out, options.to_json()
    if done := finished_before(out, "pretrain", kept, company):
        return Run(done)
    resume, overwrite = after_restart(out, kept, resume=options.resume, overwrite=options.overwrite)
    refuse_occupied(out, resume=resume, overwrite=overwrite)
    corpus = find_objective(options).read(options.data, options)
    former = None if out else default_out(corpus, resume=True)
    if done := finished_before(former, "pretrain", kept, company):
        return Run(done)
    company.send("data", fingerprint=corpus.fingerprint)
    log = options.log
    with session(
        "pretrain", corpus, out, kept, company, resume=resume, overwrite=overwrite, log=log
    ) as current:
        budget = Budget(seconds, current.spent_before_resume + spent_before(corpus))
        corpus = apart_from_test(current, corpus, budget, options.seed)
        _learn(current, corpus, options, start, budget)
    path = current.folder.path
    company.send("done", path=str(path))
    emit("next", command=command_after(options.objective, path))
    return Run(path)


def _learn(
    current: Session, corpus: Corpus, options: PretrainOptions, start: Start, budget: Budget
) -> None:
    """Build the learner, train it, and write every file of the folder."""
    from headstart.pretraining.objective import Givens
    from headstart.pretraining.start_folder import save_start, write_records
    from headstart.reporting import render_folder
    from headstart.tuning.conclude import describe_machine

    company, folder = current.company, current.folder
    plan = _budget_plan(corpus, options, budget)
    means = Givens(options, start, company.device, budget, current.decisions)
    with plan.stage("samples", budget):
        learner = _built(corpus, means)
    company.send("build", start=start.address)
    with plan.stage("training", budget):
        result = _follow(current, learner, corpus, means)
    with plan.stage("closing", budget):
        save_start(folder, learner, corpus, options, result.state)
        learned = learner.conclude()
        record = {
            "verb": current.plan["verb"],
            "options": current.plan["options"],
            "recipe": asdict(learner.recipe),
            "choices": current.choices,
            "machine": describe_machine(),
            "processes": company.size,
            "launch": launch_name(),
            "training": asdict(result.state) | {"ended": result.ended},
        }
        write_records(folder, learned, corpus, finite(record), {"total": round(budget.spent, 3)})
        learner.close()
        folder.write("report.html", render_folder(folder.path).encode(errors="backslashreplace"))
    folder.finish()


def _follow(current: Session, learner: Learner, corpus: Corpus, means: Givens) -> LoopResult:
    """Train; where someone asked to stop, keep what there is.

    Raises:
        KeyboardInterrupt: After that.
    """
    from headstart.pretraining.course import follow
    from headstart.pretraining.start_folder import save_start
    from headstart.training.contract import StopRequested
    from headstart.training.state.checkpoint import CheckpointFolder
    from headstart.tuning.conditions import Conditions
    from headstart.tuning.stop import graceful_stop

    budget, company, folder = means.budget, current.company, current.folder
    with graceful_stop() as stop:
        conditions = Conditions(
            checkpoints=CheckpointFolder(folder.state),
            deadline=budget.deadline(budget.may_take("closing")),
            stop_requested=partial(stop_requested, stop, company),
            on_usable=partial(save_start, folder, learner, corpus, means.options, None),
            decisions=current.decisions,
            company=company,
            is_micro_batch_said=means.options.micro_batch_size is not None,
        )
        try:
            said = means.options.batch_size is not None
            result = follow(learner, conditions, is_batch_said=said)
        except StopRequested as error:  # there is nothing to keep yet
            raise KeyboardInterrupt(stop.signal_number) from error
    if result.ended == "interrupted":
        save_start(folder, learner, corpus, means.options, result.state)
        raise KeyboardInterrupt(stop.signal_number)
    return result


def _plan(options: PretrainOptions, company: Company) -> BudgetPlan:
    """Return the plan that ``_pretrain`` would obey; the network is built, and no more."""
    from headstart.pretraining.objective import Givens
    from headstart.pretraining.table import find_objective
    from headstart.tuning.budget import Budget
    from headstart.tuning.decisions import Decisions

    start, seconds = _checked(options)
    refuse_occupied(options.out, resume=False, overwrite=options.overwrite)
    corpus = find_objective(options).read(options.data, options)
    with attached():
        budget = Budget(seconds, spent_before(corpus))
        means = Givens(options, start, company.device, budget, Decisions())
        learner = _built(corpus, means)
        plan = _budget_plan(corpus, options, budget, learner)
        learner.close()
    company.send("ended", code=0)
    say_real_run()
    return plan


def _built(corpus: Corpus, means: Givens) -> Learner:
    from headstart.pretraining.table import find_objective

    learner = find_objective(means.options).build(corpus, means)
    said, taken = means.options.batch_size, learner.recipe.batch_size
    if said is not None and taken < said:
        why = f"{said:,} were asked for, and {learner.num_samples:,} are all there are"
        emit("choice", name="batch_size", value=taken, why=why)
    return learner


def _budget_plan(
    corpus: Corpus, options: PretrainOptions, budget: Budget, learner: Learner | None = None
) -> BudgetPlan:
    """Return what every stage may take; with a learner also what is learned from."""
    notes = []
    if learner is not None:
        recipe = learner.recipe
        num_steps, per_epoch = recipe.length(learner.num_samples)
        notes = [
            f"{learner.encoder.start.address}, objective {options.objective}",
            f"{learner.num_samples:,} samples are learned from; {num_steps:,} steps of "
            f"{recipe.batch_size} ({num_steps / per_epoch:.3g} epochs) are wanted; where that is "
            f"more than fits there are fewer.",
        ]
    title = f"pretrain on {corpus.name}"
    return budget.plan(title, ["samples", "training", "closing"], notes=notes)


def _checked(options: PretrainOptions) -> tuple[Start, float | None]:
    """Return the start and the seconds of the budget.

    What can be refused without the data is refused here.
    """
    from headstart.pretraining.table import find_objective
    from headstart.starts import find_start, require_start
    from headstart.training.options.limits import check_pretraining
    from headstart.tuning.named_budget import parse_budget

    check_pretraining(options)
    require_trackers(options.log)
    seconds = parse_budget(options.budget)
    start = find_start(options.start or find_objective(options).default_start)
    refuse_own_start(start.address, options.out)
    require_start(start)
    return start, seconds


def _no_dataset() -> Any:
    raise AssertionError("a worker of a pretraining reads its corpus itself")
