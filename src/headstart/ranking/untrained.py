"""Which start to tune where no probe says anything of one: how good each is as it is, untrained.

What writes tells the tokens of some validation targets from those before them, and its loss is
counted a byte of these texts, so that tokenizers can differ. Pairs of encoders find images and
captions of val by one another (zero-shot). Random weights know nothing: beside them any start that
knows the language is better; and pairs whose projections are random find no more than chance, so
that their scores say nothing: the quickest comes first, and where there is time for them short
trainings decide (``searching.short_arms``).

Left out: training any of them for a moment.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from headstart.errors import HeadstartError, StartError, first_line
from headstart.evaluation.intervals import normal_interval
from headstart.events import emit
from headstart.model import run_batches, tell_texts
from headstart.ranking.screen import Candidate
from headstart.tasks import find_task
from headstart.training.options.common_options import CommonOptions
from headstart.training.options.strategies import own_strategy
from headstart.training.options.training_options import training_options
from headstart.tuning.budget import SHARES, Budget, told_seconds
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.cut_off import cut_off
from headstart.tuning.fitting import TooSlowError
from headstart.tuning.setup import TrainingSetup, prepare_sample, set_up
from headstart.tuning.texts import TextCache
from headstart.types import Dataset, Figure, Inputs, Rows, Start

METRIC = "bits a byte"
_SAMPLES = 200
_PAIRS = 500  # images that are searched, as many as there are texts of at the least
_NOTHING = Figure(math.nan, math.nan, math.nan)


def screen_untrained(
    dataset: Dataset,
    starts: Sequence[Start],
    *,
    budget: Budget,
    seconds: float,
    asked: CommonOptions,
    device: torch.device,
    on_made: Callable[[TrainingSetup, Inputs, Rows, bool], None],
    texts: TextCache | None = None,
) -> list[Candidate]:
    """Score starts that write, or match, within a share of the budget, the best first.

    Args:
        dataset: Its test split is never touched.
        starts: The candidates, tried in this order.
        budget: The budget.
        seconds: What this may take.
        asked: What the user said.
        device: Where to run.
        on_made: Called with every usable model, its validation inputs, what it told of them, and
            whether it beats those before it.
        texts: What the run keeps of its texts.

    Raises:
        StartError: If no candidate could be tried.
    """
    task = find_task(dataset.schema.task)
    metric = METRIC if task.tells_texts else task.headline
    sign = -1.0 if task.tells_texts else task.figures[metric].sign
    until, best = budget.spent + seconds, -math.inf
    found: list[Candidate] = []
    reasons: list[str] = []
    for place, start in enumerate(starts, 1):
        began, strategy = time.monotonic(), own_strategy(start, matches_texts=task.matches_texts)
        if found and budget.spent > until:
            note = "no time was left to look at it"
            found.append(
                Candidate(start, None, strategy.name, metric, _NOTHING, math.nan, 0.0, note)
            )
            continue
        options = replace(training_options(asked), strategy=strategy.name)
        try:
            is_needed = not found and place == len(starts)
            with _most_of(budget, until, is_needed=is_needed):
                setup = set_up(dataset, start, options, device=device, texts=texts)
                val, told, score = _as_it_is(setup, dataset, asked.seed)
                each = seconds_per_sample(setup, dataset, budget)
        except StartError as error:
            reasons.append(str(error))
            emit("note", text=f"{start.address} is left out: {first_line(error)}")
            continue
        on_made(setup, val, told, sign * score.value > best)
        best = max(best, sign * score.value)
        took = time.monotonic() - began
        found.append(Candidate(start, setup.size, strategy.name, metric, score, each, took, ""))
    if not found:
        raise StartError(" ".join(reasons))
    return _ordered(found, sign, matches=task.matches_texts)


def _ordered(found: Sequence[Candidate], sign: float, *, matches: bool) -> list[Candidate]:
    """Return candidates, the best first; pairs that chance tells apart as they were tried.

    Two encoders that were never brought together find by chance what they find, and the one with
    the luckiest captions is no better than the others: then the quickest, which is tried first.

    Args:
        found: As they were tried.
        sign: 1 where a higher score is better, else -1.
        matches: Whether images and texts are to find one another.
    """
    best_first = sorted(found, key=lambda c: (math.isnan(c.score.value), -sign * c.score.value))
    if not matches:
        return best_first
    lead = best_first[0].score
    level = [c for c in found if c.score.high >= lead.low and c.score.low <= lead.high]
    return [*level, *(c for c in best_first if c not in level)]


def _as_it_is(setup: TrainingSetup, dataset: Dataset, seed: int) -> tuple[Inputs, Rows, Figure]:
    """Return some of val, what an untrained model says of them, and how good that is."""
    model = setup.model
    most = _SAMPLES if model.task.tells_texts else _PAIRS
    val = prepare_sample(dataset, "val", setup, most, seed=seed)
    if model.task.tells_texts:
        told = tell_texts(model, val, places=np.arange(0))
        return val, told, bits_a_byte(told["loss"], val.targets)
    rows = run_batches(model, val, model)
    groups = dataset.val.groups_of(val.ids)
    decided = model.task.decisions(model.task.outputs(rows, dataset.schema))
    return val, rows, model.task.headline_figure(decided, val.targets, groups=groups)


@contextmanager
def _most_of(budget: Budget, until: float, *, is_needed: bool) -> Iterator[None]:
    """End what is inside where it takes too long: where there is another it may not cost all.

    Raises:
        TooSlowError: If it did.
    """
    most = max(until - budget.spent, SHARES["opening"].share * max(0.0, budget.left))
    is_free = is_needed or budget.limit_seconds is None
    too_long = TooSlowError(f"it took longer than {told_seconds(most)} here.")
    with cut_off(None if is_free else time.monotonic() + most, partial(_same, too_long)):
        yield


def _same(error: HeadstartError) -> HeadstartError:
    return error


def bits_a_byte(losses: np.ndarray, targets: Rows) -> Figure:
    """Return the loss of texts a byte of them, in bits, with its interval over texts.

    Args:
        losses: Of each text, in nats, float64, shape (N,).
        targets: The texts.
    """
    sizes = np.array([len(str(text).encode()) for text in np.asarray(targets)], np.float64)
    bits = losses / math.log(2)
    value, num = float(bits.sum() / sizes.sum()), len(sizes)
    spread = float(((bits - value * sizes) ** 2).sum())
    error = math.sqrt(num / max(1, num - 1) * spread) / float(sizes.sum())
    return normal_interval(value, error, lowest=0.0)
