"""A line a request: how it ended and whose trace it is, and nothing that was asked."""

from __future__ import annotations

import asyncio
import json

import pytest
from serving_process import ServingProcess

import headstart as hs
from headstart.errors import OptionError
from headstart.serving import RequestLog, ServerMeasures
from headstart.serving.gate import Gate
from headstart.serving.request_log import trace_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CANARY = "canary-of-the-mine"
ROW = b'[{"x": 1.0, "y": 0.5, "land": "AT", "when": "2024-01-01", "ok": "yes"}]'


@pytest.mark.parametrize("said", [f"00-{TRACE}-{PARENT}-01", f" 00-{TRACE}-{PARENT}-00 "])
def test_a_trace_is_read(said):
    assert trace_of([(b"host", b"x"), (b"traceparent", said.encode())]) == TRACE
    later = f"cc-{TRACE}-{PARENT}-01-what-will-be".encode()
    assert trace_of([(b"traceparent", later)]) == TRACE


@pytest.mark.parametrize(
    "said",
    [
        "",
        TRACE,
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01-",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"0-{TRACE}-{PARENT}-01",
        f'00-{TRACE}-{PARENT}-01", "label": "forged',
        f"cc-{TRACE}-{PARENT}-01-\u00e9",
    ],
)
def test_what_is_no_trace_is_none(said):
    assert trace_of([(b"traceparent", said.encode())]) is None


def test_two_traces_are_none():
    said = (b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())
    assert trace_of([said, said]) is None


def test_a_line_a_request_and_nothing_that_was_asked(mlp_bundle, text_bundle, tmp_path):
    path = tmp_path / "requests.jsonl"
    said = f"00-{TRACE}-{PARENT}-01"
    with ServingProcess(
        mlp_bundle[1], text_bundle[1], options=("--request-log", str(path))
    ) as server:
        rows = server.post("/v1/predict?model=rows", ROW, Traceparent=said)
        texts = server.post(f"/v1/predict?model=texts&explain=0&x={CANARY}", [CANARY, "hum"])
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [CANARY]}
        body = {"id": "seven\n", "inputs": [tensor]}
        told = server.post("/v2/models/texts/infer", body)
        for method, asked, content in (
            ("GET", f"/{CANARY}", None),
            ("POST", f"/v2/models/{CANARY}/infer", b"{}"),
            ("POST", "/v1/predict?model=rows", json.dumps([{"x": CANARY}]).encode()),
            ("GET", "/v2/health/ready", None),
        ):
            server.ask(method, asked, content, content_type="application/json")
    text = path.read_text()
    assert CANARY not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(one["method"], one.get("path"), one["status"]) for one in lines] == [
        ("POST", "/v1/predict", 200),
        ("POST", "/v1/predict", 200),
        ("POST", "/v2/models/MODEL/infer", 200),
        ("GET", None, 404),
        ("POST", "/v2/models/MODEL/infer", 404),
        ("POST", "/v1/predict", 400),
        ("GET", "/v2/health/ready", 200),
    ]
    first, second, third, *others = lines
    answer = rows["predictions"][0]
    assert (first["label"], first["probability"]) == (answer["label"], answer["probability"])
    assert (first["trace"], first["model"], first["version"]) == (TRACE, "rows", rows["version"])
    assert (first["bytes"], first["rows"], first["sent"]) == (
        len(ROW), 1, len(json.dumps(rows, separators=(",", ":")))
    )  # fmt: skip
    assert (second["rows"], "label" in second, "trace" in second) == (2, False, False)
    assert len(texts["predictions"]) == 2
    assert (third["id"], third["rows"]) == ("seven?", 1)
    assert third["label"] == {o["name"]: o["data"] for o in told["outputs"]}["label"][0]
    assert not [one for one in others if "label" in one]
    assert all(one["ms"] > 0 and one["time"].endswith("+00:00") for one in lines)


def test_a_fault_is_told_with_its_trace_and_a_full_disk_stops_no_answer(capsys, tmp_path):
    async def fails(scope, receive, send):
        raise KeyError(CANARY)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    log = RequestLog(tmp_path / "requests.jsonl")
    gate = Gate(fails, [], ServerMeasures(), log)
    headers = [(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())]
    scope = {"type": "http", "path": "/", "method": "GET", "headers": headers}
    asyncio.run(gate(dict(scope), receive, send))
    assert sent[0]["status"] == 500
    line = json.loads((tmp_path / "requests.jsonl").read_text())
    assert (line["status"], line["trace"]) == (500, TRACE)
    said = capsys.readouterr().err
    assert f", trace {TRACE}" in said
    assert CANARY not in said
    log.close()
    full = RequestLog("/dev/full")
    gate = Gate(fails, [], ServerMeasures(), full)
    for _ in range(3):
        asyncio.run(gate(dict(scope), receive, send))
    full.close()
    assert [one["status"] for one in sent if "status" in one] == [500] * 4
    assert capsys.readouterr().err.count("The request log cannot be written (No space left") == 1


def test_a_log_that_cannot_be_written_is_refused_at_once(mlp_bundle, tmp_path, heard):
    with pytest.raises(OptionError, match=r"--request-log .* cannot be written") as raised:
        hs.serve([str(mlp_bundle[1])], request_log=str(tmp_path / "none" / "log.jsonl"))
    with ServingProcess(
        mlp_bundle[1], options=("--request-log", str(tmp_path / "log.jsonl"))
    ) as server:
        assert server.get("/v2/health/ready") == {"ready": True}
    heard(raised.value)
