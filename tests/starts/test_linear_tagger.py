"""A linear tagger as a start: its features, its folder, handed over as any other."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from small_runs import TEXTS, N, tagged_sentences, written_tags

import headstart as hs
from headstart.bundles import verify_bundle
from headstart.errors import ExportError, StartError
from headstart.preprocessing.word_features import (
    FEW_WORDS,
    FILE_NAME,
    WIDTH,
    FeatureTable,
    beside_features,
    learn_features,
    own_features,
    pair_features,
)
from headstart.starts.candidates import candidate_starts
from headstart.types import Sentence

START = "scratch/linear-tagger"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("linear")
    data = str(written_tags(folder / "data"))
    return hs.finetune(data, start=START, out=str(folder / "run"), device="cpu", quiet=True)


def _spans(predictions):
    return [[(s.start, s.end, s.label, s.text) for s in one.spans] for one in predictions]


def test_it_finds_entities_and_is_no_control_of_itself(run):
    assert run.metrics["test"]["figures"]["f1_entities"]["value"] > 0.95
    ladder = run.metrics["before_after"]["figures"]
    assert set(ladder) == {"most frequent tag", "dictionary of train", START}
    text = "w1 Ada lives  in New York 5"
    (told,) = run.predict([text])
    assert {(span.label, span.text) for span in told.spans} == {("PER", "Ada"), ("LOC", "New York")}
    again = hs.evaluate(str(run.path), quiet=True).metrics["test"]["figures"]
    assert again["f1_entities"]["value"] == run.metrics["test"]["figures"]["f1_entities"]["value"]


def test_its_folder_holds_weights_and_json_alone(run):
    table = json.loads((run.path / FILE_NAME).read_text())
    weights = load_file(run.path / "model.safetensors")
    assert weights["encoder.network.weight"].shape == (len(table["features"]) + 1, 5)
    assert np.array_equal(weights["head.weight"], np.eye(5, dtype=np.float32))
    assert not [path.name for path in run.path.rglob("*") if path.suffix in (".pkl", ".pt", ".bin")]


def test_a_bundle_of_it_tells_the_same_spans(run, tmp_path, heard):
    with pytest.raises(ExportError, match=r"without tokens.* Export it with --to onnx") as told:
        hs.export(str(run.path), to="transformers", out=str(tmp_path / "names"))
    bundle = hs.export(str(run.path), to="onnx", out=str(tmp_path / "names"))
    heard(told.value)
    (output,) = json.loads(json.loads((bundle / "MLmodel").read_text())["signature"]["outputs"])
    assert output["tensor-spec"]["shape"] == [-1, 5]
    opened, agreement = verify_bundle(bundle)
    assert agreement.holds
    long = " ".join(["w1 w2"] * 300 + ["Ada lives in Rome 5"])
    said = ["w1 Ada lives  in New York 5", "never 東京 seen", long, "Bob"]
    wanted = run.predict(said)
    assert _spans(wanted)[0]
    assert _spans(opened.predict(said)) == _spans(wanted)
    for text, one in zip(said, wanted, strict=True):
        (alone,) = opened.predict([text])
        sure = [span.probability for span in one.spans]
        assert [span.probability for span in alone.spans] == pytest.approx(sure, abs=1e-5)


@pytest.mark.parametrize("num", [3, 400])
def test_features_are_those_that_a_plain_loop_finds(num):
    rows = [*tagged_sentences(num, 3)[0], ["王", "小", "明", "在", "北", "京"], ["one"]]
    sentences = [Sentence.of(words) for words in rows]
    table = learn_features(sentences, START)
    number = {text: place for place, text in enumerate(table.features, start=1)}
    wanted = []
    for words in rows:
        for place, word in enumerate(words):
            found = list(own_features(word))
            for slot, step in enumerate((-2, -1, 1, 2)):
                other = place + step
                inside = 0 <= other < len(words)
                near = beside_features(words[other]) if inside else ()
                found += near[2 * slot : 2 * slot + 2] if inside else [f"{step}none", ""]
            found.append(pair_features(words[place - 1], word)[0] if place else "")
            is_last = place + 1 == len(words)
            found.append("" if is_last else pair_features(word, words[place + 1])[1])
            wanted.append([number.get(text, 0) for text in found])
    rows_of = table.rows(sentences)
    assert rows_of.shape == (sum(map(len, rows)), WIDTH)
    assert rows_of.tolist() == wanted
    assert FeatureTable(table.features) == table
    assert table.rows([]).shape == table.rows([Sentence("", ())]).shape == (0, WIDTH)


def test_of_many_words_what_occurs_once_is_left_out():
    words = [f"w{k % 50}" for k in range(FEW_WORDS)] + ["unique"]
    known = learn_features([Sentence.of(words)], START).features
    assert "w=w3" in known
    assert "w=unique" not in known
    assert "w=unique" in learn_features([Sentence.of(words[-9:])], START).features


def test_it_is_tried_where_words_are_told_of_and_can_win(tmp_path):
    data = hs.load(str(written_tags(tmp_path / "data")))
    assert [one.address for one in candidate_starts(data, 1)[:2]] == [START, "scratch/dictionary"]
    found = hs.fit(data, starts=[START], budget="20s", out=str(tmp_path / "run"), quiet=True)
    assert json.loads((found.path / "model.json").read_text())["architecture"]["builder"]
    assert found.metrics["test"]["figures"]["f1_entities"]["value"] > 0.95
    steps = hs.finetune(
        data, start=START, num_steps=60, learning_rate=0.05, out=str(tmp_path / "s"), quiet=True
    )
    assert steps.options["recipe"]["strategy"] == "full"
    assert steps.metrics["test"]["figures"]["f1_entities"]["value"] > 0.8


def test_a_run_of_it_is_a_start(run, tmp_path):
    data = str(run.data["source"]["source"])
    again = hs.finetune(data, start=str(run.path), out=str(tmp_path / "run"), quiet=True)
    assert again.metrics["test"]["figures"] == run.metrics["test"]["figures"]


def test_whole_texts_and_options_of_tokens_are_refused(run, tmp_path, heard):
    path = tmp_path / "texts.csv"
    labels = [("ant", "bee")[i % 2] for i in range(N)]
    pd.DataFrame({"text": TEXTS, "label": labels}).to_csv(path, index=False)
    for start in (START, str(run.path)):
        with pytest.raises(StartError, match=r"a tag of each word.* such as scratch/tfidf") as told:
            hs.finetune(str(path), start=start, out=str(tmp_path / "a"), quiet=True)
    hs.finetune(str(path), start="scratch/tfidf", out=str(tmp_path / "b"), quiet=True)
    heard(told.value)


@pytest.mark.parametrize("task", ["seq2seq", "pairs"])
def test_a_run_of_it_tells_nothing_of_other_texts(run, task, tmp_path):
    frame = pd.DataFrame({"a": TEXTS, "b": TEXTS[::-1], "label": [i % 2 for i in range(N)]})
    said = {"text": "a", "label": "b", "task": "seq2seq"}
    data = hs.load(frame, **(said if task == "seq2seq" else {"text": "a,b"}))
    with pytest.raises(StartError, match="something else is told"):
        hs.finetune(data, start=str(run.path), out=str(tmp_path / "x"), quiet=True)


@pytest.mark.parametrize(
    "record",
    [{}, {"format": 9, "features": []}, {"format": 1, "features": ["a", "a"]}, [], None],
)
def test_damaged_features_are_refused(run, tmp_path, record):
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    path = copy / FILE_NAME
    path.unlink() if record is None else path.write_text(json.dumps(record))
    with pytest.raises(StartError, match=r"Restore the file, or train again"):
        hs.predict(str(copy), ["Ada lives in Rome"])
