"""Tables whose target is told of the words of a text: lists of tags, or spans with offsets.

Read are lists of words beside lists of tags (Hugging Face), texts with spans as doccano, Prodigy
and spaCy's offsets write them, and the regions of Label Studio's JSON. Each becomes sentences with
known words in a column ``text``, and IOB2 tags in the target. Left out: spans that overlap, which
are refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cells import as_list, as_number, is_missing
from headstart.data.options import ReadOptions
from headstart.data.sources.listed import EditedTable, ListTable
from headstart.errors import DataError
from headstart.preprocessing.word_places import CutAt, sentence_of, spans_in
from headstart.tasks.schemes import has_scheme
from headstart.types import Finding, Sentence

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

WORD_TASKS = ("token-classification", "tagging")
TEXT, TAGS = "text", "tags"
WORD_NAMES = ("tokens", "words", "text", "sentence", "token")
TAG_NAMES = ("ner_tags", "tags", "labels", "label", "pos_tags", "ner", "pos", "upos")
_PLAIN_TAGS = ("ner_tags", "pos_tags")  # nothing else is called so: a row too short is refused
SPAN_NAMES = ("spans", "entities", "label", "labels", "ents")
_TEXT_NAMES = ("text", "sentence", "content", "data")
_LOOKED_AT = 50
_MOSTLY = 0.9
Read = tuple["Table", list[Finding]] | None
Mark = tuple[int, int, str]


def read_tagged(table: Table, options: ReadOptions) -> Read:
    """Read a table whose target is told of words; None for other tables."""
    if options.separator or (options.known_task and options.known_task not in WORD_TASKS):
        return None
    if isinstance(table, ListTable) and table.target == TAGS:
        return None  # CoNLL, as it is
    return _read_lists(table, options) or _read_spans(table, options)


def tagged_options(tables: Sequence[Table], options: ReadOptions) -> ReadOptions | None:
    """Return the options of tables that hold a tag for each word; None for other tables.

    Args:
        tables: Settled, all of one data set.
        options: What the user said.

    Raises:
        DataError: Some have tags and others have none.
    """
    are_tagged = [_is_tagged(table) for table in tables]
    if not any(are_tagged):
        return None
    if not all(are_tagged):
        one, other = (tables[are_tagged.index(is_tagged)].where for is_tagged in (True, False))
        raise DataError(
            f"{one} has a tag for each word and {other} has none; expected the same of all files. "
            "Give them in one form."
        )
    known = options.known_task
    if known is None:
        tags = {str(tag) for table in tables for row in table.values(TAGS) for tag in row}
        known = WORD_TASKS[0 if has_scheme(sorted(tags)) else 1]
    if known not in WORD_TASKS:
        raise DataError(
            f"{tables[0].where} has a tag for each word, and task is '{known}'; expected "
            f"{WORD_TASKS[0]} or {WORD_TASKS[1]}. Leave --task out."
        )
    return replace(options, label=TAGS, task=known)


def _is_tagged(table: Table) -> bool:
    if getattr(table, "target", None) != TAGS or not {TEXT, TAGS} <= set(table.columns):
        return False
    return any(isinstance(value, Sentence) for value in table.head(TEXT))


def _read_lists(table: Table, options: ReadOptions) -> Read:
    """Read lists of words beside lists of tags, as many."""
    heads = {name: table.head(name)[:_LOOKED_AT] for name in table.columns}
    lists = {name: [as_list(cell) for cell in cells] for name, cells in heads.items()}
    are_lists = [name for name, cells in lists.items() if any(cells) and None not in cells]
    words = next((n for n in WORD_NAMES if n in are_lists and _are_words(lists[n])), None)
    if words is None or len(are_lists) < 2:
        return None
    sizes = [len(cell or ()) for cell in lists[words]]
    fitting = [
        name
        for name in are_lists
        if name != words
        and (name in _PLAIN_TAGS or _agree([len(cell or ()) for cell in lists[name]], sizes))
    ]
    known = [name for name in TAG_NAMES if name in fitting]
    tags = options.label if options.label in fitting else next(iter([*known, *fitting]), None)
    if tags is None or (options.label is not None and options.label != tags):
        return None
    texts, rows = _as_lists(table, words), _as_lists(table, tags)
    for number, (text, row) in enumerate(zip(texts, rows, strict=True)):
        if len(text) != len(row):
            raise DataError(
                f"Row {number + 1:,} of {table.where} has {len(text)} words in '{words}' and "
                f"{len(row)} tags in '{tags}'; expected a tag for each word. Correct the row."
            )
    names = table.class_names(tags)
    named = [[_name(tag, names) for tag in row] for row in rows]
    cut: CutAt = "characters" if _are_characters(texts) else "words"
    sentences = [sentence_of([str(word) for word in text], cut) for text in texts]
    kept = [place for place, text in enumerate(sentences) if text.spans]
    said = f"Column '{tags}' has a tag for each word of column '{words}'."
    made = _made(table, kept, sentences, named, (words, tags))
    return made, [Finding("reading", "note", (), said)]


def _read_spans(table: Table, options: ReadOptions) -> Read:
    """Read texts beside lists of spans: first and last character, and what it is."""
    text = next((name for name in _TEXT_NAMES if name in table.columns), None)
    if text is None or (options.label and options.label not in SPAN_NAMES):
        return None
    wanted = [options.label] if options.label else list(SPAN_NAMES)
    spans = next((n for n in wanted if n in table.columns and _are_spans(table.head(n))), None)
    if spans is None:
        return None
    sentences, rows = [], []
    answers = table.values("answer") if "answer" in table.columns else [None] * table.num_rows
    kept = []
    for number, (value, cell, answer) in enumerate(
        zip(table.values(text), table.values(spans), answers, strict=True)
    ):
        if is_missing(value) or answer in ("reject", "ignore"):
            continue
        where = f"row {number + 1:,} of {table.where}"
        sentence, tags = tags_of(str(value), _marks(cell), where)
        if sentence.spans:
            kept.append(number)
            sentences.append(sentence)
            rows.append(tags)
    said = f"Column '{spans}' has spans of column '{text}': a tag for each word."
    left = table.num_rows - len(kept)
    if left:
        said += f" {left:,} rows without a text, or not accepted, are left out."
    columns: dict[str, list[Any]] = {TEXT: list(sentences), TAGS: rows}
    made = ListTable(columns, table.where, table.root, target=TAGS, numbers=kept)
    return made, [Finding("reading", "note", (), said)]


def tagged_pair(words: Any, tags: Any, options: ReadOptions) -> ListTable | None:
    """Return lists of words with lists of tags as a table; None where they are something else."""
    if options.known_task and options.known_task not in WORD_TASKS:
        return None
    kinds = (list, tuple)
    if not isinstance(words, kinds) or not isinstance(tags, kinds) or not len(words):
        return None
    both = list(zip(words, tags, strict=False))
    if len(words) != len(tags) or not all(
        isinstance(one, kinds) and isinstance(other, kinds) for one, other in both[:_LOOKED_AT]
    ):
        return None
    if not _are_words([list(one) for one, _ in both[:_LOOKED_AT]]):
        return None
    columns = {WORD_NAMES[0]: [list(row) for row in words], TAGS: [list(row) for row in tags]}
    return ListTable(columns, "the lists", Path.cwd())


def tags_of(text: str, marks: Sequence[Mark], where: str) -> tuple[Sentence, list[str]]:
    """Return a text with its words and IOB2 tags, words being cut where a span begins or ends.

    Args:
        text: The text.
        marks: First and last character (exclusive) of each span, and what it is.
        where: What to call it in messages.

    Raises:
        DataError: A span reaches beyond the text, or two overlap.
    """
    ordered = sorted(marks)
    for start, end, kind in ordered:
        if not 0 <= start < end <= len(text):
            raise DataError(
                f"The span {start} to {end} ('{kind}') in {where} is not within its text of "
                f"{len(text):,} characters; expected 0 <= start < end. Correct it."
            )
    for (start, end, kind), (other, until, next_kind) in pairwise(ordered):
        if other < end:
            raise DataError(
                f"The spans {start} to {end} ('{kind}') and {other} to {until} ('{next_kind}') in "
                f"{where} overlap; a word can have one tag. Leave one of them out."
            )
    cuts = sorted({place for start, end, _ in ordered for place in (start, end)})
    unspaced = sum(ord(c) > 0x2E7F for c in text) > 0.5 * max(1, sum(c.isalpha() for c in text))
    cut: CutAt = "characters" if unspaced else "words"
    spans: list[tuple[int, int]] = []
    for start, end in spans_in(text, cut):
        inner = [start, *(place for place in cuts if start < place < end), end]
        spans += list(pairwise(inner))
    tags: list[str] = []
    at = 0
    for start, _ in spans:
        while at < len(ordered) and ordered[at][1] <= start:
            at += 1
        if at < len(ordered) and ordered[at][0] <= start:
            is_first = not tags or spans[len(tags) - 1][0] < ordered[at][0]
            tags.append(f"{'B' if is_first else 'I'}-{ordered[at][2]}")
        else:
            tags.append("O")
    return Sentence(text, spans), tags


def _are_spans(cells: Sequence[object]) -> bool:
    """Return whether cells are lists of spans, some of which hold one."""
    lists = [as_list(cell) for cell in cells if not is_missing(cell)]
    if not lists or any(found is None for found in lists):
        return False
    spans = [span for found in lists for span in found or ()]
    return bool(spans) and all(_mark(span) is not None for span in spans)


def _marks(cell: object) -> list[Mark]:
    found = [] if cell is None or is_missing(cell) else as_list(cell) or []
    return [mark for span in found if (mark := _mark(span)) is not None]


def _mark(span: object) -> Mark | None:
    """Return a span as doccano's list or Prodigy's dict writes it; None for anything else."""
    if isinstance(span, dict):
        start = span.get("start", span.get("start_offset"))
        end = span.get("end", span.get("end_offset"))
        kind: Any = span.get("label", span.get("labels"))
        kind = kind[0] if isinstance(kind, list) and len(kind) == 1 else kind
    elif isinstance(span, (list, tuple)) and len(span) == 3:
        start, end, kind = span
    else:
        return None
    first, last = as_number(start), as_number(end)
    if first is None or last is None or first != first or last != last:
        return None
    if not isinstance(kind, str):
        return None
    return int(first), int(last), kind


def _are_words(cells: Sequence[list[Any] | None]) -> bool:
    words = [word for cell in cells for word in cell or ()]
    return all(isinstance(word, str) for word in words)


def _agree(sizes: Sequence[int], others: Sequence[int]) -> bool:
    """Return whether rows are as long as others, but for a few that are wrong."""
    same = sum(one == other for one, other in zip(sizes, others, strict=True))
    return same >= _MOSTLY * len(sizes)


def _are_characters(texts: Sequence[Sequence[Any]]) -> bool:
    words = [str(word) for text in texts[:1000] for word in text]
    wide = sum(len(word) == 1 and ord(word) > 0x2E7F for word in words)
    return wide > 0.5 * max(1, len(words))


def _as_lists(table: Table, column: str) -> list[list[Any]]:
    return [as_list(cell) or [] for cell in table.values(column)]


def _name(tag: Any, names: Sequence[str] | None) -> str:
    number = None if isinstance(tag, bool) else as_number(tag)
    if names and number is not None and 0 <= number < len(names):
        return names[int(number)]
    return str(int(number)) if number is not None and number == int(number) else str(tag)


def _made(
    table: Table,
    kept: Sequence[int],
    sentences: Sequence[Sentence],
    tags: Sequence[list[str]],
    read: tuple[str, str],
) -> EditedTable:
    replaced: dict[str, Sequence[Any]] = {
        TEXT: [sentences[i] for i in kept],
        TAGS: [tags[i] for i in kept],
    }
    dropped = [name for name in read if name not in (TEXT, TAGS)]
    return EditedTable(table, list(kept), replaced, target=TAGS, dropped=dropped)
