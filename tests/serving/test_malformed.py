"""Requests that are not as documented: 4xx and ``{"error": …}``, and the server lives."""

from __future__ import annotations

import gzip
import json
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from serving_process import ServingProcess

from headstart.serving.refusals import Refusal
from headstart.serving.tensors import texts_of

# tells of every file that is looked for by a name that a stranger has sent
WATCHFUL = """
import sys
def hear(event, given):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(given[0], (str, bytes)):
        path = str(given[0])
        if any(word in path for word in ("passwd", "..", "%2e", "nobody", "xxxxxxxx")):
            print("looked for", repr(path), file=sys.stderr)
sys.addaudithook(hear)
"""


@pytest.fixture(scope="module")
def server(mlp_bundle, image_bundle):
    with ServingProcess(mlp_bundle[1], image_bundle[1], code=WATCHFUL) as running:
        yield running


@pytest.fixture(scope="module")
def paths(server):
    listed = {one["reads"]: one["name"] for one in server.get("/v1/models")["models"]}
    return {
        "infer": f"/v2/models/{listed['table']}/infer",
        "rows": f"/v1/predict?model={listed['table']}",
        "image": f"/v1/predict?model={listed['image']}",
    }


NUMBERS = {"name": "numbers", "datatype": "FP32", "shape": [1, 7], "data": [0.5] * 7}
CODES = {"name": "codes", "datatype": "INT64", "shape": [1, 1], "data": [1]}


def sent(**changes: object) -> bytes:
    """Return a request in which something of the numbers is changed."""
    return json.dumps({"inputs": [{**NUMBERS, **changes}, CODES]}).encode()


def whole(**more: object) -> bytes:
    return json.dumps({"inputs": [NUMBERS, CODES], **more}).encode()


MALFORMED = {
    "truncated JSON": whole()[:-5],
    "no body": b"",
    "no UTF-8": b'{"inputs": "\xff\xfe"}',
    "a list": b"[]",
    "null": b"null",
    "an empty object": b"{}",
    "no inputs": b'{"inputs": []}',
    "inputs that are no objects": b'{"inputs": [1, 2]}',
    "another input name": sent(name="zahlen"),
    "an input missing": json.dumps({"inputs": [NUMBERS]}).encode(),
    "another datatype": sent(datatype="INT64", data=[1] * 7),
    "an unknown datatype": sent(datatype="FOO"),
    "a negative shape": sent(shape=[-1, 7]),
    "a huge shape": sent(shape=[2**40, 2**40]),
    "a shape of texts": sent(shape=["1", "7"]),
    "a shape of truths": sent(shape=[True, 7]),
    "fewer values than the shape": sent(data=[0.5] * 6),
    "texts for numbers": sent(data=["0.5"] * 7),
    "truths for numbers": sent(data=[True] * 7),
    "another rank": sent(shape=[7]),
    "another width": sent(shape=[1, 6], data=[0.5] * 6),
    "null among values": sent(data=[0.5] * 6 + [None]),
    "rows of different lengths": sent(data=[[0.5] * 6, [0.5]]),
    "NaN": whole().replace(b"0.5", b"NaN", 1),
    "infinity": whole().replace(b"0.5", b"1e999", 1),
    "too large for its type": whole().replace(b"0.5", b"1e39", 1),
    "deep nesting": b'{"inputs": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "a key twice": whole()[:-1] + b', "inputs": []}',
    "two inputs of one name": json.dumps({"inputs": [NUMBERS, NUMBERS]}).encode(),
    "an unknown field": whole(surprise=1),
    "an unknown output": whole(outputs=[{"name": "gold"}]),
    "an id that is no text": whole(id=7),
    "a code beyond the table": json.dumps(
        {"inputs": [NUMBERS, {**CODES, "data": [10**6]}]}
    ).encode(),
    "a code below zero": json.dumps({"inputs": [NUMBERS, {**CODES, "data": [-1]}]}).encode(),
    "no rows": sent(shape=[0, 7], data=[]),
    "different numbers of rows": sent(shape=[2, 7], data=[0.5] * 14),
    "bytes that are not there": sent(data=[], parameters={"binary_data_size": 28}),
}


def is_refusal(body: bytes) -> bool:
    told = json.loads(body)
    return list(told) == ["error"] and isinstance(told["error"], str) and bool(told["error"])


def test_the_request_that_is_changed_below_is_answered(server, paths):
    assert len(server.post(paths["infer"], whole())["outputs"]) == 2
    assert len(server.post(paths["infer"], sent())["outputs"]) == 2


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_requests_are_refused_in_one_form(server, paths, kind):
    body = MALFORMED[kind]
    status, _, told = server.ask("POST", paths["infer"], body, content_type="application/json")
    assert 400 <= status < 500, told
    assert is_refusal(told), told
    assert "Traceback" not in told.decode()
    assert "/" not in re.sub(r"/docs|and/or", "", told.decode())  # no path of the server


