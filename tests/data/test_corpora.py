"""Texts without labels: whatever form they have, whatever is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headstart.data import load
from headstart.data.corpora import TextCorpus, corpus_of, open_corpus
from headstart.data.sources import document_files
from headstart.errors import DataError

TEXTS = [f"The number {n} is followed by {n + 1} and by {n * n}." for n in range(60)]


def texts_of(corpus: TextCorpus, *, is_held_out: bool | None = None) -> list[str]:
    """Return the documents of a corpus, whole."""
    found, parts = [], []
    for stretch in corpus.stretches():
        parts.append(stretch.text)
        if stretch.is_last:
            if is_held_out in (None, stretch.is_held_out):
                found.append("".join(parts))
            parts = []
    return found


def stripped(texts: list[str]) -> list[str]:
    return [text.strip() for text in texts]


@pytest.mark.parametrize(
    "form", ["lines", "blank lines", "folder", "csv", "jsonl", "parquet", "list"]
)
def test_every_form_gives_the_same_documents(form, tmp_path: Path):
    assert sorted(stripped(texts_of(open_corpus(write(form, TEXTS, tmp_path))))) == sorted(TEXTS)


def write(form: str, texts: list[str], folder: Path) -> object:
    """Write texts in some form and return what is to be opened."""
    if form == "list":
        return texts
    if form == "folder":
        for number, text in enumerate(texts):
            path = folder / "texts" / f"{number % 3}" / f"{number:03}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder / "texts"
    suffix = {"lines": "txt", "blank lines": "txt"}.get(form, form)
    path = folder / f"texts.{suffix}"
    if form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"text": texts, "place": list(range(len(texts)))}), path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    elif form == "csv":
        path.write_text("text\n" + "".join(f'"{text}"\n' for text in texts))
    else:
        path.write_text(("\n" if form == "lines" else "\n\n \n").join(texts) + "\n")
    return path


def test_copies_stay_on_one_side_and_the_side_is_a_matter_of_content_and_seed(tmp_path: Path):
    corpus = open_corpus(TEXTS * 3, val_fraction=0.2)
    held_out, learned = texts_of(corpus, is_held_out=True), texts_of(corpus, is_held_out=False)
    assert not set(held_out) & set(learned)
    assert len(held_out) == 3 * 12
    shuffled = open_corpus(TEXTS[::-1], val_fraction=0.2)
    assert set(texts_of(shuffled, is_held_out=True)) == set(held_out)
    other = open_corpus(TEXTS, val_fraction=0.2, seed=1)
    assert set(texts_of(other, is_held_out=True)) != set(held_out)
    assert other.fingerprint != open_corpus(TEXTS, val_fraction=0.2).fingerprint


def test_few_documents_are_cut_into_pieces_and_that_is_said():
    corpus = open_corpus(["one two three four " * 400])
    assert "1 document would leave too few" in corpus.findings[-1].sentence
    assert "".join(texts_of(corpus)) == "one two three four " * 400
    assert 0 < corpus.is_held_out.sum() < len(corpus.is_held_out)


def test_empty_documents_are_counted_and_never_held_out():
    corpus = open_corpus([*TEXTS, "", "  \n ", ""], val_fraction=0.9)
    assert corpus.num_empty == 3
    assert "3 of 63 documents are empty" in corpus.findings[-1].sentence
    assert not corpus.is_held_out[-3:].any()


def test_one_document_of_many_characters_comes_in_bounded_parts(tmp_path: Path):
    path = tmp_path / "long.txt"
    path.write_text("word and more words " * 100_000)  # 2 MB in one line
    parts = [text for text, _ in document_files.read_file(path, "long.txt", None)]
    assert max(map(len, parts)) <= document_files.PART_CHARACTERS
    assert "".join(parts) == path.read_text()
    lines = list(document_files.read_lone_file(path, "long.txt", None))
    assert [is_last for _, is_last in lines] == [*[False] * (len(lines) - 1), True]
    assert "".join(text for text, _ in lines) == path.read_text()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_large_table_is_streamed_as_a_small_one_is_read(form, tmp_path: Path, monkeypatch):
    path = write(form, TEXTS, tmp_path)
    whole = open_corpus(path)
    monkeypatch.setattr(document_files, "LARGE_BYTES", 100)
    streamed = open_corpus(path)
    assert streamed.fingerprint == whole.fingerprint
    assert texts_of(streamed) == texts_of(whole)


def test_labelled_texts_keep_their_test_split_out():
    frame = {"text": TEXTS, "label": ["even", "odd"] * 30}
    import pyarrow as pa

    dataset = load(pa.table(frame))
    corpus = corpus_of(dataset)
    tested = {dataset.test.samples.read(i) for i in range(len(dataset.test))}
    assert len(tested) == 12
    assert not tested & set(texts_of(corpus))
    val = [dataset.val.samples.read(i) for i in range(len(dataset.val))]
    assert texts_of(corpus, is_held_out=True) == val
    assert "The test split (12 texts" in corpus.findings[-1].sentence


def test_what_changes_while_it_is_read_is_refused(tmp_path: Path):
    path = write("lines", TEXTS, tmp_path)
    corpus = open_corpus(path)
    path.write_text("\n".join(TEXTS[:-5]))
    with pytest.raises(DataError, match="changed while it was read"):
        texts_of(corpus)


def refused(source: object, **said) -> str:
    with pytest.raises(DataError) as caught:
        open_corpus(source, **said)
    return str(caught.value)


def test_what_is_no_text_is_refused_by_its_name(tmp_path: Path):
    folder = write("folder", TEXTS, tmp_path)
    (folder / "photo.txt").write_bytes(b"\xff\xd8\xff\xe0" + bytes(np.arange(200, dtype=np.uint8)))
    assert "photo.txt" in refused(folder)
    (folder / "photo.txt").write_bytes(b"plain at first\0\0\0 and then not" * 9_000)
    assert "photo.txt is not text: there is a zero byte near byte 14." in refused(folder)
    picture = tmp_path / "photo.jpg"
    picture.write_bytes(b"\xff\xd8")
    assert "photo.jpg is not a table that can be read" in refused(picture)


def test_other_encodings_are_refused_with_the_one_to_say_and_read_when_it_is_said(tmp_path: Path):
    chinese = [f"第{n}家酒店的服务很好，房间也很干净，下次还会再来住。" for n in range(60)]
    path = tmp_path / "reviews.txt"
    path.write_bytes("\n".join(chinese).encode("gb18030"))
    assert "--encoding gb18030" in refused(path)
    assert stripped(texts_of(open_corpus(path, encoding="gb18030"))) == chinese
    path.write_bytes("\n".join(chinese).encode("utf-16"))
    assert "--encoding utf-16" in refused(path)
    assert stripped(texts_of(open_corpus(path, encoding="utf-16"))) == chinese


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["", " "], "2 documents and no text"),
        (["too short"], "too little text (9 characters)"),
        ([1, 2], "holds something else than texts"),
    ],
)
def test_too_little_is_refused(texts, told):
    assert told in refused(texts)


def test_a_table_without_texts_and_a_folder_without_any_are_refused(tmp_path: Path):
    path = tmp_path / "numbers.csv"
    path.write_text("a,b\n" + "".join(f"{n},{n % 7}\n" for n in range(30)))
    assert "Name it with --text" in refused(path)
    (tmp_path / "empty").mkdir()
    assert "holds no text files" in refused(tmp_path / "empty")
    assert "does not exist" in refused(tmp_path / "missing.txt")


def test_surrogates_and_windows_lines_are_read(tmp_path: Path):
    path = tmp_path / "windows.txt"
    path.write_bytes("\r\n".join(TEXTS).encode("utf-8-sig"))
    assert stripped(texts_of(open_corpus(path))) == TEXTS
