"""Settle what the options of a fine-tuning leave open, and build its model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from headstart.training.options.common_options import CommonOptions
from headstart.training.options.strategies import AUTO, Strategy, default_strategy, find_strategy

if TYPE_CHECKING:
    from headstart.recipes.own_start import GivenStart
    from headstart.training.company import Company
    from headstart.training.options.training_options import TrainingOptions
    from headstart.tuning.budget import Budget
    from headstart.tuning.decisions import Decided, Decisions
    from headstart.tuning.setup import TrainingSetup
    from headstart.types import Dataset


Settling = TypeVar("Settling", bound=CommonOptions)


@dataclass(frozen=True)
class Means:
    """What a run has: its budget, its processes, and what it has settled."""

    budget: Budget
    company: Company
    decisions: Decisions


def settle_strategy(
    dataset: Dataset, given: GivenStart, said: CommonOptions, options: Settling, means: Means
) -> Settling:
    """Settle what learns of the start, as ``check_data`` finds it.

    Args:
        dataset: The data.
        given: Where to start.
        said: What the user said.
        options: What is settled of it so far.
        means: Of the run.

    Returns:
        The options, with the strategy.

    Raises:
        OptionError: Naming everything that is wrong.
    """
    from headstart.tuning.decisions import Decided

    strategy, why = check_data(dataset, given, said)
    name = strategy.name
    if why is not None:
        name = means.decisions.settle("strategy", lambda: Decided(strategy.name, why))
    return replace(options, strategy=name)


def check_data(
    dataset: Dataset, given: GivenStart, said: CommonOptions
) -> tuple[Strategy, str | None]:
    """Refuse what means nothing for the data, the start or what learns of it.

    Args:
        dataset: The data.
        given: Where to start.
        said: What the user said.

    Returns:
        What learns, and why it was chosen; None where the user said it.

    Raises:
        OptionError: Naming everything that is wrong.
    """
    from headstart.tasks import find_task
    from headstart.training.options.limits import check_applies, steps_asked
    from headstart.training.options.strategies import matching_strategy
    from headstart.tuning.deciding import DecidingAsked, check_deciding

    check_deciding(DecidingAsked.of(vars(said)), dataset.schema)
    strategy, reason = default_strategy(given.start, steps_asked(said))
    why: str | None = reason
    if find_task(dataset.schema.task).matches_texts:
        strategy, why = matching_strategy(given.start, said.strategy)
    elif said.strategy != AUTO:
        strategy, why = find_strategy(said.strategy), None
    is_built = given.module is not None
    check_applies(said, dataset.schema, given.start, strategy=strategy, is_built=is_built)
    return strategy, why


def settle_setup(
    dataset: Dataset, given: GivenStart, options: TrainingOptions, means: Means
) -> TrainingSetup:
    """Settle the input size where nobody said it, and build the model.

    Args:
        dataset: The data.
        given: Where to start.
        options: With the strategy that was settled; an input size of None settles the largest that
            fits the budget.
        means: Of the run.

    Raises:
        StartError: If the start cannot be built for these data, or in the time that is left.
        OptionError: If an option is out of range.
    """
    from headstart.tuning.cost import seconds_per_sample
    from headstart.tuning.decisions import Decided
    from headstart.tuning.fitting import fitting_setup, refuse_too_slow
    from headstart.tuning.mirrored import settle_mirrored
    from headstart.tuning.setup import set_up
    from headstart.tuning.texts import text_cache

    start, budget, device = given.start, means.budget, means.company.device
    texts = text_cache(dataset, budget, seed=options.seed, decisions=means.decisions)
    built: list[TrainingSetup] = []

    def decide() -> Decided[int | None]:
        setup, _, note = fitting_setup(dataset, start, options, budget, device=device, texts=texts)
        built.append(setup)
        why = f"a pass at {start.image.size if start.image else 0} does not fit the budget"
        return Decided(setup.size, why if note and setup.size is not None else "")

    size = options.input_size
    if given.module is None and size is None:
        size = means.decisions.settle("input_size", decide)
    if not built:
        setup = set_up(
            dataset,
            start,
            replace(options, input_size=size),
            device=device,
            module=given.module,
            spec=given.spec,
            texts=texts,
        )
        refuse_too_slow(dataset, start, seconds_per_sample(setup, dataset, budget), budget)
        built.append(setup)
    settle_mirrored(built[0], dataset, budget, means.decisions)
    return built[0]
