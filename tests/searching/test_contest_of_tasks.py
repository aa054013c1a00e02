"""The same contest whatever is told: a tag a word, several targets, what two texts say together."""

import numpy as np
import pandas as pd
import pytest
from small_runs import written_tags

import headstart as hs

BERT = "scratch/bert-tiny"


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def arms_of(run):
    return {row["arm"]: row for row in run.options["arms"]}


@pytest.mark.slow
def test_taggers_are_compared_and_a_larger_budget_goes_on(tmp_path, work_clock):
    folder, out = str(written_tags(tmp_path / "data")), str(tmp_path / "run")
    words = {"out": out, "starts": [BERT], "device": "cpu"}
    first = hs.fit(folder, budget="14s", **words)
    arms = arms_of(first)
    assert any(" of " in row["note"] for row in arms.values())
    assert all(row["metric"] == "f1_entities" for row in arms.values())
    assert first.metrics["test"]["figures"]["f1_entities"]["value"] > 0.5
    again = hs.fit(folder, budget="18s", resume=True, **words)
    before = {name.removesuffix(", before") for name in arms_of(again)}
    assert set(arms) <= before
    f1, f1_before = (
        each.metrics["test"]["figures"]["f1_entities"]["value"] for each in (again, first)
    )
    assert f1 >= f1_before - 0.05
    (told,) = again.predict(["w1 Ada lives in Rome 5"])
    assert {span.label for span in told.spans} <= {"PER", "LOC"}


@pytest.mark.slow
def test_a_pretrained_tagger_has_a_head_beside_its_trainings(tmp_path, work_clock):
    folder = str(written_tags(tmp_path / "data"))
    starts = ["pip/all-minilm-l6-v2", BERT]
    run = hs.fit(folder, budget="25s", out=str(tmp_path / "run"), starts=starts, device="cpu")
    arms = arms_of(run)
    assert arms["pip/all-minilm-l6-v2 head"]["score"] is not None
    assert any(row["strategy"] == "last-n" for row in arms.values())
    assert run.metrics["test"]["figures"]["f1_entities"]["value"] > 0.8


def test_the_better_kind_tells_several_targets(tmp_path, work_clock):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    frame = pd.DataFrame(x, columns=list("abcd"))
    frame["kind"] = np.where(np.abs(x[:, 0]) > 0.7, "far", "near")  # no linear model can tell
    frame["price"] = 20 * x[:, 1] + rng.normal(size=400)
    frame.loc[rng.random(400) < 0.2, "price"] = np.nan
    data = hs.load(frame, label="kind,price")
    run = hs.fit(data, budget="25s", out=str(tmp_path / "run"), device="cpu")
    arms = arms_of(run)
    assert {row["start"] for row in arms.values()} == {"scratch/linear", "scratch/mlp"}
    chosen = next(c for c in run.options["choices"] if c["name"] == "model")
    assert chosen["value"].startswith("scratch/mlp")
    figures = run.metrics["before_after"]["figures"]
    assert figures["fine-tuned"]["value"] > figures["majority class, mean of train"]["value"] + 0.3


def test_pairs_of_texts_have_terms_beside_networks(tmp_path, work_clock):
    rng = np.random.default_rng(0)
    animals = ("cat", "dog", "horse", "owl")
    rows = []
    for number in range(240):
        one, other = rng.choice(animals, 2, replace=False)
        rows.append(
            {
                "premise": f"A {one} is here, {number}.",
                "hypothesis": f"Some {one if number % 2 else other} sleeps.",
                "label": ("other", "same")[number % 2],
            }
        )
    run = hs.fit(
        pd.DataFrame(rows),
        budget="14s",
        out=str(tmp_path / "run"),
        starts=["scratch/tfidf", BERT],
        device="cpu",
    )
    arms = arms_of(run)
    assert arms["scratch/tfidf head"]["score"] is not None
    assert any(row["start"] == BERT and row["num_steps"] > 0 for row in arms.values())
