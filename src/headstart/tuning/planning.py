"""What every stage of a run may take, before it begins: what ``--dry-run`` shows and a run obeys.

There is one source, the table of shares in ``budget``; here stands which stages a run has, and what
of them is known by measurement. Left out: how a stage uses its time.
"""

from __future__ import annotations

from collections.abc import Sequence

from headstart.tasks import find_task
from headstart.training.options.strategies import Strategy
from headstart.tuning.budget import PASS_MARGIN, STEP_PASSES, Budget, BudgetPlan, told_seconds
from headstart.tuning.conclude import figures_seconds, frozen_seconds
from headstart.tuning.cost import note_pass, seconds_per_sample
from headstart.tuning.fitting import preparing_seconds, train_limit, validation_limit
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.writing import writing_seconds
from headstart.types import Dataset, Start

_MOST_PROBED = 0.1  # of what is left: more is not kept for a baseline


def plan_search(
    dataset: Dataset, starts: Sequence[Start], budget: Budget, *, to_come: Sequence[str] = ()
) -> BudgetPlan:
    """Return the plan of a run that chooses its start; nothing is measured.

    Args:
        dataset: The data.
        starts: The candidates.
        budget: The budget.
        to_come: Stages before these that have not been yet.
    """
    addresses = ", ".join(start.address for start in starts)
    is_one = len(starts) == 1
    notes = [
        f"{len(starts)} candidate{'' if is_one else 's'}: {addresses}",
        _counts(dataset),
        "While it screens, the run measures what a pass of each candidate takes; from that follow "
        "the input size, the samples and the steps that fit.",
    ]
    has_heads = not find_task(dataset.schema.task).has_no_contest  # there short trainings choose
    parts = [*(["heads"] if has_heads else []), "rungs", "training"]
    names = [*to_come, "screening", *_samples(dataset), *parts, "estimates", "conclusion"]
    return budget.plan(f"fit on {dataset.name}", names, notes=notes)


def plan_tuning(
    dataset: Dataset, setup: TrainingSetup, budget: Budget, *, to_come: Sequence[str] = ()
) -> BudgetPlan:
    """Return the plan of a fine-tuning, with what a pass and preparing a sample were measured at.

    Args:
        dataset: The data.
        setup: The model and its recipe.
        budget: The budget; it keeps what is measured.
        to_come: Stages before these that have not been yet.
    """
    each, recipe = seconds_per_sample(setup, dataset, budget), setup.recipe
    # without a limit nobody needs to know
    is_limited = budget.limit_seconds is not None
    preparing = preparing_seconds(dataset, setup, budget) if is_limited else 0.0
    num_train = train_limit(dataset, setup, each, budget) or len(dataset.train)
    num_steps, _ = recipe.length(num_train)
    steps_seconds = STEP_PASSES * each * recipe.batch_size * num_steps
    samples = _samples(dataset)
    expected = {"conclusion": conclusion_seconds(dataset, setup, budget)}
    if is_limited:
        num_samples = num_train + len(dataset.val) + len(dataset.test)
        expected |= dict.fromkeys(samples, preparing * num_samples)
    pixels = "" if setup.size is None else f", at {setup.size} pixels"
    notes = [
        f"{setup.model.encoder.start.address}, strategy {recipe.strategy}{pixels}",
        _counts(dataset),
        f"Measured: a pass takes {_told_each(each)} a sample"
        + (f", preparing {_told_each(preparing)}." if preparing else "."),
    ]
    if setup.strategy.loops:
        notes.append(
            f"{num_steps:,} steps of {recipe.batch_size} samples would take about "
            f"{told_seconds(steps_seconds)}; where that is more than is left there are fewer."
        )
    parts = [*_parts(setup.strategy), "training"]
    names = [*to_come, *samples, *parts, "estimates", "conclusion"]
    title = f"finetune on {dataset.name}"
    return budget.plan(title, names, expected=expected, notes=notes)


def conclusion_seconds(dataset: Dataset, setup: TrainingSetup, budget: Budget) -> float:
    """Return what follows training takes by measurement: two test passes, figures, the report.

    Its share of the budget is the most: a budget that cannot pay for the baseline loses the
    baseline, not the fine-tuning.
    """
    each = seconds_per_sample(setup, dataset, budget)
    look = min(len(dataset.val), validation_limit(each, budget) or len(dataset.val))
    passes = PASS_MARGIN * (2 * len(dataset.test) + look) * each
    passes += PASS_MARGIN * len(dataset.test) * writing_seconds(setup, dataset, budget)
    needed = budget.load * passes + figures_seconds(dataset, setup, budget)
    probed = frozen_seconds(dataset, setup, budget)
    return needed + (probed if probed <= _MOST_PROBED * budget.left else 0.0)


def training_end(
    dataset: Dataset,
    setup: TrainingSetup,
    budget: Budget,
    plan: BudgetPlan,
    reserve: float,
    each: float,
) -> float | None:
    """Return when training has to end, by what a sample of val has taken in a real pass.

    What a pass costs was measured on a few samples, by PyTorch, before any engine was chosen: on
    CIFAR-10 an eighth of four minutes was put by for the end and not used.

    Args:
        dataset: The data.
        setup: The model.
        budget: Keeps the lower of what a pass was measured at.
        plan: Of the run.
        reserve: Seconds that were put by for the conclusion at first: the most.
        each: Seconds that a validation sample took.

    Returns:
        ``time.monotonic()`` value; None without a limit.
    """
    note_pass(setup, budget, each)
    needed = min(reserve, conclusion_seconds(dataset, setup, budget))
    return budget.deadline(needed + plan.seconds("estimates"))


def _parts(strategy: Strategy) -> list[str]:
    """Return what of the training comes before its loop."""
    if not strategy.loops:
        return ["head features"]
    frozen = ["frozen part"] if strategy.is_cacheable else []
    return [*frozen, *(["probe"] if strategy.probes else [])]


def _samples(dataset: Dataset) -> list[str]:
    """Return the stage in which samples are prepared; rows take next to nothing."""
    return [] if dataset.schema.facts.is_prepared_at_once else ["samples"]


def _counts(dataset: Dataset) -> str:
    counts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return "Samples: " + ", ".join(f"{name} {len(split):,}" for name, split in counts.items())


def _told_each(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:,.1f} ms"
