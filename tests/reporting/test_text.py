from __future__ import annotations

import copy

import pytest

from headstart.reporting import render_page, render_text
from headstart.reporting.measures import format_figure
from headstart.reporting.terminal import wrapped
from headstart.reporting.text import WIDTH
from headstart.reporting.wording import data_title
from headstart.types import Schema


def test_render_text_says_what_a_person_decides_by(make_run):
    run = make_run()
    report = render_text(**run)
    accuracy = run["metrics"]["test"]["figures"]["accuracy"]
    verdict = run["metrics"]["before_after"]["comparisons"][0]
    words = " ".join(report.split())
    for expected in (
        "headstart fit: flowers",
        "pip/efficientnet-lite0",
        "3.4 million parameters, pretrained on ImageNet-1k, licence Apache-2.0",
        f"accuracy {format_figure(accuracy)}",
        f"gained {verdict['gained']}, lost {verdict['lost']}",
        "better, beyond chance",
        "size = 160: 224 pixels are too slow",
        "scratch/resnet18: too slow for its share",
        "val: 80 items (15 % of train)",
        "5 samples could not be used and took no part: photos/0.jpg: truncated",
        "and 2 more, listed in data.json",
        "Class 'daisy' has 3 images.",
        "total 2 min 5 s",
    ):
        assert expected in words, expected


def test_render_text_is_narrow_and_deterministic(make_run):
    run = make_run(tuple(f"a class with a very long name indeed, number {i}" for i in range(30)))
    run["data"]["name"] = "x" * 200
    run["options"]["choices"][0]["why"] = "because " * 40
    report = render_text(**run)
    assert max(map(len, report.splitlines())) <= WIDTH
    assert report == render_text(**copy.deepcopy(run))
    assert report.endswith("\n")
    assert "Weakest 5 of 30 classes" in report


def test_render_text_lists_the_weakest_class_first(make_run):
    run = make_run()
    values = {n: c["f1"]["value"] for n, c in run["metrics"]["test"]["per_class"].items()}
    table = render_text(**run).split("Classes, lowest F1 first\n")[1].splitlines()[1:4]
    assert [line.split()[0] for line in table] == sorted(values, key=values.__getitem__)


@pytest.mark.parametrize(
    ("gained", "lost", "p_value", "words"),
    [
        (30, 5, 0.0001, "better, beyond chance"),
        (5, 30, 0.0001, "WORSE, beyond chance"),
        (9, 7, 0.8, "no difference that 200 items can show"),
    ],
)
def test_render_text_judges_by_the_paired_test(make_run, gained, lost, p_value, words):
    run = make_run()
    comparison = run["metrics"]["before_after"]["comparisons"][0]
    comparison.update(gained=gained, lost=lost, p_value=p_value)
    run["metrics"]["before_after"]["comparisons"] = [comparison]
    assert words in " ".join(render_text(**run).split())


def test_render_text_survives_missing_parts(make_run):
    run = make_run()
    del run["metrics"]["val"], run["metrics"]["before_after"]
    report = render_text(run["metrics"], {}, {}, {})
    assert "Before and after" not in report
    assert "unknown" in report
    assert "not been evaluated" in render_text({}, {}, {}, {})


def test_render_text_says_unknown_for_null_figures(make_run):
    run = make_run()
    run["metrics"]["test"]["figures"]["roc_auc"] = {"value": None, "low": None, "high": None}
    line = next(line for line in render_text(**run).splitlines() if "ROC-AUC" in line)
    assert line.split()[1] == "unknown"


