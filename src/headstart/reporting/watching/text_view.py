"""A run under way as text, in 80 columns: what it does, how far it is, and its curves."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from headstart.reporting.terminal import format_seconds, format_value
from headstart.reporting.watching.followed import Followed, FollowedRun
from headstart.reporting.watching.plot import plot
from headstart.tasks import called

WIDTH = 80
_BAR = 24
_MAX_PLOTS = 2
_MAX_SAID = 3


def render_followed(run: FollowedRun, *, is_plain: bool = False, height: int = 8) -> str:
    """Return a run as it stands.

    Args:
        run: Up to date.
        is_plain: Whether to use no other characters than those of ASCII.
        height: Lines of each plot.
    """
    lines = [_wrapped(headline(run)), ""]
    if run.stage:
        lines.append(_wrapped(run.stage))
    lines += [_task(fields) for fields in run.tasks.values()]
    if run.trainings:
        training = run.trainings[-1]
        for name in shown_curves(training)[:_MAX_PLOTS]:
            points = training.curves[name]
            told = f"{called(name)} of {training.name}, now {format_value(points[-1][1])}"
            lines += ["", _wrapped(told), *plot(points, height=height, is_plain=is_plain)]
    if run.spent:
        told = ", ".join(f"{name} {format_seconds(seconds)}" for name, seconds in run.spent)
        lines += ["", _wrapped(f"spent: {told}")]
    if run.said:
        lines += ["", *(_wrapped(f"{kind}: {text}") for kind, text in run.said[-_MAX_SAID:])]
    return "\n".join(lines)


def headline(run: FollowedRun) -> str:
    """Return what run it is, whether it goes on, and how long it has been at it.

    Args:
        run: Up to date.
    """
    plan, seconds = run.plan, run.seconds
    parts = [str(plan.get("verb") or "run"), run.status]
    if seconds is not None:
        budget = (plan.get("options") or {}).get("budget")
        parts.append(format_seconds(seconds) + (f" of a budget of {budget}" if budget else ""))
    return f"{run.folder.name}: {', '.join(parts)}"


def shown_curves(training: Followed) -> list[str]:
    """Return the figures of a training that are drawn, the most telling first.

    Args:
        training: Its curves.
    """
    names = list(training.curves)
    scores = [name for name in names if name.startswith("val_") and name != "val_loss"]
    losses = [name for name in ("loss", "val_loss") if name in names]
    return [*losses[:1], *scores, *losses[1:]]


def _task(fields: Mapping[str, Any]) -> str:
    """Return a line of a task: its bar, how far it is, and how long it will take."""
    done, total = fields.get("done") or 0, fields.get("total")
    name = _cut(str(fields.get("name")), 28)
    parts = [f"  {name:<28}"]
    if total:
        filled = min(_BAR, round(_BAR * done / total))
        parts.append(f"[{'#' * filled}{'.' * (_BAR - filled)}]")
        parts.append(f"{format_value(done)}/{format_value(total)}")
    else:
        parts.append(format_value(done))
    eta = fields.get("eta_seconds")
    if isinstance(eta, int | float):
        parts.append(f"{format_seconds(float(eta))} left")
    return _cut(" ".join(parts), WIDTH)


def _wrapped(text: str) -> str:
    plain = "".join(char if char.isprintable() else " " for char in text)
    return "\n".join(textwrap.wrap(plain, WIDTH, subsequent_indent="  ")[:3])


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
