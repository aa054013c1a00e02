"""What ``headstart check`` prints: the findings, the gravest first, in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from headstart.reporting.terminal import format_seconds

WIDTH = 80
SHOWN = 3  # examples of each finding
_MARKS = {"error": "ERROR", "warning": "WARNING", "note": "note"}
_INDENT = " " * 9
_MOST_NAME = 33  # characters of a split and a name in a line of two
_MOST_ALONE = WIDTH - len(_INDENT)


def render_check_text(record: Mapping[str, Any]) -> str:
    """Return what was found as plain text.

    Args:
        record: Content of ``check.json``.
    """
    lines = [*textwrap.wrap(title(record), WIDTH), ""]
    for found in record["findings"]:
        lines += _finding(found)
    if not record["findings"]:
        lines += ["Nothing was found.", ""]
    for audit in record["audits"]:
        if audit["why_not"] and audit["why_not"] != MEANINGLESS:
            lines += _wrapped(f"{audit['name']}: {audit['why_not']}", "not run  ")
        elif audit["stopped"]:
            text = f"{audit['name']}: its time was up before it came to its end; give a --budget."
            lines += _wrapped(text, "stopped  ")
    lines += textwrap.wrap(summary(record), WIDTH)
    return "\n".join(lines)


MEANINGLESS = "it means nothing for these data"


def title(record: Mapping[str, Any]) -> str:
    """Return what was checked, in a line."""
    data = record["data"]
    counts = ", ".join(f"{name} {number:,}" for name, number in data["counts"].items())
    total = sum(data["counts"].values())
    classes = f", {counted(len(data['classes']), 'class', 'classes')}" if data["classes"] else ""
    return f"{data['name']}: {total:,} {data['several']} ({counts}){classes}"


def counted(number: int, one: str, several: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else several}"


def summary(record: Mapping[str, Any]) -> str:
    """Return how much was found, and where it stands."""
    number = dict.fromkeys(_MARKS, 0)
    for found in record["findings"]:
        number[found["severity"]] += 1
    told = ", ".join(
        f"{count} {mark}{'' if count == 1 else 's'}" for mark, count in number.items() if count
    )
    num_run = sum(not audit["why_not"] for audit in record["audits"])
    verdict = {
        "leak": "Test asks for what train has seen: figures would flatter.",
        "refused": "A training would be refused.",
        "": "No leak was found.",
    }[record["verdict"]]
    if not record["verdict"] and any(
        found["kind"] in ("leak", "group") and found["severity"] == "warning"
        for found in record["findings"]
    ):
        verdict = "No leak that fails this check, but see the warnings of leaks."
    seconds = format_seconds(record["seconds"])
    return f"{verdict} {counted(num_run, 'audit', 'audits')} in {seconds}: {told or 'nothing'}."


def _finding(found: Mapping[str, Any]) -> list[str]:
    lines = _wrapped(found["sentence"], f"{_MARKS[found['severity']]:<9}")
    suspects = found["suspects"]
    for suspect in suspects[:SHOWN]:
        lines += _suspect(suspect)
    if len(suspects) > SHOWN:
        lines.append(f"{_INDENT}and {len(suspects) - SHOWN:,} more")
    return [*lines, ""]


def _suspect(suspect: Mapping[str, Any]) -> Iterator[str]:
    here, beside, reason = suspect["sample"], suspect["beside"], " ".join(suspect["reason"].split())
    text = _told(here, _MOST_ALONE)
    if beside is not None:
        text = f"{_told(here, _MOST_NAME)}  ~  {_told(beside, _MOST_NAME)}"
    line = f"{_INDENT}{text}"
    whole = f"{line}  ({reason})"
    if not reason or len(whole) <= WIDTH:
        yield whole if reason else line
        return
    yield line
    yield from _wrapped(reason, _INDENT + "  ")


def _told(sample: Mapping[str, Any], most: int) -> str:
    """Return split and name in so many characters: of the name the end tells most."""
    split, name = f"{sample['split']}: ", str(sample["name"])
    room = most - len(split)
    return split + (name if len(name) <= room else "…" + name[-(room - 1) :])


def _wrapped(text: str, first: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_on_hyphens=False,
    )
