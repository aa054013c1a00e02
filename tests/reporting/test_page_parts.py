"""What the page shows beside figures: the head, trainings, probabilities, items, explanations."""

import re

from headstart.reporting import render_page
from headstart.reporting.charts import line_chart
from headstart.reporting.page import Beside
from headstart.reporting.page_curves import trainings_of
from headstart.reporting.page_explained import explained_view, marked_words
from headstart.reporting.page_head import command_of, provenance_view, verdict_view
from headstart.reporting.page_making import options_view
from headstart.reporting.page_samples import mistakes_view
from headstart.reporting.page_trust import behind_view, trust_view
from headstart.reporting.terminal import UNBROKEN, unbroken
from headstart.reporting.wording import verdict
from headstart.tasks import CLASSIFICATION, REGRESSION
from headstart.tasks.several_words import worded


def step(done, loss, **fields):
    return {"kind": "task", "name": "fine-tune", "done": done, "loss": loss, **fields}


def test_the_verdict_is_one_line_above_everything(make_run):
    run = make_run()
    found = verdict_view(run["metrics"])
    accuracy = run["metrics"]["test"]["figures"]["accuracy"]["value"]
    assert found["style"] == "good"
    assert f"Accuracy {100 * accuracy:.1f} % on 200 items" in found["sentence"]
    assert "better than" in found["sentence"]
    html = render_page(**run, log_records=[])
    assert html.index(unbroken(found["sentence"].split(" (")[0])) < html.index("<h2>")
    assert verdict_view({}) is None


def test_the_address_of_a_start_has_no_capital_where_a_sentence_begins(make_run):
    metrics = make_run()["metrics"]
    (after,) = {found["after"] for found in metrics["before_after"]["comparisons"]}
    told = verdict_view(metrics)["sentence"]
    assert f" {after[0].upper()}{after[1:]} is better than" in told
    for found in metrics["before_after"]["comparisons"]:
        found["after"] = "scratch/linear"
    assert " scratch/linear is better than" in verdict_view(metrics)["sentence"]


def test_the_head_says_when_by_what_and_how_without_private_paths():
    options = {
        "command": ["fit", "/home/someone/my photos", "--budget", "2m"],
        "finished_at": "2026-01-02T03:04:05+00:00",
    }
    told = dict(provenance_view({"versions": {"headstart": "0.1.0"}}, options))
    assert told == {
        "finished": "2026-01-02 03:04 UTC",
        "versions": "headstart 0.1.0",
        "command": "headstart fit 'my photos' --budget 2m",
    }
    assert provenance_view({}, {"finished_at": "some day"}) == []
    assert command_of({}) == ""


def test_each_arm_has_its_own_curves_and_goes_on_in_them():
    log = [{"kind": "arm", "arm": "a"}, step(1, 3.0, learning_rate=0.1), step(2, 2.0)]
    log += [{"kind": "arm", "arm": "b"}, step(1, 5.0)]
    log += [{"kind": "arm", "arm": "a"}, step(3, 1.0), {"kind": "phase", "learns": "2 of 3"}]
    log += [step(4, 0.5), {"kind": "check", "step": 4, "val_score": 0.9, "metric": "accuracy"}]
    first, last = trainings_of(log)
    assert (first.name, first.loss) == ("b", [(1.0, 5.0)])
    assert (last.name, [y for _, y in last.loss]) == ("a", [3.0, 2.0, 1.0, 0.5])
    assert last.rate == [(1.0, 0.1)]
    assert last.phases == [(3.0, "2 of 3")]
    assert (last.metric, last.score) == ("accuracy", [(4.0, 0.9)])


def test_a_run_that_was_resumed_takes_back_the_steps_that_it_repeats():
    (found,) = trainings_of([step(1, 3.0), step(2, 9.0), step(3, 9.0), step(2, 2.0)])
    assert found.loss == [(1.0, 3.0), (2.0, 2.0)]


def test_a_constant_curve_of_a_share_has_no_axis_above_one():
    points = [(0.0, 1.0), (1.0, 1.0)]
    chart = line_chart([("accuracy", "line-a", points)], x_label="step", label="a", most=1.0)
    ticks = [float(one) for one in re.findall(r'text-anchor="end">([\d.]+)<', chart)]
    assert max(ticks) == 1.0
    assert min(ticks) >= 0.9
    free = line_chart([("loss", "line-a", points)], x_label="step", label="a")
    assert "1.04" in free or "1.05" in free


def test_calibration_and_curves_are_drawn_where_they_lie():
    figure = {"value": 0.03, "low": 0.01, "high": 0.05}
    bins = [{"confidence": 0.5, "accuracy": {"value": 0.25, "low": 0.2, "high": None}}]
    metrics = {
        "reliability": {"temperature": 1.5, "after": {"ece": figure, "bins": bins}},
        "curves": {"roc": {"b": [[0, 0, None], [1, 1, 0.0]]}, "num_positive": {"a": 1, "b": 5}},
    }
    calibration, curves = trust_view(metrics)["groups"]
    assert "The temperature is 1.5." in calibration["lead"]
    assert "Calibration error 0.030 [0.010, 0.050] (after it)." in calibration["lead"]
    ((_, legend, chart),) = calibration["charts"]
    assert [name for _, name in legend] == ["after it"]
    x, y = re.search(r'<circle class="dot line-a" cx="([\d.]+)" cy="([\d.]+)"', chart).groups()
    left, right, top, bottom = 44.0, 318.0, 10.0, 292.0
    assert float(x) == (left + right) / 2
    assert float(y) == bottom - (bottom - top) / 4
    ((title, legend, _),) = curves["charts"]
    assert (title, [name for _, name in legend]) == ("ROC", ["b"])
    assert trust_view({}) is None
    metrics["reliability"] |= {"temperature": 1.0, "before": metrics["reliability"]["after"]}
    plain = trust_view(metrics)["groups"][0]
    assert "The temperature" not in plain["lead"]
    assert [name for _, name in plain["charts"][0][1]] == ["no temperature: val asks for none"]


