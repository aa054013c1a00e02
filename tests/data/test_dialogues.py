"""Conversations in the forms that people have them: chats, prompts with answers, texts alone."""

import json

import pytest

from headstart.data.options import ReadOptions
from headstart.data.sources.annotations import settle
from headstart.data.sources.dialogues import turns_of
from headstart.data.sources.formats import open_table
from headstart.errors import DataError
from headstart.types import Conversation

TWICE = ("user", "Hi"), ("assistant", "Hello")
IN_PARTS = [{"type": "text", "text": "1+1?"}]


def read(tmp_path, rows, **said):
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    options = ReadOptions(**said)
    return settle([(open_table(path, path.name, options), None)], options)


def chat(*turns, names=("role", "content")):
    return [dict(zip(names, turn, strict=True)) for turn in turns]


def test_chats_are_read_with_what_was_said_before_the_last_answer(tmp_path):
    rows = [
        {"messages": chat(("system", "Be brief."), ("user", "1+1?"), ("assistant", "2"))},
        {"messages": chat(*TWICE, ("user", "Bye"), ("assistant", "So long"))},
    ]
    [(table, _)], options, said = read(tmp_path, rows)
    prompts, answers = table.values("prompt"), table.values("answer")
    assert answers == ["2", "So long"]
    assert prompts[0].turns == (("system", "Be brief."), ("user", "1+1?"))
    assert prompts[1] == "user: Hi\nassistant: Hello\nuser: Bye"
    assert (options.label, options.text, options.task) == ("answer", "prompt", "text-generation")
    assert "answers of the assistant" in said[0].sentence


@pytest.mark.parametrize(
    ("row", "turns", "answer"),
    [
        ({"prompt": "1+1?", "completion": "2"}, (("user", "1+1?"),), "2"),
        ({"prompt": "1+1?", "response": "2"}, (("user", "1+1?"),), "2"),
        (
            {"instruction": "Add.", "input": "1, 1", "output": "2"},
            (("user", "Add.\n\n1, 1"),),
            "2",
        ),
        ({"instruction": "Add.", "input": "", "output": "2"}, (("user", "Add."),), "2"),
        (
            {"prompt": chat(("user", "1+1?")), "completion": chat(("assistant", "2"))},
            (("user", "1+1?"),),
            "2",
        ),
        (
            {"conversations": chat(("human", "1+1?"), ("gpt", "2"), names=("from", "value"))},
            (("user", "1+1?"),),
            "2",
        ),
        (
            {"messages": chat(("user", IN_PARTS), ("assistant", "2"))},
            (("user", "1+1?"),),
            "2",
        ),
    ],
)
def test_pairs_and_other_forms_become_the_same(tmp_path, row, turns, answer):
    [(table, _)], options, _ = read(tmp_path, [row, row])
    assert table.values("prompt")[0].turns == turns
    assert table.values("answer")[0] == answer
    assert options.task == "text-generation"


def test_texts_alone_are_read_where_the_task_is_said(tmp_path):
    rows = [{"text": "Once upon a time."}, {"text": " "}, {"text": "The end."}]
    [(table, _)], _, said = read(tmp_path, rows, task="text-generation")
    assert table.values("answer") == ["Once upon a time.", "The end."]
    assert not isinstance(table.values("prompt")[0], Conversation)
    assert "1 empty rows are left out" in said[0].sentence


def test_other_tables_stay_as_they_are(tmp_path):
    rows = [{"text": "good film", "label": "pos"}, {"text": "bad film", "label": "neg"}]
    [(table, _)], options, _ = read(tmp_path, rows)
    assert table.columns == ["text", "label"]
    assert options.task == "auto"
    rows = [{"question": "1+1?", "answer": "2"}]
    [(table, _)], _, _ = read(tmp_path, rows)
    assert "prompt" not in table.columns
    [(table, _)], _, _ = read(tmp_path, rows, task="text-generation")
    assert table.values("prompt")[0].turns == (("user", "1+1?"),)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"messages": chat(("user", "Hi"))}, "row 2 of chats.jsonl ends with a turn of 'user'"),
        ({"messages": chat(("assistant", "Hi"))}, "has an answer alone"),
        ({"messages": chat(("user", "Hi"), ("asistant", "Hi"))}, "Did you mean 'assistant'"),
        ({"messages": chat(("user", "Hi"), ("assistant", None))}, "Turn 2 of row 2 of chats.jsonl"),
        ({"messages": "hello"}, "row 2 of chats.jsonl holds no list of turns"),
        ({"messages": ["hello"]}, "Turn 1 of row 2"),
        ({"messages": chat(("user", [{"type": "image"}]))}, "parts that are no texts"),
    ],
)
def test_what_is_no_conversation_is_refused_by_its_place(tmp_path, row, words):
    good = {"messages": chat(("user", "Hi"), ("assistant", "Hello"))}
    with pytest.raises(DataError, match=r"row 2 of chats\.jsonl") as error:
        read(tmp_path, [good, row, good])
    assert words in str(error.value)


@pytest.mark.parametrize("column", ["prompt", "completion"])
def test_an_empty_prompt_or_answer_is_refused_by_its_place(tmp_path, column):
    rows = [{"prompt": "1+1?", "completion": "2"}, {"prompt": "2+2?", "completion": "4"}]
    rows[1][column] = ""
    with pytest.raises(DataError, match=rf"Column '{column}' is empty in row 2 of chats\.jsonl"):
        read(tmp_path, rows)


def test_turns_may_stand_in_a_cell_as_json():
    cell = json.dumps(chat(("user", "Hi"), ("bot", "Hello")))
    assert turns_of(cell, "row 1") == [("user", "Hi"), ("assistant", "Hello")]
