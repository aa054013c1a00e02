"""The search of ``fit`` as a recipe: from ranked starts to the model that is handed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from headstart.events import emit
from headstart.recipes.audited import with_estimates
from headstart.recipes.complete import READ_AGAIN, STANDS, Tried, conclude_run, note_former
from headstart.recipes.findings import tell_findings
from headstart.training.options.strategies import AUTO
from headstart.training.options.training_options import training_options

if TYPE_CHECKING:
    from headstart.auditing.probe_features import Look
    from headstart.recipes.options import FitOptions
    from headstart.recipes.session import Session
    from headstart.searching.arms import Entrant
    from headstart.searching.context import Contender, Found, SearchContext
    from headstart.searching.pool import FormerSearch, ModelPool
    from headstart.searching.prices import Prices
    from headstart.tuning.budget import Budget, BudgetPlan
    from headstart.tuning.setup import TrainingSetup
    from headstart.tuning.texts import TextCache
    from headstart.tuning.together import Together
    from headstart.types import Dataset, Inputs, SplitName


def search(
    current: Session,
    dataset: Dataset,
    ranked: Sequence[Mapping[str, Any]],
    screened: Mapping[str, TrainingSetup],
    budget: Budget,
    texts: TextCache | None,
    asked: FitOptions,
) -> str | None:
    """Search from ranked starts, evaluate what was found, and write the run folder.

    Args:
        current: The session.
        dataset: The data.
        ranked: A record of each start, the best first.
        screened: What screening has left of the best one, and of rows of all, by address, if this
            attempt has screened.
        budget: The budget.
        texts: What the run keeps of its texts.
        asked: What the user said, without an ``auto`` but that of the strategy.

    Returns:
        Why a larger budget may give more; None where nothing says so.

    Raises:
        KeyboardInterrupt: After the state was saved, if someone asked to stop.
    """
    from headstart.searching.pool import FormerSearch
    from headstart.searching.prices import prepare_prices
    from headstart.searching.record import keep_record, read_search, write_search

    folder = current.folder
    from headstart.recipes.entrants import entries_of, more_pixels, second_look

    ranked = second_look(current, dataset, ranked, budget, texts, asked)
    ranked = more_pixels(current, dataset, ranked, budget, texts, asked)
    entries = entries_of(ranked, dataset, asked.strategy)
    context, plan = _context(current, dataset, entries, budget, texts, asked)
    _send_search(current, context, asked)
    with plan.stage("samples", budget):
        prices = prepare_prices(context, entries)
    former = read_search(folder.path, context, prices) if current.is_reopened else FormerSearch()
    with plan.stage("training", budget):
        found, pool = _hold(current, context, entries, prices, screened, former)
    _tell(found, asked.strategy)
    served = _hand_over(current, context, found, former, plan, ranked, asked)
    current.remember()
    write_search(folder.write, pool, served, current.kept_plan)
    keep_record(dataset, pool)
    folder.finish()
    return found.more


def _send_search(current: Session, context: SearchContext, asked: FitOptions) -> None:
    """Tell the workers what all arms share: each advances arms of its own."""
    company, budget = current.company, context.budget
    if company.size > 1:
        why = "so many were started; each advances an arm at a time"
        emit("choice", name="processes", value=company.size, why=why)
    company.send(
        "search",
        asked=asked.to_json(),
        limit=budget.limit_seconds,
        spent=budget.spent,
        state=str(context.state.absolute()),
        open_options=sorted(context.open_options),
    )


def _hand_over(
    current: Session,
    context: SearchContext,
    found: Found,
    former: FormerSearch,
    plan: BudgetPlan,
    ranked: Sequence[Mapping[str, Any]],
    asked: FitOptions,
) -> list[Contender]:
    """Evaluate what is handed over and write the run folder; return the models that are served.

    Where a finished run was gone on with and its models stand, its figures do, too: the test split
    is not read again.
    """
    from headstart.recipes.late_audits import with_late_audits
    from headstart.tuning.baselines import Items
    from headstart.tuning.calibrating import calibrate
    from headstart.tuning.conclude import frozen_seconds
    from headstart.tuning.setup import prepare_sample

    winner, dataset, budget = found.winner, context.dataset, context.budget
    tell_findings(winner.train.findings)
    calibrate(winner.setup.model, winner.tuned.val_logits, winner.val.targets)
    test = prepare_sample(dataset, "test", winner.setup, None, seed=asked.seed)
    together, served = (None, [winner]) if asked.single else _together(found, dataset, test, budget)
    tried = Tried(candidates=ranked, arms=found.rows)
    if former.served and served == [one for one, _ in former.served]:
        emit("note", text=STANDS)
        note_former(current, tried)
        return served
    if former.served:
        emit("note", text=READ_AGAIN)
    look = _look(found, asked, context.texts)
    reserve = _reserve(served, dataset, plan, budget)
    audited = with_late_audits(current, dataset, budget, asked.seed, reserve)
    # what was not looked for is graver than a baseline left out, and that than a doubtful label
    kept = min(plan.seconds("conclusion"), reserve + frozen_seconds(dataset, winner.setup, budget))
    audited = with_estimates(current, audited, plan, budget, asked.seed, look, kept)
    items = Items(audited, winner.train, winner.val, test)
    conclude_run(
        current,
        items,
        winner.setup,
        winner.tuned,
        budget=budget,
        plan=plan,
        tried=tried,
        together=together,
    )
    if former.served and together is None:
        current.folder.remove("members")
    return served


def _reserve(
    served: Sequence[Contender], dataset: Dataset, plan: BudgetPlan, budget: Budget
) -> float:
    """Return what the conclusion needs for what is handed over, in seconds.

    It was planned for the first start, before anything of it was measured in use.
    """
    from headstart.tuning.planning import conclusion_seconds

    needed = sum(conclusion_seconds(dataset, one.setup, budget) for one in served)
    return min(plan.seconds("conclusion"), needed)


def _tell(found: Found, asked: str) -> None:
    """Say what is handed over, and why, and whether more time may help."""
    from headstart.searching.more import tell_more

    emit("choice", name="model", value=found.winner.name, why=found.why)
    if found.refitted:
        emit("choice", name="learned from", value="train and val", why=found.refitted)
    tell_more(found.winner.tuned, found.more)
    _tell_strategy(found, asked)


def _look(found: Found, asked: FitOptions, texts: TextCache | None) -> Look:
    """Return whose features audits read: those of a pretrained start that a head was fitted to."""
    from headstart.auditing.probe_features import Look

    options = training_options(asked)
    for one in (found.winner, *found.others):
        start, setup = one.setup.model.encoder.start, one.setup
        if start.pretrained_on and not setup.strategy.loops:
            held: dict[SplitName, Inputs] = {"train": one.train, "val": one.val}
            return Look(start, replace(options, input_size=setup.size), texts, held)
    return Look(None, options, texts)


def _tell_strategy(found: Found, asked: str) -> None:
    """Say where what is handed over was not made as the user asked."""
    winner = found.winner
    if asked in (AUTO, winner.setup.strategy.name):
        return
    is_beaten = any(one.setup.strategy.name == asked for one in found.others)
    why = (
        "val says that it is better" if is_beaten else "there was no time for that; raise --budget"
    )
    emit("note", text=f"--strategy {asked} was asked for, and {winner.name} is handed over: {why}.")


def _together(
    found: Found, dataset: Dataset, test: Inputs, budget: Budget
) -> tuple[Together | None, list[Contender]]:
    """Return the models that answer together, where val says that this is better; else one alone.

    Args:
        found: The winner, and the others.
        dataset: The data.
        test: The test split as the winner takes it.
        budget: A second pass over test has to fit what is left.
    """
    import numpy as np

    from headstart.model import Ensemble, Member
    from headstart.searching.ensembling import choose_ensemble
    from headstart.tasks import array_of, find_task
    from headstart.tuning.budget import PASS_MARGIN
    from headstart.tuning.calibrating import calibrate, unseen_val_outputs
    from headstart.tuning.cost import seconds_per_sample
    from headstart.tuning.setup import prepare_sample
    from headstart.tuning.together import Together

    winner, task = found.winner, find_task(dataset.schema.task)
    if task.tells_words or task.parts:
        return None, [winner]  # a mean of tags, or of answers of several meanings, is not told yet
    alike = [o for o in found.others if np.array_equal(o.val.ids, winner.val.ids)]
    members = [winner, *alike]
    costs = [seconds_per_sample(one.setup, dataset, budget) for one in members]
    groups = dataset.val.groups_of(winner.val.ids)
    outputs = []
    for one in members:
        calibrate(one.setup.model, one.tuned.val_logits, one.val.targets)
        said, _ = unseen_val_outputs(one.setup.model, one.tuned.val_logits, one.val, groups)
        outputs.append(array_of(said))
    chosen = choose_ensemble(outputs, winner.val.targets, costs, task=task, single=0, groups=groups)
    needed = budget.load * PASS_MARGIN * len(test) * sum(costs[place] for place in chosen.places)
    if len(chosen.places) > 1 and budget.left < 2 * needed:
        emit("note", text="No ensemble: the budget has no time for its test pass.")
        return None, [winner]
    if len(members) > 1:
        names = ", ".join(members[place].name for place in chosen.places)
        emit("choice", name="ensemble", value=names, why=chosen.why)
    if len(chosen.places) < 2:
        return None, [winner]
    taken = [members[place] for place in chosen.places]
    seed = winner.setup.recipe.seed
    tests = [
        test if one is winner else prepare_sample(dataset, "test", one.setup, None, seed=seed)
        for one in taken
    ]
    if not all(np.array_equal(one.ids, test.ids) for one in tests):
        emit("note", text="No ensemble: its members cannot read the same test items.")
        return None, [winner]
    served = [
        Member(one.setup.model, weight, one.setup.recipe.strategy)
        for one, weight in zip(taken, chosen.weights, strict=True)
    ]
    return Together(Ensemble(served), [one.tuned.val_logits for one in taken], tests), taken


def _context(
    current: Session,
    dataset: Dataset,
    entries: Sequence[Entrant],
    budget: Budget,
    texts: TextCache | None,
    asked: FitOptions,
) -> tuple[SearchContext, BudgetPlan]:
    """Return what all arms share, and the plan that it obeys."""
    from headstart.searching.arms import ArmSpec
    from headstart.searching.context import SearchContext
    from headstart.searching.ending import TrainingEnd
    from headstart.searching.runner import built
    from headstart.tuning.planning import conclusion_seconds, plan_tuning
    from headstart.tuning.step_format import open_formats

    said = current.plan["options"]
    context = SearchContext(
        dataset=dataset,
        asked=asked,
        device=current.company.device,
        budget=budget,
        deadline=budget.deadline(),
        decisions=current.decisions,
        state=current.folder.state,
        texts=texts,
        open_options=open_formats(said),
        # while a finished run is gone on with, its model stands with its figures
        save=_nowhere if current.is_reopened else partial(_save, current, dataset),
    )
    first = ArmSpec(entries[0].start, entries[0].strategy, size=entries[0].size)
    setup = context.spare[first] = built(first, context)
    plan = plan_tuning(dataset, setup, budget)
    reserve = min(plan.seconds("conclusion"), budget.may_take("conclusion"))

    def needed() -> float:
        return min(reserve, conclusion_seconds(dataset, setup, budget)) + plan.seconds("estimates")

    end = TrainingEnd(budget, needed)
    return replace(context, deadline=end.at, end=end), plan


def _hold(
    current: Session,
    context: SearchContext,
    entries: Sequence[Entrant],
    prices: Prices,
    screened: Mapping[str, TrainingSetup],
    former: FormerSearch,
) -> tuple[Found, ModelPool]:
    """Hold the contest; where someone asked to stop, what was trained lies in the folder.

    Raises:
        KeyboardInterrupt: After that.
    """
    from headstart.searching.contest import hold_contest
    from headstart.searching.crew import asked_anywhere
    from headstart.training.contract import StopRequested
    from headstart.tuning.stop import graceful_stop

    with graceful_stop() as stop:
        asked_to_stop = partial(asked_anywhere, stop, current.company)
        try:
            found = hold_contest(
                replace(context, stop_requested=asked_to_stop),
                entries,
                prices,
                screened,
                current.company,
                former,
            )
        except StopRequested as error:
            raise KeyboardInterrupt(stop.signal_number) from error
    if stop.requested:
        raise KeyboardInterrupt(stop.signal_number)
    return found


def _save(current: Session, dataset: Dataset, contender: Contender) -> None:
    """Keep a model that can be used from now on."""
    from headstart.tuning.calibrating import calibrate
    from headstart.tuning.conclude import save_model

    calibrate(contender.setup.model, contender.tuned.val_logits, contender.val.targets)
    save_model(current.folder, dataset, contender.setup)


def _nowhere(contender: Contender) -> None:
    """Keep no model before the end."""
