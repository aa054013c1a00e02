"""Runs that match images and texts as bundles: what ``predict`` says, from ONNX and over HTTP."""

from __future__ import annotations

import shutil
from base64 import b64encode

import numpy as np
import orjson
import pytest
from serving_process import ServingProcess
from small_captions import PAIR, pair_run, write_clip, write_flickr

pytest.importorskip("transformers")
pytest.importorskip("onnxscript")
pytest.importorskip("uvicorn")

import headstart as hs
from headstart.bundles import (
    BUNDLE,
    GOLDEN,
    MANIFEST,
    BundleRecord,
    MemberRecord,
    manifest_bytes,
    open_bundle,
)
from headstart.bundles.kinds import verify_any
from headstart.bundles.pairing import PairBundle, open_pair, pair_golden_bytes
from headstart.errors import ExportError
from headstart.serving.limits import ServerLimits
from headstart.serving.pairs import _read as read_body
from headstart.serving.refusals import Refusal
from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.types import Schema

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


def _by_hand(folder, width=3, of_texts=3):
    """Write a bundle whose networks take means, without any exporter."""
    from onnx import TensorProto, helper, numpy_helper

    encoder = build_encoder(
        find_start(PAIR),
        BuildRequest(image_size=(16, 16), image_channels=3, matches_texts=True, wanted=TEXTS * 5),
    )
    preprocess = encoder.preprocess
    folder.mkdir()
    for name, inputs, axes, out in (
        ("model.onnx", preprocess.image.exported_inputs, [1, 2], width),
        ("texts.onnx", preprocess.text.exported_inputs, [1], of_texts),
    ):
        rows = 3 if name == "model.onnx" else 1
        weight = numpy_helper.from_array(np.ones((rows, out), np.float32), "weight")
        nodes = [helper.make_node("Cast", [inputs[0].name], ["numbers"], to=TensorProto.FLOAT)]
        kept = {"keepdims": int(rows == 1), "axes": axes}
        nodes += [helper.make_node("ReduceMean", ["numbers"], ["mean"], **kept)]
        nodes += [helper.make_node("MatMul", ["mean", "weight"], ["logits"])]
        kinds = {"uint8": TensorProto.UINT8, "int64": TensorProto.INT64}
        given = [
            helper.make_tensor_value_info(one.name, kinds[one.dtype], ["batch", *one.shape])
            for one in inputs
        ]
        made = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", out])
        graph = helper.make_graph(nodes, "means", given, [made], [weight])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        (folder / name).write_bytes(model.SerializeToString())
    for name, content in preprocess.files().items():
        (folder / name).write_bytes(content)
    member = MemberRecord("", 1.0, PAIR, preprocess.to_json(), 1.0, 0.0, 1.0)
    schema = Schema("image", "retrieval", (), "caption")
    record = BundleRecord("means", schema, (member,), 1.0, "none")
    (folder / BUNDLE).write_bytes(record.to_bytes())
    return open_pair(folder, is_whole=False)


def test_a_bundle_that_is_none_is_refused(tmp_path, heard):
    bundle = _by_hand(tmp_path / "good")
    pixels = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
    images = bundle.preprocess.image.batch(bundle.read_images(list(pixels)), np.arange(2))
    tokens = bundle.preprocess.read_texts(TEXTS[:2], TEXTS[:2])
    texts = bundle.preprocess.text.batch(tokens, np.arange(2))
    rows = bundle.images.run(images), bundle.texts.run(texts)

    def closed(content):
        (tmp_path / "good" / GOLDEN).write_bytes(content)
        (tmp_path / "good" / MANIFEST).unlink(missing_ok=True)
        (tmp_path / "good" / MANIFEST).write_bytes(manifest_bytes(tmp_path / "good"))
        return tmp_path / "good"

    with pytest.raises(ExportError, match="Export the run again") as caught:
        _by_hand(tmp_path / "other", of_texts=4)
    heard(caught.value)
    with pytest.raises(ExportError, match=r"golden\.npz is damaged") as caught:
        verify_any(closed(b"no"))
    heard(caught.value)
    wrong = rows[0] + 1, rows[1]
    with pytest.raises(ExportError, match="likenesses differ by") as caught:
        verify_any(closed(pair_golden_bytes(images, texts, wrong)))
    heard(caught.value)
    again, agreement = verify_any(closed(pair_golden_bytes(images, texts, rows)))
    assert agreement.holds
    assert next(one.label for one in again.predict(list(pixels), TEXTS)) in TEXTS


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
