"""Questions with contexts, in the forms in which people have them, and what is refused of them."""

from __future__ import annotations

import copy
import json

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.errors import DataError
from headstart.types.questions import GoldAnswers

CONTEXTS = [f"Article {i}. Ada{i} lives in Rome{i} and Bob{i} in Rome{i} too." for i in range(12)]


def rows(answers=None):
    """Return a row a question: two of each context, one of them without an answer."""
    made = []
    for i, context in enumerate(CONTEXTS):
        told = {"text": [f"Ada{i}", f"Ada{i} lives"], "answer_start": [context.index("Ada")] * 2}
        made.append({"question": f"Who is {i}?", "context": context, "answers": told})
        none = {"text": [], "answer_start": []}
        made.append({"question": f"How old is {i}?", "context": context, "answers": none})
    return made


def squad_of(made, **more):
    paragraphs = {}
    for number, row in enumerate(made):
        told = row["answers"]
        texts = zip(told["text"], told["answer_start"], strict=True)
        asked = {
            "id": str(number),
            "question": row["question"],
            "answers": [{"text": text, "answer_start": start} for text, start in texts],
            "is_impossible": not told["text"],
            **more,
        }
        paragraphs.setdefault(row["context"], []).append(asked)
    each = [{"context": text, "qas": qas} for text, qas in paragraphs.items()]
    return {"version": "v2.0", "data": [{"title": "All", "paragraphs": each}]}


def targets_of(dataset):
    return {
        str(split.samples.read(i).first): split.targets[i]
        for split in (dataset.train, dataset.val, dataset.test)
        for i in range(len(split))
    }


def as_is(folder):
    path = folder / "squad.json"
    path.write_text(json.dumps(squad_of(rows())))
    return path


def lines(folder):
    path = folder / "flat.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows()))
    return path


def pandas_csv(folder):
    path = folder / "flat.csv"
    frame = pd.DataFrame(rows())
    arrays = [{n: np.array(v) for n, v in cell.items()} for cell in frame["answers"]]
    frame["answers"] = [str(cell) for cell in arrays]  # "{'text': array(['Ada0', …"
    frame.to_csv(path, index=False)
    return path


def parquet(folder):
    path = folder / "flat.parquet"
    pd.DataFrame(rows()).to_parquet(path)
    return path


@pytest.mark.parametrize("write", [as_is, lines, pandas_csv, parquet])
def test_every_form_gives_the_same_answers_at_their_places(write, tmp_path):
    dataset = hs.load(str(write(tmp_path)))
    assert dataset.schema.task == "question-answering"
    assert dataset.schema.sides == ("question", "context")
    told = targets_of(dataset)
    assert len(told) == 24
    for i, context in enumerate(CONTEXTS):
        found = told[f"Who is {i}?"]
        assert found.texts == (f"Ada{i}", f"Ada{i} lives")
        assert found.context == context
        assert context[slice(*found.span)] == f"Ada{i}"
        assert told[f"How old is {i}?"].texts == ()
    assert "12 of 24 questions have no answer" in " ".join(dataset.notes)


def test_what_is_said_of_the_columns_can_be_given(tmp_path, heard):
    found = hs.load(str(lines(tmp_path)))
    said = next(note for note in found.notes if "--task question-answering" in note)
    assert said.startswith("Column 'answers' answers column 'question' out of column 'context'")
    given = hs.load(str(lines(tmp_path)), task="question-answering")
    assert given.fingerprint == found.fingerprint
    heard(said)


def test_questions_of_one_context_stay_on_one_side(tmp_path):
    dataset = hs.load(str(as_is(tmp_path)))
    sides = [
        {str(split.samples.read(i).second) for i in range(len(split))}
        for split in (dataset.train, dataset.val, dataset.test)
    ]
    assert all(sides)
    assert "Questions of one 'context' belong together" in " ".join(dataset.notes)
    assert len(set.union(*sides)) == sum(map(len, sides))


def test_splits_of_squad_are_those_of_its_files(tmp_path):
    made = rows()
    for name, some in (("train-v2.0", made[:18]), ("dev-v2.0", made[18:])):
        (tmp_path / f"{name}.json").write_text(json.dumps(squad_of(some)))
    dataset = hs.load(str(tmp_path))
    assert len(dataset.val) == 6
    assert {str(dataset.val.samples.read(i).second) for i in range(6)} == set(CONTEXTS[9:])
    counted = [one for one in dataset.notes if "have no answer" in one]
    for name, number in (("train-v2.0", "9 of 18"), ("dev-v2.0", "3 of 6")):
        assert sum(f"{name}.json: {number} questions" in one for one in counted) == 1
    assert sum("--task question-answering" in one for one in dataset.notes) == 1


def test_columns_of_other_names_are_said(tmp_path):
    table = pd.DataFrame(
        {
            "asked": [f"Who is {i}?" for i in range(12)],
            "page": CONTEXTS,
            "reply": [f"Ada{i}" for i in range(12)],
        }
    )
    path = tmp_path / "faq.csv"
    table.to_csv(path, index=False)
    said = {"text": "asked,page", "label": "reply", "task": "question-answering"}
    told = targets_of(hs.load(str(path), **said))
    assert told["Who is 3?"].span == (CONTEXTS[3].index("Ada3"), CONTEXTS[3].index("Ada3") + 4)
    table["answer_start"] = [context.index("Ada") for context in CONTEXTS]
    renamed = table.rename(columns={"asked": "question", "page": "context", "reply": "answer"})
    renamed.to_csv(path, index=False)
    assert hs.load(str(path)).schema.task == "question-answering"  # known by its columns


