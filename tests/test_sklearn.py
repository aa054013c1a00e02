"""Estimators for scikit-learn: their own checks, and what people do with them."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import headstart as hs
from headstart.recipes.held_out import hold_out
from headstart.sklearn import HeadstartClassifier, HeadstartRegressor, _class_names

LINEAR = "scratch/linear"


def blobs(num: int = 60) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    y = np.arange(num) % 3
    return draw.normal(0, 0.2, (num, 2)) + np.stack([y, y == 1], axis=1), y - 1


@pytest.fixture(scope="module")
def fitted() -> HeadstartClassifier:
    """Return a classifier of three classes: -1, 0 and 1."""
    X, y = blobs()
    return HeadstartClassifier(start=LINEAR, device="cpu").fit(X, y)


def test_a_classifier_answers_in_its_own_classes(fitted: HeadstartClassifier) -> None:
    X, y = blobs()
    assert fitted.classes_.tolist() == [-1, 0, 1]
    assert fitted.score(X, y) > 0.9
    shares = fitted.predict_proba(X)
    assert shares.shape == (60, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(fitted.classes_[shares.argmax(axis=1)], fitted.predict(X))
    assert fitted.metrics_["task"]


def test_a_pickle_carries_the_run_folder_and_nothing_else(
    fitted: HeadstartClassifier, tmp_path: Path
) -> None:
    X, _ = blobs()
    assert all(isinstance(content, bytes) for content in fitted.files_.values())
    assert {"model.json", "model.safetensors", "metrics.json"} <= set(fitted.files_)
    assert "_run" not in fitted.__getstate__()
    for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(other.predict_proba(X), fitted.predict_proba(X))
    run = fitted.to_run(tmp_path / "run")
    assert run.predict([{"x0": 0.0, "x1": 0.0}])[0].label == str(fitted.predict([[0.0, 0.0]])[0])
    assert "model.json" in {path.name for path in (tmp_path / "run").iterdir()}
    with pytest.raises(hs.RunFolderError, match="is not empty"):
        fitted.to_run(tmp_path / "run")


def test_a_name_that_leads_out_of_the_folder_is_refused(fitted: HeadstartClassifier) -> None:
    other = copy.deepcopy(fitted)
    other.files_ = {**fitted.files_, "../../escaped": b""}
    other.__dict__.pop("_run", None)
    with pytest.raises(ValueError, match="is no file of a run folder"):
        other.predict([[0.0, 0.0]])


def test_a_clone_is_not_fitted(fitted: HeadstartClassifier) -> None:
    other = clone(fitted)
    assert other.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        other.predict([[0.0, 0.0]])


def test_pipelines_and_searches_take_them() -> None:
    X, y = blobs(45)
    model = make_pipeline(StandardScaler(), HeadstartClassifier(start=LINEAR, device="cpu"))
    assert cross_val_score(model, X, y, cv=2, error_score="raise").min() > 0.7
    grid = {"headstartclassifier__val_fraction": [0.2]}
    search = GridSearchCV(model, grid, cv=2, refit=False, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.7


def test_a_regressor_finds_a_line() -> None:
    X = np.linspace(-1, 1, 40)[:, None]
    model = HeadstartRegressor(start=LINEAR, device="cpu").fit(X, 3 * X[:, 0] + 2)
    np.testing.assert_allclose(model.predict([[0.0], [1.0]]), [2, 5], atol=0.05)


def test_frames_with_words_and_gaps_are_taken() -> None:
    draw = np.random.default_rng(0)
    size = draw.normal(size=80)
    frame = pd.DataFrame({"size": size, "land": [("AT", "CH")[i % 2] for i in range(80)]})
    frame.loc[3, "size"] = np.nan
    y = np.where(frame["land"] == "AT", "yes", "no")
    model = HeadstartClassifier(start=LINEAR, device="cpu").fit(frame, y)
    assert model.feature_names_in_.tolist() == ["size", "land"]
    assert model.score(frame, y) > 0.9
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"size": "other"}))


@pytest.mark.slow
def test_images_are_taken() -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 60, (60, 12, 12)).astype(np.uint8)
    images[1::2] += 150
    model = HeadstartClassifier(
        start="scratch/simple-cnn", device="cpu", options={"num_steps": 8, "input_size": 16}
    )
    assert model.fit(images, [i % 2 for i in range(60)]).predict(images).shape == (60,)


TEXTS = [f"{('hum hum', 'buzz buzz')[i % 2]} number {i}" for i in range(40)]


def test_what_cannot_be_learned_is_a_value_error_and_its_advice_helps(heard) -> None:
    words, numbers = ["a", "b"] * 20, [0.0, 1.0] * 20
    kind, planned = HeadstartClassifier, {"dry_run": True}
    wrong = (
        (kind(start="scratch/tfidf"), TEXTS, ["a"] * 40, r"one class \(a\)"),
        (kind(start="scratch/tfidf"), TEXTS, words[:-1], "40 samples and y has 39 targets"),
        (kind(start="scratch/tfidf"), TEXTS[:3], ["a", "b", "c"], "n_samples = 3: too few"),
        (kind(start="scratch/tfidf", options=planned), TEXTS, words, "options holds 'dry_run'"),
        (HeadstartRegressor(start="scratch/tfidf"), TEXTS, [np.nan, *numbers[1:]], "contains NaN"),
    )
    said = []
    for model, X, y, sentence in wrong:
        with pytest.raises((ValueError, hs.OptionError), match=sentence) as refused:
            model.fit(X, y)
        said.append(refused.value)
    # more classes, a target for each, more samples, no dry_run; then without those without a target
    assert kind(start="scratch/tfidf", device="cpu").fit(TEXTS, words).score(TEXTS, words) > 0.9
    model = HeadstartRegressor(start="scratch/tfidf", device="cpu").fit(TEXTS[1:], numbers[1:])
    assert model.score(TEXTS, numbers) > 0.5
    for each in said:
        heard(each)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("num_steps", "options is 'num_steps'; expected a dict"),
        ({"num_step": 5}, "options holds 'num_step', which is none. Did you mean 'num_steps'?"),
        ({"out": "runs/a"}, "holds 'out', .* Say to_run"),
        ({"seed": 3}, "holds 'seed', .* Say random_state"),
    ],
)
def test_options_that_no_verb_takes_are_refused_and_not_overruled(options, sentence, heard) -> None:
    X, y = np.eye(2).repeat(20, axis=0), np.arange(2).repeat(20)
    with pytest.raises(hs.OptionError, match=sentence) as refused:
        HeadstartClassifier(start="scratch/linear", options=options).fit(X, y)
    right = HeadstartClassifier(start="scratch/linear", options={"num_steps": 5}, random_state=3)
    assert right.fit(X, y).files_["model.json"]
    heard(refused.value)


def test_arrays_are_checked_as_scikit_learn_checks_them(fitted: HeadstartClassifier) -> None:
    for X, said in (([[1.0, np.inf]], "infinity"), ([[1.0]], "1 features"), ([1.0], "2D array")):
        with pytest.raises(ValueError, match=said):
            fitted.predict(X)


def test_every_class_stays_in_train_and_every_side_holds_something() -> None:
    draw = np.random.RandomState(0)
    for num, classes in ((6, 2), (30, 3), (32, 25), (400, 4)):
        y = np.sort(
            np.maximum(0, np.arange(num) - num + classes)
            if num < 2 * classes
            else np.arange(num) % classes
        )
        sides = hold_out(y, draw, 0.15, 0.05, is_exclusive=True)
        assert sorted(np.concatenate(list(sides.values())).tolist()) == list(range(num))
        assert set(y[sides["train"]]) == set(y)
        assert len(sides["val"])
        assert len(sides["test"])
    assert 50 <= len(sides["val"]) <= 70
    assert 12 <= len(sides["test"]) <= 28


def test_classes_keep_their_names_where_these_are_safe() -> None:
    assert _class_names(np.asarray(["cat", "dog"])) == ["cat", "dog"]
    assert _class_names(np.asarray([-1, 10])) == ["-1", "10"]
    for odd in (["a;b", "c"], ["nan", "x"], ["A", "a"], [0.5, 1.0]):
        assert _class_names(np.asarray(odd)) == ["class 0", "class 1"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", [HeadstartClassifier, HeadstartRegressor])
def test_scikit_learns_own_checks_pass(kind: type) -> None:
    found = check_estimator(kind(start=LINEAR, device="cpu"), on_fail=None, on_skip=None)
    by_status: dict[str, list[str]] = {}
    for each in found:
        by_status.setdefault(each["status"], []).append(each["check_name"])
    assert set(by_status) <= {"passed", "skipped"}, by_status
    assert by_status.get("skipped", []) in ([], ["check_array_api_input"])  # SCIPY_ARRAY_API unset
    assert len(by_status["passed"]) > 45
