"""What a task of several targets is called: a name that says its parts, and is read again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote, unquote

from headstart.errors import OptionError
from headstart.tasks.classification import CLASSIFICATION
from headstart.tasks.part import TargetPart
from headstart.tasks.regression import REGRESSION

BEGINNING = "multi-task: "
_PART = re.compile(
    r"(?P<label>[^(),]+) \((?:(?P<classes>\d+) classes|"
    r"number(?: around (?P<mean>[-+.e\d]+) within (?P<scale>[-+.e\d]+))?)\)"
)


def name_of(parts: Sequence[TargetPart]) -> str:
    """Return the name of the task of parts."""
    return BEGINNING + ", ".join(map(_named_part, parts))


def parts_of(name: str) -> list[TargetPart]:
    """Return the parts that a name says.

    Raises:
        OptionError: The name says none.
    """
    parts, place = [], len(BEGINNING)
    while place <= len(name):
        found = _PART.match(name, place)
        if found is None or not name.startswith(BEGINNING):
            raise OptionError(
                f"Unknown task '{name}'. Expected parts such as '{BEGINNING}topic (3 classes), "
                "price (number)'. The file is damaged."
            )
        classes = int(found["classes"] or 0)
        task = CLASSIFICATION if classes else REGRESSION
        scaling = (float(found["mean"] or 0.0), float(found["scale"] or 1.0))
        parts.append(TargetPart(unquote(found["label"]), task, classes, *scaling))
        place = found.end() + 2
    labels = {part.label for part in parts}
    if len(labels) != len(parts) or not all(part.scale > 0 for part in parts):
        raise OptionError(f"Unknown task '{name}': two parts of one label, or no spread.")
    return parts


def _named_part(part: TargetPart) -> str:
    label = "".join(quote(c) if c in "(),%" or not c.isprintable() else c for c in part.label)
    if part.num_classes:
        return f"{label} ({part.num_classes} classes)"
    known = f" around {part.mean:g} within {part.scale:g}" if part.scale != 1 or part.mean else ""
    return f"{label} (number{known})"
