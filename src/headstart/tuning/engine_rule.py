"""Engines in a run: what its options say of passes, what it settles once, and its frozen parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from headstart.engines import (
    ENGINES,
    PLAIN,
    Choice,
    ChosenPass,
    Pass,
    PassJob,
    PassRule,
    choose_pass,
    present_rule,
    read_choice,
    trial_seconds,
)
from headstart.model import Model, Sampler, network_digest, pass_size
from headstart.training.frozen.cut import Cut
from headstart.training.options.common_options import CommonOptions
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decided, Decisions
from headstart.types import Inputs

_FROZEN = "the frozen part"


def engine_rule(
    engine: str, precision: str, *, budget_seconds: float | None, decisions: Decisions
) -> PassRule:
    """Return what holds for the passes of a verb.

    Args:
        engine: As it was asked for.
        precision: As it was asked for.
        budget_seconds: Of the verb; None for no limit.
        decisions: Settle each choice once, tell it and keep it.
    """
    return PassRule(
        engine=engine,
        precision=precision,
        trial_seconds=trial_seconds(budget_seconds),
        settle=partial(_settle, decisions),
    )


def run_rule(asked: CommonOptions, budget: Budget, decisions: Decisions) -> PassRule:
    """Return what holds for the passes of a run, or of one arm of it.

    Args:
        asked: As the user said it.
        budget: Bounds what trials may take.
        decisions: Settle each choice once: the run's, or those under the name of the arm.
    """
    limit = budget.limit_seconds
    return engine_rule(asked.engine, asked.precision, budget_seconds=limit, decisions=decisions)


def _settle(
    decisions: Decisions, name: str, choose: Callable[[], ChosenPass], given: object
) -> Choice:
    def decide() -> Decided[Mapping[str, Any]]:
        chosen = choose()
        return Decided(chosen.choice.to_json(), chosen.why, chosen.choice.said)

    return read_choice(decisions.settle(_name(name), decide, given=given))


def _name(phase: str) -> str:
    return f"engine of {phase}"


def known_engine(decisions: Decisions, cut: Cut) -> Choice:
    """Return what the main process has settled for a frozen part, in a worker."""
    name = _name(_FROZEN)
    if not decisions.holds(name, cut.fingerprint):
        return PLAIN
    return read_choice(decisions.settle(name, lambda: Decided({}), given=cut.fingerprint))


class CutNetwork(nn.Module):
    """The frozen part of a model, as a network of its own.

    Args:
        model: Its own parameters, not copies.
        cut: Where it ends.
    """

    def __init__(self, model: Model, cut: Cut) -> None:
        super().__init__()
        self.model, self._cut = model, cut

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what is kept of what crosses the cut."""
        return self._cut.compute(*inputs)


def prefix_engine(
    model: Model,
    cut: Cut,
    train: Inputs,
    num_samples: int,
    is_kept: Callable[[Choice], bool],
    plain: Pass,
) -> tuple[Choice, Callable[[], Pass] | None]:
    """Settle what computes a frozen part; the second gives the pass, None for PyTorch's own.

    Args:
        model: The network.
        cut: Where it is cut.
        train: Real samples.
        num_samples: Of all its passes.
        is_kept: Whether all that a choice would compute lies in the cache.
        plain: What computes it where nothing is chosen, in the number format of the steps.
    """
    rule = present_rule()
    if rule.is_plain or model.device.type != "cpu" or not cut.kept:
        return PLAIN, None
    size = pass_size(model, train)
    sampler, network = Sampler(train, model.device), CutNetwork(model, cut)
    job = PassJob(
        network=network,
        plain=plain,
        samples=sampler.middle,
        longest=sampler.longest,
        batch=partial(sampler.spread, size),
        targets=sampler.targets(size),
        readout=None,
        num_samples=num_samples,
        about={
            "what": cut.name,
            "network": network_digest(model.encoder.network, model.encoder.architecture),
            "shapes": sampler.shapes(),
            "batch": size,
            "formats": [slot.dtype for slot in cut.kept],
        },
        called=f"{model.encoder.start.address} up to {cut.name}",
    )
    allowed = [c for e in ENGINES.values() if not e.missing for c in e.choices(rule.precision)]

    def choose() -> ChosenPass:
        asked = [c for c in [PLAIN, *allowed] if rule.engine in ("auto", c.engine)]
        kept = next((choice for choice in asked if is_kept(choice)), None)
        if kept is not None:
            return ChosenPass(kept, "" if kept == PLAIN else "computed before")
        return choose_pass(job, rule)

    choice = rule.settle(_FROZEN, choose, cut.fingerprint)
    return choice, None if choice == PLAIN else partial(job.guarded, choice)
