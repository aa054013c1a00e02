"""The few learning rates of a family's grid, where the user asks for them: which to take.

A rate is tried in a quarter of the training's steps (``trials``), in fewer where the budget is
short; another than the family's own is taken only where val prefers it beyond noise. What fits is
decided by arithmetic on what a pass was measured to cost, and again on what the first trial did
cost. The choice is a decision of the run, told with its reason, and the same when the run is
resumed.

Deliberately left out: rungs that drop the worse half (three arms leave nothing to halve), other
options than the rate, and trials by several processes, which is said.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from headstart.errors import OptionError
from headstart.events import emit
from headstart.searching.trials import Trial, best_of, gain_over, try_rate
from headstart.tasks import called
from headstart.training.batches.order import Order
from headstart.training.options.defaults import defaults_for
from headstart.training.options.recipe import Recipe
from headstart.tuning.arm import Arm
from headstart.tuning.budget import SHARES, STEP_PASSES
from headstart.tuning.decisions import Decided
from headstart.tuning.hooks import loop_options
from headstart.tuning.setup import TrainingSetup

Row = dict[str, object]

_LEAST_STEPS = 50  # of a trial, where the training has as many
_FEWEST_STEPS = 20  # of a trial that a short budget cuts down; fewer say nothing


class _Chosen(TypedDict):
    """The rate to train with, and a row a trial."""

    learning_rate: float
    trials: list[Row]


@dataclass(frozen=True)
class _Cost:
    """What one training step, and one validation, take in seconds."""

    step: float
    validation: float

    def of(self, recipe: Recipe, order: Order) -> float:
        """Return the seconds of a whole training."""
        options = loop_options(recipe, order, check_seconds=0.0)
        looks = options.num_steps / options.steps_per_check + 1 + options.check_first
        return options.num_steps * self.step + looks * self.validation

    def of_trial(self, num_steps: int) -> float:
        """Return the seconds of a trial."""
        return num_steps * self.step + self.validation


def rates_of(setup: TrainingSetup) -> list[float]:
    """Return the rates to try, ascending, the recipe's own among them; that alone without a grid.

    Args:
        setup: Its recipe's rate is the family's own, as it is at this batch size and strategy.
    """
    own = setup.recipe.learning_rate
    factors = defaults_for(setup.model.encoder.start).grid
    return sorted({own, *(own * factor for factor in factors if factor != 1)})


def settle_learning_rate(arm: Arm) -> list[Row]:
    """Settle the learning rate of an arm, and put it into its recipe; return a row a trial.

    Args:
        arm: Started and not advanced yet; the weights are left exactly as they were.

    Raises:
        StopRequested: If someone asked to stop.
        OptionError: If the budget has no room even for short trials.
    """
    setup, conditions = arm.setup, arm.conditions
    if not setup.strategy.loops or len(rates_of(setup)) < 2:
        return []
    size = conditions.company.size

    def decide() -> Decided[_Chosen]:
        if size > 1:
            why = f"{size} processes train together, and a grid is tried by one alone"
            return _decided(setup.recipe.learning_rate, [], why)
        return _try_rates(arm)

    chosen = conditions.decisions.settle("learning_rate", decide)
    setup.recipe = replace(setup.recipe, learning_rate=chosen["learning_rate"])
    return chosen["trials"]


def _decided(rate: float, trials: list[Row], why: str) -> Decided[_Chosen]:
    return Decided({"learning_rate": rate, "trials": trials}, why, rate)


def _try_rates(arm: Arm) -> Decided[_Chosen]:
    """Try the rates, and choose one."""
    own, rates = arm.setup.recipe.learning_rate, rates_of(arm.setup)
    deadline, each = arm.conditions.deadline, arm.conditions.seconds_per_sample or 0.0
    expected = _Cost(step=STEP_PASSES * each * arm.order.batch_size, validation=each * len(arm.val))
    num_steps = _length(arm, expected, len(rates), _left(deadline))
    emit("stage", text=f"Trying {len(rates)} learning rates, {num_steps} steps each")
    ordered = [own, *(rate for rate in rates if rate != own)]
    trials = _try_all(arm, expected, ordered, num_steps)
    best = best_of(trials)
    why = _why(arm, best, trials, len(rates))
    ascending = sorted(trials, key=lambda trial: trial.learning_rate)
    rows = [_row(arm, trial, trials[0]) for trial in ascending]
    _show(rows, ascending)
    return _decided(best.learning_rate, rows, why)


def _left(deadline: float | None) -> float:
    """Return the seconds until the deadline; infinite without one."""
    return float("inf") if deadline is None else max(0.0, deadline - time.monotonic())


def _length(arm: Arm, cost: _Cost, num_trials: int, left: float) -> int:
    """Return the steps of a trial.

    Raises:
        OptionError: If there is no room for so few as say anything.
    """
    recipe, order = arm.setup.recipe, arm.order
    planned, _ = recipe.length(order.num_samples)
    num_steps = min(planned, max(_LEAST_STEPS, round(SHARES["trial"].share * planned)))
    needed = cost.of(recipe, order) + num_trials * cost.of_trial(num_steps)
    if needed <= left:
        return num_steps
    # trials and training give way alike
    num_steps = int(num_steps * left / needed)
    if num_steps >= _FEWEST_STEPS:
        return num_steps
    raise OptionError(
        f"learning_rate_search is on, and {left:.0f} s are left for {num_trials} trials and a "
        f"training that would take {needed:.0f} s; expected time for {_FEWEST_STEPS} steps a "
        f"trial. Raise --budget, or give --learning-rate a number."
    )


def _try_all(arm: Arm, cost: _Cost, rates: Sequence[float], num_steps: int) -> list[Trial]:
    """Try each rate, the recipe's own first; that one alone comes back where time was misjudged.

    Raises:
        StopRequested: If someone asked to stop.
    """
    deadline = arm.conditions.deadline
    trials: list[Trial] = []
    for number, rate in enumerate(rates):
        emit("task", name="learning rates", done=number, total=len(rates))
        rest, spare = len(rates) - number, _left(deadline) / 2  # the training needs the other half
        if trials and spare < rest * cost.of_trial(num_steps):
            break
        until = None if deadline is None else time.monotonic() + spare / rest
        trial = try_rate(arm, rate, num_steps, deadline=until)
        if trial.num_steps < num_steps and trial.figure is not None:
            trials = trials or [trial]  # cut short by the clock: it compares with none
            break
        trials.append(trial)
        # a small network's step is more than its passes: what was measured counts from now on
        cost = _Cost(
            max(0.0, trial.seconds - cost.validation) / max(1, trial.num_steps), cost.validation
        )
    emit("task", name="learning rates", done=len(rates), total=len(rates))
    return trials if len(trials) == len(rates) else trials[:1]


def _row(arm: Arm, trial: Trial, default: Trial) -> Row:
    """Return a trial as ``options.json`` keeps it: like a candidate."""
    task, figure = arm.setup.model.task, trial.figure
    note = ""
    if figure is None:
        note = "the loss stopped being a number"
    elif trial is default:
        note = "the family's own"
    elif default.figure is not None:
        gain, error = gain_over(default, trial)
        note = (
            f"{task.item_loss} {abs(gain):.4f} ± {error:.4f} {'lower' if gain >= 0 else 'higher'}"
        )
    return {
        "learning_rate": trial.learning_rate,
        "metric": task.headline,
        "score": figure.value if figure else None,
        "low": figure.low if figure else None,
        "high": figure.high if figure else None,
        "num_steps": trial.num_steps,
        "seconds": round(trial.seconds, 2),
        "note": note,
    }


def _why(arm: Arm, best: Trial, trials: Sequence[Trial], num_rates: int) -> str:
    """Return why a rate was chosen."""
    if len(trials) < num_rates:
        return (
            f"trials of {num_rates} take longer than expected ({trials[0].seconds:.0f} s the "
            f"first), and the budget has no room for all"
        )
    figures = " / ".join(
        f"{trial.figure.value:.3f}" if trial.figure else "diverged"
        for trial in sorted(trials, key=lambda trial: trial.learning_rate)
    )
    told = f"{called(arm.setup.model.task.headline)} {figures}"
    if best is not trials[0]:
        return f"best of {num_rates} on val, {told}"
    return f"the family's own; of {num_rates} none is better on val beyond noise, {told}"


def _show(rows: Sequence[Row], trials: Sequence[Trial]) -> None:
    """Tell the trials as a table."""
    shown = []
    for row, trial in zip(rows, trials, strict=True):
        found = trial.figure
        score = [f"{found.value:.3f}", f"{found.low:.3f} … {found.high:.3f}"] if found else ["", ""]
        shown.append([f"{trial.learning_rate:g}", *score, f"{trial.seconds:.1f}", str(row["note"])])
    emit(
        "table",
        title="Learning rates, on val after a short training",
        columns=["learning rate", str(rows[0]["metric"]), "95 % interval", "seconds", "note"],
        rows=shown,
    )
