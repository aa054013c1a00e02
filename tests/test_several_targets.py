"""Several targets of one sample: classes and numbers together, gaps, weights, figures of each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import headstart as hs
from headstart.comparing.finished import read_finished
from headstart.comparing.pairs import compare_runs
from headstart.errors import DataError, ExportError, OptionError, StartError
from headstart.evaluation.means import studentised_interval, unit_sums
from headstart.objectives import find_loss, item_losses
from headstart.objectives.supervised import Wanted
from headstart.recipes.run import Run
from headstart.reporting.compare_text import render_compare_text
from headstart.tasks import CLASSIFICATION, REGRESSION, find_task
from headstart.tasks.multi_task import made_of
from headstart.tasks.part import TargetPart
from headstart.tasks.several_figures import part_quantities

sys.path.insert(0, str(Path(__file__).parent / "serving"))
from serving_process import ServingProcess

LABELS = "kind,price,grade"
TASK = made_of(
    [TargetPart("kind", CLASSIFICATION, 3), TargetPart("price", REGRESSION, 0, 10.0, 4.0)]
)


def _rows(num: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, 4))
    grade = np.array(["low", "mid", "high"], object)[np.digitize(x[:, 2], [-0.5, 0.5])]
    frame = pd.DataFrame(x, columns=list("abcd"))
    frame["kind"] = np.where(x[:, 0] + 0.3 * rng.normal(size=num) > 0, "up", "down")
    frame["price"] = 100 + 20 * x[:, 1] + 5 * rng.normal(size=num)
    frame["grade"] = grade
    frame.loc[rng.random(num) < 0.2, "price"] = np.nan
    frame.loc[rng.random(num) < 0.3, "grade"] = None
    return frame


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    base = tmp_path_factory.mktemp("several")
    _rows(500, 0).to_csv(base / "rows.csv", index=False)
    return hs.finetune(
        hs.load(str(base / "rows.csv"), label=LABELS),
        start="scratch/mlp",
        num_epochs=25,
        batch_size=32,
        loss_weights=[1.0, 2.0, 1.0],
        out=str(base / "run"),
        device="cpu",
    )


def test_columns_are_read_each_by_its_own_task_and_gaps_are_said():
    data = hs.load(_rows(300, 1), label=LABELS)
    assert [(p.label, p.task, p.classes) for p in data.schema.parts] == [
        ("kind", "classification", ("down", "up")),
        ("price", "regression", ()),
        ("grade", "classification", ("high", "low", "mid")),
    ]
    targets = data.train.targets
    assert targets.shape == (len(data.train), 3)
    assert np.isnan(targets[:, 1]).any()
    assert any("samples have no 'price'" in note for note in data.notes)
    task = find_task(data.schema.task)
    own = targets[:, 1][np.isfinite(targets[:, 1])]
    assert task.parts[1].mean == pytest.approx(own.mean(), rel=1e-5)
    standard = task.standard(targets, 0.0, 1.0)
    assert np.nanstd(standard[:, 1]) == pytest.approx(1.0, rel=1e-4)
    assert set(data.column_kinds) == {"a", "b", "c", "d"}


def test_the_task_of_one_column_can_be_said():
    frame = _rows(200, 2)
    frame["stars"] = np.arange(200) % 4
    found = hs.load(frame, label="kind,stars", drop=["price", "grade"])
    assert found.schema.parts[1].task == "classification"
    said = hs.load(frame, label="kind,stars:regression", drop=["price", "grade"])
    assert said.schema.parts[1].task == "regression"
    with pytest.raises(OptionError, match="cannot be said of several targets"):
        hs.load(frame, label="kind,stars", task="regression")
    with pytest.raises(OptionError, match="asks for task 'multi-label'"):
        hs.load(frame, label="kind,stars:multi-label")
    with pytest.raises(DataError, match="Column 'sort' is missing"):
        hs.load(frame, label="kind,sort")
    with pytest.raises(DataError, match="Column 'kind' is empty in every row"):
        hs.load(frame.assign(kind=None), label="kind,stars")


def test_rows_without_any_target_are_refused_with_the_first():
    frame = _rows(100, 3)
    frame.loc[4, ["kind", "price", "grade"]] = None
    with pytest.raises(DataError, match=r"none of the targets .* such as row 5"):
        hs.load(frame, label=LABELS)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([f"row {k}" for k in range(100)], "Column 'grade' holds 100 different values in 100 rows"),
        (["x"] * 100, "'grade' of DataFrame has one class only; expected two or more"),
    ],
)
def test_a_target_of_names_or_of_one_class_is_refused_among_several(column, words, heard):
    frame = _rows(100, 3)
    with pytest.raises(DataError, match=words) as caught:
        hs.load(frame.assign(grade=column), label=LABELS)
    assert hs.load(frame.assign(grade=column), label="kind,price").schema.parts
    heard(caught.value)


def test_names_in_a_list_are_said_to_be_written_in_one_text(heard):
    with pytest.raises(OptionError, match="label is a list of 2 names") as caught:
        hs.load(_rows(100, 3), label=["kind", "price"])
    assert "Write it as label='kind,price'" in str(caught.value)
    assert hs.load(_rows(100, 3), label="kind,price").schema.parts
    heard(caught.value)


def test_folds_of_several_targets_are_refused_before_anything_is_learned(tmp_path, heard):
    data = hs.load(_rows(100, 3), label="kind,price")
    with pytest.raises(OptionError, match=r"--folds divides data anew, .* several targets") as told:
        hs.finetune(data, start="scratch/linear", folds=3, out=str(tmp_path / "a"), device="cpu")
    assert not (tmp_path / "a").exists()
    said = {"start": "scratch/linear", "num_steps": 2, "device": "cpu", "quiet": True}
    assert hs.finetune(data, seeds=2, out=str(tmp_path / "b"), **said).metrics["seeds"]
    heard(told.value)


def test_a_name_says_the_parts_whatever_they_are_called():
    parts = [
        TargetPart("a, (b) 50%", CLASSIFICATION, 2),
        TargetPart("价格", REGRESSION, 0, -1.5e-7, 3e9),
        TargetPart("x", REGRESSION, 0),
    ]
    task = find_task(made_of(parts).name)
    assert [(p.label, p.num_classes, p.mean, p.scale) for p in task.parts] == [
        ("a, (b) 50%", 2, 0.0, 1.0),
        ("价格", 0, -1.5e-7, 3e9),
        ("x", 0, 0.0, 1.0),
    ]
    for wrong in ("multi-task: ", "multi-task: a (x)", "multi-task: a (number), a (number)"):
        with pytest.raises(OptionError, match="Unknown task"):
            find_task(wrong)


def test_the_loss_leaves_gaps_out_and_micro_batches_add_up():
    torch.manual_seed(0)
    logits = torch.randn(6, 4)
    targets = torch.tensor(
        [[0, 1.0], [2, float("nan")], [float("nan"), -1.0], [1, 0.5]] + [[0, 0]] * 2
    )
    weights = torch.tensor(TASK.part_weights(targets.numpy(), [1.0, 3.0]))
    loss = find_loss(TASK.name).of_batch
    whole = loss(logits, Wanted(targets, part_weights=weights))
    parts = [
        loss(logits[i : i + 2], Wanted(targets[i : i + 2], part_weights=weights)) for i in (0, 2, 4)
    ]
    assert torch.isclose(whole, torch.stack(parts).mean(), atol=1e-6)
    has = torch.isfinite(targets)
    entropy = torch.nn.functional.cross_entropy(logits[has[:, 0], :3], targets[has[:, 0], 0].long())
    square = ((logits[has[:, 1], 3] - targets[has[:, 1], 1]) ** 2).mean()
    # each target counts by its weight, however many samples have it
    assert torch.isclose(whole, (entropy + 3 * square) / 4, atol=1e-6)
    logits.requires_grad_(True)
    loss(logits, Wanted(targets, part_weights=weights)).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[1, 3], logits.grad[2, :3].abs().sum()) == (0, 0)


def test_a_temperature_is_of_classes_alone():
    logits = np.array([[1.0, 0.0, 2.0, 0.5], [0.0, 3.0, -1.0, -2.0]], np.float32)
    targets = np.array([[0.0, 0.7], [1.0, np.nan]], np.float32)
    found = item_losses(TASK.name, logits, targets, temperature=0.25)
    softened = logits[:, :3] / 0.25
    logs = softened - np.log(np.exp(softened).sum(axis=1, keepdims=True))
    assert found[0] == pytest.approx((-logs[0, 0] + (0.5 - 0.7) ** 2) / 2, rel=1e-5)
    assert found[1] == pytest.approx(-logs[1, 1], abs=1e-6)


def test_the_mean_score_is_that_of_its_parts_and_its_gradient_holds():
    rng = np.random.default_rng(0)
    wanted = np.stack([rng.integers(0, 3, 80), rng.normal(size=80)], axis=1)
    said = np.stack([rng.integers(0, 3, 80), wanted[:, 1] + rng.normal(size=80)], axis=1)
    wanted[rng.random(80) < 0.3, 0] = np.nan
    wanted[rng.random(80) < 0.2, 1] = np.nan
    quantities, smooth = part_quantities(TASK.parts, said, wanted)
    found = studentised_interval(unit_sums(quantities, None, 0), smooth, num_resamples=200, seed=0)
    has, there = np.isfinite(wanted).T
    share = (said[has, 0] == wanted[has, 0]).mean()
    errors = said[there, 1] - wanted[there, 1]
    r2 = 1 - (errors**2).mean() / wanted[there, 1].var()
    assert found.value == pytest.approx((share + r2) / 2)
    assert found.low < found.value < found.high
    means = np.concatenate([[1.0], quantities.mean(axis=1)])[:, None]
    value, gradient = smooth(means)
    for place in range(1, len(means)):
        moved = means.copy()
        moved[place] += 1e-6
        assert (smooth(moved)[0] - value)[0] / 1e-6 == pytest.approx(gradient[place, 0], abs=1e-4)


def test_each_target_has_its_figures_controls_and_verdicts(run):
    figures = run.metrics["test"]["figures"]
    assert figures["kind.accuracy"]["value"] > 0.8
    assert figures["price.r2"]["value"] > 0.7
    assert figures["grade.accuracy"]["low"] < figures["grade.accuracy"]["value"]
    mean = np.mean([figures[n]["value"] for n in ("kind.accuracy", "price.r2", "grade.accuracy")])
    assert figures["mean_score"]["value"] == pytest.approx(mean)
    parts = run.metrics["before_after"]["parts"]
    assert set(parts) == {"kind", "price", "grade"}
    assert "gradient boosting" not in str(parts)  # rows lack targets: no such control
    assert parts["price"]["comparisons"][-1]["p_value"] < 0.01
    assert parts["grade"]["num_items"] < run.metrics["test"]["num_items"]
    told = run.report()
    assert "Before and after, price: RMSE" in told
    assert "grade: F1 (macro)" in told
    page = (run.path / "report.html").read_text()
    assert "price: RMSE" in page
    assert json.loads((run.path / "options.json").read_text())["recipe"]["loss_weights"] == [
        1,
        2,
        1,
    ]


def test_predict_tells_all_and_evaluate_says_the_same(run, tmp_path):
    frame = _rows(40, 5)
    told = run.predict(frame.drop(columns=["kind", "price", "grade"]))
    first = told[0].to_json()
    assert set(first["targets"]) == {"kind", "price", "grade"}
    assert first["targets"]["kind"]["label"] in ("up", "down")
    assert isinstance(first["targets"]["price"]["value"], float)
    frame.to_csv(tmp_path / "new.csv", index=False)
    hs.predict(str(run.path), [str(tmp_path / "new.csv")], out=str(tmp_path / "answers.csv"))
    answers = pd.read_csv(tmp_path / "answers.csv")
    assert answers["price"].tolist() == pytest.approx([one.parts["price"].value for one in told])
    assert {"kind", "grade", "probability of grade mid"} <= set(answers.columns)
    again = hs.evaluate(str(run.path))
    for name, figure in run.metrics["test"]["figures"].items():
        assert again.metrics["test"]["figures"][name]["value"] == pytest.approx(figure["value"])
    # other data, in which a class is lacking, keep the places of the model's own classes
    only = frame[frame.grade != "high"]
    other = hs.evaluate(str(run.path), hs.load(only, label=LABELS, schema=run.schema))
    assert other.metrics["test"]["figures"]["grade.accuracy"]["value"] > 0.5


def test_two_runs_are_compared(run, tmp_path):
    data = hs.load(str(run.path.parent / "rows.csv"), label=LABELS)
    other = hs.finetune(data, start="scratch/linear", out=str(tmp_path / "run"), device="cpu")
    assert other.metrics["test"]["figures"]["price.r2"]["value"] > 0.8
    record = compare_runs([read_finished(run.path), read_finished(Path(other.path))])
    (verdict,) = record["comparisons"]
    assert verdict["lost"] + verdict["gained"] > 0
    assert verdict["p_value"] <= 1
    assert set(verdict["figures"]) == {"kind.accuracy", "price.mae", "grade.accuracy"}
    assert "price: MAE" in render_compare_text(record)


def test_the_server_has_an_output_a_target(run, tmp_path):
    bundle = hs.export(str(run.path), to="onnx", out=str(tmp_path / "bundle"))
    rows = _rows(3, 8)[list("abcd")]
    expected = run.predict(rows)
    with ServingProcess(bundle) as server:
        found = server.post("/v1/predict", rows.to_dict("records"))["predictions"]
        assert found[1]["targets"]["grade"]["label"] == expected[1].parts["grade"].label
        price = expected[1].parts["price"].value
        assert found[1]["targets"]["price"]["value"] == pytest.approx(price, rel=1e-4)
        (told,) = server.get("/v1/models")["models"]
        outputs = server.get(f"/v2/models/{told['name']}")["outputs"]
        assert [(one["name"], one["shape"][1]) for one in outputs[:3]] == [
            ("kind", 2),
            ("price", 1),
            ("grade", 3),
        ]


def test_several_targets_are_watched(run, tmp_path):
    bundle = hs.export(str(run.path), to="onnx", out=str(tmp_path / "bundle"))
    same, other = _rows(400, 9)[list("abcd")], _rows(400, 10)[list("abcd")]
    other["b"] += 1.0  # of which the price is told
    states = []
    for name, frame in (("same", same), ("other", other)):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        (window,) = hs.monitor(str(bundle), [str(tmp_path / f"{name}.csv")]).state["windows"]
        states.append(window["state"])
    assert states == ["no drift", "drift"]
    assert [one["name"] for one in window["columns"] if one["is_drift"]] == ["b"]
    told = {one["name"]: one["share"] - one["reference"] for one in window["classes"]}
    named = ["kind: down", "kind: up", "grade: high", "grade: low", "grade: mid"]
    assert sorted(told) == sorted([*named, *(name for name in told if "price: above" in name)])
    assert max(told, key=lambda name: told[name]).startswith("price: above")
    assert window["detectors"]["classes"]["is_drift"]
    with ServingProcess(bundle) as server:
        server.post("/v1/predict", same.iloc[:5].to_dict("records"))
        _, _, metrics = server.ask("GET", "/metrics")
    counted = [line for line in metrics.decode().splitlines() if "predictions_total{" in line]
    of_kind = [float(line.split()[-1]) for line in counted if "kind: " in line]
    assert sum(of_kind) == 5
    assert len(counted) == len(told)


def test_what_cannot_be_is_refused_by_name(run, tmp_path):
    data = hs.load(_rows(120, 4), label=LABELS)
    with pytest.raises(StartError, match="grows trees for one target"):
        hs.finetune(data, start="scratch/forest", out=str(tmp_path / "a"), device="cpu")
    with pytest.raises(OptionError, match="loss_weights has 2 numbers for 3 targets"):
        hs.finetune(
            data, start="scratch/mlp", loss_weights=[1, 2], out=str(tmp_path / "b"), device="cpu"
        )
    one = hs.load(_rows(120, 4), label="kind", drop=["price", "grade"])
    with pytest.raises(OptionError, match="loss_weights needs several targets"):
        hs.finetune(
            one, start="scratch/mlp", loss_weights=[1, 2], out=str(tmp_path / "c"), device="cpu"
        )
    with pytest.raises(DataError, match="several targets a sample"):
        hs.rank(data, quiet=True)


def test_texts_and_images_have_several_targets_too(tmp_path):
    words = ["cat", "dog", "owl"]
    frame = pd.DataFrame(
        {
            "text": [f"a {words[i % 3]} and {'many ' * (i % 5)}more {i}" for i in range(150)],
            "animal": [words[i % 3] for i in range(150)],
            "much": [float(i % 5) + 0.25 for i in range(150)],
        }
    )
    frame.to_csv(tmp_path / "texts.csv", index=False)
    data = hs.load(str(tmp_path / "texts.csv"), label="animal,much")
    texts = hs.finetune(data, start="scratch/tfidf", out=str(tmp_path / "run"), device="cpu")
    assert texts.metrics["test"]["figures"]["animal.accuracy"]["value"] == 1.0
    assert texts.metrics["test"]["figures"]["much.r2"]["value"] > 0.3
    with pytest.raises(ExportError, match="TF-IDF"):
        hs.export(str(texts.path), to="transformers", out=str(tmp_path / "hf"))
    assert [one.parts["animal"].label for one in Run(str(texts.path)).predict(["a dog"])] == ["dog"]


def test_images_have_several_targets(tmp_path):
    from PIL import Image

    rng, rows = np.random.default_rng(0), []
    for i in range(90):
        shade = 40 + 60 * (i % 3)
        pixels = np.full((12, 12), shade, np.uint8) + rng.integers(0, 20, (12, 12)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        rows.append({"image": f"{i}.png", "shade": "dml"[i % 3], "level": pixels.mean() / 7})
    pd.DataFrame(rows).to_csv(tmp_path / "list.csv", index=False)
    data = hs.load(str(tmp_path / "list.csv"), label="shade,level")
    run = hs.finetune(
        data,
        start="scratch/simple-cnn",
        num_steps=30,
        batch_size=32,
        out=str(tmp_path / "run"),
        device="cpu",
    )
    assert {"shade.accuracy", "level.r2"} <= set(run.metrics["test"]["figures"])
