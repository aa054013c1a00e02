"""Runs that match images and texts as bundles: what ``predict`` says, from ONNX and over HTTP."""

from __future__ import annotations

import shutil
from base64 import b64encode

import numpy as np
import orjson
import pytest
from serving_process import ServingProcess
from small_captions import pair_run, write_clip, write_flickr

pytest.importorskip("transformers")
pytest.importorskip("onnxscript")
pytest.importorskip("uvicorn")

import headstart as hs
from headstart.bundles import open_bundle
from headstart.bundles.kinds import verify_any
from headstart.bundles.pairing import PairBundle
from headstart.errors import ExportError
from headstart.serving.limits import ServerLimits
from headstart.serving.pairs import _read as read_body
from headstart.serving.refusals import Refusal

TEXTS = ["red above blue", "blue above red", "green above white", "black above yellow"]
JSON = "application/json"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    run = pair_run(folder)
    return run, hs.export(str(run.path), out=str(folder / "matcher"))


@pytest.fixture(scope="module")
def server(pair):
    with ServingProcess(pair[1]) as running:
        yield running


def files(run, num=5):
    folder = run.path.parent / "pictures" / "Images"
    return [folder / f"{place:03d}.png" for place in range(num)]


def said(run, given, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS))
    return hs.predict(run.path, [str(one) for one in given], texts=str(texts), quiet=True)


@pytest.mark.slow
def test_a_bundle_embeds_what_the_run_embeds(pair, tmp_path):
    run, folder = pair
    bundle, agreement = verify_any(folder)
    assert isinstance(bundle, PairBundle)
    assert agreement.holds
    assert "val samples of the run's data" in bundle.record.parity["samples"]
    wanted = said(run, files(run), tmp_path)
    found = bundle.predict([one.read_bytes() for one in files(run)], TEXTS)
    for own, their in zip(found, wanted, strict=True):
        assert own.label == their.label
        np.testing.assert_allclose(own.probabilities, their.probabilities, atol=1e-4)
    many = bundle.embed_texts(TEXTS * 20)
    np.testing.assert_allclose(many, np.tile(bundle.embed_texts(TEXTS), (20, 1)), atol=1e-5)
    assert "golden answers are the same" in hs.verify(str(folder)).report()
    assert {"model.onnx", "texts.onnx", "README.md"} <= {one.name for one in folder.iterdir()}
    with pytest.raises(ExportError, match="Serve it instead"):
        open_bundle(folder)


@pytest.mark.slow
def test_a_bundle_that_was_changed_is_refused(pair, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(pair[1], changed)
    content = bytearray((changed / "texts.onnx").read_bytes())
    content[-1] ^= 1
    (changed / "texts.onnx").write_bytes(content)
    with pytest.raises(ExportError, match=r"texts\.onnx is not what was exported"):
        hs.verify(str(changed))


@pytest.mark.slow
def test_a_server_answers_as_predict_does(server, pair, tmp_path):
    run, _ = pair
    given = [b64encode(one.read_bytes()).decode() for one in files(run)]
    wanted = said(run, files(run), tmp_path)
    answer = server.post("/v1/predict", {"images": given, "texts": TEXTS})
    assert [one["label"] for one in answer["predictions"]] == [one.label for one in wanted]
    assert [one["name"] for one in answer["predictions"]][:2] == ["image 1", "image 2"]
    shown = {one["label"]: one["probability"] for one in answer["predictions"][0]["top"]}
    own = dict(zip(TEXTS, wanted[0].probabilities, strict=True))
    assert shown == pytest.approx(own, abs=1e-4)
    images = np.array(server.post("/v1/predict", {"images": given})["embeddings"])
    texts = np.array(server.post("/v1/predict", {"texts": TEXTS})["embeddings"])
    likeliest = (images @ texts.T).argmax(axis=1)
    assert [TEXTS[place] for place in likeliest] == [one.label for one in wanted]
    # with the protocol, too
    tensor = {"name": "text", "shape": [4], "datatype": "BYTES", "data": TEXTS}
    (told,) = server.post("/v2/models/matcher/infer", {"inputs": [tensor]})["outputs"]
    assert (told["name"], told["shape"]) == ("embedding", [4, texts.shape[1]])
    np.testing.assert_allclose(np.reshape(told["data"], texts.shape), texts, atol=1e-6)
    described = server.get("/v2/models/matcher")
    assert [one["name"] for one in described["inputs"]] == ["image", "text"]
    assert [one["name"] for one in described["outputs"]] == ["embedding"]
    (listed,) = server.get("/v1/models")["models"]
    assert (listed["writes"], listed["content_types"]) == (False, [JSON])
    for body in ({"images": given[:1], "text": TEXTS}, {"images": ["no"]}, [], {"texts": [""]}):
        status, _, told = server.ask("POST", "/v1/predict", orjson.dumps(body), content_type=JSON)
        assert status == 400, told
    status, _, told = server.ask(
        "POST", "/v1/predict?explain=1", orjson.dumps({"texts": TEXTS}), content_type=JSON
    )
    assert (status, b"explained are classes" in told) == (400, True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_clip_and_siglip_become_bundles_too(kind, tmp_path):
    data = hs.load(str(write_flickr(tmp_path / "pictures", 40)))
    start = write_clip(tmp_path / kind, kind=kind)
    run = hs.finetune(
        data, start=str(start), num_steps=2, device="cpu", out=str(tmp_path / "run"), quiet=True
    )
    bundle, agreement = verify_any(hs.export(str(run.path), to="onnx"))
    assert agreement.holds
    assert isinstance(bundle, PairBundle)
    given = [data.test.samples.read(place) for place in range(3)]
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS))
    wanted = hs.predict(run.path, given, texts=str(texts), quiet=True)
    for own, their in zip(bundle.predict(given, TEXTS), wanted, strict=True):
        np.testing.assert_allclose(own.probabilities, their.probabilities, atol=1e-4)


def test_what_a_body_holds_is_checked():
    limits = ServerLimits()

    def read(body):
        return read_body(JSON, orjson.dumps(body), None, limits)[0]

    assert list(read({"texts": ["a", "a"]}).texts) == ["a", "a"]  # an embedding each
    for body, told in (
        ({"texts": "a dog"}, "Expected a JSON object"),
        ({}, "Expected a JSON object"),
        ({"texts": [], "images": []}, "has no rows"),
        ({"texts": [1]}, "is no JSON string"),
        ({"images": ["?"]}, "is no file in base64"),
        ({"images": ["aGVsbG8="]}, "cannot be used"),
        ({"texts": ["a"] * (limits.rows + 1)}, "expected at most"),
    ):
        with pytest.raises(Refusal, match=told):
            read(body)
