"""Advice of ``pretrain`` on texts: refused, said, done, and then right (``tests/advice.py``)."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from advised import TEXTS, Case, follow
from own_texts import paragraphs

import headstart as hs
from headstart.data.corpora import TextCorpus, open_corpus
from headstart.data.sources import document_files
from headstart.preprocessing import segments
from headstart.pretraining.hidden_words import build_hidden_words
from headstart.pretraining.images import read_images
from headstart.pretraining.next_words import build_next_words
from headstart.pretraining.objective import Givens
from headstart.pretraining.texts import read_texts
from headstart.starts import find_start
from headstart.training.options.pretraining_options import PretrainingOptions
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions

pytest.importorskip("transformers")


def file(folder: Path, content: bytes | str, name: str = "texts.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def several(folder: Path, **changed: bytes) -> Path:
    """Write a folder of texts, with further files."""
    for number, text in enumerate(TEXTS):
        file(folder, text, f"{number}.txt")
    for name, content in changed.items():
        file(folder, content, f"{name}.txt")
    return folder


def numbers(folder: Path) -> Path:
    rows = "".join(f"{n},{n % 7},word{n}\n" for n in range(len(TEXTS)))
    return file(folder, f"a,b,note\n{rows}", "rows.csv")


def large(folder: Path, content: str, name: str) -> TextCorpus:
    """Open a table as if it were larger than 256 MB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_files, "LARGE_BYTES", 10)
        return open_corpus(file(folder, content, name), text="text")


def lines(*rows: object) -> str:
    known = [json.dumps({"text": text}) for text in TEXTS]
    return "\n".join([*known, *map(str, rows)])


def built(data: Any = TEXTS, start: str = "scratch/bert-tiny", objective: str = "mlm", **said: Any):
    options = PretrainingOptions(objective=objective, vocabulary_size=300, **said)
    means = Givens(options, find_start(start), torch.device("cpu"), Budget(None), Decisions())
    build = build_hidden_words if objective == "mlm" else build_next_words
    return build(read_texts(data, None), means)


def chinese(*, is_there: bool) -> Any:
    texts = [f"第{n}家酒店的服务很好，房间也很干净。" for n in range(40)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "find_spec", lambda name: is_there or None)
        return built(texts, whole_words=True)


def changing(folder: Path, *, changes: bool) -> int:
    path = file(folder, "\n".join(TEXTS))
    corpus = open_corpus(path)
    if changes:
        file(folder, "\n".join(TEXTS[:-9]))
    return len(list(corpus.stretches()))


def folder_of(start: Path, folder: Path, **changed: object) -> Path:
    """Export a start, and change the configuration of its tokenizer."""
    path = hs.export(str(start), out=str(folder / "folder"))
    name = path / "tokenizer_config.json"
    config = {**json.loads(name.read_text()), **changed}
    name.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return path


