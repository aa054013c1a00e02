"""Costs of mistakes in a run: what is answered, what is stored, what is told, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import headstart as hs
from headstart.errors import OptionError
from headstart.reporting import render_folder

CLASSES = ["fine", "ill", "worn"]
MATRIX = np.array([[0.0, 1.0, 1.0], [12.0, 0.0, 6.0], [2.0, 1.0, 0.0]])
SAID = {"start": "scratch/linear", "device": "cpu", "quiet": True}


def _frame(num=240):
    rng = np.random.default_rng(0)
    kind = rng.choice(3, num, p=[0.6, 0.15, 0.25])
    columns = {f"x{k}": rng.normal(size=num) + 1.3 * (kind == k) for k in range(3)}
    return pd.DataFrame({**columns, "state": np.array(CLASSES)[kind]})


def _costs(folder, classes=CLASSES, matrix=MATRIX):
    path = folder / "costs.csv"
    pd.DataFrame(matrix, index=classes, columns=classes).to_csv(path)
    return str(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("costs")
    path = _costs(folder, ["worn", "fine", "ill"], MATRIX[np.ix_([2, 0, 1], [2, 0, 1])])
    data = hs.load(_frame(), label="state")
    run = hs.finetune(data, **SAID, out=str(folder / "run"), costs=path)
    (folder / "costs.csv").unlink()  # what it said is kept
    return run


def test_the_answer_is_the_cheapest_everywhere(made):
    frame = pq.read_table(made.path / "predictions.parquet").to_pandas()
    probabilities = np.stack(frame["probabilities"].to_numpy())
    expected = [CLASSES[k] for k in (probabilities @ MATRIX).argmin(axis=1)]
    assert frame["prediction"].tolist() == expected
    assert (frame["prediction"] != [CLASSES[k] for k in probabilities.argmax(axis=1)]).any()
    told = made.predict(_frame().drop(columns="state"))
    each = np.array([one.probabilities for one in told])
    assert [one.label for one in told] == [CLASSES[k] for k in (each @ MATRIX).argmin(axis=1)]
    assert made.options["options"]["costs"].startswith(",worn,fine,ill\n")


def test_what_answers_cost_is_measured_on_test_beside_what_else_could_be_answered(made):
    record = made.metrics["costs"]
    assert record["classes"] == CLASSES
    np.testing.assert_array_equal(record["matrix"], MATRIX)
    frame = pq.read_table(made.path / "predictions.parquet").to_pandas()
    truth = frame["target"].map(CLASSES.index).to_numpy()
    said = frame["prediction"].map(CLASSES.index).to_numpy()
    probable = np.stack(frame["probabilities"].to_numpy()).argmax(axis=1)
    test = record["test"]
    assert test["cheapest"]["value"] == pytest.approx(MATRIX[truth, said].mean())
    assert test["most_probable"]["value"] == pytest.approx(MATRIX[truth, probable].mean())
    constants = [MATRIX[truth, k].mean() for k in range(3)]
    assert test["constant"]["value"] == pytest.approx(min(constants))
    gap = test["cheapest"]["value"] - test["most_probable"]["value"]
    assert test["difference"]["value"] == pytest.approx(gap)
    told = " ".join(made.report().split())
    assert "Answers are the cheapest by the costs given:" in told
    assert "Answers are the cheapest by the costs given:" in render_folder(made.path)
    assert "代价" in render_folder(made.path, language="zh")


def test_evaluate_finds_the_same_of_the_stored_model(made, tmp_path):
    _frame().to_csv(tmp_path / "rows.csv", index=False)
    frame = pq.read_table(made.path / "predictions.parquet").to_pandas()
    tested = _frame().iloc[[int(name.split()[-1]) - 1 for name in frame["name"]]]
    tested.to_csv(tmp_path / "test.csv", index=False)
    again = hs.evaluate(str(made.path), str(tmp_path / "test.csv"), quiet=True)
    assert again.record["costs"]["test"]["cheapest"] == made.metrics["costs"]["test"]["cheapest"]


@pytest.mark.parametrize("verb", ["finetune", "fit"])
def test_costs_that_cannot_be_are_refused_before_anything_is_made(verb, tmp_path, heard):
    said = {"device": "cpu", "quiet": True, "out": str(tmp_path / "run")}
    said |= {"start": "scratch/linear"} if verb == "finetune" else {"starts": ["scratch/linear"]}
    run = getattr(hs, verb)
    refusals = []
    with pytest.raises(OptionError, match="cannot be read") as refused:
        run(_frame(), costs=str(tmp_path / "none.csv"), **said)
    refusals.append(refused.value)
    other = _costs(tmp_path, ["fine", "ill", "old"])
    with pytest.raises(OptionError, match="has no 'worn' and names 'old'") as refused:
        run(hs.load(_frame(), label="state"), costs=other, **said)
    refusals.append(refused.value)
    path = _costs(tmp_path)
    with pytest.raises(OptionError, match="costs are given, too") as refused:
        run(_frame(), costs=path, threshold="f1", **said)
    refusals.append(refused.value)
    numbers = hs.load(_frame().assign(price=np.arange(240.0)), label="price")
    with pytest.raises(OptionError, match="expected one class a sample") as refused:
        run(numbers, costs=path, **said)
    refusals.append(refused.value)
    assert not (tmp_path / "run").exists()
    if verb == "finetune":
        run(hs.load(_frame(), label="state"), costs=path, **said)
        for one in refusals[:3]:
            heard(one)
        run(numbers, **{**said, "out": str(tmp_path / "numbers")})
        heard(refusals[3])
