"""``fit`` without a contest: the best start of the screening is fine-tuned as ``finetune`` does it.

For tasks whose answers are texts, written or found: starts split these into tokens of their own, so
that their losses are no common measure for arms, soups and finalists, and writing val at every rung
would take most of a budget. Left out, therefore: other strategies and rates than the start's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from headstart.events import emit
from headstart.recipes.complete import complete
from headstart.recipes.finetune import look_of
from headstart.recipes.own_start import GivenStart
from headstart.recipes.settle import Means, settle_setup, settle_strategy
from headstart.training.options.training_options import training_options

if TYPE_CHECKING:
    from headstart.recipes.options import FitOptions
    from headstart.recipes.session import Session
    from headstart.tasks import Task
    from headstart.tuning.budget import Budget
    from headstart.types import Dataset


def has_no_contest(task: Task) -> bool:
    """Return whether the best start of the screening is fine-tuned as it is."""
    return task.tells_texts or task.finds_texts


def go_straight(
    current: Session,
    dataset: Dataset,
    ranked: Sequence[Mapping[str, object]],
    budget: Budget,
    said: FitOptions,
    settled: FitOptions,
) -> None:
    """Fine-tune the best of ranked starts, evaluate it, and write the run folder.

    Args:
        current: The session.
        dataset: The data.
        ranked: A record of each start, the best first.
        budget: The budget.
        said: What the user said.
        settled: The same without an ``auto`` but that of the strategy.

    Raises:
        OptionError: If an option means nothing for this start or what learns of it.
        KeyboardInterrupt: After the state was saved, if someone asked to stop.
    """
    from headstart.starts import find_start

    given = GivenStart(find_start(str(ranked[0]["start"])), None, None)
    what = dataset.schema.task
    emit("note", text=f"Of {what} one way of tuning is tried: the best start's own.")
    means = Means(budget, current.company, current.decisions)
    options = settle_strategy(dataset, given, said, training_options(settled), means)
    setup = settle_setup(dataset, given, options, means)
    complete(current, dataset, setup, budget, look_of(setup, settled), candidates=ranked)
