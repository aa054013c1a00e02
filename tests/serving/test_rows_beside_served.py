"""Texts and images with columns of their rows over HTTP: answers of ``predict``, or refusals."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from serving_process import ServingProcess

import headstart as hs

NUM = 60
QUICK = {"num_steps": 3, "device": "cpu", "quiet": True}


def png(level: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(level).integers(0, 60, (12, 12, 3)) + 6 * level
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def pictures() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    levels = draw.integers(0, 30, NUM)
    side = draw.choice(["left", "right"], NUM)
    label = np.where((levels > 14) & (side == "left"), "yes", "no")
    images = [png(int(level)) for level in levels]
    ink = levels + draw.normal(0, 1, NUM).round(2)
    return pd.DataFrame({"picture": images, "ink": ink, "side": side, "label": label})


def reviews() -> pd.DataFrame:
    draw = np.random.default_rng(1)
    good = draw.random(NUM) < 0.5
    words = [
        f"a {('poor', 'lovely')[int(one)]} stay {i % 9} near town" for i, one in enumerate(good)
    ]
    price = draw.normal(100, 30, NUM).round(1)
    label = np.where(good & (price < 110), "again", "never")
    return pd.DataFrame({"review": words, "price": price, "city": "Rome", "label": label})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    base = tmp_path_factory.mktemp("beside")
    seen = hs.load(pictures(), image_column="picture", beside=["all"])
    read = hs.load(reviews(), text="review", beside=["price"])
    return (
        hs.finetune(seen, start="scratch/simple-cnn", out=str(base / "a"), **QUICK),
        hs.finetune(read, start="scratch/tfidf", out=str(base / "b"), device="cpu", quiet=True),
    )


@pytest.fixture(scope="module")
def server(runs, tmp_path_factory):
    base = tmp_path_factory.mktemp("bundles")
    bundles = [
        hs.export(str(run.path), to="onnx", out=str(base / name))
        for run, name in zip(runs, ("seen", "read"), strict=True)
    ]
    with ServingProcess(*bundles) as running:
        yield running


def shares(told: dict) -> np.ndarray:
    return np.array(
        [[one["probability"] for one in sorted(each["top"], key=lambda t: t["label"])]
         for each in told["predictions"]]
    )  # fmt: skip


def binary(columns: dict[str, tuple[str, list]]) -> tuple[bytes, str]:
    """Return a request of the protocol with tensors as bytes, and the length of its JSON."""
    listed, tail = [], b""
    for name, (datatype, values) in columns.items():
        if datatype == "BYTES":
            each = [one if isinstance(one, bytes) else one.encode() for one in values]
            data = b"".join(len(one).to_bytes(4, "little") + one for one in each)
        else:
            data = np.array(values, "<f8").tobytes()
        listed.append(
            {"name": name, "datatype": datatype, "shape": [len(values)],
             "parameters": {"binary_data_size": len(data)}}
        )  # fmt: skip
        tail += data
    head = json.dumps({"inputs": listed}).encode()
    return head + tail, str(len(head))


def test_images_with_columns_are_answered_as_predict_answers_them(runs, server):
    rows = pictures().drop(columns="label").iloc[:5].to_dict("records")
    wanted = np.array([one.probabilities for one in runs[0].predict(rows)])
    sent = [{**row, "picture": base64.b64encode(row["picture"]).decode()} for row in rows]
    told = server.post("/v1/predict?model=seen", sent)
    assert np.abs(shares(told) - wanted).max() < 1e-5
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    kinds = {"side": "BYTES", "picture": "BYTES", "ink": "FP64"}  # in an order of its own
    body, length = binary({name: (kind, columns[name]) for name, kind in kinds.items()})
    status, _, answer = server.ask(
        "POST", "/v2/models/seen/infer", body, inference_header_content_length=length
    )
    assert status == 200, answer
    found = np.array(json.loads(answer)["outputs"][0]["data"]).reshape(wanted.shape)
    assert np.abs(found - wanted).max() < 1e-5


def test_a_text_in_place_of_an_image_names_no_file_of_the_server(server, tmp_path):
    (tmp_path / "mine.png").write_bytes(png(3))
    for text in (str(tmp_path / "mine.png"), str(tmp_path / "none.png")):
        columns = {
            "picture": ("BYTES", [text]),
            "ink": ("FP64", [1.0]),
            "side": ("BYTES", ["left"]),
        }
        body, length = binary(columns)
        plain = {
            "inputs": [
                {"name": name, "datatype": kind, "shape": [1], "data": values}
                for name, (kind, values) in columns.items()
            ]
        }
        told = set()
        for content, headers in (
            (body, {"inference_header_content_length": length}),
            (json.dumps(plain).encode(), {}),
        ):
            status, _, answer = server.ask("POST", "/v2/models/seen/infer", content, **headers)
            assert status == 400, answer
            assert str(tmp_path) not in answer.decode()
            told.add(answer)
        row = {"picture": text, "ink": 1.0, "side": "left"}
        status, _, answer = server.ask(
            "POST", "/v1/predict?model=seen", json.dumps([row]).encode(),
            content_type="application/json",
        )  # fmt: skip
        assert status == 400, answer


def test_texts_with_columns_are_answered_as_predict_answers_them(runs, server):
    frame = reviews().drop(columns=["label", "city"]).iloc[:5]
    wanted = np.array([one.probabilities for one in runs[1].predict(frame.to_dict("records"))])
    path = "/v1/predict?model=read"
    told = server.post(path, frame.to_dict("records"))
    assert np.abs(shares(told) - wanted).max() < 1e-5
    told = server.post(path, frame.to_csv(index=False).encode(), "text/csv")
    assert np.abs(shares(told) - wanted).max() < 1e-5
    inputs = [
        {"name": "price", "datatype": "FP64", "shape": [5], "data": frame["price"].tolist()},
        {"name": "review", "datatype": "BYTES", "shape": [5, 1], "data": frame["review"].tolist()},
    ]
    answer = server.post("/v2/models/read/infer", {"inputs": inputs})
    found = np.array(answer["outputs"][0]["data"]).reshape(wanted.shape)
    assert np.abs(found - wanted).max() < 1e-5


@pytest.mark.parametrize("by", ["protocol", "rows"])
def test_a_text_with_columns_has_the_limit_that_texts_have(server, by):
    long = "word " * 3000
    path, body = "/v1/predict?model=read", json.dumps([{"review": long, "price": 1.0}])
    if by == "protocol":
        inputs = [
            {"name": "review", "datatype": "BYTES", "shape": [1], "data": [long]},
            {"name": "price", "datatype": "FP64", "shape": [1], "data": [1.0]},
        ]
        path, body = "/v2/models/read/infer", json.dumps({"inputs": inputs})
    status, _, answer = server.ask("POST", path, body.encode(), content_type="application/json")
    assert status == 413, answer


def test_several_values_a_row_are_no_rows(server):
    inputs = [
        {"name": "review", "datatype": "BYTES", "shape": [1, 3], "data": ["a", "b", "c"]},
        {"name": "price", "datatype": "FP64", "shape": [1], "data": [1.0]},
    ]
    body = json.dumps({"inputs": inputs}).encode()
    status, _, answer = server.ask("POST", "/v2/models/read/infer", body)
    assert status == 400
    assert "a value a row" in json.loads(answer)["error"]


def test_a_column_that_is_missing_is_named(server):
    body = json.dumps([{"review": "a lovely stay"}]).encode()
    kind = {"content_type": "application/json"}
    status, _, answer = server.ask("POST", "/v1/predict?model=read", body, **kind)
    assert status == 400
    assert "'price'" in json.loads(answer)["error"]
