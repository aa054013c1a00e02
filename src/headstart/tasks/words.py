"""The words in which a report speaks of a task; its figures bring their own (``types.Measure``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SIGNIFICANT = 0.05
Judgement = Literal["better", "worse", "mixed", "open"]
Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class Pairing:
    """How a paired comparison of two predictors is told.

    Attributes:
        explanation: What is counted and which test gives p, in a sentence.
        counts: Both counts, as a template with ``gained`` and ``lost``.
        brief: The same in fewer words.
        difference: What differs.
        figure: Which figure that is the mean of, item by item.
        has_unit: Whether the difference is in the units of the target.
        needs_mean: Whether ``better`` needs the items and their mean to agree: where a test on the
            items says nothing of how far off the few others are.
        tests_difference: Whether p is of the difference itself, a figure that is better when
            higher: then its sign says which is better, and not how many items went which way.
    """

    explanation: str
    counts: str = "gained {gained}, lost {lost}"
    brief: str = "{gained} gained, {lost} lost"
    difference: str = "difference"
    figure: str = "accuracy"
    has_unit: bool = False
    needs_mean: bool = False
    tests_difference: bool = False

    def judge(self, p_value: float, gained: int, lost: int, difference: Ends) -> Judgement:
        """Return what a paired comparison says of the second.

        The paired test at 5 %, and which way more items went. Where that says nothing of how far
        off an item is, ``better`` and ``worse`` also need the interval of the difference, an
        error, on the same side of zero; where they disagree (nearer on most items, but far off on
        a few) it is ``mixed``.

        Args:
            p_value: Of the test, corrected where there were several looks.
            gained: Items that only the second has right.
            lost: The same of the first.
            difference: Lower and upper end of its interval, None where unknown.
        """
        if p_value >= SIGNIFICANT:
            return "open"
        low, high = difference
        if self.tests_difference:
            if low is None or high is None:
                return "open"
            return "better" if low + high > 0 else "worse"
        if not self.needs_mean:
            return "better" if gained > lost else "worse"
        if gained > lost and high is not None and high < 0:
            return "better"
        return "worse" if gained <= lost and low is not None and low > 0 else "mixed"

    def explained(self, num_groups: int | None) -> str:
        """Return the explanation, with the test that is made where items are in groups."""
        if num_groups is None:
            return self.explanation
        counted = self.explanation.partition("; p:")[0]
        return f"{counted}; p: whole groups change sides at random, because intervals count these."


@dataclass(frozen=True)
class TaskWords:
    """What a report calls things.

    Attributes:
        pairing: How comparisons are told.
        told: What is told of a sample that has no answer of its own as a whole; empty where it has.
        one: What one of the classes is called; empty where there are none.
        several: Several of them.
        mistakes: Title of the list of the worst test items.
        mistakes_lead: What they are, and what to look for.
        loss_note: What the loss is, where its size is not plain by itself; a sentence.
    """

    pairing: Pairing
    told: str = ""
    one: str = ""
    several: str = ""
    mistakes: str = "Worst mistakes"
    mistakes_lead: str = (
        "Test items that were wrong with most confidence. Look for wrong labels among them."
    )
    loss_note: str = ""
