"""Answers of crowds and chats, as MTurk, Toloka, Appen, Labelbox and chat files hold them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from advised import Case, N, jsonl, photos

from headstart.data import load

KINDS = np.where(np.arange(N) % 2, "yes", "no")
TEXTS = [f"a {'good' if i % 2 else 'bad'} thing was said of number {i}" for i in range(N)]
REJECTED = np.arange(N) % 6 == 0


def mturk(**columns):
    """Return answers of three people a task, the third of whom is wrong, some of them rejected."""
    places = np.repeat(np.arange(N), 3)
    worker = np.tile([0, 1, 2], N)
    said = np.where(worker == 2, KINDS[::-1][places], KINDS[places])
    return pd.DataFrame(
        {
            "HITId": [f"3A{place:04d}" for place in places],
            "AssignmentId": [f"9{number}" for number in range(3 * N)],
            "WorkerId": [f"W{number}" for number in worker],
            "AssignmentStatus": np.where(REJECTED[places] & (worker == 1), "Rejected", "Approved"),
            "Input.text": np.array(TEXTS)[places],
            "Answer.feeling.label": said,
            **columns,
        }
    )


def toloka():
    return pd.DataFrame(
        {
            "INPUT:text": TEXTS,
            "OUTPUT:label": KINDS,
            "GOLDEN:label": "",
            "ASSIGNMENT:worker_id": "w",
            "ASSIGNMENT:status": np.where(REJECTED, "REJECTED", "APPROVED"),
        }
    )


def told(data):
    """Return the class of every text."""
    return {
        split.samples.read(i): data.schema.classes[split.targets[i]]
        for split in (data.train, data.val, data.test)
        for i in range(len(split))
    }


def test_most_of_a_crowd_decide_and_rejected_answers_count_for_nothing(tmp_path):
    mturk().to_csv(tmp_path / "batch.csv", index=False)
    data = load(tmp_path / "batch.csv")
    left = {text for text, is_left in zip(TEXTS, REJECTED, strict=True) if is_left}
    assert told(data) == {t: k for t, k in zip(TEXTS, KINDS, strict=True) if t not in left}
    notes = " ".join(data.notes)
    assert f"{len(left)} rejected answers" in notes  # of two that are left each says another
    assert "labelled more than once" in notes
    toloka().to_csv(tmp_path / "assignments.tsv", sep="\t", index=False)
    data = load(tmp_path / "assignments.tsv")
    assert told(data) == {t: k for t, k in zip(TEXTS, KINDS, strict=True) if t not in left}


def test_what_appen_knows_of_an_answer_is_no_input(tmp_path):
    about = {"_unit_id": range(N), "_golden": REJECTED, "_unit_state": "finalized"}
    known = {"feeling:confidence": np.linspace(0.5, 1, N), "feeling_gold": ""}
    frame = pd.DataFrame({**about, "feeling": KINDS, **known, "text": TEXTS})
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv")
    assert (data.schema.modality, data.schema.classes) == ("text", ("no", "yes"))
    assert told(data) == dict(zip(TEXTS, KINDS, strict=True))
    assert "'feeling:confidence'" in " ".join(data.notes)


def _labelbox(value, choice, status="DONE", question="feeling", **row):
    answer = [{"name": one} for one in choice] if isinstance(choice, list) else {"name": choice}
    key = "checklist_answers" if isinstance(choice, list) else "radio_answer"
    classified = [{"name": question, "value": question, key: answer}] if choice else []
    labels = [{"annotations": {"classifications": classified}}]
    project = {"labels": labels, "project_details": {"workflow_status": status}}
    return {"data_row": {"id": "c", "row_data": value, **row}, "projects": {"p": project}}


def test_labelbox_is_read_for_texts_and_images(tmp_path):
    rows = [
        _labelbox(text, kind, "TO_LABEL" if i < 3 else "DONE")
        for i, (text, kind) in enumerate(zip(TEXTS, KINDS, strict=True))
    ]
    data = load(jsonl(tmp_path, rows, "export.ndjson.jsonl"))
    assert told(data) == dict(list(zip(TEXTS, KINDS, strict=True))[3:])
    assert "3 with the status to_label" in " ".join(data.notes)
    photos(tmp_path / "images", lambda i: f"{i}.png")
    rows = [
        _labelbox(f"https://a.example/{i}.png", ["b", str(kind)], external_id=f"{i}.png")
        for i, kind in enumerate(KINDS)
    ]
    data = load(jsonl(tmp_path, rows, "images.jsonl"))
    assert (data.schema.modality, data.schema.task) == ("image", "multi-label")
    assert data.schema.classes == ("b", "no", "yes")


def test_a_chat_of_question_and_answer_is_a_text_and_its_class(tmp_path):
    rows = [
        {
            "messages": [
                {"role": "system", "content": "Say yes or no."},
                {"role": "user", "content": text},
                {"role": "assistant", "content": str(kind)},
            ]
        }
        for text, kind in zip(TEXTS, KINDS, strict=True)
    ]
    assert told(load(jsonl(tmp_path, rows))) == dict(zip(TEXTS, KINDS, strict=True))


def _nested(folder: Path, **said):
    rows = [
        {
            "text": text,
            "annotation": {"label": str(kind), "by": {"status": "done" if i % 5 else "skipped"}},
        }
        for i, (text, kind) in enumerate(zip(TEXTS, KINDS, strict=True))
    ]
    return load(jsonl(folder, rows), **said)


def _two_questions(folder: Path, **said):
    first = [_labelbox(text, str(k)) for text, k in zip(TEXTS, KINDS, strict=True)]
    for row in first:
        labels = row["projects"]["p"]["labels"][0]["annotations"]
        labels["classifications"] += [{"name": "tone", "radio_answer": {"name": "calm"}}]
    return load(jsonl(folder, first), **said)


def _batch(folder: Path, **said):
    mturk(**{"Answer.tone": "calm"}).to_csv(folder / "a.csv", index=False)
    return load(folder / "a.csv", **said)


CASES = {
    "a label inside an object": Case(
        _nested,
        r"found: 'text', 'annotation.label', 'annotation.by.status'.*--label annotation.label",
        lambda f: len(told(_nested(f, label="annotation.label"))) == N - sum(np.arange(N) % 5 == 0),
    ),
    "two questions of Labelbox": Case(
        _two_questions,
        r"answers the questions 'feeling', 'tone'; .* Name it: --label feeling",
        lambda f: told(_two_questions(f, label="feeling")) == dict(zip(TEXTS, KINDS, strict=True)),
    ),
    "two questions of a crowd": Case(
        _batch,
        r"to 2 questions .* Name it: --label Answer.feeling.label",
        lambda f: len(told(_batch(f, label="Answer.feeling.label"))) == N - REJECTED.sum(),
    ),
    "no choice in Labelbox": Case(
        lambda f: load(jsonl(f, [_labelbox(text, None) for text in TEXTS])),
        "without a choice of classes; .* Export such a project",
        lambda f: load(jsonl(f, [_labelbox(t, str(k)) for t, k in zip(TEXTS, KINDS, strict=True)])),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_crowds_helps(name: str, follow) -> None:
    follow(CASES[name])


def test_a_status_inside_an_object_leaves_rows_out(tmp_path):
    rows = [
        {"text": text, "meta": {"status": "done" if i % 5 else "rejected", "answer": str(kind)}}
        for i, (text, kind) in enumerate(zip(TEXTS, KINDS, strict=True))
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = load(tmp_path / "a.jsonl", label="meta.answer")
    assert len(told(data)) == sum(bool(i % 5) for i in range(N))


def test_very_many_classes_are_looked_at_without_a_librarys_warning(recwarn):
    classes = np.repeat(np.arange(400), 4)
    close = classes + np.random.default_rng(0).normal(0, 0.1, len(classes))
    data = load(
        pd.DataFrame({"x": close, "z": close[::-1], "label": [f"kind {k}" for k in classes]}),
        label="label",
    )
    assert any("'x' alone predicts" in note for note in data.notes)
    assert not recwarn.list
