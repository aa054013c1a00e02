"""Terms: what scikit-learn computes, the same after a round trip through one JSON file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from headstart.errors import StartError
from headstart.preprocessing import terms
from headstart.preprocessing.terms import FILE_NAME, fit_vectorizer, writes_without_blanks
from headstart.starts import BuildRequest, build_encoder, find_start, rebuild_encoder

TEXTS = [f"word{i % 37} and word{i % 11} in text number {i}" for i in range(400)]
CHINESE = ["这家酒店的服务很好", "房间不干净，不好", "服务很好，房间干净"] * 3
UNSEEN = ["", "word3 and word5", "nothing known at all", "WORD3 word3 word3 !", "这家 word1"]


def same(a, b) -> bool:
    return (a.dtype, a.shape) == (b.dtype, b.shape) and not (a != b).nnz


def test_weights_are_those_of_scikit_learn():
    ours = fit_vectorizer(TEXTS, "x", pieces=False)
    theirs = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, min_df=2, token_pattern=r"(?u)\b\w+\b"
    ).fit(TEXTS)
    assert ours.terms == list(theirs.get_feature_names_out())
    found, expected = ours.transform(TEXTS + UNSEEN), theirs.transform(TEXTS + UNSEEN)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-6)


def test_words_and_pieces_weigh_alike_and_are_those_of_scikit_learn():
    ours = fit_vectorizer(TEXTS, "x")
    words = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, min_df=2, token_pattern=r"(?u)\b\w+\b"
    ).fit(TEXTS)
    pieces = ours.terms[ours.num_words :]
    every = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True, min_df=3, vocabulary=pieces
    ).fit(TEXTS)
    expected = np.concatenate(
        [part.transform(TEXTS + UNSEEN).toarray() for part in (words, every)], axis=1
    )
    found = ours.transform(TEXTS + UNSEEN)
    np.testing.assert_allclose(found.toarray(), expected * np.sqrt(0.5), atol=1e-6)
    assert (found.dtype, found.format) == (np.float32, "csr")
    assert " word" in pieces
    assert " " not in pieces


def test_many_texts_have_words_alone(monkeypatch):
    monkeypatch.setattr(terms, "PIECED_CHARACTERS", sum(map(len, TEXTS)) - 1)
    assert fit_vectorizer(TEXTS, "x").terms == fit_vectorizer(TEXTS, "x", pieces=False).terms


@pytest.mark.parametrize("texts", [TEXTS, CHINESE], ids=["words", "characters"])
def test_encoder_rebuilds_with_exactly_the_same_transform(texts, tmp_path: Path):
    encoder = build_encoder(find_start("scratch/tfidf"), BuildRequest(texts=texts))
    (name, content), = encoder.preprocess.files().items()  # fmt: skip
    assert name == FILE_NAME
    (tmp_path / name).write_bytes(content)
    again = rebuild_encoder(json.loads(json.dumps(encoder.architecture)), folder=tmp_path)
    assert again.preprocess.files() == encoder.preprocess.files()
    everything = [*texts, *UNSEEN]
    first, second = (e.preprocess.vectorizer.transform(everything) for e in (encoder, again))
    assert same(first, second)
    assert first.nnz > 0
    assert (again.preprocess.kind, again.num_features) == ("terms", encoder.num_features)


def test_network_hands_the_terms_on_and_has_nothing_to_learn():
    encoder = build_encoder(find_start("scratch/tfidf"), BuildRequest(texts=TEXTS))
    weights = torch.from_numpy(encoder.preprocess.vectorizer.transform(TEXTS[:3]).toarray())
    assert torch.equal(encoder(weights), weights)
    assert weights.shape == (3, encoder.num_features)
    assert encoder.layers == []
    assert list(encoder.parameters()) == []
    assert (encoder.start.family, encoder.start.num_parameters) == ("linear", 0)


def test_terms_of_chinese_are_characters_and_of_other_scripts_words():
    chinese = fit_vectorizer(CHINESE, "x")
    assert chinese.analyzer == "char"
    assert {"酒", "酒店", "服务很"} <= set(chinese.terms)
    russian = fit_vectorizer(["хороший фильм", "плохой фильм"], "x", pieces=False)
    assert russian.terms == [
        "плохой", "плохой фильм", "фильм", "хороший", "хороший фильм",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("这家酒店的服务很好", True),
        ("WiFi 很好, breakfast 不好，房间很干净", True),
        ("映画はとても良かった", True),
        ("หนังเรื่องนี้ดีมาก", True),
        ("영화가 아주 좋았다", False),
        ("a film called 好", False),
        ("", False),
        ("12345 !!!", False),
    ],
)
def test_scripts_without_blanks_are_seen(text, answer):
    assert writes_without_blanks([text]) is answer


def test_few_texts_keep_terms_of_one_text_and_many_do_not():
    assert "number" in fit_vectorizer(["a number"], "x").terms
    many = fit_vectorizer(TEXTS, "x")
    assert "number" in many.terms
    assert "399" not in many.terms


def test_texts_without_terms_are_refused():
    with pytest.raises(StartError, match=r"'scratch/tfidf' finds no terms in the 2 texts"):
        build_encoder(find_start("scratch/tfidf"), BuildRequest(texts=["", "!!"]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 3}, "format 3"),
        ({"analyzer": "evil"}, "analyzer 'evil'"),
        ({"terms": ["a", "a"], "idf": [1.0, 1.0]}, "2 terms"),
        ({"terms": ["a"], "idf": [1.0]}, "1 terms"),
        ({"terms": "abc"}, "no list of texts"),
        ({"idf": "x"}, "ValueError"),
        ({"idf": None}, "idf|weights|TypeError"),
    ],
)
def test_damaged_terms_are_refused(change, words, tmp_path: Path):
    encoder = build_encoder(
        find_start("scratch/tfidf"), BuildRequest(texts=["good film", "bad film"])
    )
    record = {**json.loads(encoder.preprocess.files()[FILE_NAME]), **change}
    (tmp_path / FILE_NAME).write_text(json.dumps(record))
    with pytest.raises(StartError, match=rf"damaged.*({words})"):
        rebuild_encoder(encoder.architecture, folder=tmp_path)
    (tmp_path / FILE_NAME).unlink()
    with pytest.raises(StartError, match=f"holds no {FILE_NAME}"):
        rebuild_encoder(encoder.architecture, folder=tmp_path)


def test_options_of_tokens_are_refused():
    with pytest.raises(StartError, match="no use for max_length 64 and pooling 'mean'"):
        build_encoder(
            find_start("scratch/tfidf"), BuildRequest(texts=TEXTS, max_length=64, pooling="mean")
        )


def test_works_without_transformers_tokenizers_and_peft(tmp_path: Path):
    code = """
import sys
for name in ("transformers", "tokenizers", "peft"):
    sys.modules[name] = None
from pathlib import Path
from headstart.errors import StartError
from headstart.starts import (
    BuildRequest, build_encoder, find_start, list_starts, rebuild_encoder
)
assert len(list_starts("text")) > 5
encoder = build_encoder(find_start("scratch/tfidf"), BuildRequest(texts=["good film", "bad film"]))
for name, content in encoder.preprocess.files().items():
    Path(sys.argv[1], name).write_bytes(content)
assert rebuild_encoder(encoder.architecture, folder=Path(sys.argv[1])).num_features == 5
for address in ("scratch/bert-tiny", "pip/all-minilm-l6-v2", "google-bert/bert-base-uncased"):
    try:
        build_encoder(find_start(address), BuildRequest(texts=["good film"]))
    except StartError as error:
        assert f"'{address}' needs 'transformers'" in str(error), error
        extra = "minilm" if address.startswith("pip/") else "text"
        assert str(error).endswith(f" install 'headstart[{extra}]'."), error
    else:
        raise AssertionError(address)
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
