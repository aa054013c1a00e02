"""The last stretch of ``finetune`` and ``fit``: prepare, train, read the test split, write it down.

Everything that is chosen on the way is settled before the training (``tuning.decisions``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from headstart.events import command_words
from headstart.recipes.audited import with_estimates
from headstart.recipes.findings import tell_findings
from headstart.recipes.going_on import as_command
from headstart.recipes.processes import launch_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headstart.auditing.probe_features import Look
    from headstart.recipes.session import Session
    from headstart.storage.run_folder import RunFolder
    from headstart.training.company import Company
    from headstart.tuning.arm import Tuned
    from headstart.tuning.baselines import Items
    from headstart.tuning.budget import Budget, BudgetPlan
    from headstart.tuning.setup import TrainingSetup
    from headstart.tuning.stop import StopRequest
    from headstart.tuning.together import Together
    from headstart.types import Dataset, Inputs

STANDS = (
    "What the finished run handed over is still the best on val. It stands with its figures, and "
    "the test split was not read again."
)
READ_AGAIN = (
    "The test split is read once more, for the new model alone; the figures of the one before are "
    "replaced, and did not decide."
)


@dataclass(frozen=True)
class Tried:
    """What was tried on the way, for ``options.json``: starts, learning rates, arms."""

    candidates: Sequence[Mapping[str, object]] = ()
    trials: Sequence[Mapping[str, object]] = ()
    arms: Sequence[Mapping[str, object]] = ()


def _is_always_better(setup: TrainingSetup, tuned: Tuned, val: Inputs) -> bool:
    """Hand over what was trained: there is nothing else."""
    return True


def complete(
    current: Session,
    dataset: Dataset,
    setup: TrainingSetup,
    budget: Budget,
    look: Look,
    *,
    tried: Tried | None = None,
    searches_rate: bool = False,
    is_better: Callable[[TrainingSetup, Tuned, Inputs], bool] = _is_always_better,
) -> Tuned:
    """Prepare, fine-tune, evaluate, and write every file of the run folder; it is not closed yet.

    Args:
        current: The session.
        dataset: The data.
        setup: The model to fine-tune.
        budget: The budget.
        look: Whose features audits read.
        tried: What was tried before, for ``options.json``.
        searches_rate: Whether other learning rates are tried first.
        is_better: Asked of what was trained and of val, before the test split is read; where it is
            not better what stands in the folder stands.

    Returns:
        How the training went.

    Raises:
        KeyboardInterrupt: After the state was saved, if someone asked to stop.
    """
    from headstart.recipes.late_audits import with_late_audits
    from headstart.tuning.baselines import Items
    from headstart.tuning.conclude import save_model
    from headstart.tuning.cost import seconds_per_sample
    from headstart.tuning.fitting import prepare_splits, settle_limits
    from headstart.tuning.messages import send_setup, send_train
    from headstart.tuning.planning import conclusion_seconds, plan_tuning

    folder, company = current.folder, current.company
    plan = plan_tuning(dataset, setup, budget)
    each = seconds_per_sample(setup, dataset, budget)
    send_setup(company, setup)
    with plan.stage("samples", budget):
        limits = settle_limits(current.decisions, dataset, setup, each, budget)
        items = Items(dataset, *prepare_splits(dataset, setup, limits))
    send_train(company)
    tell_findings(items.train.findings)
    on_usable = _nothing if current.is_reopened else partial(save_model, folder, dataset, setup)
    with plan.stage("training", budget):
        tuned, trials = _tune(current, items, setup, budget, plan, on_usable, searches_rate)
    tried = replace(tried or Tried(), trials=trials)
    if not is_better(setup, tuned, items.val):
        note_former(current, tried)
        return tuned
    look = replace(look, held={"train": items.train, "val": items.val})
    reserve = min(plan.seconds("conclusion"), conclusion_seconds(dataset, setup, budget))
    seed = setup.recipe.seed
    audited = with_late_audits(current, dataset, budget, seed, reserve)
    audited = with_estimates(current, audited, plan, budget, seed, look, reserve)
    items = replace(items, dataset=audited)
    conclude_run(current, items, setup, tuned, budget=budget, plan=plan, tried=tried)
    return tuned


def _nothing() -> None:
    """Keep no model before the end: another one stands."""


def conclude_run(
    current: Session,
    items: Items,
    setup: TrainingSetup,
    tuned: Tuned,
    *,
    budget: Budget,
    plan: BudgetPlan,
    tried: Tried,
    together: Together | None = None,
) -> None:
    """Read the test split, and write every file of the run folder.

    Args:
        current: The session.
        items: The data, and its splits prepared for the model.
        setup: The model to hand over.
        tuned: How its training went.
        budget: The budget.
        plan: Tells what this may take.
        tried: For ``options.json``.
        together: The models that are handed over together, the first of them ``setup``'s.
    """
    options = _options(current, setup, tuned, tried)
    with plan.stage("conclusion", budget):
        _conclude(current.folder, items, setup, tuned, budget, finite(options), together)


def note_former(current: Session, tried: Tried) -> None:
    """Write what was tried beside a model that stands, with its figures, since a run before.

    Args:
        current: The session, of a finished run that was gone on with.
        tried: Of both.
    """
    folder = current.folder
    former = folder.read_json("options.json") or {}
    told: list[Any] = former.get("choices", [])  # type: ignore[assignment]
    last = {choice["name"]: choice["value"] for choice in told}
    anew = [c for c in current.choices if (c["name"], c["value"]) not in last.items()]
    choices = [*told, *anew]
    own = {"options": current.plan["options"], "choices": choices, "arms": tried.arms}
    folder.write_json("options.json", finite({**former, **own, "launch": launch_name()}))
    _write_page(folder)


def _write_page(folder: RunFolder) -> None:
    """Write what people look at: the model card, and the page."""
    from headstart.reporting import render_folder
    from headstart.reporting.card import CARD, render_card

    names = ("metrics.json", "model.json", "data.json", "options.json")
    records = [folder.read_json(name) or {} for name in names]
    folder.write(CARD, render_card(*records).encode(errors="backslashreplace"))
    folder.write("report.html", render_folder(folder.path).encode(errors="backslashreplace"))


def _conclude(
    folder: RunFolder,
    items: Items,
    setup: TrainingSetup,
    tuned: Tuned,
    budget: Budget,
    options: dict[str, object],
    together: Together | None,
) -> None:
    """Read the test split and write what a reader looks at."""
    from headstart.model import Ensemble, Member
    from headstart.recipes.explained import EXPLANATIONS, explain_at_end, shown_ids
    from headstart.tuning.conclude import conclude
    from headstart.tuning.cost import seconds_per_sample

    conclude(folder, items, setup, tuned, budget=budget, options=options, together=together)
    one = Ensemble([Member(setup.model, strategy=setup.strategy.name)])
    ensemble = one if together is None else together.ensemble
    each = seconds_per_sample(setup, items.dataset, budget)
    shown = shown_ids(folder.path)
    if record := explain_at_end(ensemble, items.dataset, shown, budget, each):
        folder.write_json(EXPLANATIONS, record)
    _write_page(folder)


def _tune(
    current: Session,
    items: Items,
    setup: TrainingSetup,
    budget: Budget,
    plan: BudgetPlan,
    on_usable: Callable[[], None],
    searches_rate: bool,
) -> tuple[Tuned, Sequence[Mapping[str, object]]]:
    """Fine-tune; where someone asked to stop, keep what there is. Return the trials, too.

    Raises:
        KeyboardInterrupt: After that.
    """
    from headstart.searching.learning_rates import settle_learning_rate
    from headstart.training.contract import StopRequested
    from headstart.training.state.checkpoint import CheckpointFolder
    from headstart.tuning.arm import Arm
    from headstart.tuning.calibrating import calibrate
    from headstart.tuning.conclude import save_model
    from headstart.tuning.conditions import Conditions
    from headstart.tuning.cost import seconds_per_sample
    from headstart.tuning.planning import training_end
    from headstart.tuning.step_format import open_formats
    from headstart.tuning.stop import graceful_stop

    said = current.plan["options"]
    # what planning left is less where preparing has taken longer than it may
    reserve = min(plan.seconds("conclusion"), budget.may_take("conclusion"))
    with graceful_stop() as stop:
        conditions = Conditions(
            checkpoints=CheckpointFolder(current.folder.state),
            deadline=budget.deadline(reserve + plan.seconds("estimates")),
            move_deadline=partial(training_end, items.dataset, setup, budget, plan, reserve),
            seconds_per_sample=budget.load * seconds_per_sample(setup, items.dataset, budget),
            stop_requested=partial(stop_requested, stop, current.company),
            on_usable=on_usable,
            decisions=current.decisions,
            company=current.company,
            is_micro_batch_said=said.get("micro_batch_size") is not None,
            open_options=open_formats(said),
        )
        arm = Arm(setup, items.train, items.val, conditions)
        try:
            arm.start()
            trials = settle_learning_rate(arm) if searches_rate else []
            arm.advance()
        except StopRequested as error:  # there is nothing to keep yet
            raise KeyboardInterrupt(stop.signal_number) from error
        tuned = arm.finish()
    # without a loop (strategy head) nobody has answered the request yet
    ended = tuned.result.ended if tuned.result else "interrupted" if stop.requested else "finished"
    if ended == "interrupted":
        if not current.is_reopened:
            calibrate(setup.model, tuned.val_logits, items.val.targets)
            save_model(current.folder, items.dataset, setup)
        raise KeyboardInterrupt(stop.signal_number)
    return tuned, trials


def stop_requested(stop: StopRequest, company: Company) -> bool:
    """Return whether someone asked this process to stop, or another that trains with it."""
    if company.stop_number and not stop.requested:
        stop.signal_number = company.stop_number
    return stop()


def _options(
    current: Session,
    setup: TrainingSetup,
    tuned: Tuned,
    tried: Tried,
) -> dict[str, object]:
    """Return the content of ``options.json``."""
    from headstart.tuning.conclude import describe_machine

    result = tuned.result
    return {
        "verb": current.plan["verb"],
        "command": list(command_words()) or as_command(current.plan),
        "finished_at": datetime.now().astimezone().isoformat(timespec="seconds"),
        "options": current.plan["options"],
        "recipe": asdict(setup.recipe),
        "choices": current.choices,
        "candidates": tried.candidates,
        "trials": tried.trials,
        "arms": tried.arms,
        "machine": describe_machine(),
        "processes": current.company.size,
        "launch": launch_name(),
        "training": asdict(result.state) | {"ended": result.ended} if result else None,
    }


def finite(record: Any) -> Any:
    """Return a JSON-able copy in which what is not finite is None."""
    if isinstance(record, dict):
        return {key: finite(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [finite(value) for value in record]
    if isinstance(record, float) and (record != record or abs(record) == float("inf")):
        return None
    return record
