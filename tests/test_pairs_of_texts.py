"""Two texts a sample, from files to answers: what a user with pairs does, on tiny networks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import headstart as hs
from headstart.data.paired_texts import as_pairs, said_columns
from headstart.errors import DataError
from headstart.preprocessing.for_pairs import encode_pairs
from headstart.preprocessing.pair_frame import kept_of_both
from headstart.recipes.run import Run
from headstart.types import TextPair

sys.path.insert(0, str(Path(__file__).parent / "serving"))
from serving_process import ServingProcess

ANIMALS, PLACES = ("cat", "dog", "horse", "owl"), ("barn", "field", "house", "river", "wood")


def _pairs(num: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(num):
        one = str(rng.choice(ANIMALS))
        other = one if number % 2 else str(rng.choice([a for a in ANIMALS if a != one]))
        first, second = (str(rng.choice(PLACES)) for _ in range(2))
        rows.append(
            {
                "premise": f"A {one} is in the {first} {number}.",
                "hypothesis": f"Some {other} sleeps near a {second}.",
                "label": ("other", "same")[number % 2],
                "closeness": (one == other) + 0.3 * (first == second),
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    base = tmp_path_factory.mktemp("pairs")
    _pairs(240, 0).drop(columns="closeness").to_csv(base / "pairs.csv", index=False)
    return hs.finetune(
        str(base / "pairs.csv"),
        start="scratch/bert-tiny",
        strategy="full",
        num_steps=60,
        batch_size=16,
        learning_rate=2e-3,
        out=str(base / "run"),
        device="cpu",
    )


def test_columns_are_found_by_their_names_or_said():
    frame = _pairs(60, 1).drop(columns="closeness")
    found = hs.load(frame)
    assert found.schema.sides == ("premise", "hypothesis")
    assert found.train.samples.read(0).second.startswith("Some ")
    assert "Pairs of texts come from columns 'premise', 'hypothesis'." in found.notes
    renamed = frame.rename(columns={"premise": "a, or b", "hypothesis": "c"})
    said = hs.load(renamed.rename(columns={"a, or b": "a"}), text="a,c")
    assert said.schema.sides == ("a", "c")
    assert said.fingerprint == found.fingerprint
    assert said_columns("a, or b", ["a, or b"]) == ("a, or b",)
    alone = hs.load(renamed, text="a, or b")
    assert alone.schema.sides == ()
    with pytest.raises(DataError, match="'hypo' is missing"):
        hs.load(frame, text="premise,hypo")


def test_lists_of_two_texts_are_pairs():
    frame = _pairs(60, 1)
    pairs = list(zip(frame.premise, frame.hypothesis, strict=True))
    found = hs.load((pairs, frame.label.tolist()))
    assert found.schema.sides == ("first", "second")
    assert found.train.samples.read(0).first.startswith("A ")
    assert as_pairs([("a", "b", "c")]) is None
    assert as_pairs([(1.0, 2.0)]) is None


def test_an_empty_side_is_told_and_left_out():
    frame = _pairs(200, 1).drop(columns="closeness")
    frame.loc[7, "hypothesis"] = None
    found = hs.load(frame)
    assert [(bad.name, bad.reason) for bad in found.bad_samples] == [
        ("row 8", "of the second of its two texts: the text is empty")
    ]


def test_pairs_that_stand_there_turned_are_kept_together_and_said():
    frame = _pairs(80, 2).drop(columns="closeness")
    turned = frame.iloc[:12].rename(columns={"premise": "hypothesis", "hypothesis": "premise"})
    found = hs.load(pd.concat([frame, turned], ignore_index=True))
    (said,) = [note for note in found.notes if "turned" in note]
    assert said.startswith("12 pairs are another one with its two texts turned")
    assert said.endswith("keeps both on one side.")
    sides = {}
    for name in ("train", "val", "test"):
        for place in range(len(found.split(name))):
            pair = found.split(name).samples.read(place)
            sides.setdefault(frozenset((pair.first, pair.second)), set()).add(name)
    assert all(len(names) == 1 for names in sides.values())
    with_split = pd.concat([frame.assign(split="train"), turned.assign(split="test")])
    leaks = hs.load(with_split.reset_index(drop=True)).findings
    assert any("of 12 test pairs are in train in one of both orders" in f.sentence for f in leaks)


def test_texts_that_test_shares_with_train_are_said():
    frame = _pairs(120, 3).drop(columns="closeness")
    frame["premise"] = [f"A story of number {i // 4}." for i in range(len(frame))]
    frame["hypothesis"] += [f" It is {i}." for i in range(len(frame))]
    found = hs.load(frame)
    (said,) = [f.sentence for f in found.findings if f.kind == "group"]
    assert "--group premise" in said
    together = hs.load(frame, group="premise")
    assert together.schema.sides == ("premise", "hypothesis")
    known = {together.train.samples.read(i).first for i in range(len(together.train))}
    assert not known & {together.test.samples.read(i).first for i in range(len(together.test))}


def test_both_are_cut_as_the_tokenizers_own_truncation_cuts_them(run):
    tokenizer = run.preprocess.tokenizer
    tokenizers = pytest.importorskip("tokenizers")
    backend = tokenizers.Tokenizer.from_str(tokenizer.files()["tokenizer.json"].decode())
    rng = np.random.default_rng(0)
    words = [*ANIMALS, *PLACES, "the", "a"]
    for most in (7, 12, 31):
        own = tokenizer.with_max_length(most)
        backend.enable_truncation(most, strategy="longest_first")
        for _ in range(40):
            first, second = (" ".join(rng.choice(words, rng.integers(1, 25))) for _ in range(2))
            (ids,), (length,), (seam,) = encode_pairs(own, [TextPair(first, second)])
            wanted = backend.encode(first, second)
            assert ids.tolist() == wanted.ids
            assert ([0] * seam + [1] * (len(ids) - seam)) == wanted.type_ids
            assert length >= len(ids)
    assert kept_of_both(1, 1, 1) == (0, 1)


def test_a_network_learns_what_both_texts_share(run):
    assert run.schema.sides == ("premise", "hypothesis")
    assert [one.name for one in run.preprocess.inputs][-1] == "token_type_ids"
    ladder = run.metrics["before_after"]["figures"]
    assert "TF-IDF + linear" in ladder
    assert ladder["TF-IDF + linear"]["value"] > 0.8  # it sees what both share
    again = hs.evaluate(str(run.path))
    figure = run.metrics["test"]["figures"]["accuracy"]["value"]
    assert again.metrics["test"]["figures"]["accuracy"]["value"] == pytest.approx(figure)
    assert "PAIRS.csv" in (run.path / "README.md").read_text()


def test_predict_takes_tables_tuples_and_objects(run, tmp_path):
    frame = _pairs(9, 5)[["hypothesis", "premise"]]
    expected = [one.label for one in run.predict(frame)]
    pairs = list(zip(frame.premise, frame.hypothesis, strict=True))
    assert [one.label for one in run.predict(pairs)] == expected
    assert [one.label for one in run.predict(frame.to_dict("records"))] == expected
    frame.to_csv(tmp_path / "new.tsv", index=False, sep="\t")
    frame.to_json(tmp_path / "new.jsonl", orient="records", lines=True)
    for name in ("new.tsv", "new.jsonl"):
        assert [one.label for one in hs.predict(str(run.path), [str(tmp_path / name)])] == expected
    turned = [(second, first) for first, second in pairs]
    assert not np.allclose(
        [one.probability for one in run.predict(turned)],
        [one.probability for one in run.predict(pairs)],
    )


def test_one_text_alone_is_refused_with_what_is_expected(run, tmp_path):
    with pytest.raises(DataError, match="reads pairs of texts; expected two texts"):
        run.predict(["A cat."])
    with pytest.raises(DataError, match="'premise', 'hypothesis'"):
        hs.predict(str(run.path), ["A cat."])
    frame = _pairs(3, 0)[["premise"]]
    with pytest.raises(DataError, match="Column 'hypothesis' is missing"):
        run.predict(frame)
    frame.assign(hypothesis="An owl sleeps.").to_csv(tmp_path / "both.csv", index=False)
    assert len(hs.predict(str(run.path), [str(tmp_path / "both.csv")])) == 3


def test_transformers_gives_the_same_logits_on_pairs(run, tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = str(hs.export(str(run.path), to="transformers", out=str(tmp_path / "hf")))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    reader = transformers.AutoTokenizer.from_pretrained(folder)
    frame = _pairs(6, 7)
    given = reader(
        frame.premise.tolist(),
        frame.hypothesis.tolist(),
        truncation=True,
        padding=True,
        return_tensors="pt",
    )
    assert "token_type_ids" in given
    with torch.no_grad():
        logits = model(**given).logits / model.config.headstart["temperature"]
    told = [one.probabilities for one in run.predict(frame)]
    assert np.allclose(logits.softmax(1).numpy(), told, atol=1e-5)


def test_a_server_takes_two_fields(run, tmp_path):
    bundle = hs.export(str(run.path), to="onnx", out=str(tmp_path / "bundle"))
    frame = _pairs(4, 9)[["premise", "hypothesis"]]
    rows, expected = frame.to_dict("records"), run.predict(frame)
    with ServingProcess(bundle) as server:
        (told,) = server.get("/v1/models")["models"]
        assert told["columns"] == ["premise", "hypothesis"]
        example = told["example"]
        assert server.post("/v1/predict", json.loads(example["body"]))["predictions"]
        for body in (rows, {"pairs": rows}, [list(row.values()) for row in rows]):
            found = server.post("/v1/predict", body)["predictions"]
            assert [one["label"] for one in found] == [one.label for one in expected]
            assert found[0]["probability"] == pytest.approx(expected[0].probability, abs=1e-5)
        found = server.post("/v1/predict", frame.to_csv(index=False).encode(), "text/csv")
        assert [one["label"] for one in found["predictions"]] == [one.label for one in expected]
        columns = [
            {"name": n, "datatype": "BYTES", "shape": [4], "data": frame[n].tolist()} for n in frame
        ]
        path = f"/v2/models/{told['name']}/infer"
        assert server.post(path, {"inputs": columns})["outputs"][0]["shape"][0] == 4


def test_similarity_is_a_number_with_both_correlations(tmp_path):
    frame = _pairs(240, 11).drop(columns="label")
    frame.to_csv(tmp_path / "close.csv", index=False)
    run = hs.finetune(
        hs.load(str(tmp_path / "close.csv"), label="closeness", task="regression"),
        start="scratch/tfidf",
        out=str(tmp_path / "run"),
        device="cpu",
    )
    figures = run.metrics["test"]["figures"]
    for name in ("pearson", "spearman"):
        assert figures[name]["low"] < figures[name]["value"] < figures[name]["high"]
    assert figures["pearson"]["value"] > 0.8
    assert "Spearman's" in run.report()
    opened = Run(str(run.path))
    assert [one.value for one in opened.predict(frame[:5])] == pytest.approx(
        [one.value for one in run.predict(frame[:5])]
    )
    assert hs.export(str(run.path), to="onnx", out=str(tmp_path / "bundle")).is_dir()
