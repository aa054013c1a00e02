"""Tags of words as a bundle: spans from ONNX Runtime and over HTTP are those of ``predict``."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serving_process import ServingProcess
from small_runs import tag_run, tagged_sentences

import headstart as hs
from headstart.bundles import GOLDEN, MANIFEST, manifest_bytes, verify_bundle
from headstart.errors import ExportError

LONG = " ".join(["w1 w2 w3"] * 60 + ["Ada lives in Rome 5"] + ["w4 w5"] * 80)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tag_run(tmp_path_factory.mktemp("tags"))


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    return hs.export(str(run.path), to="onnx", out=str(tmp_path_factory.mktemp("tagger") / "names"))


def _spans(predictions):
    return [[(s.start, s.end, s.label, s.text) for s in one.spans] for one in predictions]


def test_a_bundle_tells_the_same_spans_in_batches_and_in_windows(run, bundle):
    said = [
        "w1 Ada lives  in New York 5",
        LONG,
        "nothing here 3",
        "Ada",
        LONG + " Bob lives in Oslo",
    ]
    wanted = run.predict(said)
    opened, agreement = verify_bundle(bundle)
    assert agreement.holds
    assert "val samples of the run's data" in opened.record.parity["samples"]
    assert max(len(LONG.split()), 200) > opened.preprocess.max_length
    for found in (opened.predict(said), [opened.predict([text])[0] for text in said]):
        assert _spans(found) == _spans(wanted)
        sure = [[span.probability for span in one.spans] for one in found]
        for ours, theirs in zip(sure, wanted, strict=True):
            assert ours == pytest.approx([s.probability for s in theirs.spans], abs=1e-5)


def test_golden_words_are_held_against_the_network(bundle, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle, damaged)
    with np.load(damaged / GOLDEN) as file:
        kept = dict(file)
    kept["0.logits"][0] += 1
    np.savez(damaged / GOLDEN, **kept)
    (damaged / MANIFEST).write_bytes(manifest_bytes(damaged))
    with pytest.raises(ExportError, match="golden samples"):
        verify_bundle(damaged)


def test_mlflow_reads_that_logits_are_of_tokens(bundle):
    record = json.loads((bundle / "MLmodel").read_text())
    (output,) = json.loads(record["signature"]["outputs"])
    assert output["tensor-spec"]["shape"] == [-1, -1, 5]


@pytest.mark.parametrize("to", ["pt2", "safetensors"])
def test_programs_and_weights_of_tags_give_the_same_logits(to, run, tmp_path):
    folder = hs.export(str(run.path), to=to, out=str(tmp_path / "out"))
    if to == "safetensors":
        assert _spans(hs.predict(str(folder), [LONG])) == _spans(run.predict([LONG]))


def test_whole_numbers_for_tags_are_refused(run, bundle, tmp_path, heard):
    with pytest.raises(ExportError, match="it tells of words") as told:
        hs.export(str(run.path), to="onnx", int8=True, out=str(tmp_path / "int8"))
    assert bundle.is_dir()  # exported as advised
    heard(told.value)


def test_a_server_tells_spans_as_predict_does(run, bundle):
    said = ["w1 Ada lives  in New York 5", LONG]
    wanted = run.predict(said)
    with ServingProcess(bundle) as server:
        one = server.post("/v1/predict", said[0].encode(), "text/plain")
        assert one["predictions"][0]["name"] == "text 1"
        both = server.post("/v1/predict", said)
        assert "windows" in both["notes"][0]
        for found, expected in zip(both["predictions"], wanted, strict=True):
            theirs = expected.to_json()["spans"]
            sure = [
                [span.pop("probability") for span in spans] for spans in (found["spans"], theirs)
            ]
            assert found["spans"] == theirs
            assert sure[0] == pytest.approx(sure[1], abs=1e-5)
        tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": said}
        told = server.post("/v2/models/names/infer", {"inputs": [tensor]})
        by_name = {one["name"]: one for one in told["outputs"]}
        texts = by_name["spans"]["data"]
        assert [[s["text"] for s in json.loads(text)] for text in texts] == [
            [s["text"] for s in one["spans"]] for one in both["predictions"]
        ]
        assert by_name["label"]["data"] == [one.label for one in wanted]
        shapes = {one["name"]: one["shape"] for one in server.get("/v2/models/names")["outputs"]}
        assert shapes == {"spans": [-1], "label": [-1]}
        ids = {"name": "input_ids", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}
        body = json.dumps({"inputs": [ids]}).encode()
        status, _, refused = server.ask("POST", "/v2/models/names/infer", body)
        assert status == 400
        assert b"expected text" in refused
        kind = {"content_type": "text/plain"}
        status, _, refused = server.ask("POST", "/v1/predict?explain=1", b"Ada", **kind)
        assert status == 400
        assert b"tells of words" in refused
        counted = server.ask("GET", "/metrics")[2].decode()
        assert 'headstart_predictions_total{class="PER",model="names"}' in counted


def test_many_at_once_get_the_spans_that_each_gets_alone(run, bundle):
    texts = [f"w{i} {['Ada', 'Bob', 'Cy', 'Dora'][i % 4]} lives in Rome {i}" for i in range(40)]
    texts += [LONG + " " + text for text in texts[:8]]
    alone = _spans(run.predict(texts))
    with ServingProcess(bundle) as server, ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda text: server.post("/v1/predict", [text]), texts))
    told = [one["predictions"][0]["spans"] for one in found]
    assert [
        [(s["start"], s["end"], s["label"], s["text"]) for s in spans] for spans in told
    ] == alone


def test_windows_of_tags_are_watched(run, bundle):
    texts = [" ".join(words) for words in tagged_sentences(60, 7)[0]] * 4
    state = hs.monitor(str(bundle), texts)
    assert state.state["windows"]


def test_a_linear_tagger_is_served_and_watched_as_any_other(run, tmp_path):
    data = str(run.data["source"]["source"])
    linear = hs.finetune(
        data, start="scratch/linear-tagger", out=str(tmp_path / "run"), device="cpu", quiet=True
    )
    bundle = hs.export(str(linear.path), to="onnx", out=str(tmp_path / "names"))
    texts = [f"w{i} {['Ada', 'Bob', 'Cy', 'Dora'][i % 4]} lives in Rome {i}" for i in range(24)]
    texts += [LONG, "Ada"]
    alone = _spans(linear.predict(texts))
    assert alone[0]
    with ServingProcess(bundle) as server, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda text: server.post("/v1/predict", [text]), texts))
        both = server.post("/v1/predict", texts)["predictions"]
    told = [one["predictions"][0]["spans"] for one in found]
    for spans in (told, [one["spans"] for one in both]):
        assert [
            [(s["start"], s["end"], s["label"], s["text"]) for s in each] for each in spans
        ] == alone
    assert hs.monitor(str(bundle), texts * 10).state["windows"]
