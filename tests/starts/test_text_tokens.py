"""Tokens: the ids that transformers gives, cut by us, with full lengths; training; files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import StartError
from headstart.preprocessing import text_pieces
from headstart.preprocessing.tokenizer_files import CONFIG_NAME, TOKENIZER_NAME
from headstart.preprocessing.tokens import NO_LIMIT, TextTokenizer, read_tokenizer
from headstart.preprocessing.vocabulary import (
    load_tokenizer,
    train_byte_tokenizer,
    train_tokenizer,
)
from headstart.starts.texts.catalog import MINILM_IMPORT, pip_folder

pytest.importorskip("tokenizers")

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "cats and dogs"] * 5
ODD = [
    "",
    " ",
    "the cat",
    "naïve CAFÉ ½",
    "🙂🙂",
    "tab\tnew\nline",
    "nul\x00byte",
    "[SEP] [PAD]",
    "x" * 500,
]


@pytest.fixture(scope="module")
def trained() -> TextTokenizer:
    return train_tokenizer(TEXTS, "scratch/bert-tiny", vocab_size=100)


def write(tokenizer: TextTokenizer, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in tokenizer.files().items():
        (folder / name).write_bytes(content)
    return folder


def test_ids_are_cut_and_lengths_are_full(trained: TextTokenizer):
    whole, full = trained.encode([*TEXTS[:2], ""])
    cut, lengths = trained.with_max_length(5).encode([*TEXTS[:2], ""])
    assert [len(ids) for ids in whole] == full.tolist()
    assert lengths.tolist() == full.tolist()
    assert lengths.dtype == np.int64
    assert lengths[2] == 2  # an empty text is its two special tokens
    for short, long in zip(cut, whole, strict=True):
        assert short.dtype == np.int32
        assert len(short) <= 5
        assert short[-1] == long[-1]  # the closing token stays
        assert short[:-1].tolist() == long[: len(short) - 1].tolist()


@pytest.mark.parametrize("max_length", [3, 8, 64])
def test_ids_are_those_of_transformers(tmp_path: Path, trained: TextTokenizer, max_length: int):
    transformers = pytest.importorskip("transformers")
    folder = write(trained, tmp_path / "tokenizer")
    theirs = transformers.AutoTokenizer.from_pretrained(str(folder))
    ours, _ = read_tokenizer(folder, max_length, "x").encode([*TEXTS, *ODD])
    for text, ids in zip([*TEXTS, *ODD], ours, strict=True):
        assert ids.tolist() == theirs(text, truncation=True, max_length=max_length)["input_ids"]


def test_ids_of_the_packaged_tokenizer_are_those_of_transformers():
    pytest.importorskip(MINILM_IMPORT)
    transformers = pytest.importorskip("transformers")
    folder = pip_folder()
    assert folder is not None
    theirs = transformers.AutoTokenizer.from_pretrained(str(folder))
    texts = [*TEXTS, *ODD, "这家酒店的服务很好", "İstanbul ŞIK"]
    tokenizer = load_tokenizer(folder, "pip/all-minilm-l6-v2")
    assert tokenizer.own_limit == 512
    ours, lengths = tokenizer.with_max_length(12).encode(texts)
    for text, ids, length in zip(texts, ours, lengths, strict=True):
        assert ids.tolist() == theirs(text, truncation=True, max_length=12)["input_ids"]
        assert length == len(theirs(text)["input_ids"])


def test_long_texts_are_encoded_in_pieces_with_the_same_ids(
    trained: TextTokenizer, monkeypatch: pytest.MonkeyPatch
):
    text = " ".join(TEXTS)
    whole, full = trained.encode([text, "cats"])
    monkeypatch.setattr(text_pieces, "PIECE_LENGTH", 40)
    monkeypatch.setattr(text_pieces, "BATCH_LENGTH", 300)
    pieces, lengths = trained.encode([text, "cats"])
    assert [ids.tolist() for ids in pieces] == [ids.tolist() for ids in whole]
    assert lengths.tolist() == full.tolist()
    unbroken, lengths = trained.encode(["cat" * 100])
    assert lengths[0] == len(unbroken[0])


def test_training_twice_gives_the_same_files():
    texts = [f"{a}{b} {b}{a}" for a in "abcdefgh" for b in "ijklmnop"]
    first, second = (train_tokenizer(texts, "x", vocab_size=90).files() for _ in range(2))
    assert first == second


def test_trained_vocabulary_splits_chinese_characters_and_lowers_case():
    tokenizer = train_tokenizer(["这家酒店很好。", "酒店 不好 WiFi", "酒店的wifi好"] * 4, "x")
    (ids, mixed), _ = tokenizer.encode(["酒店好", "wifi好WIFI"])
    assert len(ids) == 5  # one a character, and two special ones
    unknown = json.loads(tokenizer.files()[TOKENIZER_NAME])["model"]["vocab"]["[UNK]"]
    assert unknown not in ids
    assert mixed[1] == mixed[3]


def test_training_on_nothing_is_refused():
    with pytest.raises(StartError, match=r"'scratch/bert-tiny'.*hold no characters"):
        train_tokenizer(["", " "], "scratch/bert-tiny")


def test_files_rebuild_the_tokenizer_exactly(tmp_path: Path, trained: TextTokenizer):
    again = read_tokenizer(write(trained, tmp_path / "t"), NO_LIMIT, "x")
    assert again.files() == trained.files()
    assert (again.pad_id, again.vocab_size) == (trained.pad_id, trained.vocab_size)
    pairs = zip(again.encode(ODD)[0], trained.encode(ODD)[0], strict=True)
    assert all(a.tolist() == b.tolist() for a, b in pairs)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (TOKENIZER_NAME, None, "holds no tokenizer.json"),
        (CONFIG_NAME, None, "holds no tokenizer_config.json"),
        (TOKENIZER_NAME, b"{}", "tokenizer.json of 'x' cannot be read"),
        (CONFIG_NAME, b"[", "tokenizer_config.json of 'x' cannot be read"),
        (CONFIG_NAME, b"[]", "is no object"),
        (CONFIG_NAME, b'{"auto_map": {"AutoTokenizer": "evil.py"}}', "never run"),
        (CONFIG_NAME, b'{"pad_token": "<none>"}', "pad_token '<none>'"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, trained, name, content, words):
    folder = write(trained, tmp_path / "t")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(StartError, match=words):
        read_tokenizer(folder, 16, "x")


def test_a_length_without_room_for_text_is_refused(trained: TextTokenizer):
    with pytest.raises(StartError, match=r"max_length 2 leaves no room.*at least 3"):
        trained.with_max_length(2)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path):
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(StartError, match=r"holds no tokenizer for 'my/encoder'"):
        load_tokenizer(tmp_path, "my/encoder")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(StartError, match=r"tokenizer of 'my/encoder' in .* cannot be loaded"):
        load_tokenizer(tmp_path, "my/encoder")


def test_a_tokenizer_without_a_template_for_two_texts_is_refused_and_another_reads_pairs(heard):
    with pytest.raises(StartError, match="Choose another start") as refused:
        _ = train_byte_tokenizer(TEXTS, "gpt", vocab_size=300).pair_frame
    frame = train_tokenizer(TEXTS, "bert", vocab_size=60).pair_frame
    assert len(frame.between) == 1
    heard(refused.value)
