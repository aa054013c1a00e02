"""Exports of further tools, known by their columns: spaCy, doccano, Vertex AI, Ground Truth.

Each function takes an open table and returns what it means, or None where it is no such export.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from headstart.cells import is_missing
from headstart.data.options import ReadOptions
from headstart.data.sources.answers import COUNTED, REJECTED, UNDECIDED, Tally, is_true
from headstart.data.sources.files_beside import FilesBeside
from headstart.data.sources.listed import EditedTable, ListTable
from headstart.errors import DataError
from headstart.tasks import CLASSIFICATION
from headstart.types import Finding

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

Read = tuple["Table", list[Finding]] | None
OF_DOCCANO = {"id", "data", "text", "label", "Comments", "filename", "upload_name", "image"}
STATES = re.compile(
    r"(answer|status|state|(review|annotation|response|label|record|task)[_ .]?(status|state))",
    re.IGNORECASE,
)
FLAGS = re.compile(
    r"((was|is)[_ ]?)?(cancell?ed|discarded|rejected|ignored|skipped|deleted|excluded)",
    re.IGNORECASE,
)
# Flags whose no means that the answer does not count. Not ``verified``, which shops say of buyers,
# nor ``is_valid``, which says a split.
GOOD = re.compile(r"((was|is)[_ ]?)?(accepted|approved|confirmed|validated)", re.IGNORECASE)


def read_spacy(table: Table, options: ReadOptions) -> Read:
    """Read texts with ``cats``, a number for each category, as spaCy's textcat is taught."""
    if "cats" not in table.columns or options.label not in (None, "cats", "label"):
        return None
    cats = table.values("cats")
    if not any(isinstance(one, dict) for one in cats):
        return None
    labels, tally, places = [], Tally(), []
    for number, one in enumerate(cats):
        scores = {k: v for k, v in (one or {}).items() if v is not None}
        soft = [k for k, v in scores.items() if float(v) not in (0.0, 1.0)]
        if soft and options.known_task == CLASSIFICATION.name:
            largest = max(scores, key=lambda k: float(scores[k]))
            scores = {k: float(k == largest) for k in scores}
        elif soft:
            raise DataError(
                f"Column 'cats' of {table.where} gives '{soft[0]}' the value "
                f"{scores[soft[0]]:g} in row {number + 1}: soft labels, which cannot be learned. "
                "Expected 0 or 1. Say --task classification to learn the largest of each row."
            )
        if not scores:
            tally.drop("without categories", f"row {number + 1}")
            continue
        labels.append([k for k, v in scores.items() if float(v) == 1.0])
        places.append(number)
    target = options.label or "label"
    findings = tally.findings(table.where)
    others = [name for name in table.columns if name not in ("cats", target)]
    columns = {name: table.values(name) for name in others}
    cells = {name: [values[i] for i in places] for name, values in columns.items()}
    cells[target] = labels
    made = ListTable(cells, table.where, table.root, target=target, numbers=places)
    return made, findings


def read_doccano(table: Table, options: ReadOptions) -> Read:
    """Read the CSV of doccano, where ``#`` stands between the labels of a text."""
    if options.separator or options.label not in (None, "label"):
        return None
    if not ({"id", "label"} <= set(table.columns) <= OF_DOCCANO):
        return None
    values = table.values("label")
    if not any(isinstance(value, str) and "#" in value for value in values):
        return None
    cells = [[] if is_missing(v) else [p.strip() for p in str(v).split("#")] for v in values]
    parts = [part for labels in cells for part in labels]
    if any(not part or parts.count(part) < 2 for part in set(parts)):
        return None  # C# and F# are names
    sentence = "Column 'label' is read as doccano writes it: '#' stands between several labels."
    table = EditedTable(table, None, {"label": list(cells)})
    return table, [Finding("reading", "note", (), sentence)]


