"""What a run settles once: chosen, told with its reason, remembered, and the same for everybody.

Some choices depend on what a machine measures or has free, so that a run which was interrupted
would choose otherwise when it goes on, and a worker otherwise than the main process. Whoever has
such a choice to make asks ``Decisions.settle`` and gets what was settled before, wherever that was.
Left out: what follows from options and data alone (the recipe), and what the loop finds out on its
way (a micro-batch halved when memory ran out), which stands in its checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar

from headstart.events import emit
from headstart.training.company import ALONE, Company

T = TypeVar("T")

INTERRUPTED = "chosen before the run was interrupted"
REOPENED = "chosen before the finished run was gone on with"


class Record(TypedDict):
    """A decision as the plan keeps it: its value, how it is told, why, and what it holds for."""

    value: Any
    told: object
    why: str
    given: object


@dataclass(frozen=True)
class Decided(Generic[T]):
    """What was decided, and how it is told.

    Attributes:
        value: Something that JSON can hold.
        why: The reason; where there is none nothing is told.
        told: What people are shown; None shows the value itself.
    """

    value: T
    why: str = ""
    told: object = None


def _nowhere() -> None:
    """Nothing outlives this process."""


class Decisions:
    """What one run has settled, by name.

    Args:
        records: What was settled before, as ``keep`` has written it; grows with every decision.
        keep: Writes ``records``; called whenever they have grown.
        company: The processes that train together: the main one settles, and tells the workers.
        before: What is said of what an earlier attempt has settled.
    """

    def __init__(
        self,
        records: dict[str, Record] | None = None,
        keep: Callable[[], None] = _nowhere,
        company: Company = ALONE,
        before: str = INTERRUPTED,
    ) -> None:
        self.records = {} if records is None else records
        self._former = set(self.records)
        self._keep, self._company, self._before = keep, company, before

    def holds(self, name: str, given: object = None) -> bool:
        """Return whether something is settled already, under the same circumstances.

        Args:
            name: Of the decision.
            given: As ``settle`` takes it.
        """
        return name in self.records and self.records[name]["given"] == given

    def settle(self, name: str, compute: Callable[[], Decided[T]], *, given: object = None) -> T:
        """Return what was settled before; else decide, tell, remember, and tell the workers.

        Args:
            name: Of the decision; also that of the ``choice`` which is told.
            compute: Decides; called where nothing is settled.
            given: What the decision holds for, as JSON can hold it (a number of processes): what
                was settled for something else is settled anew.
        """
        if self.holds(name, given):
            if name in self._former:
                self._tell(name, self._before)
            found: T = self.records[name]["value"]
            return found
        decided = compute()
        told = decided.value if decided.told is None else decided.told
        self.records[name] = {
            "value": decided.value,
            "told": told,
            "why": decided.why,
            "given": given,
        }
        self._tell(name, decided.why)
        self._keep()
        return decided.value

    def receive(self, message: Mapping[str, Any]) -> None:
        """In a worker: take over what the main process has settled."""
        self.records[message["name"]] = message["record"]

    def adopt(self, records: Mapping[str, Record]) -> None:
        """In the main process: take over what a worker has settled for an arm of its own."""
        for name, record in records.items():
            self.records[name] = record
            self._company.send("settled", name=name, record=record)
        if records:
            self._keep()

    def within(self, scope: str) -> Decisions:
        """Return decisions of one of several trainings of this run, kept among these.

        Args:
            scope: Names the training; what it settles stands under this name and its own.
        """
        return _Scoped(self, scope)

    def apart(self) -> Decisions:
        """Return the same decisions; what is settled there is not remembered here."""
        return Decisions(dict(self.records))

    def _tell(self, name: str, why: str) -> None:
        """Tell people, where there was a reason to, and the workers."""
        record = self.records[name]
        if record["why"]:
            emit("choice", name=name, value=record["told"], why=why)
        self._company.send("settled", name=name, record=record)
        self._former.discard(name)


class _Scoped(Decisions):
    """Decisions of one training, under names that begin with its own."""

    def __init__(self, whole: Decisions, scope: str) -> None:
        super().__init__(whole.records, whole._keep, whole._company)
        self._whole, self._scope = whole, scope

    def holds(self, name: str, given: object = None) -> bool:
        """Return whether this training has settled something."""
        return self._whole.holds(self._scoped(name), given)

    def settle(self, name: str, compute: Callable[[], Decided[T]], *, given: object = None) -> T:
        """Return what this training has settled before, or settle it."""
        return self._whole.settle(self._scoped(name), compute, given=given)

    def within(self, scope: str) -> Decisions:
        """Return decisions of a part of this training."""
        return self._whole.within(self._scoped(scope))

    def _scoped(self, name: str) -> str:
        return f"{self._scope}: {name}"
