"""Tables of conversations: chats, prompts with their answers, or texts as they are.

Read are lists of turns (``messages`` as OpenAI and TRL write them, ``conversations`` as ShareGPT
does), columns of a prompt and its answer (``prompt`` and ``completion``, Alpaca's ``instruction``,
``input`` and ``output``), and, where the task is said, any two columns of texts or one. What comes
out are conversations in a column ``prompt`` and what is to be answered in ``answer``. The last turn
must be the assistant's: it is what is told; answers before it are learned from, too. Left out:
tools, pictures, several answers to choose from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headstart.cells import as_list, is_missing
from headstart.data.options import ReadOptions
from headstart.data.sources.listed import EditedTable, row_number
from headstart.errors import DataError, did_you_mean, quoted
from headstart.tasks import TEXT_GENERATION, find_task
from headstart.types import ANSWERER, USER, Conversation, Finding

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

TASK = TEXT_GENERATION.name
PROMPT, ANSWER = "prompt", "answer"
CHATS = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat")
PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
)
_ASKED = (("question", "answer"), ("prompt", "answer"), ("input", "output"))  # where the task is
_CONTEXT = "input"  # of an instruction, as Alpaca has it
ROLES = {
    "system": "system",
    "developer": "system",
    "user": USER,
    "human": USER,
    "assistant": ANSWERER,
    "gpt": ANSWERER,
    "bot": ANSWERER,
    "model": ANSWERER,
}
_TEXTS = ("text", "content", "document", "story")
Read = tuple["Table", list[Finding]] | None


def read_dialogues(table: Table, options: ReadOptions) -> Read:
    """Read a table of conversations; None for other tables.

    Raises:
        DataError: A conversation is not one, by its place.
    """
    task = None if options.known_task is None else find_task(options.known_task)
    is_asked = task is not None and task.written_as == TEXT_GENERATION.written_as
    if options.separator or (task is not None and not is_asked):
        return None
    if getattr(table, "target", None) == ANSWER:
        return None  # read already
    named = {name.strip().lower(): name for name in table.columns}
    for column in filter(None, (named.get(name) for name in CHATS)):
        if options.label in (None, column) and _are_chats(table.head(column)):
            return _read_chats(table, column)
    known = [*PAIRS, *(_ASKED if is_asked else ())]
    found = [(named[a], named[b]) for a, b in known if a in named and b in named]
    if options.text and options.label and is_asked:
        found = [(options.text, options.label)]
    for prompt, answer in found:
        if options.label in (None, answer) and options.text in (None, prompt):
            return _read_pairs(table, prompt, answer, named.get(_CONTEXT))
    return _read_texts(table, options) if is_asked else None


def dialogue_options(tables: Sequence[Table], options: ReadOptions) -> ReadOptions | None:
    """Return the options of tables of conversations; None for other tables.

    Args:
        tables: Settled, all of one data set.
        options: What the user said.

    Raises:
        DataError: Some are conversations and others are none.
    """
    are_read = [getattr(table, "target", None) == ANSWER for table in tables]
    if not any(are_read):
        return None
    if not all(are_read):
        one, other = (tables[are_read.index(is_read)].where for is_read in (True, False))
        raise DataError(
            f"{one} holds conversations and {other} holds none; expected the same of all files. "
            "Give them in one form."
        )
    return replace(options, label=ANSWER, text=PROMPT, task=TASK)


def asked_in(table: Table) -> list[str] | None:
    """Return what is to be answered in each row; None where the table has no such column.

    Args:
        table: Read as conversations are for training; answers may be there and are left out.

    Raises:
        DataError: A conversation is not one, by its place.
    """
    named = {name.strip().lower(): name for name in table.columns}
    for column in filter(None, (named.get(name) for name in CHATS)):
        if _are_chats(table.head(column)):
            return [_opened(cell, table, row) for row, cell in enumerate(table.values(column))]
    firsts = dict.fromkeys(prompt for prompt, _ in (*PAIRS, *_ASKED))
    prompt = next((name for name in firsts if name in named), None)
    if prompt is None:
        return None
    asked = [_opened(cell, table, row) for row, cell in enumerate(table.values(named[prompt]))]
    if prompt != "instruction" or _CONTEXT not in named:
        return asked
    both = zip(asked, table.values(named[_CONTEXT]), strict=True)
    return [f"{one}\n\n{more}" if one and not is_missing(more) else one for one, more in both]


def _opened(cell: Any, table: Table, row: int) -> str:
    """Return a cell without the answer at its end; empty where nothing is asked."""
    if is_missing(cell):
        return ""
    if not isinstance(cell, (list, tuple)) and not _are_chats([cell]):
        return str(cell)
    turns = turns_of(cell, f"row {row_number(table, row):,} of {table.where}")
    if turns[-1][0] == ANSWERER:
        turns.pop()
    return Conversation.of(turns) if turns else ""


def turns_of(cell: Any, where: str) -> list[tuple[str, str]]:
    """Return the turns of a chat: role and content of each.

    Args:
        cell: A list of ``{"role", "content"}`` or of ``{"from", "value"}``, or that as JSON.
        where: What to call it in messages.

    Raises:
        DataError: A turn has no role that is known, or no text.
    """
    listed = as_list(cell)
    if not listed:
        raise DataError(
            f"{where} holds no list of turns; expected turns such as "
            '{"role": "user", "content": "…"}. Correct it, or leave it out.'
        )
    return [_turn(turn, number, where) for number, turn in enumerate(listed, 1)]


def _turn(turn: Any, number: int, where: str) -> tuple[str, str]:
    place = f"Turn {number} of {where}"
    if not isinstance(turn, dict):
        raise DataError(
            f"{place} is {str(turn)[:40]!r}; expected a role and a content. Correct it."
        )
    role = str(turn.get("role", turn.get("from", ""))).strip().lower()
    if role not in ROLES:
        raise DataError(
            f"{place} has role '{role}'; expected {quoted(list(ROLES), len(ROLES))}."
            f"{did_you_mean(role, ROLES)} Correct it, or leave the conversation out: tools are not "
            "learned from."
        )
    content = turn.get("content", turn.get("value"))
    if isinstance(content, list):
        content = _joined(content, place)
    if not isinstance(content, str) or (is_missing(content) and ROLES[role] == ANSWERER):
        raise DataError(
            f"{place}, of '{role}', has no text; expected one. Correct it, or leave the "
            "conversation out."
        )
    return ROLES[role], content


def _joined(parts: Sequence[Any], place: str) -> str:
    """Return the text of a content in parts, as OpenAI writes it."""
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    if len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        raise DataError(
            f"{place} has parts that are no texts; expected texts alone. Leave the conversation "
            "out."
        )
    return "".join(map(str, texts))


def _are_chats(cells: Sequence[object]) -> bool:
    """Return whether most cells are lists of turns; the others are refused by their places."""
    lists = [as_list(cell) or [] for cell in cells if not is_missing(cell)]
    chats = [
        all(isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in found)
        for found in lists
        if found
    ]
    return 2 * sum(chats) > len(lists)


def _read_chats(table: Table, column: str) -> Read:
    """Read a column of lists of turns; all but the last are the prompt."""
    prompts, answers, kept = [], [], []
    for number, cell in enumerate(table.values(column)):
        where = f"row {row_number(table, number):,} of {table.where}"
        if is_missing(cell):
            continue
        *before, (role, answer) = turns_of(cell, where)
        if role != ANSWERER:
            raise DataError(
                f"The conversation in {where} ends with a turn of '{role}'; expected the last to "
                f"be the {ANSWERER}'s, which is what is learned. Add the answer, or leave the "
                "conversation out."
            )
        if not before:
            raise DataError(
                f"The conversation in {where} has an answer alone; expected something that it "
                "answers. Add a turn of the user before it."
            )
        kept.append(number)
        prompts.append(Conversation.of(before))
        answers.append(answer)
    said = f"Column '{column}' holds conversations: the answers of the assistant are learned."
    return _made(table, (kept, prompts, answers), [column], said)


def _read_pairs(table: Table, prompt: str, answer: str, context: str | None) -> Read:
    """Read a column of prompts beside one of answers."""
    prompts, answers, kept = [], [], []
    contexts = [None] * table.num_rows
    has_context = context not in (None, prompt, answer) and prompt.lower() == "instruction"
    if has_context and context is not None:
        contexts = table.values(context)
    rows = zip(table.values(prompt), table.values(answer), contexts, strict=True)
    for number, (asked, told, more) in enumerate(rows):
        where = f"row {row_number(table, number):,} of {table.where}"
        turns = _as_turns(asked, USER, where, prompt)
        said = _as_turns(told, ANSWERER, where, answer)
        if len(said) != 1:
            raise DataError(
                f"Column '{answer}' has {len(said)} turns in {where}; expected one, the answer. "
                "Put the others into the prompt."
            )
        if not is_missing(more):
            turns[-1] = (turns[-1][0], f"{turns[-1][1]}\n\n{more}")
        kept.append(number)
        prompts.append(Conversation.of(turns))
        answers.append(said[0][1])
    said_so = f"Column '{answer}' answers column '{prompt}': the answers are learned."
    read = [prompt, answer, *([str(context)] if has_context else [])]
    return _made(table, (kept, prompts, answers), read, said_so)


def _as_turns(cell: Any, role: str, where: str, column: str) -> list[tuple[str, str]]:
    """Return a cell as turns: a text is one of a role, a list is its own."""
    if isinstance(cell, (list, tuple)):
        return turns_of(list(cell), f"column '{column}' in {where}")
    if is_missing(cell):
        kind = "answer" if role == ANSWERER else "prompt"
        raise DataError(
            f"Column '{column}' is empty in {where}; expected the {kind}. Fill it in, or leave the "
            "row out."
        )
    return [(role, str(cell))]


def _read_texts(table: Table, options: ReadOptions) -> Read:
    """Read a column of texts that are learned as they are."""
    named = {name.strip().lower(): name for name in table.columns}
    lone = table.columns[0] if len(table.columns) == 1 else None
    column = options.text or next((named[n] for n in _TEXTS if n in named), lone)
    if column is None or column not in table.columns or options.label:
        return None
    kept, texts = [], []
    for number, value in enumerate(table.values(column)):
        if not is_missing(value):
            kept.append(number)
            texts.append(str(value))
    said = f"Column '{column}' is learned as it is, text by text: no column answers it."
    return _made(table, (kept, list(texts), texts), [column], said)


def _made(
    table: Table,
    rows: tuple[Sequence[int], Sequence[str], Sequence[str]],
    read: Sequence[str],
    said: str,
) -> tuple[EditedTable, list[Finding]]:
    kept, prompts, answers = rows
    if left := table.num_rows - len(kept):
        said += f" {left:,} empty rows are left out."
    replaced = {PROMPT: prompts, ANSWER: answers}
    dropped = [name for name in read if name not in replaced]
    made = EditedTable(table, list(kept), replaced, target=ANSWER, dropped=dropped)
    return made, [Finding("reading", "note", (), said)]