TOO_MUCH = {
    "rows": (
        "infer",
        json.dumps(
            {
                "inputs": [
                    {**NUMBERS, "shape": [5000, 7], "data": [0.5] * 35_000},
                    {**CODES, "shape": [5000, 1], "data": [1] * 5000},
                ]
            }
        ).encode(),
        {},
        413,
    ),
    "rows of /v1/predict": ("rows", json.dumps([{"x": 1}] * 5000).encode(), {}, 413),
    "bytes": ("rows", b" " * (17 * 2**20), {}, 413),
    "a bomb": ("rows", gzip.compress(b" " * 2**27), {"Content_Encoding": "gzip"}, 413),
    "no gzip": ("rows", b"plain", {"Content_Encoding": "gzip"}, 400),
    "cut gzip": ("rows", gzip.compress(b"[]" * 99)[:-9], {"Content_Encoding": "gzip"}, 400),
    "another packing": ("rows", b"x", {"Content_Encoding": "br"}, 415),
    "a form": ("rows", b"a=b", {"content_type": "multipart/form-data; boundary=x"}, 415),
    "another charset": ("rows", b"[]", {"content_type": "application/json; charset=utf-16"}, 415),
    "an image for rows": ("rows", b"x", {"content_type": "image/png"}, 415),
    "an address for an image": (
        "image", b'"http://169.254.169.254/"', {"content_type": "application/json"}, 415
    ),
    "no image": ("image", b"<html>", {"content_type": "image/png"}, 400),
    "an empty image": ("image", b"", {"content_type": "image/png"}, 400),
    "nested rows": ("rows", b'[{"x": {"y": 1}}]', {}, 400),
    "rows without columns": ("rows", b"[{}]", {}, 400),
    "a word for a number": (
        "rows",
        b'[{"x": "tall", "y": 1, "land": "AT", "when": "2024-01-01", "ok": "yes"}]',
        {},
        400,
    ),
    "an empty CSV": ("rows", b"", {"content_type": "text/csv"}, 400),
}  # fmt: skip


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_what_is_too_much_or_of_another_kind_is_refused(server, paths, kind):
    path, body, headers, expected = TOO_MUCH[kind]
    headers = {"content_type": "application/json", **headers}
    status, _, told = server.ask("POST", paths[path], body, **headers)
    assert status == expected, told
    assert is_refusal(told)


def png(width: int, height: int) -> bytes:
    """Return a PNG of black of any size, which takes next to no bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    pixels = zlib.compress(b"\0" * ((width // 8 + 2) * height), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def test_a_bomb_of_pixels_is_refused_by_its_header(server, paths):
    status, _, told = server.ask("POST", paths["image"], png(9000, 5000), content_type="image/png")
    assert (status, is_refusal(told)) == (413, True)
    assert "45,000,000 pixels" in told.decode()


def test_half_an_image_is_refused(server, paths):
    import io

    stream = io.BytesIO()
    draw = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(draw).save(stream, "JPEG")
    half = stream.getvalue()[:900]
    status, _, told = server.ask("POST", paths["image"], half, content_type="image/jpeg")
    assert (status, is_refusal(told)) == (400, True)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v2/models/../../etc/passwd", 404),
        ("GET", "/v2/models/%2e%2e%2fetc", 404),
        ("GET", "/v2/models/%00", 404),
        ("GET", f"/v2/models/{'x' * 1000}", 404),
        ("GET", "/v2/models/nobody/versions/1", 404),
        ("POST", "/v2/models/nobody/infer", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/v1/predict", 405),
        ("DELETE", "/v2", 405),
        ("POST", "/v1/predict?model=nobody", 404),
        ("POST", "/v1/predict", 400),  # which of both models?
    ],
)
def test_paths_and_methods_that_there_are_not(server, method, path, expected):
    status, headers, told = server.ask(method, path, b"" if method == "POST" else None)
    assert (status, is_refusal(told)) == (expected, True)
    assert expected != 405 or headers["allow"]


def test_a_body_without_an_end_is_cut_at_the_limit(server, paths):
    with server.connect() as connection:
        head = f"POST {paths['rows']} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        told = b""
        part = b"100000\r\n" + b" " * 2**20 + b"\r\n"
        try:
            for _ in range(40):
                connection.sendall(part)
        except OSError:
            pass  # the server has hung up
        try:
            told = connection.recv(4096)
        except ConnectionResetError:
            told = b"HTTP/1.1 413"  # the answer was lost with the connection
        assert told.startswith(b"HTTP/1.1 413")
    assert server.get("/v2/health/live") == {"live": True}


RAW = {
    "a long first line": (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    "long headers and a body": (
        b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX-Long: "
        + b"a" * 40_000
        + b"\r\n\r\n[]GET /v2 HTTP/1.1\r\n\r\n",
        431,
    ),
    "no HTTP": (b"HELLO there\r\n\r\n", 400),
    "TLS": (bytes.fromhex("16030100a5010000a10303") + b"\0" * 60, 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "two lengths": (
        b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400
    ),
    "a length and chunks": (
        b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "a length below zero": (b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "a header without a colon": (b"GET /v2 HTTP/1.1\r\nHost: x\r\nAbc\r\n\r\n", 400),
}  # fmt: skip


@pytest.mark.parametrize("kind", RAW)
def test_what_is_no_request_is_refused_in_the_same_form_and_fills_no_log(server, kind):
    asked, expected = RAW[kind]
    lines = len(server.lines)
    with server.connect() as connection:
        connection.sendall(asked)
        told = b""
        while part := connection.recv(65536):
            told += part
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % expected)
    assert is_refusal(body)  # one answer, and the end
    assert len(server.lines) == lines


def test_the_server_lives_and_has_not_failed_once(server):
    assert server.get("/v2/health/ready") == {"ready": True}
    assert "fault:" not in server.log
    assert "looked for" not in server.log


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_numbers_are_no_texts_whatever_they_would_look_like(dtype):
    said = "'text' was sent as (FP32|INT64|BOOL); expected BYTES"
    with pytest.raises(Refusal, match=said):
        texts_of({"text": np.ones(2, dtype)}, "text")
    assert texts_of({"text": np.array(["1.0", b"a"], object)}, "text") == ["1.0", "a"]
