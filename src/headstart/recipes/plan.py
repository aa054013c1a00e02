"""Whether an attempt goes on with what a former one has left: same data, same options.

A finished ``fit`` goes on, too, where the budget is larger: what it had made counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headstart.errors import RunFolderError
from headstart.storage.run_folder import disk_errors
from headstart.training.options.limits import changing_no_result

if TYPE_CHECKING:
    from headstart.storage.run_folder import RunFolder


def is_same_run(former: object, options: Mapping[str, Any]) -> bool:
    """Return whether options are those of an unfinished run, but for what changes no result.

    Args:
        former: What its plan holds; anything else than options is no run's.
        options: Of this attempt.
    """
    return isinstance(former, dict) and not (_changed(former, options) + _changed(options, former))


def resumed_plan(folder: RunFolder, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan of an unfinished run, after checking that it is the same run.

    Args:
        folder: Holds the unfinished run, or the finished one of a search.
        plan: Of this attempt.

    Raises:
        RunFolderError: Naming every option that differs.
    """
    former = folder.read_json("state/plan.json")
    is_finished = former is None
    if former is None:
        former = folder.read_json("search/plan.json")
    if former is None:
        raise RunFolderError(
            f"{folder.path} holds no plan of an unfinished run; expected state/plan.json. Start "
            f"anew with --overwrite."
        )
    told = {**former["options"], "data": former["fingerprint"], "verb": former["verb"]}  # type: ignore[dict-item]
    asked = {**plan["options"], "data": plan["fingerprint"], "verb": plan["verb"]}
    budget = told.get("budget")
    is_longer = _is_longer(budget, asked.get("budget"))
    if is_longer or is_finished:  # what was settled holds; of a finished run a smaller one is told
        told["budget"] = asked["budget"]
    changed = [_told(name, told, asked) for name in _changed(told, asked)]
    if changed:
        raise RunFolderError(
            f"{folder.path} holds a run with other options ({'; '.join(changed)}); expected the "
            f"same ones to resume. Give the former options, or start anew with --overwrite."
        )
    if is_finished:
        if not is_longer:
            raise RunFolderError(
                f"{folder.path} holds a finished run of --budget {budget}; expected a "
                f"larger budget to go on with it. Raise --budget, or choose another --out."
            )
        former = _reopened(folder)
    return former | {"options": plan["options"]}


def _told(name: str, told: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Return what differs as people see it: a digest of data says nothing to them."""
    if name == "data":
        return "data: other samples, or read or divided otherwise"
    return f"{name}: {told.get(name)!r} → {asked.get(name)!r}"


def _reopened(folder: RunFolder) -> dict[str, Any]:
    """Return the plan of a finished search, to go on with; its models are put by."""
    from headstart.searching.record import reopened

    with disk_errors(folder.path, 0):
        return reopened(folder.path)


def _is_longer(told: object, asked: object) -> bool:
    """Return whether a budget is larger than the former one."""
    from headstart.tuning.named_budget import parse_budget

    if told is None:
        return False
    former, now = (parse_budget(text) for text in (told, asked))  # type: ignore[arg-type]
    return now is None or (former is not None and now > former)


def _changed(told: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Return what is asked now and was told otherwise, but for what changes no result.

    A later attempt may have other means: how a run lies on devices is like the number of processes.
    """
    free = changing_no_result()
    return [name for name in asked if told.get(name) != asked.get(name) and name not in free]
