"""What crowds and chats leave: MTurk, Toloka, Appen, Labelbox, and pairs of a chat.

A row of MTurk and of Toloka is the answer of one person: answers that were rejected count for
nothing, and those of one task are put together. Appen has done that: a row is a task, and what it
knows of the answer (``sentiment:confidence``) is none of the inputs. Checked against: the batch
results of MTurk, the assignments of Toloka (TSV), Appen's aggregated report, Labelbox's export v2
(NDJSON), the files OpenAI is taught by. Left out: answers that are no choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headstart.cells import is_missing
from headstart.data.options import ReadOptions
from headstart.data.sources.answers import REJECTED, Sample, Tally, settled
from headstart.data.sources.files_beside import FilesBeside
from headstart.data.sources.listed import EditedTable
from headstart.errors import DataError, quoted
from headstart.tasks import find_task
from headstart.types import Finding

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

Read = tuple["Table", list[Finding]] | None
# Of a tool: where its inputs and answers begin, its column of states, and of tasks.
_TOOLS = {
    "MTurk": ("Input.", "Answer.", "AssignmentStatus", "HITId"),
    "Toloka": ("INPUT:", "OUTPUT:", "ASSIGNMENT:status", None),
}
_LONGEST, _LEAST_AGAIN = 5, 4  # words of an answer that is a class, and how often it is given
_NOT_GIVEN = frozenset(("expired", "active", "skipped"))
_OF_APPEN = {"_unit_id", "_golden", "_unit_state"}
_ABOUT = (":confidence", "_gold", ":variance", ":count")  # what Appen knows of an answer


def read_assignments(table: Table, options: ReadOptions) -> Read:
    """Read the answers of MTurk or Toloka, a row each; None for other tables."""
    for inputs, answers, state, item in _TOOLS.values():
        asked = [name for name in table.columns if name.startswith(inputs)]
        told = [name for name in table.columns if name.startswith(answers)]
        if asked and told and state in table.columns:
            answer = _answer(table, told, options)
            items = [item] if item in table.columns else asked
            return _joined(table, asked, answer, state, items, inputs)
    return None


def _answer(table: Table, told: Sequence[str], options: ReadOptions) -> str:
    """Return the column of the answer: the one that was named, or the only one."""
    if options.label in told:
        return str(options.label)
    given = [name for name in told if not all(map(is_missing, table.head(name)))]
    if len(given) != 1 or options.label:
        raise DataError(
            f"{table.where} holds the answers of a crowd to {len(given)} questions "
            f"({quoted(given)}); expected one that is learned. Name it: --label {given[0]}."
        )
    return given[0]


def _joined(
    table: Table, asked: Sequence[str], answer: str, state: str, items: Sequence[str], begin: str
) -> Read:
    """Return a row a task, with what most of those say whose answer counts."""
    tally, samples = Tally(), dict[tuple[str, ...], Sample]()
    columns = {name: table.values(name) for name in {*asked, answer, state, *items}}
    for number in range(table.num_rows):
        said = str(columns[state][number]).strip().lower()
        if said in REJECTED | _NOT_GIVEN:
            tally.drop(f"{said} answers", f"row {number + 1}")
            continue
        key = tuple(str(columns[name][number]) for name in items)
        cells = {name.removeprefix(begin): columns[name][number] for name in asked}
        sample = samples.setdefault(key, Sample(number, cells))
        value = columns[answer][number]
        if not is_missing(value):
            sample.answers.append([str(value).strip()])
    return settled(samples.values(), table.where, table.root, answer, tally)


def read_aggregated(table: Table, options: ReadOptions) -> Read:
    """Read Appen's report, a row a task, without what it knows of answers; None for others."""
    if not set(table.columns) >= _OF_APPEN:
        return None
    told = [name for name in table.columns if f"{name}:confidence" in table.columns]
    answer = _answer(table, told, options)
    about = {f"{name}{end}" for name in told for end in _ABOUT}
    left = [name for name in table.columns if name.startswith("_") or name in about]
    left += [name for name in told if name != answer]
    sentence = f"Columns that Appen has written of tasks and answers are no inputs: {quoted(left)}."
    made = EditedTable(table, None, target=answer, dropped=left)
    return made, [Finding("unused", "note", (), sentence)]


