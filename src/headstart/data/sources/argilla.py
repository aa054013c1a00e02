"""Records of Argilla: of 2.x flattened or nested, feedback and classification records of 1.x.

Only submitted responses are labels; suggestions and predictions are not used. Several users of a
record decide by majority. Left out: spans, rankings, texts as answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headstart.data.options import ReadOptions
from headstart.data.sources.answers import Sample, Tally, settled
from headstart.data.sources.files_beside import FilesBeside
from headstart.errors import DataError, quoted
from headstart.types import Finding

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

OF_TOOL = frozenset(
    [
        "id",
        "_server_id",
        "status",
        "prediction",
        "prediction_agent",
        "annotation",
        "annotation_agent",
        "multi_label",
        "explanation",
        "event_timestamp",
        "metrics",
        "vectors",
        "search_keywords",
        "metadata",
        "external_id",
    ]
)
SUBMITTED = ("submitted", "validated", "completed")


def read_responses(table: Table, options: ReadOptions) -> tuple[Table, list[Finding]] | None:
    """Read records of Argilla; None for other tables."""
    columns = table.columns
    questions = [
        c.removesuffix(".responses")
        for c in columns
        if c.endswith(".responses") and f"{c}.status" in columns
    ]
    if questions:
        return _flattened(table, questions, options)
    if {"annotation", "status"} <= set(columns) and {"prediction", "annotation_agent"} & set(
        columns
    ):
        return _classified(table, options)
    if {"fields", "responses"} <= set(columns) and _are_objects(table.head("responses")):
        return _nested(table, options)
    feedback = [c for c in columns if _is_feedback(table.head(c))]
    return _feedback(table, feedback, options) if feedback else None


def _pick(table: Table, questions: list[str], suffix: str, options: ReadOptions) -> tuple[str, str]:
    """Return the question that is the target, and what to call its column."""
    if options.label is not None:
        for question in questions:
            if options.label in (question, question + suffix):
                return question, options.label
    trained = options.schema.label if options.schema else None
    for name in (trained, "label"):
        if options.label is None and name and name.removesuffix(suffix) in questions:
            return name.removesuffix(suffix), name
    if options.label is None and len(questions) == 1:
        return questions[0], questions[0]
    raise DataError(
        f"{table.where} holds records of Argilla with the questions {quoted(questions)}; which is "
        f"the target is not clear. Name one, for example --label {questions[0]}."
    )


def _labels(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = value.get("value", value.get("label"))
    found = value if isinstance(value, list) else [value]
    return [str(one) for one in found if one is not None]


def _flattened(
    table: Table, questions: list[str], options: ReadOptions
) -> tuple[Table, list[Finding]]:
    question, target = _pick(table, questions, ".responses", options)
    of_questions = tuple(f"{name}.{part}" for name in questions for part in ("resp", "sugg"))
    data = [c for c in table.columns if not c.startswith(of_questions) and c not in OF_TOOL]
    columns = {name: table.values(name) for name in data}
    tally, files, samples = Tally(), FilesBeside(table.root), []
    given = table.values(f"{question}.responses")
    states = table.values(f"{question}.responses.status")
    for number, (answers, status) in enumerate(zip(given, states, strict=True)):
        cells = {c: files.near(columns[c][number]) for c in data if c != target}
        sample = Sample(number, cells)
        for answer, state in zip(answers or (), status or (), strict=False):
            if str(state).rpartition(".")[2].lower() in SUBMITTED:
                sample.answers.append(_labels(answer))
            else:
                tally.drop(f"{state} responses", f"record {number + 1}")
        samples.append(sample)
    return settled(samples, table.where, table.root, target, tally)


def _classified(table: Table, options: ReadOptions) -> tuple[Table, list[Finding]]:
    """Read ``TextClassificationRecord`` of 1.x: annotation beside status."""
    target = options.label or "annotation"
    columns = {name: table.values(name) for name in table.columns}
    data = [name for name in columns if name not in OF_TOOL and name != target]
    tally, samples = Tally(), []
    for number in range(table.num_rows):
        state = str(columns["status"][number]).rpartition(".")[2].lower()
        if state not in SUBMITTED:
            tally.drop(f"records with the status {state}", f"record {number + 1}")
            continue
        cells = {name: columns[name][number] for name in data}
        inputs = cells.pop("inputs", None)
        if isinstance(inputs, dict) and not cells.get("text"):
            cells.update(inputs)
        answer = _labels(columns["annotation"][number])
        samples.append(Sample(number, cells, [answer] if answer else []))
    return settled(samples, table.where, table.root, target, tally)


def _are_objects(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, dict) for value in values)


def _nested(table: Table, options: ReadOptions) -> tuple[Table, list[Finding]]:
    """Read records of 2.x as its JSON has them: of each question a list of value and user."""
    given = [cell or {} for cell in table.values("responses")]
    question, target = _pick(table, list(dict.fromkeys(q for c in given for q in c)), "", options)
    tally, files, samples = Tally(), FilesBeside(table.root), []
    for number, (fields, answers) in enumerate(zip(table.values("fields"), given, strict=True)):
        cells = {str(name): files.near(value) for name, value in (fields or {}).items()}
        said = [_labels(answer) for answer in answers.get(question) or ()]
        samples.append(Sample(number, cells, [labels for labels in said if labels]))
    return settled(samples, table.where, table.root, target, tally)


def _is_feedback(values: list[Any]) -> bool:
    found = [v for cell in values if isinstance(cell, list) for v in cell]
    return bool(found) and all(
        isinstance(v, dict) and {"value", "status"} <= v.keys() for v in found
    )


def _feedback(
    table: Table, questions: list[str], options: ReadOptions
) -> tuple[Table, list[Finding]]:
    """Read feedback records: a list of value, status and user for each question."""
    question, target = _pick(table, questions, "", options)
    data = [c for c in table.columns if c not in (*questions, *OF_TOOL) and "-suggestion" not in c]
    columns = {name: table.values(name) for name in data}
    tally, samples = Tally(), []
    for number, answers in enumerate(table.values(question)):
        sample = Sample(number, {c: columns[c][number] for c in data})
        for answer in answers or ():
            if str(answer["status"]).lower() in SUBMITTED:
                sample.answers.append(_labels(answer))
            else:
                tally.drop(f"{answer['status']} responses", f"record {number + 1}")
        samples.append(sample)
    return settled(samples, table.where, table.root, target, tally)
