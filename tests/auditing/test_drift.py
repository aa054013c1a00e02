import dataclasses

import numpy as np
import pandas as pd
import pytest
from planted import digits

from headstart.auditing.audit import AuditTools
from headstart.auditing.drift import DRIFT
from headstart.auditing.probe_features import ProbeFeatures
from headstart.auditing.two_samples import (
    Difference,
    area_and_error,
    compare_counts,
    compare_numbers,
    significant,
)
from headstart.data import load

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _no_start(monkeypatch):
    """Let images have their pixels and texts their terms: quick, and the same on every machine."""
    monkeypatch.setattr("headstart.starts.candidates.local_starts", lambda modality: [])


def _run(dataset, **said):
    features = ProbeFeatures(dataset)
    return [a.finding for a in DRIFT.run(dataset, AuditTools(features=features, **said))]


def _table(num: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": RNG.normal(40, 10, num).round(1),
            "town": RNG.choice(["Ulm", "Bonn", "Kiel"], num),
            "seen": pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 365, num), "D"),
            "pays": RNG.choice(["yes", "no"], num),
        }
    )


def test_splits_of_one_source_raise_no_alarm() -> None:
    assert _run(digits()) == []
    assert _run(load({"train": _table(800), "test": _table(300)}, label="pays")) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda f: f.assign(age=f["age"] + 12), "'age': median "),
        (lambda f: f.assign(town=RNG.choice(["Ulm", "Bonn", "Jena"], len(f))), "'town': '"),
        (lambda f: f.assign(seen=f["seen"] + pd.Timedelta(days=200)), "'seen': median 2024-0"),
        (lambda f: f.assign(age=f["age"].where(RNG.random(len(f)) > 0.4)), "gaps of 'age'"),
        (lambda f: f.assign(age=(f["age"] - 40) * 3 + 40), "'age': four of five"),
    ],
    ids=["shift", "new category", "later", "gaps", "spread"],
)
def test_a_column_that_differs_is_named(change, word) -> None:
    train = _table(800)
    train.loc[0, "age"] = np.nan
    found = _run(load({"train": train, "test": change(_table(300))}, label="pays"))
    assert any(word in f.sentence for f in found)
    assert {f.kind for f in found} == {"drift"}


def test_other_shares_of_classes_are_told() -> None:
    test = _table(400)
    test["pays"] = RNG.choice(["yes", "no"], 400, p=[0.9, 0.1])
    found = _run(load({"train": _table(800), "test": test}, label="pays"))
    assert "the shares of the classes" in found[0].sentence
    assert found[0].severity == "warning"


def test_other_numbers_to_be_told_are_told() -> None:
    train, test = _table(600), _table(300)
    for frame, middle in ((train, 10.0), (test, 14.0)):
        frame["cost"] = RNG.normal(middle, 2.0, len(frame))
    found = _run(load({"train": train, "test": test}, label="cost"))
    assert "the target: median " in found[0].sentence


def _brighter(dataset):
    samples = dataset.test.samples
    images = np.stack([samples.read(i) for i in range(len(samples))]).astype(int)
    images = np.clip(images + 80, 0, 255).astype(np.uint8)
    from headstart.preprocessing.samples import ArraySamples

    images = images.reshape(len(images), *images.shape[1:3], -1)
    names = [samples.name(i) for i in range(len(samples))]
    made = dataclasses.replace(
        dataset.test, samples=ArraySamples(images, names), ids=dataset.test.ids + 1
    )
    return dataclasses.replace(dataset, test=made, fingerprint="brighter")


def test_brighter_pictures_are_told_by_measures_and_by_features() -> None:
    found = _run(_brighter(digits()))
    assert any("brightness" in f.sentence for f in found)
    assert any("area under the ROC curve" in f.sentence for f in found)
    assert {f.severity for f in found} == {"warning"}


_ENGLISH = ["film", "plot", "scene", "we", "they", "saw", "that", "day", "some", "old", "house"]
_RUSSIAN = ["фильм", "сцена", "мы", "они", "видели", "день", "старый", "дом", "который", "как"]


def _texts(words, num):
    labels = RNG.choice(["a", "b"], num)
    return [" ".join(RNG.choice(words, 9)) for _ in labels], list(labels)


def test_texts_of_another_language_or_length_are_told() -> None:
    both = {"train": _texts(_ENGLISH, 400), "test": _texts(_RUSSIAN, 150)}
    found = _run(load(both))
    assert any("Cyrillic letters" in f.sentence for f in found)
    assert any("area under the ROC curve" in f.sentence for f in found)
    texts, labels = _texts(_ENGLISH, 150)
    longer = {"train": _texts(_ENGLISH, 400), "test": ([f"{t} {t} {t}" for t in texts], labels)}
    assert any("words: median 9 in train" in f.sentence for f in _run(load(longer)))
    same = {"train": _texts(_ENGLISH, 400), "test": _texts(_ENGLISH, 150)}
    assert _run(load(same)) == []


def test_when_the_time_is_up_it_is_said() -> None:
    found = _run(digits(), is_over=lambda: True)
    assert "in part" in found[-1].sentence


def test_a_small_difference_of_many_values_does_not_matter() -> None:
    one = compare_numbers("x", RNG.normal(0, 1, 50_000), RNG.normal(0.05, 1, 50_000))
    assert one.p_value < 1e-6
    assert significant([one], level=0.001, least=0.1) == []
    assert significant([one], level=0.001, least=0.01) == [one]


def test_chance_among_many_columns_is_corrected() -> None:
    chances = [Difference(str(i), 0.5, p, "") for i, p in enumerate(RNG.random(1_000))]
    assert significant(chances, level=0.001, least=0.1) == []


def test_the_size_of_a_difference_of_categories_is_less_what_chance_gives() -> None:
    names = [str(k) for k in range(40)]
    draws = [RNG.multinomial(300, [1 / 40] * 40) for _ in range(2)]
    assert compare_counts("x", names, *draws).size < 0.06
    away = np.r_[np.zeros(20, int), np.full(20, 15)]
    assert compare_counts("x", names, draws[0], away).size > 0.3


def test_the_area_and_its_error_are_those_of_the_literature() -> None:
    from sklearn.metrics import roc_auc_score

    scores, second = RNG.normal(size=500), RNG.random(500) < 0.4
    scores[second] += 0.7
    area, error = area_and_error(scores, second)
    assert area == pytest.approx(roc_auc_score(second, scores))
    resampled = []
    for _ in range(300):
        some = RNG.integers(0, 500, 500)
        resampled.append(area_and_error(scores[some], second[some])[0])
    assert error == pytest.approx(np.std(resampled), rel=0.25)
