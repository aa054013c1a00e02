"""The budget: what people write, what is left of it, and who may take how much."""

import re
import time
from pathlib import Path

import pytest
import torch
from clocks import ProcessorClock, set_clock

from headstart.data import load
from headstart.errors import OptionError
from headstart.starts import find_start
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning import budget as budget_module
from headstart.tuning.budget import (
    SHARES,
    Budget,
    share_until,
    told_seconds,
)
from headstart.tuning.named_budget import parse_budget
from headstart.tuning.planning import conclusion_seconds, plan_tuning, training_end
from headstart.tuning.setup import set_up
from headstart.tuning.slowness import slowness

SOURCE = Path(__file__).parents[2] / "src" / "headstart"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("90", 90),
        (90, 90),
        (12.5, 12.5),
        ("90s", 90),
        ("2m", 120),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1 h 30 m", 5400),
        (" 2M ", 120),
        ("1d", 86400),
    ],
)
def test_a_budget_is_read(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "2x", "m", "1h30x", "nan", "inf", "1,5h"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(OptionError, match=r"not a length of time; expected for example 90s"):
        parse_budget(text)


def test_a_budget_shorter_than_the_imports_is_refused():
    with pytest.raises(OptionError, match="is 9 seconds; expected at least 10"):
        parse_budget("9s")


def test_time_that_is_over_is_told_as_none():
    assert told_seconds(-6.1) == "0.0 s"
    assert told_seconds(6.1) == "6.1 s"


def test_a_clock_counts_what_was_spent_before_it(still_clock):
    budget = Budget(60.0, spent_seconds=20.0)
    assert (budget.spent, budget.left) == (20.0, 40.0)
    time.sleep(3.0)
    assert (budget.spent, budget.left) == (23.0, 37.0)
    assert budget.deadline(reserve_seconds=10.0) == time.monotonic() + 27


def test_without_a_budget_there_is_no_deadline():
    budget = Budget(None)
    assert budget.left == float("inf")
    assert budget.deadline() is None


def test_slowness_follows_the_machine(monkeypatch):
    set_clock(monkeypatch, ProcessorClock(slowness=50))
    assert 10 < slowness() < 500
    set_clock(monkeypatch, ProcessorClock(slowness=0.001))
    assert slowness() == 1.0  # never less is kept than constants say


def test_work_takes_longer_by_what_a_run_had_to_wait_for_a_core(monkeypatch, still_clock):
    lived = iter([(2.0, 1.0), (2.1, 9.0), (4.0, 7.0), (4.0, 7.0), (4.0, 7.0)])
    monkeypatch.setattr(budget_module, "scheduled_seconds", lambda: next(lived))
    budget = Budget(60.0)
    assert budget.load == 1.0  # a tenth of a second says nothing
    time.sleep(8.0)
    assert budget.load == 4.0  # of eight seconds it worked two, and waited for a core in six
    still = Budget(60.0)
    assert still.load == 1.0


def test_a_machine_that_is_busy_keeps_more_for_the_end(monkeypatch):
    data = load("digits-8x8")
    options = TrainingOptions(strategy="full", input_size=8)
    start = find_start("scratch/simple-cnn")
    setup = set_up(data, start, options, device=torch.device("cpu"))
    monkeypatch.setattr("headstart.tuning.cost.measure_pass", lambda *_: 1e-3)
    monkeypatch.setattr("headstart.tuning.conclude.slowness", lambda load: load)
    monkeypatch.setattr("headstart.tuning.conclude.baselines_seconds", lambda *_: 0.0)
    idle, busy = Budget(600.0), Budget(600.0)
    monkeypatch.setattr(Budget, "load", property(lambda budget: 4.0 if budget is busy else 1.0))
    kept = [conclusion_seconds(data, setup, budget) for budget in (idle, busy)]
    assert kept[1] == pytest.approx(4 * kept[0], rel=0.01)


def test_every_share_is_a_share_has_its_reason_and_is_asked_for():
    code = "".join(p.read_text() for p in SOURCE.rglob("*.py") if p.name != "budget.py")
    for name, row in SHARES.items():
        assert 0 < row.share <= 1
        assert row.reason
        assert f'"{name}"' in code or name == "training", name


def test_no_other_file_states_a_share_of_time():
    found = [
        f"{path.name}: {line.strip()}"
        for path in [*(SOURCE / "tuning").rglob("*.py"), *(SOURCE / "recipes").rglob("*.py")]
        if path.name != "budget.py"
        for line in path.read_text().splitlines()
        if re.search(r"\b0\.\d+ \* .*(left|deadline|budget)|_SHARE = .*(time|left|budget)", line)
    ]
    assert found == []


def test_what_something_may_take_is_a_share_of_the_limit_or_of_what_is_left(still_clock):
    budget = Budget(100.0, spent_seconds=50.0)
    assert budget.may_take("screening") == 20.0
    assert budget.may_take("conclusion") == 25.0
    time.sleep(60.0)
    assert budget.may_take("screening") == 20.0
    assert budget.may_take("conclusion") == 0.0
    assert Budget(None).may_take("conclusion") == float("inf")
    assert Budget(None).may_take("screening") == 72.0  # of ten minutes
    assert [Budget(seconds).may_take("screening") for seconds in (60, 150, 300)] == [12, 20, 36]
    assert share_until("probe", time.monotonic() + 10) == pytest.approx(4.0)
    assert share_until("probe", None) == float("inf")


def test_a_plan_ends_with_the_budget_and_training_has_what_the_others_leave(still_clock):
    names = ["screening", "samples", "probe", "training", "conclusion"]
    plan = Budget(100.0, spent_seconds=20.0).plan("fit", names)
    seconds = {stage.name: stage.seconds for stage in plan.stages}
    assert seconds == {
        "loading": 20.0,
        "screening": 20.0,
        "samples": 15.0,
        "probe": pytest.approx(0.4 * 22.5),
        "training": pytest.approx(0.6 * 22.5),
        "conclusion": 22.5,
    }
    assert sum(seconds.values()) == pytest.approx(100.0)
    assert plan.seconds("screening") == 20.0


def test_what_is_known_to_take_less_leaves_the_rest_to_training(still_clock):
    names = ["samples", "training", "conclusion"]
    plan = Budget(100.0).plan("finetune", names, expected={"samples": 5.0, "conclusion": 500.0})
    assert [stage.seconds for stage in plan.stages] == [0.0, 5.0, 47.5, 47.5]
    assert [stage.expected for stage in plan.stages] == [None, 5.0, None, 500.0]


def test_a_plan_is_read_by_people(still_clock):
    names = ["screening", "training", "conclusion"]
    plan = Budget(3_600.0, 5.0).plan("fit on digits", names, notes=["1 candidate: scratch/linear"])
    lines = plan.report().splitlines()
    assert lines[0] == "fit on digits, 1 h 00 m"
    assert lines[2].split() == ["loading", "5.0", "s", "spent", "already"]
    assert lines[3].startswith("  screening    7 m 12 s  all candidates together")
    assert lines[-1] == "1 candidate: scratch/linear"
    unlimited = Budget(None).plan("finetune", ["training", "conclusion"])
    assert unlimited.report().splitlines()[0] == "finetune, no limit"
    assert "no limit  all that the others leave" in unlimited.report()


def test_the_end_is_put_off_by_what_a_pass_over_val_took_and_never_pulled_near(monkeypatch):
    data, start = load("digits-8x8"), find_start("scratch/simple-cnn")
    options = TrainingOptions(strategy="full", input_size=8)
    setup = set_up(data, start, options, device=torch.device("cpu"))
    monkeypatch.setattr("headstart.tuning.cost.measure_pass", lambda *_: 5e-3)  # far too dear
    monkeypatch.setattr("headstart.tuning.slowness._PIECE_SECONDS", 1e9)  # as quick as any
    monkeypatch.setattr(Budget, "load", 1.0)
    budget = Budget(100.0)
    plan = plan_tuning(data, setup, budget)
    reserve = plan.seconds("conclusion")
    first = budget.deadline(reserve + plan.seconds("estimates"))
    assert training_end(data, setup, budget, plan, reserve, 1.0) == pytest.approx(first)
    later = training_end(data, setup, budget, plan, reserve, 1e-6)
    saved = reserve - conclusion_seconds(data, setup, budget)
    assert saved > 1.0
    assert later == pytest.approx(first + saved)


def test_without_a_limit_what_nobody_asked_for_takes_a_part_of_what_was_spent(still_clock):
    free, limited = Budget(None), Budget(600.0)
    assert free.may_take("estimates") == pytest.approx(3.0)
    time.sleep(20.0)
    assert free.may_take("estimates") == pytest.approx(8.0)
    assert limited.may_take("estimates") == pytest.approx(24.0)
    time.sleep(500.0)
    assert free.may_take("estimates") == pytest.approx(24.0)  # of a long run no more than before
