"""Every pair of several runs, on the same test items: what differs, and whether by more than noise.

Each pair is looked at, so that p is corrected for the number of pairs (Holm); the judgement follows
the corrected one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from string import ascii_uppercase
from typing import Any

import numpy as np

from headstart.comparing.finished import FinishedRun, Json
from headstart.comparing.items import Answers, CommonItems, common_items, shown
from headstart.evaluation import (
    comparison_to_json,
    figure_to_json,
    holm,
    mid_p_value,
    resample_together,
)
from headstart.evaluation.clusters import as_groups
from headstart.evaluation.paired import Resampled
from headstart.tasks import array_of
from headstart.types import Comparison

MAX_RUNS = len(ascii_uppercase)
MAX_ITEMS = 50  # gained and lost items that the record names of each pair


def compare_runs(runs: Sequence[FinishedRun], *, seed: int = 0) -> Json:
    """Return what ``compare.json`` says of several runs on the same test items.

    Args:
        runs: Two to 26, in the order in which they are told.
        seed: Of the draws.

    Returns:
        JSON-able: ``runs`` with a letter each, the ``ladder`` of all that their folders know,
        ``comparisons`` of every pair.

    Raises:
        DataError: They were not tested on the same items.
        RunFolderError: A file is missing or damaged.
    """
    items = common_items(runs)
    letters = ascii_uppercase[: len(runs)]
    task, schema = runs[0].task, runs[0].schema
    groups = as_groups(items.groups, len(items.ids))
    sums = [
        task.item_sums(each.decisions, items.targets, schema, each.losses) for each in items.answers
    ]
    resampled: list[Resampled] = []
    if known := [each for each in sums if each is not None]:
        resampled = resample_together(known, len(items.ids), groups=groups, seed=seed)
    pairs = list(combinations(range(len(runs)), 2))
    verdicts = [
        task.compare(
            letters[i],
            items.answers[i].decisions,
            letters[j],
            items.answers[j].decisions,
            items.targets,
            seed=seed,
            groups=items.groups,
        )
        for i, j in pairs
    ]
    corrected = holm([verdict.p_value for verdict in verdicts])
    comparisons = []
    for (i, j), verdict, p_value in zip(pairs, verdicts, corrected, strict=True):
        judged = replace(verdict, p_value=p_value)
        about = _judged(task.words.pairing, verdict, judged, is_paired=groups is None)
        about["figures"] = _differences(resampled, i, j) or _of_parts(items, i, j, seed)
        about |= _moved(items, items.answers[i], items.answers[j])
        comparisons.append(about)
    return {
        "task": task.name,
        "metric": task.headline,
        "num_items": len(items.ids),
        "num_groups": groups.num if groups else None,
        "runs": [_about(run, letter) for run, letter in zip(runs, letters, strict=True)],
        "ladder": ladder(runs, letters),
        "comparisons": comparisons,
        "correction": "Holm" if len(pairs) > 1 else None,
        "best": str(best_of(runs).path),
    }


def best_of(runs: Sequence[FinishedRun]) -> FinishedRun:
    """Return the run with the best leading figure on its test items, the first of several."""
    task = runs[0].task

    def rank(run: FinishedRun) -> float:
        value = (run.metrics["test"]["figures"].get(task.headline) or {}).get("value")
        return -np.inf if value is None else task.figures[task.headline].sign * value

    return max(runs, key=rank)


def _about(run: FinishedRun, letter: str) -> Json:
    """Return what is told of a run."""
    return {
        "letter": letter,
        "path": str(run.path),
        "start": run.start,
        "strategy": run.model.get("strategy"),
        "is_from_scratch": run.is_from_scratch,
        "name": run.own_name,
        "figures": run.metrics["test"]["figures"],
        "seconds": (run.metrics.get("seconds") or {}).get("total"),
    }


def _judged(pairing: Any, verdict: Comparison, judged: Comparison, *, is_paired: bool) -> Json:
    """Return a verdict with its three p-values and what follows from them."""
    found = comparison_to_json(verdict)
    is_mcnemar = is_paired and not (pairing.needs_mean or pairing.tests_difference)
    found["mid_p_value"] = mid_p_value(verdict.gained, verdict.lost) if is_mcnemar else None
    found["corrected_p_value"] = judged.p_value
    ends = figure_to_json(judged.difference)
    found["judgement"] = pairing.judge(
        judged.p_value, judged.gained, judged.lost, (ends["low"], ends["high"])
    )
    return found


def _differences(resampled: Sequence[Resampled], i: int, j: int) -> Mapping[str, Json]:
    """Return by how much the second differs in every figure that decisions and losses give."""
    if not resampled:
        return {}
    first, second = resampled[i], resampled[j]
    return {name: figure_to_json(first.difference(second, name)) for name in first.values}


def _of_parts(items: CommonItems, i: int, j: int, seed: int) -> dict[str, Json]:
    """Return by how much the second differs in each of several targets; empty where there is one.

    Args:
        items: With the answers of all runs.
        i: Which run is the first.
        j: Which is the second.
        seed: Of the draws.
    """
    first, second, wanted = items.answers[i], items.answers[j], items.targets
    found = {}
    for place, part in enumerate(first.run.task.parts):
        column = array_of(wanted)[:, place]
        has = np.isfinite(column)
        said = [part.present(array_of(each.decisions)[has, place]) for each in (first, second)]
        if has.any():
            groups = None if items.groups is None else items.groups[has]
            told = part.task.compare(
                "A", said[0], "B", said[1], part.present(column), seed=seed, groups=groups
            )
            found[f"{part.label}.{told.metric}"] = figure_to_json(told.difference)
    return found


def _moved(items: CommonItems, before: Answers, after: Answers) -> Json:
    """Return the items that are gained and lost, those first that move by most."""
    task = before.run.task
    gains = task.item_gains(before.decisions, after.decisions, items.targets)
    changes = np.nan_to_num(before.losses.astype(np.float64) - after.losses)
    found = {}
    for name, sign in (("gained_items", 1.0), ("lost_items", -1.0)):
        places = np.flatnonzero(sign * gains > 0)
        order = np.lexsort((-sign * changes[places], -sign * gains[places]))
        found[name] = [
            {
                "id": int(items.ids[place]),
                "name": items.named(place),
                "target": shown(items.written, place),
                "before": shown(before.written, place),
                "after": shown(after.written, place),
            }
            for place in places[order[:MAX_ITEMS]].tolist()
        ]
    return found


def ladder(runs: Sequence[FinishedRun], letters: str) -> list[Json]:
    """Return all predictors that the folders know on these items, the simplest first.

    What several runs have alike (the majority class, the same baseline) stands once. The last rung
    of each run is the run itself.

    Args:
        runs: In their order.
        letters: One a run.
    """
    rungs: dict[tuple[str, str], Json] = {}
    for run, letter in zip(runs, letters, strict=True):
        figures = (run.metrics.get("before_after") or {}).get("figures") or {}
        for place, (name, figure) in enumerate(figures.items()):
            if place == len(figures) - 1:
                continue
            rung = rungs.setdefault(
                (name, repr(figure)),
                {"name": name, "of": [], "figure": figure, "place": place, "is_run": False},
            )
            rung["of"].append(letter)
    simplest = sorted(rungs.values(), key=lambda rung: (rung["place"] > 0, rung["name"]))
    own = [
        {
            "name": run.own_name,
            "of": [letter],
            "figure": run.metrics["test"]["figures"].get(run.task.headline),
            "is_run": True,
        }
        for run, letter in zip(runs, letters, strict=True)
    ]
    return [{k: v for k, v in rung.items() if k != "place"} for rung in [*simplest, *own]]
