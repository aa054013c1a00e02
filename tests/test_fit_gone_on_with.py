"""A finished ``fit`` names what can be done with it, and goes on with a larger budget: any task."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from pairs_of_texts import write_pairs
from small_questions import written_squad
from small_writers import written_chats

import headstart as hs
from headstart.cli import main
from headstart.events import listen
from headstart.recipes import straight
from headstart.recipes.afterwards import _with_larger_budget
from headstart.recipes.run import Run
from headstart.searching.former_way import is_better_way, write_way
from headstart.searching.more import still_gained, tell_more
from headstart.training.contract import LoopResult, LoopState
from headstart.tuning.arm import Tuned
from headstart.tuning.fitting import TooSlowError

STARTS = {
    "chats": "scratch/gpt-tiny",
    "pairs": "scratch/seq2seq-tiny",
    "questions": "scratch/bert-tiny",
}


def written(kind: str, folder: Path) -> str:
    """Write a small set of a kind whose fit holds no contest."""
    folder.mkdir()
    if kind == "chats":
        return str(written_chats(folder / "chats.jsonl", 40))
    if kind == "pairs":
        return str(write_pairs(folder / "toy-en-de", {"train": 60, "val": 10, "test": 10}))
    return str(written_squad(folder / "data"))


CASES = [
    ("chats", False),
    *(
        pytest.param(kind, is_taken, marks=pytest.mark.slow)
        for kind in STARTS
        for is_taken in (False, True)
        if (kind, is_taken) != ("chats", False)
    ),
]


@pytest.mark.parametrize(("kind", "is_taken"), CASES)
def test_a_finished_fit_without_a_contest_goes_on_with_a_larger_budget(
    kind, is_taken, tmp_path, work_clock, monkeypatch
):
    data, out = written(kind, tmp_path / "data"), tmp_path / "run"
    words = {"starts": [STARTS[kind]], "device": "cpu", "out": str(out)}
    hs.fit(data, budget="12s", **words)
    kept = {name: (out / name).read_bytes() for name in ("model.safetensors", "metrics.json")}
    told = []
    monkeypatch.setattr(straight, "_replaces", lambda *_: is_taken)
    with listen(lambda name, fields: told.append((name, fields))):
        hs.fit(data, budget="20s", resume=True, **words)
    is_same = {name: (out / name).read_bytes() == content for name, content in kept.items()}
    assert is_same == dict.fromkeys(kept, not is_taken)
    assert not (out / "state").exists()
    assert json.loads((out / "options.json").read_text())["options"]["budget"] == "20s"
    assert "Choosing the start" not in {f["text"] for name, f in told if name == "stage"}
    whys = {str(fields["why"]) for name, fields in told if name == "choice"}
    assert not [why for why in whys if "interrupted" in why]
    assert any("before the finished run was gone on with" in why for why in whys)
    also = [one["command"] for name, f in told if name == "next" for one in f["also"]]
    assert is_taken or not any("--resume" in one for one in also)  # more has just given nothing
    for budget in ("20s", "15s"):  # the former one, told for a smaller one, would be refused too
        with pytest.raises(hs.RunFolderError, match="run of --budget 20s; expected a larger"):
            hs.fit(data, budget=budget, resume=True, **words)


def test_where_the_test_split_is_too_slow_what_screening_left_stands_and_is_gone_on_with(
    tmp_path, work_clock, heard
):
    data, out = written("chats", tmp_path / "data"), tmp_path / "run"
    words = {"starts": [STARTS["chats"]], "device": "cpu", "out": str(out)}

    def refuse(*_):
        raise TooSlowError("It takes longer than there is. Give --budget 20s or more.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(straight, "settle_setup", refuse)
        with pytest.raises(TooSlowError, match="answers already, and no figure") as slow:
            hs.fit(data, budget="12s", **words)
    (said,) = Run(str(out)).predict(["What comes after one?"])
    assert said.text is not None
    run = hs.fit(data, budget="20s", resume=True, **words)
    assert run.metrics["test"]["figures"]
    heard(slow.value)


@pytest.mark.parametrize(("gain", "is_taken"), [(0.2, True), (0.01, False), (-0.3, False)])
def test_what_was_trained_longer_replaces_what_stands_where_it_is_surely_better(
    gain, is_taken, tmp_path
):
    (tmp_path / "search").mkdir()
    draw = np.random.default_rng(0)
    before, ids = draw.gamma(2.0, 1.0, 60), draw.permutation(500)[:60]

    def write(name, content):
        (tmp_path / name).write_bytes(content)

    write_way(write, [(before, ids)], {"verb": "fit"})
    noise = draw.normal(0, 0.3, 60)
    after, order = before - gain + noise - noise.mean(), draw.permutation(60)[:50]
    found, why = is_better_way(tmp_path, after[order], ids[order])
    assert found is is_taken
    assert "on 50 val items" in why
    write_way(write, [], {"verb": "fit", "budget": "1m"})  # what stands keeps how it was judged
    assert is_better_way(tmp_path, after[order], ids[order])[1] == why


def test_how_a_finished_fit_was_judged_is_damaged_or_of_other_items(tmp_path, heard):
    (tmp_path / "search").mkdir()

    def write(name, content):
        (tmp_path / name).write_bytes(content)

    write_way(write, [(np.ones(4), np.arange(4))], {})
    with pytest.raises(hs.RunFolderError, match="none of the 3 val items") as other:
        is_better_way(tmp_path, np.ones(3), np.arange(7, 10))
    (tmp_path / "search" / "val.safetensors").write_bytes(b"{")
    with pytest.raises(hs.RunFolderError, match=r"is damaged .* Start anew") as damaged:
        is_better_way(tmp_path, np.ones(3), np.arange(3))
    write_way(write, [(np.ones(4), np.arange(4))], {})  # anew
    assert not is_better_way(tmp_path, np.ones(4), np.arange(4))[0]
    for each in (other, damaged):
        heard(each.value)


@pytest.mark.parametrize(
    ("ended", "best", "told"),
    [
        ("finished", 30, "may help"),
        ("finished", 20, None),
        ("early", 20, "would not help"),
        (None, 0, None),
    ],
)
def test_more_time_may_help_where_val_gained_to_the_end_and_not_where_it_had_stopped(
    ended, best, told
):
    state = LoopState(30, 30, best_step=best, last_check_step=30)
    result = None if ended is None else LoopResult(ended, state)
    tuned, said = Tuned(None, result, np.zeros((1, 2)), 1.0), []
    with listen(lambda kind, fields: said.append(fields["value"])):
        tell_more(tuned, still_gained(tuned))
    assert said == ([] if told is None else [told])


@pytest.mark.parametrize(
    ("typed", "longer"),
    [
        (["fit", "x", "--budget", "2m"], ["fit", "x", "--budget", "4m"]),
        (
            ["fit", "x", "--budget=45s", "--seed", "1"],
            ["fit", "x", "--budget", "90s", "--seed", "1"],
        ),
        (["fit", "x", "--budget", "30m"], ["fit", "x", "--budget", "1h"]),
        (["fit", "x", "--budget", "15"], ["fit", "x", "--budget", "30s"]),
        (["fit", "x"], None),
    ],
)
def test_twice_a_budget_is_written_as_people_write_it(typed, longer):
    assert _with_larger_budget(typed) == longer


def test_a_finished_fit_names_its_page_a_server_and_a_larger_budget_where_that_may_help(
    tmp_path, monkeypatch, capsys, work_clock
):
    monkeypatch.chdir(tmp_path)
    words = ["fit", "digits-8x8", "--starts", "scratch/simple-cnn", "--out", "run"]
    assert main([*words, "--device", "cpu", "--budget", "15s"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "next: headstart predict run FILE…"
    also = [line.removeprefix("also: ").split("  (")[0] for line in said if line[:6] == "also: "]
    assert also[:2] == ["headstart report run", "headstart serve run"]
    (longer,) = also[2:]
    assert longer.endswith("--budget 30s --out run --resume")
    choices = {
        one["name"]: one for one in json.loads(Path("run/options.json").read_text())["choices"]
    }
    assert choices["more time"]["value"] == "may help"
    assert f"({choices['more time']['why']})" in "".join(said)  # beside the command that gives it
    plan = json.loads(Path("run/search/plan.json").read_text())  # what --resume compares with
    assert plan["options"]["starts"] == ["scratch/simple-cnn"]
    assert shlex.split(longer)[:5] == ["headstart", *words[:4]]
    assert main(["report", "run"]) == 0
