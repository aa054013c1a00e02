"""What the page shows of trainings: loss, the figure of val and the rate, of each arm and phase.

The log is one line an event; a training is told apart by the arm that was announced before it
(``arm``), else by the name of its task. An arm that is gone on with later goes on in its own chart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from headstart.reporting.charts import Point, line_chart
from headstart.reporting.language import say
from headstart.reporting.measures import Json, measure_named, task_of
from headstart.types import MODALITIES

_MAX_ARMS = 12  # whose charts are shown beside the last training's


@dataclass
class Training:
    """One training as the log tells it.

    Attributes:
        name: Of the arm; empty where none was announced.
        metric: What its checks are scored by, empty while there was none.
        loss: Of train, (step, value).
        val_loss: Of val.
        score: Of val.
        rate: The learning rate.
        phases: Where other layers began to learn: (step, what they are).
    """

    name: str
    metric: str = ""
    loss: list[Point] = field(default_factory=list)
    val_loss: list[Point] = field(default_factory=list)
    score: list[Point] = field(default_factory=list)
    rate: list[Point] = field(default_factory=list)
    phases: list[tuple[float, str]] = field(default_factory=list)


def trainings_of(log_records: list[Json]) -> list[Training]:
    """Return every training of a log that has a point, in the order in which they went on last."""
    found: dict[tuple[str, object], Training] = {}
    arm, line, learns = "", None, ""
    for record in log_records:
        kind = record.get("kind")
        if kind == "arm":
            arm = str(record.get("arm") or "")
        elif kind == "phase":
            learns = str(record.get("learns") or "")
        is_step = kind == "task" and _is_finite(record.get("loss"))
        if kind == "task" and not is_step and record.get("start"):
            arm = str(record["start"])
        if not is_step and kind != "check":
            continue
        line = record.get("name") if is_step else line
        former = found.pop((arm, line), None) or found.pop((arm, None), None)
        current = former or Training(arm)
        found[arm, line] = current  # the last to go on is the last
        if learns:
            _begin_phase(current, learns)
            learns = ""
        if is_step:
            _put(current.loss, record.get("done"), record.get("loss"))
            _put(current.rate, record.get("done"), record.get("learning_rate"))
        else:
            current.metric = str(record.get("metric") or current.metric)
            _put(current.val_loss, record.get("step"), record.get("val_loss"))
            _put(current.score, record.get("step"), record.get("val_score"))
    return [one for one in found.values() if one.loss or one.val_loss or one.score]


def _begin_phase(training: Training, learns: str) -> None:
    """Note that other layers learn from the step on that was told last."""
    at = training.loss[-1][0] if training.loss else 0.0
    training.phases = [told for told in training.phases if told[0] < at and told[1] != learns]
    training.phases.append((at, learns))


def _put(points: list[Point], x: object, y: object) -> None:
    """Add a point; a step that was passed already (a run that was resumed) takes back what was."""
    if not _is_finite(x) or not _is_finite(y):
        return
    step = float(x)  # type: ignore[arg-type]
    while points and points[-1][0] >= step:
        points.pop()
    points.append((step, float(y)))  # type: ignore[arg-type]


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def curves_view(log_records: list[Json], metrics: Json, model: Json) -> Json | None:
    """Return loss, score and rate over the steps: of the last training, and of each arm before."""
    trainings = trainings_of(log_records)
    if not trainings:
        return None
    charts = _charts(trainings[-1])
    if not charts:
        return None
    facts = MODALITIES.get((model.get("schema") or {}).get("modality", "image"))
    regularised = say(
        "Train loss is measured with the regularisation of training, so it may lie above val loss."
    )
    if facts and facts.is_augmented:
        regularised = say(
            "Train loss is measured on augmented {nouns} and with the regularisation of training, "
            "so it may lie above val loss.",
            nouns=say(facts.nouns),
        )
    task = task_of(metrics)
    notes = [say(task.words.loss_note)] if task is not None and task.words.loss_note else []
    phases = trainings[-1].phases
    if len(phases) > 1:
        told = ", ".join(f"{step:g} ({learns})" for step, learns in phases)
        notes.append(say("What learns changed at the steps {steps}.", steps=told))
    arms = [
        {"name": one.name or say("before"), "charts": _charts(one)}
        for one in trainings[-1 - _MAX_ARMS : -1]
    ]
    return {
        "lead": " ".join([*notes, regularised]),
        "name": trainings[-1].name,
        "charts": charts,
        "arms": [arm for arm in arms if arm["charts"]],
    }


def _charts(training: Training) -> list[tuple[list[tuple[str, str]], str]]:
    """Return legend and chart of loss, of the figure on val, and of the rate where they are."""
    marks = [step for step, _ in training.phases if step > 0]
    train, val = say("train loss"), say("val loss")
    measure = measure_named(training.metric)
    figure = say(measure.name) if measure else training.metric or say("score")
    scored, rate = say("val {figure}", figure=figure), say("learning rate")
    of_score = say("{what} over steps", what=scored)
    is_bounded = all(value <= 1 for _, value in training.score)  # shares, F1, R²
    losses = [("line-a", train, training.loss), ("line-b", val, training.val_loss)]
    blocks = [
        (losses, say("Loss over steps")),
        ([("line-b", scored, training.score)], of_score),
        ([("line-a", rate, training.rate)], say("{what} over steps", what=rate)),
    ]
    charts = []
    for lines, label in blocks:
        drawn = line_chart(
            [(name, css, points) for css, name, points in lines],
            x_label=say("step"),
            label=label,
            marks=marks,
            most=1.0 if label is of_score and is_bounded else None,
        )
        if drawn:
            charts.append(([(css, name) for css, name, points in lines if points], drawn))
    return charts
