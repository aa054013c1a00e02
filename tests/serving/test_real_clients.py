"""Clients that others wrote: tritonclient, schemathesis (extra ``clients``), curl, many at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from queue import Queue

import numpy as np
import pytest
from serving_process import SECONDS, ServingProcess
from small_runs import table

from headstart.bundles import open_bundle

pytestmark = pytest.mark.slow
NUM_REQUESTS, NUM_CLIENTS = 2_000, 64


@pytest.fixture(scope="module")
def server(mlp_bundle, text_bundle, image_bundle):
    with ServingProcess(mlp_bundle[1], text_bundle[1], image_bundle[1]) as running:
        yield running


def test_each_of_two_thousand_at_once_gets_its_own_answer(server, mlp_bundle):
    bundle = open_bundle(mlp_bundle[1])
    inputs = bundle.read(table().drop(columns="label").to_dict("records"))
    own = bundle.arrays(inputs, np.arange(len(inputs[0])))[0]
    draw = np.random.default_rng(0)
    width = own["numbers"].shape[1]
    numbers = draw.normal(0, 1, (NUM_REQUESTS, width)).astype(np.float32)
    codes = own["codes"][draw.integers(0, len(own["codes"]), NUM_REQUESTS)]
    work: Queue[int] = Queue()
    for number in range(NUM_REQUESTS):
        work.put(number)
    found: dict[int, np.ndarray] = {}
    faults: list[object] = []

    def client() -> None:
        import http.client
        import time
        from queue import Empty

        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
        while True:
            try:
                number = work.get_nowait()
            except Empty:
                break
            tensors = [
                {"name": "numbers", "datatype": "FP32", "data": numbers[number].tolist()},
                {"name": "codes", "datatype": "INT64", "data": codes[number].tolist()},
            ]
            for one in tensors:
                one["shape"] = [1, len(one["data"])]
            body = json.dumps({"id": str(number), "inputs": tensors})
            while True:
                connection.request(
                    "POST", "/v2/models/rows/infer", body, {"Content-Type": "application/json"}
                )
                response = connection.getresponse()
                told = json.loads(response.read())
                if response.status != 503:
                    break
                time.sleep(0.05)  # it says so itself: Retry-After
            if response.status != 200 or told["id"] != str(number):
                faults.append((response.status, told))
                continue
            found[number] = np.array(told["outputs"][0]["data"])
        connection.close()

    clients = [threading.Thread(target=client) for _ in range(NUM_CLIENTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    assert not faults
    assert len(found) == NUM_REQUESTS
    for number in range(NUM_REQUESTS):
        place = slice(number, number + 1)
        alone = bundle.outputs(bundle.run([{"numbers": numbers[place], "codes": codes[place]}]))
        assert np.abs(found[number] - alone[0]).max() < 1e-6


def test_tritonclient_asks_by_json_and_bytes(server, mlp_bundle, text_bundle, image_bundle):
    client = pytest.importorskip("tritonclient.http")
    asking = client.InferenceServerClient(f"127.0.0.1:{server.port}")
    assert asking.is_server_live()
    assert asking.is_server_ready()
    assert asking.is_model_ready("rows")
    assert not asking.is_model_ready("nobody")
    assert asking.get_server_metadata()["name"] == "headstart"
    assert asking.get_model_metadata("texts")["inputs"][0]["name"] == "text"
    run = mlp_bundle[0]
    rows = table().drop(columns="label").iloc[:5].to_dict("records")
    arrays = dict(
        zip(("numbers", "codes"), run.preprocess.read(rows).arrays(np.arange(5)), strict=True)
    )
    expected = np.array([one.probabilities for one in run.predict(rows)])
    answers = []
    for is_binary in (True, False):
        inputs = []
        for name, datatype in (("numbers", "FP32"), ("codes", "INT64")):
            one = client.InferInput(name, list(arrays[name].shape), datatype)
            one.set_data_from_numpy(arrays[name], binary_data=is_binary)
            inputs.append(one)
        outputs = [client.InferRequestedOutput("probabilities", binary_data=is_binary)]
        for options in ({}, {"request_compression_algorithm": "gzip"}):
            told = asking.infer("rows", inputs, outputs=outputs, request_id="seven", **options)
            assert told.get_response()["id"] == "seven"
            answers.append(told.as_numpy("probabilities"))
        told = asking.infer("rows", inputs, response_compression_algorithm="gzip")
        labels = [one.decode() if isinstance(one, bytes) else one for one in told.as_numpy("label")]
        assert labels == [one.label for one in run.predict(rows)]
    assert all((one == answers[0]).all() for one in answers)
    assert np.abs(answers[0] - expected).max() < 1e-5
    texts = np.array(["hum hum", "Grüße aus Zürich"], object)
    for is_binary in (True, False):
        one = client.InferInput("text", [2], "BYTES")
        one.set_data_from_numpy(texts, binary_data=is_binary)
        found = asking.infer("texts", [one]).as_numpy("probabilities")
        wanted = [each.probabilities for each in text_bundle[0].predict(texts.tolist())]
        assert np.abs(found - np.array(wanted)).max() < 1e-5
    picture = next(image_bundle[0].path.parent.rglob("0.png")).read_bytes()
    one = client.InferInput("image", [1], "BYTES")
    one.set_data_from_numpy(np.array([picture], object))
    found = asking.infer("pictures", [one]).as_numpy("probabilities")
    assert np.abs(found[0] - image_bundle[0].predict([picture])[0].probabilities).max() < 1e-5
    with pytest.raises(client.InferenceServerException, match="no model 'nobody'"):
        asking.infer("nobody", [one])
    asking.close()


CHECKS = ("not_a_server_error", "content_type_conformance", "response_schema_conformance")


def schemathesis(folder: Path, where: str, *words: str, examples: int = 60) -> None:
    """Let schemathesis ask what a document allows, and what it does not."""
    pytest.importorskip("schemathesis")
    command = [sys.executable, "-m", "schemathesis.cli", "run", where, *words]
    command += ["--max-examples", str(examples), "--phases", "coverage,fuzzing"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_schemathesis_finds_no_fault_by_the_own_document(server, tmp_path):
    url = f"http://127.0.0.1:{server.port}/openapi.json"
    schemathesis(tmp_path, url, "--checks", ",".join((*CHECKS, "status_code_conformance")))
    assert "fault:" not in server.log


def test_schemathesis_finds_no_fault_by_the_document_of_the_protocol(server, tmp_path):
    """Its statuses are left out: it knows of 200 and 400 alone."""
    yaml = pytest.importorskip("yaml")
    text = (Path(__file__).parent / "open_inference_rest.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(text.replace("${", "{"))
    version = server.get("/v2/models/rows")["versions"][0]
    known = {"MODEL_NAME": "rows", "MODEL_VERSION": version}
    for path in document["paths"].values():
        for parameter in path.get("parameters", ()):
            parameter["schema"]["enum"] = [known[parameter["name"]]]
    (tmp_path / "protocol.json").write_text(json.dumps(document))
    url = f"http://127.0.0.1:{server.port}"
    schemathesis(tmp_path, "protocol.json", "--url", url, "--checks", ",".join(CHECKS))
    assert "fault:" not in server.log


def curl(*words: str) -> tuple[int, str]:
    """Return status and body of what curl gets."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    command = ["curl", "-sS", "-w", "\n%{http_code}", *words]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    body, _, status = told.rpartition("\n")
    return int(status), body


def test_curl_asks_as_the_page_of_the_server_says(server, image_bundle, text_bundle, tmp_path):
    place = f"http://127.0.0.1:{server.port}"
    picture = next(image_bundle[0].path.parent.rglob("0.png"))
    kinds = {
        "pictures": ("image/png", f"@{picture}"),
        "texts": ("text/plain", "hum hum and flies away"),
        "rows": ("application/json", json.dumps(table().drop(columns="label").iloc[5].to_dict())),
    }
    for name, (kind, data) in kinds.items():
        words = ("-H", f"Content-Type: {kind}", "--data-binary", data)
        status, body = curl(*words, f"{place}/v1/predict?model={name}")
        assert status == 200, body
        assert json.loads(body)["predictions"][0]["label"]
    status, body = curl("-X", "POST", "-H", "Expect: 100-continue", f"{place}/v1/predict?model=no")
    assert (status, list(json.loads(body))) == (404, ["error"])
    assert curl(f"{place}/v2/health/ready")[0] == 200
    assert curl("--http1.0", f"{place}/v2")[0] == 200
    assert curl("-I", f"{place}/v2")[0] == 200
