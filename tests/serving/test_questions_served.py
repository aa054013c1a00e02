"""Answers in contexts as a bundle: from ONNX Runtime and over HTTP as ``predict`` gives them."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from serving_process import ServingProcess
from small_questions import question_run, squad

import headstart as hs
from headstart.bundles import verify_bundle
from headstart.types import TextPair

FILLER = " ".join(f"w{i % 30}" for i in range(90))
ASKED = [
    ("Where does one live ?", "  w1 Ada lives in New York and sells green tea ."),
    ("How old is one ?", "w1 Ada lives in New York and sells green tea ."),
    ("What does one sell ?", f"{FILLER} Alan lives in Rome and sells green tea . {FILLER}"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return question_run(tmp_path_factory.mktemp("questions"))


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    return hs.export(str(run.path), to="onnx", out=str(tmp_path_factory.mktemp("b") / "reader"))


def _told(predictions):
    return [
        {name: value for name, value in one.items() if name not in ("name", "probability")}
        for one in predictions
    ]


def test_a_bundle_answers_as_the_run_does(run, bundle):
    wanted = run.predict(ASKED)
    opened, agreement = verify_bundle(bundle)
    assert agreement.holds
    assert agreement.allowed < 0.01  # places in texts are no part of what is compared
    pairs = [TextPair(*one) for one in ASKED]
    for found in (opened.predict(pairs), [opened.predict([pair])[0] for pair in pairs]):
        assert _told(one.to_json() for one in found) == _told(one.to_json() for one in wanted)
        assert [one.probability for one in found] == pytest.approx(
            [one.probability for one in wanted], abs=1e-4
        )
    record = json.loads((bundle / "MLmodel").read_text())
    (output,) = json.loads(record["signature"]["outputs"])
    assert output["tensor-spec"]["shape"] == [-1, -1, 2]


@pytest.mark.parametrize("to", ["pt2", "safetensors"])
def test_programs_and_weights_give_the_same_logits(to, run, tmp_path):
    folder = hs.export(str(run.path), to=to, out=str(tmp_path / "out"))
    if to == "safetensors":
        path = tmp_path / "asked.csv"
        pd.DataFrame(ASKED, columns=["question", "context"]).to_csv(path, index=False)
        found, wanted = hs.predict(str(folder), [str(path)]), run.predict(ASKED)
        assert [one.text for one in found] == [one.text for one in wanted]


def test_a_server_answers_as_predict_does(run, bundle):
    wanted = [one.to_json() for one in run.predict(ASKED)]
    asked = [dict(zip(("question", "context"), one, strict=True)) for one in ASKED]
    with ServingProcess(bundle) as server:
        told = server.post("/v1/predict", asked)
        assert "windows" in told["notes"][0]
        assert _told(told["predictions"]) == _told(wanted)
        tensors = [
            {"name": name, "shape": [3], "datatype": "BYTES", "data": [one[name] for one in asked]}
            for name in ("question", "context")
        ]
        turned = server.post("/v2/models/reader/infer", {"inputs": tensors[::-1]})
        answers = server.post("/v2/models/reader/infer", {"inputs": tensors})
        assert turned["outputs"] == answers["outputs"]  # names say which is which
        by_name = {one["name"]: one for one in answers["outputs"]}
        assert _told(json.loads(text) for text in by_name["answer"]["data"]) == _told(wanted)
        assert by_name["label"]["data"][1] == "no answer"
        body = json.dumps([asked[0]]).encode()
        kind = {"content_type": "application/json"}
        status, _, refused = server.ask("POST", "/v1/predict?explain=1", body, **kind)
        assert status == 400
        assert b"explained are classes" in refused
        counted = server.ask("GET", "/metrics")[2].decode()
        assert 'headstart_predictions_total{class="answer",model="reader"}' in counted


def test_answers_are_watched(bundle, tmp_path):
    path = tmp_path / "new.json"
    path.write_text(json.dumps(squad(40, 5)))
    state = hs.monitor(str(bundle), [str(path)])
    assert state.state["windows"]
