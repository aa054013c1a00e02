"""What is advised of conversations, of several targets and of pairs: done, and then right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from advised import Case, N

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
