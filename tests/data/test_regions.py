"""Spans of texts as Label Studio and spaCy keep them: tags of words."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from headstart.data import load
from headstart.errors import DataError

NUM = 40


def region(start, end, label, text=None, kind="labels"):
    value = {"start": start, "end": end, kind: [label]} | ({} if text is None else {"text": text})
    return {"value": value, "from_name": "ner", "to_name": "text", "type": kind}


def project(kind="labels", **more):
    """Return tasks of Label Studio, a name and a city in each text."""
    tasks = []
    for i in range(NUM):
        name = f"Ann{i}"
        text = f"{name} lives in Rome since {1900 + i}"
        at = text.index("Rome")
        result = [region(at, at + 4, "LOC", "Rome", kind), region(0, len(name), "PER", name, kind)]
        tasks.append(
            {
                "id": i,
                "data": {"text": text, "source": "web"},
                "annotations": [{"id": i, "result": result, "was_cancelled": False}],
                **more,
            }
        )
    return tasks


def written(folder, tasks):
    path = folder / "export.json"
    path.write_text(json.dumps(tasks))
    return path


def words_of(data):
    splits = (data.train, data.val, data.test)
    sentences = [s.samples.read(i) for s in splits for i in range(len(s))]
    tags = [[data.schema.classes[t] for t in s.targets[i]] for s in splits for i in range(len(s))]
    words = [[s[a:b] for a, b in s.spans] for s in sentences]
    return {" ".join(w): t for w, t in zip(words, tags, strict=True)}


@pytest.mark.parametrize("kind", ["labels", "hypertextlabels"])
def test_regions_of_label_studio_are_tags_of_words(kind, tmp_path):
    data = load(written(tmp_path, project(kind, predictions=[])))
    assert data.schema.task == "token-classification"
    assert words_of(data)["Ann7 lives in Rome since 1907"] == ["B-PER", "O", "O", "B-LOC", "O", "O"]


def test_one_annotation_a_text_counts_and_what_is_left_out_is_said(tmp_path):
    tasks = project()
    first = tasks[0]["annotations"][0]
    tasks[0]["annotations"].append({"result": first["result"][:1], "ground_truth": True})
    tasks[1]["annotations"].append({"result": []})
    tasks[2]["annotations"][0]["was_cancelled"] = True
    tasks[3]["annotations"] = []
    data = load(written(tmp_path, tasks))
    found = words_of(data)
    assert len(found) == NUM - 2
    assert found["Ann0 lives in Rome since 1900"] == ["O", "O", "O", "B-LOC", "O", "O"]
    assert found["Ann1 lives in Rome since 1901"][0] == "B-PER"
    assert any("2 texts have several annotations" in note for note in data.notes)
    assert any("2 texts have no annotation, or a cancelled one" in note for note in data.notes)


def test_a_class_of_the_text_beside_its_regions_is_the_target_unless_tags_are_asked_for(tmp_path):
    tasks = project()
    for i, task in enumerate(tasks):
        choice = {"value": {"choices": [("new", "old")[i % 2]]}, "from_name": "age"}
        task["annotations"][0]["result"].append({**choice, "type": "choices", "to_name": "text"})
    path = written(tmp_path, tasks)
    assert load(path).schema.classes == ("new", "old")
    assert load(path, task="token-classification").schema.classes[1] == "B-LOC"


def test_regions_that_stand_nowhere_are_refused_by_their_record(tmp_path, heard):
    tasks = project()
    tasks[4]["data"] = {"text": "<p>" + tasks[4]["data"]["text"] + "</p>"}
    with pytest.raises(DataError, match=r"No text of record 5 of .*'Rome'") as told:
        load(written(tmp_path, tasks))
    tasks[4] = project()[4]  # exported again, as plain text
    assert load(written(tmp_path, tasks)).schema.task == "token-classification"
    heard(told.value)


def docbin(folder, documents, patch):
    """Load a ``.spacy`` file through a stand-in for spaCy, which has these documents in it."""
    kept = SimpleNamespace(get_docs=lambda vocab: documents)
    main, tokens = ModuleType("spacy"), ModuleType("spacy.tokens")
    main.blank = lambda _: SimpleNamespace(vocab=None)
    tokens.DocBin = lambda: SimpleNamespace(from_disk=lambda path: kept)
    patch.setitem(sys.modules, "spacy", main)
    patch.setitem(sys.modules, "spacy.tokens", tokens)
    (folder / "a.spacy").write_bytes(b"DocBin")
    return load(folder / "a.spacy")


def document(text, ents, *, is_seen=True):
    spans = [SimpleNamespace(start_char=a, end_char=b, label_=label) for a, b, label in ents]
    return SimpleNamespace(text=text, cats={}, ents=spans, has_annotation=lambda what: is_seen)


def test_entities_of_a_docbin_are_tags_of_words(tmp_path, monkeypatch, heard):
    texts = [f"Eve{i} sings" for i in range(NUM)]
    unseen = [document(text, [], is_seen=False) for text in texts]
    with pytest.raises(DataError, match="40 texts without categories and without entities") as told:
        docbin(tmp_path, unseen, monkeypatch)
    seen = [document(text, [(0, text.index(" "), "PER")]) for text in texts]
    data = docbin(tmp_path, [*seen, *unseen[:3]], monkeypatch)  # as it says
    assert data.schema.task == "token-classification"
    assert words_of(data)["Eve5 sings"] == ["B-PER", "O"]
    assert len(words_of(data)) == NUM
    heard(told.value)
