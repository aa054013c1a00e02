"""Tables of questions with the context that answers them: SQuAD, as it is and as others write it.

Read are SQuAD's JSON (1.1 and 2.0: articles, paragraphs, questions), tables with a column of
answers as Hugging Face writes them (``{"text": […], "answer_start": […]}``), lists of answers with
their places, and columns of an answer and of its first character. What comes out are columns
``question`` and ``context``, or as they were called, ``GoldAnswers`` in ``answers``, and in
``article`` what belongs together: the title where there are enough of them, else the context.

An answer whose place does not hold it is put where it stands, if that is one place alone, and
refused by name otherwise. Questions without an answer are kept: that none stands there is the
answer to them.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cells import MOSTLY, as_list, as_number, is_missing
from headstart.data.options import ReadOptions
from headstart.data.paired_texts import said_columns
from headstart.data.sources.listed import EditedTable, ListTable, from_rows, row_number
from headstart.errors import DataError
from headstart.tasks import QUESTION_ANSWERING, find_task
from headstart.types import Finding
from headstart.types.questions import GoldAnswers

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

TASK = QUESTION_ANSWERING.name
QUESTION, CONTEXT, ANSWERS, ARTICLE, TITLE = "question", "context", "answers", "article", "title"
_QUESTIONS = (QUESTION, "query", "问题")
_CONTEXTS = (CONTEXT, "passage", "paragraph", "document", "文章")
_ANSWERS = (ANSWERS, "answer", "label")
_TEXTS, _STARTS = ("answer_text", "answer", "text"), ("answer_start", "start", "answer_starts")
_LEAST_TITLES = 10  # of which a split can be drawn
_LOOKED_AT = 50
Read = tuple["Table", list[Finding]] | None


def squad_rows(value: Mapping[str, Any], where: str, root: Path) -> ListTable | None:
    """Return a row a question of SQuAD's JSON; None for other JSON.

    Raises:
        DataError: A question says that it has an answer and has none, or the other way round.
    """
    articles = value.get("data")
    if not isinstance(articles, list) or not articles:
        return None
    if not all(isinstance(one, dict) and "paragraphs" in one for one in articles):
        return None
    rows = []
    for number, article in enumerate(articles, 1):
        title = str(article.get(TITLE) or f"article {number}")
        for paragraph in article["paragraphs"] or ():
            for asked in paragraph.get("qas") or ():
                place = f"Question '{asked.get('id', asked.get(QUESTION))}' of {where}"
                told, is_none = asked.get(ANSWERS) or [], asked.get("is_impossible")
                if is_none is not None and bool(is_none) == bool(told):
                    said = "has answers and is said to be impossible"
                    said = said if told else "has no answer and is not said to be impossible"
                    raise DataError(
                        f"{place} {said}; expected one of both. Correct 'is_impossible', or leave "
                        "the question out."
                    )
                rows.append(
                    {
                        "id": asked.get("id"),
                        TITLE: title,
                        CONTEXT: paragraph.get(CONTEXT),
                        QUESTION: asked.get(QUESTION),
                        ANSWERS: told,
                    }
                )
    if not rows:
        raise DataError(
            f"{where} has articles and no questions; expected 'paragraphs' with 'qas'. Add some."
        )
    return from_rows(rows, where, root, target=ANSWERS)


@dataclass(frozen=True)
class _Columns:
    """Which columns are what: an answer alone, or beside it a column of its first character."""

    question: str
    context: str
    answers: str
    start: str | None = None


@dataclass
class _Tally:
    """What was found while answers were read."""

    repaired: list[str] = field(default_factory=list)
    silent: int = 0


def read_questions(table: Table, options: ReadOptions) -> Read:
    """Read a table of questions with contexts; None for other tables.

    Raises:
        DataError: An answer does not stand in its context, or something is empty, by its place.
    """
    known = options.known_task
    if options.separator or (known is not None and not find_task(known).finds_texts):
        return None
    columns = _columns(table, options)
    if columns is None:
        return None
    counts = _Tally()
    told = []
    cells = [table.values(columns.question), table.values(columns.context)]
    given = table.values(columns.answers)
    starts = table.values(columns.start) if columns.start else [None] * table.num_rows
    for number, (question, context, cell, start) in enumerate(
        zip(*cells, given, starts, strict=True)
    ):
        place = f"row {row_number(table, number):,} of {table.where}"
        for name, text in ((columns.question, question), (columns.context, context)):
            if not isinstance(text, str) or is_missing(text) or not text.strip():
                raise DataError(
                    f"Column '{name}' is empty in {place}; expected a question and the text that "
                    "is to answer it. Fill it in, or leave the row out."
                )
        marks = _marks(cell, start, columns, place)
        told.append(_placed(marks, str(context), place, counts))
    articles, by = _articles(table, columns.context)
    replaced: dict[str, Sequence[Any]] = {ANSWERS: told, ARTICLE: articles}
    unread = [columns.answers, *([columns.start] if columns.start else [])]
    dropped = [name for name in unread if name not in replaced]
    made = EditedTable(table, None, replaced, target=ANSWERS, dropped=dropped)
    return made, _said(columns, counts, len(told), by if options.group is None else options.group)


def question_options(tables: Sequence[Table], options: ReadOptions) -> ReadOptions | None:
    """Return the options of tables of questions; None for other tables.

    Args:
        tables: Settled, all of one data set.
        options: What the user said.

    Raises:
        DataError: Some hold questions with contexts and others none.
    """
    are_read = [_is_read(table) for table in tables]
    if not any(are_read):
        return None
    if not all(are_read):
        one, other = (tables[are_read.index(is_read)].where for is_read in (True, False))
        raise DataError(
            f"{one} holds questions with contexts and {other} holds none; expected the same of all "
            "files. Give them in one form."
        )
    first = tables[0]
    trained = options.preprocess
    columns = trained.columns if trained is not None and trained.is_pair else ()
    columns = tuple(columns) or said_columns(options.text, first.columns)
    if len(columns) != 2:
        named = (_among(_QUESTIONS, first.columns), _among(_CONTEXTS, first.columns))
        columns = tuple(map(str, named))
    parts = [set(table.values(ARTICLE)) for table in tables]
    whole = set[object]().union(*parts)
    # files that are splits may hold one article twice: that is said, and nothing to refuse
    are_apart = len(whole) == sum(map(len, parts))
    group = options.group or (ARTICLE if len(whole) > 1 and are_apart else None)
    text = ",".join(columns)
    return replace(options, label=ANSWERS, text=text, task=TASK, group=group)


def _is_read(table: Table) -> bool:
    return (
        ARTICLE in table.columns
        and ANSWERS in table.columns
        and any(isinstance(value, GoldAnswers) for value in table.head(ANSWERS))
    )


def _among(names: Sequence[str], columns: Sequence[str]) -> str | None:
    low = {column.strip().lower(): column for column in columns}
    return next((low[name] for name in names if name in low), None)


def _columns(table: Table, options: ReadOptions) -> _Columns | None:
    """Return which columns are what; None where these are no questions with contexts."""
    said = said_columns(options.text, table.columns)
    trained = options.preprocess
    if len(said) != 2 and trained is not None and trained.is_pair:
        said = tuple(trained.columns)
    is_asked = options.known_task is not None  # of no other task: see ``read_questions``
    names = (
        said
        if len(said) == 2
        else (
            _among(_QUESTIONS, table.columns),
            _among(_CONTEXTS, table.columns),
        )
    )
    question, context = names
    if question is None or context is None or not {question, context} <= set(table.columns):
        return None
    label = options.label if options.label in table.columns else None
    answers = label or _among(_ANSWERS, table.columns)
    start = _among(_STARTS, table.columns)
    if answers is not None and _are_answers(table.head(answers)):
        return _Columns(question, context, answers)
    text = label or _among(_TEXTS, table.columns) or (answers if is_asked else None)
    if text is not None and start is not None:
        return _Columns(question, context, text, start)
    return _Columns(question, context, text) if is_asked and text is not None else None


def _are_answers(cells: Sequence[object]) -> bool:
    """Return whether cells are answers with their places, some of which say so or hold one."""
    given = [_value(cell) for cell in cells[:_LOOKED_AT] if not is_missing(cell)]
    read = [_answers_in(cell) for cell in given]
    is_said = any(isinstance(cell, dict) and "text" in cell for cell in given)
    num_read = sum(one is not None for one in read)
    return (is_said or any(read)) and num_read >= MOSTLY * len(read)  # the others: by their row


def _answers_in(cell: object) -> list[tuple[str, int | None]] | None:
    """Return the answers that a cell holds, each with its place; None where it is no such cell."""
    value = _value(cell)
    if isinstance(value, GoldAnswers):
        return list(zip(value.texts, value.starts, strict=True))
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start", value.get("start"))
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        texts, starts = as_list(texts), as_list([] if starts is None else starts)
        if texts is None or starts is None or len(texts) != len(starts):
            return None
        pairs = list(zip(texts, starts, strict=True))
    elif (listed := as_list(value)) is not None:
        if not all(isinstance(one, dict) and "text" in one for one in listed):
            return None
        pairs = [(one["text"], one.get("answer_start", one.get("start"))) for one in listed]
    else:
        return None
    if not all(isinstance(text, str) for text, _ in pairs):
        return None
    return [(text, _whole(start)) for text, start in pairs]


def _value(cell: object) -> object:
    """Return a cell that writes a dict or a list as what it writes: JSON, Python or NumPy."""
    if (
        not isinstance(cell, str)
        or isinstance(cell, GoldAnswers)
        or cell.strip()[:1] not in ("{", "[")
    ):
        return cell
    plain = re.sub(r"array\((\[.*?\])(?:,\s*dtype=[^)]*)?\)", r"\1", cell, flags=re.DOTALL)
    for read in (json.loads, ast.literal_eval):
        try:
            found: object = read(plain)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return found
    return cell


def _whole(value: object) -> int | None:
    number = as_number(value)
    return None if number is None or number != number else int(number)


def _marks(
    cell: object, start: object, columns: _Columns, place: str
) -> list[tuple[str, int | None]]:
    """Return the answers of one row."""
    if columns.start is not None or (isinstance(cell, str) and _answers_in(cell) is None):
        if is_missing(cell) or not str(cell).strip():
            return []
        return [(str(cell), _whole(start))]
    if is_missing(cell) if not isinstance(cell, (dict, list)) else False:
        return []
    found = _answers_in(cell)
    if found is None:
        raise DataError(
            f"Column '{columns.answers}' holds {str(cell)[:60]!r} in {place}; expected answers "
            'with their places, such as {"text": ["…"], "answer_start": [0]}. Correct it.'
        )
    return found


def _placed(
    marks: Sequence[tuple[str, int | None]], context: str, place: str, counts: _Tally
) -> GoldAnswers:
    """Return answers where they stand in their context.

    Raises:
        DataError: One does not, or in several places and its own is none of them.
    """
    texts, starts = [], []
    for text, start in marks:
        bare = text.strip()
        if not bare:
            continue
        lead = len(text) - len(text.lstrip())
        first = None if start is None else start + lead
        if first is None or first < 0 or context[first : first + len(bare)] != bare:
            num = context.count(bare)
            if num != 1:
                stands = f"stands there {num} times" if num else "does not stand in its context"
                says = "" if start is None else f", where its place is {start:,}"
                raise DataError(
                    f"The answer '{bare[:60]}' of {place} {stands}{says}; expected it at its "
                    "place, or once. Correct the place, or leave the row out."
                )
            first = context.index(bare)
            if start is not None:
                counts.repaired.append(place)
        texts.append(bare)
        starts.append(first)
    counts.silent += not texts
    return GoldAnswers(texts, starts, context)


def _articles(table: Table, context: str) -> tuple[list[str], str]:
    """Return what belongs together, and by which column: titles where there are enough of them."""
    contexts = [str(text) for text in table.values(context)]
    if TITLE in table.columns:
        titles = table.values(TITLE)
        is_whole = not any(is_missing(title) for title in titles)
        if is_whole and len(set(titles)) >= min(_LEAST_TITLES, len(set(contexts))):
            return [str(title) for title in titles], TITLE
    known = {text: blake2b(text.encode(errors="replace"), digest_size=6) for text in set(contexts)}
    return [f"context {known[text].hexdigest()}" for text in contexts], context


def _said(columns: _Columns, counts: _Tally, num: int, group: str) -> list[Finding]:
    """Return what a user should know of it."""
    said = [
        Finding(
            "reading",
            "note",
            (),
            f"Column '{columns.answers}' answers column '{columns.question}' out of column "
            f"'{columns.context}': --task {TASK}. Questions of one '{group}' belong together.",
        )
    ]
    if counts.silent:
        sentence = (
            f"{counts.silent:,} of {num:,} questions have no answer: that there is none is learned."
        )
        said.append(Finding("reading", "note", (), sentence))
    if counts.repaired:
        sentence = (
            f"{len(counts.repaired):,} answers did not stand at their places and were found at the "
            f"one other place that holds them, such as that of {counts.repaired[0]}."
        )
        said.append(Finding("reading", "warning", tuple(counts.repaired[:100]), sentence))
    return said
