"""The model card of a run: ``README.md`` with the metadata that the Hugging Face hub reads.

Made of the same JSON as the page. The front matter is YAML; its values are written as JSON, which
YAML reads the same way, so that no name of a file or class can break out of it. What the metadata
may say is the hub's list: a kind of model that it does not know is left out.

Source:
    https://huggingface.co/docs/hub/model-cards (front matter), ``model-index`` for the figures.
"""

from __future__ import annotations

import json
import re
from typing import Any

from headstart.reporting.data_words import notes_of
from headstart.reporting.measures import (
    Json,
    asked_as,
    end_of,
    format_measure,
    ladder_of,
    task_of,
)
from headstart.reporting.page_head import command_of
from headstart.reporting.wording import (
    data_title,
    describe_start,
    ensemble_sentence,
    format_count,
    outcome,
    start_address,
)
from headstart.types import MODALITIES

CARD = "README.md"
_MAX_CLASSES = 50
_MAX_NOTES = 12
# The hub's pipelines that are made of what samples are and what is told of them.
_PIPELINES = frozenset(
    ("image-classification", "text-classification", "tabular-classification", "tabular-regression")
)
# The hub's words for licences, of those that starts come with; all others are "other".
_LICENCES = frozenset(
    (
        "afl-3.0",
        "apache-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc-by-4.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-4.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "gpl-3.0",
        "mit",
        "openrail",
    )
)


def render_card(metrics: Json, model: Json, data: Json, options: Json) -> str:
    """Return the model card of a run.

    Args:
        metrics: ``metrics.json``.
        model: ``model.json``.
        data: ``data.json``.
        options: ``options.json``.
    """
    name = data_title(data.get("name") or model.get("data_name") or "run")
    front = _front_matter(name, metrics, model)
    lines = [
        "---",
        *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()),
        "---",
        f"# {_plain(name)}",
        "",
        *_about(metrics, model),
        "",
        "## How good it is",
        *_figures(metrics),
        "",
        "## How to use it",
        *_usage(model),
        "",
        "## What it was made from",
        *_making(model, data, options),
        "",
        "## What to know",
        *_limits(metrics, data),
    ]
    return "\n".join(lines) + "\n"


def _front_matter(name: str, metrics: Json, model: Json) -> Json:
    """Return the metadata of the hub."""
    schema, task = model.get("schema") or {}, task_of(metrics)
    front: Json = _licence(model) | {"library_name": "headstart"}
    facts = MODALITIES.get(schema.get("modality", ""))
    # "single_label_classification": the last word is the hub's, too
    kind = task.transformers_problem.rpartition("_")[2] if task else ""
    pipeline = f"{facts.pipeline}-{kind}" if facts else ""
    if found := (task.hub_task if task else "") or (pipeline if pipeline in _PIPELINES else ""):
        front["pipeline_tag"] = found
    tags = ["headstart", schema.get("modality"), schema.get("task"), model.get("strategy")]
    front["tags"] = list(dict.fromkeys(str(tag) for tag in tags if tag))
    address = start_address(model)
    if re.fullmatch(r"timm/[\w-]+\.[\w.-]+", address):  # with its tag it is a repository of the hub
        front["base_model"] = address
    figures = (metrics.get("test") or {}).get("figures") or {}
    results = [
        {"type": key, "name": measure.name, "value": value}
        for key, measure in (task.figures.items() if task else ())
        if (value := end_of(figures.get(key), "value")) is not None
    ]
    if results:
        kind = front.get("pipeline_tag") or "other"
        told = {"name": name, "type": _word(name), "split": "test"}
        result = {"task": {"type": kind}, "dataset": told, "metrics": results}
        front["model-index"] = [{"name": name, "results": [result]}]
    return front


def _licence(model: Json) -> dict[str, Any]:
    """Return the licence of the start in the hub's words; what has learned nothing is unknown."""
    told = str((model.get("start") or {}).get("licence") or "")
    if not told or told.startswith("none"):
        return {"license": "unknown"}
    word = told.lower()
    return {"license": word} if word in _LICENCES else {"license": "other", "license_name": told}


