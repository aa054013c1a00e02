"""The page of a multi-label and of a regression run; test_page.py has that of a classification."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from headstart.errors import OptionError
from headstart.reporting import render_page
from headstart.reporting.charts import axis_labels, scatter_chart, value_axis
from headstart.reporting.measures import format_quantity, format_value_alone, task_of
from headstart.tasks import MULTI_LABEL, TASKS
from headstart.types import Schema

LABELS = Schema("text", "multi-label", ("toxic", "insult", "threat"), label="labels")
PRICE = Schema("table", "regression", (), label="SalePrice")
EVIL = '<script>alert("1")</script>\'&'
_VOID = {"meta", "img", "br", "line", "circle"}


class _Nesting(HTMLParser):
    """Check that tags nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag


def _words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_page_of_a_regression(make_task_run):
    run = make_task_run(PRICE, 700, unit=50_000.0)
    log = [{"kind": "task", "name": "fine-tune", "done": s, "loss": 1.0 / s} for s in range(1, 9)]
    log += [{"kind": "check", "step": 4, "val_loss": 0.5, "metric": "r2", "val_score": -0.2}]
    html = render_page(**run, log_records=log)
    assert _Nesting(html).open == []
    words = _words(html)
    for title in ("How good", "Before and after", "Residuals", "Learning curves", "Data"):
        assert f"<h2>{title}</h2>" in html, title
    for title in ("Confusion matrix", "Classes", "Labels", "Most confused"):
        assert f"<h2>{title}</h2>" not in html, title
    for expected in (
        "RMSE on 700 items of the test set, in units of &#39;SalePrice&#39;; lower is better",
        "500 of 700 items, drawn at random",
        "Worse than gradient boosting: nearer on",
        "Better than mean of train: nearer on",
        "WORSE, beyond chance.",
        "difference in MAE +",
        "val R²",
        "squared error of standardised targets",
        "3 input columns: 2 numeric, 1 categorical",
        "12 of 900 texts were cut at 128 tokens",
    ):
        assert expected in words, expected
    figure = run["metrics"]["test"]["figures"]["rmse"]
    assert f'<div class="big">{figure["value"]:,.0f}</div>' in html
    assert html.count('<circle class="point"') == 2 * 500
    assert "%</div>" not in html.split("Before and after")[0]


def test_page_of_labels(make_task_run):
    run = make_task_run(LABELS)
    html = render_page(**run, log_records=[])
    assert _Nesting(html).open == []
    words = _words(html)
    assert "<h2>Labels</h2>" in html
    for title in ("Confusion matrix", "Classes", "Residuals"):
        assert f"<h2>{title}</h2>" not in html, title
    value = run["metrics"]["test"]["figures"]["f1_micro"]["value"]
    assert f'<div class="big">{value:.3f}</div>' in html
    for expected in (
        "F1 (micro) on 200 items of the test set",
        "Hamming loss",
        "share of items with every label right",
        "squared error, 0 to 1",
        "has right in every label",
        "Better than TF-IDF + linear",
        "difference in exact match +",
    ):
        assert expected in words, expected
    for label in LABELS.classes:
        assert f'<td class="name">{label}</td>' in html


def test_texts_are_shown_shortened_and_escaped(make_task_run):
    samples = [
        {
            "name": "row 7",
            "target": "toxic, threat",
            "prediction": "",
            "probability": 0.987,
            "text": EVIL + "差" * 400,
        },
        {"name": EVIL, "target": EVIL, "prediction": EVIL, "text": "short"},
    ]
    html = render_page(**make_task_run(LABELS), log_records=[], samples=samples)
    assert _Nesting(html).open == []
    assert "<script" not in html
    section = html.split("<h2>Worst mistakes</h2>")[1].split("</section>")[0]
    assert "差…" in section
    assert section.count("差") < 300
    assert "toxic, threat" in section
    assert "none of them" in section  # an empty set of labels
    assert "0.99" in section
    assert "unknown" not in section  # a certainty that is not given is not shown
    assert "<img" not in section


