"""What is advised of conversations, of several targets and of pairs: done, and then right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from advised import Case, N, told

import headstart as hs
from headstart.data.dividing import without_train
from headstart.errors import DataError, OptionError

SAID = {"role": "user", "content": "Say one."}
ANSWER = {"role": "assistant", "content": "One, then."}


def chats(folder: Path, odd: object, column: str = "messages", **said):
    """Load conversations, the second of which is another."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{column: [SAID, {**ANSWER, "content": f"Answer number {i}."}]} for i in range(N)]
    rows[1] = {column: odd}
    path = folder / "chats.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return hs.load(str(path), **said)


def prompts(folder: Path, second: object = "An answer."):
    """Load prompts with their answers, the second of which is another."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"prompt": f"Say {i}.", "completion": f"{i}, of course."} for i in range(N)]
    rows[1]["completion"] = second
    path = folder / "prompts.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return hs.load(str(path))


def in_two_files(folder: Path, second: str):
    """Load conversations in a file and something in another."""
    for name, row in (("train", {"messages": [SAID, ANSWER]}), ("test", json.loads(second))):
        place = folder / f"{name}.jsonl"
        place.parent.mkdir(parents=True, exist_ok=True)
        rows = [dict(row) for _ in range(N)]
        for number, one in enumerate(rows):
            if "messages" in one:
                one["messages"] = [SAID, {**ANSWER, "content": f"Answer number {number}."}]
        place.write_text("\n".join(json.dumps(one) for one in rows))
    return hs.load(str(folder))


def table(**columns):
    """Return a table of a number, of which a class and another number follow."""
    draw = np.random.default_rng(0).normal(size=200)
    frame = pd.DataFrame({"x": draw, "kind": np.where(draw > 0, "up", "down"), "y": 2 * draw})
    return frame.assign(**columns)


def several(label: str, frame: pd.DataFrame | None = None, **said):
    """Load the table with several targets."""
    return hs.load(table() if frame is None else frame, label=label, **said)


def pairs(folder: Path, turned: str | None, **said):
    """Load pairs of texts that test has too, with the two in each other's place, or does not."""
    rows = [(f"A cat sat on mat {i}.", f"On {i} a cat was sitting.", "yn"[i % 2]) for i in range(N)]
    frame = pd.DataFrame(rows, columns=["premise", "hypothesis", "label"])
    frame["split"] = ["test" if i < 12 else "train" for i in range(N)]
    if turned:
        names = {"premise": "hypothesis", "hypothesis": "premise"}
        frame = pd.concat([frame, frame[:9].rename(columns=names).assign(split=turned)])
    return hs.load(frame.reset_index(drop=True), **said)


def shared(**said):
    """Load pairs of which four have a first text in common."""
    rows = [(f"A story of {i // 4}.", f"It says {i}, and more.", "yn"[i % 2]) for i in range(2 * N)]
    return hs.load(pd.DataFrame(rows, columns=["premise", "hypothesis", "label"]), **said)


def short_chats(folder: Path, **said):
    """Load chats that are answered by one of two words."""
    rows = [
        {"messages": [{**SAID, "content": f"Is {i} even?"}, {**ANSWER, "content": "yn"[i % 2]}]}
        for i in range(N)
    ]
    path = folder / "short.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return hs.load(str(path), **said)


def turns(folder: Path, more: list[dict[str, str]], answer: list[dict[str, str]]):
    """Load prompts and answers in turns, the second of which are these."""
    rows = [{"prompt": [SAID], "completion": [{**ANSWER, "content": f"{i}."}]} for i in range(N)]
    rows[1] = {"prompt": [SAID, *more], "completion": answer}
    path = folder / "turns.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return hs.load(str(path))


def answers(folder: Path, **said):
    """Load prompts that all have one answer, with what else was answered beside it."""
    rows = [
        {"prompt": f"Say {i}.", "completion": "Never.", "other": f"I say {i}."} for i in range(N)
    ]
    path = folder / "answers.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return hs.load(str(path), **said)


def notes(label: str, **said):
    """Load texts with another text beside each, a class, several classes and a measure."""
    rows = [
        {
            "text": f"the text of number {i}",
            "note": f"what was noted of {i}, in some words of its own",
            "topic": "abc"[i % 3],
            "verb": "xy"[i % 2],
            "tags": ("p;q", "p", "q")[i % 3],
            "many": [["p", "q"], ["p"]][i % 2],
            "single": [["p"], ["q"]][i % 2],
            "size": i % 7 / 2,
        }
        for i in range(N)
    ]
    return hs.load(pd.DataFrame(rows), label=label, text="text", **said)


ODD = [{"role": "user", "content": "Hi"}, {"role": "asistant", "content": "Hello"}]
GOOD = [SAID, ANSWER]
UPS = [*["up", "down"] * 99, "up"]
WORD = "a word or two of my own"

