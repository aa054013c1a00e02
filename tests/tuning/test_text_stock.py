"""What a run learns from its texts: once, in its share of the budget, and from how many it says."""

from __future__ import annotations

import time
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.errors import Interrupted, StartError
from headstart.events import listen
from headstart.preprocessing import terms, vocabulary
from headstart.preprocessing.terms import TermVectorizer, fit_vectorizer
from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.starts.texts import builders
from headstart.tuning.budget import Budget
from headstart.tuning.decisions import Decisions
from headstart.tuning.texts import TextCache

TFIDF = find_start("scratch/tfidf")
WORDS = ["film", "book", "song", "plot", "cast", "scene", "voice", "light", "night", "day"]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def data():
    """Return 5,000 short reviews: 3,400 to train, 600 to choose by, 1,000 to test."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(5_000):
        words = [*draw.choice(WORDS, 4), draw.choice(["good", "fine"] if number % 2 else ["bad"])]
        rows.append({"text": f"{' '.join(words)} {number}", "label": number % 2})
    return hs.load(pd.DataFrame(rows), label="label", text="text")


@pytest.fixture
def slow(monkeypatch, still_clock):
    """Let learning terms take 10 ms a text and weighing them 4 ms; return the texts learned from.

    Only that takes time on the clock.
    """
    learned: list[int] = []
    weigh = TermVectorizer.transform

    def learn_slowly(texts, origin):
        learned.append(len(texts))
        time.sleep(0.01 * len(texts))
        return fit_vectorizer(texts, origin)

    def weigh_slowly(self, texts):
        time.sleep(0.004 * len(texts))
        return weigh(self, texts)

    monkeypatch.setattr(terms, "fit_vectorizer", learn_slowly)
    monkeypatch.setattr(TermVectorizer, "transform", weigh_slowly)
    speed = "headstart.tuning.cost.measure_pass"
    monkeypatch.setattr(speed, lambda *_, **__: 1e-3)  # on a still clock a pass takes no time
    return learned


def fit(data, out, budget, *, until=None, resume=False):
    """Fit TF-IDF until a stage; return the run, the choices by name, the seconds on the clock."""
    choices: dict[object, dict[str, object]] = {}

    def listener(kind, fields):
        if kind == "choice":
            choices[fields["name"]] = fields
        if until and kind == "stage" and fields["text"].startswith(until):
            raise KeyboardInterrupt

    began = time.monotonic()
    options = {"starts": ["scratch/tfidf"], "device": "cpu", "resume": resume}
    with listen(listener), pytest.raises(Interrupted) if until else nullcontext():
        run = hs.fit(data, budget=budget, out=str(out), **options)
    run = None if until else run
    return run, choices, time.monotonic() - began


def test_a_slow_preparation_of_texts_ends_within_the_budget_and_says_what_it_left_out(
    data, slow, tmp_path
):
    run, choices, seconds = fit(data, tmp_path / "run", "60s")
    assert seconds < 60 * 1.05
    assert 1_000 in slow  # audits at the end learn some again, of parts
    assert choices["vocabulary of scratch/tfidf"]["value"] == "learned from 1,000 of 3,400 texts"
    assert "all would take 34 s of the 60 s left" in choices["vocabulary of scratch/tfidf"]["why"]
    assert "train samples" in choices
    assert "vocabulary of 1,000 of 3,400 texts" in run.options["candidates"][0]["note"]
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.95


def test_a_start_is_learned_from_all_texts_once_where_there_is_time(data, slow, tmp_path):
    _, choices, seconds = fit(data, tmp_path / "run", "10m")
    assert slow.count(3_400) == 1
    assert "vocabulary of scratch/tfidf" not in choices
    # the terms once, and every text weighed once, but for rehearsals, screening's samples, and
    # what audits may take at the end
    assert seconds < 34 + 0.004 * 5_000 + 10 + 3 * 0.04 * 600 + 40


def test_a_resumed_run_has_the_texts_and_the_samples_of_its_first_life(data, slow, tmp_path):
    _, first, _ = fit(data, tmp_path / "run", "60s", until="Linear probe")
    slow.clear()
    _, second, _ = fit(data, tmp_path / "run", "60s", resume=True)
    assert slow == [1_000]
    assert second["train samples"]["value"] == first["train samples"]["value"]


def test_what_would_take_too_long_even_of_few_texts_is_refused_with_the_figures(data, slow):
    cache = TextCache(data, Budget(20), seed=0)
    with pytest.raises(
        StartError, match=r"needs 10 s to learn .* from 1,000 texts, and 20 s of the budget are"
    ):
        cache.build(TFIDF, BuildRequest())


def test_another_life_learns_from_the_same_texts(data, slow):
    decisions = Decisions()
    first = TextCache(data, Budget(60), seed=3, decisions=decisions)
    source = first.build(TFIDF, BuildRequest()).preprocess
    assert first.num_learned(TFIDF) == 1_000
    again = TextCache(data, Budget(1), seed=3, decisions=Decisions(decisions.records))
    assert again.build(TFIDF, BuildRequest()).preprocess.files() == source.files()
    other = TextCache(data, Budget(1), seed=4, decisions=Decisions(decisions.records))
    assert other.build(TFIDF, BuildRequest()).preprocess.files() != source.files()


def test_what_was_prepared_is_handed_out_again_to_the_same_encoder_alone(data):
    cache = TextCache(data, Budget(None), seed=0)
    encoder = cache.build(TFIDF, BuildRequest())
    some = np.arange(50)
    first = cache.prepare("train", encoder, some)
    assert cache.prepare("train", cache.build(TFIDF, BuildRequest(seed=1)), some) is first
    assert cache.prepare("val", encoder, some) is not first
    assert len(cache.prepare("train", encoder, None)) == 3_400
    assert cache.prepare("train", encoder, some) is not first
    own = build_encoder(TFIDF, BuildRequest(texts=["good film", "bad film"]))
    assert cache.prepare("train", own, some).matrix.shape == (50, own.num_features)


@pytest.mark.parametrize("address", ["scratch/bert-tiny", "pip/all-minilm-l6-v2"])
def test_a_tokenizer_and_its_length_are_handed_on(data, address, monkeypatch):
    cache = TextCache(data, Budget(None), seed=0)
    first = cache.build(find_start(address), BuildRequest())

    def never(*_):
        raise AssertionError("learned or loaded again")

    for module in (builders, vocabulary):
        for name in ("train_tokenizer", "load_tokenizer"):
            monkeypatch.setattr(module, name, never)
    second = cache.build(find_start(address), BuildRequest(pooling="mean"))
    assert second.preprocess == first.preprocess
