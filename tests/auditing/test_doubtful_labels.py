import dataclasses

import numpy as np
import pytest
from planted import digits, flipped, share_planted

from headstart.auditing.audit import AuditTools
from headstart.auditing.doubtful_labels import DOUBTFUL_LABELS, certainties
from headstart.auditing.doubts import MIN_CERTAINTY
from headstart.auditing.probe_features import ProbeFeatures
from headstart.data import load
from headstart.errors import OptionError

_FILLERS = ["film", "plot", "scene", "we", "they", "saw", "that", "day", "some", "old", "house"]


@pytest.fixture(autouse=True)
def _no_start(monkeypatch):
    """Let images have their pixels and texts their terms: quick, and the same on every machine."""
    monkeypatch.setattr("headstart.starts.candidates.local_starts", lambda modality: [])


def _run(dataset, **said):
    features = ProbeFeatures(dataset)
    return DOUBTFUL_LABELS.run(dataset, AuditTools(features=features, **said))


def test_flipped_digits_are_found_and_clean_ones_are_left_in_peace() -> None:
    clean = _run(digits())
    assert {a.finding.severity for a in clean} <= {"note"}
    assert sum(len(a.finding.items) for a in clean) <= 9
    spoilt, planted = flipped(digits(), 0.1, seed=0)
    found = _run(spoilt)[0]
    assert found.finding.severity == "warning"
    assert not found.leave_out
    assert share_planted(found.suspects[:100], planted) >= 0.9
    certain = [s for s in found.suspects if s.certainty >= MIN_CERTAINTY]
    assert share_planted(certain, planted) >= 0.8
    assert len(certain) > 0.6 * sum(where.sum() for where in planted.values())
    most = [s.certainty for s in found.suspects]
    assert most == sorted(most, reverse=True)
    assert "given '" in found.suspects[0].reason
    assert "looks like '" in found.suspects[0].reason


def test_what_is_suggested_is_mostly_what_it_was() -> None:
    clean = digits()
    spoilt, _ = flipped(clean, 0.1, seed=1)
    suspects = _run(spoilt)[0].suspects[:100]
    right = [
        f"looks like '{clean.schema.classes[clean.split(s.spot.split).targets[s.spot.index]]}'"
        in s.reason
        for s in suspects
    ]
    assert np.mean(right) >= 0.85


def test_texts_are_judged_by_terms_too() -> None:
    pytest.importorskip("sklearn")
    draw = np.random.default_rng(0)
    words = {"a": ["good", "fine", "lovely"], "b": ["bad", "awful", "poor"]}
    labels = draw.choice(["a", "b"], 400)
    texts = [" ".join([*draw.choice(words[k], 2), *draw.choice(_FILLERS, 6)]) for k in labels]
    spoilt, planted = flipped(load((texts, list(labels))), 0.08, seed=0)
    found = _run(spoilt)[0]
    assert share_planted(found.suspects[:20], planted) >= 0.9


def test_rows_of_a_table_are_judged_by_trees(tmp_path) -> None:
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame
    spoilt, planted = flipped(load(frame, label="target"), 0.1, seed=0)
    found = _run(spoilt)[0]
    assert share_planted(found.suspects[:25], planted) >= 0.8


def test_numbers_that_are_far_off_are_found() -> None:
    from sklearn.datasets import load_diabetes

    frame = load_diabetes(as_frame=True).frame
    wrong = np.random.default_rng(0).choice(len(frame), 8, replace=False)
    frame.loc[wrong, "target"] *= 100  # another unit
    found = _run(load(frame, label="target"))[0]
    assert found.finding.severity == "warning"
    named = set(found.finding.items[:8])
    assert sum(any(n.endswith(f"row {i + 1}") for n in named) for i in wrong) >= 7
    assert len(found.finding.items) <= 12


def test_each_label_of_several_is_judged() -> None:
    draw = np.random.default_rng(0)
    has = draw.random((600, 3)) < 0.4
    wrong = np.zeros_like(has)
    wrong[draw.choice(600, 20, replace=False), 1] = True
    names = np.array(["red", "green", "blue"])
    texts = [" ".join([*names[row], *draw.choice(_FILLERS, 6)]) for row in has]
    import pandas as pd

    cells = [list(names[row]) for row in has ^ wrong]
    frame = pd.DataFrame({"text": texts, "label": cells})
    dataset = load(frame, task="multi-label")
    found = _run(dataset)[0]
    rows = {int(n.rsplit(" ", 1)[1]) - 1 for n in found.finding.items[:12]}
    assert len(rows) == 12
    assert rows <= set(np.flatnonzero(wrong.any(axis=1)).tolist())
    assert all("'green'" in s.reason for s in found.suspects[:12])


def test_tiny_classes_and_few_samples_are_said() -> None:
    dataset = digits()
    targets = dataset.train.targets.copy()
    classes = (*dataset.schema.classes, "rare")
    targets[:3] = len(classes) - 1
    dataset = dataclasses.replace(
        dataset,
        schema=dataclasses.replace(dataset.schema, classes=classes),
        train=dataclasses.replace(dataset.train, targets=targets),
    )
    found = _run(dataset)
    assert any("'rare', of which fewer than 5" in a.finding.sentence for a in found)
    rare = {("train", 0), ("train", 1), ("train", 2)}
    assert not rare & {(s.spot.split, s.spot.index) for a in found for s in a.suspects}
    few = load((["yes it is", "no it is not"] * 12, ["y", "n"] * 12))
    assert "too few" in _run(few)[0].finding.sentence


def test_when_the_time_is_up_what_was_not_looked_at_is_said() -> None:
    found = _run(digits(), is_over=lambda: True)
    assert "Not looked at for doubtful labels" in found[-1].finding.sentence


def test_without_cleanlab_the_way_to_it_is_said(monkeypatch) -> None:
    import headstart.auditing.doubtful_labels as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r" install 'headstart\[check\]'"):
        _run(digits())


def test_certainty_is_high_only_where_labels_are_wrong_at_random() -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 4, 4_000)
    logits = draw.normal(size=(4_000, 4)) + 5.0 * np.eye(4)[truth]
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = truth.copy()
    given[:400] = (given[:400] + draw.integers(1, 4, 400)) % 4
    certain = certainties(chances, given)
    assert (certain >= 0.6)[:400].mean() > 0.8
    assert (certain >= 0.6)[400:].mean() < 0.02
    assert (certainties(chances, truth) >= 0.6).mean() < 0.002


def test_nothing_is_certain_where_the_probe_knows_no_more_than_the_shares() -> None:
    draw = np.random.default_rng(0)
    for shares in ([0.5, 0.5], [0.9, 0.1], [0.25] * 4):
        given = draw.choice(len(shares), 400, p=shares)
        logits = np.log(shares) + draw.normal(size=(400, len(shares)))
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert (certainties(chances, given) < MIN_CERTAINTY).all()
