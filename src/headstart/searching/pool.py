"""The models that a search has to choose among, and how each of them stands on val.

Those that this run has made are here with their weights; of a run that was finished before and is
gone on with, those that it serves are, too. Of its other models only the losses of the val items
are left: they show what was tried, and cannot be handed over. Each model is judged once.

Left out: by which rule one is better (``finalists``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from headstart.errors import StartError
from headstart.searching.arms import ArmSpec
from headstart.searching.context import Contender
from headstart.searching.finalists import Finalist, choose_finalist, is_surely_lower
from headstart.searching.judging import figures_of, judged_on
from headstart.searching.runner import Standing
from headstart.tasks import find_task
from headstart.types import Dataset


@dataclass(frozen=True)
class FormerModel:
    """What is left of a model that a finished run had made.

    Attributes:
        spec: What it was made as.
        finalist: How it was judged.
        is_whole: Whether it took all its steps; False for what the clock cut short, which a larger
            budget may try again.
    """

    spec: ArmSpec
    finalist: Finalist
    is_whole: bool


@dataclass(frozen=True)
class FormerSearch:
    """What a finished run has left to one that goes on with a larger budget.

    Attributes:
        served: The models that it serves, the best single one first.
        models: All that it had judged, by name; those of ``served`` are among them.
        rows: Its arms, as ``options.json`` keeps them.
        ids: Of the val items of all.
    """

    served: Sequence[tuple[Contender, ArmSpec]] = ()
    models: Mapping[str, FormerModel] = field(default_factory=dict)
    rows: Sequence[Mapping[str, object]] = ()
    ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def has(self, spec: ArmSpec) -> bool:
        """Return whether a model of this kind was made, and counts: it is not made again."""
        return any(one.spec == spec and one.is_whole for one in self.models.values())


class ModelPool:
    """The models of a search.

    Args:
        dataset: Gives the task.
        former: What a finished run has left.

    Attributes:
        contenders: Those with weights.
        specs: What each of them was made as, by its name.
        curves: What the validations of each arm have found, by its name.
        rows: The arms, by name, as ``options.json`` keeps them.
    """

    def __init__(self, dataset: Dataset, former: FormerSearch) -> None:
        self.dataset, self.former = dataset, former
        self.contenders: list[Contender] = []
        self.specs: dict[str, ArmSpec] = {}
        self.curves: dict[str, Sequence[Mapping[str, object]]] = {}
        self.rows: dict[str, dict[str, object]] = {
            str(row["arm"]): dict(row) for row in former.rows
        }
        self._judged: dict[str, Finalist] = {}
        self._common: np.ndarray | None = None
        for contender, spec in former.served:
            self.add(contender, spec)

    def add(self, contender: Contender, spec: ArmSpec) -> None:
        """Take a model among those that could be handed over, in the place of one of its name."""
        self.contenders = [one for one in self.contenders if one.name != contender.name]
        self._judged.pop(contender.name, None)
        self.contenders.append(contender)
        self.specs[contender.name] = spec

    def tell(self, spec: ArmSpec, standing: Standing | None, note: str, name: str = "") -> None:
        """Note how an arm stands, as ``options.json`` keeps it."""
        task = find_task(self.dataset.schema.task)
        named = name or spec.name
        self.rows[named] = {
            "arm": named,
            **asdict(spec),
            "pixels": spec.size,
            "metric": task.headline,
            **figures_of(standing),
            "note": note,
        }

    def best(self) -> tuple[Contender, str]:
        """Return the model to hand over, and why.

        Raises:
            StartError: If not one was made, saying what became of each arm.
        """
        if not self.contenders:
            notes = "; ".join(f"{name} {row['note']}" for name, row in self.rows.items())
            raise StartError(
                f"Not one model could be made: {notes or 'no start has a way of learning'}. "
                f"Expected one. Raise --budget, or name other starts with --starts."
            )
        best, why = choose_finalist(self._finalists())
        return next(c for c in self.contenders if c.name == best.name), why

    def judged(self) -> Mapping[str, FormerModel]:
        """Return all that was judged, of this run and of the one before it, by name."""
        own = {
            one.name: FormerModel(self.specs[one.name], found, _is_whole(one))
            for one, found in zip(self.contenders, self._finalists(), strict=True)
        }
        return {**self.former.models, **own}

    @property
    def ids(self) -> np.ndarray:
        """Of the val items that all models are judged by."""
        self._finalists()
        assert self._common is not None
        return self._common

    def best_of_trained(self) -> Contender | None:
        """Return the model, of those with weights, that trained best; None where none did."""
        trained = [one for one in self._finalists() if one.is_trained] if self.contenders else []
        if not trained:
            return None
        best, _ = choose_finalist(trained)
        return next(c for c in self.contenders if c.name == best.name)

    def best_trained(self) -> ArmSpec | None:
        """Return the arm that trained best, where it took all its steps; None without one."""
        known = self._comparable() if self.contenders else {}
        trained = {name: one for name, one in known.items() if one.finalist.is_trained}
        if not trained:
            return None
        best, _ = choose_finalist([one.finalist for one in trained.values()])
        found = trained[best.name]
        return found.spec if found.is_whole and not self._is_early(best.name) else None

    def is_surely_better(self, one: str, than: ArmSpec) -> bool:
        """Return whether a model's loss is surely lower than that of the best one of an arm."""
        known = self._comparable()
        others = [m.finalist for name, m in known.items() if m.spec == than and name != one]
        return all(is_surely_lower(other, known[one].finalist) for other in others)

    def _comparable(self) -> dict[str, FormerModel]:
        """Return what was judged on the val items that all contenders have."""
        own = {one.name for one in self.contenders}
        known = self.judged()
        same = np.array_equal(self.former.ids, self.ids)
        return {name: one for name, one in known.items() if name in own or same}

    def _is_early(self, name: str) -> bool:
        """Return whether val no longer gained before the last step: longer is not better."""
        for one in self.contenders:
            if one.name == name and one.tuned.result is not None:
                return one.tuned.result.ended != "finished"
        return "then val no longer gained" in str(self.rows.get(name, {}).get("note", ""))

    def _finalists(self) -> list[Finalist]:
        """Judge models on the val items that all of them have."""
        common = self.contenders[0].val.ids
        for one in self.contenders[1:]:
            if not np.array_equal(one.val.ids, common):
                common = common[np.isin(common, one.val.ids)]
        if self._common is None or not np.array_equal(common, self._common):
            self._judged, self._common = {}, common
        for one in self.contenders:
            if one.name not in self._judged:
                self._judged[one.name] = judged_on(one, common)
        return [self._judged[one.name] for one in self.contenders]


def _is_whole(one: Contender) -> bool:
    """Return whether a model took all the steps that its recipe plans, or ended by itself."""
    result = one.tuned.result
    if result is None:
        return True
    planned, _ = one.setup.recipe.length(len(one.train))
    return result.ended == "early" or result.state.step >= planned
