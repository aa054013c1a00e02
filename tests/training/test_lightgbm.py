"""Trees of LightGBM as arrays answer what LightGBM answers, and need it no more."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

import headstart as hs
from headstart.errors import StartError
from headstart.ranking import default_starts
from headstart.starts.tables import providers
from headstart.training.probing import lightgbm as growing

pytest.importorskip("lightgbm")


@pytest.fixture(autouse=True)
def _quick(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setattr(growing, "_SETTINGS", growing._SETTINGS[-1:])


def with_cities():
    draw = np.random.default_rng(0)
    city = draw.choice([f"city {n}" for n in range(40)], 1_500)
    age = draw.normal(40, 10, 1_500)
    worth = np.array([int(name[5:]) % 7 for name in city])
    price = 1e6 + 1_000 * worth + 50 * age + draw.normal(0, 10, 1_500)
    return pd.DataFrame({"city": city, "age": age, "price": price})


def of_bunch(load):
    frame = load(as_frame=True).frame
    return frame, "target"


CASES = {
    "two classes": lambda: (*of_bunch(load_breast_cancer), "classification"),
    "three classes": lambda: (*of_bunch(load_iris), "classification"),
    "numbers": lambda: (*of_bunch(load_diabetes), "regression"),
    "categories": lambda: (with_cities(), "price", "regression"),
}


@pytest.mark.parametrize("case", CASES)
def test_answers_are_those_of_the_library(case, tmp_path, monkeypatch):
    frame, label, task = CASES[case]()
    data = hs.load(frame, label=label, task=task)
    kept = {}

    def watched(booster, num_steps, seen, num_classes):
        kept.update(booster=booster, num_steps=num_steps, seen=seen)
        return trees_of(booster, num_steps, seen, num_classes)

    trees_of = growing.trees_of
    monkeypatch.setattr(growing, "trees_of", watched)
    run = hs.finetune(data, start="scratch/lightgbm", out=str(tmp_path / "run"))
    model = run.model
    test = model.encoder.preprocess.prepare(data, "test")
    numbers, codes = test.arrays(np.arange(len(test)))
    network = model.encoder.network
    folded = (
        np.stack(
            [
                network.folded.numpy()[codes[:, at] + int(network.offsets[at])]
                for at in range(codes.shape[1])
            ],
            axis=1,
        )
        if codes.shape[1]
        else codes
    )
    table = np.concatenate([numbers, folded.astype(np.float32)], axis=1)
    expected = kept["booster"].predict(table, num_iteration=kept["num_steps"], raw_score=True)
    logits = model.features(torch.from_numpy(numbers), torch.from_numpy(codes)).detach().numpy()
    if task == "regression":
        found = logits[:, 0].astype(np.float64) * model.target_scale + model.target_mean
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
    elif expected.ndim == 1:
        np.testing.assert_allclose(logits[:, 1] - logits[:, 0], expected, atol=2e-6, rtol=1e-6)
    else:
        np.testing.assert_allclose(logits, expected, atol=2e-6, rtol=1e-6)
    assert run.metrics["test"]["figures"]


def test_a_run_answers_where_lightgbm_is_not_installed(tmp_path):
    run = hs.finetune(
        hs.load(load_iris(as_frame=True).frame, label="target", task="classification"),
        start="scratch/lightgbm",
        out=str(tmp_path / "run"),
    )
    row = dict.fromkeys(load_iris().feature_names, 1.0)
    code = (
        "import sys; sys.modules['lightgbm'] = None\n"
        "import headstart as hs\n"
        f"print(hs.open({str(run.path)!r}).predict([{row!r}])[0].label)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == run.predict([row])[0].label


def test_without_the_extra_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("headstart.extras.find_spec", lambda name: None)
    monkeypatch.setattr(providers, "find_spec", lambda name: None)
    data = hs.load(load_iris(as_frame=True).frame, label="target")
    with pytest.raises(StartError, match=r"'scratch/lightgbm' needs 'lightgbm'.*\[lightgbm\]"):
        hs.finetune(data, start="scratch/lightgbm", out=str(tmp_path / "run"))
    assert "scratch/lightgbm" not in [one.address for one in default_starts(data, 60)]
