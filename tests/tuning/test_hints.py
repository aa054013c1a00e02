"""Imbalance: said before a training from the counts, after it from the recalls, with what helps."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.events import listen
from headstart.tuning.hints import _remedy


def _rows(counts, apart=1.6, seed=0):
    draw = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(
            {
                "x": draw.normal(size=number) + apart * place,
                "y": draw.normal(size=number),
                "label": f"c{place}",
            }
        )
        for place, number in enumerate(counts)
    ]
    return pd.concat(parts).sample(frac=1.0, random_state=1)


def _imbalance(findings):
    return [f for f in findings if f.kind == "imbalance"]


@pytest.mark.parametrize("ratio", [3, 5, 9, 20])
def test_imbalance_is_said_before_from_three_to_one_on(ratio):
    (found,) = _imbalance(hs.load(_rows([1200, 1200 // ratio])).findings)
    assert f"({ratio} times fewer; " in found.sentence
    assert "in val)" in found.sentence
    assert "--imbalance auto leaves the loss as it is" in found.sentence
    assert found.severity == ("note" if ratio < 10 else "warning")


@pytest.mark.parametrize("counts", [[600, 500], [600, 250], [300, 300, 299]])
def test_classes_of_like_size_are_not(counts):
    assert not _imbalance(hs.load(_rows(counts)).findings)


def _said_twice(sentences, num_words=7):
    """Return the runs of so many words that stand in two of the sentences."""
    seen, twice = {}, []
    for place, sentence in enumerate(sentences):
        words = re.findall(r"[\w'.-]+", sentence.lower())
        for first in range(len(words) - num_words + 1):
            run = " ".join(words[first : first + num_words])
            twice += [run] if seen.setdefault(run, place) != place else []
    return twice


def _run(frame, out, **said):
    told, chosen = [], []

    def hear(kind, fields):
        told.extend([str(fields["text"])] if kind == "note" else [])
        chosen.extend([str(fields["why"])] if kind == "choice" else [])

    with listen(hear):
        made = hs.finetune(
            hs.load(frame), start="scratch/linear", out=str(out), device="cpu", **said
        )
    hints = [f["sentence"] for f in made.data["findings"] if "much less often" in f["sentence"]]
    assert [text for text in told if "much less often" in text] == hints  # heard, and kept
    assert not _said_twice(told + chosen)
    lines = re.sub(r"\n {4,}", " ", made.report().partition("What was chosen")[2])
    assert not _said_twice(lines.splitlines())
    return made, hints


@pytest.mark.parametrize("counts", [[1000, 200], [200, 1000], [900, 180, 900]])
def test_a_rare_class_that_is_not_found_is_said_and_the_advice_finds_more_of_it(
    tmp_path, counts, heard
):
    frame = _rows(counts)
    rare = f"c{int(np.argmin(counts))}"
    made, (hint,) = _run(frame, tmp_path / "a")
    before = made.metrics["test"]["per_class"][rare]["recall"]["value"]
    assert re.search(rf"'{rare}' in {before:.0%} of its \d+ rows \(\d+ to train on\)", hint)
    assert "rarer than others: --imbalance weights finds more of it" in hint
    assert "oversample" not in hint  # this strategy cannot
    assert hint in re.sub(r"\s+", " ", made.report())
    weighed, _ = _run(frame, tmp_path / "b", imbalance="weights")  # the advice, followed
    assert weighed.metrics["test"]["per_class"][rare]["recall"]["value"] > before + 0.1
    for sentence in [hint, *(found.sentence for found in _imbalance(hs.load(frame).findings))]:
        heard(sentence)
    # once where the data are read, once where the rare class was missed
    assert re.sub(r"\s+", " ", made.report()).count("--imbalance weights") == 2


def test_a_strategy_that_can_draw_is_told_to(tmp_path):
    made, (hint,) = _run_mlp(_rows([1000, 200]), tmp_path / "a")
    assert "--imbalance weights or --imbalance oversample" in hint
    before = made.metrics["test"]["per_class"]["c1"]["recall"]["value"]
    drawn, _ = _run_mlp(_rows([1000, 200]), tmp_path / "b", imbalance="oversample")
    assert drawn.metrics["test"]["per_class"]["c1"]["recall"]["value"] > before + 0.1


def _run_mlp(frame, out, **said):
    made = hs.finetune(
        hs.load(frame), start="scratch/mlp", num_epochs=5, out=str(out), device="cpu", **said
    )
    return made, [f["sentence"] for f in made.data["findings"] if "less often" in f["sentence"]][
        -1:
    ]


def test_what_is_not_rare_is_not_told_to_be_weighed(tmp_path):
    draw = np.random.default_rng(0)
    frame = _rows([400, 400, 400], apart=5.0)
    noisy = frame["label"] == "c1"
    frame.loc[noisy, "x"] = draw.choice([0.0, 10.0], noisy.sum()) + draw.normal(size=noisy.sum())
    _, (hint,) = _run(frame, tmp_path / "a")
    assert "no rarer than others" in hint
    assert "--imbalance" not in hint


def test_nothing_is_said_where_all_are_found(tmp_path, heard):
    _, hints = _run(_rows([600, 150], apart=6.0), tmp_path / "a")
    assert not hints
    weighed = SimpleNamespace(imbalance="weights", strategy="head")
    told = _remedy(hs.load(_rows([600, 150])), weighed, "rows", True)
    assert told == "--imbalance weights is in use already: more rows of it help."
    _, more = _run(_rows([600, 600], apart=6.0), tmp_path / "b", imbalance="weights")  # as advised
    assert not more
    heard(told)


def test_of_very_many_classes_chance_misses_some(tmp_path, monkeypatch):
    # trees of 120 classes take ten times as long as all else here
    monkeypatch.setattr("headstart.tuning.baselines.boosting.boost_trees", lambda *_, **__: None)
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(120, 12))
    label = np.repeat(np.arange(120), 10)
    values = centres[label] + 0.55 * draw.normal(size=(1200, 12))
    frame = pd.DataFrame(values).add_prefix("x").assign(label=[f"k{i}" for i in label])
    made, hints = _run(frame, tmp_path / "a")
    recalls = [one["recall"]["value"] for one in made.metrics["test"]["per_class"].values()]
    assert min(recalls) <= 0.5  # of two rows
    assert not hints
    counts = made.metrics["test"]["confusion_counts"]  # of so many classes no matrix of zeros
    assert sum(count for _, _, count in counts) == made.metrics["test"]["num_items"]
    assert "confusion_matrix" not in made.metrics["test"]
    page = (tmp_path / "a" / "report.html").read_text()
    assert "The pairs of 120 classes that are mixed up most often" in page


def test_a_model_that_answers_one_class_is_not_told_to_look_at_all_the_others(tmp_path):
    made, hints = _run(_rows([400, 300, 300, 300, 300], apart=0.0), tmp_path / "a")
    recalls = [one["recall"]["value"] for one in made.metrics["test"]["per_class"].values()]
    assert sum(one < 0.1 for one in recalls) == 4
    assert not hints  # that it guesses is said above the figures
    assert "no better than guessing" in re.sub(r"\s+", " ", made.report())
