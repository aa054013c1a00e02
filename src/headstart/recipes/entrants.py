"""Which ranked starts take part in the search, and a second look at what was refused for its time.

A start that screening has left out because its part of the time was too short, or because its pace
was measured in a busy moment, was never compared: with the seconds that are left by now it may be
the best of all.

Left out: starts that failed for another reason; these stay out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headstart.events import emit
from headstart.training.options.strategies import AUTO, default_strategy
from headstart.training.options.training_options import training_options

if TYPE_CHECKING:
    from headstart.recipes.options import FitOptions
    from headstart.recipes.session import Session
    from headstart.searching.arms import Entrant
    from headstart.tuning.budget import Budget
    from headstart.tuning.texts import TextCache
    from headstart.types import Dataset

_MOST_LATE = 2  # starts that are looked at again, the quickest first
# Of what is left, that building one and measuring it may take: its library may be still unread.
_LOOK = 0.2


def second_look(
    current: Session,
    dataset: Dataset,
    ranked: Sequence[Mapping[str, Any]],
    budget: Budget,
    texts: TextCache | None,
    asked: FitOptions,
) -> Sequence[Mapping[str, Any]]:
    """Return the ranked starts; those refused for want of time that fit by now are marked.

    Args:
        current: The session.
        dataset: The data.
        ranked: A record of each start, the best first.
        budget: The budget.
        texts: What the run keeps of its texts.
        asked: What the user said.

    Returns:
        The records, ``fits`` among them where a start can be trained after all, with its pixels.
    """
    from headstart.tuning.decisions import Decided

    late = [row for row in ranked if row.get("is_late")]
    if all(row["score"] is None for row in ranked):
        late = late[1:]  # the quickest is trained in any case
    if not late:
        return ranked

    def decide() -> Decided[dict[str, Any]]:
        found: dict[str, Any] = {}
        for row in late[:_MOST_LATE]:
            is_possible, size = _fits(current, dataset, row, budget, texts, asked)
            if is_possible:
                found[row["start"]] = size
        told = ", ".join(found) or "none"
        left_out = ", ".join(row["start"] for row in late)
        why = f"screening had no time for {left_out}" if found else ""
        return Decided(found, why, told)

    fitting = current.decisions.settle("time for a second look", decide)
    return [
        {**row, "pixels": fitting[row["start"]], "fits": True} if row["start"] in fitting else row
        for row in ranked
    ]


def more_pixels(
    current: Session,
    dataset: Dataset,
    ranked: Sequence[Mapping[str, Any]],
    budget: Budget,
    texts: TextCache | None,
    asked: FitOptions,
) -> Sequence[Mapping[str, Any]]:
    """Return the ranked starts, the best one at more pixels where the machine allows them by now.

    At what size a start is looked at is settled within its first second. In a busy moment cats and
    dogs were so seen at 64 pixels, and in a quiet one at 128, ten points apart on test.

    Args:
        current: The session.
        dataset: The data.
        ranked: A record of each start, the best first.
        budget: The budget.
        texts: What the run keeps of its texts.
        asked: What the user said.
    """
    from headstart.starts import find_start
    from headstart.tuning.decisions import Decided
    from headstart.tuning.fitting import largest_useful_size

    best = ranked[0]
    start, pixels = find_start(best["start"]), best["pixels"]
    is_scored = best["score"] is not None and start.pretrained_on is not None
    if not is_scored or pixels is None or start.image is None or budget.limit_seconds is None:
        return ranked
    if pixels >= largest_useful_size(dataset, start.image, asked.framing):
        return ranked

    def decide() -> Decided[int]:
        is_possible, size = _fits(current, dataset, best, budget, texts, asked)
        found = max(pixels, size or 0) if is_possible else pixels
        why = f"screening had time for {pixels} pixels" if found > pixels else ""
        return Decided(found, why)

    found = current.decisions.settle(f"time for more pixels of {start.address}", decide)
    return [{**best, "pixels": found}, *ranked[1:]]


def _fits(
    current: Session,
    dataset: Dataset,
    row: Mapping[str, Any],
    budget: Budget,
    texts: TextCache | None,
    asked: FitOptions,
) -> tuple[bool, int | None]:
    """Return whether a start can be built and evaluated in what is left, and its input size."""
    from headstart.errors import StartError
    from headstart.ranking.late import is_library_read, opening_refusal
    from headstart.starts import find_start
    from headstart.training.machine.memory import is_out_of_memory
    from headstart.tuning.cut_off import cut_off
    from headstart.tuning.fitting import fitting_setup
    from headstart.tuning.slowness import slowness

    start = find_start(row["start"])
    # an import is never cut off: on a busy machine it has taken 26 s of its 13
    slow = max(budget.load, slowness(budget.load))
    told = None if is_library_read(start) else opening_refusal(budget, slow)
    if told is not None:
        emit("note", text=f"{start.address} was looked at again, and is left out: {told}.")
        return False, None
    strategy = default_strategy(start)[0].name if asked.strategy == AUTO else asked.strategy
    options = replace(training_options(asked), strategy=strategy, input_size=None)
    ends = None if budget.limit_seconds is None else time.monotonic() + _LOOK * budget.left
    too_long = StartError("building and measuring it took too long again.")
    device = current.company.device
    budget.forget(start.address)  # its pace may be that of a busy moment
    try:
        with cut_off(ends, lambda: too_long):
            setup, _, _ = fitting_setup(dataset, start, options, budget, device=device, texts=texts)
    except (StartError, RuntimeError, MemoryError) as error:
        if not isinstance(error, StartError) and not is_out_of_memory(error):
            raise
        emit("note", text=f"{start.address} was looked at again, and is left out: {error}")
        return False, None
    return True, setup.size


def entries_of(ranked: Sequence[Mapping[str, Any]], dataset: Dataset, asked: str) -> list[Entrant]:
    """Return the starts that take part; those without a score where nothing has one.

    Beside what has a score stands what had none for want of time alone, if a second look has found
    that it fits by now.

    Args:
        ranked: A record of each start, the best first.
        dataset: Says which way its headline figure is better.
        asked: The strategy that the user asked for, or ``auto``.
    """
    from headstart.searching.arms import Entrant
    from headstart.starts import find_start
    from headstart.tasks import find_task

    task = find_task(dataset.schema.task)
    scored = [row for row in ranked if row["score"] is not None] or list(ranked[:1])
    found = []
    later = [row for row in ranked if row.get("fits") and row not in scored]
    for row in [*scored, *later]:
        start = find_start(row["start"])
        own, _ = default_strategy(start)
        score, nothing = row["score"], float("nan")
        found.append(
            Entrant(
                start=start.address,
                strategy=own.name if asked == AUTO else asked,
                size=row["pixels"],
                is_frozen_useful=own.probes or not own.loops,
                score=nothing if score is None else task.figures[task.headline].sign * score,
                noise=nothing if score is None else (row["high"] - row["low"]) / 2,
            )
        )
    return found