CASES = {
    "no list of turns": Case(
        lambda f: chats(f, "hello"), "Correct it, or leave it out", lambda f: chats(f, GOOD)
    ),
    "a role that is none": Case(
        lambda f: chats(f, ODD), "Did you mean 'assistant'", lambda f: chats(f, GOOD)
    ),
    "a turn that is none": Case(
        lambda f: chats(f, ["hello"]),
        "expected a role and a content. Correct it",
        lambda f: chats(f, GOOD),
    ),
    "a turn without text": Case(
        lambda f: chats(f, [SAID, {"role": "assistant", "content": None}]),
        "leave the conversation out",
        lambda f: chats(f, GOOD),
    ),
    "a picture in a turn": Case(
        lambda f: chats(f, [{"role": "user", "content": [{"type": "image"}]}, ANSWER]),
        "expected texts alone. Leave the conversation out",
        lambda f: chats(f, GOOD),
    ),
    "no answer at the end": Case(
        lambda f: chats(f, [SAID]), "Add the answer, or leave", lambda f: chats(f, [SAID, ANSWER])
    ),
    "nothing before the answer": Case(
        lambda f: chats(f, [ANSWER]),
        "Add a turn of the user before it",
        lambda f: chats(f, [SAID, ANSWER]),
    ),
    "an empty answer": Case(
        lambda f: prompts(f, ""),
        "Fill it in, or leave the row out",
        lambda f: prompts(f, "Filled."),
    ),
    "conversations in one file alone": Case(
        lambda f: in_two_files(f / "a", '{"text": "alone", "label": "x"}'),
        "expected the same of all files. Give them in one form",
        lambda f: in_two_files(f / "b", '{"messages": []}'),
        error=DataError,
    ),
    "a task that no part can have": Case(
        lambda _: several("kind:tagging,y"),
        "for one of several targets. Correct it",
        lambda _: several("kind:classification,y"),
        error=OptionError,
    ),
    "a column twice": Case(
        lambda _: several("kind,kind"), "Name each once", lambda _: several("kind,y")
    ),
    "a task of all": Case(
        lambda _: several("kind,y", task="regression"),
        "expected it of each, such as --label",
        lambda _: several("kind,y:regression"),
    ),
    "an empty column": Case(
        lambda _: several("kind,none", table(none=[None] * 200)),
        "Leave it out of --label",
        lambda _: hs.load(table(), label="kind"),
    ),
    "rows without any target": Case(
        lambda _: several(
            "kind,y", table(kind=[None, *["up", "down"] * 99, "up"], y=[None, *range(199)])
        ),
        "such as row 1.* Remove them",
        lambda _: several("kind,y"),
    ),
    "pairs that stand in test and train": told(
        lambda f: pairs(f, "train"), "Leave them out of train", lambda f: pairs(f, None)
    ),
    "a text that many pairs have": told(
        lambda _: shared(), "--group premise", lambda _: shared(group="premise")
    ),
    "answers that are few": told(
        short_chats, "say --task text-generation", lambda f: short_chats(f, task="text-generation")
    ),
    "two turns as an answer": Case(
        lambda f: turns(f, [], [ANSWER, {**ANSWER, "content": "Two."}]),
        "Put the others into the prompt",
        lambda f: turns(f, [ANSWER], [{**ANSWER, "content": "Two."}]),
    ),
    "one answer everywhere": Case(
        answers,
        "Name another column with --label",
        lambda f: answers(f, label="other", task="text-generation"),
    ),
    "texts beside a column of classes": told(
        lambda _: notes("note"), "name it with --label", lambda _: notes("topic")
    ),
    "texts among several targets": Case(
        lambda _: notes("note,topic"), "Leave it out of --label", lambda _: notes("verb,topic")
    ),
    "words as one of several numbers": Case(
        lambda _: notes("topic:regression,verb"),
        "say --label …,topic:classification",
        lambda _: notes("topic:classification,verb"),
    ),
    "a measure among several": told(
        lambda _: notes("size,verb"),
        "say --label …,size:classification otherwise",
        lambda _: notes("size:classification,verb"),
    ),
    "labels in a cell of one of several": told(
        lambda _: notes("tags,verb"),
        "learn 'tags' alone with --separator ';'",
        lambda _: notes("tags", separator=";"),
    ),
    "a list of one among several": told(
        lambda _: notes("single,verb"),
        "learn 'single' alone with --task multi-label",
        lambda _: notes("single", task="multi-label"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_new_targets_helps(name, follow):
    follow(CASES[name])


def test_samples_that_test_holds_are_not_all_that_is_learned_from(heard):
    texts = [f"{WORD}, number {i}" for i in range(N)]
    data = hs.load({"text": texts, "label": [str(i % 2) for i in range(N)]}, label="label")
    with pytest.raises(DataError, match="Give samples that test does not hold") as error:
        without_train(data, data.train.ids.tolist())
    assert len(without_train(data, data.train.ids[:3].tolist()).train) == len(data.train) - 3
    heard(error.value)
