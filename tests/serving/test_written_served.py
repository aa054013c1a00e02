"""Runs that write as bundles: from ONNX Runtime and over HTTP what ``predict`` writes."""

from __future__ import annotations

import io
import json
import shutil
import socket
import time
from types import SimpleNamespace

import numpy as np
import pytest
from serving_process import ServingProcess, all_at_once, asks_by_the_protocol, streams, texts_of
from small_writers import chat_run, is_refused_when_changed, writes_alike

pytest.importorskip("transformers")
pytest.importorskip("sacrebleu")
pytest.importorskip("onnxscript")
pytest.importorskip("uvicorn")

import headstart as hs
from headstart.bundles import MANIFEST, manifest_bytes
from headstart.bundles.writing import OnnxWriter, open_writer
from headstart.errors import ExportError, RunFolderError
from headstart.exporting import writer_bundle, writer_graphs
from headstart.exporting.bundle_files import ComparedSamples
from headstart.types import Conversation

ASKED = ["What comes after three, 2 times?", "What comes after one, 4 times?", "Hello"]
PLAIN = "text/plain"


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chats")
    run = chat_run(folder)
    return run, hs.export(str(run.path), to="onnx", out=str(folder / "answers"))


@pytest.fixture(scope="module")
def server(chats):
    with ServingProcess(chats[1]) as running:
        yield running


def test_a_bundle_writes_what_the_run_writes(chats):
    writes_alike(*chats, ASKED)


def test_a_bundle_that_was_changed_is_refused(chats, tmp_path):
    is_refused_when_changed(chats[1], "model.onnx", tmp_path / "changed")


def test_conversations_are_written_by_the_template_that_was_learned_with(chats):
    run, folder = chats
    bundle = open_writer(folder)
    turns = [("user", ASKED[0]), ("assistant", "four four"), ("user", ASKED[1])]
    asked = Conversation.of(turns)
    assert bundle.predict([asked])[0].text == run.predict([asked])[0].text
    ids = bundle.read([asked]).prompts[0]
    assert np.array_equal(ids, run.preprocess.read([asked]).prompts[0])


def test_a_server_answers_as_predict_does(server, chats):
    run, _ = chats
    wanted = [one.text for one in run.predict(ASKED)]
    one = server.post("/v1/predict?model=answers", ASKED[0].encode(), PLAIN)
    assert one["predictions"] == [{"name": "text 1", "text": wanted[0]}]
    assert texts_of(server.post("/v1/predict?model=answers", ASKED)) == wanted
    said = [{"messages": [{"role": "user", "content": text}]} for text in ASKED]
    assert texts_of(server.post("/v1/predict?model=answers", said)) == wanted
    assert texts_of(server.post("/v1/predict?model=answers", said[0])) == wanted[:1]
    asks_by_the_protocol(server, "answers", ASKED, wanted)
    listed = {one["name"]: one for one in server.get("/v1/models")["models"]}
    assert listed["answers"]["writes"] is True
    assert server.get("/v1/monitor")["models"][0]["reference"] is None


def test_how_is_written_is_said_with_the_request(server, chats):
    (path,) = [f"/v1/predict?model=answers&{said}" for said in ("max_tokens=2",)]
    whole = server.post("/v1/predict?model=answers", ASKED[0].encode(), PLAIN)
    short = server.post(path, ASKED[0].encode(), PLAIN)
    assert texts_of(whole)[0].startswith(texts_of(short)[0])
    assert len(texts_of(short)[0]) < len(texts_of(whole)[0])
    drawn = [
        texts_of(
            server.post(
                f"/v1/predict?model=answers&temperature=3&seed={seed}", ASKED[0].encode(), PLAIN
            )
        )
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    own = hs.predict(str(chats[0].path), [ASKED[0]], temperature=3.0, seed=1)[0].text
    assert drawn[0] == [own]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("?model=answers&max_tokens=0", "Hi", 400, "max_tokens is 0"),
        ("?model=answers&max_tokens=99999", "Hi", 400, "expected 1 to 1,024"),
        ("?model=answers&max_tokens=many", "Hi", 400, "max_tokens is no number"),
        ("?model=answers&seed=3", "Hi", 400, "seed is of draws"),
        ("?model=answers&explain=1", "Hi", 400, "explained are classes"),
        ("?model=answers", "", 400, "cannot be used"),
        ("?model=answers", "much " * 1_500, 400, "tokens are read at once|are read at once"),
        ("?model=answers", "x" * 10_001, 413, "10,001 characters"),
        ("?model=answers", [{"messages": []}], 400, "no list of turns"),
        ("?model=answers", [{"messages": [{"role": "sage", "content": "a"}]}], 400, "role"),
        (
            "?model=answers",
            [{"messages": [{"role": "assistant", "content": "a"}]}],
            400,
            "ends with an answer",
        ),
        ("?model=answers", [{"messages": [], "tools": []}], 400, "'messages' alone"),
    ],
)
def test_what_is_out_of_bounds_is_refused(server, path, body, status, words):
    is_text = isinstance(body, str)
    content = body.encode() if is_text else json.dumps(body).encode()
    kind = PLAIN if is_text else "application/json"
    found, _, told = server.ask("POST", f"/v1/predict{path}", content, content_type=kind)
    assert found == status, told
    assert any(word in json.loads(told)["error"] for word in words.split("|")), told


def test_an_answer_is_sent_while_it_is_written(server):
    assert len(streams(server, "answers", ASKED[0])) > 1


