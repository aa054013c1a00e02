"""What a server answers: the same as ``predict``, by whatever way it is asked."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from serving_process import ServingProcess
from small_runs import TEXTS, table

import headstart as hs


@pytest.fixture(scope="module")
def server(mlp_bundle, text_bundle, image_bundle):
    with ServingProcess(mlp_bundle[1], text_bundle[1], image_bundle[1]) as running:
        yield running


@pytest.fixture(scope="module")
def names(server):
    return {one["reads"]: one["name"] for one in server.get("/v1/models")["models"]}


ROWS = json.loads(table().drop(columns="label").iloc[:6].to_json(orient="records"))


def alike(found: list[dict], expected: list[hs.Run]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one["label"] == other.label
        assert one["probability"] == pytest.approx(other.probability, abs=1e-5)
        best = sorted(other.probabilities, reverse=True)[:5]
        assert [each["probability"] for each in one["top"]] == pytest.approx(best, abs=1e-5)


def test_rows_are_answered_as_predict_answers_them(server, names, mlp_bundle, tmp_path):
    run, path = mlp_bundle[0], f"/v1/predict?model={names['table']}"
    alike(server.post(path, ROWS)["predictions"], run.predict(ROWS))
    alike(server.post(path, {"rows": ROWS})["predictions"], run.predict(ROWS))
    alike(server.post(path, ROWS[0])["predictions"], run.predict(ROWS[:1]))
    table().drop(columns="label").iloc[:6].to_csv(tmp_path / "new.csv", index=False)
    content = (tmp_path / "new.csv").read_bytes()
    found = server.post(path, content, "text/csv; charset=utf-8")["predictions"]
    alike(found, hs.predict(str(run.path), [str(tmp_path / "new.csv")]))


def test_texts_are_answered_as_predict_answers_them(server, names, text_bundle):
    run, path = text_bundle[0], f"/v1/predict?model={names['text']}"
    texts = [*TEXTS[:3], "Grüße – naïve ½ 🙂", "buzz " * 300]
    for body in (texts, {"texts": texts}, [{"text": text} for text in texts]):
        alike(server.post(path, body)["predictions"], run.predict(texts))
    found = server.post(path, texts[3].encode(), "text/plain")["predictions"]
    alike(found, run.predict(texts[3:4]))


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def odd_images() -> dict[str, tuple[str, bytes]]:
    draw = np.random.default_rng(3)
    colour = Image.fromarray(draw.integers(0, 256, (50, 70, 3), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = Image.fromarray(draw.integers(0, 2**16, (40, 40)).astype(np.uint16))
    clear = colour.convert("RGBA")
    clear.putalpha(Image.fromarray(draw.integers(0, 2, (50, 70), dtype=np.uint8) * 255))
    return {
        "turned by EXIF": ("image/jpeg", encoded(colour, "JPEG", exif=turned.tobytes())),
        "palette": ("image/png", encoded(colour.convert("P"), "PNG")),
        "CMYK": ("image/jpeg", encoded(colour.convert("CMYK"), "JPEG")),
        "16 bit": ("image/png", encoded(deep, "PNG")),
        "grey": ("image/png", encoded(colour.convert("L"), "PNG")),
        "transparent": ("image/png", encoded(clear, "PNG")),
        "large JPEG": ("image/jpeg", encoded(colour.resize((900, 700)), "JPEG")),
    }


@pytest.mark.parametrize("kind", odd_images())
def test_odd_images_are_answered_as_predict_answers_them(server, names, image_bundle, kind):
    content_type, data = odd_images()[kind]
    found = server.post(f"/v1/predict?model={names['image']}", data, content_type)
    alike(found["predictions"], image_bundle[0].predict([data]))


def test_the_protocol_tells_what_there_is(server, names):
    assert server.get("/v2")["extensions"] == ["binary_tensor_data"]
    assert server.get("/v2/health/live") == {"live": True}
    assert server.get("/v2/health/ready") == {"ready": True}
    told = server.get(f"/v2/models/{names['table']}")
    assert [one["name"] for one in told["inputs"]] == ["x", "y", "land", "when", "ok"]
    assert told["outputs"][0] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}
    version = told["versions"][0]
    assert server.get(f"/v2/models/{names['table']}/versions/{version}") == told
    assert server.get(f"/v2/models/{names['table']}/ready")["ready"]


def cells(run: hs.Run) -> tuple[np.ndarray, np.ndarray]:
    return run.preprocess.read(ROWS).arrays(np.arange(len(ROWS)))


def test_tensors_are_answered_alike_as_json_and_as_bytes(server, names, mlp_bundle):
    run, path = mlp_bundle[0], f"/v2/models/{names['table']}/infer"
    numbers, codes = cells(run)
    expected = np.array([one.probabilities for one in run.predict(ROWS)])
    inputs = [
        {"name": "numbers", "datatype": "FP32", "shape": list(numbers.shape)},
        {"name": "codes", "datatype": "INT64", "shape": list(codes.shape)},
    ]
    as_json = [
        {**inputs[0], "data": numbers.astype(float).tolist()},  # nested
        {**inputs[1], "data": codes.ravel().tolist()},  # flat
    ]
    told = server.post(path, {"id": "seven", "inputs": as_json})
    assert told["id"] == "seven"
    assert told["model_name"] == names["table"]
    found = np.reshape(told["outputs"][0]["data"], told["outputs"][0]["shape"])
    assert np.abs(found - expected).max() < 1e-5
    assert told["outputs"][1]["data"] == [one.label for one in run.predict(ROWS)]

    tails = [numbers.tobytes(), codes.tobytes()]
    for one, tail in zip(inputs, tails, strict=True):
        one["parameters"] = {"binary_data_size": len(tail)}
    wanted = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "label"}]
    head = json.dumps({"inputs": inputs, "outputs": wanted}).encode()
    status, headers, body = server.ask(
        "POST", path, head + b"".join(tails), Inference_Header_Content_Length=str(len(head))
    )
    assert status == 200, body
    length = int(headers["inference-header-content-length"])
    told = json.loads(body[:length])
    assert told["outputs"][1]["data"] == [one.label for one in run.predict(ROWS)]
    assert np.frombuffer(body[length:], "<f4").tolist() == found.ravel().astype("f4").tolist()


@pytest.mark.parametrize("form", ["gzip", "deflate"])
def test_packed_bodies_are_read(server, names, text_bundle, form):
    texts = TEXTS[:40]
    tensor = {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}
    pack = gzip.compress if form == "gzip" else zlib.compress
    status, headers, body = server.ask(
        "POST",
        f"/v2/models/{names['text']}/infer",
        pack(json.dumps({"inputs": [tensor]}).encode()),
        Content_Encoding=form,
        Accept_Encoding="gzip",
    )
    assert (status, headers["content-encoding"]) == (200, "gzip")
    told = json.loads(gzip.decompress(body))
    assert told["outputs"][1]["data"] == [one.label for one in text_bundle[0].predict(texts)]


def test_texts_as_bytes_and_columns_as_tensors(server, names, mlp_bundle, text_bundle):
    texts = ["hum hum", "Grüße"]
    tail = b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)
    said = {"name": "text", "datatype": "BYTES", "shape": [2]}
    said["parameters"] = {"binary_data_size": len(tail)}
    head = json.dumps({"inputs": [said]}).encode()
    status, _, body = server.ask(
        "POST",
        f"/v2/models/{names['text']}/infer",
        head + tail,
        Inference_Header_Content_Length=str(len(head)),
    )
    assert status == 200
    expected = [one.label for one in text_bundle[0].predict(texts)]
    assert json.loads(body)["outputs"][1]["data"] == expected
    rows = [row for row in ROWS if row["y"] is not None]
    columns = [
        {
            "name": name,
            "datatype": "FP64" if name in "xy" else "BYTES",
            "shape": [len(rows), 1],
            "data": [row[name] for row in rows],
        }
        for name in rows[0]
    ]
    told = server.post(f"/v2/models/{names['table']}/infer", {"inputs": columns})
    expected = [one.label for one in mlp_bundle[0].predict(rows)]
    assert told["outputs"][1]["data"] == expected


def test_pages_need_no_network_and_say_how_to_ask(server):
    for path in ("/", "/docs"):
        status, headers, body = server.ask("GET", path)
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert b"://" not in body  # neither scripts, nor styles, nor pictures of elsewhere
        assert "default-src 'none'" in headers["content-security-policy"]
        assert b'name="viewport"' in body
    assert b"16 MiB" in server.ask("GET", "/docs")[2]
    assert server.get("/openapi.json")["paths"]["/v1/predict"]["post"]["operationId"] == "predict"


def test_metrics_are_prometheus_and_names_of_strangers_do_not_grow_them(server, names):
    def read() -> dict[str, float]:
        text = server.ask("GET", "/metrics")[2].decode()
        families = text_string_to_metric_families(text)
        return {
            f"{one.name}{sorted(one.labels.items())}": one.value
            for family in families
            for one in family.samples
        }

    server.post(f"/v1/predict?model={names['table']}", ROWS)
    before = read()
    for number in range(30):
        assert server.ask("GET", f"/v2/models/stranger{number}")[0] == 404
    server.post(f"/v1/predict?model={names['table']}", ROWS)
    after = read()
    assert set(before) <= set(after)
    assert len(after) <= len(before) + 2  # the series of 404, and of what was refused
    assert all(after[name] >= before[name] for name in before if name.startswith("headstart_req"))
    answered = [n for n in after if n.startswith("headstart_predictions_total") and "rows" in n]
    labels = ("ant", "bee")
    grown = sum(after[n] - before.get(n, 0) for n in after if "headstart_predictions_total" in n)
    assert grown == len(ROWS), (answered, labels)
    assert after["headstart_ready[]"] == 1
    expected = {
        "headstart_request_duration_seconds_count",
        "headstart_queue_duration_seconds_count",
        "headstart_inference_duration_seconds_count",
        "headstart_batch_size_count",
        "headstart_confidence_count",
        "headstart_model_info",
        "headstart_input_errors_total",
    }
    assert expected <= {name.split("[")[0] for name in after}


def test_what_is_asked_is_in_no_log(server, names):
    canary = "canary-of-the-mine"
    server.post(f"/v1/predict?model={names['text']}", [canary])
    for body in (canary.encode(), json.dumps([{canary: canary}]).encode()):
        server.ask("POST", f"/v1/predict?model={names['table']}", body, content_type="text/csv")
    server.ask("GET", f"/{canary}")
    assert canary not in server.log
    assert server.lines[-1].startswith("Ready: ")  # nor how far a text has been read
    assert canary not in server.ask("GET", "/metrics")[2].decode()


def test_what_an_answer_looked_at_is_told_of_one_sample(server, names, text_bundle, mlp_bundle):
    path = f"/v1/predict?explain=1&model={names['text']}"
    text = "3 says buzz buzz and flies away"
    told = server.post(path, text.encode(), "text/plain")
    alike(told["predictions"], text_bundle[0].predict([text]))
    looked = told["looked_at"]
    assert looked["parts"] == text.split()
    # each fall is what predict says of the text without that word
    whole = told["predictions"][0]
    place = text_bundle[0].classes.index(whole["label"])
    words = text.split()
    without = [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))]
    expected = [
        whole["probability"] - one.probabilities[place] for one in text_bundle[0].predict(without)
    ]
    assert looked["falls"] == pytest.approx(expected, abs=1e-5)
    long = server.post(path, [" ".join(f"word{i}" for i in range(200))])["looked_at"]
    assert len(long["parts"]) == 50  # four by four
    signs = server.post(path, ["天气很好"])["looked_at"]
    assert signs["parts"] == list("天气很好")

    row = {**ROWS[0], "y": None}
    told = server.post(f"/v1/predict?explain=1&model={names['table']}", [row])
    assert told["looked_at"]["parts"] == ["x", "land", "when", "ok"]  # what is empty stays so
    answer = told["predictions"][0]
    place = mlp_bundle[0].classes.index(answer["label"])
    without = mlp_bundle[0].predict([{**row, "x": None}])[0].probabilities[place]
    assert told["looked_at"]["falls"][0] == pytest.approx(answer["probability"] - without, abs=1e-5)


def test_what_an_answer_looked_at_in_a_picture_is_where_it_differs(server, names):
    data = odd_images()["grey"][1]
    told = server.post(f"/v1/predict?explain=1&model={names['image']}", data, "image/png")
    looked = told["looked_at"]
    assert looked["grid"] == [7, 7]
    assert len(looked["falls"]) == 49
    assert looked["framing"] in ("crop", "pad", "squash")
    plain = encoded(Image.new("RGB", (40, 40), (90, 90, 90)), "PNG")
    told = server.post(f"/v1/predict?explain=1&model={names['image']}", plain, "image/png")
    assert told["looked_at"]["falls"] == pytest.approx([0.0] * 49, abs=1e-6)  # nothing to cover


def test_explanations_count_as_one_answer_and_are_of_one_sample(server, names):
    def answers() -> float:
        text = server.ask("GET", "/metrics")[2].decode()
        found = text_string_to_metric_families(text)
        one = next(family for family in found if family.name == "headstart_predictions")
        return sum(sample.value for sample in one.samples)

    before = answers()
    path = f"/v1/predict?explain=1&model={names['table']}"
    server.post(path, ROWS[:1])
    assert answers() == before + 1
    for query, body in ((path, ROWS[:2]), (path.replace("explain=1", "explain=x"), ROWS[:1])):
        status, _, told = server.ask(
            "POST", query, json.dumps(body).encode(), content_type="application/json"
        )
        assert (status, list(json.loads(told))) == (400, ["error"])
