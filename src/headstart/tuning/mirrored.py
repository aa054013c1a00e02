"""Whether a model answers by the mean over an image and its mirror image.

Only a network that learned from mirror images knows them, and only where the augmentation found
that a mirror changes no answer. Each pass without gradients then takes twice as long: validation,
test, and whoever uses the model later. So it is settled by what the test split would take more, and
what was settled is part of the network (``Encoder.set_mirrors``): ``evaluate``, ``predict`` and
every engine compute the same.

Left out: other views (shifts), which were not tried; strategies that keep a frozen part, whose kept
activations are of one view; weights that are split over processes, of which only one knows.
"""

from __future__ import annotations

from headstart.training.batches.augment import POLICIES
from headstart.tuning.budget import Budget
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.decisions import Decided, Decisions
from headstart.tuning.setup import TrainingSetup
from headstart.types import Dataset

_DECISION = "mirror images"


def settle_mirrored(
    setup: TrainingSetup, dataset: Dataset, budget: Budget, decisions: Decisions
) -> None:
    """Settle whether the encoder of a setup looks at mirror images, too; it is set to do so.

    Args:
        setup: The model and its recipe.
        dataset: Gives the size of the test split.
        budget: Says what may be spent on it; without a limit it always may.
        decisions: Of the run: what it has settled for this start holds.
    """
    encoder, strategy = setup.model.encoder, setup.strategy
    policy = POLICIES[setup.recipe.augment]
    knows_them = strategy.loops and policy is not None and policy.flip
    is_out = strategy.is_cacheable or setup.recipe.is_split
    if not encoder.can_mirror or not knows_them or is_out:
        return

    def decide() -> Decided[bool]:
        each = budget.load * seconds_per_sample(setup, dataset, budget)
        seconds = len(dataset.test) * each
        is_worth = budget.limit_seconds is None or seconds <= budget.may_take("mirror images")
        told = f"those of the test split take {seconds:.1f} s more"
        return Decided(is_worth, told if is_worth else f"{told}: steps are worth more")

    given = [encoder.start.address, setup.size]
    encoder.set_mirrors(decisions.settle(_DECISION, decide, given=given))
