"""Texts longer than a file's name may be: read where texts stand, refused where a path is meant."""

from __future__ import annotations

import pytest

import headstart as hs
from headstart.errors import HeadstartError

SENTENCES = (
    "银川不大，携程上就只找到几个酒店，一眼看中了绿洲酒店，因为价格不错。",
    "Строка о море, о дожде и о письмах. ",
)


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("form", ["pair", "splits", "columns", "pairs of texts"])
def test_texts_of_any_length_and_script_are_read(sentence, form):
    texts = [sentence * 8 + str(number) for number in range(40)]
    assert all(len(text.encode()) > 255 and len(text) < 1_000 for text in texts)
    labels = [str(number % 2) for number in range(40)]
    source, said = {
        "pair": ((texts, labels), {}),
        "splits": ({"train": (texts[:30], labels[:30]), "test": (texts[30:], labels[30:])}, {}),
        "columns": ({"text": texts, "label": labels}, {}),
        "pairs of texts": ({"a": texts, "b": texts[::-1], "label": labels}, {"text": "a,b"}),
    }[form]
    data = hs.load(source, **said)
    assert len(data.train) + len(data.val) + len(data.test) == 40


@pytest.mark.parametrize("text", [SENTENCES[0] * 8, "x" * 300])
@pytest.mark.parametrize(
    "ask",
    [
        hs.load,
        hs.open,
        hs.evaluate,
        hs.check,
        lambda text: hs.pretrain(text, objective="mlm"),
        lambda text: hs.finetune((["a", "b"] * 20, [0, 1] * 20), start=text),
        lambda text: hs.predict(text, ["a"]),
    ],
)
def test_a_text_where_a_path_is_meant_is_refused(ask, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HeadstartError):
        ask(text)
