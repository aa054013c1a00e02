"""How answers are made of probabilities: thresholds, costs, sets, and when not to answer.

All of it but costs is read off val once and stored with the model, so that ``predict``,
``evaluate``, a bundle and a server decide alike. Val's probabilities are those of temperatures that
have not seen the item; of a head that was fitted again on train and val, those of the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.errors import OptionError, did_you_mean, quoted
from headstart.evaluation import (
    CostMatrix,
    Groups,
    as_groups,
    conformal_bound,
    cost_difference,
    coverage_range,
    figure_to_json,
    mean_cost,
    parse_costs,
    parse_goal,
    parse_rejection,
    share_of,
    tune_rejection,
    tune_threshold,
)
from headstart.events import emit
from headstart.tasks import Task, array_of, find_task
from headstart.types import PLAINLY, Deciding, Rows, Schema

_LEAST_OF_LABEL = 3  # val items that have a label, and that lack it, for a threshold of its own
FIGURES = ("accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_micro", "exact_match")


@dataclass(frozen=True)
class DecidingAsked:
    """What a user said of how answers are made.

    Attributes:
        threshold: What thresholds are tuned for; None leaves them at 0.5.
        positive: Which of two classes a threshold is of; None is the second.
        coverage: How often sets and intervals hold the truth; 0 for none.
        reject: When the model is not to answer; None for never.
        costs: What answers cost, the content of a CSV; None where all mistakes cost the same.
        answer_tokens: Of an answer that is found, at the most; None for the task's own.
    """

    threshold: str | None = None
    positive: str | None = None
    coverage: float = 0.0
    reject: str | None = None
    costs: str | None = None
    answer_tokens: int | None = None

    @classmethod
    def of(cls, options: object) -> DecidingAsked:
        """Return what the options of a run, by name, say; those that are not there are not said."""
        names = ("threshold", "positive", "coverage", "reject", "costs", "answer_tokens")
        given = options if isinstance(options, Mapping) else {}
        return cls(**{name: given[name] for name in names if given.get(name) is not None})


def check_deciding(asked: DecidingAsked, schema: Schema | None = None) -> None:
    """Refuse what cannot be settled, before anything is trained.

    Args:
        asked: What a user said.
        schema: What is predicted; None where the data is not known yet.

    Raises:
        OptionError: A goal is none, or means nothing for this task or these classes.
    """
    if asked.threshold is not None:
        parse_goal(asked.threshold)
    if asked.reject is not None:
        parse_rejection(asked.reject)
    costs = None if asked.costs is None else parse_costs(asked.costs)
    if costs is not None and asked.threshold is not None:
        raise OptionError(
            f"threshold is '{asked.threshold}' and costs are given, too; expected one of both, "
            "since each says which answer is given. Leave --threshold or --costs out."
        )
    if asked.positive is not None and asked.threshold is None:
        raise OptionError(
            f"positive is '{asked.positive}' and no threshold is tuned; expected both. Add "
            "--threshold f1, or leave --positive out."
        )
    if schema is None:
        return
    task, num = find_task(schema.task), len(schema.classes)
    if costs is not None:
        _check_costs(costs, task, schema)
    if asked.answer_tokens is not None and not task.finds_texts:
        raise OptionError(
            f"answer_tokens is {asked.answer_tokens}, and {task.name} finds no answers in a "
            "context; expected question-answering. Leave --answer-tokens out."
        )
    said = {"threshold": asked.threshold, "reject": asked.reject}
    names = [name for name, value in said.items() if value is not None]
    if names and not task.is_answered_whole:
        options = " and ".join(f"--{name}" for name in names)
        raise OptionError(
            f"{names[0]} is '{said[names[0]]}', and this has {task.words.told} ({task.name}); "
            f"expected one class a sample. Leave {options} out."
        )
    has_thresholds = task.has_label_sets or (task.is_exclusive and num == 2)
    if asked.threshold is not None and not has_thresholds:
        what = f"{num} classes" if task.has_classes else f"a {task.name}"
        raise OptionError(
            f"threshold is '{asked.threshold}', and this is {what}; expected two classes, or "
            "several labels a sample. Leave --threshold out."
        )
    if asked.reject is not None and not task.has_classes:
        raise OptionError(
            f"reject is '{asked.reject}', and a {task.name} has no probabilities; its intervals "
            "say how sure it is. Leave --reject out."
        )
    if asked.positive is None:
        return
    if task.has_label_sets:
        raise OptionError(
            f"positive is '{asked.positive}', and each of the {num} labels has a threshold of its "
            "own; expected two exclusive classes. Leave --positive out."
        )
    if asked.positive not in schema.classes:
        near = did_you_mean(asked.positive, schema.classes)
        raise OptionError(
            f"positive is '{asked.positive}', expected one of two exclusive classes (the classes "
            f"are {quoted(schema.classes, limit=6)}).{near} Name one of these, or leave --positive "
            "out."
        )


def _check_costs(costs: CostMatrix, task: Task, schema: Schema) -> None:
    """Refuse costs of other classes, or where there is not one class a sample."""
    if not task.is_exclusive:
        what = task.words.told or f"a {task.name} task"
        raise OptionError(
            f"costs are given, and this is {what}; expected one class a sample. Leave --costs out."
        )
    costs.of(schema.classes)


def settle_deciding(
    asked: DecidingAsked,
    task: Task,
    outputs: Rows,
    targets: Rows,
    schema: Schema,
    *,
    groups: np.ndarray | None = None,
) -> tuple[Deciding, dict[str, Any]]:
    """Return how answers are made, by what val says; it is told.

    Args:
        asked: What a user said.
        task: What is predicted.
        outputs: Of val.
        targets: Of val.
        schema: Gives the classes.
        groups: Which items belong together, shape (M,), or None.

    Returns:
        It, and the records ``thresholds``, ``costs``, ``conformal`` and ``rejection`` without what
        test says.
    """
    deciding = task.tuned(outputs, targets) if task.tells_words else PLAINLY
    record = dict[str, Any]()
    if asked.threshold is not None:
        deciding, record["thresholds"] = _thresholds(asked, task, outputs, targets, schema)
    if asked.costs is not None:
        matrix = parse_costs(asked.costs).of(schema.classes)
        deciding = Deciding(costs=tuple(map(tuple, matrix.tolist())))
        record["costs"] = {"classes": list(schema.classes), "matrix": matrix.tolist()}
        emit("choice", name="answers", value="the cheapest", why="costs are given")
    if task.finds_texts:
        return _found(task, outputs, targets)
    if asked.coverage:
        told = as_groups(groups, len(targets))
        plain = deciding == PLAINLY
        found = _conformal(
            asked.coverage, task, outputs, targets, told.num if told else None, is_plain=plain
        )
        if found is not None:
            deciding = replace(deciding, coverage=asked.coverage, bound=found[0])
            record["conformal"] = found[1]
    if asked.reject is not None:
        deciding, record["rejection"] = _rejection(asked, task, deciding, outputs, targets)
    return deciding, record


def _found(task: Task, outputs: Rows, targets: Rows) -> tuple[Deciding, dict[str, Any]]:
    """Return from which lead on a span is said; always, where every question has an answer."""
    deciding, bare = task.tuned(outputs, targets), [not one.texts for one in array_of(targets)]
    if not any(bare) or deciding.least_lead is None:
        return deciding, {}
    num, lead = int(sum(bare)), deciding.least_lead
    why = f"best F1 on val, where {num:,} of {len(bare):,} questions have no answer"
    emit("choice", name="lead of an answer", value=f"{lead:.3g}", why=why)
    return deciding, {"silence": {"lead": lead, "num_items": len(bare), "num_unanswered": num}}


def _conformal(
    coverage: float,
    task: Task,
    outputs: Rows,
    targets: Rows,
    num_groups: int | None,
    *,
    is_plain: bool,
) -> tuple[float, dict[str, Any]] | None:
    """Return the bound of sets or intervals, and its record; None where val cannot tell one."""
    misfits = task.misfits(outputs, targets)
    if misfits is None:
        what = task.words.told or task.name
        text = f"No sets of answers are told: they are for classes and numbers, not for {what}."
        emit("note", text=text)
        return None
    num = len(misfits) if num_groups is None else num_groups
    bound, ends = conformal_bound(misfits, coverage, num), coverage_range(num, coverage)
    if bound is None or ends is None:
        what = "val items" if num_groups is None else "groups of val items"
        emit(
            "note",
            text=f"No sets or intervals: {num} {what} are too few for a coverage of {coverage:g}.",
        )
        return None
    # what thresholds decide for is in the sets, too: then they hold the truth more often
    most = ends[1] if is_plain else 1.0
    record = {"coverage": coverage, "num_items": len(misfits), "expected": [ends[0], most]}
    if num_groups is not None:
        record["num_groups"] = num_groups
    return bound, {**record, "quantile" if task.has_classes else "half_width": bound}


def _thresholds(
    asked: DecidingAsked, task: Task, outputs: Rows, targets: Rows, schema: Schema
) -> tuple[Deciding, dict[str, Any]]:
    assert asked.threshold is not None
    goal, positive = parse_goal(asked.threshold), None
    if task.is_exclusive:
        named = asked.positive or schema.classes[1]
        positive = schema.classes.index(named)
        task = task.deciding_by(Deciding((0.5,), positive))
    values, on_val, notes = dict[str, float](), dict[str, Any](), list[str]()
    for one in task.questions(outputs, targets, schema):
        num_positive = int(one.is_positive.sum())
        if min(num_positive, len(one.is_positive) - num_positive) < _LEAST_OF_LABEL:
            values[one.name] = 0.5
            notes.append(f"'{one.name}' stays at 0.5: val has {num_positive} items of it.")
            continue
        found = tune_threshold(goal, one.scores, one.is_positive)
        values[one.name] = found.value
        on_val[one.name] = {
            "precision": found.precision,
            "recall": found.recall,
            "f1": found.f1,
        }
        if not found.is_reached:
            notes.append(
                f"No threshold of '{one.name}' reaches {goal.asked} on val: precision "
                f"{found.precision:.3f} and recall {found.recall:.3f} come next."
            )
    for note in notes:
        emit("note", text=note)
    shown = ", ".join(f"{name} {value:.3g}" for name, value in list(values.items())[:5])
    emit("choice", name="thresholds", value=shown, why=f"{goal.asked} on val")
    record = {"asked": goal.asked, "values": values, "val": on_val, "notes": notes}
    return Deciding(tuple(values.values()), positive, goal.asked), record


def _rejection(
    asked: DecidingAsked, task: Task, deciding: Deciding, outputs: Rows, targets: Rows
) -> tuple[Deciding, dict[str, Any]]:
    assert asked.reject is not None
    goal = parse_rejection(asked.reject)
    own = task.deciding_by(deciding)
    right = own.item_errors(own.decisions(outputs), targets) == 0
    found = tune_rejection(goal, _confidence(own, outputs), right)
    if not found.is_reached:
        emit(
            "note",
            text=f"val has too few items, or too many mistakes among the surest, to show "
            f"{goal.asked}: only answers as sure as val's surest are given.",
        )
    emit(
        "choice",
        name="reject",
        value=f"below {found.least:.3g}",
        why=f"{goal.asked}; {100 * found.answered:.3g} % of val are answered",
    )
    record = {"asked": goal.asked, "least": found.least, "val": {"answered": found.answered}}
    return replace(deciding, least=found.least, rejection=goal.asked), record


def _confidence(task: Task, outputs: Rows) -> np.ndarray:
    found = task.confidence(outputs)
    assert found is not None, "a task without probabilities is refused before"
    return found


def judge_deciding(
    record: Mapping[str, Any],
    task: Task,
    outputs: Rows,
    targets: Rows,
    schema: Schema,
    *,
    groups: np.ndarray | None,
) -> dict[str, Any]:
    """Return the records of how answers are made, with what they are worth on other items.

    Args:
        record: ``thresholds``, ``costs``, ``conformal`` and ``rejection``, each where it was
            settled.
        task: The model's own, which decides so.
        outputs: Of the items, N at least 1.
        targets: The same.
        schema: Gives the classes.
        groups: Which items belong together, shape (N,), or None.
    """
    told, found, test = as_groups(groups, len(targets)), dict[str, Any](), dict[str, Any]()
    if "thresholds" in record:
        both = {"tuned": task, "plain": task.deciding_by(PLAINLY)}
        for name, one in both.items():
            figures = one.scores(outputs, targets, schema, groups=groups).figures
            kept = {figure: figures[figure] for figure in FIGURES if figure in figures}
            test[name] = {figure: figure_to_json(value) for figure, value in kept.items()}
        found["thresholds"] = {**record["thresholds"], "test": test}
    if "costs" in record:
        found["costs"] = {**record["costs"], "test": _cost_figures(task, outputs, targets, told)}
    if "conformal" in record:
        misfits, bound = task.misfits(outputs, targets), task.deciding.bound
        assert misfits is not None
        test = {"coverage": figure_to_json(share_of(misfits <= bound, told))}
        if (sizes := task.set_sizes(outputs)) is not None:
            numbers, counts = np.unique(sizes, return_counts=True)
            test["mean_size"] = float(sizes.mean())
            test["sizes"] = {str(n): int(c) for n, c in zip(numbers, counts, strict=True)}
        found["conformal"] = {**record["conformal"], "test": test}
    if "rejection" in record:
        least = task.deciding.least
        given = _confidence(task, outputs) >= least
        right = task.item_errors(task.decisions(outputs), targets) == 0
        inside = None if groups is None else as_groups(np.asarray(groups)[given], int(given.sum()))
        test = {
            "answered": figure_to_json(share_of(given, told)),
            "accuracy": figure_to_json(share_of(right[given], inside)),
        }
        found["rejection"] = {**record["rejection"], "test": test}
    return found


def _cost_figures(
    task: Task, outputs: Rows, targets: Rows, groups: Groups | None
) -> dict[str, Any]:
    """Return what answers cost: the cheapest, the most probable, and always the same one."""
    matrix, wanted = np.array(task.deciding.costs), array_of(targets)
    ways = {
        "cheapest": array_of(task.decisions(outputs)),
        "most_probable": array_of(task.deciding_by(PLAINLY).decisions(outputs)),
    }
    constant = int(matrix[wanted].sum(axis=0).argmin())
    ways["constant"] = np.full(len(wanted), constant)
    figures = {
        name: figure_to_json(mean_cost(decided, wanted, matrix, groups))
        for name, decided in ways.items()
    }
    each = [matrix[wanted, ways[name]] for name in ("most_probable", "cheapest")]
    saved = figure_to_json(cost_difference(each[0], each[1], groups))
    return {**figures, "difference": saved, "constant_class": constant}


def stated(deciding: Deciding, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the records that a stored model has to judge, as far as it says them itself.

    Args:
        deciding: Of the model.
        classes: All of them.
    """
    record: dict[str, Any] = {}
    if deciding.thresholds:
        named = classes if deciding.positive is None else (classes[deciding.positive],)
        values = dict(zip(named, deciding.thresholds, strict=True))
        record["thresholds"] = {"asked": deciding.goal, "values": values}
    if deciding.costs:
        matrix = [list(row) for row in deciding.costs]
        record["costs"] = {"classes": list(classes), "matrix": matrix}
    if deciding.bound is not None:
        name = "quantile" if classes else "half_width"
        record["conformal"] = {"coverage": deciding.coverage, name: deciding.bound}
    if deciding.least is not None:
        record["rejection"] = {"asked": deciding.rejection, "least": deciding.least}
    return record
