"""Pieces of words: what scikit-learn's analyzer of characters inside words counts."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from headstart.preprocessing import pieces as module
from headstart.preprocessing.pieces import PieceTable, count_pieces

ROCKETS = "\U0001f469\u200d\U0001f680\U0001f680 !!"
STRANGE = ["", " ", "a", "Ab  c\n\nd", "\u2003wide\u2028", "naïve café", ROCKETS, "\U0010ffff!"]


@pytest.fixture(params=[500_000, 200], ids=["one lot", "many lots"])
def texts(request, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", request.param)
    draw = random.Random(0)
    words = ["refund", "refunded", "Free!!", "£100", "win", "ok", "I", "прошу", "ñandú"]
    lines = [" ".join(draw.choices(words, k=draw.randrange(9))) for _ in range(300)]
    return [*lines, *STRANGE, *lines[:20]]


def _theirs(**options):
    return CountVectorizer(analyzer="char_wb", ngram_range=(1, 5), dtype=np.float32, **options)


@pytest.mark.parametrize("least", [1, 3])
def test_pieces_are_those_of_scikit_learn_but_for_a_blank_alone(texts, least):
    expected = _theirs(min_df=least)
    matrix = expected.fit_transform(texts)
    names = expected.get_feature_names_out().tolist()
    counted = np.bincount(matrix.indices, minlength=len(names))
    wanted = {name: num for name, num in zip(names, counted.tolist(), strict=True) if name != " "}
    found, num_texts = count_pieces(texts, least_texts=least, most=10**6)
    assert found == sorted(found)
    assert dict(zip(found, num_texts.tolist(), strict=True)) == wanted


def test_a_matrix_has_the_counts_of_scikit_learn_in_the_order_of_the_pieces(texts):
    known, _ = count_pieces(texts, least_texts=2, most=150)
    random.Random(1).shuffle(known)
    wanted = _theirs(vocabulary=known).transform(texts).toarray()
    parts = list(PieceTable(known).counts(texts))
    found = np.concatenate([part.toarray() for part in parts])
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == np.float32


def test_only_the_most_frequent_are_kept_and_letters_are_bounded(texts, monkeypatch):
    every, _ = count_pieces(texts, least_texts=1, most=10**6)
    few, _ = count_pieces(texts, least_texts=1, most=40)
    totals = _theirs(vocabulary=every).transform(texts).sum(axis=0).A1
    kept = [totals[every.index(piece)] for piece in few]
    assert sorted(kept) == sorted(totals)[-40:]
    monkeypatch.setattr(module, "_MOST_LETTERS", 5)
    found, _ = count_pieces(texts, least_texts=1, most=10**6)
    assert len(set("".join(found))) == 5


def test_texts_without_pieces():
    assert count_pieces(["", " "], least_texts=1, most=9)[0] == []
    assert next(PieceTable(["ab"]).counts(["zz", ""])).nnz == 0
