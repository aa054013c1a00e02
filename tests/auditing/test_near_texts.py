"""Nearly the same texts, planted among real questions, reviews and messages made of them."""

from __future__ import annotations

import pandas as pd
import pytest

import headstart as hs
from headstart.auditing.audit import AuditTools
from headstart.auditing.near_texts import near_texts
from headstart.auditing.shingles import plain, propose_pairs, shingle

PLACES = [
    "harbour",
    "library",
    "old mill",
    "station",
    "museum",
    "market hall",
    "river bank",
    "tower",
]
DEEDS = [
    "painted the door of",
    "lost an umbrella near",
    "took three photographs of",
    "dreamt about",
]
PEOPLE = ["my neighbour", "a retired pilot", "the youngest teacher", "our clumsy postman", "nobody"]
TIMES = ["yesterday before breakfast", "in a winter of heavy snow", "while it was raining", "twice"]
CHINESE = "房间很干净服务员态度也很好早餐种类丰富离地铁站只要五分钟下次还会再来住"
LONG = "The ferry leaves the northern harbour at six each morning and comes back with fresh mail"


def base():
    """Return 160 different texts, and as many labels."""
    texts = [
        f"{who} {deed} the {PLACES[(i + 3 * j + k) % 8]} {TIMES[(i + j) % 4]} and told us of "
        f"{PLACES[k]}"
        for i, who in enumerate(PEOPLE)
        for j, deed in enumerate(DEEDS)
        for k in range(8)
    ]
    return texts, ["a", "b"] * (len(texts) // 2)


def data_of(planted, original=LONG, label="a"):
    texts, labels = base()
    frame = pd.DataFrame(
        {
            "text": [*texts, original, planted],
            "label": [*labels, "a", label],
            "split": [*["train"] * 120, *["test"] * 40, "train", "test"],
        }
    )
    return hs.load(frame, text="text", label="label")


def leaks(planted, original=LONG, label="a"):
    data = data_of(planted, original, label)
    found = near_texts(data, AuditTools())
    return [
        (
            s.reason,
            data.test.samples.read(s.spot.index),
            data.split(s.beside.split).samples.read(s.beside.index),
        )
        for each in found
        if each.finding.kind == "leak"
        for s in each.suspects
        if planted in (data.split(s.spot.split).samples.read(s.spot.index),)
    ]


@pytest.mark.parametrize(
    "planted",
    [
        LONG.replace("fresh", "old"),
        LONG.upper() + "...",
        LONG.replace(" and", ",  and") + "!!",
        LONG + ". See https://example.org/ferry?id=7 for more",
        " ".join(LONG.split()[:10]),
        " ".join(LONG.split()[4:]),
        LONG + " -- Sent from my phone, please excuse any typos",
        "Dear all, " + LONG,
    ],
)
def test_an_edited_text_across_is_found_with_its_original(planted):
    ((_, text, beside),) = leaks(planted)
    assert (text, beside) == (planted, LONG)


@pytest.mark.parametrize(
    ("planted", "original"),
    [
        (CHINESE.replace("五", "十"), CHINESE),
        (CHINESE[:24], CHINESE),
        (CHINESE + "！！", CHINESE),
        ("ขอบคุณสำหรับการบริการที่ดีมากค่ะวันนี้", "ขอบคุณสำหรับการบริการที่ดีมากค่ะวันนี้!"),
    ],
)
def test_texts_without_blanks_are_compared_by_characters(planted, original):
    assert len(leaks(planted, original)) == 1


@pytest.mark.parametrize(
    "planted",
    [
        "The ferry was late",
        "What is the capital of Chile ?",
        "The train leaves the southern valley at nine every evening and comes back with guests",
    ],
)
def test_other_texts_are_no_near_copies(planted):
    original = LONG if planted.startswith("The") else "What is the capital of Peru ?"
    assert leaks(planted, original) == []


def test_short_texts_are_compared_whole():
    assert leaks("Purple umbrella inspection", "purple umbrella inspection!!") != []
    assert leaks("Purple umbrella inspector", "purple umbrella inspection") == []


def test_two_labels_of_nearly_one_text_are_a_contradiction():
    data = data_of(LONG.replace("fresh", "old"), label="b")
    found = {each.finding.kind: each for each in near_texts(data, AuditTools())}
    odd = found["contradiction"]
    assert odd.finding.severity == "warning"
    assert any(
        "fresh" in data.split(s.beside.split).samples.read(s.beside.index) for s in odd.suspects
    )
    assert all("here 'b' and there 'a'" in s.reason or "here 'a'" in s.reason for s in odd.suspects)


def test_near_copies_in_one_split_are_a_note_and_belong_together():
    texts, labels = base()
    frame = pd.DataFrame({"text": [*texts, LONG, LONG + " today"], "label": [*labels, "a", "a"]})
    frame["split"] = ["train"] * 100 + ["test"] * 60 + ["train"] * 2
    data = hs.load(frame, text="text", label="label")
    note = next(
        each
        for each in near_texts(data, AuditTools())
        if any(
            "ferry" in data.split(s.spot.split).samples.read(s.spot.index) for s in each.suspects
        )
    )
    assert (note.finding.kind, note.finding.severity) == ("near copies", "note")
    assert not note.leave_out
    groups = [{data.split(s.split).samples.read(s.index) for s in group} for group in note.together]
    assert {LONG, LONG + " today"} in groups


def test_a_crowd_of_one_pattern_is_linked_in_a_line():
    texts = [f"{LONG} on platform number {i}" for i in range(3000)]
    shingled = shingle(texts)
    first, _ = propose_pairs(shingled.bands, range_of(3000))
    assert 2999 <= len(first) < 60 * 3000


def range_of(number):
    import numpy as np

    return np.arange(number)


def test_the_plain_form():
    assert plain(
        ["Hello,  WORLD! see https://a.b/c?d=1", "价格：100元", "naïve café"]
    ).to_pylist() == [
        "hello world see",
        "价 格 100 元",
        "naïve café",
    ]


def test_time_that_is_up_is_said():
    (late,) = near_texts(data_of(LONG + " today"), AuditTools(is_over=lambda: True))
    assert "The time was up" in late.finding.sentence
