"""``--json`` of every verb is what docs/json.md states, block by block."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from headstart import cli
from headstart.printing import record_of, render, render_json
from headstart.types import Prediction, Predictions

PAGE = (Path(__file__).parents[1] / "docs" / "json.md").read_text(encoding="utf-8")
RUNS_ON = {"serve"}  # until it is stopped: it returns nothing


def read_schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each form that a heading names."""
    found = re.findall(r"^## (.+?)\n.+?^```json\n(.+?)^```", PAGE, re.M | re.S)
    return {name: json.loads(text) for heading, text in found for name in _names(heading)}


def _names(heading: str) -> list[str]:
    return re.findall(r"`(.+?)`", heading) or ["error"]


SCHEMAS = read_schemas()
Said = Callable[..., Any]


@pytest.fixture
def say(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Said:
    """Return what runs a command and returns its JSON, held to the schema of a form."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(form: str, *words: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert cli.main([*words, "--json", "--quiet"]) == code
        record = json.loads(capsys.readouterr().out)
        jsonschema.validate(record, SCHEMAS[form])
        return record

    return run


def test_every_verb_has_a_form() -> None:
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["required"]
    assert {name.split()[0] for name in SCHEMAS} == {*cli.VERBS, "error"} - RUNS_ON


@pytest.mark.parametrize("verb", cli.VERBS)
def test_no_verb_has_an_option_of_its_own_for_what_all_take(verb: str, say: Said) -> None:
    said = say("error", verb, "--no-such-option", code=2)["error"]
    assert "--no-such-option" in said["message"]


def test_verbs_of_a_finished_run(say: Said, mlp_bundle) -> None:
    run, bundle = mlp_bundle
    rows = str(run.path.parent / "rows.csv")
    evaluation = say("evaluate", "evaluate", str(run.path))
    assert evaluation["test"]["num_items"] == run.metrics["test"]["num_items"]
    predictions = say("predict", "predict", str(run.path), rows)["predictions"]
    assert len(predictions) == 120
    assert say("report", "report", str(run.path), "--out", "page.html")["path"] == "page.html"
    assert say("verify", "verify", str(bundle))["agreement"]["num_wrong"] == 0
    assert say("runs", "runs", str(run.path.parent))["runs"][0]["run"]
    assert say("watch", "watch", str(run.path))["status"] == "finished"
    say("fit", "finetune", rows, "--label", "label", "--start", "scratch/linear", "--out", "linear")
    compared = say("compare", "compare", str(run.path), "linear")
    assert {Path(compared["best"]).name} <= {"run", "linear"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_no_verb_is_wider_than_80_columns(
    mlp_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, bundle = mlp_bundle
    rows = str(run.path.parent / "rows.csv")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(run.path.parent)
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr("sys.stderr", screen)
    for words in (
        ("evaluate", "run"),
        ("evaluate", "run", "--slice", "land"),
        ("predict", "run", rows),
        ("runs", "."),
        ("verify", str(bundle)),
        ("watch", "run", "--once"),
        ("starts", "--modality", "table"),
        ("cache",),
        ("finetune", rows, "--label", "label", "--start", "scratch/linear", "--dry-run"),
        ("help", "finetune"),
    ):
        assert cli.main(words) == 0, words
    told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    lines = [line.rpartition("\r")[2].rstrip() for line in told.splitlines()]
    commands = ("next: ",)  # to be copied as they are
    wide = [line for line in lines if len(line) > 80 and not line.startswith(commands)]
    assert not wide, "\n".join(wide)
    assert len(lines) > 150


def test_what_has_no_probability_is_told_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    nan = float("nan")
    kind = Prediction("", "yes", 0.75, (0.25, 0.75))
    several = {"price": Prediction("", "3", nan, (), 3.0), "sold": kind}
    for one, wanted in (
        (Prediction("text 1", "It lasts.", nan, (), text="It lasts."), None),
        (Prediction("row 1", "3, yes", nan, (), parts=several), "sold 0.7500"),
    ):
        screen = Terminal()
        render(Predictions([one]), screen)
        assert "nan" not in screen.getvalue()
        assert ("probability" in screen.getvalue()) == (wanted is not None)
        assert (wanted or "It lasts.") in screen.getvalue()


def test_verbs_that_look_at_data(say: Said, mlp_bundle) -> None:
    rows = [str(mlp_bundle[0].path.parent / "rows.csv"), "--label", "label"]
    plan = say("fit --dry-run", "finetune", *rows, "--start", "scratch/linear", "--dry-run")
    assert plan["limit_seconds"] is None
    assert say("check", "check", *rows, "--budget", "20s")["findings"]
    ranked = say("rank", "rank", *rows, "--starts", "scratch/linear", "--budget", "20s")
    assert ranked["starts"][0]["start"] == "scratch/linear"


def test_verbs_that_look_at_the_machine(say: Said) -> None:
    [start] = say("starts", "starts", "--like", "scratch/simple")["starts"]
    assert start["address"] == "scratch/simple-cnn"
    assert say("cache", "cache")["entries"] == []
    assert cli.main(["doctor", "--seconds", "0.1", "--json", "--quiet"]) in (0, 1)


def test_an_error_is_json_beside_its_sentence(
    say: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    told = say("error", "predict", "no such run", "x.csv", code=5)["error"]
    assert told["type"] == "RunFolderError"
    assert "is not a run folder" in told["message"]
    assert say("error", "fit", code=2)["error"]["exit_code"] == 2
    assert cli.main(["predict", "no such run", "--", "--json"]) == 5  # a file of that name
    assert capsys.readouterr().out == ""


def test_numbers_are_finite_and_paths_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    found = [Prediction("a", "1.5", float("nan"), ())]
    render_json(found, sys.stdout)
    [told] = json.loads(capsys.readouterr().out)["predictions"]
    assert told["probability"] is None
    assert record_of(Path("runs/x")) == {"path": "runs/x"}
