"""The page in a real browser: no error, nothing wider than the screen, every text readable.

Chromium is that of the machine (Debian: ``apt install chromium``), driven by Playwright; where one
of them is missing the tests are skipped. axe-core runs where its npm package lies in ``AXE_CORE``.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

from headstart.reporting import render_page
from headstart.reporting.language import speaking
from headstart.reporting.page import Beside

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
SCREENS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
NARROW = 390
LEAST_CONTRAST = 4.5
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)

# What is wider than the screen, or than the box that scrolls by itself; and what is hard to read.
WIDER = """() => {
  const found = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.push("the page: " +
    document.documentElement.scrollWidth);
  for (const one of document.querySelectorAll("main *, header *, footer *")) {
    const box = one.getBoundingClientRect();
    if (!box.width || one.closest("svg") || getComputedStyle(one).position === "absolute") continue;
    if (box.right > width + 0.5 && !one.closest(".matrix")) found.push(one.tagName + "." +
      one.className + " " + Math.round(box.right) + " " + one.textContent.slice(0, 40));
  }
  return found.slice(0, 5);
}"""
CUT = """() => [...document.querySelectorAll(".wide")]
  .filter(one => !one.querySelector(".matrix") && one.scrollWidth > one.clientWidth + 1)
  .map(one => one.scrollWidth + " in " + one.clientWidth + ": " + one.textContent.slice(0, 60))"""
CONTRAST = """least => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const read = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]))
    .concat(1);
  const ground = one => {
    const layers = [];
    for (let at = one; at; at = at.parentElement)
      layers.push(read(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  ).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.textContent.trim(), one = walk.currentNode.parentElement;
    if (!text || one.closest("title, style") || !one.getClientRects().length) continue;
    const style = getComputedStyle(one), below = ground(one);
    const ink = over(read(one.closest("svg") ? style.fill : style.color), below);
    const [a, b] = [light(ink), light(below)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least) found.push(ratio.toFixed(2) + " " + text.slice(0, 40));
  }
  return found;
}"""


def _beside():
    """Return single items, examples and explanations of every form."""
    faithful = {
        "share": 0.2,
        "num_items": 40,
        "is_faithful": True,
        **{name: {"value": 0.2, "low": 0.1, "high": 0.3} for name in ("deleted", "random")},
        "difference": {"value": 0.1, "low": 0.05, "high": 0.2},
    }
    word = "Donaudampfschifffahrtsgesellschaftskapitän " * 3
    told = {"name": "photos/a_very_long_name_of_a_file_without_any_blank_in_it_0001.jpg"}
    told |= {"prediction": "tulip", "probability": 0.9}
    explanations = {
        "method": "Integrated gradients",
        "part": "words",
        "effect": "the probability of its answer falls by",
        "is_share": True,
        "faithfulness": faithful,
        "items": [
            {**told, "plain": PIXEL, "picture": PIXEL},
            {**told, "words": [[word, 1.0], [" ", 0.0], ["dull", -0.9], [" plain", 0.0]]},
        ],
        "importance": [
            {"column": f"column_{k}", "loss": {"value": 1 / k, "low": 0.1 / k, "high": 2 / k}}
            for k in range(1, 5)
        ],
        "dependence": [
            {"column": "age", "is_number": True, "answer": "tulip", "points": [[1, 0.2], [2, 0.4]]},
            {
                "column": "a",
                "is_number": False,
                "answer": "tulip",
                "points": [["x", 0.2], ["y", 1]],
            },
        ],
    }
    item = {"name": "row 7", "target": "rose", "prediction": "tulip", "probability": 0.51}
    examples = {
        "classes": [{"name": "rose", "items": [{"name": "row 1", "text": word, "row": None}]}],
        "num_more": 3,
    }
    return Beside([{**item, "text": word}], {"17": "row 17"}, examples, explanations)


def _extra():
    """Return what ``evaluate`` writes for the page: curves, calibration, and cells."""
    figure = {"value": 0.9, "low": 0.8, "high": 0.95}
    bins = [
        {"confidence": c, "accuracy": {"value": c, "low": c - 0.1, "high": 1}} for c in (0.5, 0.9)
    ]
    stage = {"ece": figure, "bins": bins}
    line = [[0.0, 0.0, None], [0.1, 0.7, 0.8], [1.0, 1.0, 0.02]]
    names = ("daisy", "rose", "tulip")
    return {
        "curves": {
            "roc": dict.fromkeys(names, line),
            "precision_recall": dict.fromkeys(names, line),
            "lift": {name: [[0.1, 2.9], [1.0, 1.0]] for name in names},
            "num_positive": dict.fromkeys(names, 60),
        },
        "reliability": {"temperature": 1.3, "before": stage, "after": stage},
        "confusions": {
            "cells": [
                {
                    "target": "rose",
                    "prediction": "tulip",
                    "count": 9,
                    "share": 0.1,
                    "items": [17, 4],
                }
            ]
        },
        "thresholds": {"asked": "f1", "values": {"daisy": 0.31}},
        "conformal": {"coverage": 0.9, "test": {"coverage": figure}},
        "rejection": {"least": 0.8, "test": {"answered": figure, "accuracy": figure}},
        "folds": {"num_folds": 5, "num_items": 900, "figures": {"accuracy": figure}},
        "seeds": {"seeds": [0, 1], "figures": {"accuracy": figure}},
        "learning_curve": {"twice": {"num_train": 4000, "error": figure}},
    }


@pytest.fixture
def full_page(make_run):
    """Return a function that makes a page on which everything stands that can."""

    def make(language="en", num_classes=3):
        names = ("daisy", "rose", "tulip", *(f"a class of flowers {k}" for k in range(20)))
        run = make_run(names[:num_classes], 300)
        run["metrics"].update(_extra())
        run["options"]["command"] = ["fit", "/home/someone/flowers", "--budget", "2m"]
        run["options"]["finished_at"] = "2026-01-02T03:04:05+00:00"
        run["options"]["candidates"] *= 3
        run["options"]["arms"] = [{"arm": "full at 224 pixels", "score": 0.9, "note": "won"}]
        run["data"]["class_counts"] = {"train": [9] * num_classes, "test": [3] * num_classes}
        log = [{"kind": "arm", "arm": "head"}]
        for arm in ("head", "full"):
            log.append({"kind": "arm", "arm": arm})
            for step in range(1, 9):
                told = {"kind": "task", "name": "fine-tune", "done": step, "loss": 1 / step}
                log.append({**told, "learning_rate": 0.01 / step})
            log.append({"kind": "check", "step": 8, "val_score": 0.9, "metric": "accuracy"})
        item = {"name": "x.jpg", "target": "rose", "prediction": "tulip", "probability": 0.99}
        with speaking(language):
            return render_page(
                **run,
                log_records=log,
                samples=[{**item, "image_png_base64": PIXEL}],
                beside=_beside(),
            )

    return make


@pytest.fixture(scope="module")
def browser():
    """Return Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if BROWSER is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def shown(browser, full_page, tmp_path):
    """Return a function that opens a page on a screen, everything unfolded; errors are kept."""
    opened = []

    def show(width, scheme, **how):
        path = tmp_path / "page.html"
        path.write_text(full_page(**how), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened.append(context)
        page = context.new_page()
        page.errors = []
        page.on("console", lambda told: page.errors.append(told.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda asked: page.errors.extend(_foreign(asked.url, path)))
        page.goto(path.as_uri())
        page.evaluate("() => document.querySelectorAll('details').forEach(one => one.open = true)")
        return page

    yield show
    for context in opened:
        context.close()


def _foreign(url: str, path: Path) -> list[str]:
    return [] if url == path.as_uri() or url.startswith("data:") else [f"asks for {url}"]


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_a_page_fits_its_screen_and_can_be_read(shown, width, scheme):
    page = shown(width, scheme)
    assert page.errors == []
    assert page.evaluate(WIDER) == []
    assert page.evaluate(CUT) == []
    assert page.evaluate(CONTRAST, LEAST_CONTRAST) == []


def test_many_classes_and_chinese_fit_a_phone_too(shown):
    page = shown(NARROW, "dark", language="zh", num_classes=23)
    assert page.evaluate(WIDER) == []
    assert page.evaluate(CUT) == []
    assert page.evaluate(CONTRAST, LEAST_CONTRAST) == []
    assert page.evaluate("() => document.documentElement.lang") == "zh-CN"


def test_what_is_hard_to_read_or_too_wide_is_found(shown):
    page = shown(NARROW, "light")
    page.add_style_tag(content=".lead { color: #ddd !important } h2 { width: 900px }")
    assert any("the page: " in told for told in page.evaluate(WIDER))
    assert any(told.startswith("1.") for told in page.evaluate(CONTRAST, LEAST_CONTRAST))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_way_of_anyone(shown, scheme):
    script = Path(os.environ.get("AXE_CORE", "node_modules/axe-core")) / "axe.min.js"
    if not script.is_file():
        pytest.skip("axe-core is not there: npm install axe-core, or name its folder by AXE_CORE")
    page = shown(1280, scheme)
    page.evaluate(script.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations")
    told = [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found]
    assert told == [], json.dumps(told, indent=1)
