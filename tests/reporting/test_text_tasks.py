"""The text report of a multi-label and of a regression run; the rest is in test_text.py."""

from __future__ import annotations

import pytest

from headstart.reporting import render_text
from headstart.reporting.measures import format_figure, format_quantity
from headstart.reporting.text import WIDTH
from headstart.reporting.wording import judge, outcome
from headstart.tasks import REGRESSION, TASKS
from headstart.types import Schema

LABELS = Schema("text", "multi-label", ("toxic", "insult", "threat"), label="labels")
PRICE = Schema("table", "regression", (), label="SalePrice")


def test_report_of_a_regression(make_task_run):
    run = make_task_run(PRICE, 300, unit=50_000.0)
    report = render_text(**run)
    words = " ".join(report.split())
    figures = run["metrics"]["test"]["figures"]
    rmse = format_quantity(figures["rmse"])
    for expected in (
        "300 items, target 'SalePrice', read once",
        f"RMSE {rmse} on 300 items of the test set.",
        "fine-tuned is worse than gradient boosting (p < 1e-6) and better than mean of train (p",
        f"R² {format_figure(figures['r2'])}",
        f"median absolute error {format_quantity(figures['median_absolute_error'])}",
        "Before and after: RMSE on the same 300 items, lower is better",
        "WORSE, beyond chance.",
        "3 input columns: 2 numeric, 1 categorical",
        "12 of 900 texts were cut at 128 tokens",
    ):
        assert expected in words, expected
    assert "classes" not in words
    assert max(map(len, report.splitlines())) <= WIDTH
    assert "..." not in report  # nothing had to be cut


def test_report_of_labels(make_task_run):
    run = make_task_run(LABELS)
    report = render_text(**run)
    words = " ".join(report.split())
    f1 = format_figure(run["metrics"]["test"]["figures"]["f1_micro"])
    for expected in (
        "200 items, 3 labels, read once",
        f"F1 (micro) {f1} on 200 items of the test set. fine-tuned is better than",
        "Before and after: F1 (micro) on the same 200 items",
        "difference in exact match +",
        "Labels, lowest F1 first",
    ):
        assert expected in words, expected
    assert "lower is better" not in words
    assert "were called" not in words


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e12])
def test_report_of_targets_of_any_size_is_narrow(make_task_run, unit):
    report = render_text(**make_task_run(PRICE, 60, unit=unit))
    assert max(map(len, report.splitlines())) <= WIDTH
    assert "..." not in report


def _comparison(gained, lost, p_value, low, high, *, metric="mae", before="a"):
    difference = {"value": (low + high) / 2, "low": low, "high": high}
    return {
        "metric": metric,
        "before": before,
        "after": "fine-tuned",
        "gained": gained,
        "lost": lost,
        "p_value": p_value,
        "difference": difference,
    }


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (_comparison(80, 20, 1e-4, -2.0, -1.0), "better"),  # a smaller error is better
        (_comparison(20, 80, 1e-4, 1.0, 2.0), "worse"),
        (_comparison(80, 20, 1e-4, -2.0, 0.1), "mixed"),
        (_comparison(80, 20, 1e-4, 1.0, 2.0), "mixed"),
        (_comparison(20, 80, 1e-4, -2.0, -1.0), "mixed"),
        (_comparison(80, 20, 0.2, -2.0, -1.0), "open"),
        (_comparison(80, 20, 1e-4, 0.1, 0.2, metric="accuracy"), "better"),
        (_comparison(20, 80, 1e-4, -0.2, -0.1, metric="exact_match"), "worse"),
        (_comparison(20, 80, 0.05, -0.2, -0.1, metric="accuracy"), "open"),
    ],
)
def test_judge(comparison, expected):
    pairing = next(
        task.words.pairing for task in TASKS.values() if comparison["metric"] in task.figures
    )
    assert judge(comparison, pairing) == expected


def test_judge_without_an_interval_does_not_claim():
    comparison = _comparison(80, 20, 1e-4, 1.0, 2.0)
    comparison["difference"] = {"value": 1.0, "low": None, "high": None}
    assert judge(comparison, REGRESSION.words.pairing) == "mixed"


def test_outcome_names_the_losses_first():
    comparisons = [
        _comparison(80, 20, 1e-9, -2.0, -1.0, before="mean of train"),
        _comparison(20, 80, 0.002, 1.0, 2.0, before="gradient boosting"),
        _comparison(60, 40, 0.3, -1.0, 1.0, before="linear"),
    ]
    found = outcome({"task": "regression", "before_after": {"comparisons": comparisons}})
    assert found == (
        "fine-tuned is worse than gradient boosting (p = 0.002), not certainly different from "
        "linear (p = 0.300) and better than mean of train (p < 1e-6)."
    )
    assert outcome({}) == ""