def test_an_answer_beside_its_place_is_found_where_it_stands_once():
    made = rows()
    made[0]["answers"]["answer_start"] = [3, 3]
    dataset = hs.load(pd.DataFrame(made))
    assert targets_of(dataset)["Who is 0?"].span == (CONTEXTS[0].index("Ada0"),) * 1 + (
        CONTEXTS[0].index("Ada0") + 4,
    )
    assert "2 answers did not stand at their places" in " ".join(dataset.notes)


def elsewhere(row):
    row["answers"] = {"text": ["Rome2"], "answer_start": [0]}


def nowhere(row):
    row["answers"] = {"text": ["Paris"], "answer_start": [4]}


def bare(row):
    row["context"] = " "


def silent(row):
    row["question"] = None


def of_numbers(row):
    row["answers"] = [1, 2]


def uneven(row):
    row["answers"] = {"text": ["Ada2", "Rome2"], "answer_start": [4]}


@pytest.mark.parametrize("task", ["question-answering", "auto"])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (uneven, r"Column 'answers' holds .* in row 5"),
        (elsewhere, r"'Rome2' of row 5 of .* stands there 2 times, where its place is 0"),
        (nowhere, r"The answer 'Paris' of row 5 of .* does not stand in its context"),
        (bare, r"Column 'context' is empty in row 5"),
        (silent, r"Column 'question' is empty in row 5"),
        (of_numbers, r"Column 'answers' holds '\[1, 2\]' in row 5"),
    ],
)
def test_what_cannot_be_learned_is_refused_by_its_row(change, match, task, tmp_path, heard):
    def load(made):
        path = tmp_path / "a.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in made))
        return hs.load(str(path), task=task)

    made = rows()
    whole = copy.deepcopy(made[4])
    change(made[4])
    with pytest.raises(DataError, match=match) as told:
        load(made)
    assert len(targets_of(load([*made[:4], *made[5:]]))) == 23  # the row left out
    made[4] = whole
    assert len(targets_of(load(made))) == 24  # or corrected
    heard(told.value)


def test_squad_that_contradicts_itself_is_refused(tmp_path, heard):
    path = tmp_path / "squad.json"
    for said, match in (
        (True, "has answers and is said to be impossible"),
        (False, "has no answer and is not said to be impossible"),
    ):
        path.write_text(json.dumps(squad_of(rows(), is_impossible=said)))
        with pytest.raises(DataError, match=match) as told:
            hs.load(str(path))
        path.write_text(json.dumps(squad_of(rows())))
        assert hs.load(str(path)).schema.task == "question-answering"
        heard(told.value)
    path.write_text(json.dumps({"data": [{"title": "a", "paragraphs": []}]}))
    with pytest.raises(DataError, match="has articles and no questions") as told:
        hs.load(str(path))
    heard(told.value)


def test_files_of_two_forms_are_refused(tmp_path, heard):
    lines(tmp_path).rename(tmp_path / "train.jsonl")
    other = tmp_path / "test.jsonl"
    other.write_text("\n".join(json.dumps({"question": "a b c", "answers": "d"}) for _ in range(9)))
    with pytest.raises(DataError, match=r"questions with contexts and test.jsonl") as no:
        hs.load(str(tmp_path))
    other.write_text("\n".join(json.dumps(row) for row in rows()[:6]))
    assert len(hs.load(str(tmp_path)).test) == 6
    heard(no.value)


def test_nothing_to_learn_and_other_columns_are_refused(heard):
    made = rows()
    frame = pd.DataFrame([row for row in made if not row["answers"]["text"]])
    frame["right"] = [row["answers"] for row in made if row["answers"]["text"]]
    with pytest.raises(DataError, match="no question with an answer") as told:
        hs.load(frame)
    frame["answers"] = frame.pop("right")
    assert hs.load(frame).schema.task == "question-answering"
    heard(told.value)
    plain = pd.DataFrame({"one": ["a b"] * 12, "other": CONTEXTS, "label": ["x", "y"] * 6})
    with pytest.raises(DataError, match="expects answers that stand in a context") as told:
        hs.load(plain, task="question-answering")
    plain["label"] = [context[:9] for context in CONTEXTS]
    found = hs.load(plain, task="question-answering", text="one,other")
    assert found.schema.sides == ("one", "other")
    heard(told.value)


def test_answers_are_their_json_and_can_be_copied():
    one = GoldAnswers(["Ada", "她"], [3, 7], "Hi Ada 她")
    assert json.loads(one) == ["Ada", "她"]
    again = GoldAnswers.read(str(one))
    assert again.texts == one.texts
    assert again.context == ""
    made = one.__reduce__()
    assert made[0](*made[1]).span == (3, 6)
    with pytest.raises(ValueError, match="no list"):
        GoldAnswers.read('{"a": 1}')
