"""The model card of a bundle: ``README.md`` with the front matter that model hubs read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from headstart.bundles import BUNDLE, GOLDEN, MANIFEST, BundleRecord
from headstart.tasks import find_task

CARD = "README.md"
MOST_CLASSES = 50


def model_card(record: BundleRecord, metrics: Mapping[str, Any]) -> str:
    """Return the card.

    Args:
        record: Of the bundle.
        metrics: ``metrics.json`` of the run; where it is empty, the card says that nobody has
            measured the model.
    """
    schema, task = record.schema, find_task(record.schema.task)
    starts = ", ".join(f"`{one.start}`" for one in record.members)
    classes = ", ".join(f"`{name}`" for name in schema.classes[:MOST_CLASSES])
    more = len(schema.classes) - MOST_CLASSES
    lines = [
        "---",
        f"license: {json.dumps(_licence_word(record.licence))}",
        f"license_name: {json.dumps(record.licence)}",
        "library_name: onnx",
        f"tags: {json.dumps(['headstart', schema.modality, schema.task])}",
        "---",
        f"# {record.name}",
        "",
        f"A model of {schema.kind}, fine-tuned by headstart from {starts}.",
        f"It tells {task.asked(schema.label, len(schema.classes)) or 'a number'}"
        f"{': ' + classes if classes else ''}{f' and {more:,} more' if more > 0 else ''}.",
        "",
        f"Licence of the weights that it began from: {record.licence}.",
        "",
        "## How good it is",
        *_figures(metrics, task.figures),
        "",
        "## How to use it",
        "```bash",
        "headstart verify FOLDER     # digests, and golden samples",
        "headstart serve FOLDER      # Open Inference Protocol, and a page to try it",
        "```",
        f"`model.onnx` gives logits; `{BUNDLE}` holds labels, preprocessing and the temperature",
        f"that they are divided by. `{GOLDEN}` holds a few of the samples that it was compared on,",
        f"prepared, with the logits that they have to give; `{MANIFEST}` a SHA-256 a file.",
        "Compared with PyTorch before it was written, on "
        f"{record.parity['samples']}, in batches of "
        f"{', '.join(map(str, record.parity['batches']))}: logits differ by at most "
        f"{record.parity['largest']:.2g} (allowed {record.parity['allowed']:.2g}).",
    ]
    return "\n".join(lines) + "\n"


def _licence_word(licence: str) -> str:
    """Return a licence as hubs write it: ``apache-2.0``; ``other`` where it is no such word."""
    word = licence.lower()
    return word if re.fullmatch(r"[a-z0-9.-]+", word) else "other"


def _figures(metrics: Mapping[str, Any], names: Mapping[str, Any]) -> list[str]:
    """Return a table of the test figures."""
    test = metrics.get("test")
    if not test:
        return ["The run was not finished when this was exported: nobody has measured it."]
    rows = [f"On {test['num_items']:,} test items, with 95 % intervals:", ""]
    rows += ["| figure | value | from | to |", "|---|---|---|---|"]
    for name, figure in test["figures"].items():
        cells = (figure.get("value"), figure.get("low"), figure.get("high"))
        told = " | ".join("" if cell is None else f"{cell:.4g}" for cell in cells)
        rows.append(f"| {names[name].name if name in names else name} | {told} |")
    return rows
