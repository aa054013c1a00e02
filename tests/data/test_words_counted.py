"""Of texts with tags words are counted, and said to be words; a slip is told by its place."""

from __future__ import annotations

import numpy as np
import pytest

import headstart as hs
from headstart.auditing.counts import AUDIT
from headstart.errors import DataError
from headstart.tasks import TASKS, find_task

LINES = [("Ada", "PER"), ("lives", "O"), ("in", "O"), ("Rome", "LOC"), (".", "O")]


def conll(num: int, tag: str = "B-{}") -> str:
    """Return sentences, each with five words."""
    row = "\n".join(f"{w} {t if t == 'O' else tag.format(t)}" for w, t in LINES)
    return "\n\n".join([row] * num) + "\n"


def test_words_are_said_to_be_words(tmp_path):
    (tmp_path / "train.txt").write_text(conll(6))
    (tmp_path / "test.txt").write_text(conll(2, "I-{}").replace("I-PER", "I-ORG"))
    data = hs.load(str(tmp_path))
    told = [finding.sentence for finding in data.findings]
    few = next(one for one in told if "fewer than 10" in one)
    assert few.startswith("Tags with fewer than 10 training words: ")
    assert "'B-ORG' (0)" in few
    assert "Tags without test words, so without test figures: 'B-PER'." in told
    sentence = AUDIT.run(data, None)[0].finding.sentence
    num = int((np.asarray(data.train.targets.whole) == 0).sum())
    assert sentence.startswith(f"Training words of 7 tags: 'O' {num}, ")


@pytest.mark.parametrize("name", [n for n in TASKS if find_task(n).has_classes])
def test_one_of_them_is_no_several(name):
    task = find_task(name)
    assert task.asked(None, 1) == f"1 {task.words.one}"
    assert task.asked(None, 2) == f"2 {task.words.several}"


@pytest.mark.parametrize("place", [3, 9, 17])
@pytest.mark.parametrize("slip", ["Rome", "New York B-LOC", "Rome O B-LOC x"])
@pytest.mark.parametrize("name", ["train.txt", "names.conll", "names"])
def test_a_line_of_other_columns_is_told_by_its_place(name, slip, place, tmp_path):
    lines = conll(12).split("\n")
    lines[place] = slip
    (tmp_path / name).write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"Line {place + 1} of {name} has .* Correct the line"):
        hs.load(str(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "Two words\n\nThree more words\nOne\n" * 8,
        "Dear Ada\nHow are YOU\n\nWe met in ROME\nI am I\n" * 6,
        "A B\n\nC\nD\n" * 9,
    ],
)
def test_prose_is_not_taken_for_words_with_tags(text, tmp_path):
    (tmp_path / "notes.txt").write_text(text)
    with pytest.raises(DataError, match="Expected a folder per class"):
        hs.load(str(tmp_path))
