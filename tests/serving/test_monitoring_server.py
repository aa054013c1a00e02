"""The verb: samples at hand, a server's log, a server itself; text, page and JSON."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from monitored import rows
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from serving_process import SECONDS, ServingProcess

import headstart as hs
from headstart import cli
from headstart.bundles import open_bundle
from headstart.errors import DataError, ExportError, OptionError
from headstart.reporting.monitor_text import render_monitor_text
from headstart.serving.watching import Watches, WatchOptions

DETECTORS = {"embeddings", "classes", "confidence", "columns"}


def written(folder, name, frame):
    """Return a file of rows without labels."""
    path = folder / name
    frame.drop(columns="label").to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def served(watched, tmp_path_factory):
    """Return a log, the state, the metrics and the words of a server that was asked other rows."""
    log = tmp_path_factory.mktemp("served") / "windows.jsonl"
    said = ("--monitor-log", str(log), "--monitor-seconds", "0")
    with ServingProcess(watched[1], options=said) as server:
        url = f"http://127.0.0.1:{server.port}"
        begun = hs.monitor(str(watched[1]), url=url).state
        for seed, shift in ((21, 0.0), (22, 0.7), (23, 0.7)):
            table = rows(500, seed, shift=shift).drop(columns="label")
            records = json.loads(table.to_json(orient="records"))
            for start in range(0, 500, 125):
                server.post("/v1/predict", records[start : start + 125])
        server.wait_for("Drift: two of three windows")
        state = hs.monitor(str(watched[1]), url=url).state
        _, _, metrics = server.ask("GET", "/metrics")
    return log, begun, state, metrics.decode(), server.log


def test_a_server_watches_what_it_answers(served):
    log, begun, state, _, said = served
    assert (begun["windows"], begun["filled"], begun["alarm"]) == ([], 0, False)
    assert [one["state"] for one in state["windows"]] == ["no drift", "drift", "drift"]
    assert [one["alarm"] for one in state["windows"]] == [False, False, True]
    assert set(state["windows"][0]["detectors"]) == DETECTORS
    named = [c["name"] for c in state["windows"][2]["columns"] if c["is_drift"]]
    assert named == ["idle"]
    assert said.count("Drift: two of three windows of watched") == 1
    assert [json.loads(line) for line in log.read_text().splitlines()] == state["windows"]


def test_a_log_and_a_server_say_the_same(watched, served):
    log, _, state, _, _ = served
    found = hs.monitor(str(watched[1]), log=str(log))
    assert found.has_drifted
    assert found.state["windows"] == state["windows"]
    assert found.report() == render_monitor_text(state)


def test_prometheus_reads_what_was_found(served):
    *_, metrics, _ = served
    values = {
        (one.name, *sorted(one.labels.values())): one.value
        for family in text_string_to_metric_families(metrics)
        for one in family.samples
        if "drift" in one.name or one.name.startswith(("headstart_column", "headstart_estimated"))
    }
    assert values["headstart_drift_alarm", "watched"] == 1
    assert values["headstart_drift_windows_total", "drift", "watched"] == 2
    assert values["headstart_drift_windows_total", "no_drift", "watched"] == 1
    for name in DETECTORS:
        assert 0 <= values["headstart_drift_pvalue", name, "watched"] <= 1
        assert ("headstart_drift_score", name, "watched") in values
        assert values["headstart_drift_limit", name, "watched"] > 0
    assert values["headstart_drift_column_pvalue", "idle", "watched"] < 0.01
    assert values["headstart_column_missing_ratio", "land", "watched"] == 0
    assert 0.5 < values["headstart_estimated_accuracy", "watched"] < 1


def test_no_input_is_kept_anywhere(served):
    log, _, state, metrics, said = served
    values = [f"{value:.8f}" for value in rows(500, 22, shift=0.7)["idle"]]
    everything = "".join([log.read_text(), json.dumps(state), metrics, said])
    assert not [value for value in values if value in everything]


def test_samples_at_hand_are_looked_at_window_by_window(watched, tmp_path):
    _, bundle = watched
    same = hs.monitor(str(bundle), [written(tmp_path, "same.csv", rows(1100, 31))])
    assert [one["samples"] for one in same.state["windows"]] == [500, 500]
    assert same.state["filled"] == 100
    assert not same.has_drifted
    assert same.report().splitlines()[0].endswith(": no drift")
    other = hs.monitor(str(bundle), [written(tmp_path, "other.csv", rows(1200, 32, shift=0.7))])
    assert [one["samples"] for one in other.state["windows"]] == [500, 500, 200]
    assert other.has_drifted


def test_few_samples_are_not_enough_data(watched, tmp_path):
    found = hs.monitor(str(watched[1]), [written(tmp_path, "few.csv", rows(150, 33, shift=9))])
    assert "not enough data (150 answers in the first window" in found.report()
    assert not found.has_drifted


def test_the_command_tells_a_program_the_state_in_its_stated_form(watched, tmp_path, capsys):
    few = written(tmp_path, "few.csv", rows(150, 33, shift=9))
    assert cli.main(["monitor", str(watched[1]), few, "--json", "--quiet"]) == 0
    record = json.loads(capsys.readouterr().out)
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
    schema = page.partition("## `monitor`\n")[2].partition("```json\n")[2].partition("```")[0]
    jsonschema.validate(record, json.loads(schema))
    assert (record["filled"], record["alarm"]) == (150, False)


@pytest.mark.slow
def test_a_run_is_exported_for_it(watched, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    few = written(tmp_path, "few.csv", rows(20, 34))
    assert hs.monitor(str(watched[0].path), [few]).state["model"] == "run"


def test_the_text_fits_80_columns_and_the_page_stands_alone(watched, served, tmp_path):
    _, _, state, _, _ = served
    long = json.loads(json.dumps(state))
    for window in long["windows"]:
        window["columns"] = [
            {**window["columns"][0], "name": f"a column with a very long name {i}"}
            for i in range(14)
        ]
        window["num_columns"] = 14
    for one in (state, long):
        text = render_monitor_text(one)
        assert max(map(len, text.splitlines())) <= 80
        assert text.startswith("watched ")
        assert "ALARM, two of the latest three windows" in text
    assert "and 4 more" in render_monitor_text(long)
    page = tmp_path / "out" / "drift.html"
    hs.monitor(str(watched[1]), log=str(served[0]), page=str(page))
    html = page.read_text()
    assert html.count("<svg") == 5  # four detectors and the accuracy
    assert "ALARM" in html
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert ">idle<" in html


def test_a_model_without_a_reference_says_so(watched, mlp_bundle, tmp_path, heard):
    table = mlp_bundle[0].data["source"]["source"]
    with pytest.raises(ExportError, match="has nothing to compare with") as raised:
        hs.monitor(str(mlp_bundle[1]), [table])
    # of a run that was trained with more rows, exported where these are
    few = written(tmp_path, "few.csv", rows(20, 34))
    assert hs.monitor(str(watched[1]), [few]).state["reference"]["samples"] >= 100
    heard(raised.value.args[0])


def test_what_is_looked_at_is_named_once(watched, served, tmp_path, heard):
    bundle, few = str(watched[1]), [written(tmp_path, "few.csv", rows(20, 34))]
    for wrong in ({}, {"log": str(served[0]), "url": "http://127.0.0.1:1"}):
        with pytest.raises(OptionError, match="to look at was named") as raised:
            hs.monitor(bundle, **wrong)
        hs.monitor(bundle, few)
        heard(str(raised.value))
    with pytest.raises(OptionError, match="--api-key-file is for a server") as raised:
        hs.monitor(bundle, few, api_key_file="keys")
    heard(str(raised.value))
    with pytest.raises(OptionError, match="is a folder; expected a file") as raised:
        hs.monitor(bundle, few, page=str(tmp_path))
    hs.monitor(bundle, few, page=str(tmp_path / "drift.html"))
    heard(str(raised.value))


def test_a_log_that_is_none_is_refused(watched, served, tmp_path, heard):
    bundle, log = str(watched[1]), tmp_path / "log.jsonl"
    with pytest.raises(DataError, match="cannot be read") as raised:
        hs.monitor(bundle, log=str(log))
    assert hs.monitor(bundle, log=str(served[0])).has_drifted
    heard(str(raised.value))
    lines = served[0].read_text().splitlines()
    log.write_text("\n".join([lines[0], '{"model": 1}', lines[1]]))
    with pytest.raises(DataError, match=r"Line 2 of .* is damaged") as raised:
        hs.monitor(bundle, log=str(log))
    log.write_text("\n".join(lines[:2]))
    assert len(hs.monitor(bundle, log=str(log)).state["windows"]) == 2
    heard(str(raised.value))
    log.write_text(f"{lines[0]}\n{lines[1][:40]}")  # the server is writing
    assert len(hs.monitor(bundle, log=str(log)).state["windows"]) == 1
    log.write_text(lines[0].replace('"watched"', '"another"'))
    with pytest.raises(
        DataError, match="tells nothing of model 'watched'; it has another"
    ) as raised:
        hs.monitor(bundle, log=str(log))
    hs.monitor(bundle, log=str(served[0]))
    heard(str(raised.value))


def test_a_server_that_does_not_answer_so_is_refused(watched, mlp_bundle, tmp_path, heard):
    bundle = str(watched[1])
    with pytest.raises(OptionError, match="expected the address of a server") as raised:
        hs.monitor(bundle, url="127.0.0.1:8080")
    refusals = [str(raised.value)]
    with pytest.raises(DataError, match="does not answer as a server") as raised:
        hs.monitor(bundle, url="http://127.0.0.1:9")
    refusals.append(str(raised.value))
    keys = tmp_path / "keys"
    with pytest.raises(OptionError, match="expected a file with a key") as raised:
        hs.monitor(bundle, url="http://127.0.0.1:9", api_key_file=str(keys))
    refusals.append(str(raised.value))
    keys.write_text("a-key-that-nobody-guesses\n")
    keys.chmod(0o600)
    options = ("--api-key-file", str(keys))
    with ServingProcess(watched[1], mlp_bundle[1], options=options) as server:
        url = f"http://127.0.0.1:{server.port}"
        with pytest.raises(DataError, match="answers 401") as raised:
            hs.monitor(bundle, url=url)
        refusals.append(str(raised.value))
        with pytest.raises(DataError, match="serves 'watched', 'rows', and no 'run'") as raised:
            hs.monitor(str(watched[0].path), url=url, api_key_file=str(keys))
        refusals.append(str(raised.value))
        state = hs.monitor(bundle, url=url, api_key_file=str(keys)).state
        assert state["reference"]["samples"] > 100
        plain = hs.monitor(str(mlp_bundle[1]), url=url, api_key_file=str(keys)).report()
        assert "nothing to compare with" in plain
        heard(plain)
    for refusal in refusals:
        heard(refusal)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=SECONDS)


def test_a_log_that_cannot_be_written_is_refused_at_once(watched, tmp_path, heard):
    with pytest.raises(OptionError, match="cannot be written") as raised:
        hs.serve([str(watched[1])], monitor_log=str(tmp_path / "none" / "log.jsonl"))
    refusals = [str(raised.value)]
    with pytest.raises(OptionError, match="expected 0 to 86,400") as raised:
        hs.serve([str(watched[1])], monitor_seconds=-1)
    refusals.append(str(raised.value))
    options = ("--monitor-log", str(tmp_path / "log.jsonl"), "--monitor-seconds", "5")
    with ServingProcess(watched[1], options=options) as server:
        assert server.get("/v2/health/ready") == {"ready": True}
    for refusal in refusals:
        heard(refusal)
    assert np.array((tmp_path / "log.jsonl").stat().st_size) == 0


def test_a_swapped_bundle_keeps_its_watch_and_another_begins_anew(watched):
    registry = CollectorRegistry()
    watches = Watches(WatchOptions(), registry)
    bundle = open_bundle(watched[1])
    watches.open(bundle)
    first = watches.of(bundle)
    again = open_bundle(watched[1])
    watches.open(again)
    watches.keep([again])
    assert watches.of(again) is first
    newer = replace(again, version="0123456789ab")
    watches.open(newer)
    watches.keep([newer])
    assert watches.of(newer) is not first
    watches.finish()


def test_columns_that_are_not_told_any_more_have_no_series(served, capsys):
    _, _, state, _, _ = served
    registry = CollectorRegistry()
    watches = Watches(WatchOptions(), registry)
    window = state["windows"][-1]
    watches._told(window)
    watches._told({**window, "model": "other"})
    watches._told({**window, "columns": window["columns"][:1]})

    def series(model: str) -> list[str]:
        found = [one for family in registry.collect() for one in family.samples]
        named = [one for one in found if one.name == "headstart_drift_column_pvalue"]
        return sorted(one.labels["column"] for one in named if one.labels["model"] == model)

    assert series("watched") == ["idle"]
    assert series("other") == ["idle", "land", "x"]
    assert capsys.readouterr().err.count("Drift:") == 2
    watches._told({**window, "alarm": False})
    assert "No drift any more: watched." in capsys.readouterr().err
