"""What a verb says of all its passes: which engine was asked for, and what a trial may take.

It holds for a block of work rather than travelling through every call, as who listens to events
does: nobody between a verb and its passes has anything to add. Where no verb has said anything
passes run by PyTorch in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from headstart.engines.choice import Choice, Pass

TRIAL_SECONDS = 2.0  # where there is no budget
TRIAL_SHARE = 0.01  # of a budget


@dataclass(frozen=True)
class ChosenPass:
    """What was chosen for passes, and why.

    Attributes:
        choice: What computes them.
        why: For people; nothing is told where it is empty.
    """

    choice: Choice
    why: str = ""


class Settle(Protocol):
    """Settles something once: returns what was chosen before, else asks."""

    def __call__(self, name: str, choose: Callable[[], ChosenPass], given: object) -> Choice:
        """Return the choice of a name, for what is given."""
        ...


@dataclass
class _Here:
    """Keeps what was chosen in this block of work."""

    chosen: dict[str, Choice] = field(default_factory=dict)

    def __call__(self, name: str, choose: Callable[[], ChosenPass], given: object) -> Choice:
        key = f"{name} {given}"
        if key not in self.chosen:
            self.chosen[key] = choose().choice
        return self.chosen[key]


@dataclass
class PassRule:
    """What holds for the passes of a block of work.

    Attributes:
        engine: ``auto``, or a name in ``ENGINES``.
        precision: ``fp32`` allows nothing else; ``auto`` what is equal enough.
        trial_seconds: What is left for trials.
        settle: Settles each choice once.
        num_expected: Samples that a verb knows of, where they come in several parts.
    """

    engine: str = "torch"
    precision: str = "fp32"
    trial_seconds: float = TRIAL_SECONDS
    settle: Settle = field(default_factory=_Here)
    num_expected: int = 0
    _kept: tuple[object, dict[Choice, Pass]] = field(default=(None, {}), init=False)

    def kept_for(self, key: object) -> dict[Choice, Pass]:
        """Return what was compiled of a network, to look in and to add to; the last one's is kept.

        Args:
            key: Names the network and its weights.
        """
        if self._kept[0] != key:
            self._kept = (key, {})
        return self._kept[1]

    @property
    def is_plain(self) -> bool:
        """Whether nothing but PyTorch in float32 is allowed."""
        return self.engine == "torch" and self.precision == "fp32"


_rule: ContextVar[PassRule | None] = ContextVar("headstart_passes", default=None)
_PLAIN_RULE = PassRule()


def present_rule() -> PassRule:
    """Return what holds here."""
    return _rule.get() or _PLAIN_RULE


@contextmanager
def passes_by(rule: PassRule) -> Iterator[None]:
    """Let a rule hold for the passes of the block."""
    token = _rule.set(rule)
    try:
        yield
    finally:
        _rule.reset(token)


@contextmanager
def settled_apart() -> Iterator[None]:
    """Settle for itself what the block chooses, from the same time for trials."""
    outer = present_rule()
    inner = PassRule(outer.engine, outer.precision, outer.trial_seconds)
    with passes_by(inner):
        yield
    outer.trial_seconds = inner.trial_seconds


def trial_seconds(budget_seconds: float | None) -> float:
    """Return what trials may take: 1 % of a budget, two seconds without one."""
    return TRIAL_SECONDS if budget_seconds is None else TRIAL_SHARE * budget_seconds
