"""N-grams of characters: what scikit-learn counts, in less time."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.sparse import vstack
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from headstart.preprocessing import ngrams as text_ngrams
from headstart.preprocessing.ngrams import count_ngrams, ngram_counts
from headstart.preprocessing.terms import fit_vectorizer

STRANGE = [
    "", "a", "好", "ab",
    "WiFi  很好\n\n不好", "  两  ", "\u2028\u2029 x", "İstanbul ẞ", "👩‍🚀🚀🚀", "\U0010ffff好", "\t"
]  # fmt: skip


def chinese(num: int) -> list[str]:
    draw = random.Random(0)
    return [
        "".join(draw.choices("这家酒店很好不错房间干净服务，。 Wi", k=draw.randrange(40)))
        for _ in range(num)
    ]


@pytest.fixture(params=[300_000, 100], ids=["one lot", "many lots"])
def texts(request, monkeypatch):
    monkeypatch.setattr(text_ngrams, "_CHUNK", request.param)
    return [*chinese(300), *STRANGE]


def theirs(**options) -> CountVectorizer:
    return CountVectorizer(analyzer="char", ngram_range=(1, 3), dtype=np.float32, **options)


@pytest.mark.parametrize("least", [1, 2])
def test_the_ngrams_of_all_texts_are_those_of_scikit_learn(texts, least):
    expected = theirs(min_df=least)
    matrix = expected.fit_transform(texts)
    terms, num_texts = count_ngrams(texts, 3, least_texts=least, most=10**6)
    assert terms == list(expected.get_feature_names_out())
    np.testing.assert_array_equal(num_texts, np.bincount(matrix.indices, minlength=len(terms)))


def test_only_the_most_frequent_ngrams_are_kept(texts):
    terms, _ = count_ngrams(texts, 3, least_texts=1, most=50)
    assert (len(terms), terms) == (50, sorted(terms))
    matrix = theirs(vocabulary=count_ngrams(texts, 3, least_texts=1, most=10**6)[0]).transform(
        texts
    )
    how_often = np.sort(np.asarray(matrix.sum(axis=0)).ravel())[::-1]
    kept = np.asarray(theirs(vocabulary=terms).transform(texts).sum(axis=0)).ravel()
    np.testing.assert_array_equal(np.sort(kept)[::-1], how_often[:50])


def test_a_matrix_has_the_counts_of_scikit_learn_in_the_order_of_the_terms(texts):
    terms, _ = count_ngrams(texts, 3, least_texts=2, most=200)
    random.Random(1).shuffle(terms)
    found = vstack(list(ngram_counts(texts, terms, 3)), format="csr")
    expected = theirs(vocabulary=terms).transform(texts)
    assert (found.dtype, found.shape, (found != expected).nnz) == (np.float32, expected.shape, 0)
    assert found.has_sorted_indices
    assert list(ngram_counts([], terms, 3)) == []
    assert [part.nnz for part in ngram_counts(["", ""], terms, 3)] == [0]


def test_weights_of_characters_are_those_of_scikit_learn(texts):
    ours = fit_vectorizer(texts, "x")
    assert ours.analyzer == "char"
    expected = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2, dtype=np.float32
    ).fit(texts)
    assert ours.terms == list(expected.get_feature_names_out())
    assert np.array_equal(ours.idf, expected.idf_)
    found, wanted = ours.transform(texts), expected.transform(texts)
    assert found.dtype == np.float32
    assert (found != wanted).nnz == 0
