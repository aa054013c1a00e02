"""Explanations of a run: at its end where they take next to nothing of it, or when asked for."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import RunFolderError
from headstart.recipes.run import Run
from headstart.storage.records import find_record
from headstart.storage.run_folder import disk_errors, write_atomically

if TYPE_CHECKING:
    from headstart.explaining import Explained
    from headstart.model import Ensemble
    from headstart.tuning.budget import Budget
    from headstart.types import Dataset

EXPLANATIONS = "explanations.json"
_PAGE_SECONDS = 1.5  # that are put by for the page


def explain_at_end(
    ensemble: Ensemble, dataset: Dataset, shown: Sequence[int], budget: Budget, each: float
) -> dict[str, object]:
    """Return the content of ``explanations.json`` where it takes a twentieth of a budget at most.

    Without a budget nobody has said how long the run may take, and it ends as soon as it can.

    Args:
        ensemble: What the run hands over.
        dataset: What it was made with.
        shown: Ids of test items.
        budget: Tells what there is and what is left of it.
        each: Seconds that a pass of a sample takes.

    Returns:
        The record; empty where it would take longer, or nothing is known to explain the model by:
        ``headstart report RUN --explain`` makes it whatever it takes.
    """
    from headstart.explaining.explain import explain_run, way_of
    from headstart.tuning.budget import SHARES

    way = way_of(ensemble)
    if way is None or budget.limit_seconds is None:
        return {}
    needed = budget.load * each * way.num_passes(ensemble) * len(ensemble.members)
    share = SHARES["explanations"].share * budget.limit_seconds
    if needed > min(share, budget.left - _PAGE_SECONDS):
        return {}
    return explain_run(ensemble, dataset, shown)


def explain_again(run: Run) -> None:
    """Load a run's data and model again, and write ``explanations.json``.

    Raises:
        DataError: If the data has moved or changed.
        RunFolderError: If the run is unfinished, its model cannot be explained, or the folder
            cannot be written.
    """
    from headstart.explaining import explain_run
    from headstart.explaining.explain import way_of
    from headstart.recipes.on_all import refuse_untested
    from headstart.recipes.own_data import check_finished, own_data

    check_finished(run)
    refuse_untested(run.path, run.metrics)
    if way_of(run.ensemble) is None:
        raise _not_explained_yet(run)
    found = explain_run(run.ensemble, own_data(run), shown_ids(run.path))
    if not found:
        raise _unexplained(run)
    path, content = run.path / EXPLANATIONS, json.dumps(found, default=str).encode()
    with disk_errors(path, len(content)):
        write_atomically(path, content)


def _not_explained_yet(run: Run) -> RunFolderError:
    """Return the refusal of inputs or answers that nothing explains, whatever the model holds."""
    pair = " in pairs" if run.schema.sides else ""
    beside = f"{pair} with columns beside them" if run.schema.beside else pair
    return RunFolderError(
        f"The model of {run.path} cannot be explained: {run.schema.task} of "
        f"{run.schema.facts.nouns}{beside}, which is not done yet; expected one answer for an "
        f"image, a text or a row alone. Leave --explain out."
    )


def _unexplained(run: Run) -> RunFolderError:
    """Return the refusal of a model in which there is nothing to look at."""
    return RunFolderError(
        f"The model of {run.path} cannot be explained: there are no feature maps, attention, "
        f"words, or two columns of it to look at. Leave --explain out."
    )


def shown_ids(folder: Path) -> list[int]:
    """Return the ids of the test items that are explained: the worst and the most doubtful."""
    mistakes = find_record(folder, "mistakes.json") or {}
    worst = [one["id"] for one in mistakes.get("items") or []]
    doubtful = [one["id"] for one in mistakes.get("doubtful") or [] if one["id"] not in worst[:6]]
    return [int(one) for one in [*worst[:6], *doubtful, *worst[6:]]]


def checked_record(run: Run) -> dict[str, Any]:
    """Return what a run's explanations have shown when they were checked.

    Raises:
        RunFolderError: If nobody has checked them, or they name no more than chance would.
    """
    folder = shlex.quote(str(run.path))
    record = find_record(run.path, EXPLANATIONS)
    if not record:
        from headstart.explaining.explain import way_of

        if way_of(run.ensemble) is None:  # a check would be refused, too
            raise _not_explained_yet(run)
        raise RunFolderError(
            f"{run.path} has no {EXPLANATIONS}: nobody has checked whether explanations of its "
            f"model may be believed. Check it: headstart report {folder} --explain."
        )
    checked = record.get("single") or record
    if not checked["faithfulness"]["is_faithful"]:
        raise RunFolderError(
            f"Explanations of {run.path} are not shown: deleting what they name changes its "
            f"answers no more than deleting at random ({EXPLANATIONS}). Leave --explain out."
        )
    return {**record, **checked}


def write_explained(
    ensemble: Ensemble, samples: Any, names: Sequence[str], record: Mapping[str, Any], out: str
) -> None:
    """Explain samples, and write the page that shows them.

    Args:
        ensemble: Whoever answers.
        samples: As ``Ensemble.incoming`` takes them.
        names: What to call each.
        record: As ``checked_record`` returns it.
        out: The page.

    Raises:
        RunFolderError: If the page cannot be written.
    """
    from headstart.explaining import explain_samples
    from headstart.reporting.explained_page import render_explained

    found: list[Explained] = explain_samples(ensemble, samples, names, record)
    page = render_explained({**record, "items": [one.to_json() for one in found]})
    content = page.encode(errors="backslashreplace")
    with disk_errors(Path(out), len(content)):
        write_atomically(Path(out), content)
