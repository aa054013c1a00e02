"""A corpus as token ids on the disk: the tokenizer's own, kept, and made in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.events import listen
from headstart.preprocessing import corpus as corpora
from headstart.preprocessing.corpus import CorpusJob, encode_corpus, is_encoded
from headstart.preprocessing.vocabulary import (
    supported_size,
    train_byte_tokenizer,
    train_tokenizer,
)
from headstart.types import Stretch

pytest.importorskip("tokenizers")

TEXTS = ["The cat sat on the mat.", "", "unbelievable cats", "  ", "A dog, too: it barks."]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


def stretches(texts: list[str] = TEXTS) -> Iterator[Stretch]:
    """Yield texts, each in two parts, every other one held out."""
    for number, text in enumerate(texts):
        middle = text.find(" ")
        held_out = number % 2 == 0
        if middle > 0:
            yield Stretch(text[:middle], False, held_out)
            text = text[middle:]
        yield Stretch(text, True, held_out)


def job_of(**how) -> CorpusJob:
    tokenizer = train_tokenizer(TEXTS * 3, "here", vocab_size=60)
    return replace(CorpusJob(stretches, tokenizer, "cats", "key", sum(map(len, TEXTS))), **how)


def test_ids_are_the_tokenizers_and_empty_documents_are_left_out():
    job = job_of()
    found = encode_corpus(job)
    ids, _ = job.tokenizer.encode([text for text in TEXTS if text.strip()])
    made = [part.tolist() for part in np.split(found.ids, found.offsets[1:-1])]
    assert made == [one[1:-1].tolist() for one in ids]
    assert found.is_held_out.tolist() == [True, True, True]
    assert isinstance(found.ids, np.memmap)


def test_words_begin_where_the_tokenizer_or_a_segmenter_says():
    found = encode_corpus(job_of())
    text = "".join(
        ("|" if begins else "") + job_of().tokenizer.token(one)
        for one, begins in zip(found.ids, found.begins, strict=True)
    )
    assert text == "|the|cat|sat|on|the|mat|.|unbelievable|cats|a|dog|,|too|:|it|barks|."

    def every_fourth(piece: str) -> np.ndarray:
        return np.arange(0, len(piece), 4)

    other = encode_corpus(job_of(key="other", segment=every_fourth))
    assert other.begins.tolist() != found.begins.tolist()


def test_what_was_made_once_is_opened_and_what_is_damaged_is_made_again(tmp_path: Path):
    job = job_of()
    assert not is_encoded(job)
    first = encode_corpus(job).ids.tolist()
    assert is_encoded(job)

    def nothing() -> Iterator[Stretch]:
        raise AssertionError("read again")

    assert encode_corpus(replace(job, stretches=nothing)).ids.tolist() == first
    path = tmp_path / "cache" / "corpora" / "key" / "ids"
    content = bytearray(path.read_bytes())
    content[3] ^= 255
    path.write_bytes(content)
    assert not is_encoded(job)
    assert encode_corpus(job).ids.tolist() == first


def test_without_a_cache_it_is_made_beside_and_that_is_said(tmp_path: Path, monkeypatch):
    expected = encode_corpus(job_of()).ids.tolist()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    told: list[str] = []
    with listen(lambda kind, fields: told.append(str(fields.get("text")))):
        found = encode_corpus(job_of())
    assert found.ids.tolist() == expected
    assert any("Works without the cache" in text for text in told)


def test_a_tokenizer_that_leaves_nothing_is_refused():
    with pytest.raises(DataError, match="leaves nothing of cats"):
        encode_corpus(job_of(stretches=lambda: iter([Stretch(" \t ", True)])))


def test_counts_are_those_of_what_is_learned_from():
    def sides() -> Iterator[Stretch]:
        yield Stretch("cat cat dog", True, False)
        yield Stretch("cat mat mat", True, True)

    job = job_of(stretches=sides)
    found = encode_corpus(job)
    counts = found.count(job.tokenizer.vocab_size)
    learned = found.ids[: found.offsets[1]]
    assert np.array_equal(counts, np.bincount(learned, minlength=job.tokenizer.vocab_size))


def test_memory_does_not_grow_with_a_document(monkeypatch):
    monkeypatch.setattr(corpora, "LOT_CHARACTERS", 20_000)
    job = job_of()

    def peak_of(num_parts: int) -> int:
        def document() -> Iterator[Stretch]:
            for number in range(num_parts):
                yield Stretch("the cat sat on the mat " * 400, number == num_parts - 1)

        whole = replace(job, stretches=document, key=str(num_parts))
        tracemalloc.start()
        try:
            found = encode_corpus(whole)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            assert found.lengths.tolist() == [6 * 400 * num_parts]

    few, many = peak_of(5), peak_of(40)
    # 40 parts are 370,000 characters and 380,000 bytes of ids
    assert many < few + 100_000


def test_bytes_give_any_text_back_and_begin_with_the_end():
    tokenizer = train_byte_tokenizer(TEXTS * 3, "here", vocab_size=300)
    for text in ("Grüße 🙂\n\tnaïve", "A dog,  too", "这家酒店"):
        (ids,), _ = tokenizer.encode([text])
        assert ids[0] == tokenizer.end_id
        assert tokenizer.decode(ids[1:].tolist()) == text


def test_a_vocabulary_is_as_large_as_its_texts_support():
    sizes = [supported_size(num) for num in (10_000, 700_000, 10**7, 3 * 10**8)]
    assert sizes == [512, 3_500, 8_192, 30_000]


@pytest.mark.slow
def test_one_document_of_100_megabytes_takes_little_memory(tmp_path: Path):
    import subprocess
    import sys

    path = tmp_path / "long.txt"
    with path.open("w") as file:
        for number in range(5_000):
            file.write(f"the cat {number} sat on the mat and did not move " * 500)
    assert path.stat().st_size > 10**8
    code = """
import resource, sys
from headstart.data.corpora import open_corpus
from headstart.preprocessing.corpus import CorpusJob, encode_corpus
from headstart.preprocessing.vocabulary import train_tokenizer
tokenizer = train_tokenizer(["the cat sat on the mat"] * 9, "here", vocab_size=60)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
corpus = open_corpus(sys.argv[1])
job = CorpusJob(corpus.stretches, tokenizer, "long", "long", corpus.num_characters)
found = encode_corpus(job)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(found), len(found.ids), (after - before) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    num_documents, num_tokens, megabytes = map(int, done.stdout.split())
    assert num_documents > 10_000
    assert num_tokens > 10**7
    assert megabytes < 400
