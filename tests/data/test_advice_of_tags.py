"""What is advised of files whose words have tags: done as it is said, and then they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from advised import Case, csv, frame, jsonl, told

from headstart.data import load
from headstart.errors import OptionError
from headstart.tasks import find_task
from headstart.types import Ragged

N = 40
LINE = [("Ada", "B-PER"), ("lives", "O"), ("in", "O"), ("New", "B-LOC"), ("York", "I-LOC")]
WORDS = [[*(word for word, _ in LINE), f"w{i}"] for i in range(N)]
TAGS = [[*(tag for _, tag in LINE), "O"] for _ in range(N)]
TEXTS = [f"Ada lives in New York, they say, on day {i}." for i in range(N)]
SPANS = [[0, 3, "PER"], [13, 21, "LOC"]]


def lines(folder: Path, change: Any = None, name: str = "a.conll", between: str = "\t") -> str:
    """Write a word a line with its tag behind it, and return the path."""
    parts = [
        "\n".join(between.join(pair) for pair in zip(*both, strict=True))
        for both in zip(WORDS, TAGS, strict=True)
    ]
    content = "\n\n".join(parts) + "\n"
    (folder / name).write_text(change(content) if change else content)
    return str(folder / name)


def lists(folder: Path, name: str = "a.jsonl", **columns: Any) -> str:
    rows = [{"tokens": w, "ner_tags": t} for w, t in zip(WORDS, TAGS, strict=True)]
    for column, cells in columns.items():
        rows = [{**row, column: cell} for row, cell in zip(rows, cells, strict=True)]
    return jsonl(folder, rows, name)


def spanned(folder: Path, first: list[Any]) -> str:
    """Write texts with spans, the first of which has these."""
    rows = [{"text": t, "label": first if i == 0 else SPANS} for i, t in enumerate(TEXTS)]
    return jsonl(folder, rows)


def two_files(folder: Path, *, are_alike: bool) -> Any:
    lists(folder, "train.jsonl")
    if are_alike:
        lists(folder, "test.jsonl")
    else:
        jsonl(folder, [{"text": text, "label": "a place"} for text in TEXTS], "test.jsonl")
    return load(folder)


def plain(folder: Path) -> str:
    """Write texts that have a class each."""
    return csv(
        folder, frame().assign(text=[f"some text {i}" for i in range(60)])[["text", "label"]]
    )


def is_tagged(data: Any) -> bool:
    return data.schema.task == "token-classification" and len(data.train.targets[0]) > 1


CASES = {
    "a line of other columns": Case(
        lambda d: load(lines(d, lambda c: c.replace("w30\tO", "w30"))),
        r"Line \d+ of a.conll has 1 columns.*: 'w30'.* Correct the line",
        lambda d: is_tagged(load(lines(d))),
    ),
    "no blank line": Case(
        lambda d: load(lines(d, lambda c: c.replace("\n\n", "\n"))),
        r"a.conll has no blank line between its 240 words.* Put one behind the last word of each",
        lambda d: is_tagged(load(lines(d))),
    ),
    "files with tags and without": Case(
        lambda d: two_files(d, are_alike=False),
        r"has a tag for each word and .* has none; .* Give them in one form",
        lambda d: is_tagged(two_files(d, are_alike=True)),
    ),
    "tags and another task": Case(
        lambda d: load(lines(d), task="classification"),
        "has a tag for each word, and task is 'classification'; .* Leave --task out",
        lambda d: is_tagged(load(lines(d))),
    ),
    "a word without a tag": Case(
        lambda d: load(lists(d, ner_tags=[*TAGS[:20], TAGS[20][:-1], *TAGS[21:]])),
        "Row 21 of a.jsonl has 6 words in 'tokens' and 5 tags in 'ner_tags'; .* Correct the row",
        lambda d: is_tagged(load(lists(d))),
    ),
    "a span beyond its text": Case(
        lambda d: load(spanned(d, [[0, 300, "PER"]])),
        r"The span 0 to 300 \('PER'\) in row 1 of a.jsonl is not within its text.* Correct it",
        lambda d: is_tagged(load(spanned(d, [[0, 3, "PER"]]))),
    ),
    "spans that overlap": Case(
        lambda d: load(spanned(d, [[13, 21, "LOC"], [17, 21, "NAME"]])),
        r"The spans 13 to 21 \('LOC'\) and 17 to 21 \('NAME'\) in row 1 .* Leave one of them out",
        lambda d: is_tagged(load(spanned(d, [[13, 21, "LOC"]]))),
    ),
    "entities that have not begun": told(
        lambda d: load(lines(d, lambda c: c.replace("B-PER", "I-PER", 3))),
        "has 3 tags that go on with an entity that has not begun; .* Correct them",
        lambda d: load(lines(d)),
    ),
    "a tag of no scheme": Case(
        lambda d: load(lists(d, ner_tags=[["PER", *TAGS[0][1:]], *TAGS[1:]])),
        "holds the tag 'PER' in .* Correct it, or",
        lambda d: is_tagged(load(lists(d))),
    ),
    "a tag of no scheme that tells of one word": Case(
        lambda d: load(lists(d, ner_tags=[["PER", *TAGS[0][1:]], *TAGS[1:]])),
        "or say --task tagging if each tag is told of one word alone",
        lambda d: (
            load(lists(d, ner_tags=[["PER", *TAGS[0][1:]], *TAGS[1:]]), task="tagging").schema.task
            == "tagging"
        ),
    ),
    **{
        f"a class where tags were asked for: {name}": Case(
            lambda d: load(plain(d), task="token-classification"),
            "expected a list of tags, one for each word of the text. Give CoNLL lines, lists of "
            "words with lists of tags, or texts with spans",
            lambda d, given=given: is_tagged(load(given(d), task="token-classification")),
        )
        for name, given in {
            "lines": lines,
            "lists": lists,
            "spans": lambda d: spanned(d, SPANS),
        }.items()
    },
    "one tag only, in the last column of lines": Case(
        lambda d: load(lines(d, lambda c: c.replace("\n", "\tO\n").replace("\n\tO\n", "\n\n"))),
        "has one tag only .* Check that the tags stand in the last column",
        lambda d: is_tagged(load(lines(d))),
    ),
    "one tag only, in another column": Case(
        lambda d: load(lists(d, ner_tags=[["O"] * len(row) for row in TAGS], ner=TAGS)),
        "has one tag only .* or say which with --label",
        lambda d: is_tagged(
            load(lists(d, ner_tags=[["O"] * len(row) for row in TAGS], ner=TAGS), label="ner")
        ),
    ),
    "an array for rows of tags": Case(
        lambda _: find_task("tagging").decisions([[0.5, 0.5]]),
        "There is an array of shape .* Give what this task's model gives",
        lambda _: len(find_task("tagging").decisions(Ragged.of([[[0.5, 0.5]]]))) == 1,
        OptionError,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_tags_helps(name: str, follow) -> None:
    follow(CASES[name])
