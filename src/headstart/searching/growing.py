"""Trees that the ranking has cut short, grown once more with the time that a search has left.

What is grown while starts are ranked is no sample of the work but the model itself, so that its
time there, a fifth of a short budget, was the most that it ever got: on wine boosted trees stopped
in the midst of it, and the rest of the budget stayed unused. Left out: trees that ended by
themselves; more time would only make them again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from headstart.searching.context import SearchContext
from headstart.searching.crew import Crew, Job, JobOutcome
from headstart.searching.pool import ModelPool
from headstart.tuning.decisions import Decided

_MORE = 2.0  # times what they had: in less there would be hardly other trees


def grow_anew(
    context: SearchContext,
    pool: ModelPool,
    crew: Crew,
    left: Callable[[], float],
    end: Callable[[str, JobOutcome], None],
) -> None:
    """Grow the best of what was cut short anew, where there is time for it; it takes its place.

    Args:
        context: What all arms share.
        pool: The models so far.
        crew: Grows them.
        left: Seconds until all training has ended.
        end: Called with a note and what came of it.

    Raises:
        StopRequested: If someone asked to stop.
    """
    cut = [
        (fitted.val_loss, one.name, fitted.seconds)
        for one in pool.contenders
        if (fitted := one.setup.fitted) is not None and fitted.is_cut
    ]
    if not cut:
        return
    _, name, seconds = min(cut)
    spec = pool.specs[name]

    def decide() -> Decided[bool]:
        return Decided(_MORE * seconds < left() < float("inf"))

    if context.decisions.settle(f"time to grow {spec.name} anew", decide):
        crew.forget(spec)
        crew.run("grown anew", [Job(spec)], partial(end, "grown anew, with more time"))
