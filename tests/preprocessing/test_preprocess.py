"""One object says how samples become inputs: for a split, for predict, in JSON, and by name."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.data import load
from headstart.errors import DataError, StartError
from headstart.preprocessing import (
    KINDS,
    ImagePreprocess,
    KnownWordPreprocess,
    PairPreprocess,
    PairTermPreprocess,
    Preprocess,
    TermPreprocess,
    TokenPreprocess,
    WordFeaturePreprocess,
    WordPreprocess,
    check_preprocess,
    fit_table,
    given_of,
    joined_preprocess,
    read_preprocess,
    rows_of,
)
from headstart.preprocessing.base import AT_ONCE
from headstart.preprocessing.known_words import KnownWords
from headstart.preprocessing.terms import fit_vectorizer
from headstart.preprocessing.word_features import learn_features
from headstart.types import Dataset, ImageSpec, Sentence

WORDS = ["good", "bad", "film", "book", "song", "plot"]
TEXTS = [f"a {WORDS[i % 6]} {WORDS[(i * 5) % 6]} number {i}" for i in range(300)]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def texts() -> Dataset:
    return load(pd.DataFrame({"review": TEXTS, "label": [i % 2 for i in range(300)]}))


def pairs() -> Dataset:
    both = {"text1": TEXTS, "text2": TEXTS[7:] + TEXTS[:7]}
    return load(pd.DataFrame({**both, "label": [i % 2 for i in range(300)]}))


def rows() -> Dataset:
    draw = np.random.default_rng(0)
    table = {"a": draw.normal(size=300), "w": ["x", "y", "z"] * 100, "y": draw.normal(size=300)}
    return load(pd.DataFrame(table), label="y")


# What writes reads answers, too: tests/test_translation.py and tests/test_answers_written.py; what
# matches captions reads these of a split alone: tests/test_images_with_texts.py.
UNLIKE = ("sequences", "dialogues", "questions", "image_text")
READING = [kind for kind in KINDS if kind not in UNLIKE]


def make(kind: str) -> tuple[Preprocess, Dataset]:
    """Return a preprocessing of each kind, and data that it reads."""
    if kind == "image":
        spec = ImageSpec(16, 1, (0.5,), (0.25,), "bilinear", 8, 1)
        return ImagePreprocess(spec), load("digits-8x8")
    if kind == "pair_terms":
        return PairTermPreprocess(fit_vectorizer(TEXTS, "x"), "text1", "text2"), pairs()
    if kind in ("tokens", "words", "pairs"):
        pytest.importorskip("tokenizers")
        from headstart.preprocessing.vocabulary import train_tokenizer

        tokenizer = train_tokenizer(TEXTS, "x", vocab_size=100).with_max_length(12)
        if kind == "pairs":
            return PairPreprocess(tokenizer, "text1", "text2", has_types=True), pairs()
        made = TokenPreprocess if kind == "tokens" else WordPreprocess
        return made(tokenizer, "review"), texts()
    if kind == "known_words":
        entries = {("good",): 1, ("bad",): 2}
        known = KnownWords(entries, ["a", "b", "c"], is_of_entities=False)
        return KnownWordPreprocess(known, "review"), texts()
    if kind == "word_features":
        table = learn_features([Sentence.of(text.split()) for text in TEXTS], "x")
        return WordFeaturePreprocess(table, "review"), texts()
    if kind == "terms":
        return TermPreprocess(fit_vectorizer(TEXTS, "x"), "review"), texts()
    if kind == "text_joined":
        table = {"review": TEXTS, "a": np.arange(300.0) % 7, "w": ["x", "y", "z"] * 100}
        frame = pd.DataFrame({**table, "label": [i % 2 for i in range(300)]})
        data = load(frame, text="review", beside=["a", "w"])
        return joined(make("terms")[0], data), data
    if kind == "image_joined":
        images = [np.full((8, 8, 3), i % 250, np.uint8) for i in range(60)]
        columns = {"image": [png(one) for one in images], "a": np.arange(60.0) % 7}
        frame = pd.DataFrame({**columns, "label": [i % 2 for i in range(60)]})
        data = load(frame, image_column="image", beside=["a"])
        spec = ImageSpec(16, 3, (0.5,) * 3, (0.25,) * 3, "bilinear", 8, 3)
        return joined(ImagePreprocess(spec, "image"), data), data
    data = rows()
    return fit_table(data), data


def joined(main: Preprocess, data: Dataset) -> Preprocess:
    """Return a preprocessing with the columns beside it."""
    made = joined_preprocess(main, fit_table(rows_of(data)))
    assert made is not None
    return made


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", READING)
def test_named_inputs_are_what_a_batch_holds(kind):
    preprocess, data = make(kind)
    arrays = preprocess.prepare(data, "test").arrays(np.arange(3))
    assert len(arrays) == len(preprocess.inputs)
    for array, named in zip(arrays, preprocess.inputs, strict=True):
        assert (array.dtype.name, array.ndim) == (named.dtype, 1 + len(named.shape))
        for found, told in zip(array.shape[1:], named.shape, strict=True):
            assert told in (found, "length", "words")


@pytest.mark.parametrize("kind", READING)
def test_it_is_the_same_after_a_way_through_json_and_files(kind, tmp_path):
    preprocess, data = make(kind)
    for name, content in preprocess.files().items():
        (tmp_path / name).write_bytes(content)
    record = check_preprocess(json.loads(json.dumps(preprocess.to_json())), preprocess.modality)
    again = read_preprocess(record, tmp_path, "x")
    assert type(again) is type(preprocess) is KINDS[kind]
    assert (again.digest(), again.columns) == (preprocess.digest(), preprocess.columns)
    places = np.arange(5)
    for a, b in zip(
        again.prepare(data, "test").arrays(places),
        preprocess.prepare(data, "test").arrays(places),
        strict=True,
    ):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("kind", READING)
def test_new_samples_are_read_as_those_of_a_split_are(kind):
    preprocess, data = make(kind)
    split = data.test
    given = given_of(data, "test", range(len(split)))
    expected = preprocess.prepare(data, "test")
    parts = list(preprocess.incoming(given))
    most = len(split) if kind == "table" else AT_ONCE
    assert max(map(len, parts)) <= most
    assert sum(map(len, parts)) == len(split)
    place = 0
    for part in parts:
        some = np.arange(len(part))
        # a batch is padded to its own longest: compare batch with batch
        for a, b in zip(part.arrays(some), expected.arrays(place + some), strict=True):
            assert np.array_equal(a, b)
        place += len(part)


@pytest.mark.parametrize("kind", READING)
def test_another_modality_is_refused_and_so_are_names_of_another_number(kind):
    preprocess, data = make(kind)
    other = rows() if preprocess.modality != "table" else texts()
    with pytest.raises(DataError, match=f"but the model reads {preprocess.modality} samples"):
        preprocess.prepare(other, "test")
    given = given_of(data, "test", range(2))
    for call in (preprocess.read, lambda *a: list(preprocess.incoming(*a))):
        with pytest.raises(DataError, match="There are 3 names for 2 samples"):
            call(given, ["a", "b", "c"])


@pytest.mark.parametrize("kind", READING)
def test_a_record_that_nobody_wrote_is_refused(kind):
    preprocess, _ = make(kind)
    record = preprocess.to_json()
    wrong = [
        None,
        {**record, "kind": "sound"},
        {**record, "more": 1},
        {name: value for name, value in record.items() if name == "kind"},
    ]
    if "column" in record:
        wrong.append({**record, "column": 3})
    for value in wrong:
        with pytest.raises(StartError):
            check_preprocess(value, preprocess.modality)
    others = [m for m in ("image", "text", "table") if m != preprocess.modality]
    for modality in others:
        with pytest.raises(StartError, match=f"is of kind '{kind}'"):
            check_preprocess(record, modality)


def test_a_run_keeps_the_column_that_its_texts_came_from(tmp_path):
    frame = pd.DataFrame({"review": TEXTS, "label": [i % 2 for i in range(300)]})
    run = hs.finetune(
        hs.load(frame, text="review"), start="scratch/tfidf", device="cpu", out=str(tmp_path / "r")
    )
    assert hs.open(run.path).model.encoder.preprocess.columns == ("review",)
    found = run.predict(frame[["review"]].rename(columns={"review": "text"}).head(3))
    assert [p.label for p in found] == [p.label for p in run.predict(frame.head(3))]