def test_rows_are_shown_with_their_largest_errors(make_task_run):
    row = {"rooms": 3, "street": EVIL, "age": None, "area": float("nan"), "new": True}
    row |= {f"column {i}": i for i in range(40)}
    samples = [
        {"name": "row 7", "target": 100_000.0, "prediction": 250_000.0, "row": row},
        {"name": "row 8", "target": 5.0, "prediction": -0.25, "row": {"rooms": 1}},
    ]
    html = render_page(**make_task_run(PRICE), log_records=[], samples=samples)
    assert _Nesting(html).open == []
    assert "<script" not in html
    section = html.split("<h2>Largest errors</h2>")[1].split("</section>")[0]
    words = _words(section)
    assert "100,000 250,000 +150,000" in words
    assert "5 -0.25 -5.25" in words
    assert "rooms 3" in words
    assert "age missing area missing new true" in words
    assert "and 31 more columns" in words
    assert "column 39" not in words


def test_rows_of_a_classification_say_what_was_taken_for_what(make_run):
    sample = {"name": "row 3", "target": "rose", "prediction": "tulip", "row": {"petals": 5}}
    html = render_page(**make_run(), log_records=[], samples=[sample] * 30)
    section = html.split("<h2>Worst mistakes</h2>")[1].split("</section>")[0]
    assert section.count("<tr>") == 25  # the head, and 24 items
    assert "petals 5" in _words(section)


def test_a_comparison_that_disagrees_with_itself_is_mixed(make_task_run):
    run = make_task_run(PRICE)
    found = run["metrics"]["before_after"]["comparisons"][0]
    found.update(gained=150, lost=50, p_value=1e-5)
    found["difference"] = {"value": 3.0, "low": -1.0, "high": 9.0}
    words = _words(render_page(**run, log_records=[]))
    assert "Mixed against mean of train: nearer on 150, farther on 50" in words
    assert "mixed, the items and their mean do not agree" in words


def test_null_figures_and_missing_parts_are_survived(make_task_run):
    for schema in (PRICE, LABELS):
        run = make_task_run(schema)
        nothing = {"value": None, "low": None, "high": None}
        test = run["metrics"]["test"]
        test["figures"] = dict.fromkeys(test["figures"], nothing)
        run["metrics"]["before_after"]["comparisons"] = []
        html = render_page(**run, log_records=[], samples=[{"name": "a", "target": None}])
        assert _Nesting(html).open == []
        assert "unknown" in html
        alone = {"task": schema.task, "test": test}
        assert _Nesting(render_page(alone, {}, {}, {}, [])).open == []


def test_the_task_is_the_one_that_the_metrics_name():
    assert task_of({"task": "multi-label"}) is MULTI_LABEL
    assert task_of({}) is None
    html = render_page({"test": {"num_items": 3, "figures": {}}}, {}, {}, {}, [])
    assert "has not been evaluated" in html


def test_metrics_of_an_unknown_task_are_refused_with_the_nearest(make_run):
    run = make_run()
    run["metrics"]["task"] = "object-detection"
    with pytest.raises(OptionError, match=r"'object-detection'.*'classification'"):
        render_page(**run, log_records=[])


@pytest.mark.parametrize("reference", ["diagonal", "zero"])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_scatter_chart_holds_its_points_and_its_line(reference, unit):
    points = [(unit * x, unit * (x - 3 + (-1) ** x)) for x in range(20)]
    svg = scatter_chart(points, x_label="t", y_label="p", label="a", reference=reference)
    circles = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)
    assert len(circles) == 20
    assert all(52 <= float(x) <= 520 and 0 <= float(y) <= 400 for x, y in circles)
    ends = re.search(r'"reference" x1="(.+?)" y1="(.+?)" x2="(.+?)" y2="(.+?)"', svg)
    assert ends is not None
    x1, y1, x2, y2 = map(float, ends.groups())
    assert x1 < x2
    assert (y1 == y2) if reference == "zero" else (y1 > y2)  # up the page is less


