"""Tables through the same verbs: regression, classification, the trees beside, bad rows."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LinearRegression

import headstart as hs
from headstart.cli import main
from headstart.errors import DataError, OptionError
from headstart.events import listen
from headstart.starts import find_start
from headstart.training.options.limits import steps_asked
from headstart.training.options.strategies import default_strategy
from headstart.training.options.training_options import TrainingOptions


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def finetune(data, start, out, **options):
    return hs.finetune(data, start=start, out=str(out), device="cpu", seed=0, **options)


@pytest.fixture(scope="module")
def diabetes():
    return hs.load(load_diabetes(as_frame=True).frame, label="target", task="regression")


def test_line_is_found_exactly(tmp_path):
    frame = pd.DataFrame({"x": np.arange(1.0, 41), "y": 2 * np.arange(1.0, 41) - 3})
    run = finetune(hs.load(frame, label="y", task="regression"), "scratch/linear", tmp_path / "r")
    weights, intercept = run.coefficients()
    assert weights["x"] == pytest.approx(2.0, abs=1e-4)
    assert intercept == pytest.approx(-3.0, abs=1e-3)
    assert run.predict([{"x": 100.0}])[0].value == pytest.approx(197.0, abs=1e-2)


def test_linear_regression_is_least_squares_on_train(diabetes, tmp_path):
    run = finetune(diabetes, "scratch/linear", tmp_path / "run")
    frames = []
    for split in (diabetes.train, diabetes.test):
        frames.append(pd.DataFrame([split.samples.read(i) for i in range(len(split))]))
    reference = LinearRegression().fit(frames[0], diabetes.train.targets)
    expected = reference.predict(frames[1])
    found = [p.value for p in run.predict(frames[1])]
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-2)
    errors = np.asarray(found) - diabetes.test.targets
    rmse = run.metrics["test"]["figures"]["rmse"]
    assert rmse["value"] == pytest.approx(float(np.sqrt((errors**2).mean())), rel=1e-4)
    assert rmse["low"] < rmse["value"] < rmse["high"]


def test_linear_regression_by_gradient_steps_when_asked(diabetes, tmp_path):
    solved = finetune(diabetes, "scratch/linear", tmp_path / "solved")
    stepped = finetune(diabetes, "scratch/linear", tmp_path / "sgd", strategy="full")
    rmse = [run.metrics["test"]["figures"]["rmse"]["value"] for run in (solved, stepped)]
    assert rmse[1] == pytest.approx(rmse[0], rel=0.05)


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ({"learning_rate": 0.03}, "full"),
        ({"num_steps": 20, "optimizer": "sgd"}, "full"),
        ({"num_workers": 1}, "head"),
    ],
)
def test_what_only_steps_can_serve_leads_a_linear_start_to_steps(
    diabetes, tmp_path, options, strategy
):
    run = finetune(diabetes, "scratch/linear", tmp_path / "run", **options)
    assert run.model_record["strategy"] == strategy
    asked = [name for name in options if name in ("learning_rate", "num_steps", "optimizer")]
    for name in asked:
        assert any(name in choice["why"] for choice in run.options["choices"])


def test_why_a_linear_start_takes_steps_is_a_sentence():
    linear = find_start("scratch/linear")
    for said, names in (
        ({"num_steps": 20}, "num_steps asks for"),
        ({"num_steps": 20, "batch_size": 8}, "num_steps and batch_size ask for"),
        ({"num_steps": 9, "batch_size": 8, "ema": True}, "num_steps, batch_size and ema ask for"),
    ):
        strategy, why = default_strategy(linear, steps_asked(TrainingOptions(**said)))
        assert strategy.name == "full"
        assert why == f"the start is linear, and {names} gradient steps"


def test_a_grid_that_a_start_lacks_is_refused_before_anything_is_told(diabetes, tmp_path):
    told = []
    with (
        listen(lambda kind, fields: told.append(kind)),
        pytest.raises(OptionError, match=r"no rates to try for start 'scratch/linear'.*a number"),
    ):
        finetune(diabetes, "scratch/linear", tmp_path / "run", learning_rate_search=True)
    assert "choice" not in told
    assert not (tmp_path / "run").exists()


def test_trees_stand_beside_and_the_report_says_who_won(diabetes, tmp_path):
    run = finetune(diabetes, "scratch/mlp", tmp_path / "run", num_epochs=5)
    ladder = run.metrics["before_after"]["figures"]
    assert "gradient boosting" in ladder
    assert "fine-tuned" in ladder
    assert "gradient boosting" in run.report()
    assert "<svg" in (run.path / "report.html").read_text()


def test_classification_with_categories_dates_and_gaps(tmp_path):
    draw = np.random.default_rng(0)
    num = 300
    frame = pd.DataFrame(
        {
            "age": draw.normal(40, 10, num).round(1),
            "city": draw.choice(["Bonn", "Köln", "Wien"], num),
            "member": draw.random(num) < 0.5,
            "joined": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, num), "D"),
        }
    )
    frame["bought"] = np.where((frame["age"] > 40) ^ (frame["city"] == "Wien"), "yes", "no")
    frame.loc[draw.choice(num, 30, replace=False), "age"] = np.nan
    data = hs.load(frame, label="bought")
    kinds = {"age": "numeric", "city": "categorical", "member": "boolean", "joined": "date"}
    assert dict(data.column_kinds) == kinds
    run = finetune(data, "scratch/mlp", tmp_path / "run", num_epochs=40)
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.8
    row = {"age": 60.0, "city": "Bonn", "member": True, "joined": "2021-05-01"}
    assert run.predict([row])[0].label == "yes"
    # a city nobody has seen, and a gap, are answered for; a missing column is not
    assert run.predict([{**row, "city": "Graz", "age": None}])[0].label in ("yes", "no")
    with pytest.raises(DataError, match="'city' is missing"):
        run.predict([{name: value for name, value in row.items() if name != "city"}])


def test_reopened_run_predicts_the_same_from_a_file(tmp_path):
    frame = load_breast_cancer(as_frame=True).frame
    frame["target"] = frame["target"].map({0: "malignant", 1: "benign"})
    path = tmp_path / "cancer.csv"
    frame.to_csv(path, index=False)
    run = finetune(hs.load(str(path), label="target"), "scratch/linear", tmp_path / "run")
    assert run.metrics["test"]["figures"]["accuracy"]["value"] > 0.93
    found = hs.predict(str(run.path), [str(path)])
    assert [p.name for p in found[:2]] == [f"{path} row 1", f"{path} row 2"]
    assert len(found) == len(frame)
    assert np.mean([p.label == t for p, t in zip(found, frame["target"], strict=True)]) > 0.95


def test_fit_compares_linear_trees_and_mlp(diabetes, tmp_path, work_clock):
    run = hs.fit(diabetes, budget="40s", out=str(tmp_path / "run"))
    starts = [row["start"] for row in run.options["candidates"]]
    names = ("linear", "boosting", "forest", "lightgbm", "mlp")
    assert set(starts) == {f"scratch/{name}" for name in names}
    scores = [row["score"] for row in run.options["candidates"]]
    assert scores == sorted(scores)  # rmse: the lowest wins
    assert run.options["candidates"][0]["metric"] == "rmse"
    assert json.loads((run.path / "metrics.json").read_text())["seconds"]["total"] < 42


def test_two_seeds_differ_and_one_repeats(diabetes, tmp_path):
    import torch

    weights = []
    for number, seed in enumerate((0, 0, 1)):
        run = hs.finetune(
            diabetes,
            start="scratch/mlp",
            out=str(tmp_path / str(number)),
            num_steps=5,
            seed=seed,
            device="cpu",
        )
        weights.append(run.model.head.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_run_reads_new_dates_by_the_format_of_its_training_data(tmp_path, capsys):
    months = pd.date_range("2010-01-01", periods=120, freq="MS")
    price = (months - months[0]).days.to_numpy() * 0.5 + 7
    frame = pd.DataFrame({"sold": months.strftime("%m/%d/%Y"), "rooms": [2, 3] * 60})
    path, new, folder = tmp_path / "sales.csv", tmp_path / "new.csv", tmp_path / "run"
    frame.assign(price=price).to_csv(path, index=False)
    words = ["finetune", str(path), "--label", "price", "--date", "sold", "--out", str(folder)]
    assert main([*words, "--start", "scratch/linear", "--device", "cpu", "--quiet"]) == 0
    findings = json.loads((folder / "data.json").read_text())["findings"]
    notes = [found["sentence"] for found in findings]
    assert any("read month first. If that is wrong, because the day stands" in n for n in notes)
    # alone they would be read as the 13th of days, or not at all
    days = ["06/13/2015", "02/03/2016", ""]
    pd.DataFrame({"sold": days, "rooms": 2}).to_csv(new, index=False)
    found = [p.value for p in hs.predict(str(folder), [str(new)])]
    expected = (pd.to_datetime(days[:2], format="%m/%d/%Y") - months[0]).days * 0.5 + 7
    assert found[:2] == pytest.approx(expected.tolist(), abs=0.5)
    assert found[2] == pytest.approx(np.median(price), abs=60)  # a missing date is train's median
    test = hs.evaluate(str(folder)).metrics["test"]["figures"]
    assert test["rmse"]["value"] < 0.5
    pd.DataFrame({"sold": ["06/13/2015", "13/06/2015"], "rooms": 2}).to_csv(new, index=False)
    capsys.readouterr()
    assert main(["predict", str(folder), str(new)]) == 3
    said = (
        "row 2: column 'sold' holds '13/06/2015'; expected a date such as 03/31/2024, or an empty"
    )
    assert said in " ".join(capsys.readouterr().err.split())


def test_evaluate_reads_the_rows_that_predict_reads(tmp_path):
    num = 120
    days = pd.date_range("2010-01-01", periods=num, freq="11D")
    smoker = np.resize(["yes", "no", "no"], num)
    price = np.arange(num) * 0.5 + 7 + 3 * (smoker == "yes")
    frame = pd.DataFrame({"sold": days.strftime("%m/%d/%Y"), "smoker": smoker, "price": price})
    path, new, folder = tmp_path / "sales.csv", tmp_path / "new.csv", tmp_path / "run"
    frame.to_csv(path, index=False)
    run = finetune(hs.load(str(path), label="price"), "scratch/linear", folder)
    kinds = {"sold": "date", "smoker": "boolean"}
    assert run.data["column_kinds"] == kinds
    # one value of the flag alone, and no day that shows which number is the month
    part = frame[(smoker == "yes") & (days.day <= 12)]
    part = part.assign(note=["x", *range(1, len(part))])  # a column that nobody asked for
    part.to_csv(new, index=False)
    expected = [p.value for p in hs.predict(str(folder), [str(new)])]
    assert expected == pytest.approx(part["price"].tolist(), abs=0.01)
    assert main(["evaluate", str(folder), str(new), "--label", "price", "--quiet"]) == 0
    found = hs.evaluate(str(folder), part.rename(columns={"price": "label"}))
    assert found.metrics["test"]["figures"]["rmse"]["value"] < 0.01


def test_evaluate_tells_what_the_run_tells_without_being_told_again(tmp_path):
    num = 120
    rooms = np.resize(np.arange(2, 9), num)
    frame = pd.DataFrame({"rooms": rooms, "noise": np.arange(num) % 11 / 7, "stars": rooms - 1})
    path, new, folder = tmp_path / "homes.csv", tmp_path / "new.csv", tmp_path / "run"
    frame.to_csv(path, index=False)
    # whole numbers that repeat are classes, unless somebody knows better
    finetune(hs.load(str(path), label="stars", task="regression"), "scratch/linear", folder)
    frame.iloc[:40].to_csv(new, index=False)
    assert main(["evaluate", str(folder), str(new), "--quiet"]) == 0
    found = hs.evaluate(str(folder), frame.iloc[:40])
    assert found.metrics["test"]["figures"]["rmse"]["value"] < 0.01
    with pytest.raises(DataError, match=r"is table classification, and .* is table regression"):
        hs.evaluate(str(folder), hs.load(frame.iloc[:40].rename(columns={"stars": "label"})))
    # another name is said, or "label"
    frame.iloc[:40].rename(columns={"stars": "grade"}).to_csv(new, index=False)
    assert main(["evaluate", str(folder), str(new), "--label", "grade", "--quiet"]) == 0
    with pytest.raises(DataError, match=r"Column 'stars' is missing in .*new.csv"):
        hs.evaluate(str(folder), str(new))


def test_codes_with_a_point_are_known_and_new_ones_get_the_mean(tmp_path):
    """pandas writes whole numbers with a point as soon as a cell of the column is empty."""
    draw = np.random.default_rng(0)
    code = np.tile([1, 2, 3], 60)
    frame = pd.DataFrame({"code": code, "x": draw.normal(size=180), "y": 30.0 * code})
    frame["y"] += frame["x"]
    data = hs.load(frame, label="y", task="regression", categorical=["code"])
    run = finetune(data, "scratch/linear", tmp_path / "run")
    weights, _ = run.coefficients()
    assert sum(weights[f"code={i}"] for i in (1, 2, 3)) == pytest.approx(0, abs=3)
    new = tmp_path / "new.csv"
    new_rows = pd.DataFrame({"code": [1, np.nan, 3, 9, 9], "x": 0.0, "y": [30.0, 60, 90, 60, 60]})
    new_rows.to_csv(new, index=False)
    told = []
    with listen(lambda kind, fields: told.append(fields["text"]) if kind == "note" else None):
        found = [p.value for p in hs.predict(str(run.path), [str(new)])]
    assert found[::2] == pytest.approx([30, 90, found[4]], abs=0.01)
    mean = data.train.targets.mean()
    assert [found[1], *found[3:]] == pytest.approx([mean] * 3, abs=2)
    note = "Column 'code' holds categories unknown to the model in 2 rows: '9.0'."
    assert note in told
    pd.concat([new_rows.assign(split="test"), frame.assign(split="train")]).to_csv(new, index=False)
    told.clear()
    with listen(lambda kind, fields: told.append(fields["text"]) if kind == "note" else None):
        assert note in hs.evaluate(str(run.path), str(new)).report()
    assert told.count(note) == 1


def test_a_file_with_a_header_alone_is_refused_by_its_name(tmp_path):
    frame = pd.DataFrame({"x": np.arange(40.0), "y": np.arange(40.0)})
    run = finetune(hs.load(frame, label="y", task="regression"), "scratch/linear", tmp_path / "r")
    empty = tmp_path / "empty.csv"
    empty.write_text("x\n")
    with pytest.raises(DataError, match=r"empty\.csv has a header and no rows; expected one row a"):
        hs.predict(str(run.path), [str(empty)])


def test_truth_values_are_the_same_in_any_case(tmp_path):
    x = np.random.default_rng(0).normal(size=80)
    frame = pd.DataFrame({"x": x, "y": x > 0})
    run = finetune(hs.load(frame, label="y"), "scratch/linear", tmp_path / "run")
    assert run.classes == ("False", "True")
    path = tmp_path / "new.csv"
    figures = []
    for words in (("True", "False"), ("true", "false")):
        pd.DataFrame({"x": x, "y": np.where(x > 0, *words)}).to_csv(path, index=False)
        figures.append(hs.evaluate(str(run.path), str(path)).metrics["test"]["figures"])
    assert figures[0] == figures[1]
    assert figures[0]["accuracy"]["value"] > 0.9
    pd.DataFrame({"x": x, "y": np.where(x > 0, "true", "no")}).to_csv(path, index=False)
    with pytest.raises(DataError, match="is unknown to"):
        hs.evaluate(str(run.path), str(path))


def test_predict_and_evaluate_tell_alike_what_training_did_not_have(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"area": rng.uniform(50, 150, 200), "way": ["Gravel", "None"] * 100})
    frame["price"] = 10 * frame.area + 300 * (frame.way == "None") + 0.5
    german = frame.round(2).astype({"area": str, "price": str})
    german[["area", "price"]] = german[["area", "price"]].map(lambda x: x.replace(".", ","))
    german.to_csv(tmp_path / "train.csv", index=False, sep=";")
    data = hs.load(str(tmp_path / "train.csv"), label="price", task="regression")
    folder = tmp_path / "run"
    run = finetune(data, "scratch/linear", folder)
    new = frame.assign(area=1000 * frame.area + 7).astype({"way": object})
    new.loc[new.way == "None", "way"] = None
    new.to_csv(tmp_path / "new.csv", index=False)
    expected = ("Column 'area' is about", "has its unit changed", "as its category 'None'")
    for answer in (
        lambda: run.predict(new.drop(columns="price")),
        lambda: run.predict(new.drop(columns="price").to_dict("records")),
        lambda: hs.predict(str(folder), [str(tmp_path / "new.csv")]),
        lambda: hs.evaluate(str(folder), new),
        lambda: hs.evaluate(str(folder), str(tmp_path / "new.csv")),
    ):
        told = []
        with listen(lambda _, fields, told=told: told.append(str(fields.get("text")))):
            answer()
        assert all(part in " ".join(told) for part in expected), told
    plain = run.predict(frame.drop(columns="price"))
    assert np.allclose([p.value for p in plain], frame.price, atol=0.1)
