"""Several models in one run folder answer together, everywhere where one would answer alone."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes

import headstart as hs
from headstart.errors import OptionError, RunFolderError, StartError
from headstart.evaluation import fit_temperature, softmax
from headstart.model import Ensemble, Member, model_outputs, open_ensemble
from headstart.model.ensemble_folder import write_ensemble
from headstart.recipes.run import Run
from headstart.reporting import render_folder
from headstart.starts import find_start
from headstart.storage.run_folder import RunFolder
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.baselines import Items
from headstart.tuning.budget import Budget
from headstart.tuning.calibrating import unseen_val_outputs
from headstart.tuning.conclude import SINGLE, conclude
from headstart.tuning.conditions import Conditions
from headstart.tuning.setup import set_up
from headstart.tuning.together import Together
from headstart.tuning.tune import tune

DRAWS = np.random.default_rng(0)
WORDS = np.array(["fine", "good", "plain", "poor", "dull", "loud"])


def _texts() -> pd.DataFrame:
    texts = [" ".join(DRAWS.choice(WORDS, 5)) for _ in range(200)]
    tags = [";".join(w for w in WORDS[:3] if w in t and DRAWS.random() < 0.9) for t in texts]
    return pd.DataFrame({"text": texts, "tags": tags})


def _rows(loader) -> pd.DataFrame:
    return loader(as_frame=True).frame


# data set, and what its members are made of: start and options
CASES = {
    "images": (lambda: hs.load("digits-8x8"), [
        ("scratch/simple-cnn", {"strategy": "full", "num_steps": 40}),
        ("scratch/simple-cnn", {"strategy": "full", "num_steps": 40, "input_size": 12, "seed": 1}),
    ]),
    "rows": (lambda: hs.load(_rows(load_breast_cancer), label="target", task="classification"), [
        ("scratch/linear", {"strategy": "head"}),
        ("scratch/mlp", {"strategy": "full", "num_steps": 60}),
        ("scratch/mlp", {"strategy": "full", "num_steps": 60, "seed": 1}),
    ]),
    "tags": (lambda: hs.load(_texts(), label="tags", separator=";"), [
        ("scratch/tfidf", {"strategy": "head"}),
        ("scratch/bert-tiny", {"strategy": "full", "num_steps": 10}),
    ]),
    "numbers": (lambda: hs.load(_rows(load_diabetes), label="target", task="regression"), [
        ("scratch/linear", {"strategy": "head"}),
        ("scratch/mlp", {"strategy": "full", "num_steps": 60}),
    ]),
}  # fmt: skip


def _served(name: str, root) -> tuple[Run, hs.Dataset, Together]:
    """Return a run folder that serves an ensemble, as a search would leave it."""
    load, wanted = CASES[name]
    dataset, device = load(), torch.device("cpu")
    setups, each = [], []
    for start, options in wanted:
        said = TrainingOptions(**{"seed": 0, **options})
        setup = set_up(dataset, find_start(start), said, device=device)
        parts = [setup.preprocess.prepare(dataset, split) for split in ("train", "val", "test")]
        setups.append(setup)
        each.append((parts, tune(setup, *parts[:2], Conditions())))
    weights = (2.0, *[1.0] * (len(setups) - 1))
    ensemble = Ensemble(
        [
            Member(setup.model, weight, setup.recipe.strategy)
            for setup, weight in zip(setups, weights, strict=True)
        ]
    )
    logits, tests = [tuned.val_logits for _, tuned in each], [parts[2] for parts, _ in each]
    together = Together(ensemble, logits, tests)
    with RunFolder(root / name) as folder:
        folder.write("model.safetensors", b"of the model that could be used meanwhile")
        parts, tuned = each[0]
        conclude(
            folder,
            Items(dataset, *parts),
            setups[0],
            tuned,
            budget=Budget(None),
            options={"verb": "fit", "options": {}},
            together=together,
        )
        folder.finish()
    return Run(root / name), dataset, together


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return every case, made once."""
    root = tmp_path_factory.mktemp("ensembles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(root / "cache"))
        return {name: _served(name, root) for name in CASES}


def _by_hand(run: Run, samples) -> np.ndarray:
    """Return the mean of what each member says when it is opened by itself."""
    record = json.loads((run.path / "model.json").read_text())
    found = []
    for one in record["ensemble"]["members"]:
        said = Run(run.path / one["folder"]).predict(samples)
        rows = [[p.value] if p.value is not None else list(p.probabilities) for p in said]
        found.append(one["weight"] * np.asarray(rows, np.float64))
    return np.sum(found, axis=0)


def _new(name: str, dataset: hs.Dataset):
    read = [dataset.test.samples.read(place) for place in range(12)]
    return [np.asarray(one) for one in read] if name == "images" else read


@pytest.mark.parametrize("name", CASES)
def test_predictions_are_the_mean_of_the_members(served, name):
    run, dataset, _ = served[name]
    samples = _new(name, dataset)
    mean, found = _by_hand(run, samples), run.predict(samples)
    if name == "numbers":
        assert [p.value for p in found] == pytest.approx(mean[:, 0], rel=1e-5)
        return
    said = np.array([list(p.probabilities) for p in found])
    temperature = run.ensemble.temperature
    logits = run.ensemble.task.logits_of(mean)
    expected = run.ensemble.task.outputs(logits, run.schema, temperature=temperature)
    assert said == pytest.approx(np.asarray(expected), abs=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_evaluating_again_gives_the_figures_that_were_read_once(served, name):
    run, dataset, together = served[name]
    found = hs.evaluate(run, dataset).metrics["test"]["figures"]
    for key, figure in run.metrics["test"]["figures"].items():
        assert found[key]["value"] == pytest.approx(figure["value"], rel=1e-4, abs=1e-6), key
    again = open_ensemble(run.path)
    logits = [
        again.run_each(together.test, phase="again"),
        together.ensemble.run_each(together.test, phase="again"),
    ]
    for one, other in zip(*logits, strict=True):
        assert np.array_equal(one, other)
    losses = pq.read_table(run.path / "predictions.parquet").to_pydict()["loss"]
    if name == "rows":
        assert np.mean(losses) == pytest.approx(found["log_loss"]["value"], rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_report_says_who_answers_and_compares_with_the_best_alone(served, name):
    run, _, _ = served[name]
    num = len(CASES[name][1])
    assert f"The mean of {num} models: {CASES[name][1][0][0]}" in " ".join(run.report().split())
    assert f"The mean of {num} models" in render_folder(run.path)
    names = [one["before"] for one in run.metrics["before_after"]["comparisons"]]
    assert SINGLE in names


def test_the_folder_holds_members_that_are_models_of_their_own_and_nothing_else(served):
    run, dataset, _ = served["rows"]
    assert not (run.path / "model.safetensors").exists()
    assert sorted(p.name for p in (run.path / "members").iterdir()) == ["1", "2", "3"]
    assert not any(p.suffix in (".pkl", ".pt", ".bin") for p in run.path.rglob("*"))
    assert Run(run.path / "members" / "2").model.encoder.start.address == "scratch/mlp"
    with RunFolder(run.path.with_name("other")) as folder:
        write_ensemble(run.ensemble, folder.write, {"data_name": dataset.name})
    with RunFolder(run.path.with_name("other"), overwrite=True) as folder:
        write_ensemble(Ensemble(run.ensemble.members[:1]), folder.write, {})
        assert not (folder.path / "members").exists()
    assert Run(run.path.with_name("other")).ensemble.is_one


def test_an_overwrite_that_fails_gives_the_members_back(served, tmp_path):
    run, dataset, _ = served["rows"]
    with RunFolder(tmp_path / "run") as folder:
        write_ensemble(run.ensemble, folder.write, {"data_name": dataset.name})
        folder.finish()

    def fail() -> None:
        with RunFolder(tmp_path / "run", overwrite=True) as folder:
            folder.write("members/1/model.json", b"{}")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert len(open_ensemble(tmp_path / "run").members) == 3


def test_what_takes_one_model_refuses_an_ensemble_and_names_a_member(served, tmp_path):
    run, _, _ = served["images"]
    with pytest.raises(RunFolderError, match=r"an ensemble of 2 models .*members/1"):
        hs.export(str(run.path), out=str(tmp_path / "out"))
    with pytest.raises(StartError, match=r"an ensemble of 2 models .*members/1"):
        find_start(str(run.path))
    with pytest.raises(RunFolderError, match="an ensemble of 2 models"):
        _ = run.model
    assert find_start(str(run.path / "members" / "1")).address.endswith("members/1")
    with pytest.raises(RunFolderError, match=r"is a member of the ensemble in .*Evaluate /"):
        hs.evaluate(str(run.path / "members" / "1"))


def test_of_an_ensemble_on_a_table_no_member_is_named_that_would_be_refused(served):
    run, _, _ = served["rows"]
    with pytest.raises(StartError, match=r"an ensemble of .*No run on a table is a start"):
        find_start(str(run.path))
    assert run.preprocess.columns


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e["members"][0].update(folder="../other"), "folder"),
        (lambda e: e["members"][0].update(weight=-1), "weight -1"),
        (lambda e: e.update(format=2), "format 2, expected 1"),
        (lambda e: e.update(members=e["members"] * 3), "members"),
        (lambda e: e["members"][1].update(folder="members/9"), "has no model.json"),
    ],
)
def test_a_damaged_record_is_refused_in_a_sentence(served, tmp_path, change, words):
    run, dataset, _ = served["rows"]
    with RunFolder(tmp_path / "run") as folder:
        write_ensemble(run.ensemble, folder.write, {"data_name": dataset.name})
        record = folder.read_json("model.json")
        change(record["ensemble"])
        folder.write_json("model.json", record)
    with pytest.raises(RunFolderError, match=words):
        open_ensemble(tmp_path / "run")


