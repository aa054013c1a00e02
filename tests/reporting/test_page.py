from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from headstart.reporting import page as page_module
from headstart.reporting import render_page
from headstart.reporting.charts import axis_of, interval_chart, line_chart, thin, ticks

_VOID = {"meta", "img", "br", "line", "circle"}


class _Page(HTMLParser):
    """Check that tags nest, and collect tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def titles(self) -> list[str]:
        return re.findall(r"<h2>(.*?)</h2>", self.rawdata)


def _log() -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = [{"kind": "stage", "text": "Training"}]
    for step in range(1, 101):
        log.append({"kind": "task", "name": "fine-tune", "done": step, "loss": 2.0 / step})
        if step % 20 == 0:
            log.append(
                {
                    "kind": "check",
                    "step": step,
                    "val_loss": 1.0,
                    "metric": "accuracy",
                    "val_score": 0.9,
                }
            )
    return log


def test_render_page_is_well_formed_and_complete(make_run):
    run = make_run()
    html = render_page(**run, log_records=_log())
    page = _Page(html)
    assert page.open == []
    for title in (
        "How good",
        "Before and after",
        "Confusion matrix",
        "Classes",
        "Learning curves",
        "How it was chosen",
        "Data",
        "Cost, options and machine",
    ):
        assert f"<h2>{title}</h2>" in html, title
    for words in ("photos/4.jpg", "9f2c11d7", "learning_rate", "2 cores", "2 min 5 s"):
        assert words in page.text, words
    verdict = run["metrics"]["before_after"]["comparisons"][0]
    assert f"gained {verdict['gained']}, lost {verdict['lost']}" in page.text


def test_render_page_needs_nothing_but_itself(make_run):
    page = _Page(render_page(**make_run(), log_records=_log()))
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset"):
                assert (value or "").startswith("data:")


def test_render_page_escapes_every_name(make_run):
    evil = '<script>alert("1")</script>\'&'
    run = make_run((evil, "rose", "tulip"))
    run["data"].update(
        name=evil,
        findings=[{"sentence": evil}],
        bad_samples=[{"name": evil, "reason": evil}],
        split_origin={"val": evil},
        fingerprint=evil,
    )
    run["model"]["start"].update(address=evil, family=evil, licence=evil, pretrained_on=evil)
    run["model"]["strategy"] = evil
    run["options"].update(
        verb=evil,
        options={evil: evil},
        machine={evil: [evil]},
        choices=[{"name": evil, "value": evil, "why": evil}],
        candidates=[{"start": evil, "score": 0.5, "low": 0.4, "high": 0.6, "note": evil}],
    )
    compared = run["metrics"]["before_after"]
    compared["figures"][evil] = compared["figures"].pop("fine-tuned")
    compared["comparisons"][0].update(before=evil, after=evil)
    run["metrics"]["seconds"][evil] = 3.0
    mistake = dict.fromkeys(("name", "target", "prediction", "image_png_base64"), evil)
    html = render_page(**run, log_records=_log(), samples=[{**mistake, "probability": 0.9}])
    assert "<script" not in html
    page = _Page(html)
    assert page.open == []
    assert page.text.count("alert(") > 20
    known = {"class", "style", "title", "src", "alt", "name", "content", "lang", "charset"}
    known |= {"http-equiv", "role", "aria-label", "viewbox", "points", "cx", "cy", "r"}
    known |= {"x", "y", "x1", "x2", "y1", "y2", "text-anchor", "data-label"}
    assert {name for _, attributes in page.tags for name in attributes} <= known


def test_render_page_survives_missing_parts(make_run):
    run = make_run()
    html = render_page({"test": run["metrics"]["test"]}, {}, {}, {}, [])
    assert _Page(html).open == []
    assert "Before and after" not in html
    assert "Learning curves" not in html
    assert "not been evaluated" in render_page({}, {}, {}, {}, [])


def test_render_page_shows_null_figures_as_unknown(make_run):
    run = make_run()
    nothing = {"value": None, "low": None, "high": None}
    run["metrics"]["test"]["figures"] = dict.fromkeys(run["metrics"]["test"]["figures"], nothing)
    run["metrics"]["test"]["per_class"]["rose"].update(
        precision=nothing, recall=nothing, f1=nothing
    )
    run["metrics"]["before_after"]["figures"]["fine-tuned"] = nothing
    html = render_page(**run, log_records=[])
    assert html.count("unknown") > 8
    assert "nan" not in html.lower().replace("unknown", "")


def test_render_page_of_many_classes_lists_pairs_instead_of_a_matrix(make_run):
    html = render_page(**make_run(tuple(f"c{i}" for i in range(30)), 900), log_records=[])
    assert "<h2>Most confused</h2>" in html
    assert 'class="matrix' not in html
    assert "5 more classes" in html
    assert html.count(" of 3") > 3


def test_render_page_matrix_holds_every_count(make_run):
    run = make_run()
    html = render_page(**run, log_records=[])
    matrix = html.split('<table class="matrix')[1].split("</table>")[0]
    shown = [int(n or 0) for n in re.findall(r"<td [^>]*>(\d*)</td>", matrix)]
    assert shown == [n for row in run["metrics"]["test"]["confusion_matrix"] for n in row]


def test_render_page_shows_mistakes_as_pictures(make_run):
    mistake = {
        "name": "photos/7.jpg",
        "target": "rose",
        "prediction": "tulip",
        "probability": 0.987,
        "image_png_base64": "iVBORw0KGgo=",
    }
    html = render_page(**make_run(), log_records=[], samples=[mistake] * 60)
    assert html.count("data:image/png;base64,iVBORw0KGgo=") == 48
    assert "says <b>tulip</b> 0.99<br>is <b>rose</b>" in html


def test_render_page_draws_the_last_training_first(make_run):
    log = [{"kind": "task", "name": "probe", "done": step, "loss": 9.0} for step in range(50)]
    log += [{"kind": "check", "step": step, "val_score": 0.1} for step in (10, 20, 30)]
    log += [{"kind": "task", "name": "fine-tune", "done": s, "loss": 1.0} for s in (1, 2, 3, 2, 3)]
    log += [{"kind": "check", "step": step, "val_score": 0.8} for step in (5, 15)]
    html = render_page(**make_run(), log_records=log)
    last, before = html.split("<details><summary>Before it: ")[:2]
    train, val = re.findall(r'<polyline[^>]*points="([^"]*)"', last)
    assert len(re.findall("<polyline", before)) == 2  # loss and score of the probe
    assert len(train.split()) == 3
    assert len(val.split()) == 2


def test_render_page_leaves_out_losses_that_are_not_finite(make_run):
    log = [{"kind": "task", "done": s, "loss": x} for s, x in enumerate((1.0, None, float("nan")))]
    assert "nan" not in render_page(**make_run(), log_records=log).split("polyline")[1]


def test_line_chart_stays_inside_its_frame():
    points = [(float(step), 1000.0 / (step + 1) ** 2) for step in range(1000)]
    svg = line_chart([("loss", "line-a", points)], x_label="step", label="loss")
    drawn = re.search(r'points="([^"]*)"', svg)
    assert drawn is not None
    pairs = [tuple(map(float, pair.split(","))) for pair in drawn[1].split()]
    assert len(pairs) <= 300
    assert all(0 <= x <= 520 and 0 <= y <= 240 for x, y in pairs)


def test_line_chart_without_points_is_empty():
    assert line_chart([("loss", "line-a", [])], x_label="step", label="loss") == ""


def test_line_chart_of_one_point_is_drawn():
    assert "circle" in line_chart([("loss", "a", [(3.0, 0.5)])], x_label="step", label="loss")


def test_thin_keeps_the_mean_and_the_last_point():
    points = [(float(i), float(i % 2)) for i in range(1001)]
    thinned = thin(points, 101)
    assert len(thinned) <= 101
    assert thinned[-1] == points[-1]
    assert all(y == pytest.approx(0.5) for _, y in thinned[:-1])
    assert thin(points[:5], 101) == points[:5]


def test_ticks_are_round_and_inside():
    assert ticks(0.0, 1.0) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(0.31, 0.94) == pytest.approx([0.4, 0.6, 0.8])
    assert ticks(5.0, 5.0) == [5.0]


def test_axis_of_has_round_ends_that_hold_all():
    assert axis_of([0.218, 0.983]) == pytest.approx((0.2, 1.0))
    assert axis_of([0.9935, 0.9963]) == pytest.approx((0.98, 1.0))
    assert axis_of([1.0, 1.0]) == pytest.approx((0.98, 1.0))
    assert axis_of([0.0, 0.0]) == pytest.approx((0.0, 0.02))
    assert axis_of([]) == (0.0, 1.0)


def test_interval_chart_places_the_dot():
    html = interval_chart(0.5, 0.4, 0.7, (0.0, 1.0))
    assert "left:40.0%;width:30.0%" in html
    assert "left:50.0%" in html


def test_importing_reporting_is_cheap():
    code = (
        "import sys, headstart.reporting;"
        "print([m for m in ('torch', 'rich', 'numpy', 'sklearn', 'jinja2') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


TEMPLATES = sorted((Path(page_module.__file__).parent / "templates").iterdir())


def test_templates_are_shipped_with_the_package():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["headstart"]
    assert TEMPLATES
    for path in TEMPLATES:
        assert any(fnmatch(f"reporting/templates/{path.name}", pattern) for pattern in patterns)


def test_only_charts_enter_the_page_unescaped():
    marked = [m for path in TEMPLATES for m in re.findall(r"(\w+) \| safe", path.read_text())]
    assert set(marked) == {"chart", "svg"}  # svg: of a chart, on the page of a run under way
    for path in TEMPLATES:
        assert len(re.findall(r"\bsafe\b|autoescape", path.read_text())) == len(
            re.findall(r"chart(?:\.svg)? \| safe", path.read_text())
        )


def test_a_template_that_asks_for_what_is_not_there_fails(make_run, monkeypatch):
    monkeypatch.setattr(page_module, "choice_view", lambda *_: {"lead": "Chosen."})
    with pytest.raises(UndefinedError, match="starts"):
        render_page(**make_run(), log_records=[])


def test_the_page_says_how_to_use_the_model_and_what_each_split_holds(make_run):
    run = make_run()
    run["model"]["versions"] = {"headstart": "0.1.0", "torch": "2.14.1"}
    run["data"]["class_counts"] = {"train": [5, 70, 1000], "val": [1, 2, 3], "test": [4, 6, 8]}
    html = render_page(**run, log_records=[])
    assert "headstart predict RUN FILE…" in html
    assert "<dd>headstart 0.1.0, torch 2.14.1</dd>" in html
    listed = html.split("Samples of each class")[1].split("</table>")[0]
    rows = re.findall(r'<td class="name">(\w+)</td>((?:<td class="number">[\d,]+</td>)+)', listed)
    told = {name: re.findall(r"[\d,]+(?=</td>)", cells) for name, cells in rows}
    assert list(told) == ["tulip", "rose", "daisy"]
    assert told["tulip"] == ["1,000", "3", "8"]
