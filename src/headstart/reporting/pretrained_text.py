"""What a person wants to know of a pretrained start, as plain text of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from headstart.reporting.data_words import notes_of
from headstart.reporting.measures import Json, format_figure
from headstart.reporting.wording import format_duration

_WIDTH = 80
_CALLED = {
    "probe_accuracy": "probe accuracy",
    "probe_r2": "probe R²",
}


def render_pretrained_text(metrics: Json, model: Json, data: Json, options: Json) -> str:
    """Return the report of a pretrained start as plain text.

    Args:
        metrics: ``metrics.json``; empty while the run is unfinished.
        model: ``model.json``.
        data: ``data.json``.
        options: ``options.json``.
    """
    title = f"headstart {options.get('verb', 'pretrain')}: {data.get('name') or 'start'}"
    lines = [title, "=" * min(len(title), _WIDTH), *_wrapped(about_start(model)), ""]
    found = metrics.get("pretraining")
    if found:
        lines += [*_wrapped(verdict_of(found)), ""]
        rows = figures_of(found)
        width = max(len(name) for name, _ in rows)
        lines += [f"  {name:<{width}}  {figure}" for name, figure in rows]
        if probes := probes_of(found):
            lines += ["", *_wrapped(probe_sentence(probes))]
        lines.append("")
    for note in notes_of(data):
        lines += textwrap.wrap(f"- {note}", _WIDTH, subsequent_indent="  ")
    seconds = (metrics.get("seconds") or {}).get("total")
    if seconds is not None:
        lines += ["", f"It took {format_duration(seconds)}."]
    return "\n".join(lines) + "\n"


def about_start(model: Mapping[str, Any]) -> str:
    """Return what was learned, from where, and how far it came."""
    told = model.get("pretraining") or {}
    start = (model.get("start") or {}).get("address", "unknown")
    text = f"Objective {model.get('objective')}, begun at {start}: "
    text += f"{told.get('epochs', 0):.3g} epochs of {told.get('num_samples', 0):,} samples, "
    text += f"{told.get('num_steps', 0):,} steps."
    if told.get("is_first_epoch"):
        text += " It ended in its first epoch: some samples it has never seen."
    return text


def verdict_of(found: Mapping[str, Any]) -> str:
    """Return what the loss means beside the trivial one."""
    name = next(iter(found["trivial"]))
    if found["gain"] < 0:
        return f"Its loss is {-found['gain']:.0%} above that of {name}, on samples held out."
    return f"{found['gain']:.0%} of the loss of {name} is gone, on samples that were held out."


def figures_of(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the figures with their names: the loss, those that know nothing, and others."""
    rows = [("loss, held out", format_figure(found["loss"]))]
    rows += [(f"loss of {name}", f"{value:.4f}") for name, value in found["trivial"].items()]
    for key, figure in (found.get("figures") or {}).items():
        first, comma, rest = key.partition(",")
        rows.append(
            (_CALLED.get(first, first.replace("_", " ")) + comma + rest, format_figure(figure))
        )
    return rows


def probes_of(found: Mapping[str, Any]) -> list[tuple[int, float, str]]:
    """Return step, score and name of each probe that was made on the way."""
    probes = []
    for check in found.get("checks") or []:
        for key, name in _CALLED.items():
            if isinstance(check.get(key), int | float):
                probes.append((int(check["step"]), float(check[key]), name))
    return probes


def probe_sentence(probes: list[tuple[int, float, str]]) -> str:
    """Return how a linear map of the features did at each look."""
    shown = ", ".join(f"{score:.3f}" for _, score, _ in probes)
    return (
        f"A linear map of the frozen features ({probes[0][2]} on val, which nobody learned from), "
        f"look by look: {shown}."
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH)
