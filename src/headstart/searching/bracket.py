"""What a search tries: heads that are solved for, and arms of a bracket, by what they cost here.

``arms`` says which ways there are, ``prices`` what each takes; here both become decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from headstart.searching.arms import (
    LEAST_STEPS,
    Entrant,
    arm_specs,
    head_specs,
    plan_bracket,
)
from headstart.searching.context import SearchContext
from headstart.searching.prices import Prices
from headstart.starts import find_start
from headstart.training.options.strategies import AUTO
from headstart.tuning.budget import SHARES, told_seconds
from headstart.tuning.decisions import Decided


def plan_heads(
    entries: Sequence[Entrant], prices: Prices, seconds: float
) -> Decided[list[dict[str, Any]]]:
    """Plan what is solved for without steps, the best pretrained one at more pixels, too.

    Args:
        entries: The starts, the best first.
        prices: Of arms.
        seconds: What all heads may take together.
    """
    plain = head_specs(entries, {})
    larger: dict[str, int] = {}
    if seconds < float("inf"):
        for spec in [one for one in plain if find_start(one.start).pretrained_on][:1]:
            prices.measure_again(spec)  # at how many pixels is settled by its pace alone
            free = seconds - prices.head_seconds(spec)
            if (size := prices.larger_size(spec, free)) is not None:
                larger[spec.start] = size
    return Decided([asdict(spec) for spec in head_specs(entries, larger)])


def plan_arms(
    context: SearchContext,
    entries: Sequence[Entrant],
    prices: Prices,
    left: float,
    few: int,
    has_head: bool,
) -> Decided[dict[str, Any]]:
    """Plan the bracket by what steps are expected to take.

    Where nothing was solved for, what screening left has learned for a moment: a few steps more
    are then all there is. A good head they would only spoil.

    Args:
        context: What all arms share.
        entries: The starts, the best first.
        prices: Of arms; what would be refused by its pace is measured anew.
        left: Seconds until all training has ended.
        few: Steps that an arm must afford where no other does; 0 where there is no other model.
        has_head: Whether something was solved for.
    """
    asked = context.asked.strategy
    rates = {entry.start: prices.rates(entry.start) for entry in entries}
    specs = arm_specs(entries, rates, asked)
    known = set[tuple[str, int | None]]()
    for spec in specs:
        cost = prices.cost(spec)
        is_enough = cost.affordable(left) >= min(cost.num_steps, LEAST_STEPS)
        if not is_enough and (spec.start, spec.size) not in known:
            known.add((spec.start, spec.size))
            prices.measure_again(spec)
    plan = plan_bracket(
        dict.fromkeys(prices.affordable(spec, left) for spec in specs),
        prices.cost,
        final_seconds=left,
        rung_seconds=SHARES["first rung"].share * left,
        budget_seconds=context.budget.limit_seconds,
    )
    arms, dropped = list(plan.arms), list(plan.dropped)
    if not arms and dropped and (asked != AUTO or not has_head):
        cost = prices.cost(dropped[0][0])  # a few steps are all there is
        arms = [dropped.pop(0)[0]] if cost.affordable(left) >= few else []
    told = ", ".join(arm.name for arm in arms) or "none"
    left_out = [[asdict(arm), why] for arm, why in dropped]
    value = {"arms": [asdict(arm) for arm in arms], "dropped": left_out}
    why = f"{told_seconds(left)} are left for training" if arms or dropped else ""
    return Decided(value, why, told)
