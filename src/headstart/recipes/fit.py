"""The main job: find the best model inside the budget, and say how good it is.

Starts are ranked by a quick look at each (``ranking.screen``); the best of them take part in a
contest of heads, arms and finals (``recipes.search``). Several processes advance an arm each.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, TypedDict

from headstart.events import emit
from headstart.recipes.audited import with_audits
from headstart.recipes.dry_run import refuse_resume, say_real_run
from headstart.recipes.finetune import finetune_on_all, settle_auto
from headstart.recipes.hard_limit import ENOUGH_LEFT, ends_without, last_moment
from headstart.recipes.on_all import OnAll, check_on_all
from headstart.recipes.options import FinetuneOptions, FitOptions, takes
from headstart.recipes.own_start import refuse_own_start
from headstart.recipes.processes import after_restart, finished_before, run_in_company
from headstart.recipes.repeated import is_repeated, repeated
from headstart.recipes.run import Run
from headstart.recipes.search import search
from headstart.recipes.session import Session, session
from headstart.recipes.source import (
    as_dataset,
    default_out,
    lacking,
    spent_before,
    with_costs,
)
from headstart.reporting.console import attached
from headstart.storage.run_folder import refuse_occupied
from headstart.tasks import called
from headstart.tracking import require_trackers

if TYPE_CHECKING:
    from collections.abc import Callable

    from headstart.ranking import Candidate
    from headstart.training.company import Company
    from headstart.tuning.budget import Budget, BudgetPlan
    from headstart.tuning.cut_off import CutOff
    from headstart.tuning.decisions import Decided
    from headstart.tuning.setup import TrainingSetup
    from headstart.tuning.texts import TextCache
    from headstart.types import Dataset, Inputs, Rows, Start


class Chosen(TypedDict):
    """The start that screening has chosen, and what it found of all of them."""

    start: str
    size: int | None
    strategy: str
    candidates: list[dict[str, object]]


@takes(FitOptions)
def fit(options: FitOptions) -> Run | BudgetPlan:
    """Find the best start for the data and the best way to tune it, and say how good the result is.

    Several ways are compared in short rungs, the best is trained to its end, and what val says is
    the best model is handed over, whatever its kind.

    Returns:
        The finished run; under dry_run the plan that it would obey.

    Raises:
        OptionError: If options are out of range.
        DataError: If the data cannot be learned from.
        StartError: If a start is unknown, or none can be tried.
        RunFolderError: If the folder is occupied or cannot be written.
        Interrupted: On Ctrl-C; the state is kept.

    Example:
        >>> import headstart as hs
        >>> run = hs.fit("digits", budget="2m", out="runs/digits")  # doctest: +SKIP
        >>> print(run.report())  # doctest: +SKIP
    """
    refuse_resume(options)
    options = with_costs(options)
    check_on_all(options)
    if not options.train_on_all:
        return repeated(options, _once) if is_repeated(options) else _once(options)
    return repeated(replace(options, single=True), _once, _on_all)


def _on_all(options: FitOptions, job: OnAll) -> None:
    """Train what the run hands over on all samples, as ``finetune`` does."""
    names = {one.name for one in fields(FitOptions)} & {one.name for one in fields(FinetuneOptions)}
    said = {name: getattr(options, name) for name in names} | job.changes()
    finetune_on_all(FinetuneOptions(**said, start=job.start, input_size=job.size), job)


def _once(options: FitOptions) -> Run | BudgetPlan:
    """Make one run."""
    run: Callable[[Company], Run | BudgetPlan] = partial(
        _plan if options.dry_run else _fit, options
    )
    load = partial(as_dataset, options.data, options.starts or ())
    return run_in_company(options.device, run, load)


def _fit(options: FitOptions, company: Company) -> Run:
    """Search and fine-tune in the main process; without a model it ends with its budget."""
    from headstart.training.options.limits import check_options
    from headstart.tuning.named_budget import parse_budget

    check_options(options)
    instead = lacking(options.data, options.starts, options.log)
    with ends_without(
        "a model could be used", parse_budget(options.budget), instead=instead
    ) as limit:
        return _searched(options, company, limit)


def _searched(options: FitOptions, company: Company, limit: CutOff) -> Run:
    """Search and fine-tune.

    Args:
        options: As the user said them.
        company: The processes.
        limit: Cuts all of it off, unless there is a model.
    """
    from headstart.engines import passes_by
    from headstart.recipes.afterwards import tell_next
    from headstart.tasks import find_task
    from headstart.tuning.budget import Budget
    from headstart.tuning.engine_rule import run_rule
    from headstart.tuning.texts import text_cache

    options, named, budget_seconds = _checked(options)
    out, kept = options.out, options.to_json()
    if done := finished_before(out, "fit", kept, company):
        return Run(done)
    resume, overwrite = after_restart(out, kept, resume=options.resume, overwrite=options.overwrite)
    refuse_occupied(out, resume=resume, overwrite=overwrite)
    dataset = as_dataset(options.data, options.starts or ())
    former = None if out else default_out(dataset, resume=True)
    if done := finished_before(former, "fit", kept, company):
        return Run(done)
    _check_data(options, dataset)
    company.send("data", fingerprint=dataset.fingerprint)
    log = options.log
    with session(
        "fit", dataset, out, kept, company, resume=resume, overwrite=overwrite, log=log
    ) as current:
        budget = Budget(budget_seconds, current.spent_before_resume + spent_before(dataset))
        limit.unless = (current.folder.path / "model.json").exists
        limit.bring_forward(last_moment(budget))
        dataset = with_audits(current, dataset, budget, options.seed, "quick")
        texts = text_cache(dataset, budget, seed=options.seed, decisions=current.decisions)
        settled = settle_auto(options, dataset, company.device)
        with passes_by(run_rule(options, budget, current.decisions)):
            chosen, made = _settle_start(current, dataset, named, budget, texts, settled)
            dataset = with_audits(current, dataset, budget, options.seed, "slow")
            if budget.left > ENOUGH_LEFT * (budget_seconds or 0.0):
                limit.call_off()  # what is trained from here on ends by its own deadline
            if find_task(dataset.schema.task).has_no_contest:
                from headstart.recipes.straight import go_straight

                ranked = chosen["candidates"]
                more = go_straight(current, dataset, ranked, budget, texts, options, settled)
            else:
                more = search(current, dataset, chosen["candidates"], made, budget, texts, settled)
    path = current.folder.path
    company.send("done", path=str(path))
    tell_next(current, dataset, more)
    return Run(path)


def _plan(options: FitOptions, company: Company) -> BudgetPlan:
    """Return the plan that ``_fit`` would obey; no model is built."""
    from headstart.ranking import default_starts
    from headstart.tuning.budget import Budget
    from headstart.tuning.planning import plan_search

    options, named, budget_seconds = _checked(options)
    refuse_occupied(options.out, resume=False, overwrite=options.overwrite)
    dataset = as_dataset(options.data, options.starts or ())
    _check_data(options, dataset)
    with attached():
        budget = Budget(budget_seconds, spent_before(dataset))
        starts = named or default_starts(dataset, budget_seconds)
        plan = plan_search(dataset, starts, budget, to_come=("audits",))
    company.send("ended", code=0)
    say_real_run()
    return plan


def _checked(options: FitOptions) -> tuple[FitOptions, list[Start], float | None]:
    """Return options with addresses, the named starts, and the seconds of the budget.

    What can be refused without the data is refused here.
    """
    from headstart.engines import require_engine
    from headstart.starts import find_start, require_start
    from headstart.training.options.limits import check_options
    from headstart.tuning.deciding import DecidingAsked, check_deciding
    from headstart.tuning.named_budget import parse_budget

    check_options(options)
    check_deciding(DecidingAsked.of(vars(options)))
    require_engine(options.engine)
    require_trackers(options.log)
    budget_seconds = parse_budget(options.budget)
    named = [find_start(address) for address in options.starts or ()]
    for candidate in named:
        refuse_own_start(candidate.address, options.out)
        require_start(candidate)
    return replace(options, starts=[s.address for s in named] or None), named, budget_seconds


def _check_data(options: FitOptions, dataset: Dataset) -> None:
    """Refuse what means nothing for these data, before a folder is claimed for them.

    Raises:
        OptionError: If so.
    """
    from headstart.starts import find_start
    from headstart.tasks import find_task
    from headstart.training.options.limits import check_applies
    from headstart.training.options.strategies import matching_strategy
    from headstart.tuning.deciding import DecidingAsked, check_deciding

    check_applies(options, dataset.schema)
    check_deciding(DecidingAsked.of(vars(options)), dataset.schema)
    task = find_task(dataset.schema.task)
    if task.matches_texts:
        matching_strategy(find_start(task.plain_start), options.strategy)


def _settle_start(
    current: Session,
    dataset: Dataset,
    named: list[Start],
    budget: Budget,
    texts: TextCache | None,
    asked: FitOptions,
) -> tuple[Chosen, dict[str, TrainingSetup]]:
    """Settle the start; return it with the models that screening has left just now, by address."""
    from headstart.engines import settled_apart
    from headstart.ranking import default_starts, screen, screen_untrained
    from headstart.tasks import find_task
    from headstart.tuning.calibrating import calibrate
    from headstart.tuning.conclude import save_model
    from headstart.tuning.planning import plan_search

    kept: dict[str, TrainingSetup] = {}
    task = find_task(dataset.schema.task)
    is_unprobed = task.tells_texts or task.matches_texts

    def keep(setup: TrainingSetup, val: Inputs, logits: Rows, is_better: bool) -> None:
        is_whole = dataset.schema.facts.is_prepared_at_once
        if is_better and not is_whole:
            kept.clear()  # a network beside the next one may be more than memory has room for
        if is_better or is_whole:
            kept[setup.model.encoder.start.address] = setup
        if is_better:
            calibrate(setup.model, logits, val.targets)
            save_model(current.folder, dataset, setup)

    def decide() -> Decided[Chosen]:
        emit("stage", text="Choosing the start")
        starts = named or default_starts(dataset, budget.limit_seconds)
        plan = plan_search(dataset, starts, budget)
        # what screening chooses for its samples binds nobody after it
        with plan.stage("screening", budget), settled_apart():
            candidates = (screen_untrained if is_unprobed else screen)(
                dataset,
                starts,
                budget=budget,
                seconds=plan.seconds("screening"),
                asked=asked,
                device=current.company.device,
                on_made=keep,
                texts=texts,
            )
        return _choose(candidates)

    return current.decisions.settle("start", decide), kept


def _choose(candidates: list[Candidate]) -> Decided[Chosen]:
    """Tell the ranking, and decide for the best."""
    from headstart.tuning.decisions import Decided

    rows = [_row(c) for c in candidates]
    best = candidates[0]
    metric = called(best.metric)
    columns = ["start", metric, "95 % interval", "pixels", "seconds", "note"]
    shown = [_shown(c) for c in candidates]
    if not any(c.size for c in candidates):  # texts and tables have no pixels
        place = columns.index("pixels")
        columns, *shown = ([*row[:place], *row[place + 1 :]] for row in (columns, *shown))
    title = f"Candidates, by {metric} on a validation sample"
    emit("table", title=title, columns=columns, rows=shown)
    value = best.score.value
    num = sum(c.score.value == c.score.value for c in candidates)
    why = f"validation {metric} {_number(value)} on a sample"
    among = f" of {len(rows)}" if len(rows) > 1 else ""
    why += f", the best of {num}" if num > 1 else f", the only one{among} that was looked at"
    if 1 < num < len(rows):
        why += f"; {len(rows) - num} more could not be looked at"
    if value != value:
        why = f"the quickest; none of {len(rows)} could be scored in the time for screening"
    address = best.start.address
    chosen: Chosen = {
        "start": address,
        "size": best.size,
        "strategy": best.strategy,
        "candidates": rows,
    }
    return Decided(chosen, why, address)


def _row(candidate: Candidate) -> dict[str, object]:
    """Return a candidate as ``options.json`` keeps it."""
    score = candidate.score
    tried = score.value == score.value
    return {
        "start": candidate.start.address,
        "strategy": candidate.strategy,
        "metric": candidate.metric,
        "score": score.value if tried else None,
        "low": score.low if tried else None,
        "high": score.high if tried else None,
        "pixels": candidate.size or None,
        "seconds": round(candidate.seconds, 2),
        "note": candidate.note,
        "is_late": candidate.is_late,
    }


def _number(value: float) -> str:
    """Return a score; those in the target's units may be large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def _shown(candidate: Candidate) -> list[str]:
    """Return a candidate as the terminal shows it."""
    score = candidate.score
    if score.value != score.value:
        return [candidate.start.address, "", "", "", "", candidate.note]
    return [
        candidate.start.address,
        _number(score.value),
        f"{_number(score.low)} … {_number(score.high)}",
        str(candidate.size or ""),
        f"{candidate.seconds:.1f}",
        candidate.note,
    ]
