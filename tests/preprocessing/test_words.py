"""What a word is to TF-IDF: with its marks, in one Unicode form, emoji and names of languages."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest

from headstart.preprocessing.terms import FILE_NAME, fit_vectorizer, read_vectorizer


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("यह फ़िल्म बहुत अच्छी है", "यह फ़िल्म बहुत अच्छी है"),
        ("இது நல்ல படம்", "இது நல்ல படம்"),
        ("এই ছবি খুব ভালো", "এই ছবি খুব ভালো"),
        ("كِتَابٌ جَمِيلٌ", "كِتَابٌ جَمِيلٌ"),
        ("שָׁלוֹם עולם", "שָׁלוֹם עולם"),
        ("می‌خواهم بروم", "می‌خواهم بروم"),
        (unicodedata.normalize("NFD", "Café schön"), "café schön"),
        ("C++ and C# or F#, not C", "c++ and c# or f# not c"),
        ("so good👍🏽❤️😀😀!", "so good 👍🏽 ❤️ 😀"),
        ("👨‍👩‍👧 a_b x2 don't #tag", "👨‍👩‍👧 a_b x2 don t tag"),
    ],
)
def test_words_are_whole(text, words):
    expected = {unicodedata.normalize("NFC", word) for word in words.split()}
    terms = fit_vectorizer([text, text], "scratch/tfidf").terms
    assert {term for term in terms if " " not in term} == expected


def test_one_word_in_two_unicode_forms_is_one_term():
    composed, taken_apart = "très déçu", unicodedata.normalize("NFD", "très déçu")
    vectorizer = fit_vectorizer([composed, "tout va bien"], "scratch/tfidf")
    first, second = vectorizer.transform([composed, taken_apart]).toarray()
    assert first.any()
    assert np.array_equal(first, second)


def test_a_vectorizer_of_before_still_reads_words_as_it_learned_them(tmp_path):
    record = {"format": 1, "analyzer": "word", "terms": ["c", "go"], "idf": [1.0, 1.0]}
    (tmp_path / FILE_NAME).write_text(json.dumps(record))
    vectorizer = read_vectorizer(tmp_path, 2, "scratch/tfidf")
    assert vectorizer.transform(["C++"]).toarray().tolist() == [[1.0, 0.0]]
    assert json.loads(vectorizer.files()[FILE_NAME])["format"] == 1