def test_render_text_keeps_control_characters_off_the_terminal(make_run):
    run = make_run(("\x1b[31mred\n", "rose", "tulip"))
    run["data"]["bad_samples"][0]["name"] = "\x1b]0;owned\x07.jpg"
    run["data"]["name"] = "\x1b[2Jname"
    report = render_text(**run)
    assert "\x1b" not in report
    assert "\x07" not in report


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ({"value": 0.981, "low": 0.976, "high": 0.986}, "0.981 [0.976, 0.986]"),
        ({"value": 0.9951, "low": 0.9935, "high": 0.9963}, "0.9951 [0.9935, 0.9963]"),
        ({"value": 0.5, "low": None, "high": None}, "0.500 [unknown]"),
        ({"value": None, "low": None, "high": None}, "unknown"),
        (None, "unknown"),
    ],
)
def test_format_figure(figure, expected):
    assert format_figure(figure) == expected


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((28.946, 15.91, 56.605), "28.9 [15.9, 56.6]"),
        ((1.827, 1.075, 115.984), "1.8 [1.1, 116.0]"),
        ((5.896, 1.088, 2020936.61), "6 [1, 2,020,937]"),
        ((9.5, 9.1, 9.9), "9.500 [9.100, 9.900]"),
        ((-41.941, -55.111, None), "-41.9 [unknown]"),
    ],
)
def test_larger_figures_have_fewer_decimals(ends, expected):
    assert format_figure(dict(zip(("value", "low", "high"), ends, strict=True))) == expected


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("/home/me/secret/photos/", "photos"),
        ("C:\\me\\rows.csv", "rows.csv"),
        ("photos/", "photos"),
        ("a/photos/", "a/photos"),
        ("mnist", "mnist"),
        ("/", "/"),
    ],
)
def test_a_title_holds_no_path_of_somebody(name, title, make_run):
    assert data_title(name) == title
    run = make_run()
    run["data"]["name"] = name
    assert render_text(**run).splitlines()[0].endswith(f": {title}")
    assert f"<title>{title}: headstart" in render_page(**run, log_records=[])


def guessed(make_run, make_figure):
    """Return a run whose model tells no more than the majority class, and its figure."""
    run = make_run()
    before_after = run["metrics"]["before_after"]
    before_after["figures"]["fine-tuned"] = make_figure
    for comparison in before_after["comparisons"]:
        comparison.update(gained=9, lost=8, p_value=0.9)
    return run


@pytest.mark.parametrize(
    ("above", "said"), [(-0.1, "no better"), (-0.001, "not certainly better"), (0.01, "")]
)
def test_a_model_that_only_guesses_or_may_is_said_to_first(make_run, above, said):
    naive = next(iter(make_run()["metrics"]["before_after"]["figures"].values()))["value"]
    low = max(naive, 1 / 3) + above  # of three classes a third is guessed
    run = guessed(make_run, {"value": low + 0.05, "low": low, "high": low + 0.1})
    first = " ".join(render_text(**run).split("How good\n")[1].split())
    assert ("than guessing" in first) == bool(said)
    assert first.startswith(f"This model is {said} than guessing (majority class)." if said else "")
    assert (f"is {said} than guessing" in render_page(**run, log_records=[])) == bool(said)


def test_what_is_right_on_more_items_or_is_far_off_less_does_not_guess(make_run, make_task_run):
    assert "guessing" not in render_text(**make_run())
    run = make_task_run(Schema("table", "regression", (), "price"))
    assert "guessing" not in render_text(**run)
    ladder = run["metrics"]["before_after"]
    naive = next(iter(ladder["figures"].values()))
    ladder["figures"]["fine-tuned"] = dict(naive)
    for comparison in ladder["comparisons"]:
        comparison.update(gained=9, lost=8, p_value=0.9)
    assert "no better than guessing (mean of train)" in render_text(**run)


def test_names_stand_whole_however_long_and_no_line_is_wider(make_run):
    run = make_run()
    name = "pip/efficientnet-lite0, all weights, from the head that was solved for, 224 pixels"
    run["options"]["arms"] = [
        {"arm": name, "score": 0.9, "low": 0.8, "high": 0.95, "seconds": 12.0, "note": "won"},
        {"arm": "head", "score": 0.8, "low": 0.7, "high": 0.85, "seconds": 1.0, "note": ""},
    ]
    report = render_text(**run)
    assert max(map(len, report.splitlines())) <= WIDTH
    told = report.split("Ways of making a model that were tried\n")[1]
    assert name in " ".join(told.split())
    assert "..." not in told.split("\n\n")[0]


def test_no_line_ends_inside_an_interval_a_p_value_or_a_percentage():
    whole = "differs by +0.125 [-0.062, +0.313], p = 0.012 of 100.0 % of all items"
    for width in range(20, 70):
        lines = wrapped(whole, width)
        assert " ".join(lines) == whole
        assert max(map(len, lines)) <= width
        told = "\n".join(lines)
        for kept in ("[-0.062, +0.313]", "p = 0.012", "100.0 %"):
            assert kept in told
