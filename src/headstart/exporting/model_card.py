"""The model card of an export: ``README.md`` with the front matter that model hubs read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.bundles import BUNDLE, GOLDEN, MANIFEST, Agreement, BundleRecord
from headstart.bundles.pairing import TEXTS
from headstart.bundles.session import MODEL
from headstart.bundles.writing import STEP
from headstart.model import Ensemble
from headstart.tasks import find_task
from headstart.types import Schema

CARD = "README.md"
MOST_CLASSES = 50


def model_card(record: BundleRecord, metrics: Mapping[str, Any], file: str = MODEL) -> str:
    """Return the card of a bundle.

    Args:
        record: Of the bundle.
        metrics: ``metrics.json`` of the run; where it is empty, the card says that nobody has
            measured the model.
        file: The network.
    """
    if record.writing is not None:
        return _writer_card(record, metrics)
    if find_task(record.schema.task).matches_texts:
        return _pair_card(record, metrics)
    parity = record.parity
    lines = _head(record.name, record.schema, record.licence, [m.start for m in record.members])
    lines[3] = f"library_name: {'onnx' if file == MODEL else 'pytorch'}"
    lines += ["## How good it is", *_figures(metrics, record.schema), ""]
    lines += [*_int8(record.int8), *(_SERVED if file == MODEL else _LOADED)]
    lines += [
        f"`{file}` gives logits; `{BUNDLE}` holds labels, preprocessing and the temperature",
        f"that they are divided by. `{GOLDEN}` holds a few of the samples that it was compared on,",
        f"prepared, with the logits that they have to give; `{MANIFEST}` a SHA-256 a file.",
        f"Compared with PyTorch before it was written, on {parity['samples']}, in batches of "
        f"{', '.join(map(str, parity['batches']))}: logits differ by at most "
        f"{parity['largest']:.2g} (allowed {parity['allowed']:.2g}).",
    ]
    return "\n".join(lines) + "\n"


def _writer_card(record: BundleRecord, metrics: Mapping[str, Any]) -> str:
    """Return the card of a bundle that writes; otherwise as ``model_card``."""
    parity = record.parity
    lines = _head(record.name, record.schema, record.licence, [m.start for m in record.members])
    lines += ["## How good it is", *_figures(metrics, record.schema), "", *_SERVED]
    lines += [
        f"Token after token: `{MODEL}` reads and gives logits of the next token with keys and",
        f"values of what was read, and where there is a `{STEP}` that goes on from them. What may",
        f"be written, tokenizer and lengths stand in `{BUNDLE}` and the files beside it;",
        f"`{GOLDEN}` holds a few of the samples that it was compared on, as tokens; `{MANIFEST}` a",
        "SHA-256 a file.",
        f"Compared with PyTorch before it was written, on {parity['samples']}, in batches of "
        f"{', '.join(map(str, parity['batches']))}: logits differ by at most "
        f"{parity['largest']:.2g} (allowed {parity['allowed']:.2g}), and "
        f"{parity['texts_equal']} of {parity['texts']} texts are the same token for token.",
    ]
    return "\n".join(lines) + "\n"


def _pair_card(record: BundleRecord, metrics: Mapping[str, Any]) -> str:
    """Return the card of a bundle that matches images and texts; otherwise as ``model_card``."""
    parity = record.parity
    lines = _head(record.name, record.schema, record.licence, [m.start for m in record.members])
    lines += ["## How good it is", *_figures(metrics, record.schema), "", *_SERVED]
    lines += [
        f"`{MODEL}` embeds images, `{TEXTS}` texts; the product of a row of one and a row of the",
        "other is their likeness, the temperature in the image's. How both are read stands in",
        f"`{BUNDLE}` and the files beside it; `{GOLDEN}` holds a few of the samples that",
        f"it was compared on, prepared; `{MANIFEST}` a SHA-256 a file.",
        f"Compared with PyTorch before it was written, on {parity['samples']}, in batches of "
        f"{', '.join(map(str, parity['batches']))}: likenesses differ by at most "
        f"{parity['largest']:.2g} (allowed {parity['allowed']:.2g}).",
    ]
    return "\n".join(lines) + "\n"


def weights_card(
    name: str, ensemble: Ensemble, metrics: Mapping[str, Any], agreement: Agreement, origin: str
) -> str:
    """Return the card of a folder of weights.

    Args:
        name: Of the model.
        ensemble: What answers.
        metrics: As above.
        agreement: How far its logits are from the run's.
        origin: On what they were compared.
    """
    licence = ensemble.first.encoder.start.licence
    starts = [one.model.encoder.start.address for one in ensemble.members]
    lines = _head(name, ensemble.schema, licence, starts)
    lines[3] = "library_name: pytorch"
    lines += ["## How good it is", *_figures(metrics, ensemble.schema), "", "## How to use it"]
    lines += [
        "```bash",
        "headstart predict FOLDER ...",
        "```",
        "`safetensors.torch.load_file` reads `model.safetensors`: plain tensors, adapters merged.",
        "`model.json` holds architecture, labels, preprocessing and the temperature that logits",
        f"are divided by; `{MANIFEST}` a SHA-256 a file. Opened again before it was left behind:",
        f"on {origin} logits differ from the run's by at most {agreement.largest:.2g}.",
    ]
    return "\n".join(lines) + "\n"


_SERVED = [
    "## How to use it",
    "```bash",
    "headstart verify FOLDER     # digests, and golden samples",
    "headstart serve FOLDER      # Open Inference Protocol, and a page to try it",
    "```",
]
_LOADED = [
    "## How to use it",
    "```python",
    'network = torch.export.load("FOLDER/model.pt2").module()  # prepared arrays to logits',
    "```",
]


def _head(name: str, schema: Schema, licence: str, starts: Sequence[str]) -> list[str]:
    """Return front matter, and what the model is."""
    task = find_task(schema.task)
    classes = ", ".join(f"`{one}`" for one in schema.classes[:MOST_CLASSES])
    more = len(schema.classes) - MOST_CLASSES
    return [
        "---",
        f"license: {json.dumps(_licence_word(licence))}",
        f"license_name: {json.dumps(licence)}",
        "library_name: onnx",
        f"tags: {json.dumps(['headstart', schema.modality, schema.task])}",
        "---",
        f"# {name}",
        "",
        f"A model of {schema.kind}, fine-tuned by headstart from "
        f"{', '.join(f'`{start}`' for start in starts)}.",
        f"It tells {task.asked(schema.label, len(schema.classes)) or 'a number'}"
        f"{': ' + classes if classes else ''}{f' and {more:,} more' if more > 0 else ''}.",
        "",
        f"Licence of the weights that it began from: {licence}.",
        "",
    ]


def _int8(told: Mapping[str, Any]) -> list[str]:
    """Return what whole numbers are worth, where the network has them."""
    if not told:
        return []
    times = ", ".join(f"{share:.2f}" for share in told["times"])
    sizes = " and ".join(map(str, told["batch_sizes"]))
    return [
        f"The network computes in whole numbers of eight bits ({told['way']}): of "
        f"{told['judged_on']} {100 * told['right']:.1f} % are right, in float32 "
        f"{100 * told['right_float32']:.1f}; of the time of float32 it took {times} at batches of "
        f"{sizes}, where it was exported.",
        "",
    ]


def _licence_word(licence: str) -> str:
    """Return a licence as hubs write it: ``apache-2.0``; ``other`` where it is no such word."""
    word = licence.lower()
    return word if re.fullmatch(r"[a-z0-9.-]+", word) else "other"


def _figures(metrics: Mapping[str, Any], schema: Schema) -> list[str]:
    """Return a table of the test figures."""
    names = find_task(schema.task).figures
    folds = metrics.get("folds") or {}
    test = metrics.get("test") or folds
    if not test:
        return ["The run was not finished when this was exported: nobody has measured it."]
    told = f"On {test['num_items']:,} test items, with 95 % intervals:"
    if test is folds:
        told = (
            f"It has learned from all samples. Of {test['num_items']:,} items of "
            f"{test['num_folds']} folds, each predicted by a model that had not seen it, with 95 % "
            "intervals:"
        )
    rows = [told, ""]
    rows += ["| figure | value | from | to |", "|---|---|---|---|"]
    for name, figure in test["figures"].items():
        cells = (figure.get("value"), figure.get("low"), figure.get("high"))
        told = " | ".join("" if cell is None else f"{cell:.4g}" for cell in cells)
        rows.append(f"| {names[name].name if name in names else name} | {told} |")
    return rows
