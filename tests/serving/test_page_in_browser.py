"""The page at ``/``, driven by a browser: Playwright (extra ``browser``) and Debian's Chromium."""

from __future__ import annotations

import shutil

import pytest
from serving_process import ServingProcess
from small_runs import TEXTS, table

pytestmark = pytest.mark.slow
SIZES = {"wide": (1280, 800), "narrow": (390, 844)}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def server(mlp_bundle, text_bundle, image_bundle):
    with ServingProcess(image_bundle[1], text_bundle[1], mlp_bundle[1]) as running:
        yield running


@pytest.fixture(params=SIZES)
def page(browser, server, request):
    width, height = SIZES[request.param]
    opened = browser.new_page(viewport={"width": width, "height": height})
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    is_told = "Failed to load resource"  # of a status that the page itself shows
    opened.on(
        "console",
        lambda said: (
            faults.append(said.text) if said.type == "error" and is_told not in said.text else None
        ),
    )
    elsewhere: list[str] = []
    opened.on(
        "request",
        lambda asked: (
            None
            if asked.url.startswith((f"http://127.0.0.1:{server.port}/", "blob:", "data:"))
            else elsewhere.append(asked.url)
        ),
    )
    opened.goto(f"http://127.0.0.1:{server.port}/")
    opened.wait_for_selector("#form button")
    yield opened
    # nothing is wider than the window, nothing failed, and nothing came from elsewhere
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert (faults, elsewhere) == ([], [])
    opened.close()


def answer(page) -> str:
    page.wait_for_selector("#answer strong")
    return page.inner_text("#answer strong")


def share(page) -> float:
    """Return the probability beside the answer, in percent."""
    return float(page.inner_text("#answer").split("%")[0].split()[-1])


def test_an_image_is_predicted_and_what_it_looked_at_is_shown(page, image_bundle):
    path = sorted(image_bundle[0].path.parent.rglob("[0-9]*.png"))[0]
    page.select_option("#model", "pictures")
    page.set_input_files("#file", str(path))
    expected = image_bundle[0].predict([str(path)])[0]
    assert answer(page) == expected.label
    assert share(page) == pytest.approx(100 * expected.probability, abs=0.051)
    page.click("#explain")
    page.wait_for_selector("#looked canvas")
    assert "What it looked at most: row" in page.get_attribute("#looked canvas", "aria-label")


def test_a_dropped_image_is_predicted(page, image_bundle):
    path = sorted(image_bundle[0].path.parent.rglob("[0-9]*.png"))[1]
    page.select_option("#model", "pictures")
    transfer = page.evaluate_handle(
        """bytes => { const one = new DataTransfer();
        one.items.add(new File([new Uint8Array(bytes)], "a.png", {type: "image/png"}));
        return one; }""",
        list(path.read_bytes()),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    assert answer(page) == image_bundle[0].predict([str(path)])[0].label


def test_a_text_is_predicted_by_the_keyboard_alone(page, text_bundle):
    page.focus("#model")
    page.keyboard.type("texts")  # a list is chosen from by its first letters
    page.wait_for_selector("#text")
    page.keyboard.press("Tab")
    page.keyboard.type(TEXTS[0])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Predict"
    page.keyboard.press("Enter")
    expected = text_bundle[0].predict([TEXTS[0]])[0]
    assert answer(page) == expected.label
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "explain"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_selector("#looked mark")
    marks = page.locator("#looked mark").all_inner_texts()
    assert " ".join(marks) == TEXTS[0]
    strongest = page.inner_text("#looked .bar span")
    assert strongest.strip() in TEXTS[0].split()


def test_a_row_is_predicted(page, mlp_bundle):
    page.select_option("#model", "rows")
    row = {**table().drop(columns="label").iloc[0].to_dict()}
    for place, value in enumerate(row.values()):
        page.fill(f"#c{place}", str(value))
    page.click("#form button")
    expected = mlp_bundle[0].predict([row])[0]
    assert answer(page) == expected.label
    page.click("#explain")
    page.wait_for_selector("#looked .bar")
    assert page.inner_text("#looked .bar span").strip() in row


def test_what_cannot_be_read_is_said(page):
    page.select_option("#model", "pictures")
    page.set_input_files(
        "#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    page.wait_for_selector("#answer:has-text('cannot')")  # the page lets nobody evaluate a text