def read_vertex(table: Table, options: ReadOptions) -> Read:
    """Read the JSONL of Vertex AI: a classification annotation beside an address or a text."""
    single, several = "classificationAnnotation", "classificationAnnotations"
    name = next((c for c in (single, several) if c in table.columns), None)
    where = next(
        (c for c in ("imageGcsUri", "textContent", "textGcsUri") if c in table.columns), ""
    )
    if name is None or not where:
        return None
    labels = []
    for value in table.values(name):
        each = value if isinstance(value, list) else [value]
        labels.append([str(one["displayName"]) for one in each if one and one.get("displayName")])
    files = FilesBeside(table.root)
    cells: dict[str, list[Any]] = {
        "text" if where == "textContent" else "image": [
            value if where == "textContent" else files.near(value) for value in table.values(where)
        ],
        options.label or "label": labels,
    }
    if "dataItemResourceLabels" in table.columns:
        uses = [_use_of(value) for value in table.values("dataItemResourceLabels")]
        if all(uses):
            cells["split"] = uses
    return ListTable(cells, table.where, table.root, target=options.label or "label"), []


def _use_of(value: Any) -> str | None:
    use = (value or {}).get("aiplatform.googleapis.com/ml_use")
    return None if use is None else str(use).lower()


def read_ground_truth(table: Table, options: ReadOptions) -> Read:
    """Read an output manifest of SageMaker Ground Truth: a job's result and its metadata."""
    source = next((c for c in ("source-ref", "source") if c in table.columns), None)
    jobs = [c.removesuffix("-metadata") for c in table.columns if c.endswith("-metadata")]
    if source is None or not jobs:
        return None
    job = options.label if options.label in jobs else jobs[0]
    if len(jobs) > 1 and options.label not in jobs:
        raise DataError(
            f"{table.where} is a manifest with the labelling jobs {', '.join(jobs)}. Name one, for "
            f"example --label {jobs[0]}."
        )
    labels, places, tally = [], [], Tally()
    for number, about in enumerate(table.values(f"{job}-metadata")):
        about = about or {}
        names = about.get("class-map") or {}
        found = [v for v in names.values() if v] or [about.get("class-name")]
        if is_true(about.get("failure-reason")) or found == [None]:
            tally.drop("without a label", f"row {number + 1}")
            continue
        labels.append([str(one) for one in found])
        places.append(number)
    values, files = table.values(source), FilesBeside(table.root)
    cells: dict[str, list[Any]] = {
        "text" if source == "source" else "image": [files.near(values[i]) for i in places],
        job: labels,
    }
    made = ListTable(cells, table.where, table.root, target=job, numbers=places)
    return made, tally.findings(table.where)


def read_states(table: Table, options: ReadOptions, is_table: bool) -> Read:
    """Leave out rows whose own column says that the answer was rejected, skipped or cancelled.

    Args:
        table: Any table.
        options: A column that was named as input, or dropped, is not looked at.
        is_table: Whether the rows themselves are the inputs: a status is then a category.
    """
    named = {options.label, *options.kept_columns, *options.drop, options.group}
    if is_table:
        return None
    for column in table.columns:
        inner = column.rpartition(".")[2]  # of an object that was laid open
        is_good = GOOD.fullmatch(inner) is not None
        is_flag = is_good or FLAGS.fullmatch(inner) is not None
        if column in named or not (is_flag or STATES.fullmatch(inner)):
            continue
        values = table.values(column)
        if is_flag:
            words = {str(v).strip().lower() for v in values if not is_missing(v)}
            if not words <= {"true", "false", "0", "1", "0.0", "1.0", "yes", "no"}:
                continue
            bad = [is_true(value) != is_good for value in values]
        else:
            said = [str(v).strip().lower() if not is_missing(v) else "pending" for v in values]
            if not set(said) <= COUNTED | REJECTED | UNDECIDED or not set(said) & REJECTED:
                continue
            bad = [word not in COUNTED for word in said]
        if not any(bad) or all(bad):
            continue
        places = [i for i, is_bad in enumerate(bad) if not is_bad]
        left = sorted({str(values[i]) for i, is_bad in enumerate(bad) if is_bad})
        sentence = (
            f"{sum(bad):,} of {table.num_rows:,} rows of {table.where} are left out: column "
            f"'{column}' says {', '.join(left[:5])}. To use them, say --drop {column}."
        )
        items = [f"row {i + 1}" for i, is_bad in enumerate(bad) if is_bad]
        return EditedTable(table, places), [Finding("unlabelled", "warning", items, sentence)]
    return None
