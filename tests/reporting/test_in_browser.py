"""The page in a real browser: no error, nothing wider than the screen, every text readable.

Chromium is that of the machine (Debian: ``apt install chromium``), driven by Playwright; where one
of them is missing the tests are skipped. axe-core runs where its npm package lies in ``AXE_CORE``.
"""

import json
import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from looks import CONTRAST, LEAST_CONTRAST, NARROW, SCREENS, WIDER, opened, wrong_with

from headstart.reporting import render_page
from headstart.reporting.language import speaking
from headstart.reporting.page import Beside

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


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


@pytest.fixture
def shown(browser, full_page, tmp_path):
    """Return a function that opens a page on a screen, everything unfolded; errors are kept."""
    with ExitStack() as stack:

        def show(width, scheme, **how):
            path = tmp_path / "page.html"
            path.write_text(full_page(**how), encoding="utf-8")
            return stack.enter_context(opened(browser, path, width, scheme))

        yield show


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_a_page_fits_its_screen_and_can_be_read(shown, width, scheme):
    assert wrong_with(shown(width, scheme)) == {}


def test_many_classes_and_chinese_fit_a_phone_too(shown):
    page = shown(NARROW, "dark", language="zh", num_classes=23)
    assert wrong_with(page) == {}
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
