"""Find the best way from ranked starts to a model inside a budget: heads, one bracket, a final.

First what can be solved for: a linear head on the frozen features of each start (and what has
nothing to train, such as TF-IDF), on all of train, at the largest input that is affordable. Then
the arms of ``arms.plan_bracket``, all a little way at a constant rate, judged by the average of
their weights; a third of them three times as far; and the best one to its end, with its cooldown.
Where time is left the next best follows. Which of these models is handed over val decides, item by
item (``finalists``). Everything that depends on the clock is a decision of the run, so that a run
that was interrupted goes on with the same arms at the step where each one stood.

Left out: several brackets, and arms by several processes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from headstart.errors import DeviceError, StartError
from headstart.events import emit
from headstart.model import run_batches
from headstart.searching.arms import (
    FEW_STEPS,
    ArmSpec,
    Entrant,
    arm_specs,
    head_specs,
    plan_bracket,
    rung_steps,
    survivors,
)
from headstart.searching.context import Contender, Found, SearchContext
from headstart.searching.finalists import Finalist, choose_finalist, is_surely_lower
from headstart.searching.judging import figures_of, judged_on
from headstart.searching.prices import Prices
from headstart.searching.refit import refit_on_all
from headstart.searching.runner import ArmRunner, Standing, as_it_stands, judged
from headstart.tasks import find_task
from headstart.training.options.strategies import AUTO, find_strategy
from headstart.tuning.budget import SHARES, told_seconds
from headstart.tuning.decisions import Decided
from headstart.tuning.setup import TrainingSetup

_MOST_FINALS = 3
_MOST_RUNGS = 2
_LONGER = 3  # times the steps of a training that has ended and still gained
_MARGIN = 1.25  # times what an arm is expected to take, before it is begun


def hold_contest(
    context: SearchContext,
    entries: Sequence[Entrant],
    prices: Prices,
    former: Mapping[str, TrainingSetup],
) -> Found:
    """Make the models that the budget affords, and say which one to hand over.

    Args:
        context: What all arms share.
        entries: The starts that take part, the best first.
        prices: As ``prepare_prices`` gives them.
        former: Models that the ranking has left, by address: of the best start what it made of a
            sample; of rows of a table what it made of all of train, of every start.

    Raises:
        StopRequested: If someone asked to stop; what was trained lies in the state folder.
        StartError: If not one model could be made.
    """
    return _Contest(context, entries, prices, former).hold()


class _Contest:
    """One search, and what it has made so far."""

    def __init__(
        self,
        context: SearchContext,
        entries: Sequence[Entrant],
        prices: Prices,
        former: Mapping[str, TrainingSetup],
    ) -> None:
        self.context, self.entries, self.prices, self.former = context, entries, prices, former
        self.contenders: list[Contender] = []
        self.rows: dict[str, dict[str, object]] = {}
        self.specs: list[ArmSpec] = []

    def hold(self) -> Found:
        """Solve, halve, train to the end, choose."""
        if self.context.asked.strategy == AUTO:
            self._solve()
        ordered = self._halve()
        self._train(ordered)
        self._lengthen()
        for setup in self.former.values():
            self._add_former(setup)
        return self._choose()

    @property
    def _left(self) -> float:
        """Seconds until all training has ended; infinite without a budget."""
        deadline = self.context.deadline
        return float("inf") if deadline is None else deadline - time.monotonic()

    # What is solved for, without steps.

    def _solve(self) -> None:
        """Fit what needs no steps: heads on frozen features, and models that are solved for."""
        given = self.context.decisions.settle("heads", self._plan_heads)
        specs = [ArmSpec(**spec) for spec in given]
        ends = time.monotonic() + SHARES["heads"].share * self._left
        for number, spec in enumerate(specs):
            emit("task", name="heads", done=number, total=len(specs), start=spec.name)
            if self._takes_former(spec):
                continue
            free = ends - time.monotonic()
            if number > 0 and self.prices.head_seconds(spec) > free:
                self._tell(spec, None, "not made: the time for heads is spent")
                continue
            # features that a bigger budget has time for are no matter of the clock
            deadline = None if self._left == float("inf") else max(ends, time.monotonic() + 1.0)
            context = replace(self.context, deadline=deadline)
            self.specs.append(spec)
            try:
                runner = ArmRunner(spec, context, *self.prices.samples(spec))
                standing = runner.advance()
            except (StartError, DeviceError) as error:
                self._tell(spec, None, f"left out: {error}")
                continue
            self._tell(spec, standing, "solved for")
            self._add(runner.finish())
        emit("task", name="heads", done=len(specs), total=len(specs))
        self._put_by(specs)

    def _put_by(self, specs: Sequence[ArmSpec]) -> None:
        """Put time by for the test passes of a head that sees more pixels than the others."""
        if self.context.deadline is None or not specs:
            return
        each = [self.prices.each(spec) for spec in specs]
        more = 2 * len(self.context.dataset.test) * (max(each) - each[0])
        self.context = replace(self.context, deadline=self.context.deadline - more)

    def _plan_heads(self) -> Decided[list[dict[str, Any]]]:
        seconds = SHARES["heads"].share * self._left
        plain = head_specs(self.entries, {})
        larger: dict[str, int] = {}
        if seconds < float("inf"):
            for spec in plain[:1]:
                free = seconds - self.prices.head_seconds(spec)
                if (size := self.prices.larger_size(spec, free)) is not None:
                    larger[spec.start] = size
        return Decided([asdict(spec) for spec in head_specs(self.entries, larger)])

    # What learns by steps.

    def _halve(self) -> list[tuple[ArmRunner, Standing | None]]:
        """Compare the arms in rungs; return those to train to their end, the best first."""
        plan = self.context.decisions.settle("arms", self._plan_arms)
        runners = [self._runner(ArmSpec(**spec)) for spec in plan["arms"]]
        for spec, why in plan["dropped"]:
            self._tell(ArmSpec(**spec), None, f"not tried: {why}")
        if len(runners) < 2:
            return [(runner, None) for runner in runners]
        emit("stage", text=f"Comparing {len(runners)} ways of fine-tuning")
        ends = time.monotonic() + SHARES["rungs"].share * self._left
        ordered: list[tuple[ArmRunner, Standing | None]] = []
        for rung in range(_MOST_RUNGS):
            standings = self._rung(runners, rung)
            kept = survivors([(s, one.loss) for s, one in standings.items()], is_first=rung == 0)
            later = [(r, standings[r.spec]) for r in runners if r.spec not in kept]
            later = [one for one in later if one[1].loss < float("inf")]
            # those that went further stand before those that were dropped earlier
            ordered = [*sorted(later, key=lambda one: one[1].loss), *ordered]
            runners = sorted(
                (r for r in runners if r.spec in kept), key=lambda r: kept.index(r.spec)
            )
            first = [(r, standings[r.spec]) for r in runners]
            if len(runners) < 2 or not self._has_time(runners, rung + 1, ends):
                break
        return [*first, *ordered]

    def _plan_arms(self) -> Decided[dict[str, Any]]:
        """Plan the bracket by what steps are expected to take."""
        asked, budget = self.context.asked.strategy, self.context.budget
        rates = {entry.start: self.prices.rates(entry.start) for entry in self.entries}
        left = self._left
        specs = arm_specs(self.entries, rates, asked)
        plan = plan_bracket(
            dict.fromkeys(self.prices.affordable(spec, left) for spec in specs),
            self.prices.cost,
            final_seconds=left,
            rung_seconds=SHARES["first rung"].share * left,
            budget_seconds=budget.limit_seconds,
        )
        arms, dropped = list(plan.arms), list(plan.dropped)
        few = FEW_STEPS if self.contenders or self.former else 0
        if not arms and dropped and (asked != AUTO or not few):
            cost = self.prices.cost(dropped[0][0])  # a few steps are all there is
            arms = [dropped.pop(0)[0]] if cost.affordable(left) >= few else []
        told = ", ".join(arm.name for arm in arms) or "none"
        left_out = [[asdict(arm), why] for arm, why in dropped]
        value = {"arms": [asdict(arm) for arm in arms], "dropped": left_out}
        why = f"{told_seconds(left)} are left for training" if arms or dropped else ""
        return Decided(value, why, told)

    def _runner(self, spec: ArmSpec) -> ArmRunner:
        self.specs.append(spec)
        return ArmRunner(spec, self.context, *self.prices.samples(spec))

    def _rung(self, runners: Sequence[ArmRunner], rung: int) -> dict[ArmSpec, Standing]:
        """Advance every arm to the end of a rung; return how each stands."""
        found = {}
        name = f"rung {rung + 1}"
        fitted: dict[tuple[str, int | None, bool], Any] = {}
        for number, runner in enumerate(runners):
            spec = runner.spec
            emit("task", name=name, done=number, total=len(runners), start=spec.name)
            kind = (spec.start, spec.size, find_strategy(spec.strategy).is_cacheable)
            runner.fitted = runner.fitted or fitted.get(kind)
            settle = self.context.decisions.settle
            told = settle(f"{name}: {spec.name}", partial(self._advance, runner, rung))
            fitted[kind] = runner.fitted
            standing = found[spec] = Standing.from_json(told)
            self._tell(spec, standing, f"{standing.step} steps, {name}")
        emit("task", name=name, done=len(runners), total=len(runners))
        return found

    def _advance(self, runner: ArmRunner, rung: int) -> Decided[Mapping[str, Any]]:
        cost = self.prices.cost(runner.spec)
        to_step = rung_steps(cost.first_steps, rung)
        until = time.monotonic() + 2 * cost.of(to_step) if self._left < float("inf") else None
        try:
            standing = runner.advance(to_step, until)
        except (StartError, DeviceError) as error:
            emit("note", text=f"{runner.spec.name} was left out: {error}")
            standing = Standing(float("inf"), None, 0, runner.seconds)
        return Decided(standing.to_json())

    def _has_time(self, runners: Sequence[ArmRunner], rung: int, ends: float) -> bool:
        """Settle whether a rung fits the time for rungs."""

        def decide() -> Decided[bool]:
            costs = [self.prices.cost(runner.spec) for runner in runners]
            needed = sum(
                cost.of(rung_steps(cost.first_steps, rung) - rung_steps(cost.first_steps, rung - 1))
                for cost in costs
            )
            is_unlimited = self._left == float("inf")
            return Decided(is_unlimited or time.monotonic() + needed < ends)

        return self.context.decisions.settle(f"time for rung {rung + 1}", decide)

    def _train(self, ordered: Sequence[tuple[ArmRunner, Standing | None]]) -> None:
        """Train the best arm to its end, and the next ones where there is time."""
        for number, (runner, standing) in enumerate(ordered[:_MOST_FINALS]):
            if number == 0 or self._has_time_to_end(runner, standing, f"final {number + 1}"):
                self._train_to_end(runner)

    def _train_to_end(self, runner: ArmRunner) -> Contender | None:
        """Train an arm to its end; return what came of it, None where it diverged."""
        found = runner.advance()
        if found.figure is None:
            self._tell(runner.spec, found, "diverged")
            return None
        contender = runner.finish()
        result, note = contender.tuned.result, "trained to its end"
        if result is not None:
            planned, _ = contender.setup.recipe.length(len(contender.train))
            note = f"{result.state.step} of {planned} steps"
            if result.ended == "early":
                note += ", then val no longer gained"
        self._tell(runner.spec, found, note)
        self._add(contender)
        return contender

    def _lengthen(self) -> None:
        """Train the best arm longer, from its beginning, as there is time and val surely gains.

        A schedule that has cooled down cannot be gone on with; a longer one is another training.
        """
        while (spec := self._best_trained()) is not None:
            longer = replace(spec, length=spec.length * _LONGER)
            runner = self._runner(longer)
            if not self._has_time_to_end(runner, None, longer.name):
                return
            before = next(c for c in self.contenders if c.name == spec.name)
            after = self._train_to_end(runner)
            if after is None or not is_surely_lower(*self._finalists([before, after])):
                return

    def _best_trained(self) -> ArmSpec | None:
        """Return the arm that trained best, where it took all its steps; None without one."""
        trained = [c for c in self.contenders if c.is_trained and c.tuned.result is not None]
        if not trained:
            return None
        best, _ = choose_finalist(self._finalists(trained))
        contender = next(c for c in trained if c.name == best.name)
        result = contender.tuned.result
        assert result is not None
        is_whole = result.ended == "finished"
        specs = {spec.name: spec for spec in self.specs}
        return specs[best.name] if is_whole else None

    def _has_time_to_end(self, runner: ArmRunner, standing: Standing | None, what: str) -> bool:
        """Settle whether an arm can be trained to its end in the time that is left."""

        def decide() -> Decided[bool]:
            cost = self.prices.cost(runner.spec)
            done = standing.step if standing else 0
            each = cost.step
            if standing is not None and standing.step:
                each = max(0.0, standing.seconds - cost.before) / standing.step
            needed = (cost.num_steps - done) * each + cost.validation
            return Decided(self._left < float("inf") and _MARGIN * needed < self._left)

        return self.context.decisions.settle(f"time for {what}", decide)

    # Which one is handed over.

    def _add(self, contender: Contender) -> None:
        """Take a model among those that could be handed over; keep the best on the disk."""
        self.contenders.append(contender)
        best, _ = choose_finalist(self._finalists(self.contenders))
        if best.name == contender.name:
            self.context.save(contender)

    def _takes_former(self, spec: ArmSpec) -> bool:
        """Take what the ranking has made of all of train, where that is the same head."""
        setup = self.former.get(spec.start)
        is_whole = self.context.dataset.schema.facts.is_prepared_at_once
        if setup is None or setup.strategy.loops or not is_whole:
            return False
        self._add_made(spec.name, spec, setup, "solved for while starts were ranked")
        return True

    def _add_former(self, setup: TrainingSetup) -> None:
        """Take what the ranking has left, too."""
        address = setup.model.encoder.start.address
        if any(c.setup is setup for c in self.contenders):
            return
        spec = ArmSpec(address, setup.strategy.name, size=setup.size)
        name = f"{address} as the ranking left it"
        self._add_made(name, spec, setup, "made while starts were ranked")

    def _add_made(self, name: str, spec: ArmSpec, setup: TrainingSetup, note: str) -> None:
        train, val = self.prices.samples(spec)
        logits = run_batches(setup.model, val, setup.model)
        standing = Standing(*judged(setup, logits, val), 0, 0.0)
        self.rows[name] = {**self._row(spec, standing, note), "arm": name}
        self._add(as_it_stands(name, setup, logits, train, val))

    def _choose(self) -> Found:
        if not self.contenders:
            notes = "; ".join(f"{name} {row['note']}" for name, row in self.rows.items())
            raise StartError(
                f"Not one model could be made: {notes or 'no start has a way of learning'}. "
                f"Expected one. Raise --budget, or name other starts with --starts."
            )
        finalists = self._finalists(self.contenders)
        best, why = choose_finalist(finalists)
        winner = next(c for c in self.contenders if c.name == best.name)
        others = [c for c in self.contenders if c is not winner]
        again = self._refit(winner)
        return Found(winner, why, others, list(self.rows.values()), again)

    def _refit(self, winner: Contender) -> str | None:
        """Fit what is solved for on val too, where that pays and there is time."""
        spec = next((s for s in self.specs if s.name == winner.name), None)
        if spec is None or winner.is_trained:
            return None
        if 2 * self.prices.head_seconds(spec) > max(0.0, self._left):
            return None
        return refit_on_all(winner, deadline=self.context.deadline)

    def _finalists(self, contenders: Sequence[Contender]) -> list[Finalist]:
        """Judge models on the val items that all of them have."""
        common = contenders[0].val.ids
        for one in contenders[1:]:
            common = common[np.isin(common, one.val.ids)]
        return [judged_on(one, common) for one in contenders]

    def _tell(self, spec: ArmSpec, standing: Standing | None, note: str) -> None:
        """Note how an arm stands."""
        self.rows[spec.name] = self._row(spec, standing, note)

    def _row(self, spec: ArmSpec, standing: Standing | None, note: str) -> dict[str, object]:
        """Return an arm as ``options.json`` keeps it."""
        task = find_task(self.context.dataset.schema.task)
        return {
            "arm": spec.name,
            **asdict(spec),
            "pixels": spec.size,
            "metric": task.headline,
            **figures_of(standing),
            "note": note,
        }