OF_FILES = {
    "a missing file": Case(
        lambda folder: open_corpus(folder / "missing.txt"),
        r"does not exist; .*Check the path",
        lambda folder: open_corpus(file(folder, "\n".join(TEXTS))),
    ),
    "a folder without texts": Case(
        open_corpus,
        r"holds no text files .*Check the path, name the file",
        lambda folder: open_corpus(file(folder, "\n".join(TEXTS))),
    ),
    "a file that is none": Case(
        lambda folder: open_corpus(several(folder, odd=b"text at first\0\0and then not")),
        r"odd\.txt is not text: .*Remove it from the corpus",
        lambda folder: open_corpus(several(folder)),
    ),
    "no column of texts": Case(
        lambda folder: open_corpus(numbers(folder)),
        r"no column that is seen to hold texts .*Name it with --text",
        lambda folder: open_corpus(numbers(folder), text="note"),
    ),
    "another column": Case(
        lambda folder: list(
            replace(
                open_corpus(file(folder, lines(), "rows.jsonl"), text="text"),
                documents=partial(
                    document_files.read_column,
                    folder / "rows.jsonl",
                    "rows.jsonl",
                    "texts",
                    document_files.ReadOptions(),
                ),
            ).stretches()
        ),
        r"Column 'texts' is missing in rows\.jsonl .*Name the text column with --text",
        lambda folder: open_corpus(file(folder, lines(), "rows.jsonl"), text="text"),
    ),
    "a line that is no JSON": Case(
        lambda folder: large(folder, lines("{"), "rows.jsonl"),
        r"line 61 is no JSON .*Correct the line",
        lambda folder: large(folder, lines('{"text": "now it is one"}'), "rows.jsonl"),
    ),
    "a line that is no object": Case(
        lambda folder: large(folder, lines("[1]"), "rows.jsonl"),
        r"line 61 is no object .*Correct the line",
        lambda folder: large(folder, lines('{"text": "now it is one"}'), "rows.jsonl"),
    ),
    "a large table that is none": Case(
        lambda folder: large(folder, "text\n" + "\n".join(TEXTS) + "\na,b,c\n", "rows.csv"),
        r"cannot be streamed: .*Save it as Parquet",
        lambda folder: large(folder, "text\n" + "\n".join(TEXTS) + "\n", "rows.csv"),
    ),
    "something else": Case(
        lambda folder: open_corpus([1, 2]),
        r"something else than texts; .*Give one of these",
        lambda folder: open_corpus(TEXTS),
    ),
    "no text at all": Case(
        lambda folder: open_corpus(["", " "]),
        r"and no text; .*Check the path",
        lambda folder: open_corpus(TEXTS),
    ),
    "too little text": Case(
        lambda folder: open_corpus(["too short"]),
        r"too little text .*Add texts",
        lambda folder: open_corpus(["too short", *TEXTS]),
    ),
    "a file that changes": Case(
        lambda folder: changing(folder, changes=True),
        r"changed while it was read; .*Run it again",
        lambda folder: changing(folder, changes=False),
    ),
    "labels that nothing says": Case(
        lambda folder: read_texts(
            partial(hs.load, str(file(folder, "\n".join(TEXTS))), numeric=["a"]), None
        ),
        r"numeric is said of data in which nothing says a label; .*Leave it out",
        lambda folder: read_texts(partial(hs.load, str(file(folder, "\n".join(TEXTS)))), None),
    ),
    "no texts": Case(
        lambda folder: read_texts("digits-8x8", None),
        r"holds images; .*For images say --objective mae",
        lambda folder: read_images("digits-8x8", None),
    ),
    "Chinese words without their extra": Case(
        lambda folder: chinese(is_there=False),
        r"'jieba', which is not installed\. Install it: .*headstart\[zh\]",
        lambda folder: pytest.importorskip("jieba") and chinese(is_there=True),
    ),
    "a start of images": Case(
        lambda folder: built(start="scratch/vit-tiny"),
        r"learns from texts\. Choose .*--start scratch/bert-tiny",
        lambda folder: built(start="scratch/bert-tiny"),
    ),
    "a start that counts words": Case(
        lambda folder: built(start="scratch/tfidf"),
        r"counts words and reads no text, .*--start scratch/bert-tiny",
        lambda folder: built(start="scratch/bert-tiny"),
    ),
    "an encoder for the next word": Case(
        lambda folder: built(start="pip/all-minilm-l6-v2", objective="clm"),
        r"is no decoder, .*For an encoder say --objective mlm",
        lambda folder: built(start="pip/all-minilm-l6-v2"),
    ),
    "a length beyond a decoder": Case(
        lambda folder: built(start="scratch/gpt-tiny", objective="clm", max_length=4_000),
        r"max_length 4000 is not possible .*or leave it out",
        lambda folder: built(start="scratch/gpt-tiny", objective="clm"),
    ),
}  # fmt: skip

OF_FOLDERS = {
    "a tokenizer without a mask": ("mlm", {"mask_token": None}, r"has no mask_token, .*scratch"),
    "a tokenizer without an end": ("clm", {"eos_token": None, "pad_token": "!"}, r"no eos_token"),
}


@pytest.mark.parametrize("name", OF_FILES)
def test_what_is_advised_of_texts_succeeds(name, heard, tmp_path) -> None:
    follow(OF_FILES[name], tmp_path, heard)


@pytest.mark.parametrize("name", OF_FOLDERS)
def test_what_is_advised_of_a_tokenizer_succeeds(name, heard, tmp_path) -> None:
    objective, changed, said = OF_FOLDERS[name]
    run = hs.pretrain(
        list(paragraphs()), objective=objective, num_steps=1, batch_size=8, vocabulary_size=300,
        max_length=32, out=str(tmp_path / "run"),
    )  # fmt: skip
    scratch = {"mlm": "scratch/bert-tiny", "clm": "scratch/gpt-tiny"}[objective]
    case = Case(
        lambda folder: built(
            start=str(folder_of(run.path, folder, **changed)), objective=objective
        ),
        said,
        lambda folder: built(start=scratch, objective=objective),
    )
    follow(case, tmp_path, heard)