def read_labelbox(table: Table, options: ReadOptions) -> Read:
    """Read Labelbox's export: the choices of one question; None for other tables."""
    if not {"data_row", "projects"} <= set(table.columns):
        return None
    samples, tally, files = list[Sample](), Tally(), FilesBeside(table.root)
    records = list(zip(table.values("data_row"), table.values("projects"), strict=True))
    found = [_choices(projects, tally, number) for number, (_, projects) in enumerate(records)]
    questions = list(dict.fromkeys(name for answers in found for each in answers for name in each))
    if not questions:
        raise DataError(
            f"{table.where} is an export of Labelbox without a choice of classes; expected answers "
            "to a question of one or several choices. Export such a project."
        )
    if len(questions) > 1 and options.label not in questions:
        raise DataError(
            f"{table.where} answers the questions {quoted(questions)}; expected one that is "
            f"learned. Name it: --label {questions[0]}."
        )
    question = questions[0] if len(questions) == 1 else str(options.label)
    is_file = any(
        files.is_sample(str((row or {}).get(key))) for row, _ in records[:100] for key in _NAMES
    )
    for number, ((row, _), answers) in enumerate(zip(records, found, strict=True)):
        named = [(row or {}).get(key) for key in _NAMES]
        path = next((name for name in named if files.is_sample(str(name))), None)
        cells = {"image": files.near(path)} if is_file else {"text": (row or {}).get("row_data")}
        sample = Sample(number, cells)
        sample.answers += [each[question] for each in answers if each.get(question)]
        samples.append(sample)
    target = options.label or "label"
    return settled(samples, table.where, table.root, target, tally)


_NAMES = ("external_id", "row_data")  # of a file, where Labelbox has it


def _choices(projects: Any, tally: Tally, number: int) -> list[dict[str, list[str]]]:
    """Return the classes by question of each label of a record; those rejected are left out."""
    found = []
    for project in (projects or {}).values():
        state = str((project.get("project_details") or {}).get("workflow_status", "")).lower()
        if state in REJECTED or state == "to_label":
            tally.drop(f"with the status {state}", f"record {number + 1}")
            continue
        for label in project.get("labels") or ():
            each: dict[str, list[str]] = {}
            for one in (label.get("annotations") or {}).get("classifications") or ():
                chosen = [one.get("radio_answer"), *(one.get("checklist_answers") or ())]
                names = [str(choice["name"]) for choice in chosen if choice]
                if names:
                    each[str(one["name"])] = names
            found.append(each)
    return found


def read_chats(table: Table, options: ReadOptions) -> Read:
    """Read chats of a question and its answer, as language models are taught; None for others."""
    if "messages" not in table.columns or options.label not in (None, "label"):
        return None
    chats = table.values("messages")
    if not all(isinstance(chat, list) and chat for chat in chats):
        return None
    asked, told = ([_said(chat, role) for chat in chats] for role in ("user", "assistant"))
    if None in asked or None in told:
        return None  # of several turns, or another form
    known = options.known_task
    if not (_are_few(told) if known is None else find_task(known).is_exclusive):
        return None  # to be written, and not chosen
    sentence = (
        "Column 'messages' holds chats whose answers are few and short: what the user says is the "
        "text, the answer its class. To have answers written say --task text-generation."
    )
    cells: dict[str, list[Any]] = {"text": asked, "label": [str(answer).strip() for answer in told]}
    made = EditedTable(table, None, cells, target="label", dropped=["messages"])
    return made, [Finding("reading", "note", (), sentence)]


def _are_few(answers: Sequence[str | None]) -> bool:
    """Return whether answers are classes: short, and each given again and again."""
    different = set(answers)
    is_short = all(len(str(answer).split()) <= _LONGEST for answer in different)
    return is_short and len(different) * _LEAST_AGAIN <= len(answers)


def _said(chat: Sequence[Any], role: str) -> str | None:
    """Return the one thing that a role says in a chat; None where it is none or several."""
    said = [one.get("content") for one in chat if isinstance(one, dict) and one.get("role") == role]
    return said[0] if len(said) == 1 and isinstance(said[0], str) else None


def without_objects(table: Table, options: ReadOptions) -> Table:
    """Return a table in which what lies in objects has columns of its own: ``annotation.label``.

    Only where the target is not there as it stands.
    """
    if options.target_among(table.columns) in table.columns:
        return table
    flat: dict[str, list[Any]] = {}
    nested = [name for name in table.columns if _is_nested(table.head(name))]
    for name in nested:
        _flatten(name, table.values(name), flat)
    return EditedTable(table, None, flat, dropped=nested) if nested else table


def _is_nested(cells: Sequence[Any]) -> bool:
    is_object = [isinstance(cell, dict) for cell in cells if cell is not None]
    return bool(is_object) and all(is_object)


def _flatten(name: str, values: Sequence[Any], flat: dict[str, list[Any]]) -> None:
    keys = dict.fromkeys(key for value in values for key in value or ())
    for key in keys:
        inner = [(value or {}).get(key) for value in values]
        if _is_nested(inner):
            _flatten(f"{name}.{key}", inner, flat)
        else:
            flat[f"{name}.{key}"] = inner
