"""Words counted as numbers: term for term and bit for bit what scikit-learn counts."""

import sys
import unicodedata

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer

from headstart.preprocessing import terms, words
from headstart.preprocessing.terms import TermVectorizer, _weigh, fit_vectorizer

ODD = [
    "naïve Café", "C++ and c# a+ b#x 5+ a++b", "so good👍🏽❤️😀😀!", "यह फ़िल्म बहुत अच्छी", "", "\n\n",
    "x\ny  z_1", "été e\u0301te\u0301 ÉTÉ", "İstanbul ΣΑΣ ς", "tab\tsep\x1c a", "one", "ａ１ ﬁne",
]  # fmt: skip


def some_texts(number, seed=0, vocabulary=400):
    draw = np.random.default_rng(seed)
    shares = 1 / np.arange(1, vocabulary + 1)
    lengths = draw.integers(1, 12, number)
    drawn = draw.choice(vocabulary, int(lengths.sum()), p=shares / shares.sum())
    parts = np.split(drawn, np.cumsum(lengths)[:-1])
    texts = [" ".join(f"W{i}" if i % 3 else f"wörd{i}" for i in part) for part in parts]
    return [text + " " + ODD[i % len(ODD)] if i % 5 == 0 else text for i, text in enumerate(texts)]


def by_scikit_learn(texts, most):
    """Return what TF-IDF was before words were counted here."""
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        dtype=np.float32,
        token_pattern=words.word_pattern(),
        preprocessor=lambda text: unicodedata.normalize("NFC", text.lower()),
        min_df=1 if len(texts) < terms.SMALL else 2,
        max_features=most,
    )
    return vectorizer, vectorizer.fit_transform(texts)


@pytest.mark.parametrize(
    ("number", "most", "characters", "at_once"),
    [
        (150, 50_000, 2_000_000, 2_000_000),  # every term counts
        (3_000, 50_000, 2_000_000, 2_000_000),
        (3_000, 700, 5_000, 1_000),  # ties at the limit; several lots, several parts
        (3_000, 700, 1, 1),  # a lot a text, a part a word
    ],
)
def test_terms_and_weights_are_those_of_scikit_learn(
    number, most, characters, at_once, monkeypatch
):
    monkeypatch.setattr(terms, "MAX_TERMS", most)
    monkeypatch.setattr(words, "CHUNK_CHARACTERS", characters)
    monkeypatch.setattr(words, "COUNTED_AT_ONCE", at_once)
    texts = some_texts(number)
    expected, weights = by_scikit_learn(texts, most)
    learned = fit_vectorizer(texts, "texts", pieces=False)
    assert learned.terms == expected.get_feature_names_out().tolist()
    assert np.array_equal(learned.idf, expected.idf_)
    for given, wanted in ((texts, weights), (ODD, expected.transform(ODD))):
        found = learned.transform(given)
        assert found.dtype == np.float32
        assert found.shape == wanted.shape
        assert (found != wanted).nnz == 0
        assert found.has_sorted_indices


def test_terms_that_no_text_can_hold_have_weights_of_zero():
    strange = ["a b c", "a  b", "not one", "known"]
    vectorizer = TermVectorizer(strange, np.ones(4), "word")
    assert vectorizer.transform(["a b c", "Known not"]).toarray().tolist() == [
        [0.0] * 4,
        [0.0, 0.0, 0.0, 1.0],
    ]
    alone = TermVectorizer(["a b c"], np.ones(1), "word")
    assert alone.transform(["a b c", ""]).toarray().tolist() == [[0.0], [0.0]]


def test_a_pair_does_not_reach_into_the_next_text():
    learned = fit_vectorizer(["a b", "c d"] * 3, "texts", pieces=False)
    assert learned.terms == ["a", "a b", "b", "c", "c d", "d"]


def test_learning_makes_few_calls_for_a_text():
    # A guard of linear cost, and of what it was: a look-up for every word and every pair of words.
    def calls(number):
        texts = [
            f"w{i % 97} w{i % 89} w{i % 83} w{i % 79} w{i % 73} w{i % 71}" for i in range(number)
        ]
        count = 0

        def note(frame, event, argument):
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            fit_vectorizer(texts, "texts", pieces=False).transform(texts)
        finally:
            sys.setprofile(None)
        return count

    calls(2_000)  # imports
    few, many = calls(20_000), calls(60_000)
    assert many - few < 20 * 40_000
    assert many / few == pytest.approx(3, rel=0.6)


@pytest.mark.parametrize("chunk", [1, 40, 333, 10_000])
def test_ngrams_of_many_lots_are_counted_as_of_one(chunk, monkeypatch):
    from sklearn.feature_extraction.text import CountVectorizer

    from headstart.preprocessing import ngrams

    draw = np.random.default_rng(chunk)
    shares = 1 / np.arange(1, 91)
    texts = [
        "".join(chr(0x4E00 + i) for i in draw.choice(90, 12, p=shares / shares.sum()))
        for _ in range(150)
    ]
    monkeypatch.setattr(ngrams, "_CHUNK", chunk)
    found, num_texts = ngrams.count_ngrams(texts, 3, least_texts=2, most=10**6)
    reference = CountVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2)
    counts = reference.fit_transform(texts)
    assert found == reference.get_feature_names_out().tolist()
    assert num_texts.tolist() == (counts > 0).sum(axis=0).A1.tolist()


def test_counts_are_weighed_as_scikit_learn_does_to_the_bit():
    draw = np.random.default_rng(0)
    counts = random_array((60, 400), density=0.1, rng=draw, format="csr", dtype=np.float32)
    counts.data = draw.integers(1, 9, counts.nnz).astype(np.float32)
    counts[7].data[:] = 1
    idf = draw.uniform(1, 8, 400).astype(np.float32)
    weigher = TfidfTransformer(sublinear_tf=True)
    weigher.idf_ = idf
    expected = weigher.transform(csr_matrix(counts))
    found = _weigh(idf, csr_matrix(counts))
    assert found.data.dtype == np.float32
    assert np.array_equal(found.toarray(), expected.toarray())
