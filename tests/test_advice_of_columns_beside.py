"""What is advised of columns beside texts and images is done as it says, and then right."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from advised import Case, told

import headstart as hs

N = 60
WORDS = "staff was kind and our room had a very quiet view of the old harbour"


def frame(**more: object) -> pd.DataFrame:
    """Return texts with three columns."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS.split(), 14)) for _ in range(N)]
    columns = {name: draw.integers(0, 5, N) for name in ("beds", "floor", "stars")}
    labels = np.where(draw.random(N) < 0.5, "again", "never")
    return pd.DataFrame({"review": texts, **columns, "label": labels, **more})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = hs.load(frame(), text="review", beside=["beds", "stars"])
    out = tmp_path_factory.mktemp("beside") / "run"
    return hs.finetune(data, start="scratch/tfidf", out=str(out), device="cpu", quiet=True)


def load(folder: Path, *, drop: tuple[str, ...] = (), **said: object) -> object:
    del folder
    return hs.load(frame().drop(columns=list(drop)), **said)


def arrays(folder: Path, *, is_frame: bool) -> object:
    whole = frame()
    inputs = whole[["review", "beds"]] if is_frame else list(whole["review"])
    return hs.load((inputs, list(whole["label"])), beside=["beds"])


def written(folder: Path, **said: object) -> object:
    del folder
    whole = frame()
    whole["label"] = [f"told: {text[:20]}" for text in whole["review"]]
    return hs.load(whole, text="review", task="seq2seq", **said)


LOADING = {
    "nothing to stand beside": Case(
        partial(load, drop=("review",), beside=["beds"]),
        "no column of texts or images",
        partial(load, drop=("review",)),
    ),
    "the target": Case(
        partial(load, text="review", beside=["label"]),
        "cannot stand beside",
        partial(load, text="review", beside=["all"]),
    ),
    "which of three": Case(
        load, "can be read as texts", partial(load, text="review", beside=["all"])
    ),
    "not used": told(
        partial(load, text="review"),
        "To learn from them, too: --beside beds floor stars",
        partial(load, text="review", beside=["beds", "floor", "stars"]),
    ),
    "arrays": Case(
        partial(arrays, is_frame=False), "X has no columns", partial(arrays, is_frame=True)
    ),
    "what is written": Case(
        partial(written, beside=["beds"]), "Leave --beside out", partial(written)
    ),
}


@pytest.mark.parametrize("name", LOADING)
def test_what_is_advised_of_columns_loads(name: str, tmp_path, follow, heard) -> None:
    case = LOADING[name]
    wrong, right = partial(case.wrong, tmp_path), partial(case.right, tmp_path)
    follow(Case(lambda _: wrong(), case.said, lambda _: right(), case.error))


def evaluate(run, folder: Path, *, is_whole: bool) -> object:
    del folder
    whole = frame()
    if is_whole:
        data = hs.load(whole, text="review", beside=["beds", "stars"], schema=run.schema)
    else:
        data = hs.load(whole, text="review", schema=run.schema)
    return hs.evaluate(str(run.path), data)


def predict(run, folder: Path, *, is_whole: bool) -> object:
    del folder
    return run.predict(frame().drop(columns=[] if is_whole else ["stars"]))


@pytest.mark.parametrize(
    ("do", "said"),
    [(evaluate, "and the model reads the columns"), (predict, "The rows lack 'stars'")],
)
def test_what_is_advised_of_samples_is_answered(do, said, run, follow, heard) -> None:
    follow(Case(partial(do, run, is_whole=False), said, partial(do, run, is_whole=True)))


SENTENCES = [[f"Ada{i}", "lives", "in", "Rome"] for i in range(N)]
TOLD_OF_WORDS = {
    "tags": (
        {"tokens": SENTENCES, "ner_tags": [["B-PER", "O", "O", "O"]] * N},
        {"label": "ner_tags"},
    ),
    "a text": (
        {"source": [" ".join(s) for s in SENTENCES], "target": [s[0] for s in SENTENCES]},
        {},
    ),
    "an answer to a prompt": (
        {"prompt": [" ".join(s) for s in SENTENCES], "completion": [s[0] for s in SENTENCES]},
        {},
    ),
    "a place": (
        {
            "question": [f"Who is number {i}?" for i in range(N)],
            "context": [" ".join(s) for s in SENTENCES],
            "answers": [{"text": [s[0]], "answer_start": [0]} for s in SENTENCES],
        },
        {},
    ),
}


@pytest.mark.parametrize("told_of", TOLD_OF_WORDS)
def test_columns_are_not_offered_to_what_would_refuse_them(told_of: str, heard) -> None:
    columns, said = TOLD_OF_WORDS[told_of]
    whole = pd.DataFrame({**columns, "price": np.arange(N) * 1.5})
    notes = [note for note in hs.load(whole, **said).notes if "not used" in note]
    assert notes == ["Columns that are not used: 'price'."]
    with pytest.raises(hs.DataError, match="Leave --beside out"):
        hs.load(whole, beside=["price"], **said)
