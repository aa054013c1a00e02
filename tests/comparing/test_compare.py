"""Runs beside one another on the same test items: what differs, what is noise, what is refused."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import headstart as hs
from headstart.cli import main
from headstart.comparing.finished import read_finished
from headstart.comparing.leaderboard import sorted_rows
from headstart.errors import DataError, OptionError, RunFolderError
from headstart.reporting.compare_text import moved_item
from headstart.tasks import find_task
from headstart.types import MODALITIES


def test_a_better_run_is_told_as_better_and_noise_as_noise(
    make_folder, answers, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    first = make_folder("first", *answers(0.7, seed=1))
    alike = make_folder("alike", *answers(0.7, seed=2))
    better = make_folder("better", *answers(0.9, seed=3))
    found = hs.compare([first.name, alike.name, better.name])
    verdicts = {f"{p['after']}{p['before']}": p for p in found.record["comparisons"]}
    assert {name: pair["judgement"] for name, pair in verdicts.items()} == {
        "BA": "open",
        "CA": "better",
        "CB": "better",
    }
    assert "this difference is within noise" in found.report()
    assert found.record["best"] == better.name
    for pair in verdicts.values():
        assert pair["mid_p_value"] < pair["p_value"] <= pair["corrected_p_value"]
        assert pair["figures"]["accuracy"]["value"] == pytest.approx(pair["difference"]["value"])
        for figure in (pair["figures"]["f1_macro"], pair["difference"]):
            assert figure["low"] <= figure["value"] <= figure["high"]
    assert all(
        len(line) <= 80 for line in found.report().splitlines() if str(first)[:9] not in line
    )


def test_what_comes_next_is_the_better_run_and_what_it_takes(make_folder, answers, capsys):
    first = make_folder("first", *answers(0.7, seed=1))
    better = make_folder("better", *answers(0.9, seed=3))
    assert main(["compare", str(first), str(better)]) == 0
    (argument,) = {
        MODALITIES[read_finished(one).schema.modality].argument for one in (first, better)
    }
    command = f"next: headstart predict {better} {argument}"
    assert capsys.readouterr().err.splitlines()[-1] == command


def test_gained_and_lost_items_are_those_that_moved(make_folder, answers):
    before, targets = answers(0.7, seed=1)
    after = before.copy()
    right, wrong = before.argmax(1) == targets, before.argmax(1) != targets
    lost, gained = np.flatnonzero(right)[:2], np.flatnonzero(wrong)[:3]
    after[gained] = np.eye(3)[targets[gained]]
    after[lost] = np.eye(3)[(targets[lost] + 1) % 3]
    a, b = make_folder("a", before, targets), make_folder("b", after, targets)
    (pair,) = hs.compare([str(a), str(b)]).record["comparisons"]
    assert (pair["gained"], pair["lost"]) == (3, 2)
    assert {item["id"] for item in pair["gained_items"]} == set(gained.tolist())
    assert {item["id"] for item in pair["lost_items"]} == set(lost.tolist())
    assert all(item["after"] == item["target"] for item in pair["gained_items"])


def test_items_in_another_order_are_put_in_order(make_folder, answers):
    first, second = answers(0.7, seed=1)[0], answers(0.8, seed=2)[0]
    targets = answers(0.7)[1]
    a = make_folder("a", first, targets)
    plain = hs.compare([str(a), str(make_folder("b", second, targets))]).record
    mixed = np.random.default_rng(5).permutation(len(targets))
    c = make_folder("c", second[mixed], targets[mixed], ids=mixed)
    again = hs.compare([str(a), str(c)]).record
    # the losses are those that the folder says, in the order of its rows
    for record in (plain, again):
        del record["comparisons"][0]["figures"]["log_loss"]
    keys = ("gained", "lost", "difference", "p_value", "figures")
    assert [plain["comparisons"][0][k] for k in keys] == [again["comparisons"][0][k] for k in keys]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ids": np.arange(100, 400)}, r"on 300 items and .* 200 of them are the same"),
        ({"targets": True}, r"'photo 0' is '.*' in .*, and so differ 300 of 300"),
        ({"classes": ("cat", "dog", "bee")}, r"knows the class 'bee'"),
        ({"data": "other"}, r"of 'zoo' and 'farm'; 0 of them are the same.*--from"),
    ],
)
def test_runs_on_other_items_are_refused_by_what_differs(make_folder, answers, change, words):
    outputs, targets = answers(0.7)
    a = make_folder("a", outputs, targets)
    if "targets" in change:
        b = make_folder("b", outputs, (targets + 1) % 3)
    elif "data" in change:
        b = make_folder(
            "b", outputs, targets, ids=np.arange(300) + 10_000, name="farm", fingerprint="x" * 12
        )
    else:
        b = make_folder("b", outputs, targets, **change)
    with pytest.raises(DataError, match=words):
        hs.compare([str(a), str(b)])


def test_runs_of_another_task_and_too_few_are_refused(make_folder, answers):
    outputs, targets = answers(0.7)
    a = make_folder("a", outputs, targets)
    numbers = targets.astype(np.float64)
    b = make_folder("b", numbers + 0.1, numbers, task="regression", classes=())
    with pytest.raises(DataError, match=r"is image classification and .* is image regression"):
        hs.compare([str(a), str(b)])
    with pytest.raises(OptionError, match="1 runs are named, expected two"):
        hs.compare([str(a)])
    with pytest.raises(OptionError, match="named twice"):
        hs.compare([str(a), str(a)])
    (a / "state").mkdir()
    with pytest.raises(RunFolderError, match="holds an unfinished run"):
        hs.compare([str(a), str(b)])


def test_whole_groups_are_drawn_and_change_sides(make_folder, answers):
    before, targets = answers(0.6, 240, seed=1)
    groups = np.arange(240) // 20
    after = before.copy()
    for group in range(7):  # seven of twelve groups are all right afterwards
        after[groups == group] = np.eye(3)[targets[groups == group]]
    alone, grouped = (
        hs.compare(
            [
                str(make_folder(f"{name}a", before, targets, groups=told)),
                str(make_folder(f"{name}b", after, targets, groups=told)),
            ]
        ).record
        for name, told in (("alone", None), ("grouped", groups))
    )
    assert (alone["num_groups"], grouped["num_groups"]) == (None, 12)
    one, other = alone["comparisons"][0], grouped["comparisons"][0]
    assert other["mid_p_value"] is None
    assert other["p_value"] == 2 / 2**7
    widths = [
        p["figures"]["f1_macro"]["high"] - p["figures"]["f1_macro"]["low"] for p in (one, other)
    ]
    assert widths[1] > 2 * widths[0]


def test_groups_that_no_file_tells_are_refused(make_folder, answers):
    outputs, targets = answers(0.7)
    folders = [make_folder(name, outputs, targets, groups=np.arange(300) // 3) for name in "ab"]
    for folder in folders:
        table = pq.read_table(folder / "predictions.parquet").drop_columns("group")
        pq.write_table(table, folder / "predictions.parquet")
    with pytest.raises(RunFolderError, match="does not say which"):
        hs.compare([str(folder) for folder in folders])


def test_labels_and_numbers_are_compared_too(make_folder):
    rng = np.random.default_rng(0)
    labels = ("x, y", "x", "z")  # a name may hold what joins names
    targets = rng.integers(0, 2, (200, 3)).astype(np.uint8)
    outputs = [np.abs(targets - (rng.random((200, 3)) < p) * 0.9) for p in (0.3, 0.05)]
    several = [
        str(make_folder(f"l{i}", each, targets, task="multi-label", classes=labels))
        for i, each in enumerate(outputs)
    ]
    (pair,) = hs.compare(several).record["comparisons"]
    assert pair["judgement"] == "better"
    assert pair["metric"] == "exact_match"
    expected = [((each >= 0.5) == targets).all(axis=1).mean() for each in outputs]
    assert pair["difference"]["value"] == pytest.approx(expected[1] - expected[0])
    several = [
        str(make_folder(f"t{i}", each, targets, task="multi-label", classes=("a, b", "a", "b")))
        for i, each in enumerate(outputs)
    ]
    with pytest.raises(OptionError, match="may join different labels"):
        hs.compare(several)
    values = rng.normal(size=200)
    numbers = [
        str(
            make_folder(
                f"n{i}", values + rng.normal(0, s, 200), values, task="regression", classes=()
            )
        )
        for i, s in enumerate((1.0, 0.5))
    ]
    compared = hs.compare(numbers)
    (pair,) = compared.record["comparisons"]
    assert pair["judgement"] == "better"
    assert pair["figures"]["rmse"]["high"] < 0 < pair["figures"]["r2"]["low"]
    assert "nearer on" in compared.report()


def test_the_page_and_the_json_hold_what_the_text_says(make_folder, answers, tmp_path, capsys):
    a = make_folder("<b>a</b>".replace("/", "_"), *answers(0.7, seed=1))
    b = make_folder("b", *answers(0.9, seed=2), pretrained_on=None)
    assert main(["compare", str(a), str(b), "--out", str(tmp_path / "out"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "out" / "compare.json").read_text())
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "better, beyond noise" in page
    assert "B  trained from scratch" in page
    assert "<b>a<" not in page
    names = [rung["name"] for rung in printed["ladder"]]
    assert names == ["majority class", "fine-tuned", "trained from scratch"]
    assert printed["ladder"][0]["of"] == ["A", "B"]


def test_neither_verb_imports_torch(make_folder, answers, tmp_path):
    folders = [str(make_folder(n, *answers(0.7, seed=i))) for i, n in enumerate("ab")]
    code = (
        "import sys, headstart as hs\n"
        "hs.compare(sys.argv[1:3]); hs.list_runs(sys.argv[3])\n"
        "assert 'torch' not in sys.modules\n"
    )
    words = [sys.executable, "-c", code, *folders, str(tmp_path)]
    subprocess.run(words, check=True, env=os.environ | {"HEADSTART_QUIET": "1"})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return two real runs on one table, and one on another split of it."""
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 3))
    frame = pd.DataFrame(x, columns=list("abc"))
    frame["kind"] = np.where(x[:, 0] * x[:, 1] + 0.3 * rng.normal(size=240) > 0, "up", "down")
    frame.to_csv(root / "rows.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(root / "cache"))
        for name, start, seed in (
            ("linear", "scratch/linear", 0),
            ("forest", "scratch/forest", 0),
            ("seed1", "scratch/linear", 1),
        ):
            data = hs.load(str(root / "rows.csv"), label="kind", seed=seed)
            hs.finetune(data, start=start, out=str(root / name), device="cpu")
        yield root


def test_the_advice_of_a_refusal_makes_runs_that_compare(trained, capsys):
    linear, other = str(trained / "linear"), str(trained / "seed1")
    with pytest.raises(DataError, match=r"read with seed 0 and 1; .* --from"):
        hs.compare([linear, other])
    again = ["finetune", "--from", linear, "--start", "scratch/mlp", "--num-steps", "5"]
    assert main([*again, "--out", str(trained / "again")]) == 0
    capsys.readouterr()
    assert main(["compare", linear, str(trained / "again")]) == 0
    assert "2 runs on the same" in capsys.readouterr().out


def test_the_list_of_runs_is_sorted_and_names_what_is_left_out(trained, capsys, tmp_path):
    (trained / "broken").mkdir(exist_ok=True)
    (trained / "broken" / "model.json").write_text("{")
    csv, page = tmp_path / "runs.csv", tmp_path / "runs.html"
    assert main(["runs", str(trained), "--csv", str(csv), "--page", str(page)]) == 0
    told, advised = capsys.readouterr()
    assert "left out" in told
    command = advised.splitlines()[-1].removeprefix("next: headstart ")
    assert main([*shlex.split(command), "--out", str(tmp_path / "best.html")]) == 0
    capsys.readouterr()
    assert all(len(line) <= 80 for line in told.splitlines())
    frame = pd.read_csv(csv).set_index("run")
    assert {"linear", "forest", "seed1"} <= set(frame.index)
    own = json.loads((trained / "forest" / "metrics.json").read_text())["test"]["figures"]
    assert frame.loc["forest", "f1_macro_low"] == pytest.approx(own["f1_macro"]["low"])
    assert "scratch/forest" in page.read_text()
    by_figure = hs.list_runs(str(trained), sort="log_loss").rows
    same = [row for row in by_figure if row["fingerprint"] == by_figure[0]["fingerprint"]]
    values = [row["figures"]["log_loss"]["value"] for row in same]
    assert values == sorted(values)  # lower is better
    by_time = [row["seconds"] for row in hs.list_runs(str(trained), sort="seconds").rows]
    assert by_time == sorted(by_time)
    with pytest.raises(OptionError, match="Did you mean 'f1_macro'"):
        hs.list_runs(str(trained), sort="f1_marco")
    with pytest.raises(RunFolderError, match="holds no run"):
        hs.list_runs(str(tmp_path))


def test_runs_on_one_file_stand_together_whatever_they_call_it(make_folder, answers, tmp_path):
    called = {"a": "zoo.csv", "b": "zoo/other.csv", "c": "/home/me/zoo.csv"}
    for (name, data), right in zip(called.items(), (0.6, 0.7, 0.8), strict=True):
        same = "12345678abcd" if name != "b" else "fedcba987654"
        ids = np.arange(300) + 1_000 * (name == "b")
        make_folder(name, *answers(right), name=data, fingerprint=same, ids=ids)
    found = hs.list_runs(str(tmp_path))
    assert [(row["run"], row["data"]) for row in found.rows] == [
        ("c", "zoo.csv"),
        ("a", "zoo.csv"),
        ("b", "zoo/other.csv"),
    ]
    told = found.report()
    assert told.count("zoo.csv: ") == 1
    assert "12345678" not in told


def test_runs_that_are_compared_stand_together(make_folder, answers, tmp_path):
    probabilities, targets = answers(0.8)
    order = np.random.default_rng(0).permutation(300)
    make_folder("a", *answers(0.7), name="zoo.csv")
    other = {"name": "zoo.csv", "fingerprint": "f" * 12}
    make_folder("mixed", probabilities[order], targets[order], ids=order, **other)
    found = hs.list_runs(str(tmp_path))
    assert [row["run"] for row in found.rows] == ["mixed", "a"]
    assert {row["tested_on"] for row in found.rows} == {"12345678abcd"}
    assert found.report().count("zoo.csv: ") == 1
    hs.compare([str(tmp_path / "a"), str(tmp_path / "mixed")])
    # the same items with other labels are refused there, and stand apart here
    make_folder("relabelled", probabilities, (targets + 1) % 3, name="zoo.csv", fingerprint="e" * 3)
    told = hs.list_runs(str(tmp_path)).report()
    assert told.count("zoo.csv (") == 2


def test_runs_without_the_figure_that_is_sorted_by_stand_by_their_own():
    def row(run, value):
        figures, better = {"rmse": {"value": value}}, {"rmse": False}
        same = {"data": "houses.csv", "tested_on": "f", "metric": "rmse"}
        return same | {"run": run, "figures": figures, "is_higher_better": better}

    other = {"data": "a", "tested_on": "a", "metric": "f1_macro", "is_higher_better": {}}
    rows = [row("far", 9.0), row("near", 2.0)]
    rows.append(other | {"run": "texts", "figures": {"f1_macro": {"value": 0.5}}})
    assert [each["run"] for each in sorted_rows(rows, "f1_macro")] == ["texts", "near", "far"]


def test_pretrained_starts_are_told_in_a_line_and_are_not_left_out(make_folder, answers, tmp_path):
    make_folder("a", *answers(0.7))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text('{"objective": "mae"}')
    found = hs.list_runs(str(tmp_path))
    assert [row["run"] for row in found.rows] == ["a"]
    assert not found.left_out
    told = "".join(found.report().split())
    assert f"2pretrainedstarts,withoutfiguresofatestsplit:{tmp_path / 'one'}," in told
    assert "leftout" not in told


def test_a_long_name_of_a_run_stands_whole_in_eighty_columns(make_folder, answers, tmp_path):
    name = "a-run-that-somebody-has-given-quite-a-long-name-of-what-was-tried"
    make_folder(name, *answers(0.7))
    report = hs.list_runs(str(tmp_path)).report()
    assert name in report
    assert max(map(len, report.splitlines())) <= 80


def test_prices_are_written_out():
    item = {"name": "row 39", "target": 603510.4, "before": 572870.2, "after": 0.51234}
    assert moved_item(item, find_task("regression")) == "row 39: 603,510; was 572,870, is 0.5123"