def _word(name: str) -> str:
    """Return a name as an identifier of the hub."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "data"


def _plain(text: object) -> str:
    """Return text as Markdown shows it: on one line, no mark of it with a meaning."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", line)


def _about(metrics: Json, model: Json) -> list[str]:
    """Say what it tells, of what, and from which start."""
    schema, task = model.get("schema") or {}, task_of(metrics)
    classes = [str(name) for name in schema.get("classes") or []]
    facts = MODALITIES.get(schema.get("modality", ""))
    asked = task.asked(schema.get("label"), len(classes)) if task else ""
    told = f"Tells {_plain(asked or 'what it was trained on')}"
    told += f" of {facts.nouns}" if facts else ""
    lines = [f"{told}; fine-tuned by headstart from `{data_title(start_address(model))}`."]
    if about := ensemble_sentence(model):
        lines += ["", about]
    if classes:
        shown = ", ".join(_plain(name) for name in classes[:_MAX_CLASSES])
        more = len(classes) - _MAX_CLASSES
        lines += ["", f"Classes: {shown}{f' and {more:,} more' if more > 0 else ''}."]
    return lines


def _figures(metrics: Json) -> list[str]:
    """Return the figures of test and what it was compared with, as tables."""
    test, task = metrics.get("test") or {}, task_of(metrics)
    if task is None or not test.get("figures"):
        return ["Nobody has measured it."]
    lines = [f"On {test['num_items']:,} test items that took no part in training or choosing."]
    if compared := outcome(metrics):
        lines.append(_plain(compared))
    lines += ["", "| figure | test [95 %] | meaning |", "|---|---|---|"]
    for key, measure in task.figures.items():
        if key in test["figures"]:
            shown = format_measure(measure, test["figures"][key])
            lines.append(f"| {measure.name} | {_plain(shown)} | {_plain(measure.meaning)} |")
    compared_by, ladder = ladder_of(metrics)
    if compared_by is not None and ladder:
        lines += ["", f"| on the same items | {compared_by.name} [95 %] |", "|---|---|"]
        lines += [
            f"| {_plain(name)} | {_plain(format_measure(compared_by, figure))} |"
            for name, figure in ladder.items()
        ]
    return lines


def _usage(model: Json) -> list[str]:
    schema = model.get("schema") or {}
    if schema.get("modality", "") not in MODALITIES or not schema.get("task"):
        return ["See `report.html`."]
    argument, given = asked_as(schema)
    return [
        "```bash",
        f"headstart predict FOLDER {argument}",
        "headstart serve FOLDER",
        "```",
        "",
        "```python",
        "import headstart as hs",
        "",
        f'hs.predict("FOLDER", {given})[0]',
        "```",
    ]


def _making(model: Json, data: Json, options: Json) -> list[str]:
    """Say from which start, on how many samples, and by which command."""
    lines = [f"- start: `{data_title(start_address(model))}` ({_plain(describe_start(model))})"]
    lines.append(f"- strategy: {_plain(model.get('strategy') or 'unknown')}")
    counts = ", ".join(
        f"{name} {format_count(number)}" for name, number in (data.get("counts") or {}).items()
    )
    lines += [f"- samples: {counts}"] if counts else []
    if data.get("fingerprint"):
        lines.append(f"- data fingerprint: `{data['fingerprint']}`")
    if versions := model.get("versions"):
        lines.append("- made with " + ", ".join(f"{n} {v}" for n, v in versions.items()))
    if command := command_of(options):
        lines += ["", "```bash", command.replace("```", ""), "```"]
    return lines


def _limits(metrics: Json, data: Json) -> list[str]:
    """Say what the data was found to be like, and for what the figures hold."""
    lines = [
        "- The figures hold for samples like those of the test split; on others it may be worse.",
        "- `report.html` in this folder shows the worst mistakes, every class and every option.",
    ]
    return [*lines, *(f"- {_plain(note)}" for note in notes_of(data)[:_MAX_NOTES])]
