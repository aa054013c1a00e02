"""What a start's tokenizer does not know of the texts is measured, and said where it is much."""

from __future__ import annotations

import pandas as pd
import pytest

from headstart.data import load
from headstart.preprocessing.for_texts import TokenPreprocess
from headstart.preprocessing.tokens import TextTokenizer

tokenizers = pytest.importorskip("tokenizers")
CHINESE = "这家酒店很好我们下次还会再来"
RUSSIAN = "этот фильм был очень хорош"
ENGLISH = "the room was clean and the staff was kind to all of us"


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    """Return a WordPiece of Latin letters, which cuts Chinese into characters as BERT's does."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{x}" for x in letters)]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = tokenizers.normalizers.BertNormalizer()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    files = {
        "tokenizer.json": backend.to_str().encode(),
        "tokenizer_config.json": b'{"pad_token": "[PAD]", "unk_token": "[UNK]"}',
    }
    return TextTokenizer(files, 64, "tiny")


def unseen(tokenizer: TextTokenizer, texts: list[str]) -> list[str]:
    frame = pd.DataFrame({"text": texts, "label": ["a", "b"] * (len(texts) // 2)})
    inputs = TokenPreprocess(tokenizer, "text").prepare(load(frame, text="text"), "train")
    return [found.sentence for found in inputs.findings if found.kind == "unseen"]


@pytest.mark.parametrize("text", [CHINESE, RUSSIAN, f"{ENGLISH} 😀 😀 😀 😀"])
def test_much_that_is_unknown_is_said_with_what_to_take(tokenizer, text) -> None:
    (sentence,) = unseen(tokenizer, [f"{text} {i}" for i in range(40)])
    assert "does not know, such as in row" in sentence
    assert "scratch/tfidf" in sentence


def test_a_little_is_not(tokenizer) -> None:
    assert not unseen(tokenizer, [f"{ENGLISH} {i}{' 😀' * (i == 3)}" for i in range(40)])


def test_the_text_with_most_of_it_stands_first(tokenizer) -> None:
    texts = [f"good room {i}" for i in range(40)]
    texts[7] = CHINESE * 3 + " 7"
    texts[8] = CHINESE + " " + ENGLISH
    found = TokenPreprocess(tokenizer, "text").read(texts)
    (items,) = (found.items for found in found.findings if found.kind == "unseen")
    assert items == ("text 8", "text 9")


def test_what_the_sentence_advises_learns_from_these_texts(tmp_path) -> None:
    import headstart as hs

    good, bad = "很好", "太差"
    texts = [f"这家酒店{(good, bad)[i % 2]}第{i}次来" for i in range(60)]
    frame = pd.DataFrame({"text": texts, "label": ["yes", "no"] * 30})
    run = hs.finetune(
        hs.load(frame), start="scratch/tfidf", out=str(tmp_path / "run"), device="cpu"
    )
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.9
