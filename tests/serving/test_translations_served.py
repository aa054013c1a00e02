"""An encoder–decoder as a bundle, and beside a decoder on one server: what ``predict`` writes."""

from __future__ import annotations

import shutil

import pytest
from pairs_of_texts import pairs_of
from serving_process import ServingProcess, all_at_once, asks_by_the_protocol, streams, texts_of
from small_writers import chat_run, is_refused_when_changed, translator_run, writes_alike

pytest.importorskip("transformers")
pytest.importorskip("sacrebleu")
pytest.importorskip("onnxscript")
pytest.importorskip("uvicorn")

import headstart as hs

pytestmark = pytest.mark.slow  # two runs and three graphs; the quick ones: test_written_served.py
ASKED = ["What comes after three, 2 times?", "What comes after one, 4 times?", "Hello"]
TEXTS = pairs_of(5, seed=77)[0]
PLAIN = "text/plain"


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chats")
    run = chat_run(folder)
    return run, hs.export(str(run.path), to="onnx", out=str(folder / "answers"))


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    run = translator_run(folder)
    return run, hs.export(str(run.path), to="onnx", out=str(folder / "german"))


@pytest.fixture(scope="module")
def server(chats, translator):
    with ServingProcess(chats[1], translator[1]) as running:
        yield running


def test_a_bundle_writes_what_the_run_writes(translator):
    writes_alike(*translator, TEXTS)


def test_a_bundle_that_was_changed_is_refused(translator, tmp_path):
    is_refused_when_changed(translator[1], "step.onnx", tmp_path / "changed")


def test_a_server_translates_as_predict_does(server, translator):
    german = [one.text for one in translator[0].predict(TEXTS)]
    assert texts_of(server.post("/v1/predict?model=german", TEXTS)) == german
    asks_by_the_protocol(server, "german", TEXTS, german)
    status, _, told = server.ask(
        "POST", "/v1/predict?model=german&temperature=1", b"Hi", content_type=PLAIN
    )
    assert (status, b"are searched" in told) == (400, True)


def test_an_answer_is_sent_while_it_is_written(server):
    streams(server, "german", TEXTS[0])  # beams are certain at the end alone


def test_many_at_once_are_each_answered_as_alone(server, chats, translator):
    asked = [f"What comes after {word}, {n} times?" for word in ("two", "six") for n in range(1, 9)]
    jobs = [("answers", text) for text in asked] + [("german", text) for text in TEXTS]
    wanted = [*chats[0].predict(asked), *translator[0].predict(TEXTS)]
    assert all_at_once(server, jobs) == [one.text for one in wanted]


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_the_page_shows_an_answer_while_it_is_written(server, size):
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium")
    wanted = texts_of(server.post("/v1/predict?model=answers", ASKED[0].encode(), PLAIN))[0]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        faults = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.wait_for_selector("#form button")
        page.select_option("#model", "answers")
        assert page.inner_text("#form button") == "Write"
        page.fill("#text", ASKED[0])
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("#written")
        page.wait_for_selector("#stop", state="detached")
        assert page.inner_text("#written").split() == wanted.split()
        page.select_option("#model", "german")
        page.fill("#text", TEXTS[0])
        page.click("#form button")
        page.wait_for_selector("#written")
        page.wait_for_selector("#stop", state="detached")
        assert page.inner_text("#written").startswith(("der", "heute"))
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        page.fill("#text", "x" * 10_001)
        page.click("#form button")
        page.wait_for_selector("#answer:has-text('10,001')")  # the page lets nobody evaluate a text
        assert faults == []
        browser.close()