def test_a_point_on_the_line_is_drawn_on_the_line():
    points = [(1.0, 1.0), (2.0, 2.0), (9.0, 9.0)]
    svg = scatter_chart(points, x_label="", y_label="", label="", reference="diagonal")
    line = re.search(r'"reference" x1="(.+?)" y1="(.+?)" x2="(.+?)" y2="(.+?)"', svg)
    assert line is not None
    x1, y1, x2, y2 = map(float, line.groups())
    for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg):
        expected = y1 + (float(x) - x1) / (x2 - x1) * (y2 - y1)
        assert float(y) == pytest.approx(expected, abs=0.2)


def test_scatter_chart_without_spread_or_points():
    assert scatter_chart([], x_label="", y_label="", label="", reference="zero") == ""
    assert "circle" in scatter_chart(
        [(5, 5)], x_label="", y_label="", label="", reference="diagonal"
    )


def test_value_axis_has_round_ends_that_hold_all():
    assert value_axis([20_554, 94_767]) == pytest.approx((20_000, 100_000))
    assert value_axis([-0.31, 0.52]) == pytest.approx((-0.5, 1.0))
    assert value_axis([3.0, 3.0])[0] < 3.0 < value_axis([3.0, 3.0])[1]
    assert value_axis([]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("axis", "shown"),
    [
        ((0.0, 1.0), ["0.00", "1.00"]),
        ((2e4, 1e5), ["20,000", "100,000"]),
        ((-1, 1), ["-1.0", "1.0"]),
    ],
)
def test_axis_labels_are_written_as_fits(axis, shown):
    assert [*axis_labels(axis)] == shown


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((0.5123, 0.49, 0.535), "0.512 [0.490, 0.535]"),
        ((24310.4, 23050.0, 25720.0), "24,310 [23,050, 25,720]"),
        ((2.5, 0.1, 99.0), "2 [0, 99]"),
        ((1.7e9, 1.5e9, 1.9e9), "1.7e9 [1.5e9, 1.9e9]"),
        ((2.4e-8, 1e-8, 4e-8), "2.4e-8 [1e-8, 4e-8]"),
        ((0.25, None, None), "0.250 [unknown]"),
        ((0.0, None, None), "0.000 [unknown]"),
        ((None, None, None), "unknown"),
    ],
)
def test_quantities_show_the_digits_that_their_interval_gives_meaning(ends, expected):
    assert format_quantity(dict(zip(("value", "low", "high"), ends, strict=True))) == expected


def test_quantities_may_carry_a_sign():
    assert format_quantity({"value": 0.5, "low": -0.1, "high": 1.1}, signed=True) == (
        "+0.5 [-0.1, +1.1]"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "unknown"), (float("nan"), "unknown"), (1437.2, "1,437"), (0.51234, "0.5123")],
)
def test_numbers_alone(value, expected):
    assert format_value_alone(value) == expected


@pytest.mark.parametrize(
    ("beside", "target", "prediction"),
    [
        ({"text": "the old house"}, "das alte Haus", ""),
        ({"row": {"x": 1.5}}, "kind: up; price: 24300", "kind: down; price: 281445"),
    ],
)
def test_what_is_told_in_words_is_shown_in_words_beside_its_item(
    make_task_run, beside, target, prediction
):
    """Texts that are written and several targets have no classes, and are no numbers."""
    item = {"name": "row 7", "target": target, "prediction": prediction, "probability": 0.25}
    html = render_page(**make_task_run(PRICE), log_records=[], samples=[item | beside])
    section = _words(html.split(f"<h2>{TASKS['regression'].words.mistakes}</h2>")[1])
    told = section.split("Learning curves")[0]
    for expected in (target, prediction or "none of them", "0.25", "row 7"):
        assert expected in told
    assert "unknown" not in told
    assert "off by" not in told
