"""What a machine has measured is found again on that machine, and on no other."""

import json

import pytest

from headstart import cores
from headstart.storage import measured
from headstart.storage.measured import recall, remember

QUESTION = {"what": "pass", "network": "abc", "threads": 2}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


def test_an_answer_is_found_again_and_no_other_question_has_it():
    assert recall(QUESTION) is None
    assert remember(QUESTION, {"engine": "torch", "ms": 1.5}, about="engine of a pass")
    assert recall(dict(reversed(QUESTION.items()))) == {"engine": "torch", "ms": 1.5}
    assert recall({**QUESTION, "threads": 1}) is None
    assert remember(QUESTION, {"engine": "other"}, about="a later measurement")
    assert recall(QUESTION) == {"engine": "torch", "ms": 1.5}  # the first stands: runs stay alike


def test_another_processor_asks_anew(monkeypatch):
    remember(QUESTION, {"engine": "torch"}, about="engine of a pass")
    monkeypatch.setattr(measured, "this_machine", lambda: {"processor": "another", "cores": 2})
    assert recall(QUESTION) is None


def test_a_damaged_answer_is_none(tmp_path):
    remember(QUESTION, {"engine": "torch"}, about="engine of a pass")
    (record,) = (tmp_path / "cache").rglob("entry.json")
    other = json.dumps({**json.loads(record.read_text()), "answer": {"engine": 1}})
    for text in ("", "{}", json.dumps({"files": {}, "answer": [1]}), other):
        record.write_text(text)
        assert recall(QUESTION) is None


def test_without_a_place_nothing_is_remembered(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file" / "cache"))
    assert not remember(QUESTION, {"engine": "torch"}, about="engine of a pass")
    assert recall(QUESTION) is None


def test_processors_of_one_name_differ_by_what_they_can_do(tmp_path):
    told = {}
    for name, flags in (("a", "avx2 avx512_bf16"), ("b", "avx2"), ("c", "avx512_bf16 avx2")):
        (tmp_path / name / "proc").mkdir(parents=True)
        text = f"processor : 0\nmodel name : Common Name\nflags : {flags}\n\nprocessor : 1\n"
        (tmp_path / name / "proc/cpuinfo").write_text(text)
        told[name] = cores.processor(tmp_path / name)
    assert told["a"] == told["c"] != told["b"]
    assert told["a"].startswith("Common Name ")
    assert cores.processor(tmp_path / "nowhere")
