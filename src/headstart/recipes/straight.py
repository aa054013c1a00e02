"""``fit`` where answers are texts, written or found: short trainings, then one to its end.

Starts split these into tokens of their own, so that their losses are no common measure for rungs,
soups and finalists, and writing val at every rung would take most of a budget. So which start is
tuned, in which way and at which rate, is seen in short trainings (``searching.short_arms``), and
what they choose is fine-tuned as ``finetune`` does it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from headstart.events import emit
from headstart.recipes.complete import READ_AGAIN, STANDS, Tried, complete, stop_requested
from headstart.recipes.finetune import look_of
from headstart.recipes.own_start import GivenStart
from headstart.recipes.settle import Means, check_data, settle_setup
from headstart.training.options.training_options import training_options

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from headstart.recipes.options import FitOptions
    from headstart.recipes.session import Session
    from headstart.searching.short_arms import ChosenWay
    from headstart.tuning.arm import Tuned
    from headstart.tuning.budget import Budget
    from headstart.tuning.setup import TrainingSetup
    from headstart.tuning.texts import TextCache
    from headstart.types import Dataset, Inputs


def go_straight(
    current: Session,
    dataset: Dataset,
    ranked: Sequence[Mapping[str, object]],
    budget: Budget,
    texts: TextCache | None,
    said: FitOptions,
    settled: FitOptions,
) -> str | None:
    """Choose a way of tuning, fine-tune by it, evaluate it, and write the run folder.

    Where a finished run is gone on with, its model stands unless the new one is surely better.

    Args:
        current: The session.
        dataset: The data.
        ranked: A record of each start, the best first.
        budget: The budget.
        texts: What the run keeps of its texts.
        said: What the user said.
        settled: The same without an ``auto`` but that of the strategy.

    Returns:
        Why a larger budget may give more; None where nothing says so.

    Raises:
        OptionError: If an option means nothing for this start or what learns of it.
        KeyboardInterrupt: After the state was saved, if someone asked to stop.
    """
    from headstart.searching.former_way import way_errors, write_way
    from headstart.searching.more import still_gained, tell_more
    from headstart.starts import find_start
    from headstart.tuning.fitting import TooSlowError

    scored = [str(row["start"]) for row in ranked if row["score"] is not None]
    names = scored or [str(ranked[0]["start"])]
    check_data(dataset, GivenStart(find_start(names[0]), None, None), said)
    way = _chosen_way(current, dataset, names, budget, texts, settled)
    given = GivenStart(find_start(way["start"]), None, None)
    options = replace(
        training_options(settled), strategy=way["strategy"], learning_rate=way["learning_rate"]
    )
    means = Means(budget, current.company, current.decisions)
    try:
        setup = settle_setup(dataset, given, options, means)
    except TooSlowError as error:
        raise TooSlowError(f"{error}{_what_stands(current.folder.path)}") from error
    look = look_of(setup, settled)
    tried = Tried(candidates=ranked, arms=way["arms"])
    judged: list[tuple[np.ndarray, np.ndarray]] = []

    def is_better(setup: TrainingSetup, tuned: Tuned, val: Inputs) -> bool:
        errors = way_errors(setup.model, tuned.val_logits, val)
        is_taken = not current.is_reopened or _replaces(current, errors, val.ids)
        if is_taken:  # else a larger budget has just given nothing
            tell_more(tuned, still_gained(tuned))
            judged.append((errors, val.ids))
        return is_taken

    tuned = complete(current, dataset, setup, budget, look, tried=tried, is_better=is_better)
    current.remember()
    write_way(current.folder.write, judged, current.kept_plan)
    current.folder.finish()
    return still_gained(tuned) if judged else None


def _what_stands(path: Path) -> str:
    """Return what a folder holds that is refused for want of time: what screening has left."""
    if not (path / "model.json").exists():
        return ""
    return (
        f" What screening has left in {path} answers already, and no figure says how well. Repeat "
        f"the command with a larger --budget and --out {shlex.quote(str(path))} --resume to go on."
    )


def _replaces(current: Session, errors: np.ndarray, ids: np.ndarray) -> bool:
    """Say whether what was trained longer takes the place of what a finished run hands over."""
    from headstart.searching.former_way import is_better_way

    is_better, why = is_better_way(current.folder.path, errors, ids)
    emit("choice", name="model", value="the new one" if is_better else "that of before", why=why)
    emit("note", text=READ_AGAIN if is_better else STANDS)
    return is_better


def _chosen_way(
    current: Session,
    dataset: Dataset,
    names: Sequence[str],
    budget: Budget,
    texts: TextCache | None,
    settled: FitOptions,
) -> ChosenWay:
    """Return what is trained to its end.

    Raises:
        KeyboardInterrupt: If someone asked to stop; nothing is kept of short trainings.
    """
    from headstart.searching.short_arms import Contest, choose_way
    from headstart.training.contract import StopRequested
    from headstart.tuning.stop import graceful_stop

    company = current.company
    with graceful_stop() as stop:
        asked_to_stop = partial(stop_requested, stop, company)
        contest = Contest(
            dataset,
            training_options(settled),
            budget,
            company.device,
            texts,
            current.decisions,
            asked_to_stop,
        )
        try:
            way = choose_way(contest, names, num_processes=company.size)
        except StopRequested as error:
            raise KeyboardInterrupt(stop.signal_number) from error
    if stop.requested:
        raise KeyboardInterrupt(stop.signal_number)
    return way
