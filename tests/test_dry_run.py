"""A dry run shows the plan that the run obeys, and does nothing else."""

import os

import pytest
from small_runs import few_digits

import headstart as hs
from headstart.cli import main
from headstart.errors import OptionError, RunFolderError
from headstart.events import listen
from headstart.starts import find_start
from headstart.tuning.budget import SHARES, Budget, BudgetPlan
from headstart.tuning.planning import plan_search

CNN = "scratch/simple-cnn"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("verb", "words", "names"),
    [
        (
            "fit",
            [],
            [
                "audits",
                "screening",
                "samples",
                "heads",
                "rungs",
                "training",
                "estimates",
                "conclusion",
            ],
        ),
        (
            "finetune",
            ["--start", CNN],
            ["audits", "samples", "training", "estimates", "conclusion"],
        ),
        (
            "finetune",
            ["--start", CNN, "--strategy", "last-n"],
            ["audits", "samples", "frozen part", "probe", "training", "estimates", "conclusion"],
        ),
    ],
)
def test_the_command_line_shows_it_in_80_columns_and_names_the_real_run(
    capsys, tmp_path, verb, words, names
):
    typed = [verb, "digits-8x8", "--budget", "90s", "--device", "cpu", *words]
    assert main([*typed, "--dry-run"]) == 0
    shown, told = capsys.readouterr()
    lines = shown.splitlines()
    assert lines[0] == f"{verb} on digits-8x8, 90 s"
    assert max(map(len, lines)) <= 80
    first = [line.split("  ")[1] for line in lines[2:] if line.startswith("  ") and line[2] != " "]
    assert first[: len(names) + 1] == ["loading", *names]
    assert "Samples: train 1,222, val 216, test 359" in lines
    assert (CNN if words else "scratch/quick-cnn") in shown
    assert told.splitlines()[-1] == f"next: headstart {' '.join(typed)}"
    assert os.listdir(tmp_path) == []  # nothing was written


def test_the_stages_of_a_plan_end_with_the_budget():
    plans = [
        hs.fit("digits-8x8", budget="60s", dry_run=True, device="cpu"),
        hs.finetune("digits-8x8", start=CNN, budget="60s", dry_run=True, device="cpu"),
        hs.finetune(
            "digits-8x8", start=CNN, strategy="gradual", budget="5m", dry_run=True, device="cpu"
        ),
    ]
    for plan, limit in zip(plans, (60, 60, 300), strict=True):
        assert isinstance(plan, BudgetPlan)
        # the clock goes on while a plan is made
        assert sum(stage.seconds for stage in plan.stages) == pytest.approx(limit, abs=0.1)
        assert plan.end("conclusion") == pytest.approx(limit, abs=0.1)
        assert all(stage.name in SHARES or stage.name == "loading" for stage in plan.stages)
    assert plans[0].seconds("screening") == pytest.approx(SHARES["screening"].of(60), abs=0.1)
    assert plans[1].seconds("training") > 30  # what is measured to take less is left to it


def test_a_run_obeys_the_plan(processor_clock, tmp_path):
    processor_clock.slowness = 2.0
    data, words = few_digits(), {"budget": "40s", "device": "cpu", "starts": [CNN]}
    plan = hs.fit(data, dry_run=True, **words)
    spent = {}
    with listen(lambda kind, f: spent.update({f["stage"]: f}) if kind == "spent" else None):
        run = hs.fit(data, out=str(tmp_path / "run"), **words)
    assert list(spent) == ["audits", "screening", "samples", "training", "estimates", "conclusion"]
    for stage in spent.values():
        # what a stage imports for the first time comes on top of its share
        assert stage["at"] <= stage["by"] * 1.05 + processor_clock.slowness
        assert stage["by"] <= 40.0 + 1e-3
    assert spent["screening"]["seconds"] <= plan.seconds("screening") * 1.05
    assert run.metrics["seconds"]["total"] <= 40


def test_where_texts_are_written_no_time_is_planned_for_heads():
    texts = [f"{word} {i}" for i, word in enumerate(["warm", "cold", "film"] * 20)]
    data = hs.load((texts, [text[::-1] for text in texts]), task="seq2seq")
    plan = plan_search(data, [find_start("scratch/seq2seq-tiny")], Budget(60.0))
    names = [stage.name for stage in plan.stages]
    assert "heads" not in names
    assert names.index("screening") < names.index("rungs") < names.index("training")


def test_without_a_limit_there_is_none_to_show():
    plan = hs.finetune("digits-8x8", start=CNN, dry_run=True, device="cpu")
    assert plan.seconds("training") == float("inf")
    assert plan.report().splitlines()[0] == "finetune on digits-8x8, no limit"
    assert "150 steps of 80 samples would take about" in plan.report()


def test_what_the_run_would_refuse_the_dry_run_refuses(tmp_path):
    with pytest.raises(OptionError, match=r"resume and dry_run are both set; expected one of them"):
        hs.fit("digits-8x8", dry_run=True, resume=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    with pytest.raises(RunFolderError, match="is not empty"):
        hs.finetune("digits-8x8", start=CNN, out=str(tmp_path / "full"), dry_run=True)
    with pytest.raises(OptionError, match="num_steps"):
        hs.finetune("digits-8x8", start=CNN, num_steps=0, dry_run=True)
