"""What stands at the head of the page: the verdict in one sentence, and where the figures are from.

Also how the model is used and the run is made again, and what it has cost. Whole paths of the
machine that made it are shortened to their last part: a page is sent to others.
"""

from __future__ import annotations

import math
import shlex
from datetime import datetime

from headstart.reporting.language import say
from headstart.reporting.measures import Json, asked_as, format_value_alone, task_of
from headstart.reporting.wording import (
    data_title,
    format_bytes,
    format_count,
    format_duration,
    format_items,
    format_number,
    guessing_sentence,
    has_lost,
    judge,
    outcome,
)
from headstart.tasks import TASKS
from headstart.types import MODALITIES


def verdict_view(metrics: Json) -> Json | None:
    """Return the verdict in one sentence, and whether it is good, bad or open."""
    test, task = metrics.get("test") or {}, task_of(metrics)
    if task is None or not test.get("figures"):
        return None
    measure = task.figures[task.headline]
    figure = test["figures"].get(task.headline) or {}
    shown = {end: _shown(figure.get(end), measure.unit) for end in ("value", "low", "high")}
    sentence = say(
        "{figure} {value} on {items} that no training has seen (95 % interval {low} to {high}).",
        figure=say(measure.name)[:1].upper() + say(measure.name)[1:],
        items=format_items(test["num_items"], test.get("num_groups")),
        **shown,
    )
    compared = _begun(outcome(metrics))
    comparisons = (metrics.get("before_after") or {}).get("comparisons") or []
    judged = {judge(found, task.words.pairing) for found in comparisons}
    style, guess = "open", guessing_sentence(metrics)
    if guess:
        style, sentence = "bad", f"{guess} {sentence} {compared}".rstrip()
    elif has_lost(metrics):
        style, sentence = "bad", f"{compared} {sentence}"
    else:
        style = "good" if judged == {"better"} else "open"
        sentence = f"{sentence} {compared}".rstrip()
    return {"style": style, "sentence": sentence}


def _begun(sentence: str) -> str:
    """Return a sentence with a capital, but for one that begins with an address, which has none."""
    is_address = "/" in sentence.partition(" ")[0]
    return sentence if is_address else sentence[:1].upper() + sentence[1:]


def _shown(value: float | None, unit: str) -> str:
    """Return one end of the leading figure."""
    if unit == "percent":
        return say("unknown") if value is None else f"{100 * value:.1f} %"
    return format_value_alone(value) if unit == "target" else format_number(value)


def provenance_view(model: Json, options: Json) -> list[tuple[str, str]]:
    """Return when, by what and how the run was made, each with its name; what is known of it."""
    rows = []
    if finished := _moment(options.get("finished_at")):
        rows.append((say("finished"), finished))
    versions = ", ".join(f"{name} {told}" for name, told in (model.get("versions") or {}).items())
    if versions:
        rows.append((say("versions"), versions))
    if command := command_of(options):
        rows.append((say("command"), command))
    return rows


def _moment(told: object) -> str:
    """Return a moment as people write it, in the time zone in which it was written down."""
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        return ""
    return moment.strftime("%Y-%m-%d %H:%M %Z").strip()


def command_of(options: Json) -> str:
    """Return the command that makes the run again, whole paths shortened to their last part."""
    words = options.get("command") or []
    return shlex.join(["headstart", *(data_title(word) for word in words)]) if words else ""


def use_view(model: Json) -> Json | None:
    """Return the lines by which the model is used, from a shell and from Python."""
    schema = model.get("schema") or {}
    facts, task = MODALITIES.get(schema.get("modality", "")), TASKS.get(schema.get("task", ""))
    if facts is None or task is None:
        return None
    argument, given = asked_as(schema)
    if task.tells_words:
        told = "spans"
    else:
        told = "label, found.probability" if task.has_classes else "value"
    told = "label, found.probability" if task.finds_texts else told
    told = "label, found.probability" if task.chosen_among else told
    told = "text" if task.tells_texts else told
    further = ["headstart serve RUN", "headstart export RUN --to onnx --out BUNDLE"]
    return {
        "shell": [f"headstart predict RUN {argument}", *further],
        "python": f'import headstart as hs\n\nfor found in hs.predict("RUN", {given}):\n'
        f"    print(found.name, found.{told})",
    }


def cost_view(metrics: Json, model: Json, options: Json) -> list[tuple[str, str]]:
    """Return what the run has cost and what the model needs, each with its name."""
    seconds = metrics.get("seconds") or {}
    facts = [
        (format_duration(value), say(name.replace("_", " ")))
        for name, value in seconds.items()
        if isinstance(value, int | float) and math.isfinite(value)
    ]
    machine = options.get("machine") or {}
    for key, name in (
        ("peak_memory_bytes", say("memory at the most")),
        ("peak_gpu_memory_bytes", say("GPU memory at the most")),
    ):
        if isinstance(machine.get(key), int) and machine[key] > 0:
            facts.append((format_bytes(machine[key]), name))
    if number := (model.get("start") or {}).get("num_parameters"):
        facts.append((format_count(int(number)), say("parameters of the start")))
    return facts
