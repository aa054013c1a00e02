"""``--json`` of every verb is what docs/json.md states, block by block."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
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


@pytest.fixture
def screen(mlp_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return what runs commands in a terminal of 80 columns and returns the lines it then shows."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shown = Terminal()

    def run(*commands: str) -> list[str]:
        monkeypatch.setattr("sys.stdout", shown)  # pytest puts its own there before each test
        monkeypatch.setattr("sys.stderr", shown)
        for command in commands:
            assert cli.main(command.split()) == 0, f"{command}: {shown.getvalue()[-500:]}"
        told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
        return [line.rpartition("\r")[2].rstrip() for line in told.splitlines()]

    return run


def find_wide(lines: list[str]) -> list[str]:
    """Return the lines that do not fit, but for commands and addresses, which are copied."""
    copied = re.compile(r"next: |page: |\S*/\S*$")
    return [line for line in lines if len(line) > 80 and not copied.match(line.lstrip())]


def test_no_verb_is_wider_than_80_columns(mlp_bundle, screen: Callable[..., list[str]]) -> None:
    run, bundle = mlp_bundle
    rows = f"{run.path.parent}/rows.csv"
    shutil.copytree(run.path, "run")
    said = f"{rows} --label label"
    lines = screen(
        f"finetune {said} --start scratch/linear --threshold f1 --out linear",
        "evaluate run",
        "evaluate linear --slice land",
        "compare run linear",
        f"predict run {rows}",
        "report run --out page.html",
        "runs .",
        "export linear --to onnx --out bundle",
        f"verify {bundle}",
        "watch run --once",
        f"check {said} --budget 20s --out check",
        f"rank {said} --starts scratch/linear --budget 20s",
        "starts --modality table",
        "doctor --seconds 0.5",
        "cache",
        f"finetune {said} --start scratch/linear --dry-run",
        f"fit {said} --budget 60s --dry-run",
        "help finetune",
    )
    assert not find_wide(lines), "\n".join(find_wide(lines))
    assert len(lines) > 300


def test_prices_are_written_out_and_no_number_is_broken(screen: Callable[..., list[str]]) -> None:
    draw = np.random.default_rng(0)
    rooms, noise = draw.integers(1, 9, 120), draw.normal(0, 9_000, 120)
    prices = pd.DataFrame({"rooms": rooms, "x": draw.normal(size=120)})
    prices["price"] = 1_200_000 + 90_000 * rooms + noise
    prices.to_csv("prices.csv", index=False)
    said = "prices.csv --label price --start"
    lines = screen(
        f"finetune {said} scratch/linear --out a",
        f"finetune {said} scratch/boosting --out b",
        "compare a b",
        "evaluate a --slice rooms",
        "predict a prices.csv",
        "runs .",
    )
    assert not find_wide(lines), "\n".join(find_wide(lines))
    assert len(lines) > 150
    assert not [line for line in lines if re.search(r"\de\+\d", line)]
    told = "\n".join(lines)
    assert not re.findall(r"\d[.,]?\n *\d[\d,.]*[\]%]|\[[^\]\n]*\n", told)


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