def test_many_at_once_are_each_answered_as_alone(server, chats):
    asked = [f"What comes after {word}, {n} times?" for word in ("two", "six") for n in range(1, 9)]
    found = all_at_once(server, [("answers", text) for text in asked])
    assert found == [one.text for one in chats[0].predict(asked)]


def test_who_hangs_up_ends_the_writing(server):
    def counted(name):
        told = server.ask("GET", "/metrics")[2].decode()
        return sum(
            float(line.rpartition(" ")[2]) for line in told.splitlines() if line.startswith(name)
        )

    assert counted("headstart_tokens_total") > 0
    before = counted("headstart_cancelled_total")
    body = b"Hello"
    head = (
        b"POST /v1/predict?model=answers&max_tokens=400&temperature=9 HTTP/1.1\r\nHost: h\r\n"
        b"Accept: text/event-stream\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
    )
    # one whose last token is written before its client has gone is none to cancel: ask again
    for _ in range(12):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(head + body)
            connection.recv(200)
        end = time.monotonic() + 4
        while counted("headstart_cancelled_total") == before and time.monotonic() < end:
            time.sleep(0.05)
        if counted("headstart_cancelled_total") > before:
            break
    assert counted("headstart_cancelled_total") == before + 1


def test_the_server_imports_nothing_that_its_bundle_has_no_use_for(chats):
    code = (
        "import atexit, sys\n"
        "heavy = {'torch', 'transformers', 'scipy', 'sklearn', 'pyarrow', 'pandas', 'PIL'}\n"
        "heavy |= {f'headstart.preprocessing.for_{kind}' for kind in ('images', 'tables')}\n"
        "told = lambda: print('loaded', sorted(heavy & {*sys.modules}), file=sys.stderr)\n"
        "atexit.register(told)"
    )
    with ServingProcess(chats[1], code=code) as running:
        said = {"messages": [{"role": "user", "content": ASKED[0]}]}
        assert texts_of(running.post("/v1/predict", said))
    assert any("loaded []" in line for line in running.lines), running.log


def test_what_is_not_done_with_what_writes_is_refused(chats, tmp_path, heard):
    run, folder = chats
    with pytest.raises(ExportError, match="Leave --int8 out") as error:
        hs.export(str(run.path), to="onnx", int8=True, out=str(tmp_path / "int8"))
    heard(error.value)  # and without it there is the bundle
    with pytest.raises(ExportError, match="Serve it instead: headstart serve") as error:
        hs.monitor(str(folder), ASKED)
    heard(error.value)
    with pytest.raises(RunFolderError):
        hs.predict(str(folder), ASKED)


def _closed_again(folder, place, **files):
    """Return a copy of a bundle with other files, as if it had been exported so."""
    shutil.copytree(folder, place)
    for name, content in files.items():
        (place / name.replace("_", ".")).write_bytes(content)
    (place / MANIFEST).unlink()
    (place / MANIFEST).write_bytes(manifest_bytes(place))
    return place


def test_what_is_wrong_with_a_bundle_is_said_and_another_export_helps(
    chats, mlp_bundle, tmp_path, heard
):
    folder = chats[1]
    other = (mlp_bundle[1] / "model.onnx").read_bytes()
    golden = dict(np.load(folder / "golden.npz"))
    golden["logits"] = golden["logits"] + 1
    file = io.BytesIO()
    np.savez(file, **golden)
    damaged = {
        "takes .* and gives logits": {"model_onnx": other},
        "golden.npz is damaged": {"golden_npz": b"PK"},
        "does not write its golden samples as it did": {"golden_npz": file.getvalue()},
    }
    for number, (words, files) in enumerate(damaged.items()):
        place = _closed_again(folder, tmp_path / str(number), **files)
        with pytest.raises(ExportError, match=words) as error:
            hs.verify(str(place))
        heard(error.value)
    nan = np.full((1, 3), np.nan, np.float32)
    session = SimpleNamespace(get_inputs=list, run=lambda names, given: [nan])
    with pytest.raises(ExportError, match="no finite numbers") as error:
        OnnxWriter._run(session, [])
    heard(error.value)
    assert hs.verify(str(folder)).agreement.holds


def test_what_becomes_no_bundle_is_handed_to_transformers(chats, tmp_path, heard, monkeypatch):
    run, _ = chats
    graph = writer_graphs.graphs_of(writer_graphs.writer_network(run.model))[0]
    monkeypatch.setattr(writer_graphs, "_MOST_BYTES", 1_000)
    with pytest.raises(ExportError, match="what an ONNX file holds") as large:
        writer_graphs.graph_bytes(graph, "a start")
    monkeypatch.undo()

    def fails(*given, **named):
        raise RuntimeError("nobody knows this operator")

    monkeypatch.setattr("torch.onnx.export", fails)
    with pytest.raises(ExportError, match="nobody knows this operator") as strange:
        writer_graphs.graph_bytes(graph, "a start")
    monkeypatch.undo()
    out = hs.export(str(run.path), to="transformers", out=str(tmp_path / "out"))
    assert (out / "config.json").is_file()
    heard(large.value)
    heard(strange.value)


def test_an_export_without_a_sample_to_compare_on_is_refused(chats, tmp_path, heard):
    run, _ = chats
    inputs = [run.preprocess.read(ASKED)]
    with pytest.raises(ExportError, match="none can be read") as error:
        writer_bundle._raw(run.model, ComparedSamples(inputs, [""], "an empty text"), 3)
    heard(error.value)
    given = ComparedSamples(inputs, ASKED, "some texts")
    assert writer_bundle._raw(run.model, given, 2) == ASKED[:2]
