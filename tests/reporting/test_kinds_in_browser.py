"""The pages of real runs of every kind that is not one label of one input, on a screen and a phone.

Those of one label are looked at in ``test_in_browser.py``, with everything on them that can be.
Each test leaves its four pictures in its folder (``--basetemp``), for a person to look at.
"""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from looks import SCREENS, opened, wrong_with
from small_captions import pair_run
from small_questions import question_run
from small_runs import tag_run
from small_writers import chat_run, translator_run

import headstart as hs

pytestmark = pytest.mark.slow


def several_run(folder):
    """Fine-tune on two targets of a table, one a class and one a number, both with gaps."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"rooms": draw.integers(1, 9, 300), "area": draw.normal(90, 25, 300)})
    frame["price"] = 40_000 * frame["rooms"] + 2_000 * frame["area"] + draw.normal(0, 9_000, 300)
    frame["kind"] = np.where(frame["area"] > 90, "a house with a rather long name", "flat")
    frame.loc[frame.index % 9 == 0, "price"] = None
    frame.loc[frame.index % 9 == 4, "kind"] = None
    data = hs.load(frame, label="kind,price")
    return hs.finetune(
        data, start="scratch/mlp", num_steps=60, out=str(folder / "several"), device="cpu"
    )


def beside_run(folder):
    """Fine-tune on texts with columns beside them."""
    draw = np.random.default_rng(0)
    words = np.array(["warm", "dull", "bright", "slow", "film", "plot", "actor", "music"])
    rows = [" ".join(draw.choice(words, 8)) for _ in range(240)]
    frame = pd.DataFrame({"review": rows, "price": draw.normal(20, 5, 240)})
    frame["city"] = draw.choice(["Wien", "Genève", "Llanfairpwllgwyngyll"], 240)
    good = [
        text.count("warm") + (price > 20) > 1
        for text, price in zip(rows, frame["price"], strict=True)
    ]
    frame["label"] = np.where(good, "good", "bad")
    data = hs.load(frame, text="review", beside=["all"])
    return hs.finetune(
        data, start="scratch/tfidf", out=str(folder / "beside"), device="cpu", overwrite=True
    )


KINDS = {
    "tags": tag_run,
    "several targets": several_run,
    "questions": question_run,
    "translation": translator_run,
    "chats": chat_run,
    "captions": pair_run,
    "columns beside": beside_run,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_a_run_fits_its_screen_and_can_be_read(browser, kind, tmp_path):
    run = KINDS[kind](tmp_path)
    page = tmp_path / "page.html"
    shutil.copy(run.path / "report.html", page)
    for width, scheme in SCREENS:
        with opened(browser, page, width, scheme) as shown:
            assert wrong_with(shown) == {}, (width, scheme)
            assert len(shown.inner_text("main")) > 500
            shown.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)