def test_items_behind_a_cell_are_called_by_their_names():
    cell = {"target": "cat", "prediction": "dog", "count": 3, "share": 0.1, "items": [7, 8]}
    (found,) = behind_view({"confusions": {"cells": [cell]}}, {"7": "a.png"})["cells"]
    assert found["items"] == ["a.png", "item 8"]
    assert found["more"] == 1
    assert "3 'cat' called 'dog'" in found["title"]
    assert behind_view({}, {}) is None


def explanations(*, is_faithful):
    figure = {"value": 0.2, "low": 0.1, "high": 0.3}
    names = ("deleted", "random", "difference")
    checked = dict.fromkeys(names, figure) | {"share": 0.2, "num_items": 40}
    return {
        "method": "Grad-CAM",
        "part": "image",
        "effect": "the probability of its answer falls by",
        "faithfulness": checked | {"is_faithful": is_faithful},
        "items": [{"name": "x", "prediction": "cat", "probability": 0.9, "picture": "aGk="}],
    }


def test_explanations_are_shown_only_where_they_are_faithful(make_run):
    record = explanations(is_faithful=True)
    html = render_page(**make_run(), log_records=[], beside=Beside(explanations=record))
    assert "data:image/png;base64,aGk=" in html
    assert "Checked by deleting on 40 items: without the 20% of the image" in html
    record = explanations(is_faithful=False)
    html = render_page(**make_run(), log_records=[], beside=Beside(explanations=record))
    assert "aGk=" not in html
    assert "Grad-CAM is not shown, because it names no more than chance would." in html
    assert explained_view({}) is None


def test_words_are_marked_by_how_much_they_say():
    marked = marked_words([["good", 2.0], [" ", 0.0], ["film", 0.1], ["but", -1.0]])
    assert [one["css"] for one in marked] == ["for", "", "", "against"]
    assert [one["strength"] for one in marked] == ["60", "0", "3", "30"]


def test_no_line_of_the_page_ends_within_an_interval_a_p_value_or_an_option(make_run):
    run = make_run()
    run["options"]["command"] = ["fit", "photos", "--input-size", "32"]
    html = render_page(**run, log_records=[])
    words = re.sub(r"<style>.*?</style>|<[^>]+>", "", html, flags=re.S)
    assert UNBROKEN in words
    found = re.findall(r".{30}(?:\bp (?:=|&lt;) \d|\[[\d.+-]+, [\d.+-]+\]|\d %)", words)
    assert found == []
    assert '<span class="word">--input-size</span>' in html


def test_a_ladder_of_one_of_several_targets_says_which(make_run):
    run = make_run()
    own = {**run["metrics"]["before_after"], "task": "classification", "num_items": 200}
    run["metrics"]["before_after"]["parts"] = {"kind": own, "land": own}
    titles = re.findall(r"<h2>(Before and after.*?)</h2>", render_page(**run, log_records=[]))
    assert titles == ["Before and after", "Before and after: kind", "Before and after: land"]


def test_how_sure_the_least_sure_of_several_targets_is_stands_beside_no_number():
    item = {
        "name": "row 1",
        "target": "kind: flat; price: 3",
        "prediction": "kind: house; price: 4",
    }
    samples = [{**item, "probability": 0.6, "text": "some words"}]
    several = "multi-task: kind (2 classes), price (number)"
    for task, told in ((several, "(least sure: 0.60)"), ("classification", "0.60")):
        [one] = mistakes_view(samples, {"task": task})["samples"]
        assert one["certainty"] == told
    assert worded({"kind": "flat", "price": 18.170512, "age": None}) == (
        "kind: flat; price: 18.171; age: –"
    )


def test_answers_that_are_all_alike_have_no_unknown_difference():
    same = {"before": "probe", "after": "fine-tuned", "gained": 0, "lost": 0, "p_value": 1.0}
    same["difference"] = {"value": 0.0, "low": None, "high": None}
    for task in (CLASSIFICATION, REGRESSION):
        told = verdict(same, 48, task.words.pairing)
        assert "unknown" not in told
        assert "p = 1.000: no difference that 48 items can show" in told


def test_memory_is_told_in_the_unit_that_is_read():
    machine = {"peak_memory_bytes": 1_160_212_480, "gpus": [], "num_cpus": 2}
    [(_, rows)] = options_view({"machine": machine})
    assert dict(rows) == {"peak_memory_bytes": "1.2 GB", "gpus": "-", "num_cpus": "2"}