def test_members_that_do_not_fit_are_refused(served):
    one, other = (served[name][2].ensemble.members[0] for name in ("rows", "numbers"))
    with pytest.raises(OptionError, match="expected the same target and classes"):
        Ensemble([one, other])
    with pytest.raises(OptionError, match="4 members; expected 1 to 3"):
        Ensemble([one] * 4)
    with pytest.raises(OptionError, match="weight 0"):
        Ensemble([Member(one.model, 0.0)])


def test_an_ensemble_of_one_is_the_model_bit_for_bit(served):
    _, _, together = served["rows"]
    model = together.ensemble.first
    alone = Ensemble([Member(model)])
    logits = alone.run(together.test[:1], phase="alone")
    own = together.ensemble.run_each(together.test, phase="alone")[0]
    assert np.array_equal(logits, own)
    assert np.array_equal(model_outputs(alone, logits), model_outputs(model, own))


def test_val_is_calibrated_by_temperatures_that_were_fitted_without_the_item(served):
    run, dataset, together = served["images"]
    assert run.metrics["val_calibration"] == "cross-fitted"
    assert "fitted without it" in " ".join(run.report().split())
    assert "val_calibration" not in served["numbers"][0].metrics
    val = together.ensemble.prepare(dataset, "val")[0]
    model, logits = together.ensemble.first, together.val_logits[0]
    outputs, _ = unseen_val_outputs(model, logits, val, None)
    folds = np.arange(len(val)) % 5
    for fold in range(5):
        inner, outer = folds != fold, folds == fold
        temperature = fit_temperature(logits[inner], val.targets[inner])
        assert outputs[outer] == pytest.approx(softmax(logits[outer], temperature), abs=1e-5)
